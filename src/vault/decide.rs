//! Deciding on the journal: what it says up to a head is read, and what follows from it is appended at that very head. So
//! of two that decide at the same time, one reads what the other has entered.

use futures_util::future::BoxFuture;

use super::{ATTEMPTS, Tenant, VaultInner};
use crate::error::{Error, JournalErrorKind, Result};
use crate::journal::history::{History, TenantHistory};
use crate::journal::{ErasedLine, Head, JournalEntry, JournalEvent};
use crate::keys::{Epoch, Tag};

/// What is entered, if anything, and what the caller gets.
pub(super) type Decision<T> = (Option<JournalEntry>, T);

/// Whether a completion is appended that the journal has already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfRecorded {
    Skip,
    /// What was done had come back, by a restore, and was done again.
    RecordAgain,
}

impl VaultInner {
    /// Decides at the journal's head, and again where somebody else moved it meanwhile. One at a time in this process, which
    /// so doesn't race itself.
    pub(super) async fn append_deciding<'a, T: Send>(
        &self,
        mut decide: impl FnMut(Head) -> BoxFuture<'a, Result<Decision<T>>> + Send,
    ) -> Result<T> {
        let journal = self.journal()?;
        let _turn = self.journal_turn.lock().await;
        for _ in 0..APPENDS {
            let head = journal.head().await?;
            let (entry, answer) = decide(head).await?;
            let Some(entry) = entry else { return Ok(answer) };
            match journal.append(&entry, &head).await {
                Err(e) if e.kind() == JournalErrorKind::Conflict => continue,
                appended => return Ok(appended.map(|_| answer)?),
            }
        }
        Err(Error::Conflict)
    }

    /// The highest epoch that the journal names up to a head.
    pub(super) async fn highest_epoch(&self, head: &Head) -> Result<Epoch> {
        let entries = self.journal()?.read_of(None, None, head).await?;
        let epochs = entries.iter().filter_map(|entry| match entry.event() {
            JournalEvent::EpochOpened { epoch, .. } => Some(*epoch),
            _ => None,
        });
        Ok(epochs.max().unwrap_or(Epoch::FIRST))
    }
}

impl Tenant {
    /// What the journal says of a subject.
    pub(super) async fn history(&self, tag: &Tag) -> Result<History> {
        match &self.vault.0.journal {
            Some(journal) => self.history_up_to(tag, &journal.head().await?).await,
            None => Ok(History::default()),
        }
    }

    async fn history_up_to(&self, tag: &Tag, head: &Head) -> Result<History> {
        Ok(History::of(&self.vault.0.journal()?.read_of(Some(self.id()), Some(tag), head).await?))
    }

    /// Decides on what the journal says of a subject.
    pub(super) async fn decide<T: Send>(
        &self,
        tag: &Tag,
        decide: impl Fn(&History) -> Result<(Option<JournalEvent>, T)> + Send + Sync,
    ) -> Result<T> {
        let (vault, decide) = (&self.vault.0, &decide);
        vault
            .append_deciding(|head| {
                Box::pin(async move {
                    let entries = vault.journal()?.read_of(Some(self.id()), None, &head).await?;
                    if let Some(at) = TenantHistory::of(&entries).erased() {
                        return Err(Error::TenantErased { at });
                    }
                    let (event, answer) = decide(&self.history_up_to(tag, &head).await?)?;
                    Ok((event.map(|event| self.entry(tag, event)), answer))
                })
            })
            .await
    }

    /// Appends `ErasureDone` for these lines.
    pub(super) async fn record_done(&self, tag: &Tag, lines: &[ErasedLine], if_recorded: IfRecorded) -> Result<()> {
        let vault = &self.vault.0;
        vault
            .append_deciding(|head| {
                Box::pin(async move {
                    let history = self.history_up_to(tag, &head).await?;
                    let recorded =
                        lines.iter().all(|l| history.done_line(&l.purpose) >= l.line) && !history.whole_is_open;
                    if recorded && if_recorded == IfRecorded::Skip {
                        return Ok((None, ()));
                    }
                    let until = vault.highest_epoch(&head).await?;
                    Ok((Some(self.entry(tag, JournalEvent::ErasureDone { lines: lines.to_vec(), until })), ()))
                })
            })
            .await
    }

    /// Appends `TenantErasureDone`.
    pub(super) async fn record_tenant_done(&self, if_recorded: IfRecorded) -> Result<()> {
        let vault = &self.vault.0;
        vault
            .append_deciding(|head| {
                Box::pin(async move {
                    let entries = vault.journal()?.read_of(Some(self.id()), None, &head).await?;
                    if TenantHistory::of(&entries).done.is_some() && if_recorded == IfRecorded::Skip {
                        return Ok((None, ()));
                    }
                    let event = JournalEvent::TenantErasureDone { until: vault.highest_epoch(&head).await? };
                    Ok((Some(JournalEntry::of_tenant(vault.clock.wall(), self.id().clone(), event)), ()))
                })
            })
            .await
    }

    fn entry(&self, tag: &Tag, event: JournalEvent) -> JournalEntry {
        JournalEntry::of_subject(self.vault.0.clock.wall(), self.id().clone(), *tag, event)
    }
}

/// How often an append is tried at a head that others move.
const APPENDS: usize = 4 * ATTEMPTS;
