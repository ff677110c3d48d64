//! [`JobOptions`]: how a job goes through a table; [`Part`]: which rows of it are this process's.

use super::Checkpoint;
use crate::error::{Error, Result};
use crate::rows::{Page, RowKey};

/// How a job goes through a table.
#[derive(Clone, Debug)]
#[must_use]
pub struct JobOptions {
    pub(super) batch: usize,
    pub(super) workers: usize,
    pub(super) part: Part,
    pub(super) from: Option<Checkpoint>,
}

impl JobOptions {
    /// Pages of 500 rows, two of them worked on at once, from the start, all rows.
    pub fn new() -> Self {
        Self { batch: 500, workers: 2, part: Part::ALL, from: None }
    }

    /// So many rows a page: 1 to 10 000. What a page changes is written in one transaction, so this is also how long the
    /// application waits at most for rows, or on SQLite for the database.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.clamp(1, Page::MAX_LIMIT);
        self
    }

    /// So many pages are worked on at once: 1 to 64. They share one task; each waits for the database by itself.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.clamp(1, 64);
        self
    }

    /// This process's share of the rows.
    pub fn part(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// Goes on where a job stopped: with the last checkpoint that was kept of it.
    pub fn from(mut self, checkpoint: Checkpoint) -> Self {
        self.from = Some(checkpoint);
        self
    }
}

impl Default for JobOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// One of several shares of a table's rows, so that as many processes can go through it side by side. Which share a row is
/// in depends on its key alone: shares never overlap and leave nothing out, whatever is inserted meanwhile. Every process
/// reads all rows, and works on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub(super) index: u32,
    pub(super) of: u32,
}

impl Part {
    /// All rows.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// The share with this number, from 0, of so many.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is no such share.
    pub fn new(index: u32, of: u32) -> Result<Self> {
        if index >= of {
            return Err(Error::invalid("the parts of a table are numbered from 0 to one less than there are"));
        }
        Ok(Self { index, of })
    }

    pub(super) fn has(self, key: &RowKey) -> bool {
        self.of == 1 || hash(&key.to_bytes()) % u64::from(self.of) == u64::from(self.index)
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
    use crate::rows::Cell;

    #[test]
    fn each_row_is_in_one_part_and_parts_are_about_as_large() {
        let keys: Vec<_> = (1..=10_000).map(|n| RowKey::new(vec![Cell::Integer(n)])).collect();
        for of in [1, 2, 3, 4, 7] {
            let parts: Vec<_> = (0..of).map(|index| Part::new(index, of).unwrap()).collect();
            assert!(keys.iter().all(|key| parts.iter().filter(|part| part.has(key)).count() == 1));
            for part in parts {
                let share = keys.iter().filter(|key| part.has(key)).count();
                assert!(share.abs_diff(10_000 / of as usize) < 500, "{part:?} has {share}");
            }
        }
        assert!(Part::new(2, 2).is_err() && Part::new(0, 0).is_err());
    }

    #[test]
    fn which_part_a_row_is_in_never_changes() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325 ^ 0xcbf2_9ce4);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c, "FNV-1a's published value");
    }
}
