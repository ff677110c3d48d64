//! What is due: retention periods that ended, and scheduled erasures whose moment has come.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::applied::CheckMode;
use super::destroy::{DestroyedKeys, Extent};
use super::erase::ErasureRequest;
use super::masters::Masters;
use super::mend::put_flags;
use super::receipt::ErasureReceipt;
use super::slots::{Edit, is_of_one_slot};
use super::verified::PassedOver;
use super::{Tenant, Vault, WRITES_AT_ONCE, root};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::journal::history::History;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan};

/// What [`Vault::erase_due`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "the receipts can't be had again without the subjects' ids"]
pub struct EraseDueReport {
    /// A receipt for each subject that was erased.
    pub receipts: Vec<ErasureReceipt>,
    /// Subjects that are due and on hold: they stay until they are released.
    pub held: u64,
    /// Slots that are due and could not be erased, with the reason: the next call tries again. If the reason is not about
    /// the slot (the store can't be reached), the call ended there.
    pub failed: Vec<(SlotId, Error)>,
    /// Entries of the journal that nobody with the key store's root entered, as far as this process has read: those of
    /// [`Vault::passed_over`]. They have no effect.
    pub passed_over: PassedOver,
}

impl Vault {
    /// Erases what is due, over all tenants: subjects whose retention period has ended
    /// ([`Enrollment::retain_until`](super::Enrollment::retain_until)) or whose scheduled erasure has come. Before that it
    /// finishes erasures that a crash left. Call it from time to time, from one process or several.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a journal; those of the ports, before anything that is due was erased. What
    /// goes wrong with one subject is listed in [`EraseDueReport::failed`], and affects no other.
    ///
    /// # Cancel safety
    /// Can be called again: it goes on with what is still due.
    pub async fn erase_due(&self) -> Result<EraseDueReport> {
        self.0.journal()?;
        self.0.check().await?;
        let skipped = self.0.clone().check_now(CheckMode::OnBuild).await?;
        let now = self.0.clock.wall();
        let passed_over = self.passed_over();
        let mut report = EraseDueReport { failed: skipped, passed_over, ..EraseDueReport::default() };
        // A moment that is now has come.
        let mut scan = Scan::new(Filter::DueBefore(now.plus(Duration::from_millis(1))));
        loop {
            let page = self.0.store.scan(&scan).await?;
            let failed = report.failed.len();
            self.erase_due_page(page.slots, now, &mut report).await?;
            let goes_on = report.failed.iter().skip(failed).all(|(_, e)| is_of_one_slot(e));
            match page.next.filter(|_| goes_on) {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(report),
            }
        }
    }

    async fn erase_due_page(&self, slots: Vec<StoredSlot>, now: Timestamp, report: &mut EraseDueReport) -> Result<()> {
        let due = slots.iter().filter_map(|stored| match stored.id() {
            SlotId::Subject(tenant, tag) => Some((self.tenant(tenant), *tag)),
            _ => None,
        });
        let erase = |(tenant, tag): (Tenant, Tag)| async move {
            let due = tenant.erase_if_due(&tag, now).await;
            (tenant, tag, due)
        };
        let erasures: Vec<_> = due.map(erase).collect();
        let found: Vec<_> = stream::iter(erasures).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut erased = Vec::new();
        for (tenant, tag, due) in found {
            match due {
                Ok(Due::Not) => {}
                Ok(Due::Held) => report.held += 1,
                Ok(Due::Destroyed(destroyed)) => erased.push((tenant, tag, destroyed)),
                Err(e) => {
                    let id = tenant.slot_id(&tag);
                    // What the comparison with the journal has left is told once.
                    if report.failed.iter().all(|(told, _)| *told != id) {
                        report.failed.push((id, e));
                    }
                }
            }
        }
        if erased.is_empty() {
            return Ok(());
        }
        let residue = self.0.scrub().await?;
        root::reload(&self.0).await?;
        let masters = Masters::ask(&self.0).await?;
        let request = ErasureRequest::new();
        for (tenant, tag, destroyed) in erased {
            match tenant.record_done_with_receipt(&tag, destroyed, &residue, &masters, &request).await {
                Ok(receipt) => report.receipts.push(receipt),
                Err(e) => report.failed.push((tenant.slot_id(&tag), e)),
            }
        }
        Ok(())
    }
}

/// What became of a subject that a scan found due.
enum Due {
    /// It is not due any more: somebody called it off, or moved it.
    Not,
    Held,
    Destroyed(DestroyedKeys),
}

impl Tenant {
    async fn erase_if_due(&self, tag: &Tag, now: Timestamp) -> Result<Due> {
        let read = self.read_slot(tag).await?;
        if read.state.erased_at.is_some() {
            return self.make_tombstone(tag).await.map(|()| Due::Not);
        }
        let history = self.history(tag, read.told()).await?;
        let Some(slot) = read.slot.filter(|slot| is_due(slot, &history, now)) else {
            // The copy in the slot may be older than the journal.
            put_flags(self, tag).await?;
            return Ok(Due::Not);
        };
        if history.held && history.open().is_empty() {
            return self.leave_held(tag).await;
        }
        let retained = slot.retain_until.filter(|until| *until <= now);
        if retained.is_some() {
            match self.close(tag, history.last, now).await {
                Ok(Closing::Prolonged) => return Ok(Due::Not),
                // In an epoch that ended nothing is written, so nothing is prolonged either.
                Err(Error::Provider(_)) if slot.epoch.is_some_and(|epoch| read.state.is_dead(epoch)) => {}
                closed => {
                    closed?;
                }
            }
        }
        // Whoever opens it again, so that its period can be prolonged, enters something in the journal first.
        let is_closed = |now: &History| retained.is_some() && now.last == history.last;
        let may_begin = |history: &History, _| Ok(history.scheduled.is_some_and(|at| at <= now) || is_closed(history));
        match self.destroy(tag, Extent::Whole, may_begin).await {
            Ok(destroyed) => Ok(destroyed.map_or(Due::Not, Due::Destroyed)),
            Err(Error::SubjectHeld) => self.leave_held(tag).await,
            // Whoever erases the tenant makes tombstones of its subjects; if that crashed, the next call does.
            Err(Error::TenantErased { .. }) => {
                self.cached.forget();
                Ok(Due::Not)
            }
            Err(e) => Err(e),
        }
    }

    /// What is held stays readable.
    async fn leave_held(&self, tag: &Tag) -> Result<Due> {
        put_flags(self, tag).await.map(|_| Due::Held)
    }

    /// Makes a subject whose retention period has ended unreadable, by compare-and-swap: from here on the period can't be
    /// prolonged, which only the slot knows of. It always writes: whoever read the slot before, to open it again, fails.
    async fn close(&self, tag: &Tag, told: u64, now: Timestamp) -> Result<Closing> {
        let closing = self
            .edit_slot(tag, |slot, _| {
                let Some(slot) = slot.filter(|slot| slot.retain_until.is_some_and(|until| until <= now)) else {
                    return Ok(Edit::Keep(Closing::Prolonged));
                };
                let mut new = slot.clone();
                new.close(now);
                new.tell(told);
                let at = new.closed_at;
                Ok(Edit::Put(new, Closing::Closed { at }))
            })
            .await?;
        if let Closing::Closed { at: at @ Some(_) } = closing {
            self.revoke_keys(tag, at);
        }
        Ok(closing)
    }
}

/// What became of a subject whose retention period had ended.
enum Closing {
    /// Its period ends later now.
    Prolonged,
    /// It is unreadable.
    Closed { at: Option<Timestamp> },
}

fn is_due(slot: &SubjectSlot, history: &History, now: Timestamp) -> bool {
    slot.epoch.is_some()
        && (history.whole_is_open
            || slot.retain_until.is_some_and(|until| until <= now)
            || history.scheduled.is_some_and(|at| at <= now))
}
