//! Carrying out an erasure: the intent, the tombstone, the end of issued keys, completion. Whoever finds one that is intended
//! and not done finishes it: the caller's next try, an enrollment, or the next vault that is built.
//!
//! Only an erasure of the whole subject replaces a slot that is damaged, because it needs to know nothing of what was in it: the
//! journal names every line above the first.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use super::cached_tenant::TenantChange;
use super::decide::Erased;
use super::slots::{DamagedSlot, Edit, Found, ReadSlot, Wrapper, is_of_one_slot};
use super::verified::Decided;
use super::{ATTEMPTS, Tenant, WRITES_AT_ONCE};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::Purpose;
use crate::journal::history::History;
use crate::journal::{ErasedLine, JournalEvent};
use crate::keys::slot::{MAX_PURPOSES, PurposeSlot, SubjectSlot};
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan};
use crate::subject::Revocation;

/// What of a subject is erased.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent<'a> {
    Whole,
    Purpose(&'a Purpose),
}

/// An erasure whose keys are gone from the store.
pub(super) struct DestroyedKeys {
    pub(super) erased: Erased,
    /// The slot without them.
    pub(super) slot: SubjectSlot,
    /// The journal has the completion already, and nothing had come back since.
    pub(super) already_recorded: bool,
}

/// What the lines of an erasure are to cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinesCover {
    /// The subject as a whole: every purpose that the slot has.
    WholeSubject,
    /// The subject as a whole, as it is recorded: what they don't name is meant up to line 1. A higher line came later.
    WholeAsRecorded,
    /// The purposes that they name, whatever else the slot has.
    NamedPurposes,
}

impl LinesCover {
    /// Whether nothing of these lines is left in a slot.
    fn is_destroyed(self, slot: &SubjectSlot, lines: &[ErasedLine]) -> bool {
        match self {
            Self::NamedPurposes => lines.iter().all(|l| slot.has_destroyed(&l.purpose, l.line)),
            Self::WholeSubject | Self::WholeAsRecorded => slot.has_destroyed_whole(by_purpose(lines)),
        }
    }
}

/// What became of the lines of an erasure.
pub(super) enum DestroyOutcome {
    /// They were destroyed now; the slot without them.
    Destroyed(SubjectSlot),
    /// The slot, in which nothing was left of them.
    AlreadyDestroyed(SubjectSlot),
    /// Nothing was destroyed: all of the subject is meant, and it has a purpose that the lines don't name, which may have been
    /// enrolled since; or its slot was damaged, and is another now. Decide again.
    Changed,
}

impl Tenant {
    /// Destroys what `extent` says: journals the intent, puts the tombstone, ends the issued keys. Asks `may_begin` at the head
    /// at which it appends the intent, with what the journal says and whether it or the slot knows the subject; if that says no,
    /// it destroys nothing and gives none. An intent that stands is finished without asking.
    pub(super) async fn destroy(
        &self,
        tag: &Tag,
        extent: Extent<'_>,
        may_begin: impl Fn(&History, bool) -> Result<bool> + Send + Sync,
    ) -> Result<Option<DestroyedKeys>> {
        for _ in 0..ATTEMPTS {
            let (found, cover) = match extent {
                Extent::Whole => (self.read_to_erase(tag).await?, LinesCover::WholeSubject),
                Extent::Purpose(_) => (Found::Sound(self.read_slot(tag).await?), LinesCover::NamedPurposes),
            };
            let (whole, told) = (matches!(extent, Extent::Whole), found.told());
            let decide = |history: &History| {
                let lines = self.lines_of(&found, history, extent)?;
                let covered =
                    |by: fn(&History, &Purpose) -> u32| lines.iter().all(|l| by(history, &l.purpose) >= l.line);
                let already_recorded = covered(History::done_line) && !history.whole_is_open;
                // An intent of the whole subject alone fulfills a schedule, and covers purposes that nobody here knows.
                let lacks_whole = whole && (history.scheduled.is_some() || !history.whole_intended);
                if covered(History::destroyed_line) && !lacks_whole {
                    return Ok((None, Some((lines, already_recorded))));
                }
                let known = !found.is_absent() || history.last > 0;
                if !(whole && history.whole_is_open) {
                    if history.held {
                        return Err(Error::SubjectHeld);
                    }
                    if !may_begin(history, known)? {
                        return Ok((None, None));
                    }
                }
                let event = JournalEvent::ErasureIntended { whole, known, lines: lines.clone() };
                Ok((Some(event), Some((lines, false))))
            };
            let Decided { answer, last } = self.decide(tag, told, decide).await?;
            let Some((lines, already_recorded)) = answer else { return Ok(None) };
            let slot = match &found {
                Found::Sound(read) => read.slot.as_ref(),
                Found::Damaged(_) => None,
            };
            // It is back, and no new intent says so: whoever crashes here leaves nothing to be finished.
            if already_recorded && !slot.is_some_and(|slot| cover.is_destroyed(slot, &lines)) {
                self.vault.0.clear_settling().await?;
            }
            let outcome = match &found {
                // As it was read before the journal, which knew then of everybody who was enrolled again.
                Found::Damaged(damaged) => self.bury_damaged(tag, damaged, &lines, last).await?,
                Found::Sound(_) => self.destroy_lines(tag, &lines, cover, last).await?,
            };
            let (slot, already_recorded) = match outcome {
                DestroyOutcome::Destroyed(slot) => (slot, false),
                DestroyOutcome::AlreadyDestroyed(slot) => (slot, already_recorded),
                DestroyOutcome::Changed => continue,
            };
            if whole {
                self.vault.0.unclear.end_damage(&self.slot_id(tag), last);
            }
            return Ok(Some(DestroyedKeys { erased: Erased { whole, lines }, slot, already_recorded }));
        }
        Err(Error::Conflict)
    }

    /// Destroys what is intended and not done yet, and gives it; none if there is no such thing.
    pub(super) async fn finish_intended(&self, tag: &Tag, history: &History) -> Result<Option<Erased>> {
        if history.whole_is_open {
            // Only the intent that stands: where somebody else has finished it, the subject may live on a new line, and be held.
            return match self.destroy(tag, Extent::Whole, |_, _| Ok(false)).await {
                Err(Error::SubjectHeld) => Ok(None),
                destroyed => Ok(destroyed?.map(|destroyed| destroyed.erased)),
            };
        }
        let lines = history.open();
        if lines.is_empty() {
            return Ok(None);
        }
        self.destroy_lines(tag, &lines, LinesCover::NamedPurposes, history.last).await?;
        Ok(Some(Erased { whole: false, lines }))
    }

    /// Makes a tombstone of these lines, whoever else changes the slot; then ends the issued keys. `told` is the position of an
    /// entry about the subject.
    pub(super) async fn destroy_lines(
        &self,
        tag: &Tag,
        lines: &[ErasedLine],
        cover: LinesCover,
        told: u64,
    ) -> Result<DestroyOutcome> {
        let edit = |slot: Option<&SubjectSlot>, wrapper: &Wrapper<'_>| {
            let named = |p: &PurposeSlot| lines.iter().any(|l| l.purpose == p.name);
            let lacks_one = |slot: &SubjectSlot| slot.purposes.iter().any(|p| p.is_live() && !named(p));
            if cover == LinesCover::WholeSubject && slot.is_some_and(lacks_one) {
                return Ok(Edit::Keep(DestroyOutcome::Changed));
            }
            let mut new = slot.cloned().unwrap_or_else(SubjectSlot::empty);
            if slot.is_some() && cover.is_destroyed(&new, lines) {
                return Ok(Edit::Keep(DestroyOutcome::AlreadyDestroyed(new)));
            }
            match cover {
                LinesCover::NamedPurposes => {
                    lines.iter().for_each(|l| new.destroy(&l.purpose, l.line, wrapper.now));
                }
                LinesCover::WholeSubject | LinesCover::WholeAsRecorded => {
                    new.destroy_whole(by_purpose(lines), wrapper.now);
                }
            }
            new.tell(told);
            Ok(Edit::Put(new.clone(), DestroyOutcome::Destroyed(new)))
        };
        let mut ends = EndsUnlessKnown(Some((self, tag)));
        let outcome = match cover {
            LinesCover::NamedPurposes => self.edit_slot(tag, edit).await?,
            LinesCover::WholeSubject | LinesCover::WholeAsRecorded => self.edit_to_erase(tag, edit).await?,
        };
        ends.0 = None;
        if let DestroyOutcome::Destroyed(slot) | DestroyOutcome::AlreadyDestroyed(slot) = &outcome {
            self.revoke_keys(tag, slot.erased_at());
        }
        Ok(outcome)
    }

    /// Puts a tombstone of the whole subject over a damaged slot that was read before the journal. The lines are to be all that the
    /// journal names.
    async fn bury_damaged(
        &self,
        tag: &Tag,
        damaged: &DamagedSlot,
        lines: &[ErasedLine],
        told: u64,
    ) -> Result<DestroyOutcome> {
        let mut tombstone = SubjectSlot::in_place_of_damaged(by_purpose(lines), self.vault.0.clock.wall());
        tombstone.tell(told);
        let mut ends = EndsUnlessKnown(Some((self, tag)));
        let landed = self.replace_damaged(tag, damaged, &tombstone).await?;
        ends.0 = None;
        if !landed {
            return Ok(DestroyOutcome::Changed);
        }
        self.revoke_keys(tag, tombstone.erased_at());
        Ok(DestroyOutcome::Destroyed(tombstone))
    }

    /// Ends the subject's keys that callers in this process hold: for good where it was erased, else they must be read again.
    pub(super) fn revoke_keys(&self, tag: &Tag, erased_at: Option<Timestamp>) {
        let vault = &self.vault.0;
        let revocation = erased_at.map_or(Revocation::Outdated, |at| Revocation::Erased { at });
        vault.issued.revoke(tag, revocation, vault.now());
        vault.cache.forget(tag);
    }

    /// Which lines an erasure destroys: those that slot or journal name. A subject that was never seen, or whose slot nobody can
    /// read, gets tombstones of every purpose that the vault has, too.
    fn lines_of(&self, found: &Found, history: &History, extent: Extent<'_>) -> Result<Vec<ErasedLine>> {
        let mut lines: BTreeMap<&Purpose, u32> = BTreeMap::new();
        lines.extend(history.purposes().map(|purpose| (purpose, history.highest_line(purpose))));
        for purpose in found.slot().iter().flat_map(|slot| &slot.purposes) {
            let line = lines.entry(&purpose.name).or_default();
            *line = purpose.line.max(*line);
        }
        let declared = &self.vault.0.purposes;
        if lines.is_empty() || found.is_damaged() {
            // As many as a slot has room for: as a whole it is erased all the same.
            for purpose in declared {
                if lines.len() < MAX_PURPOSES {
                    lines.entry(purpose).or_insert(1);
                }
            }
        }
        if let Extent::Purpose(purpose) = extent {
            if !lines.contains_key(purpose) && !declared.contains(purpose) {
                return Err(Error::PurposeUnknown);
            }
            let line = lines.get(purpose).copied().unwrap_or(1);
            lines = BTreeMap::from([(purpose, line)]);
        }
        if lines.len() > MAX_PURPOSES {
            return Err(Error::invalid(
                "slot and journal name more than 16 purposes of the subject: erase them one by one",
            ));
        }
        Ok(lines.into_iter().map(|(purpose, line)| ErasedLine::new(purpose.clone(), line.max(1))).collect())
    }

    /// Destroys a tenant's wrapping keys, without which nothing of it opens. One that was never seen gets a slot without
    /// any: whoever is making it at the same time fails.
    pub(super) async fn destroy_tenant_keys(&self) -> Result<()> {
        let vault = &self.vault.0;
        for attempt in 0.. {
            self.cached.forget();
            match self.cached.any_state(vault).await? {
                Some(state) if state.erased_at.is_some() => break,
                _ if attempt < ATTEMPTS => {}
                _ => return Err(Error::Conflict),
            }
            if self.cached.history(vault).await?.done.is_some() {
                vault.clear_settling().await?; // it is back
            }
            self.cached.change(vault, TenantChange::Erase(vault.clock.wall())).await?;
        }
        vault.revoke_all();
        Ok(())
    }

    /// Makes tombstones of the subjects of a tenant that was erased: what they hold opens no more. Gives those of whom none can be
    /// made, and why: they hold up nobody else.
    pub(super) async fn make_tombstones(&self) -> Result<BTreeMap<SlotId, Error>> {
        let mut left = BTreeMap::new();
        let vault = &self.vault.0;
        let Some(state) = self.cached.any_state(vault).await? else { return Ok(left) };
        let mut scan = Scan::new(Filter::All).tenant(self.id().clone());
        loop {
            let page = vault.store.scan(&scan).await?;
            // What says of itself that it is a tombstone may be damaged.
            let is_tombstone = |stored: &StoredSlot| {
                stored.epoch().is_none()
                    && SubjectSlot::open(stored, &state.root).is_ok_and(|slot| slot.epoch.is_none())
            };
            let sound = page.slots.iter().filter(|stored| !is_tombstone(stored)).map(StoredSlot::id);
            let tags = sound.chain(page.damaged.iter().map(|(id, _)| id)).filter_map(|id| match id {
                SlotId::Subject(_, tag) => Some(*tag),
                _ => None,
            });
            let bury = |tag: Tag| async move { (tag, self.make_tombstone(&tag).await) };
            let burials = tags.map(bury).collect::<Vec<_>>();
            let buried: Vec<_> = stream::iter(burials).buffer_unordered(WRITES_AT_ONCE).collect().await;
            for (tag, buried) in buried {
                match buried {
                    Err(e) if is_of_one_slot(&e) => drop(left.insert(self.slot_id(&tag), e)),
                    buried => buried?,
                }
            }
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(left),
            }
        }
    }

    /// Makes a tombstone of a subject of a tenant that was erased.
    pub(super) async fn make_tombstone(&self, tag: &Tag) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let found = self.read_to_erase(tag).await?;
            let is_done = match &found {
                Found::Sound(ReadSlot { state, stored, slot }) => {
                    let Some(slot) = slot.as_ref().filter(|slot| slot.epoch.is_some()) else { return Ok(()) };
                    let mut new = slot.clone();
                    new.destroy_whole(slot.purposes.iter().map(|p| (&p.name, p.line)), self.vault.0.clock.wall());
                    self.put_slot(&new.seal(self.id(), *tag, &state.root)?, stored.as_ref()).await?
                }
                Found::Damaged(damaged) => {
                    let history = self.history(tag, 0).await?;
                    let lines = self.lines_of(&found, &history, Extent::Whole)?;
                    let buried = self.bury_damaged(tag, damaged, &lines, history.last).await?;
                    matches!(buried, DestroyOutcome::Destroyed(_))
                }
            };
            if is_done {
                return Ok(());
            }
        }
        Err(Error::Conflict)
    }
}

/// Lines as a slot takes them.
pub(super) fn by_purpose(lines: &[ErasedLine]) -> impl Iterator<Item = (&Purpose, u32)> {
    lines.iter().map(|line| (&line.purpose, line.line))
}

/// Has a subject's keys read again where its destruction was dropped or failed: nobody knows whether it landed, and the next
/// `erase_due` does not meet a tombstone again.
struct EndsUnlessKnown<'a>(Option<(&'a Tenant, &'a Tag)>);

impl Drop for EndsUnlessKnown<'_> {
    fn drop(&mut self) {
        if let Some((tenant, tag)) = self.0 {
            tenant.revoke_keys(tag, None);
        }
    }
}
