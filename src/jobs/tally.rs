//! [`Tally`]: what a job came to, in numbers; [`Trouble`]: what somebody has to look at.

use std::fmt;
use std::ops::AddAssign;

use crate::error::Error;
use crate::rows::RowKey;

/// What a job came to, in numbers. But for the rows, they are cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Rows that were gone through.
    pub rows: u64,
    /// Rows of which something was changed.
    pub rows_changed: u64,
    /// Cells that were changed.
    pub changed: u64,
    /// Cells that are as they are to be.
    pub current: u64,
    /// Cells that hold nothing.
    pub empty: u64,
    /// Cells whose keys were destroyed by an erasure, or are to be by one that is due or scheduled: they stay as they are.
    pub erased: u64,
    /// Cells that name a key which nobody has: keys that a restore of the key store lost.
    pub not_held: u64,
    /// Sealed cells of rows whose subject column is NULL: nobody knows under whose keys, and they stay as they are.
    pub of_nobody: u64,
    /// Cells that could not be dealt with.
    pub failed: u64,
}

impl Tally {
    /// Each number with its name.
    pub fn numbers(&self) -> [(&'static str, u64); 9] {
        let Self { rows, rows_changed, changed, current, empty, erased, not_held, of_nobody, failed } = *self;
        [
            ("rows", rows),
            ("rows_changed", rows_changed),
            ("changed", changed),
            ("current", current),
            ("empty", empty),
            ("erased", erased),
            ("not_held", not_held),
            ("of_nobody", of_nobody),
            ("failed", failed),
        ]
    }

    pub(super) fn set(&mut self, name: &str, number: u64) -> bool {
        let place = match name {
            "rows" => &mut self.rows,
            "rows_changed" => &mut self.rows_changed,
            "changed" => &mut self.changed,
            "current" => &mut self.current,
            "empty" => &mut self.empty,
            "erased" => &mut self.erased,
            "not_held" => &mut self.not_held,
            "of_nobody" => &mut self.of_nobody,
            "failed" => &mut self.failed,
            _ => return false,
        };
        *place = number;
        true
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        let sum = |(name, number)| (name, number);
        for ((name, number), (_, more)) in self.numbers().map(sum).into_iter().zip(other.numbers()) {
            self.set(name, number.saturating_add(more));
        }
    }
}

/// A cell, or a row, that somebody has to look at. It was left as it was.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trouble {
    /// The row. It may be a person's id: think before you log it.
    pub key: RowKey,
    /// The column; none if it is the row as a whole.
    pub column: Option<String>,
    /// What is wrong.
    pub kind: TroubleKind,
}

/// What is wrong with a cell or a row.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TroubleKind {
    /// It names a key that nobody has: a restore of the key store lost it, or the value was put here from elsewhere.
    NotHeld,
    /// Its plaintext is still there, and its subject, or the purpose, was erased: delete the plaintext.
    ErasedInClear,
    /// It is not sealed.
    InClear,
    /// The sealed value is another one than the plaintext beside it.
    Differs,
    /// Its row is nobody's, because the subject column is NULL: nobody knows whose keys to seal it under, or to open it with.
    OfNobody,
    /// The row can't be read, or no key names it: nothing of it was looked at.
    Unreadable,
    /// The application changed the row again and again: it comes with the next run.
    Contended,
    /// It does not open, or can't be sealed.
    Failed(Error),
}

impl fmt::Display for TroubleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeld => f.write_str("names a key that nobody has"),
            Self::ErasedInClear => {
                f.write_str("stands in the clear, though its subject or purpose was erased: delete it")
            }
            Self::InClear => f.write_str("is not sealed"),
            Self::Differs => f.write_str("is another value than the plaintext beside it"),
            Self::OfNobody => {
                f.write_str("is nobody's, because its subject column is NULL: give the row its subject, or delete it")
            }
            Self::Unreadable => f.write_str(
                "can't be read, or no key names it because a column of its key is NULL: mend the row, and run the job again",
            ),
            Self::Contended => f.write_str("was changed again and again by somebody else: run the job again"),
            Self::Failed(e) => write!(f, "{e}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_added_and_has_a_name() {
        let mut tally = Tally::default();
        for (at, (name, _)) in Tally::default().numbers().into_iter().enumerate() {
            assert!(tally.set(name, at as u64 + 1));
        }
        let mut twice = tally;
        twice += tally;
        assert_eq!(twice.numbers().map(|(_, n)| n), [2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert!(!tally.set("other", 1));
    }
}
