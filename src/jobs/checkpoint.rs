//! [`Checkpoint`]: where a job goes on after a crash.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::tally::Tally;
use crate::error::{Error, Result};
use crate::rows::RowKey;
use crate::vault::Shard;

/// As far as a job has come: every row up to its cursor was gone through. Displays as a few lines of text, which
/// [`FromStr`] reads; keep them where the job can find them after a crash, replaced as a whole.
///
/// # Security
/// The cursor is a row's key, which may be a person's id: keep it as you keep those.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub(super) job: String,
    /// Of the map that the job works by.
    pub(super) map: String,
    pub(super) shard: Shard,
    pub(super) cursor: Cursor,
    pub(super) tally: Tally,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    Start,
    After(RowKey),
    End,
}

impl Checkpoint {
    pub(super) fn start(job: &str, map: String, shard: Shard) -> Self {
        Self { job: job.to_owned(), map, shard, cursor: Cursor::Start, tally: Tally::default() }
    }

    /// What the job came to so far. Rows that a crash had it go through twice are counted once; cells that it changed before the
    /// crash and after the last checkpoint are counted as what they are now.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whether every row was gone through.
    pub fn is_done(&self) -> bool {
        self.cursor == Cursor::End
    }

    /// Refuses a checkpoint of other work.
    pub(super) fn check_is_of(&self, job: &str, map: &str, shard: Shard) -> Result<()> {
        let differs = if self.job != job {
            "is of another job"
        } else if self.map != map {
            "is of another table, or of this one mapped otherwise"
        } else if self.shard != shard {
            "is of another shard of the table"
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the checkpoint {differs}: begin without it, from the start")))
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "job {}", self.job)?;
        writeln!(f, "map {}", self.map)?;
        writeln!(f, "part {}/{}", self.shard.index(), self.shard.count())?;
        for (name, number) in self.tally.numbers() {
            writeln!(f, "{name} {number}")?;
        }
        match &self.cursor {
            Cursor::Start => writeln!(f, "start"),
            Cursor::After(key) => writeln!(f, "after {}", Base64UrlUnpadded::encode_string(&key.to_bytes())),
            Cursor::End => writeln!(f, "end"),
        }
    }
}

/// Reads what a [`Checkpoint`] displays as, and nothing else.
impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || -> Option<Self> {
            let mut lines = text.strip_prefix(HEADER)?.strip_prefix('\n')?.lines();
            let job = lines.next()?.strip_prefix("job ")?.to_owned();
            let map = lines.next()?.strip_prefix("map ")?.to_owned();
            let (index, of) = lines.next()?.strip_prefix("part ")?.split_once('/')?;
            let shard = Shard::new(index.parse().ok()?, of.parse().ok()?).ok()?;
            let mut tally = Tally::default();
            for _ in tally.numbers() {
                let (name, number) = lines.next()?.split_once(' ')?;
                if !tally.set(name, number.parse().ok()?) {
                    return None;
                }
            }
            let cursor = match lines.next()? {
                "start" => Cursor::Start,
                "end" => Cursor::End,
                after => {
                    let bytes = Base64UrlUnpadded::decode_vec(after.strip_prefix("after ")?).ok()?;
                    Cursor::After(RowKey::from_bytes(&bytes)?)
                }
            };
            Some(Self { job, map, shard, cursor, tally })
        };
        // Whatever is written otherwise doesn't display as itself: half a file, an edited one.
        read().filter(|checkpoint| checkpoint.to_string() == text).ok_or_else(|| {
            Error::invalid("this is no checkpoint, or not a whole one: begin without it, from the start")
        })
    }
}

/// Without the cursor.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoint").field("job", &self.job).field("tally", &self.tally).finish_non_exhaustive()
    }
}

const HEADER: &str = "fieldseal checkpoint 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Cell;

    fn checkpoint() -> Checkpoint {
        let mut checkpoint = Checkpoint::start("reseal", "0123456789abcdef".into(), Shard::new(1, 4).unwrap());
        checkpoint.cursor = Cursor::After(RowKey::new(vec![Cell::Integer(17), Cell::text("ada")]));
        checkpoint.tally.rows = 500;
        checkpoint
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        for cursor in [Cursor::Start, checkpoint().cursor, Cursor::End] {
            let checkpoint = Checkpoint { cursor, ..checkpoint() };
            assert_eq!(checkpoint.to_string().parse::<Checkpoint>().unwrap(), checkpoint);
        }
    }

    #[test]
    fn half_a_checkpoint_is_none_and_neither_is_an_edited_one() {
        let text = checkpoint().to_string();
        for end in 0..text.len() {
            assert!(text[..end].parse::<Checkpoint>().is_err(), "the first {end} bytes");
        }
        for (from, to) in
            [("part 1/4", "part 4/4"), ("rows 500", "rows -1"), ("rows 500", "rows 0500"), ("after ", "after  ")]
        {
            assert!(text.replace(from, to).parse::<Checkpoint>().is_err(), "{to:?}");
        }
        assert!(format!("{text}\n").parse::<Checkpoint>().is_err());
    }

    #[test]
    fn a_checkpoint_of_other_work_is_refused() {
        let checkpoint = checkpoint();
        let shard = checkpoint.shard;
        assert!(checkpoint.check_is_of("reseal", "0123456789abcdef", shard).is_ok());
        assert!(checkpoint.check_is_of("census", "0123456789abcdef", shard).is_err());
        assert!(checkpoint.check_is_of("reseal", "0123456789abcdee", shard).is_err());
        assert!(checkpoint.check_is_of("reseal", "0123456789abcdef", Shard::ALL).is_err());
    }
}
