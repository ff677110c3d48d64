//! A tenant's slot: its root, its wrapping key of each epoch, its index keys; each wrapped by the provider.

use super::{Body, Columns, Epoch, Revision, SlotId, SlotState, StoredSlot, WrappedRoot, millis, moment};
use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::TenantId;
use crate::keys::RootKey;

/// The most epochs, and the most index epochs, that a tenant's slot holds keys of at one time: as many epochs may be open.
pub(crate) const MAX_EPOCHS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantSlot {
    /// It outlives the tenant's erasure: the tombstones of its subjects are authenticated by it.
    pub(crate) root: WrappedRoot,
    /// When the tenant was erased: it has no other key since, and never gets one.
    pub(crate) erased_at: Option<Timestamp>,
    /// Each under the master key of its own epoch; by epoch, in ascending order.
    pub(crate) epoch_keys: Vec<WrappedRoot>,
    /// By index epoch, in ascending order.
    pub(crate) index_keys: Vec<WrappedIndexKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedIndexKey {
    pub(crate) index_epoch: u32,
    pub(crate) key: WrappedRoot,
}

impl TenantSlot {
    /// Reads the root out of a slot before its MAC can be checked: the root is what the MAC is checked with. What the
    /// provider unwraps is bound to the tenant, so a foreign slot stops there.
    pub(crate) fn root_of(stored: &StoredSlot) -> Result<WrappedRoot> {
        let (body, _) = stored.as_bytes().split_last_chunk::<{ Revision::LEN }>().ok_or(Error::Bug("no MAC"))?;
        Ok(super::parse::<Self>(body)?.root)
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
        w.u64(millis(self.erased_at));
        w.u8(u8::try_from(self.epoch_keys.len()).unwrap_or(u8::MAX));
        self.epoch_keys.iter().for_each(|key| key.write(w));
        w.u8(u8::try_from(self.index_keys.len()).unwrap_or(u8::MAX));
        for index in &self.index_keys {
            w.u32(index.index_epoch);
            index.key.write(w);
        }
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        let slot = Self {
            root: WrappedRoot::read(r)?,
            erased_at: moment(r.u64()?),
            epoch_keys: (0..r.u8()?).map(|_| WrappedRoot::read(r)).collect::<Result<_, _>>()?,
            index_keys: (0..r.u8()?)
                .map(|_| Ok(WrappedIndexKey { index_epoch: r.u32()?, key: WrappedRoot::read(r)? }))
                .collect::<Result<_, Damaged>>()?,
        };
        if slot.is_canonical() { Ok(slot) } else { Err(Damaged) }
    }
}
