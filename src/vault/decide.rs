//! Deciding on what the journal says of a subject, a tenant or the key store; and recording what was done.

use std::sync::PoisonError;
use std::time::Duration;

use super::cached_tenant::CachedTenant;
use super::verified::{Decided, VerifiedJournal};
use super::{Tenant, VaultInner, root};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::journal::history::{Completion, History, TenantHistory};
use crate::journal::verify::Accepted;
use crate::journal::{ErasedLine, Head, JournalEvent};
use crate::keys::{Epoch, SlotId, Tag};

/// Whether a completion is appended that the journal has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfRecorded {
    Skip,
    /// What was done had come back, by a restore, and was done again.
    RecordAgain,
}

/// Lines that are destroyed, and whether that was an erasure of the subject as a whole.
#[derive(Clone, Debug)]
pub(super) struct Erased {
    pub(super) whole: bool,
    pub(super) lines: Vec<ErasedLine>,
}

impl VaultInner {
    /// Enters an event, whatever the journal says of the same; gives its position. Nothing, and 0, without a journal.
    pub(super) async fn append(&self, about: &SlotId, told: u64, event: &JournalEvent) -> Result<u64> {
        let Some(journal) = &self.journal else { return Ok(0) };
        let entered = journal
            .decide(about, told, &self.clock, |_, _| {
                let event = event.clone();
                Box::pin(async move { Ok((Some(event), ())) })
            })
            .await?;
        Ok(entered.last)
    }

    /// The longest that any process may use keys that it read, as the key store says, or the journal, where a restore took back
    /// what the store said.
    pub(super) async fn longest_age_named(&self) -> Result<Duration> {
        root::reload(self).await?;
        let said = self.said_of_store().await?;
        let raised = said.iter().filter_map(|(_, entry)| match entry.event() {
            JournalEvent::MaxAgeRaised { millis } => Some(Duration::from_millis(*millis)),
            _ => None,
        });
        Ok(raised.max().unwrap_or_default().max(self.longest_age()))
    }

    /// When something was done, as far as that can be believed: an entry that is dated in a time to come was there when this
    /// process first read it, and nobody knows since when.
    pub(super) fn not_before(&self, done: Completion, now: Timestamp) -> Timestamp {
        if !self.clocks.is_absurd(done.at, now, Duration::ZERO) {
            return done.at;
        }
        let mut first_read = self.first_read.lock().unwrap_or_else(PoisonError::into_inner);
        *first_read.entry(done.position).or_insert(now)
    }

    /// What the journal says of the key store as a whole.
    pub(super) async fn said_of_store(&self) -> Result<Accepted> {
        let (journal, told) = (self.journal()?, self.store_told());
        journal.said_of(&SlotId::Vault, told, &journal.head().await?).await
    }
}

/// The highest epoch that these entries about the key store name.
pub(super) fn highest_epoch(said: &Accepted) -> Epoch {
    let epochs = said.iter().filter_map(|(_, entry)| match entry.event() {
        JournalEvent::EpochOpened { epoch, .. } => Some(*epoch),
        _ => None,
    });
    epochs.max().unwrap_or(Epoch::FIRST)
}

/// The highest epoch that the journal names up to a head. `told` is the position that the vault's slot names, as it was known
/// before the head was read.
async fn highest_epoch_up_to(journal: &VerifiedJournal, told: u64, head: &Head) -> Result<Epoch> {
    Ok(highest_epoch(&journal.said_of(&SlotId::Vault, told, head).await?))
}

impl Tenant {
    /// What the journal says of a subject. `told` is the position that the slot names, which was read before; 0 where there is
    /// none.
    pub(super) async fn history(&self, tag: &Tag, told: u64) -> Result<History> {
        let Some(journal) = &self.vault.0.journal else { return Ok(History::default()) };
        let head = journal.head().await?;
        Ok(History::of(&journal.said_of(&self.slot_id(tag), told, &head).await?))
    }

    /// Decides on what the journal says of a subject. `told` is that of [`history`](Self::history).
    pub(super) async fn decide<T: Send>(
        &self,
        tag: &Tag,
        told: u64,
        decide: impl Fn(&History) -> Result<(Option<JournalEvent>, T)> + Send + Sync,
    ) -> Result<Decided<T>> {
        let (vault, decide) = (&self.vault.0, &decide);
        let (journal, tenant, tenant_told) = (vault.journal()?, &*self.cached, self.cached.told());
        journal
            .decide(&self.slot_id(tag), told, &vault.clock, |head, said| {
                Box::pin(async move {
                    if let Some(at) = tenant_history(journal, tenant, tenant_told, &head).await?.erased() {
                        return Err(Error::TenantErased { at });
                    }
                    decide(&History::of(&said))
                })
            })
            .await
    }

    /// Appends `ErasureDone`.
    pub(super) async fn record_done(
        &self,
        tag: &Tag,
        told: u64,
        erased: &Erased,
        if_recorded: IfRecorded,
    ) -> Result<()> {
        let vault = &self.vault.0;
        let (journal, store_told, about) = (vault.journal()?, vault.store_told(), self.slot_id(tag));
        let recorded = journal.decide(&about, told, &vault.clock, |head, said| {
            Box::pin(async move {
                let (history, Erased { whole, lines }) = (History::of(&said), erased);
                let is_open = *whole && history.whole_is_open;
                let recorded = !is_open && lines.iter().all(|l| history.done_line(&l.purpose) >= l.line);
                if recorded && if_recorded == IfRecorded::Skip {
                    return Ok((None, ()));
                }
                let until = highest_epoch_up_to(journal, store_told, &head).await?;
                Ok((Some(JournalEvent::ErasureDone { whole: *whole, lines: lines.clone(), until }), ()))
            })
        });
        recorded.await.map(drop)
    }

    /// Appends `TenantErasureDone`.
    pub(super) async fn record_tenant_done(&self, if_recorded: IfRecorded) -> Result<()> {
        let vault = &self.vault.0;
        let (journal, store_told) = (vault.journal()?, vault.store_told());
        let about = SlotId::Tenant(self.id().clone());
        let recorded = journal.decide(&about, self.cached.told(), &vault.clock, |head, said| {
            Box::pin(async move {
                if TenantHistory::of(&said).done.is_some() && if_recorded == IfRecorded::Skip {
                    return Ok((None, ()));
                }
                let until = highest_epoch_up_to(journal, store_told, &head).await?;
                Ok((Some(JournalEvent::TenantErasureDone { until }), ()))
            })
        });
        recorded.await.map(drop)
    }
}

/// What the journal says of a tenant itself up to a head.
pub(super) async fn tenant_history(
    journal: &VerifiedJournal,
    tenant: &CachedTenant,
    told: u64,
    head: &Head,
) -> Result<TenantHistory> {
    let about = SlotId::Tenant(tenant.id().clone());
    Ok(TenantHistory::of(&journal.said_of(&about, told, head).await?))
}
