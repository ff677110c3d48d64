//! [`Sealer`]: seals the fields of one record, with one draw of randomness and one derivation a key.

use super::SubjectKeys;
use crate::clock::Timestamp;
use crate::crypto::aead::Cipher;
use crate::crypto::{self, rng};
use crate::envelope::KeyId;
use crate::envelope::context::FieldAad;
use crate::envelope::frame::Frame;
use crate::envelope::header::Nonce;
use crate::envelope::wire;
use crate::error::Result;
use crate::id::RecordIds;
use crate::keys::ring::KeyRing;

/// Lives on the stack of one sealing call: the base nonce is never kept, read back or shared.
#[derive(Debug)]
pub struct Sealer<'k> {
    keys: &'k SubjectKeys,
    ring: &'k KeyRing,
    now: Timestamp,
    aad: FieldAad,
    next_nonce: Nonce,
    /// One a data key, so one a purpose: the nonces share the prefix that it was derived from.
    ciphers: Vec<(KeyId, Cipher)>,
}

impl<'k> Sealer<'k> {
    pub(crate) fn new(keys: &'k SubjectKeys, schema: &str, ids: &(impl RecordIds + ?Sized)) -> Result<Self> {
        let (_, now) = keys.ring()?;
        Self::at(keys, now, FieldAad::new(schema, ids)?)
    }

    /// For keys whose age was checked at `now`, and a place that was encoded before.
    pub(super) fn at(keys: &'k SubjectKeys, now: Timestamp, aad: FieldAad) -> Result<Self> {
        let ring = &keys.inner.ring;
        Ok(Self { keys, ring, now, aad, next_nonce: rng::nonce()?, ciphers: Vec::with_capacity(1) })
    }

    #[inline(never)] // so that `wipe_stack`, on drop, covers its frame, where the cipher was made
    pub(crate) fn seal(&mut self, purpose: &str, field: &str, frame: Frame) -> Result<Vec<u8>> {
        let suite = self.keys.inner.policy.suite;
        let key = self.ring.current(purpose, self.now)?;
        let nonce = self.next_nonce;
        count_up(&mut self.next_nonce);
        let at = match self.ciphers.iter().position(|(id, _)| id == key.id()) {
            Some(at) => at,
            None => {
                self.ciphers.push((*key.id(), Cipher::new(suite, key.cipher_key(suite), &nonce)));
                self.ciphers.len() - 1
            }
        };
        let (id, cipher) = self.ciphers.get(at).ok_or_else(|| crate::Error::Bug("a cipher that was just made"))?;
        wire::seal(cipher, suite, id, &nonce, self.aad.of(field)?, frame)
    }
}

impl Drop for Sealer<'_> {
    fn drop(&mut self) {
        self.ciphers.clear();
        crypto::wipe_stack();
    }
}

/// The nonce of the record's next field: the last 8 bytes, big-endian, one higher, wrapping.
fn count_up(nonce: &mut Nonce) {
    if let Some(last) = nonce.last_chunk_mut::<8>() {
        *last = u64::from_be_bytes(*last).wrapping_add(1).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_count_in_their_last_eight_bytes_and_wrap() {
        let mut nonce = [0xFF; 24];
        count_up(&mut nonce);
        assert_eq!(nonce, [[0xFF; 8], [0xFF; 8], [0; 8]].concat()[..]);
        count_up(&mut nonce);
        assert_eq!(nonce[16..], [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
