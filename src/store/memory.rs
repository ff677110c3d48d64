//! [`MemoryStore`]: slots that die with the process, for tests and short-lived data. It keeps slots, not bytes: none of them is
//! ever damaged.
//!
//! Imports the port and `keys`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage};
use crate::error::StoreError;
use crate::id::TenantId;
use crate::keys::{Epoch, SlotId, StoredSlot};

/// Slots in memory. Shared by cloning an [`Arc`](std::sync::Arc) of it; gone with the last clone.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Default)]
struct State {
    /// By [`SlotId::to_bytes`], whose order is the order of scans.
    slots: BTreeMap<Vec<u8>, StoredSlot>,
    floor: Option<Epoch>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one insertion or one assignment, so a poisoned lock guards a sound state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, id: &SlotId) -> Loaded {
        self.slots.get(&id.to_bytes()).cloned().map_or(Loaded::Absent, Loaded::Slot)
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.find(id)).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut state = self.state();
        if slot.epoch().is_some_and(|epoch| Some(epoch) < state.floor) {
            return Err(StoreError::below_floor());
        }
        if !expected.is_met_by(&state.find(slot.id())) {
            return Err(StoreError::conflict());
        }
        state.slots.insert(slot.id().to_bytes(), slot.clone());
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let state = self.state();
        let begin = scan.cursor().map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_bytes()));
        let mut found = state.slots.range((begin, Bound::Unbounded)).map(|(_, slot)| slot).filter(|s| finds(scan, s));
        let slots: Vec<_> = found.by_ref().take(scan.page_size()).cloned().collect();
        let next = found.next().and(slots.last()).map(|last| last.id().clone());
        Ok(ScanPage { slots, next, ..ScanPage::default() })
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut state = self.state();
        state.floor = state.floor.max(Some(epoch));
        Ok(())
    }

    /// Nothing is left to scrub: what was replaced was wrapped, and its memory is the process's own.
    async fn scrub(&self) -> Result<Residue, StoreError> {
        Ok(Residue::none())
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

fn finds(scan: &Scan, slot: &StoredSlot) -> bool {
    let of_tenant = |tenant: &TenantId| slot.id().tenant() == Some(tenant);
    scan.only_tenant().is_none_or(of_tenant)
        && match scan.filter() {
            Filter::All => true,
            Filter::EpochBelow(epoch) => slot.epoch().is_some_and(|own| own < epoch),
            Filter::DueBefore(moment) => slot.due().is_some_and(|own| own < moment),
        }
}
