//! [`MapJournal`]: an erasure journal.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use fieldseal::TenantId;
use fieldseal::journal::{EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalId};
use fieldseal::store::Tag;

use crate::locked;

/// Entries as bytes, each with the hash before it, by how many are before it.
#[derive(Debug)]
pub struct MapJournal {
    id: JournalId,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    entries: BTreeMap<u64, ([u8; 32], Vec<u8>)>,
    head: Head,
}

impl MapJournal {
    /// An empty one.
    ///
    /// # Errors
    /// [`fieldseal::Error::Entropy`] if the operating system gives no random bytes.
    pub fn new() -> fieldseal::Result<Self> {
        let log = Log { entries: BTreeMap::new(), head: Head::EMPTY };
        Ok(Self { id: JournalId::generate()?, log: Mutex::new(log) })
    }
}

#[async_trait]
impl ErasureJournal for MapJournal {
    async fn id(&self) -> Result<JournalId, JournalError> {
        Ok(self.id)
    }

    async fn head(&self) -> Result<Head, JournalError> {
        Ok(locked(&self.log).head)
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        entry.check_bounds()?;
        let mut log = locked(&self.log);
        if log.head != *expected {
            return Err(JournalError::conflict());
        }
        log.entries.insert(expected.position(), (*expected.hash(), entry.to_bytes()));
        log.head = expected.advanced_by(entry);
        Ok(log.head)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let log = locked(&self.log);
        log.entries.range(from..).take(limit).map(|(_, (_, bytes))| JournalEntry::from_bytes(bytes)).collect()
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        let log = locked(&self.log);
        let read = |(position, (hash, bytes)): (&u64, &([u8; 32], Vec<u8>))| {
            Ok(EntryAt::new(Head::from_parts(*position, *hash), JournalEntry::from_bytes(bytes)?))
        };
        let is_about = |at: &EntryAt| at.entry.tenant() == tenant && at.entry.tag() == tag;
        let entries = log.entries.range(..up_to.position()).map(read);
        entries.filter(|at| at.as_ref().map_or(true, is_about)).collect()
    }
}
