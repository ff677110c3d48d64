//! Argon2id (RFC 9106): a key from a passphrase.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use zeroize::{Zeroize as _, Zeroizing};

/// What Argon2id costs: memory in KiB, passes, lanes. The caller has bounded them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) memory_kib: u32,
    pub(crate) passes: u32,
    pub(crate) lanes: u32,
}

/// The memory could not be had, or the parameters are outside of what Argon2 defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// `Argon2id(passphrase, salt, m, t, p, 32 bytes)`, version 0x13, without secret and associated data.
pub(crate) fn argon2id(passphrase: &[u8], salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; 32]>, Refused> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| Refused)?;
    // Our own memory: the crate wipes neither its blocks nor survives a refused allocation.
    let mut memory = Blocks::new(params.block_count())?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(passphrase, salt, key.as_mut_slice(), &mut memory.0)
        .map_err(|_| Refused)?;
    Ok(key)
}

struct Blocks(Vec<Block>);

impl Blocks {
    fn new(count: usize) -> Result<Self, Refused> {
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(count).map_err(|_| Refused)?;
        blocks.resize(count, Block::new());
        Ok(Self(blocks))
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|block| block.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference implementation's own test (`phc-winner-argon2`, `src/test.c`): version 0x13, t = 2, m = 2^16, p = 1.
    #[test]
    fn it_agrees_with_the_reference_implementation() {
        let cost = Cost { memory_kib: 65536, passes: 2, lanes: 1 };
        let key = argon2id(b"password", b"somesalt", cost).unwrap();
        let hex: String = key.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7");
    }

    #[test]
    fn parameters_that_argon2_does_not_define_are_refused() {
        assert_eq!(argon2id(b"p", b"somesalt", Cost { memory_kib: 8, passes: 1, lanes: 2 }).err(), Some(Refused));
        assert_eq!(argon2id(b"p", b"somesalt", Cost { memory_kib: 8, passes: 0, lanes: 1 }).err(), Some(Refused));
    }
}
