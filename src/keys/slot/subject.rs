//! A subject's slot: every purpose, line and version of its data keys; or what is left of them.

use super::{Body, Columns, Date, Epoch, SlotId, SlotState, StoredSlot, at_most, flag, millis, moment};
use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::error::{Error, Result};
use crate::id::{Id, Purpose, TenantId};
use crate::keys::{RootKey, Tag, WRAPPED_LEN};

/// The most purposes of a tenant.
pub(crate) const MAX_PURPOSES: usize = 16;
/// The most versions of one purpose's key.
pub(crate) const MAX_VERSIONS: usize = 64;
/// The most destroyed keys that a purpose remembers. Whoever destroys more keeps the newest.
pub(crate) const MAX_DESTROYED: usize = 512;

/// What is known of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubjectSlot {
    /// The epoch whose wrapping key every key in the slot is wrapped under; none where there is no key.
    pub(crate) epoch: Option<Epoch>,
    /// When the retention period ends.
    pub(crate) retain_until: Option<Timestamp>,
    /// A copy of what the journal says: when a scheduled erasure destroys the keys. Until then they are kept, and can't be used.
    pub(crate) erase_at: Option<Timestamp>,
    /// When a sweep closed the subject, because its retention period had ended: its keys can't be used, and the erasure that
    /// follows may have begun. Not before the period ends.
    pub(crate) closed_at: Option<Timestamp>,
    /// When the subject was last erased as a whole: from then on every purpose that isn't named is destroyed up to line 1.
    pub(crate) whole_at: Option<Timestamp>,
    /// A copy of what the journal says: a hold stands.
    pub(crate) held: bool,
    /// An erasure as a whole replaced a damaged slot: the destroyed keys are not all known.
    pub(crate) replaced: bool,
    /// The position of the last journal entry about the subject that the slot was written after; 0 for none.
    pub(crate) told: u64,
    /// By name, in ascending order.
    pub(crate) purposes: Vec<PurposeSlot>,
}

/// One line of data keys, and what was destroyed before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PurposeSlot {
    pub(crate) name: Purpose,
    /// The line it is at: the live one, or the last one destroyed.
    pub(crate) line: u32,
    /// When the last of its lines that was destroyed was destroyed.
    pub(crate) erased_at: Option<Timestamp>,
    /// The ids of the keys that were destroyed, by erasures and by retirement, of this line and the ones before.
    pub(crate) destroyed: Vec<KeyId>,
    /// By number, in ascending order; none where the line is destroyed.
    pub(crate) versions: Vec<KeyVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyVersion {
    pub(crate) number: u32,
    pub(crate) created_at: Timestamp,
    /// From when on it may be sealed under; undated until it is known to have landed (see rotation).
    pub(crate) seal_from: Date,
    pub(crate) key_id: KeyId,
    pub(crate) wrapped: [u8; WRAPPED_LEN],
}

impl SubjectSlot {
    pub(crate) fn open(stored: &StoredSlot, root: &RootKey) -> Result<Self> {
        super::open(stored, root)
    }

    pub(crate) fn seal(&self, tenant: &TenantId, tag: Tag, root: &RootKey) -> Result<StoredSlot> {
        if self.purposes.len() > MAX_PURPOSES {
            return Err(Error::invalid("a subject has at most 16 purposes"));
        }
        if self.purposes.iter().any(|p| p.versions.len() > MAX_VERSIONS) {
            return Err(Error::invalid("a purpose has at most 64 key versions at one time"));
        }
        if self.moments().any(|moment| moment.as_millis() == 0) {
            return Err(Error::invalid(
                "a slot reads 1970-01-01T00:00:00Z as no moment: set the clock, or another due date",
            ));
        }
        // A slot that is written and can't be read is lost for good.
        if self.purposes.iter().any(|p| p.destroyed.len() > MAX_DESTROYED) || !self.is_canonical() {
            return Err(Error::Bug("a subject's slot out of order"));
        }
        super::seal(SlotId::Subject(tenant.clone(), tag), self, root)
    }

    pub(crate) fn purpose(&self, name: &Purpose) -> Option<&PurposeSlot> {
        self.purposes.iter().find(|p| p.name == *name)
    }

    /// When the last purpose was erased; none while one lives.
    pub(crate) fn erased_at(&self) -> Option<Timestamp> {
        if self.purposes.iter().any(PurposeSlot::is_live) {
            return None;
        }
        self.purposes.iter().filter_map(|p| p.erased_at).max()
    }

    /// A slot of nothing, to be filled: it can't be written before a purpose is in it.
    pub(crate) fn empty() -> Self {
        Self {
            epoch: None,
            retain_until: None,
            erase_at: None,
            closed_at: None,
            whole_at: None,
            held: false,
            replaced: false,
            told: 0,
            purposes: Vec::new(),
        }
    }

    /// The tombstone of a subject that was erased as a whole, and whose slot was damaged: which keys it had nobody knows.
    pub(crate) fn in_place_of_damaged<'a>(lines: impl Iterator<Item = (&'a Purpose, u32)>, at: Timestamp) -> Self {
        let mut slot = Self { replaced: true, ..Self::empty() };
        slot.destroy_whole(lines, at);
        slot
    }

    /// Notes an entry about the subject that the slot is written after.
    pub(crate) fn tell(&mut self, position: u64) {
        self.told = self.told.max(position);
    }

    /// Whether no key of this line, or of one below, is there or can still come: a tombstone stands at or above it, or a live
    /// line above. An erasure as a whole is a tombstone of the first line of every purpose that isn't named.
    pub(crate) fn has_destroyed(&self, purpose: &Purpose, line: u32) -> bool {
        match self.purpose(purpose) {
            Some(p) if p.is_live() => p.line > line,
            Some(p) => p.line >= line,
            None => line <= 1 && self.whole_at.is_some(),
        }
    }

    /// Whether the subject was erased as a whole, and nothing of it is back: of these purposes no key up to their lines, of
    /// every other one none of line 1.
    pub(crate) fn has_destroyed_whole<'a>(&self, mut lines: impl Iterator<Item = (&'a Purpose, u32)>) -> bool {
        self.whole_at.is_some()
            && self.purposes.iter().all(|p| self.has_destroyed(&p.name, 1))
            && lines.all(|(name, line)| self.has_destroyed(name, line))
    }

    /// Destroys the subject as a whole: of these purposes what they have up to their lines, of every other one up to line 1.
    pub(crate) fn destroy_whole<'a>(&mut self, lines: impl Iterator<Item = (&'a Purpose, u32)>, at: Timestamp) {
        self.whole_at = Some(at);
        let first: Vec<Purpose> = self.purposes.iter().filter(|p| p.line == 1).map(|p| p.name.clone()).collect();
        first.iter().for_each(|name| self.destroy(name, 1, at));
        lines.for_each(|(name, line)| self.destroy(name, line, at));
    }

    /// Destroys what a purpose has up to a line; a higher one stays. A purpose that is not there gets a tombstone too, so
    /// that no enrollment takes it for new.
    pub(crate) fn destroy(&mut self, name: &Purpose, line: u32, at: Timestamp) {
        match self.purposes.iter_mut().find(|p| p.name == *name) {
            Some(purpose) if purpose.line > line => return,
            Some(purpose) => {
                purpose.line = line;
                if purpose.is_live() || purpose.erased_at.is_none() {
                    purpose.erased_at = Some(at);
                }
                purpose.destroyed.extend(purpose.versions.drain(..).map(|version| version.key_id));
                let too_many = purpose.destroyed.len().saturating_sub(MAX_DESTROYED);
                purpose.destroyed.drain(..too_many);
            }
            None => {
                self.purposes.push(PurposeSlot {
                    name: name.clone(),
                    line,
                    erased_at: Some(at),
                    destroyed: Vec::new(),
                    versions: Vec::new(),
                });
                self.purposes.sort_by(|a, b| a.name.cmp(&b.name));
            }
        }
        if !self.purposes.iter().any(PurposeSlot::is_live) {
            // What is left tells what was destroyed; nothing is kept, scheduled or held any more.
            let purposes = std::mem::take(&mut self.purposes);
            *self =
                Self { purposes, whole_at: self.whole_at, replaced: self.replaced, told: self.told, ..Self::empty() };
        }
    }

    /// Where a schedule or a sweep closed it, so that its keys can't be used although they may be there: when it is due.
    pub(crate) fn closed(&self) -> Option<Timestamp> {
        let retained = self.retain_until.filter(|_| self.closed_at.is_some());
        self.erase_at.into_iter().chain(retained).min()
    }

    /// From when on its keys can't be used, although nobody closes it: its retention period ends, and no hold stands.
    pub(crate) fn closes_at(&self) -> Option<Timestamp> {
        self.retain_until.filter(|_| !self.held)
    }

    /// [`closed`](Self::closed), or its period has ended.
    pub(crate) fn closed_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.closed().or(self.closes_at().filter(|end| *end <= now))
    }

    /// Whether a version is undated: nobody knows when to seal under it.
    pub(crate) fn has_undated(&self) -> bool {
        self.purposes.iter().flat_map(|p| &p.versions).any(|v| v.seal_from == Date::Undated)
    }

    /// Dates every version that is undated; true if there was any. Only for a slot that was read: what was read has landed.
    pub(crate) fn date_undated(&mut self, from: Timestamp) -> bool {
        let any = self.has_undated();
        let versions = self.purposes.iter_mut().flat_map(|p| &mut p.versions);
        versions.filter(|v| v.seal_from == Date::Undated).for_each(|v| v.seal_from = Date::Dated(from));
        any
    }

    fn state(&self) -> SlotState {
        match (self.epoch, self.closed()) {
            (None, _) => SlotState::Erased,
            (Some(_), Some(_)) => SlotState::Scheduled,
            (Some(_), None) => SlotState::Live,
        }
    }

    /// Every moment that is encoded as 0 where there is none.
    fn moments(&self) -> impl Iterator<Item = Timestamp> {
        let versions = self.purposes.iter().flat_map(|p| &p.versions);
        let of_slot = [self.retain_until, self.erase_at, self.closed_at, self.whole_at].into_iter();
        let of_versions = versions.map(|v| v.seal_from.moment());
        of_slot.chain(self.purposes.iter().map(|p| p.erased_at)).chain(of_versions).flatten()
    }

    /// What makes the encoding the only one, and the slot sound: order, and keys exactly where there is an epoch; closed only
    /// where a period has ended, and a damaged slot replaced only as a whole.
    fn is_canonical(&self) -> bool {
        let sound = |p: &PurposeSlot| {
            p.line > 0
                && p.versions.is_sorted_by(|a, b| a.number < b.number)
                && p.versions.iter().all(|v| v.number > 0)
                && (p.is_live() || p.erased_at.is_some())
        };
        !self.purposes.is_empty()
            && self.purposes.is_sorted_by(|a, b| a.name < b.name)
            && self.purposes.iter().all(sound)
            && self.epoch.is_some() == self.purposes.iter().any(PurposeSlot::is_live)
            && self.closed_at.is_none_or(|at| self.retain_until.is_some_and(|until| until <= at))
            && (self.whole_at.is_some() || !self.replaced)
    }
}

impl Body for SubjectSlot {
    fn columns(&self) -> Columns {
        let due = [self.retain_until, self.erase_at].into_iter().flatten().min();
        Columns { state: self.state(), epoch: self.epoch, due }
    }

    fn write(&self, w: &mut Writer) {
        w.u32(self.epoch.map_or(0, Epoch::get)).u64(millis(self.retain_until)).u64(millis(self.erase_at));
        w.u64(millis(self.closed_at)).u64(millis(self.whole_at));
        w.u8(u8::from(self.held)).u8(u8::from(self.replaced)).u64(self.told);
        w.u8(count(self.purposes.len()));
        for purpose in &self.purposes {
            w.bytes(purpose.name.as_str().as_bytes()).u32(purpose.line);
            w.u64(millis(purpose.erased_at));
            w.u16(u16::try_from(purpose.destroyed.len()).unwrap_or(u16::MAX));
            for id in &purpose.destroyed {
                w.put(id.as_bytes());
            }
            w.u8(count(purpose.versions.len()));
            for version in &purpose.versions {
                w.u32(version.number).u64(version.created_at.as_millis());
                version.seal_from.write(w);
                w.put(version.key_id.as_bytes()).put(&version.wrapped);
            }
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        let slot = Self {
            epoch: Epoch::new(r.u32()?),
            retain_until: moment(r.u64()?),
            erase_at: moment(r.u64()?),
            closed_at: moment(r.u64()?),
            whole_at: moment(r.u64()?),
            held: flag(r.u8()?)?,
            replaced: flag(r.u8()?)?,
            told: r.u64()?,
            purposes: (0..at_most(r.u8()?.into(), MAX_PURPOSES)?)
                .map(|_| PurposeSlot::read(r))
                .collect::<Result<_, _>>()?,
        };
        if slot.is_canonical() { Ok(slot) } else { Err(Damaged) }
    }
}

impl PurposeSlot {
    pub(crate) fn is_live(&self) -> bool {
        !self.versions.is_empty()
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            name: Purpose::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?,
            line: r.u32()?,
            erased_at: moment(r.u64()?),
            destroyed: (0..at_most(r.u16()?.into(), MAX_DESTROYED)?)
                .map(|_| r.array().map(KeyId::from_bytes))
                .collect::<Result<_, _>>()?,
            versions: (0..at_most(r.u8()?.into(), MAX_VERSIONS)?)
                .map(|_| KeyVersion::read(r))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl KeyVersion {
    /// Whether it was made or dated by a clock that was ahead: later than this horizon. Nobody waits for its time, and it counts
    /// as older than any moment, or an emergency rotation would pass it over. No reader replaces it: to a host that is behind, the
    /// versions of everybody are so.
    pub(crate) fn is_absurd(&self, horizon: Timestamp) -> bool {
        self.created_at > horizon || self.seal_from.is_absurd(horizon)
    }

    /// From when on it is sealed under, as far as that is known: one that is at once, from its making.
    pub(crate) fn sealed_from(&self) -> Option<Timestamp> {
        match self.seal_from {
            Date::Undated => None,
            Date::Dated(from) => Some(from),
            Date::AtOnce => Some(self.created_at),
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            number: r.u32()?,
            created_at: Timestamp::from_millis(r.u64()?),
            seal_from: Date::read(r)?,
            key_id: KeyId::from_bytes(r.array()?),
            wrapped: r.array()?,
        })
    }
}

/// Checked by [`SubjectSlot::seal`] to fit.
fn count(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}
