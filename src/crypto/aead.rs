//! One prepared AEAD state: what a suite derives from a cipher key and the first bytes of a nonce.

use std::fmt;

use aes::Aes256Enc;
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::ChaCha20Poly1305;
use zeroize::Zeroize as _;

use super::{Suite, xaes};
use crate::error::{Error, Result};

/// GCM never runs the cipher backwards, so the decryption key schedule is left out.
pub(super) type Aes256Gcm = AesGcm<Aes256Enc, U12>;

/// Seals and opens under nonces that share the prefix it was derived for. Wiped on drop.
pub(crate) struct Cipher {
    suite: Suite,
    prefix: [u8; 16],
    state: State,
}

#[expect(clippy::large_enum_variant, reason = "lives on the stack of one call, where a box would cost more")]
enum State {
    Gcm(Aes256Gcm),
    ChaCha(ChaCha20Poly1305),
}

impl Cipher {
    pub(crate) fn new(suite: Suite, key: &[u8; 32], nonce: &[u8; 24]) -> Self {
        let prefix = std::array::from_fn(|i| nonce.get(i).copied().unwrap_or_default());
        let state = match suite {
            Suite::Xaes256Gcm => State::Gcm(Aes256Gcm::new((&*xaes::derive_key(key, halves(nonce).0)).into())),
            Suite::XChaCha20Poly1305 => {
                let mut subkey = chacha20::hchacha::<chacha20::R20>(key.into(), (&prefix).into());
                let state = ChaCha20Poly1305::new(&subkey);
                subkey.as_mut_slice().zeroize();
                State::ChaCha(state)
            }
        };
        Self { suite, prefix, state }
    }

    /// Whether this state is the one for `suite` and `nonce` (the key is the caller's to compare).
    pub(crate) fn covers(&self, suite: Suite, nonce: &[u8; 24]) -> bool {
        let n = suite.prefix_len();
        self.suite == suite && self.prefix.get(..n) == nonce.get(..n)
    }

    /// Encrypts in place; gives the tag.
    pub(crate) fn encrypt(&self, nonce: &[u8; 24], aad: &[u8], bytes: &mut [u8]) -> Result<[u8; 16]> {
        debug_assert!(self.covers(self.suite, nonce));
        let nonce = self.inner_nonce(nonce).into();
        let bytes = InOutBuf::from(bytes);
        match &self.state {
            State::Gcm(gcm) => gcm.encrypt_inout_detached(&nonce, aad, bytes),
            State::ChaCha(chacha) => chacha.encrypt_inout_detached(&nonce, aad, bytes),
        }
        .map(Into::into)
        .map_err(|_| Error::Bug("an AEAD refused a message within its limits"))
    }

    /// Checks the tag, then decrypts in place. On an error the bytes are to be thrown away.
    pub(crate) fn decrypt(&self, nonce: &[u8; 24], aad: &[u8], bytes: &mut [u8], tag: &[u8; 16]) -> Result<()> {
        debug_assert!(self.covers(self.suite, nonce));
        let nonce = self.inner_nonce(nonce).into();
        let tag = tag.into();
        let bytes = InOutBuf::from(bytes);
        match &self.state {
            State::Gcm(gcm) => gcm.decrypt_inout_detached(&nonce, aad, bytes, tag),
            State::ChaCha(chacha) => chacha.decrypt_inout_detached(&nonce, aad, bytes, tag),
        }
        .map_err(|_| Error::Authentication)
    }

    /// The 12 bytes of the nonce that the derived state still takes.
    fn inner_nonce(&self, nonce: &[u8; 24]) -> [u8; 12] {
        let mut inner = *halves(nonce).1;
        if self.suite == Suite::XChaCha20Poly1305 {
            // The first four of the last twelve went into the subkey.
            inner.iter_mut().take(4).for_each(|b| *b = 0);
        }
        inner
    }
}

fn halves(nonce: &[u8; 24]) -> (&[u8; 12], &[u8; 12]) {
    match nonce.as_chunks::<12>().0 {
        [first, second] => (first, second),
        _ => unreachable!("24 bytes are two chunks of 12"),
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("suite", &self.suite).finish_non_exhaustive()
    }
}

const _: () = {
    const fn wipes_on_drop<T: zeroize::ZeroizeOnDrop>() {}
    wipes_on_drop::<Aes256Gcm>();
    wipes_on_drop::<ChaCha20Poly1305>();
    wipes_on_drop::<Aes256Enc>();
};
