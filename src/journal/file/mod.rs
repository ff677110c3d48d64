//! [`FileJournal`]: the journal in a file. The file is that of `docs/format.md`, section 13.
//!
//! Imports what `journal` does. `format` is bytes, `index` is what is kept in memory, `log` is the file.

pub(crate) mod format;
mod index;
mod log;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use self::log::Log;
use super::{EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalId};
use crate::id::TenantId;
use crate::keys::Tag;
use crate::thread;

/// The erasure journal in a file of mode 0600, for the processes of one host. A clone is another handle on the same file.
///
/// ```no_run
/// use fieldseal::journal::FileJournal;
///
/// # async fn doc() -> Result<(), fieldseal::error::JournalError> {
/// let journal = FileJournal::open("/var/lib/shop/erasures.journal").await?;
/// # Ok(())
/// # }
/// ```
///
/// Any number of processes may have the file open and append to it: each call first reads what the others appended (one
/// `stat` and two short reads where there is nothing new), and an append holds an exclusive lock on `<file>.lock`, which
/// stays for good. All work on files runs on a thread of its own.
///
/// An append is synced three times: its length, then the rest, then one byte that commits it. A process or machine that
/// goes down meanwhile leaves an entry that is whole and is committed by the next append, or the next process that opens
/// the file; or a torn one, which the next append cuts and overwrites. Anything else that doesn't belong into the file is
/// damage, which is reported with its offset, and never repaired. Opening reads and verifies the whole file.
///
/// # Where to keep it
/// On a local disk of the one host whose processes use it. On a network file system locks may not be held against other
/// hosts, a `stat` may answer from a cache, and a sync may end before the server's disk has the bytes: each of them loses
/// entries. For several hosts use a journal in a database (`fieldseal-sqlx`, `fieldseal-aws`), or an [`ErasureJournal`] of
/// your own.
///
/// Away from the key store and from the key store's backups, because what is restored together can't notice that it was.
/// Have a backup of its own, as new as you can: an erasure that is not in the journal comes back with a restored key store.
///
/// # Size
/// An entry takes 90 bytes more than its event, tenant and tag: with short names 120 to 240 bytes. In memory it takes 16 to
/// 32 bytes, and each subject that the journal names about 50 to 100. Entries are never removed.
///
/// # What to do about an error
/// | kind | |
/// | --- | --- |
/// | `Conflict` | somebody else appended, or an unfinished append was found and finished: read the head again |
/// | `Unavailable` | the disk is full, failed, or the lock was held for half a minute. After an append read what the journal says: the entry may be there. The journal stays usable |
/// | `Corrupt` | the file is damaged at the byte that the error names, or was replaced while it was open: put back a copy that has every entry. The key store knows how many that are at least |
/// | `Denied` | run as the file's owner |
/// | `NewerSchema` | a later version made it: upgrade |
/// | `Misconfigured` | the path is wrong, something else is there, or others may use the file: the error says which |
///
/// # Security
/// The chain of hashes finds damage, not malice: whoever may write to the file can make another one, append to it, or cut it
/// at the end of an entry. What they append has no effect, because a vault authenticates what it enters and passes over what
/// nobody with the store's root entered. The key store's pins (its journal, the head that it has applied, the last entry that
/// each slot was written after) and processes that have the file open tell of what was cut. Whoever may read it learns
/// tenants' names, how many subjects were erased, and when.
#[derive(Clone)]
pub struct FileJournal(Arc<Log>);

impl FileJournal {
    /// Opens a journal, or makes an empty one where nothing has this name. A symbolic link is followed once, now.
    ///
    /// A journal that is lost is thereby not replaced unnoticed: a new one has another id, and the key store refuses it
    /// ([`Error::WrongJournal`](crate::Error::WrongJournal)).
    ///
    /// # Errors
    /// [`JournalError`] of kind `Misconfigured` if the directory is not there, the name is that of something else, a link
    /// leads nowhere, the file may be used by others than its owner, or lies on a read-only file system; `NewerSchema` if it
    /// is of a later version; `Corrupt` if it is damaged; `Denied` if the process may not read and write it; `Unavailable` if the system
    /// fails.
    ///
    /// # Cancel safety
    /// Once polled, the file is made also if the future is dropped.
    pub async fn open(path: impl Into<PathBuf> + Send) -> Result<Self, JournalError> {
        let path = path.into();
        let log = thread::run(move || Log::open(&path)).await.map_err(no_thread)??;
        Ok(Self(Arc::new(log)))
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let log = Arc::clone(&self.0);
        thread::run(move || work(&log)).await.map_err(no_thread)?
    }
}

#[async_trait]
impl ErasureJournal for FileJournal {
    async fn id(&self) -> Result<JournalId, JournalError> {
        self.on_thread(Log::id).await
    }

    async fn head(&self) -> Result<Head, JournalError> {
        self.on_thread(Log::head).await
    }

    /// Appends under the lock.
    ///
    /// # Errors
    /// Those of [`ErasureJournal::append`]; `Unavailable` also if the lock was held for half a minute. See [`FileJournal`]
    /// for what to do.
    ///
    /// # Cancel safety
    /// Once polled, the append runs to its end also if the future is dropped: [`head`](ErasureJournal::head) tells.
    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        entry.check_bounds()?;
        let (entry, expected) = (entry.clone(), *expected);
        self.on_thread(move |log| log.append(&entry, &expected)).await
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.on_thread(move |log| log.read(from, limit)).await
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        let (tenant, tag, up_to) = (tenant.cloned(), tag.copied(), *up_to);
        self.on_thread(move |log| log.read_of(tenant.as_ref(), tag.as_ref(), &up_to)).await
    }
}

impl fmt::Debug for FileJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileJournal").field("file", &self.0.path()).finish_non_exhaustive()
    }
}

fn no_thread(e: std::io::Error) -> JournalError {
    JournalError::unavailable(e).with_hint("can't run work on a thread")
}
