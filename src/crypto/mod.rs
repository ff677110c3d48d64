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
pub(crate) mod vectors;

pub use suite::Suite;

/// Overwrites the part of the stack that a primitive used: ciphers and hashes leave copies of keys there. Best effort.
///
/// What calls it calls the primitive through a function that is not inlined: a frame that is still in use isn't reached.
pub(crate) fn wipe_stack() {
    // AES with 512-bit vectors leaves round keys 12 KiB down. Debug builds keep every temporary, so their frames are larger.
    if cfg!(debug_assertions) { zeroize::zeroize_stack::<65_536>() } else { zeroize::zeroize_stack::<16_384>() }
}

/// [`wipe_stack`] after a hash or HMAC alone, whose frames are small.
pub(crate) fn wipe_stack_of_hash() {
    if cfg!(debug_assertions) { zeroize::zeroize_stack::<16_384>() } else { zeroize::zeroize_stack::<2_048>() }
}
