//! Enrolling subjects: [`Enrollment`] says how; and what that makes of a slot.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::cache::SubjectLookup;
use super::decide::IfRecorded;
use super::key_page::KeyPage;
use super::slots::{ReadSlot, Wrapper, is_of_one_slot};
use super::tenant::{ReadContext, ReadReason, Tenant};
use super::{ATTEMPTS, WRITES_AT_ONCE};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::{HasSubject, Purpose, SubjectId};
use crate::journal::JournalEvent;
use crate::journal::history::History;
use crate::keys::slot::{Date, KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{Epoch, Tag};
use crate::subject::SubjectKeys;

/// How a subject is enrolled.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Enrollment {
    retain_until: Option<Timestamp>,
    even_if_erased: bool,
}

impl Enrollment {
    /// As [`Tenant::enroll`](super::Tenant::enroll) does: no retention period, and nobody who was erased.
    pub fn new() -> Self {
        Self::default()
    }

    /// The retention period ends then: from that moment on the subject's data can't be opened ([`Error::SubjectClosed`]), unless a
    /// hold stands, and [`Vault::erase_due`](super::Vault::erase_due) closes the subject, and a day later erases it. For a subject
    /// that is enrolled already, it moves the end; also after it, as long as no sweep has closed the subject. Then
    /// [`Tenant::cancel_erasure`](super::Tenant::cancel_erasure) comes first.
    pub fn retain_until(mut self, at: Timestamp) -> Self {
        self.retain_until = Some(at);
        self
    }

    /// Also if the subject, or a purpose of it, was erased: it gets new keys, in a new line. What was sealed before stays
    /// unreadable for good. Not before the erasure has taken effect in every process ([`Error::TooEarly`]): some `max_age` after
    /// it.
    pub fn even_if_erased(mut self) -> Self {
        self.even_if_erased = true;
        self
    }

    /// Whether a subject that knows every purpose is left as it is.
    fn changes_nothing_for_known(&self) -> bool {
        !self.even_if_erased && self.retain_until.is_none()
    }
}

impl Tenant {
    /// Gives a subject keys for every purpose of the vault that it has none for, and hands its keys out. Repeatable: a
    /// subject that has them all costs what [`keys`](Self::keys) does. Vaults that enroll one subject at the same time end
    /// with the same keys.
    ///
    /// # Errors
    /// [`Error::SubjectErased`] if the subject was erased, or if it lacks a purpose since it was erased as a whole: what was
    /// erased is never enrolled again by itself (see [`Enrollment::even_if_erased`]). [`Error::SubjectClosed`] if its erasure is
    /// scheduled or its retention period has ended: enrolling prolongs nothing by itself. [`Error::InvalidInput`] for a
    /// placeholder, or a kind that isn't declared; [`Error::WrongTenant`] for keys of another tenant. [`Error::Conflict`] if
    /// others kept changing the subject. Those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have enrolled; calling again finds the same keys.
    pub async fn enroll(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<SubjectKeys> {
        self.enroll_subject(self.subject_of(subject)?, &Enrollment::new()).await
    }

    /// Like [`enroll`](Self::enroll), with a retention period, or again after an erasure.
    ///
    /// # Errors
    /// Those of [`enroll`](Self::enroll). [`Error::TooEarly`] for who was erased a moment ago, and [`Error::ClocksDisagree`]
    /// where it can't be told how long ago that is.
    ///
    /// # Cancel safety
    /// That of [`enroll`](Self::enroll).
    pub async fn enroll_with(
        &self,
        subject: &(impl HasSubject + Sync + ?Sized),
        enrollment: &Enrollment,
    ) -> Result<SubjectKeys> {
        self.enroll_subject(self.subject_of(subject)?, enrollment).await
    }

    /// Enrolls many: one store read tells which are new; each of those then costs a read and a write.
    ///
    /// # Errors
    /// Those of the ports, [`Error::InvalidInput`] for a kind that isn't declared, [`Error::WrongTenant`]. What is wrong with one
    /// subject (it is erased or closed, its slot is damaged, it has as many purposes as it can have, or the row names nobody) is an
    /// error of [`KeyPage::get`] alone. One that lives and lacks a purpose that was erased has the keys that there are. Those
    /// before a failure stay enrolled.
    ///
    /// # Cancel safety
    /// That of [`enroll`](Self::enroll).
    pub async fn enroll_all(&self, subjects: &[impl HasSubject + Sync]) -> Result<KeyPage> {
        let mut page = self.find(self.distinct(subjects)?).await?;
        self.enroll_lacking(&mut page).await?;
        Ok(self.key_page(page))
    }

    /// Enrolls those of a page who lack keys for a purpose of the vault. What is wrong with one of them is an answer about that
    /// one: the others are enrolled.
    pub(super) async fn enroll_lacking(&self, page: &mut HashMap<SubjectId, SubjectLookup>) -> Result<()> {
        let lacking = page.iter().filter(|(_, found)| match found {
            SubjectLookup::Keys(keys) => !keys.know_all(&self.vault.0.purposes),
            SubjectLookup::Unknown => true,
            SubjectLookup::Erased { .. } | SubjectLookup::Closed { .. } | SubjectLookup::Failed(_) => false,
        });
        let lacking: Vec<SubjectId> = lacking.map(|(subject, _)| subject.clone()).collect();
        let enroll = |subject: SubjectId| async move {
            let found = match self.enroll_subject(subject.clone(), &Enrollment::new()).await {
                Ok(keys) => SubjectLookup::Keys(keys),
                Err(Error::SubjectErased { at }) => SubjectLookup::Erased { at },
                Err(Error::SubjectClosed { due }) => SubjectLookup::Closed { due },
                // What is wrong with the tenant is no answer about one of its subjects.
                Err(e) if is_of_one_slot(&e) && !matches!(e, Error::TenantErased { .. }) => SubjectLookup::Failed(e),
                Err(e) => return Err(e),
            };
            Ok((subject, found))
        };
        let futures: Vec<_> = lacking.into_iter().map(enroll).collect();
        let enrolled: Vec<_> = stream::iter(futures).buffer_unordered(WRITES_AT_ONCE).try_collect().await?;
        for (subject, found) in enrolled {
            // One who lives keeps the keys that there are, where what is lacking was erased.
            let is_erased = matches!(found, SubjectLookup::Erased { .. });
            if !is_erased || !matches!(page.get(&subject), Some(SubjectLookup::Keys(_))) {
                page.insert(subject, found);
            }
        }
        Ok(())
    }

    async fn enroll_subject(&self, subject: SubjectId, enrollment: &Enrollment) -> Result<SubjectKeys> {
        let vault = &self.vault.0;
        vault.check().await?;
        for _ in 0..ATTEMPTS {
            // Before the tenant's keys are taken: an erasure of the tenant ends what is wrapped under them.
            let (loaded, ticket) = (vault.now(), vault.issued.ticket());
            let state = self.cached.state_to_write(vault).await?;
            let tag = state.root.tag(self.id(), &subject);
            if enrollment.changes_nothing_for_known()
                && let Some(keys) = self.cached_keys(&tag, &subject).filter(|keys| keys.know_all(&vault.purposes))
            {
                return Ok(keys);
            }
            let ReadSlot { state, stored, slot: old } = self.read_slot(&tag).await?;
            if state.current_key().is_none() {
                continue; // the epoch advanced meanwhile
            }
            let history = self.history_for(&tag, old.as_ref(), enrollment).await?;
            if !history.open().is_empty() || history.whole_is_open {
                // An erasure that somebody is at, or that crashed: it comes first.
                if let Some(erased) = self.finish_intended(&tag, &history).await? {
                    vault.scrub().await?;
                    self.record_done(&tag, history.last, &erased, IfRecorded::Skip).await?;
                }
                continue;
            }
            let wrapper = self.wrapper(&tag, &state);
            let applicant = Applicant { wrapper, epoch: state.epoch, purposes: &vault.purposes, history: &history };
            let enrolled = match applicant.enroll(old.as_ref(), enrollment) {
                Err(Error::Conflict) => {
                    self.cached.forget();
                    continue;
                }
                enrolled => enrolled?,
            };
            let slot = match (enrolled, old) {
                (None, Some(old)) => old,
                (None, None) => return Err(Error::Bug("an enrollment that changes nothing made nothing")),
                (Some(Enrolled { mut slot, new_lines }), old) => {
                    self.check_old_keys_ended(&new_lines, old.as_ref(), &history).await?;
                    let Some(last) = self.open_lines(&tag, new_lines, &history).await? else {
                        continue; // somebody entered something since
                    };
                    slot.tell(last);
                    if !self.put_slot(&slot.seal(self.id(), tag, &state.root)?, stored.as_ref()).await? {
                        continue;
                    }
                    slot
                }
            };
            let read = ReadContext { state: &state, loaded, ticket, reason: ReadReason::Cold };
            let Some(keys) = self.unwrap_keys(&slot, &tag, subject.clone(), &read)? else {
                continue; // erased since
            };
            vault.cache.put(tag, keys.clone());
            vault.evict_expired();
            return Ok(keys);
        }
        Err(Error::Conflict)
    }

    /// That no process seals under the keys of the lines before these any more: what is sealed under a destroyed key is lost.
    ///
    /// # Errors
    /// [`Error::TooEarly`]; [`Error::ClocksDisagree`].
    async fn check_old_keys_ended(
        &self,
        new_lines: &[(Purpose, u32)],
        old: Option<&SubjectSlot>,
        history: &History,
    ) -> Result<()> {
        let vault = &self.vault.0;
        // Where the slot was lost, or replaced as damaged, nobody knows which keys there were.
        let had_keys = |purpose: &Purpose| {
            old.is_none_or(|old| old.replaced || old.purpose(purpose).is_some_and(|p| !p.destroyed.is_empty()))
        };
        let done = new_lines.iter().filter(|(purpose, _)| had_keys(purpose));
        let done: Vec<_> = done.filter_map(|(purpose, _)| history.done_at(purpose)).collect();
        if done.is_empty() {
            return Ok(());
        }
        let (now, longest_age) = (vault.clocks.agreed(vault).await?, vault.longest_age_named().await?);
        let until = done.into_iter().map(|done| vault.clocks.horizon(vault.not_before(done, now), longest_age)).max();
        match until.filter(|until| now < *until) {
            Some(until) => Err(Error::TooEarly { until }),
            None => Ok(()),
        }
    }

    /// Enters new lines in the journal, if it still says what was read; gives the position of the last entry about the subject.
    /// A vault without a journal has nothing to enter them in.
    async fn open_lines(&self, tag: &Tag, lines: Vec<(Purpose, u32)>, read: &History) -> Result<Option<u64>> {
        let mut last = read.last;
        if self.vault.0.journal.is_none() {
            return Ok(Some(last));
        }
        for (purpose, line) in lines {
            let event = JournalEvent::Reenrolled { purpose, line };
            let decide = |now: &History| {
                let unchanged = now.last == last;
                Ok((unchanged.then(|| event.clone()), unchanged))
            };
            let entered = self.decide(tag, last, decide).await?;
            if !entered.answer {
                return Ok(None);
            }
            last = entered.last;
        }
        Ok(Some(last))
    }

    /// What the journal says of the subject, where the enrollment may open a line; else nothing.
    async fn history_for(&self, tag: &Tag, old: Option<&SubjectSlot>, enrollment: &Enrollment) -> Result<History> {
        let complete = old.is_some_and(|old| self.vault.0.purposes.iter().all(|p| old.purpose(p).is_some()));
        if complete && !enrollment.even_if_erased {
            return Ok(History::default());
        }
        // A process that knew the tenant before it was erased must not make anything in it.
        match self.cached.history(&self.vault.0).await?.erased() {
            Some(at) => Err(Error::TenantErased { at }),
            None => self.history(tag, old.map_or(0, |old| old.told)).await,
        }
    }
}

/// The slot after an enrollment.
#[derive(Debug)]
struct Enrolled {
    slot: SubjectSlot,
    /// New lines after an erasure: they are journaled before the slot is put.
    new_lines: Vec<(Purpose, u32)>,
}

/// What an enrollment is applied to.
struct Applicant<'a> {
    wrapper: Wrapper<'a>,
    epoch: Epoch,
    /// The purposes that the vault declares.
    purposes: &'a [Purpose],
    /// What the journal says of the subject, where it can matter.
    history: &'a History,
}

impl Applicant<'_> {
    /// The slot after the enrollment; none if it changes nothing.
    ///
    /// # Errors
    /// [`Error::SubjectErased`] if every purpose was erased and [`Enrollment::even_if_erased`] isn't asked for;
    /// [`Error::SubjectClosed`]. [`Error::Conflict`] if the caller's view of the epochs is older than the slot.
    fn enroll(&self, old: Option<&SubjectSlot>, enrollment: &Enrollment) -> Result<Option<Enrolled>> {
        // What is scheduled, or closed, is opened by cancelling, not by enrolling; a period that has ended by prolonging it alone.
        let closed = old.and_then(SubjectSlot::closed).or(self.history.scheduled);
        let ended =
            || old.and_then(|old| old.closed_by(self.wrapper.now)).filter(|_| enrollment.retain_until.is_none());
        if let Some(due) = closed.or_else(ended) {
            return Err(Error::SubjectClosed { due });
        }
        if let Some(at) = old.and_then(SubjectSlot::erased_at).filter(|_| !enrollment.even_if_erased) {
            return Err(Error::SubjectErased { at });
        }
        let mut slot = old.cloned().unwrap_or_else(SubjectSlot::empty);
        // A slot that a restore lost, or one from before: the new one says again what the journal says.
        slot.whole_at = slot.whole_at.or(self.whole_erased_at());
        self.wrapper.move_to_current(&mut slot)?;
        let mut new_lines = Vec::new();
        for name in self.purposes {
            match slot.purposes.iter_mut().find(|p| p.name == *name) {
                Some(purpose) if purpose.is_live() || !enrollment.even_if_erased => {}
                Some(purpose) => {
                    purpose.line = self.line_above(name, purpose.line);
                    purpose.versions = vec![self.first_version(name, purpose.line)?];
                    new_lines.push((name.clone(), purpose.line));
                }
                None => {
                    self.check_not_erased(name, slot.whole_at, enrollment)?;
                    // An erasure as a whole destroyed its first line, whether or not there was one.
                    let line = self.line_above(name, u32::from(slot.whole_at.is_some()));
                    if line > 1 {
                        new_lines.push((name.clone(), line));
                    }
                    slot.purposes.push(PurposeSlot {
                        name: name.clone(),
                        line,
                        erased_at: None,
                        destroyed: Vec::new(),
                        versions: vec![self.first_version(name, line)?],
                    });
                }
            }
        }
        slot.purposes.sort_by(|a, b| a.name.cmp(&b.name));
        slot.retain_until = enrollment.retain_until.or(slot.retain_until);
        let added = old.is_none_or(|old| {
            let lines = |slot: &SubjectSlot| slot.purposes.iter().map(|p| (p.line, p.is_live())).collect::<Vec<_>>();
            lines(old) != lines(&slot) || old.retain_until != slot.retain_until
        });
        if !added {
            return Ok(None);
        }
        slot.epoch = Some(self.epoch);
        Ok(Some(Enrolled { slot, new_lines }))
    }

    /// A purpose that the slot lacks, and an erasure as a whole destroyed; or that the journal says was erased: then its
    /// tombstone is missing, so the store was restored, or it is on its way.
    fn check_not_erased(&self, purpose: &Purpose, whole_at: Option<Timestamp>, enrollment: &Enrollment) -> Result<()> {
        if enrollment.even_if_erased || (whole_at.is_none() && self.history.destroyed_line(purpose) == 0) {
            return Ok(());
        }
        Err(Error::SubjectErased { at: whole_at.or(self.journaled_at()).unwrap_or(self.wrapper.now) })
    }

    /// When the subject was erased as a whole, as the journal says.
    fn whole_erased_at(&self) -> Option<Timestamp> {
        if self.history.whole_intended { self.journaled_at() } else { None }
    }

    /// When the journal says that something of the subject was erased last.
    fn journaled_at(&self) -> Option<Timestamp> {
        self.history.done.map(|done| done.at).or(self.history.intent.map(|intent| intent.at))
    }

    /// One above every line that slot and journal name: a replay destroys lines up to the one journaled.
    fn line_above(&self, purpose: &Purpose, line: u32) -> u32 {
        self.history.highest_line(purpose).max(line).saturating_add(1)
    }

    /// No other key of the line exists, so nobody can be sealing under one: it is used at once.
    fn first_version(&self, purpose: &Purpose, line: u32) -> Result<KeyVersion> {
        self.wrapper.new_version(purpose, line, 1, Date::AtOnce)
    }
}
