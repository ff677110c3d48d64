//! HKDF-SHA256 (RFC 5869): everything that is derived from a 32-byte key.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize as _;

/// `PRK = Extract(salt = "fieldseal/1", K)`, ready to expand. Wiped on drop (through `hmac` and `sha2`).
pub(crate) struct Prk(Box<Hkdf<Sha256>>);

impl Prk {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self::extract(SALT, key)
    }

    /// `Extract(salt, ikm)`
    pub(super) fn extract(salt: &[u8], ikm: &[u8]) -> Self {
        let (mut prk, hkdf) = Hkdf::<Sha256>::extract(Some(salt), ikm);
        prk.as_mut_slice().zeroize();
        Self(Box::new(hkdf))
    }

    /// `out = Expand(PRK, info, length of out)`, where `info` is the concatenation of its parts.
    pub(crate) fn expand(&self, info: &[&[u8]], out: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "the limit is 8160 bytes")]
        self.0.expand_multi_info(info, out).expect("no caller asks for more than 64 bytes");
    }
}

impl fmt::Debug for Prk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prk(..)")
    }
}

const SALT: &[u8] = b"fieldseal/1";

// What it keeps is two states of SHA-256, which wipe themselves; `hkdf` and `hmac` pass no marker on.
const _: () = {
    const fn wipes_on_drop<T: zeroize::ZeroizeOnDrop>() {}
    wipes_on_drop::<Sha256>();
};
