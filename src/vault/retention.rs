//! Whether sweeps erase by retention. Its dates stand in the slots alone, so a restore brings old ones back: those of people whose
//! period was prolonged since. So it suspends retention, until somebody has looked through the dates.

use super::{Vault, VaultInner};
use crate::error::Result;
use crate::journal::JournalEvent;
use crate::journal::verify::Accepted;
use crate::keys::SlotId;
use crate::keys::slot::Point;

impl Vault {
    /// Whether sweeps leave retention periods alone, because the key store was restored and nobody has resumed them since.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) without a journal; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn retention_is_suspended(&self) -> Result<bool> {
        Ok(is_suspended(&self.0.said_of_store().await?))
    }

    /// Has sweeps erase by retention again, after the key store was restored. False if they do already.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) without a journal; those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have resumed it; can be called again.
    ///
    /// # Security
    /// Whose period was prolonged since the backup has the old date again, and the sweeps to come destroy that person's keys for
    /// good. Prolong them first ([`Enrollment::retain_until`](super::Enrollment::retain_until)): only your application knows who
    /// they are.
    pub async fn resume_retention(&self) -> Result<bool> {
        let (journal, told) = (self.0.journal()?, self.0.store_told());
        let resumed = journal.decide(&SlotId::Vault, told, &self.0.clock, |_, said| {
            let is_suspended = is_suspended(&said);
            let resumed = is_suspended.then_some(JournalEvent::RetentionResumed);
            Box::pin(async move { Ok((resumed, is_suspended)) })
        });
        Ok(resumed.await?.answer)
    }
}

impl VaultInner {
    /// Enters that the store was restored from a backup that had applied so much. From here on retention is suspended.
    pub(super) async fn enter_restored(&self, applied: &Point) -> Result<()> {
        let restored = JournalEvent::StoreRestored { applied: applied.position };
        self.append(&SlotId::Vault, self.store_told(), &restored).await.map(drop)
    }
}

/// The last word counts.
fn is_suspended(said: &Accepted) -> bool {
    let word = said.iter().rev().find_map(|(_, entry)| match entry.event() {
        JournalEvent::StoreRestored { .. } => Some(true),
        JournalEvent::RetentionResumed => Some(false),
        _ => None,
    });
    word.unwrap_or(false)
}
