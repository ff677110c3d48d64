//! [`KeyMaterial`], 32 secret bytes, and [`UsableKey`], what is derived from them to seal or wrap.

use std::fmt;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

use crate::crypto::kdf::Prk;
use crate::crypto::{self, Suite, rng};
use crate::envelope::KeyId;
use crate::error::{Error, Result};

/// A key of 32 bytes. On the heap, filled in place, wiped on drop; neither `Clone` nor printable.
pub struct KeyMaterial(Box<[u8; Self::LEN]>);

impl KeyMaterial {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// A random key, from the operating system's generator.
    ///
    /// # Errors
    /// [`Error::Entropy`] if that gives none.
    pub fn generate() -> Result<Self> {
        let mut key = Self(Box::new([0; Self::LEN]));
        rng::fill(key.0.as_mut_slice())?;
        Ok(key)
    }

    /// Copies a key, for a provider that was given its bytes. The caller wipes its own copy.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is not 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Result<Self> {
        if bytes.len() != Self::LEN {
            return Err(Error::invalid("a key has 32 bytes"));
        }
        let mut key = Self(Box::new([0; Self::LEN]));
        key.0.copy_from_slice(bytes);
        Ok(key)
    }

    /// The bytes.
    ///
    /// # Security
    /// For a provider's `wrap_key` alone.
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// `Expand(PRK, "fieldseal/1 key id", 24)`: what a [`WrapContext`](crate::provider::WrapContext) names it by.
    pub fn id(&self) -> KeyId {
        let id = self.derive_id();
        crypto::wipe_stack_of_hash();
        id
    }

    #[inline(never)] // so that the wipe covers its frame
    fn derive_id(&self) -> KeyId {
        key_id(&Prk::new(self.expose()))
    }
}

impl Drop for KeyMaterial {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for KeyMaterial {}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaterial(..)")
    }
}

/// A key ready for use: its id, and the cipher key of each suite. Wiped on drop.
///
/// The key itself is not kept: nothing but these derivations ever uses it.
pub(crate) struct UsableKey {
    id: KeyId,
    cipher_keys: Box<[[u8; 32]; Suite::ALL.len()]>,
}

impl UsableKey {
    pub(crate) fn derive(key: &KeyMaterial) -> Self {
        let usable = Self::derive_in_place(key);
        crypto::wipe_stack_of_hash();
        usable
    }

    #[inline(never)] // so that `wipe_stack` covers its frame
    fn derive_in_place(key: &KeyMaterial) -> Self {
        let prk = Prk::new(key.expose());
        let mut usable = Self { id: key_id(&prk), cipher_keys: Box::new([[0; 32]; Suite::ALL.len()]) };
        for (suite, out) in Suite::ALL.iter().zip(usable.cipher_keys.iter_mut()) {
            prk.expand(&[b"fieldseal/1 encrypt ", &[suite.byte()]], out);
        }
        usable
    }

    pub(crate) fn id(&self) -> &KeyId {
        &self.id
    }

    pub(crate) fn cipher_key(&self, suite: Suite) -> &[u8; 32] {
        let [xaes, xchacha] = &*self.cipher_keys;
        match suite {
            Suite::Xaes256Gcm => xaes,
            Suite::XChaCha20Poly1305 => xchacha,
        }
    }
}

impl Drop for UsableKey {
    fn drop(&mut self) {
        self.cipher_keys.zeroize();
    }
}

impl fmt::Debug for UsableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UsableKey(..)")
    }
}

pub(super) fn key_id(prk: &Prk) -> KeyId {
    let mut id = [0; KeyId::LEN];
    prk.expand(&[b"fieldseal/1 key id"], &mut id);
    KeyId::from_bytes(id)
}
