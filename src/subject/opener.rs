//! [`Opener`]: opens the fields of one record; fields that were sealed together cost one derivation.

use super::SubjectKeys;
use crate::crypto;
use crate::crypto::aead::Cipher;
use crate::crypto::buf::WipingBuf;
use crate::envelope::KeyId;
use crate::envelope::context::FieldAad;
use crate::envelope::header::Envelope;
use crate::envelope::wire;
use crate::error::{Error, Result};
use crate::id::RecordIds;
use crate::keys::UsableKey;

/// Lives in one opening call, or one [`RecordRef`](crate::record::RecordRef).
#[derive(Debug)]
pub struct Opener<'k> {
    keys: &'k SubjectKeys,
    aad: FieldAad,
    /// The last one derived, and of which key.
    cipher: Option<(KeyId, Cipher)>,
    frame: WipingBuf,
}

impl<'k> Opener<'k> {
    pub(crate) fn new(keys: &'k SubjectKeys, schema: &str, ids: &(impl RecordIds + ?Sized)) -> Result<Self> {
        keys.ring()?;
        Ok(Self { keys, aad: FieldAad::new(schema, ids)?, cipher: None, frame: WipingBuf::default() })
    }

    /// The opened frame. It is wiped when the next one is opened, unless it is taken.
    ///
    /// The key is chosen among those of the purpose, whose subject's they all are, and its id is compared before the cipher
    /// runs. Nothing behind that comparison would notice another key: the associated data names none, nor an owner.
    #[inline(never)] // so that `wipe_stack`, on drop, covers its frame, where the cipher was made
    pub(crate) fn open(&mut self, purpose: &str, field: &str, envelope: &[u8]) -> Result<&mut WipingBuf> {
        let envelope = Envelope::parse(envelope)?;
        let key = self.key(purpose, &envelope.key_id)?;
        let fits =
            |(id, cipher): &(KeyId, Cipher)| *id == envelope.key_id && cipher.covers(envelope.suite, envelope.nonce);
        if !self.cipher.as_ref().is_some_and(fits) {
            let cipher = Cipher::new(envelope.suite, key.cipher_key(envelope.suite), envelope.nonce);
            self.cipher = Some((envelope.key_id, cipher));
        }
        let (_, cipher) = self.cipher.as_ref().ok_or_else(|| Error::Bug("a cipher that was just made"))?;
        wire::open(cipher, &envelope, self.aad.of(field)?, &mut self.frame)?;
        Ok(&mut self.frame)
    }

    /// Who it opens for, and where.
    pub(super) fn place(&self) -> (&'k SubjectKeys, &FieldAad) {
        (self.keys, &self.aad)
    }

    fn key(&self, purpose: &str, id: &KeyId) -> Result<&'k UsableKey> {
        self.keys.inner.ring.named(purpose, id).map_err(|why| self.keys.not_held(why))
    }
}

impl Drop for Opener<'_> {
    fn drop(&mut self) {
        self.cipher = None;
        crypto::wipe_stack();
    }
}
