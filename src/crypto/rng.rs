//! Random bytes, from the operating system alone: a generator kept in the process would give parent and child the same
//! bytes after a `fork`.

use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::error::{Error, Result};

/// Fills `out` with random bytes.
pub(crate) fn fill(out: &mut [u8]) -> Result<()> {
    SysRng.try_fill_bytes(out).map_err(|_| Error::Entropy)
}

/// A random nonce: the one thing that seals and wraps draw.
pub(crate) fn nonce() -> Result<[u8; 24]> {
    let mut nonce = [0; 24];
    fill(&mut nonce)?;
    Ok(nonce)
}
