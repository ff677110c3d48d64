//! [`MapStore`]: a key store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Mutex;

use async_trait::async_trait;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, RawColumns, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
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

/// What a database would keep of a slot. Whatever stands in it, a row can be read.
struct Row {
    slot: Vec<u8>,
    columns: RawColumns,
}

impl Row {
    fn is_found(&self, filter: Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::EpochBelow(epoch) => self.columns.epoch.is_some_and(|own| own < epoch.get().into()),
            Filter::DueBefore(moment) => self.columns.due.is_some_and(|own| own < moment.as_millis().into()),
        }
    }
}

impl Table {
    fn find(&self, id: &SlotId) -> Loaded {
        match self.rows.get(&id.to_bytes()) {
            None => Loaded::Absent,
            Some(row) => Loaded::from_row(id, Some(row.slot.clone()), row.columns, &[]),
        }
    }
}

#[async_trait]
impl KeyStore for MapStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let table = locked(&self.0);
        Ok(ids.iter().map(|id| table.find(id)).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut table = locked(&self.0);
        if slot.epoch().is_some_and(|epoch| epoch.get() < table.floor) {
            return Err(StoreError::below_floor());
        }
        if !expected.is_met_by(&table.find(slot.id())) {
            return Err(StoreError::conflict());
        }
        let row = Row { slot: slot.as_bytes().to_vec(), columns: RawColumns::of(slot) };
        table.rows.insert(slot.id().to_bytes(), row);
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let table = locked(&self.0);
        let begin = scan.cursor().map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_bytes()));
        let (mut page, mut last) = (ScanPage::default(), None);
        for (id, row) in table.rows.range((begin, Bound::Unbounded)).filter(|(_, row)| row.is_found(scan.filter())) {
            let Ok(id) = SlotId::from_bytes(id) else {
                page.nameless += u64::from(scan.only_tenant().is_none());
                continue;
            };
            if scan.only_tenant().is_some_and(|tenant| id.tenant() != Some(tenant)) {
                continue;
            }
            if page.slots.len() + page.damaged.len() == scan.page_size() {
                page.next = last;
                return Ok(page);
            }
            last = Some(id.clone());
            match table.find(&id) {
                Loaded::Absent => {}
                Loaded::Slot(slot) => page.slots.push(slot),
                Loaded::Damaged(token) => page.damaged.push((id, token)),
            }
        }
        Ok(page)
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

/// Past the port, as a disk does it.
#[doc(hidden)]
impl MapStore {
    /// The bytes of a row, and its columns.
    pub fn change(&self, id: &SlotId, change: impl FnOnce(&mut Vec<u8>, &mut RawColumns)) {
        if let Some(row) = locked(&self.0).rows.get_mut(&id.to_bytes()) {
            change(&mut row.slot, &mut row.columns);
        }
    }

    /// Gives a row another id.
    pub fn rename(&self, id: &SlotId, to: &[u8]) {
        let mut table = locked(&self.0);
        if let Some(row) = table.rows.remove(&id.to_bytes()) {
            table.rows.insert(to.to_vec(), row);
        }
    }
}

impl fmt::Debug for MapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapStore(..)")
    }
}
