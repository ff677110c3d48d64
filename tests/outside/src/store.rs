//! [`MapStore`]: a key store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;
use fieldseal::clock::Timestamp;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Residue, Revision, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};

use crate::locked;

/// Slots as columns, by the bytes of their ids.
#[derive(Default)]
pub struct MapStore(Mutex<Table>);

#[derive(Default)]
struct Table {
    rows: BTreeMap<Vec<u8>, Row>,
    floor: u32,
}

/// What a database would keep of a slot.
struct Row {
    slot: Vec<u8>,
    revision: [u8; Revision::LEN],
    state: u8,
    epoch: Option<u32>,
    due: Option<u64>,
}

impl Row {
    fn of(slot: &StoredSlot) -> Self {
        Self {
            slot: slot.as_bytes().to_vec(),
            revision: *slot.revision().as_bytes(),
            state: slot.state().number(),
            epoch: slot.epoch().map(Epoch::get),
            due: slot.due().map(Timestamp::as_millis),
        }
    }

    fn read(&self, id: SlotId) -> Result<StoredSlot, StoreError> {
        StoredSlot::from_columns(id, self.slot.clone(), self.state, self.epoch, self.due)
    }

    fn is_found(&self, filter: Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::EpochBelow(epoch) => self.epoch.is_some_and(|own| own < epoch.get()),
            Filter::DueBefore(moment) => self.due.is_some_and(|own| own < moment.as_millis()),
        }
    }
}

#[async_trait]
impl KeyStore for MapStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Option<StoredSlot>>, StoreError> {
        let table = locked(&self.0);
        ids.iter().map(|id| table.rows.get(&id.to_bytes()).map(|row| row.read(id.clone())).transpose()).collect()
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut table = locked(&self.0);
        let row = Row::of(slot);
        if row.epoch.is_some_and(|epoch| epoch < table.floor) {
            return Err(StoreError::below_floor());
        }
        let id = slot.id().to_bytes();
        let is_expected = match (table.rows.get(&id), expected) {
            (None, Expected::Absent) => true,
            (Some(found), Expected::Revision(revision)) => found.revision == *revision.as_bytes(),
            _ => false,
        };
        if !is_expected {
            return Err(StoreError::conflict());
        }
        table.rows.insert(id, row);
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let table = locked(&self.0);
        let begin = scan.cursor().map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_bytes()));
        let mut slots = Vec::new();
        for (id, row) in table.rows.range((begin, Bound::Unbounded)) {
            let id = SlotId::from_bytes(id)?;
            let is_of_tenant = scan.only_tenant().is_none_or(|tenant| id.tenant() == Some(tenant));
            if !is_of_tenant || !row.is_found(scan.filter()) {
                continue;
            }
            if slots.len() == scan.page_size() {
                let next = slots.last().map(|slot: &StoredSlot| slot.id().clone());
                return Ok(ScanPage { slots, next });
            }
            slots.push(row.read(id)?);
        }
        Ok(ScanPage { slots, next: None })
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut table = locked(&self.0);
        table.floor = table.floor.max(epoch.get());
        Ok(())
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        Ok(Residue::none().may_remain_in("memory that was freed", "its next use"))
    }
}

impl fmt::Debug for MapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapStore(..)")
    }
}
