//! The journal file, read and appended to. Blocking: runs on a thread of its own.
//!
//! Nothing here trusts that nobody else appends: every call first reads what is new. The file is written under the lock
//! on `<file>.lock` alone, in the three steps of `docs/format.md`, section 13.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::{
    self, COMMITTED, Committed, Damage, Found, Frames, HASH_LEN, HEADER_LEN, START_LEN, Tail, Trouble, Unreadable,
};
use super::index::Index;
use crate::disk::{DiskError, FilePaths, Lock, Words};
use crate::error::{JournalError, JournalErrorKind};
use crate::id::TenantId;
use crate::journal::{EntryAt, Head, JournalEntry, JournalId};
use crate::keys::Tag;

/// A journal file that is open.
#[derive(Debug)]
pub(super) struct Log {
    paths: FilePaths,
    id: JournalId,
    identity: Identity,
    /// Held while the lock is: the handles of one process wait here, and not by asking the system again and again.
    turn: Mutex<()>,
    held: Mutex<Held>,
}

/// The file, whose cursor is its holder's, and what is known of it.
#[derive(Debug)]
struct Held {
    file: File,
    index: Index,
}

/// Tells a file from another one of the same name: device and inode, where there are such.
type Identity = Option<(u64, u64)>;

/// Why a look at the file ended early.
enum Stopped {
    /// Without the lock this may be an append under way.
    Damaged(Damage),
    Failed(JournalError),
}

impl Log {
    /// Opens the file, or makes it; reads it all.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let paths = FilePaths::of_any(path, &JOURNAL)?;
        if paths.is_free()? {
            let lock = paths.lock()?;
            // Another process may have been first.
            if paths.is_free()? {
                let id = JournalId::generate().map_err(JournalError::unavailable)?;
                paths.create(&format::header(&id), &lock)?;
            }
        }
        let (file, metadata) = paths.open(OpenOptions::new().read(true).write(true))?;
        // An entry must not be told of whose file a crash can take away.
        paths.confirm(&file)?;
        let mut header = Vec::new();
        (&file).take(HEADER_LEN as u64).read_to_end(&mut header).map_err(|e| paths.failed("read", e))?;
        let id = format::read_header(&header).map_err(|e| unreadable(e, &paths))?;
        let held = Mutex::new(Held { file, index: Index::new() });
        let log = Self { paths, id, identity: identity(&metadata), turn: Mutex::new(()), held };
        log.roll_forward()?;
        Ok(log)
    }

    pub(super) fn path(&self) -> &Path {
        self.paths.file()
    }

    pub(super) fn id(&self) -> Result<JournalId, JournalError> {
        drop(self.read_new()?);
        Ok(self.id)
    }

    pub(super) fn head(&self) -> Result<Head, JournalError> {
        Ok(self.read_new()?.0.index.head())
    }

    pub(super) fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        let _turn = self.turn();
        let lock = self.paths.lock()?;
        let mut held = self.held();
        let tail = self.look_locked(&mut held, &lock)?;
        self.settle(&mut held, tail, &lock)?;
        if held.index.head() != *expected {
            return Err(JournalError::conflict());
        }
        if let Err(e) = self.announce(&held, entry, &lock) {
            // Nobody was told of it, so it need not stay; if it can't be cut now, the next append does it.
            let _ = cut(&held);
            return Err(self.paths.failed("append to", e).into());
        }
        self.commit(&mut held, entry, &lock)
    }

    pub(super) fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let (mut held, _) = self.read_new()?;
        let mut entries = Vec::new();
        self.reread(&mut held, from, u64::try_from(limit).unwrap_or(u64::MAX), |at| entries.push(at.entry))?;
        Ok(entries)
    }

    pub(super) fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        let (mut held, _) = self.read_new()?;
        let mut entries = Vec::new();
        for position in held.index.of(tenant, tag, up_to.position()) {
            self.reread(&mut held, position.saturating_sub(1), 1, |at| entries.push(at))?;
        }
        Ok(entries)
    }

    /// Commits what a crashed append left whole: a process that went down with the machine may have seen it committed.
    fn roll_forward(&self) -> Result<(), JournalError> {
        let (held, tail) = self.read_new()?;
        if !matches!(tail, Tail::Uncommitted(_)) {
            return Ok(());
        }
        drop(held);
        let _turn = self.turn();
        let lock = self.paths.lock()?;
        let mut held = self.held();
        match self.look_locked(&mut held, &lock)? {
            tail @ Tail::Uncommitted(_) => self.settle(&mut held, tail, &lock),
            Tail::Nothing | Tail::Torn => Ok(()),
        }
    }

    /// Reads what is new. What looks damaged is looked at again under the lock.
    fn read_new(&self) -> Result<(MutexGuard<'_, Held>, Tail), JournalError> {
        let mut held = self.held();
        match self.catch_up(&mut held) {
            Ok(tail) => return Ok((held, tail)),
            Err(Stopped::Failed(e)) => return Err(e),
            Err(Stopped::Damaged(_)) => drop(held),
        }
        let _turn = self.turn();
        let lock = self.paths.lock()?;
        let mut held = self.held();
        let tail = self.look_locked(&mut held, &lock)?;
        Ok((held, tail))
    }

    fn look_locked(&self, held: &mut Held, _: &Lock) -> Result<Tail, JournalError> {
        self.catch_up(held).map_err(|e| match e {
            Stopped::Damaged(damage) => damaged(damage, &self.paths),
            Stopped::Failed(e) => e,
        })
    }

    /// Reads from the last known frame to the end of the file.
    fn catch_up(&self, Held { file, index }: &mut Held) -> Result<Tail, Stopped> {
        let metadata = self.paths.metadata()?;
        let end = metadata.len();
        if identity(&metadata) != self.identity {
            return Err(self.replaced("another file is in its place"));
        }
        if end < index.end() {
            return Err(self.replaced(&format!("it ends at byte {end}, where it held {} before", index.end())));
        }
        // The same inode may hold another journal: its id is in the header, its entries are in the last hash.
        let header: [u8; HEADER_LEN] = self.array(&mut self.reader(file, 0, HEADER_LEN as u64)?)?;
        if header != format::header(&self.id) {
            return Err(self.replaced("the header at byte 0 is another one"));
        }
        let start = index.end();
        let mut source = self.reader(file, start - HASH_LEN as u64, end)?;
        let hash: [u8; HASH_LEN] = self.array(&mut source)?;
        if index.last().is_some() && hash != *index.head().hash() {
            return Err(self.replaced(&format!("what ends at byte {start} is not what stood there before")));
        }
        let mut frames = Frames::new(source, start, end, index.head());
        loop {
            match frames.next() {
                Ok(Found::Entry(committed)) => index.push(&committed),
                Ok(Found::End(tail)) => return Ok(tail),
                Err(Trouble::Damaged(damage)) => return Err(Stopped::Damaged(damage)),
                Err(Trouble::Io(e)) => return Err(self.paths.failed("read", e).into()),
            }
        }
    }

    /// Reads the entries behind position `from` again, whose chain was checked when they were first read, and checks it again.
    fn reread(
        &self,
        Held { file, index }: &mut Held,
        from: u64,
        count: u64,
        mut take: impl FnMut(EntryAt),
    ) -> Result<(), JournalError> {
        let Some((start, end)) = index.span(from, count) else { return Ok(()) };
        let mut source = self.reader(file, start - HASH_LEN as u64, end)?;
        let hash = self.array(&mut source)?;
        let mut before = if from == 0 { Head::EMPTY } else { Head::from_parts(from, hash) };
        let mut frames = Frames::new(source, start, end, before);
        let mut at = start;
        loop {
            let damage = match frames.next() {
                Ok(Found::Entry(Committed { entry, end, head, .. })) => {
                    take(EntryAt::new(before, entry));
                    (at, before) = (end, head);
                    continue;
                }
                Ok(Found::End(Tail::Nothing)) => return Ok(()),
                Ok(Found::End(_)) => Damage { at, what: "a committed frame" },
                Err(Trouble::Damaged(damage)) => damage,
                Err(Trouble::Io(e)) => return Err(self.paths.failed("read", e).into()),
            };
            return Err(damaged(damage, &self.paths));
        }
    }

    /// Ends what another append left unfinished.
    fn settle(&self, held: &mut Held, tail: Tail, lock: &Lock) -> Result<(), JournalError> {
        match tail {
            Tail::Nothing => Ok(()),
            Tail::Torn => cut(held).map_err(|e| self.paths.failed("cut an unfinished entry off", e).into()),
            Tail::Uncommitted(entry) => {
                // Written again: that it can be read doesn't say that it is stored.
                self.announce(held, &entry, lock).map_err(|e| self.paths.failed("finish an entry of", e))?;
                self.commit(held, &entry, lock).map(drop)
            }
        }
    }

    /// Steps 1 and 2 of an append: everything but the commit.
    fn announce(&self, Held { file, index }: &Held, entry: &JournalEntry, _: &Lock) -> io::Result<()> {
        let (start, rest) = format::frame(entry, &index.head().advanced_by(entry));
        // If the commit of the last entry was written and not synced, the system may have forgotten that it must be stored.
        if let Some(last) = index.last() {
            write_at(file, last, &[COMMITTED])?;
        }
        write_at(file, index.end(), &start)?;
        file.sync_data()?;
        write_at(file, index.end() + START_LEN as u64, &rest)?;
        file.sync_data()
    }

    /// Step 3.
    fn commit(&self, Held { file, index }: &mut Held, entry: &JournalEntry, _: &Lock) -> Result<Head, JournalError> {
        let at = index.end();
        write_at(file, at, &[COMMITTED]).and_then(|()| file.sync_data()).map_err(|e| {
            // It may be found committed, also by the calls of this process, which read it like another's.
            JournalError::from(self.paths.failed("commit an entry to", e))
        })?;
        let head = index.head().advanced_by(entry);
        let len = (START_LEN + entry.to_bytes().len() + HASH_LEN) as u64;
        index.push(&Committed { entry: entry.clone(), at, end: at + len, head });
        Ok(head)
    }

    fn reader<'a>(&self, mut file: &'a File, at: u64, end: u64) -> Result<BufReader<&'a File>, JournalError> {
        file.seek(SeekFrom::Start(at)).map_err(|e| self.paths.failed("read", e))?;
        let wanted = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        Ok(BufReader::with_capacity(wanted.clamp(HASH_LEN, BUFFER_LEN), file))
    }

    fn array<const N: usize>(&self, source: &mut BufReader<&File>) -> Result<[u8; N], JournalError> {
        let mut bytes = [0; N];
        source.read_exact(&mut bytes).map_err(|e| self.paths.failed("read", e))?;
        Ok(bytes)
    }

    fn replaced(&self, what: &str) -> Stopped {
        Stopped::Failed(JournalError::corrupt(format!(
            "the journal {:?} is not the file that was opened ({what}). Nothing was changed: put back the one that has \
             every entry",
            self.paths.file()
        )))
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // An entry is taken in by steps that can't panic, so a poisoned lock guards a sound state.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<DiskError> for Stopped {
    fn from(e: DiskError) -> Self {
        Self::Failed(e.into())
    }
}

impl From<JournalError> for Stopped {
    fn from(e: JournalError) -> Self {
        Self::Failed(e)
    }
}

/// Cuts what is torn to its start, which the next append overwrites. Synced, so that what that writes is never followed by
/// what was here.
///
/// The start stays because a file system may store that the rest of a block is zeroed before it stores that the file is
/// shorter: with a start of zeros, too, that would be damage.
fn cut(Held { file, index }: &Held) -> io::Result<()> {
    let start = index.end() + START_LEN as u64;
    if file.metadata()?.len() > start {
        file.set_len(start)?;
    }
    file.sync_data()
}

fn write_at(mut file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    None
}

fn unreadable(e: Unreadable, paths: &FilePaths) -> JournalError {
    let path = paths.file();
    match e {
        Unreadable::Foreign => {
            JournalError::misconfigured(format!("{path:?} is not a journal, from byte 0 on: check the path"))
        }
        Unreadable::Newer => JournalError::newer_schema(format!("{path:?}: upgrade this program")),
        Unreadable::Damaged(damage) => damaged(damage, paths),
    }
}

fn damaged(Damage { at, what }: Damage, paths: &FilePaths) -> JournalError {
    JournalError::new(JournalErrorKind::Corrupt).with_hint(format!(
        "the journal {:?} was edited or is damaged at byte {at} ({what}). Nothing was changed: put back a copy that has \
         every entry",
        paths.file()
    ))
}

/// In the errors.
const JOURNAL: Words = Words {
    name: "journal",
    missing: "check the path and its directory; a journal that was moved, or that a link led to, must be put back",
    taken: "open it",
    exposed: "consider the tags and tenants in it known to whoever could read it",
};
/// For reading the whole file.
const BUFFER_LEN: usize = 64 * 1024;
