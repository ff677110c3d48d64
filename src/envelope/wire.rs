//! A framed value to an envelope, and back.

use crate::crypto::Suite;
use crate::crypto::aead::Cipher;
use crate::crypto::buf::WipingBuf;
use crate::envelope::frame::Frame;
use crate::envelope::header::{Envelope, HEADER_LEN, KeyId, Nonce};
use crate::error::Result;

/// The envelope of a frame, in the frame's own allocation.
pub(crate) fn seal(
    cipher: &Cipher,
    suite: Suite,
    key_id: &KeyId,
    nonce: &Nonce,
    aad: &[u8],
    frame: Frame,
) -> Result<Vec<u8>> {
    let mut buf = frame.finish()?;
    let (header, framed) = buf.as_mut_slice().split_at_mut(HEADER_LEN);
    let tag = cipher.encrypt(nonce, aad, framed)?;
    let (first, rest) = header.split_at_mut(1);
    let (id, rest) = rest.split_at_mut(KeyId::LEN);
    first.fill(suite.byte());
    id.copy_from_slice(key_id.as_bytes());
    rest.copy_from_slice(nonce);
    buf.put(&tag)?;
    Ok(buf.take())
}

/// Decrypts into `frame`, whose old contents go. The caller compared the key ids before.
pub(crate) fn open(cipher: &Cipher, envelope: &Envelope<'_>, aad: &[u8], frame: &mut WipingBuf) -> Result<()> {
    frame.refill(envelope.ciphertext);
    let opened = cipher.decrypt(envelope.nonce, aad, frame.as_mut_slice(), envelope.tag);
    if opened.is_err() {
        frame.truncate(0);
    }
    opened
}
