//! Carrying out an erasure: the intent, the tombstone, the end of issued keys, completion. Whoever finds one that is intended
//! and not done finishes it: the caller's next try, an enrollment, or the next vault that is built.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use super::cached_tenant::TenantChange;
use super::decide::Erased;
use super::slots::{Edit, Wrapper, is_of_one_slot};
use super::verified::Decided;
use super::{ATTEMPTS, Tenant, WRITES_AT_ONCE};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::Purpose;
use crate::journal::history::History;
use crate::journal::{ErasedLine, JournalEvent};
use crate::keys::slot::{MAX_PURPOSES, PurposeSlot, SubjectSlot};
use crate::keys::{SlotId, Tag};
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

/// What became of the lines of an erasure.
pub(super) enum DestroyOutcome {
    /// They were destroyed now; the slot without them.
    Destroyed(SubjectSlot),
    /// The slot, in which nothing was left of them.
    AlreadyDestroyed(SubjectSlot),
    /// Nothing was destroyed: all of the subject is meant, and it has a purpose that the lines don't name.
    UnnamedPurpose,
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
            let read = self.read_slot(tag).await?;
            let (told, slot) = (read.told(), read.slot);
            let whole = matches!(extent, Extent::Whole);
            let cover = if whole { LinesCover::WholeSubject } else { LinesCover::NamedPurposes };
            let decide = |history: &History| {
                let lines = self.lines_of(slot.as_ref(), history, extent)?;
                let covered =
                    |by: fn(&History, &Purpose) -> u32| lines.iter().all(|l| by(history, &l.purpose) >= l.line);
                let already_recorded = covered(History::done_line) && !history.whole_is_open;
                // An intent of the whole subject alone fulfills a schedule, and covers purposes that nobody here knows.
                let lacks_whole = whole && (history.scheduled.is_some() || !history.whole_intended);
                if covered(History::destroyed_line) && !lacks_whole {
                    return Ok((None, Some((lines, already_recorded))));
                }
                // A slot that is damaged is none that can be read, and not none: the erasure has failed by now.
                let known = slot.is_some() || history.last > 0;
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
            // Another purpose may have been enrolled since the slot was read: then it must be named, too.
            let (slot, already_recorded) = match self.destroy_lines(tag, &lines, cover, last).await? {
                DestroyOutcome::Destroyed(slot) => (slot, false),
                DestroyOutcome::AlreadyDestroyed(slot) => (slot, already_recorded),
                DestroyOutcome::UnnamedPurpose => continue,
            };
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
                return Ok(Edit::Keep(DestroyOutcome::UnnamedPurpose));
            }
            let mut new = slot.cloned().unwrap_or_else(SubjectSlot::empty);
            let destroyed = match cover {
                LinesCover::NamedPurposes => lines.iter().all(|l| new.has_destroyed(&l.purpose, l.line)),
                LinesCover::WholeSubject | LinesCover::WholeAsRecorded => new.has_destroyed_whole(by_purpose(lines)),
            };
            if slot.is_some() && destroyed {
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
        let outcome = self.edit_slot(tag, edit).await?;
        ends.0 = None;
        if let DestroyOutcome::Destroyed(slot) | DestroyOutcome::AlreadyDestroyed(slot) = &outcome {
            self.revoke_keys(tag, slot.erased_at());
        }
        Ok(outcome)
    }

    /// Ends the subject's keys that callers in this process hold: for good where it was erased, else they must be read again.
    pub(super) fn revoke_keys(&self, tag: &Tag, erased_at: Option<Timestamp>) {
        let vault = &self.vault.0;
        let revocation = erased_at.map_or(Revocation::Outdated, |at| Revocation::Erased { at });
        vault.issued.revoke(tag, revocation, vault.now());
        vault.cache.forget(tag);
    }

    /// Which lines an erasure destroys: those that slot or journal name. A subject that was never seen gets tombstones of
    /// every purpose that the vault has.
    fn lines_of(&self, slot: Option<&SubjectSlot>, history: &History, extent: Extent<'_>) -> Result<Vec<ErasedLine>> {
        let mut lines: BTreeMap<&Purpose, u32> = BTreeMap::new();
        lines.extend(history.purposes().map(|purpose| (purpose, history.highest_line(purpose))));
        for purpose in slot.iter().flat_map(|slot| &slot.purposes) {
            let line = lines.entry(&purpose.name).or_default();
            *line = purpose.line.max(*line);
        }
        let declared = &self.vault.0.purposes;
        if lines.is_empty() {
            lines.extend(declared.iter().map(|purpose| (purpose, 1)));
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
            self.cached.change(vault, TenantChange::Erase(vault.clock.wall())).await?;
        }
        vault.revoke_all();
        Ok(())
    }

    /// Makes tombstones of the subjects of a tenant that was erased: what they hold opens no more. Gives those of whom none can be
    /// made, and why: they hold up nobody else.
    pub(super) async fn make_tombstones(&self) -> Result<BTreeMap<SlotId, Error>> {
        let mut left = BTreeMap::new();
        let mut scan = Scan::new(Filter::All).tenant(self.id().clone());
        loop {
            let page = self.vault.0.store.scan(&scan).await?;
            let tags = page.slots.iter().filter(|slot| slot.epoch().is_some()).filter_map(|slot| match slot.id() {
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
        self.edit_slot(tag, |slot, wrapper| {
            let Some(slot) = slot.filter(|slot| slot.epoch.is_some()) else { return Ok(Edit::Keep(())) };
            let mut new = slot.clone();
            new.destroy_whole(slot.purposes.iter().map(|p| (&p.name, p.line)), wrapper.now);
            Ok(Edit::Put(new, ()))
        })
        .await
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
