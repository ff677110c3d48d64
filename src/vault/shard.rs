//! [`Shard`]: one process's share of a table's rows, or of a key store's slots. Imports `error`.

use std::fmt;

use crate::error::{Error, Result};

/// One of several shares of a table's rows, or of a key store's slots, so that as many processes can go through them side by
/// side. Which share one is in depends on its key alone: shares never overlap and leave nothing out, whatever is inserted
/// meanwhile. Every process reads all of them, and works on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// All of them.
    pub const ALL: Self = Self { index: 0, count: 1 };

    /// The share with this index, from 0, of `count`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such share.
    pub fn new(index: u32, count: u32) -> Result<Self> {
        if index >= count {
            return Err(Error::invalid("shards are numbered from 0 to one less than there are"));
        }
        Ok(Self { index, count })
    }

    /// Which one it is, from 0.
    pub(crate) fn index(self) -> u32 {
        self.index
    }

    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// Whether what has this key is in it: a slot by [`SlotId::to_bytes`](crate::store::SlotId::to_bytes), a row by
    /// [`RowKey::to_bytes`](crate::rows::RowKey::to_bytes). To count a share before it is worked on.
    #[must_use]
    pub fn has(self, key: &[u8]) -> bool {
        self.count == 1 || hash(key) % u64::from(self.count) == u64::from(self.index)
    }
}

/// As it is counted, from 1: `2/3`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

/// FNV-1a, and its halves mixed so that the low bits depend on all: the same in every process and version.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_in_one_shard_and_shards_are_about_as_large() {
        let keys: Vec<_> = (1..=10_000u64).map(u64::to_be_bytes).collect();
        for count in [1, 2, 3, 4, 7] {
            let shards: Vec<_> = (0..count).map(|index| Shard::new(index, count).unwrap()).collect();
            assert!(keys.iter().all(|key| shards.iter().filter(|shard| shard.has(key)).count() == 1));
            for shard in shards {
                let share = keys.iter().filter(|key| shard.has(*key)).count();
                assert!(share.abs_diff(10_000 / count as usize) < 500, "{shard:?} has {share}");
            }
        }
        assert!(Shard::new(2, 2).is_err() && Shard::new(0, 0).is_err());
    }

    #[test]
    fn which_shard_a_key_is_in_never_changes() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325 ^ 0xcbf2_9ce4);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c, "FNV-1a's published value");
    }
}
