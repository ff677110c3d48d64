//! The bytes of a journal file: `docs/format.md`, section 13. Writes nothing; reads from whatever reads.
//!
//! What is read is canonical: written again, it is the same bytes.

use std::io::{self, ErrorKind, Read};

use crate::crypto::mac;
use crate::journal::{Head, JournalEntry, JournalId};

/// Why bytes are no journal file of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Something else.
    Foreign,
    /// Of a later version.
    Newer,
    /// A journal file once.
    Damaged(Damage),
}

/// What is damaged, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The offset of the frame, or of what else it is, in the file.
    pub(super) at: u64,
    pub(super) what: &'static str,
}

/// The header of the journal with this id.
pub(super) fn header(id: &JournalId) -> [u8; HEADER_LEN] {
    let mut out = [0; HEADER_LEN];
    let check = mac::sha256(&[FIRST_LINE, id.as_bytes()]);
    let parts = FIRST_LINE.iter().chain(id.as_bytes()).chain(&check);
    out.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    out
}

/// The id in a header: the first [`HEADER_LEN`] bytes of a file, or all that it has.
pub(super) fn read_header(bytes: &[u8]) -> Result<JournalId, Unreadable> {
    let damaged = |at: usize, what| Err(Unreadable::Damaged(Damage { at: at as u64, what }));
    let Some(rest) = bytes.strip_prefix(FIRST_LINE) else {
        if FIRST_LINE.starts_with(bytes) {
            return damaged(bytes.len(), "it is empty or cut short");
        }
        let version = bytes.strip_prefix(MAGIC).ok_or(Unreadable::Foreign)?;
        let digits = version.iter().take_while(|b| b.is_ascii_digit()).count();
        return match version.split_at_checked(digits) {
            Some((number @ [b'1'..=b'9', ..], [b'\n', ..])) if number.len() <= 9 => Err(Unreadable::Newer),
            _ => damaged(MAGIC.len(), "the first line"),
        };
    };
    let Some((id, _)) = rest.split_first_chunk() else { return damaged(bytes.len(), "it is cut short") };
    let id = JournalId::from_bytes(*id);
    match bytes {
        _ if bytes == header(&id) => Ok(id),
        _ if bytes.len() < HEADER_LEN => damaged(bytes.len(), "it is cut short"),
        _ => damaged(FIRST_LINE.len(), "the id is not that of its check"),
    }
}

/// The frame of an entry, not committed yet: the first [`START_LEN`] bytes, and the rest.
pub(super) fn frame(entry: &JournalEntry, after: &Head) -> ([u8; START_LEN], Vec<u8>) {
    let mut rest = entry.to_bytes();
    let [a, b, c, d] = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_be_bytes();
    rest.extend_from_slice(after.hash());
    ([UNCOMMITTED, a, b, c, d], rest)
}

/// The frames from an offset on, read one after the other.
#[derive(Debug)]
pub(super) struct Frames<R> {
    source: R,
    at: u64,
    end: u64,
    head: Head,
}

/// What is at the end of the committed frames that were read so far.
#[derive(Debug)]
pub(super) enum Found {
    Entry(Committed),
    End(Tail),
}

/// One more committed entry.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) entry: JournalEntry,
    /// Where its frame begins.
    pub(super) at: u64,
    /// Where it ends.
    pub(super) end: u64,
    pub(super) head: Head,
}

/// What follows the last committed frame.
#[derive(Debug)]
pub(super) enum Tail {
    Nothing,
    /// What a crash left of an append, or an append under way.
    Torn,
    /// All of an append but its commit.
    Uncommitted(JournalEntry),
}

/// Why there is no telling.
#[derive(Debug)]
pub(super) enum Trouble {
    Damaged(Damage),
    Io(io::Error),
}

impl<R: Read> Frames<R> {
    /// The frames of a file of `end` bytes from the offset `at` on, where its head is `head`.
    pub(super) fn new(source: R, at: u64, end: u64, head: Head) -> Self {
        Self { source, at, end, head }
    }

    /// The next one. After an end there is none.
    pub(super) fn next(&mut self) -> Result<Found, Trouble> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(Found::End(Tail::Nothing));
        }
        let [mark] = self.array()?;
        let committed = match mark {
            COMMITTED => true,
            UNCOMMITTED => false,
            _ => return self.damaged("a frame begins with neither 0 nor 1"),
        };
        // What may be unfinished where nothing says that it was finished.
        let unfinished = |frames: &Self, what| match committed {
            true => frames.damaged(what),
            false => Ok(Found::End(Tail::Torn)),
        };
        if left < START_LEN as u64 || (!committed && left == START_LEN as u64) {
            return unfinished(self, "a committed frame is cut short");
        }
        let len = u32::from_be_bytes(self.array()?);
        let Some(len) = usize::try_from(len).ok().filter(|len| (1..=JournalEntry::MAX_LEN).contains(len)) else {
            return self.damaged("the length of an entry");
        };
        let whole = (START_LEN + len + HASH_LEN) as u64;
        if left < whole {
            return unfinished(self, "a committed frame is cut short");
        }
        if left > whole && !committed {
            return self.damaged("an entry that was not committed is followed by more");
        }
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        let hash: [u8; HASH_LEN] = self.array()?;
        let Ok(entry) = JournalEntry::from_bytes(&bytes) else {
            return unfinished(self, "an entry");
        };
        let head = self.head.advanced_by(&entry);
        if *head.hash() != hash {
            return unfinished(self, "the hash of the chain");
        }
        if !committed {
            return Ok(Found::End(Tail::Uncommitted(entry)));
        }
        let at = self.at;
        (self.at, self.head) = (at + whole, head);
        Ok(Found::Entry(Committed { entry, at, end: self.at, head }))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Trouble> {
        self.source.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => Trouble::Damaged(Damage { at: self.at, what: "it ends earlier than it did" }),
            _ => Trouble::Io(e),
        })
    }

    fn damaged(&self, what: &'static str) -> Result<Found, Trouble> {
        Err(Trouble::Damaged(Damage { at: self.at, what }))
    }
}

/// For the fuzzer: no bytes panic, and what is read is what is written.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_for_fuzz(bytes: &[u8]) {
    let (head, rest) = bytes.split_at(bytes.len().min(HEADER_LEN));
    let Ok(id) = read_header(head) else { return };
    let mut written = header(&id).to_vec();
    let mut frames = Frames::new(rest, written.len() as u64, bytes.len() as u64, Head::EMPTY);
    let mut head = Head::EMPTY;
    loop {
        let (mark, entry) = match frames.next() {
            Ok(Found::Entry(Committed { entry, at, .. })) => {
                assert_eq!(at, written.len() as u64, "frames follow each other");
                (COMMITTED, entry)
            }
            Ok(Found::End(Tail::Uncommitted(entry))) => (UNCOMMITTED, entry),
            Ok(Found::End(Tail::Nothing)) => return assert_eq!(written, bytes, "only the canonical form is read"),
            Ok(Found::End(Tail::Torn)) => return assert!(bytes.starts_with(&written)),
            Err(Trouble::Damaged(Damage { at, .. })) => return assert_eq!(at, written.len() as u64),
            Err(Trouble::Io(e)) => panic!("no bytes fail to be read: {e}"),
        };
        head = head.advanced_by(&entry);
        let ([_, length @ ..], rest) = frame(&entry, &head);
        written.push(mark);
        written.extend(length);
        written.extend(rest);
        if mark == UNCOMMITTED {
            return assert_eq!(written, bytes, "only the canonical form is read");
        }
    }
}

/// The length of the header.
pub(super) const HEADER_LEN: usize = FIRST_LINE.len() + JournalId::LEN + HASH_LEN;
/// The length of the part of a frame that is stored before the rest: mark and length.
pub(super) const START_LEN: usize = 5;
pub(super) const HASH_LEN: usize = 32;
pub(super) const COMMITTED: u8 = 1;
const UNCOMMITTED: u8 = 0;

const MAGIC: &[u8] = b"fieldseal journal ";
const FIRST_LINE: &[u8] = b"fieldseal journal 1\n";

#[cfg(test)]
mod tests;
