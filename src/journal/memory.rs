//! [`MemoryJournal`]: a journal that dies with the process, for tests.

use std::sync::Mutex;

use async_trait::async_trait;

use super::{EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalId};
use crate::error::Result;
use crate::id::TenantId;
use crate::keys::Tag;

/// A journal in memory, for tests. Shared by cloning an [`Arc`](std::sync::Arc) of it.
#[derive(Debug)]
pub struct MemoryJournal {
    id: JournalId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entries: Vec<EntryAt>,
    head: Head,
}

impl MemoryJournal {
    /// An empty journal with an id of its own.
    ///
    /// # Errors
    /// [`Error::Entropy`](crate::Error::Entropy) if the operating system gives no random bytes.
    pub fn new() -> Result<Self> {
        Ok(Self::with_id(JournalId::generate()?))
    }

    /// An empty journal that goes by this id, as one that was rebuilt from a copy does.
    pub fn with_id(id: JournalId) -> Self {
        Self { id, state: Mutex::new(State { entries: Vec::new(), head: Head::EMPTY }) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // An append is one push and one assignment that can't panic, so a poisoned lock guards a sound state.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl ErasureJournal for MemoryJournal {
    async fn id(&self) -> Result<JournalId, JournalError> {
        Ok(self.id)
    }

    async fn head(&self) -> Result<Head, JournalError> {
        Ok(self.state().head)
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        entry.check_bounds()?;
        let mut state = self.state();
        if state.head != *expected {
            return Err(JournalError::conflict());
        }
        let at = EntryAt::new(state.head, entry.clone());
        state.head = state.head.advanced_by(entry);
        state.entries.push(at);
        Ok(state.head)
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        Ok(self.state().entries.iter().skip(from).take(limit).map(|at| at.entry.clone()).collect())
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        let up_to = usize::try_from(up_to.position()).unwrap_or(usize::MAX);
        let about = |at: &&EntryAt| at.entry.tenant() == tenant && at.entry.tag() == tag;
        Ok(self.state().entries.iter().take(up_to).filter(about).cloned().collect())
    }
}
