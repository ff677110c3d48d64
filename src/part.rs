//! [`Part`]: which of many are this process's. Imports `error`.

use std::fmt;

use crate::error::{Error, Result};

/// One of several shares of a table's rows, or of a key store's slots, so that as many processes can go through them side by
/// side. Which share one is in depends on its key alone: shares never overlap and leave nothing out, whatever is inserted
/// meanwhile. Every process reads all of them, and works on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

impl Part {
    /// All of them.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// The share with this number, from 0, of so many.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such share.
    pub fn new(index: u32, of: u32) -> Result<Self> {
        if index >= of {
            return Err(Error::invalid("parts are numbered from 0 to one less than there are"));
        }
        Ok(Self { index, of })
    }

    /// Whether what has this key is in it: a slot by [`SlotId::to_bytes`](crate::store::SlotId::to_bytes), a row by
    /// [`RowKey::to_bytes`](crate::rows::RowKey::to_bytes). To count a share before it is worked on.
    #[must_use]
    pub fn has(self, key: &[u8]) -> bool {
        self.of == 1 || hash(key) % u64::from(self.of) == u64::from(self.index)
    }
}

/// As it is counted, from 1: `2/3`.
impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
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
    fn each_key_is_in_one_part_and_parts_are_about_as_large() {
        let keys: Vec<_> = (1..=10_000u64).map(u64::to_be_bytes).collect();
        for of in [1, 2, 3, 4, 7] {
            let parts: Vec<_> = (0..of).map(|index| Part::new(index, of).unwrap()).collect();
            assert!(keys.iter().all(|key| parts.iter().filter(|part| part.has(key)).count() == 1));
            for part in parts {
                let share = keys.iter().filter(|key| part.has(*key)).count();
                assert!(share.abs_diff(10_000 / of as usize) < 500, "{part:?} has {share}");
            }
        }
        assert!(Part::new(2, 2).is_err() && Part::new(0, 0).is_err());
    }

    #[test]
    fn which_part_a_key_is_in_never_changes() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325 ^ 0xcbf2_9ce4);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c, "FNV-1a's published value");
    }
}
