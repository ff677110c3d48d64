//! The vault's slot: the root of the whole store, its epochs and index epochs, its `max_age`, the journal it is bound to, and
//! how far that was compared with the store.

use std::time::Duration;

use super::tenant::MAX_EPOCHS;
use super::{Body, Columns, Date, Epoch, SlotId, SlotState, StoredSlot, WrappedRoot};
use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::keys::{MasterKeyId, RootKey};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VaultSlot {
    pub(crate) root: WrappedRoot,
    /// How long a snapshot of keys may be used, at most, by anybody.
    pub(crate) max_age: Duration,
    /// The journal that the store is bound to; none if it was made without one.
    pub(crate) journal: Option<[u8; 16]>,
    /// The end of the journal's prefix whose effects were found in the store, but for what waits.
    pub(crate) applied: Point,
    /// A build checks from here. Not above `applied`.
    pub(crate) settled: Point,
    /// What `settled` becomes, and when that was set; above `settled`, and not above `applied`.
    pub(crate) settling: Option<(Point, Timestamp)>,
    /// The position of the last journal entry about the whole store that the slot was written after; 0 for none.
    pub(crate) told: u64,
    /// Positions up to `applied` of entries whose slot could not be checked, in ascending order.
    pub(crate) waiting: Vec<u64>,
    /// In ascending order, the last one current.
    pub(crate) epochs: Vec<EpochRecord>,
    /// Those that live, in ascending order.
    pub(crate) index_epochs: Vec<IndexEpochRecord>,
}

/// A head of the journal, as the slot names it: the last entry's position, counted from 1, and the chain's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) position: u64,
    pub(crate) hash: [u8; 32],
}

impl Point {
    /// Before the first entry.
    pub(crate) const NONE: Self = Self { position: 0, hash: [0; 32] };

    fn is_canonical(&self) -> bool {
        self.position > 0 || *self == Self::NONE
    }

    fn write(&self, w: &mut Writer) {
        w.u64(self.position).put(&self.hash);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self { position: r.u64()?, hash: r.array()? })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EpochRecord {
    pub(crate) epoch: Epoch,
    pub(crate) state: EpochState,
    pub(crate) created_at: Timestamp,
    pub(crate) master: MasterKeyId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochState {
    Live,
    Retired,
}

/// A generation of index keys, for the whole store. 1, 2, ..
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEpochRecord {
    pub(crate) number: u32,
    pub(crate) opened_at: Timestamp,
    pub(crate) state: IndexEpochState,
    /// From when on writers leave the one before it.
    pub(crate) alone_from: Date,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexEpochState {
    /// Not every value has its token of it: it has no date.
    Open,
    /// Every value has.
    Settled,
}

/// The most positions that wait.
pub(crate) const MAX_WAITING: usize = 1024;

impl VaultSlot {
    /// Reads the root out of the slot before its MAC can be checked: the root is what the MAC is checked with.
    pub(crate) fn root_of(stored: &StoredSlot) -> Result<WrappedRoot> {
        super::root_of(stored)
    }

    pub(crate) fn open(stored: &StoredSlot, root: &RootKey) -> Result<Self> {
        super::open(stored, root)
    }

    pub(crate) fn seal(&self, root: &RootKey) -> Result<StoredSlot> {
        if !self.is_canonical() {
            return Err(Error::Bug("the vault's slot out of order"));
        }
        super::seal(SlotId::Vault, self, root)
    }

    /// The epoch that new keys are wrapped under.
    pub(crate) fn current(&self) -> Result<&EpochRecord> {
        self.epochs.last().ok_or(Error::Bug("a vault's slot without an epoch"))
    }

    /// Moves `applied` to the end of what was compared, and found in the store.
    pub(crate) fn apply(&mut self, up_to: Point) {
        self.applied = up_to;
    }

    /// Has builds check from there, and lets nothing settle that was not found in the store before.
    pub(crate) fn check_from(&mut self, point: Point) {
        if point.position < self.settled.position {
            (self.settled, self.settling) = (point, None);
        }
    }

    /// Settles what has been settling for longer than the window, and lets begin to settle what is applied. The earliest clock
    /// says that the window is over, the latest one when it begins: one of them is right.
    pub(crate) fn settle(&mut self, earliest: Timestamp, latest: Timestamp, window: Duration) {
        match self.settling {
            Some((point, since)) if earliest.since(since) > window => (self.settled, self.settling) = (point, None),
            // A clock that was ahead has dated it: its window would not be over before that moment has come.
            Some((_, since)) if since > latest => self.settling = None,
            _ => {}
        }
        if self.settling.is_none() && self.applied.position > self.settled.position {
            self.settling = Some((self.applied, latest));
        }
    }

    /// Whether [`settle`](Self::settle) may find something to do, by one clock that may be wrong.
    pub(crate) fn may_settle(&self, now: Timestamp, window: Duration) -> bool {
        match self.settling {
            Some((_, since)) => now.since(since) > window || since > now,
            None => self.applied.position > self.settled.position,
        }
    }

    /// Notes an entry about the whole store that the slot is written after.
    pub(crate) fn tell(&mut self, position: u64) {
        self.told = self.told.max(position);
    }

    fn is_canonical(&self) -> bool {
        self.epochs.is_sorted_by(|a, b| a.epoch < b.epoch)
            && self.epochs.last().is_some_and(|last| last.state == EpochState::Live)
            && u64::try_from(self.max_age.as_millis()).is_ok_and(|ms| ms > 0)
            && self.max_age.subsec_nanos().is_multiple_of(1_000_000)
            && self.points_are_canonical()
            && self.waiting.len() <= MAX_WAITING
            && self.waiting.is_sorted_by(|a, b| a < b)
            && self.waiting.iter().all(|position| (1..=self.applied.position).contains(position))
            && (self.journal.is_some() || (self.applied.position == 0 && self.told == 0))
            && self.index_epochs.len() <= MAX_EPOCHS
            && self.index_epochs.is_sorted_by(|a, b| a.number < b.number)
            && self.index_epochs.iter().all(IndexEpochRecord::is_canonical)
    }

    fn points_are_canonical(&self) -> bool {
        let settling = self.settling.as_ref().map(|(point, _)| point);
        let in_order = settling.is_none_or(|settling| {
            self.settled.position < settling.position && settling.position <= self.applied.position
        });
        let canonical = [&self.applied, &self.settled].into_iter().chain(settling).all(Point::is_canonical);
        canonical && in_order && self.settled.position <= self.applied.position
    }
}

impl Body for VaultSlot {
    fn columns(&self) -> Columns {
        Columns { state: SlotState::Live, epoch: Some(self.root.epoch), due: None }
    }

    fn write(&self, w: &mut Writer) {
        self.root.write(w);
        w.u64(u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX));
        match self.journal {
            None => w.u8(0),
            Some(id) => w.u8(1).put(&id),
        };
        self.applied.write(w);
        self.settled.write(w);
        match &self.settling {
            None => w.u8(0),
            Some((point, since)) => {
                point.write(w.u8(1));
                w.u64(since.as_millis())
            }
        };
        w.u64(self.told);
        w.u16(u16::try_from(self.waiting.len()).unwrap_or(u16::MAX));
        for position in &self.waiting {
            w.u64(*position);
        }
        w.u16(u16::try_from(self.epochs.len()).unwrap_or(u16::MAX));
        for record in &self.epochs {
            w.u32(record.epoch.get());
            w.u8(match record.state {
                EpochState::Live => 1,
                EpochState::Retired => 2,
            });
            w.u64(record.created_at.as_millis()).bytes(record.master.as_str().as_bytes());
        }
        w.u8(u8::try_from(self.index_epochs.len()).unwrap_or(u8::MAX));
        for record in &self.index_epochs {
            record.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        let slot = Self {
            root: WrappedRoot::read(r)?,
            max_age: Duration::from_millis(r.u64()?),
            journal: match r.u8()? {
                0 => None,
                1 => Some(r.array()?),
                _ => return Err(Damaged),
            },
            applied: Point::read(r)?,
            settled: Point::read(r)?,
            settling: match r.u8()? {
                0 => None,
                1 => Some((Point::read(r)?, Timestamp::from_millis(r.u64()?))),
                _ => return Err(Damaged),
            },
            told: r.u64()?,
            waiting: (0..super::at_most(r.u16()?.into(), MAX_WAITING)?).map(|_| r.u64()).collect::<Result<_, _>>()?,
            epochs: (0..r.u16()?).map(|_| EpochRecord::read(r)).collect::<Result<_, _>>()?,
            index_epochs: (0..super::at_most(r.u8()?.into(), MAX_EPOCHS)?)
                .map(|_| IndexEpochRecord::read(r))
                .collect::<Result<_, _>>()?,
        };
        if slot.is_canonical() { Ok(slot) } else { Err(Damaged) }
    }
}

impl EpochRecord {
    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            epoch: Epoch::new(r.u32()?).ok_or(Damaged)?,
            state: match r.u8()? {
                1 => EpochState::Live,
                2 => EpochState::Retired,
                _ => return Err(Damaged),
            },
            created_at: Timestamp::from_millis(r.u64()?),
            master: MasterKeyId::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?,
        })
    }
}

impl IndexEpochRecord {
    fn is_canonical(&self) -> bool {
        self.number > 0
            && self.alone_from.is_canonical()
            && (self.state == IndexEpochState::Settled || self.alone_from == Date::Undated)
    }

    fn write(&self, w: &mut Writer) {
        w.u32(self.number).u64(self.opened_at.as_millis());
        w.u8(match self.state {
            IndexEpochState::Open => 1,
            IndexEpochState::Settled => 2,
        });
        self.alone_from.write(w);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            number: r.u32()?,
            opened_at: Timestamp::from_millis(r.u64()?),
            state: match r.u8()? {
                1 => IndexEpochState::Open,
                2 => IndexEpochState::Settled,
                _ => return Err(Damaged),
            },
            alone_from: Date::read(r)?,
        })
    }
}
