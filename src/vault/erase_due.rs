//! What is due: retention periods that ended, and scheduled erasures whose moment has come.
//!
//! A clock decides here what is destroyed for good. So it is one that others agree with, a sweep that finds too many due does
//! nothing, and who has a retention period is closed by one sweep, and destroyed by another a day later.

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

/// How [`Vault::erase_due_with`] goes about it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Sweep {
    at_most: Option<u64>,
    even_if_journal_is_ahead: bool,
    only_count: bool,
}

impl Sweep {
    /// As [`Vault::erase_due`] does.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many subjects may be erased or closed, whatever [`VaultBuilder::most_due`](super::VaultBuilder::most_due) says. If more
    /// are due, none is.
    pub fn at_most(mut self, subjects: u64) -> Self {
        self.at_most = Some(subjects);
        self
    }

    /// Also if the journal's last entry is of a time to come: you have made certain that this process's clock is right.
    pub fn even_if_journal_is_ahead(mut self) -> Self {
        self.even_if_journal_is_ahead = true;
        self
    }

    /// Erases and closes nobody: who would be is counted.
    pub fn only_count(mut self) -> Self {
        self.only_count = true;
        self
    }
}

/// What [`Vault::erase_due`] did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
#[must_use = "the receipts can't be had again without the subjects' ids"]
pub struct EraseDueReport {
    /// A receipt for each subject that was erased.
    pub receipts: Vec<ErasureReceipt>,
    /// Subjects that were to be erased when the sweep began, as the key store says. Those of them that are neither in `receipts`
    /// nor in `failed` were called off, or put on hold, meanwhile.
    pub due: u64,
    /// Subjects whose retention period has ended, and that were closed now; or would be, where that is only counted. A sweep that
    /// comes at least a day later erases them. Until then [`Tenant::cancel_erasure`] opens them, and a new period keeps them.
    pub closed: u64,
    /// Subjects that a sweep closed less than a day ago.
    pub waiting: u64,
    /// Subjects that are due and on hold: they stay until they are released.
    pub held: u64,
    /// Slots that are due and could not be erased, with the reason: the next call tries again. If the reason is not about
    /// the slot (the store can't be reached), the call ended there.
    pub failed: Vec<(SlotId, Error)>,
    /// Entries of the journal that nobody with the key store's root entered, as far as this process has read: those of
    /// [`Vault::passed_over`]. They have no effect.
    pub passed_over: PassedOver,
    /// The key store was restored, so nobody was erased or closed because a retention period has ended, until
    /// [`Vault::resume_retention`].
    pub retention_is_suspended: bool,
}

impl Vault {
    /// Erases what is due, over all tenants: subjects whose scheduled erasure has come, and those that a sweep closed at least a
    /// day ago because their retention period had ended ([`Enrollment::retain_until`](super::Enrollment::retain_until)). It closes
    /// those whose period has ended since. Before that it finishes erasures that a crash left. Call it from time to time, from one
    /// process or several.
    ///
    /// The day in between is for whoever notices that something is wrong: all of it can be called off
    /// ([`Tenant::cancel_erasure`]). What has come is told by this process's clock and that of the key store, or of the journal,
    /// which must agree; where neither has one, the time of day must have moved as the monotonic clock did since the vault was
    /// built. Nothing notices a clock that was ahead then.
    ///
    /// After a restore of the key store retention periods are as old as the backup: nobody is erased or closed by them, until
    /// [`resume_retention`](Self::resume_retention).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a journal; [`Error::ClocksDisagree`], [`Error::JournalAhead`], [`Error::TooManyDue`]; those of
    /// the ports. Nothing that is due was erased or closed then. What goes wrong with one subject is listed in
    /// [`EraseDueReport::failed`], and affects no other.
    ///
    /// # Cancel safety
    /// Can be called again: it goes on with what is still due.
    pub async fn erase_due(&self) -> Result<EraseDueReport> {
        self.erase_due_with(&Sweep::new()).await
    }

    /// [`erase_due`](Self::erase_due), as an operator says.
    ///
    /// # Errors
    /// Those of [`erase_due`](Self::erase_due).
    ///
    /// # Cancel safety
    /// That of [`erase_due`](Self::erase_due).
    ///
    /// # Security
    /// What the sweep refuses without your word is what a wrong clock looks like, and it can't be undone.
    pub async fn erase_due_with(&self, sweep: &Sweep) -> Result<EraseDueReport> {
        self.0.journal()?;
        self.0.check().await?;
        // Before anything is entered: what this process enters is dated by its own clock.
        let now = self.moment_of(sweep).await?;
        let failed = self.0.clone().check_now(CheckMode::Sweep).await?;
        let mut report = EraseDueReport { failed, passed_over: self.passed_over(), ..EraseDueReport::default() };
        let (by, due) = self.due_within(sweep, now, &mut report).await?;
        if sweep.only_count {
            return Ok(report);
        }
        (report.closed, report.held) = (0, 0);
        for page in due.chunks(PAGE) {
            let failed = report.failed.len();
            self.erase_due_page(page, by, &mut report).await?;
            if !report.failed.iter().skip(failed).all(|(_, e)| is_of_one_slot(e)) {
                break;
            }
        }
        Ok(report)
    }

    /// By which moment a sweep goes.
    ///
    /// # Errors
    /// [`Error::ClocksDisagree`], [`Error::JournalAhead`]; those of the ports.
    pub(super) async fn moment_of(&self, sweep: &Sweep) -> Result<Timestamp> {
        match sweep.even_if_journal_is_ahead {
            true => self.0.clocks.agreed(&self.0).await,
            false => self.0.clocks.agreed_with_journal(&self.0).await,
        }
    }

    /// Whom a sweep erases or closes; and how many are what, as their slots say.
    ///
    /// # Errors
    /// [`Error::TooManyDue`]; those of the ports.
    pub(super) async fn due_within(
        &self,
        sweep: &Sweep,
        now: Timestamp,
        report: &mut EraseDueReport,
    ) -> Result<(DueBy, Vec<(Tenant, Tag)>)> {
        let retention_is_suspended = self.retention_is_suspended().await?;
        report.retention_is_suspended = retention_is_suspended;
        let by = DueBy { now, horizon: self.0.clocks.horizon(now, Duration::ZERO), retention_is_suspended };
        let due = self.find_due(by, report).await?;
        let (found, cap) = (report.due.saturating_add(report.closed), sweep.at_most.unwrap_or(self.0.most_due));
        if found > cap { Err(Error::TooManyDue { due: found, cap }) } else { Ok((by, due)) }
    }

    /// Who is due, but for those who were closed less than a day ago; and how many are what, as their slots say.
    async fn find_due(&self, by: DueBy, report: &mut EraseDueReport) -> Result<Vec<(Tenant, Tag)>> {
        let mut due = Vec::new();
        // A moment that is now has come.
        let mut scan = Scan::new(Filter::DueBefore(by.now.plus(Duration::from_millis(1)))).limit(PAGE);
        loop {
            let page = self.0.store.scan(&scan).await?;
            for stored in &page.slots {
                let SlotId::Subject(id, tag) = stored.id() else { continue };
                let tenant = self.tenant(id);
                match tenant.due_of(stored, by).await {
                    Ok(Some(Due::Waits)) => {
                        report.waiting += 1;
                        continue;
                    }
                    Ok(Some(Due::Rests)) => continue,
                    Ok(Some(Due::Held)) => report.held += 1,
                    Ok(Some(Due::Closes)) => report.closed += 1,
                    // What it is can't be told: it counts as the worst.
                    Ok(Some(Due::Erases)) | Err(_) => report.due += 1,
                    Ok(None) => {} // the tenant was erased
                }
                due.push((tenant, *tag));
            }
            // What is damaged is told, and nobody is erased by what it seems to say: it counts for nothing.
            due.extend(page.damaged.iter().filter_map(|(id, _)| match id {
                SlotId::Subject(id, tag) => Some((self.tenant(id), *tag)),
                SlotId::Tenant(_) | SlotId::Vault => None,
            }));
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(due),
            }
        }
    }

    async fn erase_due_page(&self, due: &[(Tenant, Tag)], by: DueBy, report: &mut EraseDueReport) -> Result<()> {
        let erase = |(tenant, tag): (Tenant, Tag)| async move {
            let swept = tenant.sweep(&tag, by).await;
            (tenant, tag, swept)
        };
        let sweeps: Vec<_> = due.iter().cloned().map(erase).collect();
        let found: Vec<_> = stream::iter(sweeps).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut erased = Vec::new();
        for (tenant, tag, swept) in found {
            match swept {
                Ok(Swept::Not) => {}
                Ok(Swept::Held) => report.held += 1,
                Ok(Swept::Closed) => report.closed += 1,
                Ok(Swept::Destroyed(destroyed)) => erased.push((tenant, tag, destroyed)),
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

/// By what a sweep tells who is due.
#[derive(Clone, Copy)]
pub(super) struct DueBy {
    now: Timestamp,
    /// No clock that is right has closed a subject later than this.
    horizon: Timestamp,
    /// The dates are as old as a backup.
    retention_is_suspended: bool,
}

/// What a sweep is to do with a subject that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Held,
    /// Its period has ended, and no sweep has closed it.
    Closes,
    /// A sweep closed it less than a day ago.
    Waits,
    /// Its period has ended, and retention is suspended.
    Rests,
    Erases,
}

impl Due {
    /// By what the slot, and the journal, say; none if the subject is not due.
    fn of(slot: &SubjectSlot, history: &History, by: DueBy) -> Option<Self> {
        let DueBy { now, horizon, retention_is_suspended } = by;
        let has_come = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let is_scheduled = history.whole_is_open || has_come(history.scheduled);
        if slot.epoch.is_none() || !(is_scheduled || has_come(slot.retain_until)) {
            return None;
        }
        if history.held && !history.whole_is_open {
            return Some(Self::Held);
        }
        if is_scheduled {
            return Some(Self::Erases); // a schedule has had its time
        }
        if retention_is_suspended {
            return Some(Self::Rests);
        }
        Some(match slot.closed_at.filter(|at| *at <= horizon) {
            // Or a clock that was ahead closed it: it is closed anew.
            None => Self::Closes,
            Some(at) if now < at.plus(CLOSED_FOR) => Self::Waits,
            Some(_) => Self::Erases,
        })
    }
}

/// What a sweep made of a subject that it found due.
enum Swept {
    /// Nothing: it is not due any more, because somebody called it off, or moved it.
    Not,
    Held,
    Closed,
    Destroyed(DestroyedKeys),
}

impl Tenant {
    /// What a slot comes to that a scan found due, by its own copies of holds and schedules.
    async fn due_of(&self, stored: &StoredSlot, by: DueBy) -> Result<Option<Due>> {
        let state = self.cached.any_state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)?;
        let slot = SubjectSlot::open(stored, &state.root)?;
        let copies = History::of_copies(slot.held, slot.erase_at);
        Ok(Due::of(&slot, &copies, by).filter(|_| state.erased_at.is_none()))
    }

    /// Erases a subject that a scan found due, or closes it.
    async fn sweep(&self, tag: &Tag, by: DueBy) -> Result<Swept> {
        let now = by.now;
        let read = self.read_slot(tag).await?;
        if read.state.erased_at.is_some() {
            return self.make_tombstone(tag).await.map(|()| Swept::Not);
        }
        let history = self.history(tag, read.told()).await?;
        let Some(slot) = read.slot.filter(|slot| slot.epoch.is_some()) else { return Ok(Swept::Not) };
        let due = match Due::of(&slot, &history, by) {
            // The copies in the slot may be older than the journal.
            None => return put_flags(self, tag).await.map(|_| Swept::Not),
            // What is held stays readable.
            Some(Due::Held) => return put_flags(self, tag).await.map(|_| Swept::Held),
            Some(Due::Waits | Due::Rests) => return Ok(Swept::Not),
            Some(due) => due,
        };
        // Who is erased is closed anew: whoever read the slot before, to open it again, fails from here on.
        let anew = slot.closed_at.map(|at| at.plus(Duration::from_millis(1)));
        if let Some(at) = if due == Due::Closes { Some(now) } else { anew } {
            match self.close(tag, &slot, history.last, at).await {
                // In an epoch that ended nothing opens, and nothing is written, so nothing is prolonged either.
                Err(Error::Provider(_)) if slot.epoch.is_some_and(|epoch| read.state.is_dead(epoch)) => {}
                closed => match closed? {
                    true if due == Due::Closes => return Ok(Swept::Closed),
                    true => {}
                    false => return Ok(Swept::Not),
                },
            }
        }
        let is_ended = slot.retain_until.is_some_and(|until| until <= now);
        let may_begin = |said: &History, _| {
            let is_unchanged = is_ended && said.last == history.last;
            Ok(said.scheduled.is_some_and(|at| at <= now) || is_unchanged)
        };
        match self.destroy(tag, Extent::Whole, may_begin).await {
            Ok(destroyed) => Ok(destroyed.map_or(Swept::Not, Swept::Destroyed)),
            Err(Error::SubjectHeld) => put_flags(self, tag).await.map(|_| Swept::Held),
            // Whoever erases the tenant makes tombstones of its subjects; if that crashed, the next call does.
            Err(Error::TenantErased { .. }) => {
                self.cached.forget();
                Ok(Swept::Not)
            }
            Err(e) => Err(e),
        }
    }

    /// Closes a subject, by compare-and-swap: from here on its period can't be prolonged, which only the slot knows of. False if
    /// its slot says otherwise of period, closing and hold than when it was `read`.
    async fn close(&self, tag: &Tag, read: &SubjectSlot, told: u64, at: Timestamp) -> Result<bool> {
        let said = |slot: &SubjectSlot| (slot.retain_until, slot.closed_at, slot.held);
        let is_as_read = |slot: &&SubjectSlot| said(slot) == said(read);
        let closed = self
            .edit_slot(tag, |slot, _| {
                let Some(slot) = slot.filter(is_as_read) else { return Ok(Edit::Keep(false)) };
                let mut new = SubjectSlot { closed_at: Some(at), ..slot.clone() };
                new.tell(told);
                Ok(Edit::Put(new, true))
            })
            .await?;
        if closed {
            self.revoke_keys(tag, None);
        }
        Ok(closed)
    }
}

/// How long a subject is closed before it is erased.
const CLOSED_FOR: Duration = Duration::from_secs(24 * 3600);

/// Subjects that are looked up, and erased, at a time.
const PAGE: usize = 100;
