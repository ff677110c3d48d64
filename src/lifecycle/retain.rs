//! What is due: retention periods that ended, and scheduled erasures whose moment has come.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::erase::ErasureRequest;
use super::masters::Masters;
use super::receipt::ErasureReceipt;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::journal::history::History;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan};
use crate::vault::erasing::{Destroyed, Extent};
use crate::vault::slots::{Edit, is_of_one_slot};
use crate::vault::{Tenant, Vault, WRITES_AT_ONCE, Why, put_flags, root};

/// What a sweep did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "the receipts can't be had again without the subjects' ids"]
pub struct Swept {
    /// A receipt for each subject that was erased.
    pub receipts: Vec<ErasureReceipt>,
    /// Subjects that are due and on hold: they stay until they are released.
    pub held: u64,
    /// Slots that are due and could not be erased, with the reason: the next sweep tries again. Where it was nothing about
    /// the slot (the store can't be reached), the sweep ended there.
    pub failed: Vec<(SlotId, Error)>,
}

impl Vault {
    /// Erases what is due, over all tenants: subjects whose retention period has ended
    /// ([`Enrolment::due_at`](crate::vault::Enrolment::due_at)) or whose scheduled erasure has come. Before that it finishes
    /// erasures that a crash left. Call it from time to time, from one process or several.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a journal; those of the ports, before anything that is due was erased. What
    /// goes wrong with one subject stands in [`Swept::failed`], and spoils nothing for the others.
    ///
    /// # Cancel safety
    /// Can be called again: it goes on with what is still due.
    pub async fn sweep(&self) -> Result<Swept> {
        self.0.journal()?;
        self.0.check().await?;
        let passed = self.0.clone().check_now(Why::Build).await?;
        let now = self.0.clock.wall();
        let mut swept = Swept { failed: passed, ..Swept::default() };
        // A moment that is now has come.
        let mut scan = Scan::new(Filter::DueBefore(now.plus(Duration::from_millis(1))));
        loop {
            let page = self.0.store.scan(&scan).await?;
            let failed = swept.failed.len();
            self.sweep_page(page.slots, now, &mut swept).await?;
            let goes_on = swept.failed.iter().skip(failed).all(|(_, e)| is_of_one_slot(e));
            match page.next.filter(|_| goes_on) {
                Some(next) => scan = scan.after(next),
                None => return Ok(swept),
            }
        }
    }

    async fn sweep_page(&self, slots: Vec<StoredSlot>, now: Timestamp, swept: &mut Swept) -> Result<()> {
        let due = slots.iter().filter_map(|stored| match stored.id() {
            SlotId::Subject(tenant, tag) => Some((self.tenant(tenant), *tag)),
            _ => None,
        });
        let sweep = |(tenant, tag): (Tenant, Tag)| async move {
            let due = tenant.sweep_subject(&tag, now).await;
            (tenant, tag, due)
        };
        let sweeps: Vec<_> = due.map(sweep).collect();
        let found: Vec<_> = stream::iter(sweeps).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut erased = Vec::new();
        for (tenant, tag, due) in found {
            match due {
                Ok(Due::Not) => {}
                Ok(Due::Held) => swept.held += 1,
                Ok(Due::Destroyed(destroyed)) => erased.push((tenant, tag, destroyed)),
                Err(e) => swept.failed.push((tenant.slot_id(&tag), e)),
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
            match tenant.conclude_with_receipt(&tag, destroyed, &residue, &masters, &request).await {
                Ok(receipt) => swept.receipts.push(receipt),
                Err(e) => swept.failed.push((tenant.slot_id(&tag), e)),
            }
        }
        Ok(())
    }
}

enum Due {
    /// Not any more: somebody called it off, or moved it.
    Not,
    Held,
    Destroyed(Destroyed),
}

impl Tenant {
    async fn sweep_subject(&self, tag: &Tag, now: Timestamp) -> Result<Due> {
        let read = self.read_slot(tag).await?;
        if read.state.erased_at.is_some() {
            return self.bury(tag).await.map(|()| Due::Not);
        }
        let history = self.history(tag).await?;
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
            match self.close(tag, now).await {
                Ok(false) => return Ok(Due::Not),
                // In an epoch that ended nothing is written, so nothing is prolonged either.
                Err(Error::Provider(_)) if slot.epoch.is_some_and(|epoch| read.state.is_dead(epoch)) => {}
                closed => drop(closed?),
            }
        }
        // Whoever opens it again, so that its period can be prolonged, enters something in the journal first.
        let is_closed = |now: &History| retained.is_some() && now.entries == history.entries;
        let gate = |history: &History| history.scheduled.is_some_and(|at| at <= now) || is_closed(history);
        match self.destroy(tag, Extent::Whole, gate).await {
            Ok(destroyed) => Ok(destroyed.map_or(Due::Not, Due::Destroyed)),
            Err(Error::SubjectHeld) => self.leave_held(tag).await,
            // Whoever erases the tenant buries its subjects; if that crashed, the next sweep does.
            Err(Error::TenantErased { .. }) => {
                self.part.forget();
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
    /// prolonged, which only the slot knows of. False if it was. It always writes: whoever read the slot before, to open it
    /// again, fails.
    async fn close(&self, tag: &Tag, now: Timestamp) -> Result<bool> {
        let (due, closed) = self
            .edit_slot(tag, |slot, _| {
                let Some(slot) = slot.filter(|slot| slot.retain_until.is_some_and(|until| until <= now)) else {
                    return Ok(Edit::Keep((false, None)));
                };
                let mut new = slot.clone();
                new.close();
                let erase_at = new.erase_at;
                Ok(Edit::Put(new, (true, erase_at)))
            })
            .await?;
        if closed.is_some() {
            self.end(tag, closed);
        }
        Ok(due)
    }
}

fn is_due(slot: &SubjectSlot, history: &History, now: Timestamp) -> bool {
    slot.epoch.is_some()
        && (history.whole_is_open
            || slot.retain_until.is_some_and(|until| until <= now)
            || history.scheduled.is_some_and(|at| at <= now))
}
