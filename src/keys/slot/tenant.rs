//! A tenant's slot: its root, its wrapping key of each epoch, its index keys; each wrapped by the provider.

use super::{Body, Columns, Date, Epoch, SlotId, SlotState, StoredSlot, WrappedRoot, at_most, millis, moment};
use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::TenantId;
use crate::keys::RootKey;

/// The most epochs, and the most index epochs, that a tenant's slot holds keys of at one time: as many may be open.
pub(crate) const MAX_EPOCHS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantSlot {
    /// It outlives the tenant's erasure: the tombstones of its subjects are authenticated by it.
    pub(crate) root: WrappedRoot,
    /// When the tenant was erased: it has no other key since, and never gets one.
    pub(crate) erased_at: Option<Timestamp>,
    /// The position of the last journal entry about the tenant itself that the slot was written after; 0 for none.
    pub(crate) told: u64,
    /// Each under the master key of its own epoch; by epoch, in ascending order.
    pub(crate) epoch_keys: Vec<WrappedRoot>,
    /// By index epoch, in ascending order.
    pub(crate) index_keys: Vec<WrappedIndexKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedIndexKey {
    /// From 1.
    pub(crate) index_epoch: u32,
    pub(crate) created_at: Timestamp,
    /// From when on it is written.
    pub(crate) write_from: Date,
    pub(crate) key: WrappedRoot,
}

impl TenantSlot {
    /// Reads the root out of a slot before its MAC can be checked: the root is what the MAC is checked with. What the
    /// provider unwraps is bound to the tenant, so a foreign slot stops there.
    pub(crate) fn root_of(stored: &StoredSlot) -> Result<WrappedRoot> {
        super::root_of(stored)
    }

    pub(crate) fn open(stored: &StoredSlot, root: &RootKey) -> Result<Self> {
        super::open(stored, root)
    }

    pub(crate) fn seal(&self, tenant: &TenantId, root: &RootKey) -> Result<StoredSlot> {
        if self.epoch_keys.len() > MAX_EPOCHS || self.index_keys.len() > MAX_EPOCHS {
            return Err(Error::invalid("a tenant has keys of at most 64 epochs at one time: retire some"));
        }
        if !self.is_canonical() || self.erased_at.is_some_and(|at| at.as_millis() == 0) {
            return Err(Error::Bug("a tenant's slot out of order"));
        }
        super::seal(SlotId::Tenant(tenant.clone()), self, root)
    }

    /// Notes an entry about the tenant itself that the slot is written after.
    pub(crate) fn tell(&mut self, position: u64) {
        self.told = self.told.max(position);
    }

    fn is_canonical(&self) -> bool {
        let keys_fit = match self.erased_at {
            None => !self.epoch_keys.is_empty(),
            Some(_) => self.epoch_keys.is_empty() && self.index_keys.is_empty(),
        };
        keys_fit
            && self.epoch_keys.len() <= MAX_EPOCHS
            && self.epoch_keys.is_sorted_by(|a, b| a.epoch < b.epoch)
            && self.index_keys.len() <= MAX_EPOCHS
            && self.index_keys.is_sorted_by(|a, b| a.index_epoch < b.index_epoch)
            && self.index_keys.iter().all(|index| index.index_epoch > 0 && index.write_from.is_canonical())
    }
}

impl Body for TenantSlot {
    /// The keys of old epochs stay until those are retired, so they don't count: the root and the index keys do.
    fn columns(&self) -> Columns {
        let epoch = self.index_keys.iter().map(|k| k.key.epoch).fold(self.root.epoch, Epoch::min);
        let state = if self.erased_at.is_some() { SlotState::Erased } else { SlotState::Live };
        Columns { state, epoch: Some(epoch), due: None }
    }

    fn write(&self, w: &mut Writer) {
        self.root.write(w);
        w.u64(millis(self.erased_at)).u64(self.told);
        w.u8(u8::try_from(self.epoch_keys.len()).unwrap_or(u8::MAX));
        self.epoch_keys.iter().for_each(|key| key.write(w));
        w.u8(u8::try_from(self.index_keys.len()).unwrap_or(u8::MAX));
        for index in &self.index_keys {
            w.u32(index.index_epoch).u64(index.created_at.as_millis());
            index.write_from.write(w);
            index.key.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        let slot = Self {
            root: WrappedRoot::read(r)?,
            erased_at: moment(r.u64()?),
            told: r.u64()?,
            epoch_keys: (0..at_most(r.u8()?.into(), MAX_EPOCHS)?)
                .map(|_| WrappedRoot::read(r))
                .collect::<Result<_, _>>()?,
            index_keys: (0..at_most(r.u8()?.into(), MAX_EPOCHS)?)
                .map(|_| WrappedIndexKey::read(r))
                .collect::<Result<_, _>>()?,
        };
        if slot.is_canonical() { Ok(slot) } else { Err(Damaged) }
    }
}

impl WrappedIndexKey {
    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            index_epoch: r.u32()?,
            created_at: Timestamp::from_millis(r.u64()?),
            write_from: Date::read(r)?,
            key: WrappedRoot::read(r)?,
        })
    }
}
