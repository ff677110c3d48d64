//! The joint behind which every cipher, hash and generator stands: the only place that names a cipher crate.
//!
//! Imports `error` only. Formulas are those of `docs/format.md`, sections 2 and 3.

pub(crate) mod aead;
pub(crate) mod buf;
pub(crate) mod kdf;
pub(crate) mod mac;
pub(crate) mod password;
pub(crate) mod rng;
mod suite;
mod xaes;

#[cfg(test)]
pub(crate) mod collision;
#[cfg(test)]
mod vectors;

pub use suite::Suite;

/// Overwrites the part of the stack that a primitive used: ciphers and hashes leave copies of keys there. Best effort.
pub(crate) fn wipe_stack() {
    // Debug builds keep every temporary, so their frames are several times larger.
    if cfg!(debug_assertions) { zeroize::zeroize_stack::<32_768>() } else { zeroize::zeroize_stack::<8_192>() }
}
