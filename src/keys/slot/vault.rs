//! The vault's slot: the root of the whole store, its epochs, its `max_age`, the journal it is bound to.

use std::time::Duration;

use super::{Body, Columns, Epoch, Revision, SlotId, SlotState, StoredSlot, WrappedRoot};
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
    /// The end of the journal's prefix whose effects are known to be in the store: entries, and the chain's hash.
    pub(crate) applied: (u64, [u8; 32]),
    /// In ascending order, the last one current.
    pub(crate) epochs: Vec<EpochRecord>,
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

impl VaultSlot {
    /// Reads the root out of the slot before its MAC can be checked: the root is what the MAC is checked with.
    pub(crate) fn root_of(stored: &StoredSlot) -> Result<WrappedRoot> {
        let (body, _) = stored.as_bytes().split_last_chunk::<{ Revision::LEN }>().ok_or(Error::Bug("no MAC"))?;
        Ok(super::parse::<Self>(body)?.root)
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

    fn is_canonical(&self) -> bool {
        self.epochs.is_sorted_by(|a, b| a.epoch < b.epoch)
            && self.epochs.last().is_some_and(|last| last.state == EpochState::Live)
            && u64::try_from(self.max_age.as_millis()).is_ok_and(|ms| ms > 0)
            && self.max_age.subsec_nanos().is_multiple_of(1_000_000)
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
        w.u64(self.applied.0).put(&self.applied.1);
        w.u16(u16::try_from(self.epochs.len()).unwrap_or(u16::MAX));
        for record in &self.epochs {
            w.u32(record.epoch.get());
            w.u8(match record.state {
                EpochState::Live => 1,
                EpochState::Retired => 2,
            });
            w.u64(record.created_at.as_millis()).bytes(record.master.as_str().as_bytes());
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
            applied: (r.u64()?, r.array()?),
            epochs: (0..r.u16()?).map(|_| EpochRecord::read(r)).collect::<Result<_, _>>()?,
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
