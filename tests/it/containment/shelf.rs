//! [`Shelf`]: a key store that keeps bytes and columns apart, as databases do, so that a test can damage either. It answers as the
//! adapters for SQLite, PostgreSQL and DynamoDB do, and is held to the same rules.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use fieldseal::clock::Timestamp;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, RawColumns, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};
use fieldseal_testkit::damage::{Damage, Part};

/// Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf(Arc<Mutex<Rows>>);

#[derive(Debug, Default)]
struct Rows {
    by_id: BTreeMap<Vec<u8>, Row>,
    floor: Option<Epoch>,
}

/// What stands in a row of a table beside its key.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) bytes: Vec<u8>,
    pub(super) state: u8,
    pub(super) epoch: Option<u32>,
    pub(super) due: Option<u64>,
}

impl Shelf {
    /// The row as it is.
    pub(super) fn row(&self, id: &SlotId) -> Row {
        self.rows().by_id[&id.to_bytes()].clone()
    }

    /// Puts a row in the place of the one that is there, past all checks.
    pub(super) fn set(&self, id: &SlotId, row: Row) {
        self.rows().by_id.insert(id.to_bytes(), row);
    }

    /// Every subject's id, in their order.
    pub(super) fn subjects(&self) -> Vec<SlotId> {
        let ids: Vec<_> = self.rows().by_id.keys().map(|id| SlotId::from_bytes(id).unwrap()).collect();
        ids.into_iter().filter(|id| matches!(id, SlotId::Subject(..))).collect()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap()
    }
}

impl Rows {
    fn find(&self, id: &SlotId) -> Loaded {
        self.by_id.get(&id.to_bytes()).map_or(Loaded::Absent, |row| row.loaded(id))
    }
}

impl Row {
    fn of(slot: &StoredSlot) -> Self {
        Self {
            bytes: slot.as_bytes().to_vec(),
            state: slot.state().number(),
            epoch: slot.epoch().map(Epoch::get),
            due: slot.due().map(Timestamp::as_millis),
        }
    }

    fn loaded(&self, id: &SlotId) -> Loaded {
        let columns = RawColumns {
            state: Some(self.state.into()),
            epoch: self.epoch.map(i128::from),
            due: self.due.map(i128::from),
        };
        Loaded::from_row(id, Some(self.bytes.clone()), columns, &[])
    }

    /// By the columns alone.
    fn is_found(&self, filter: Filter) -> bool {
        match filter {
            Filter::All => true,
            Filter::EpochBelow(epoch) => self.epoch.is_some_and(|own| own < epoch.get()),
            Filter::DueBefore(moment) => self.due.is_some_and(|own| own < moment.as_millis()),
        }
    }
}

#[async_trait]
impl KeyStore for Shelf {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let rows = self.rows();
        Ok(ids.iter().map(|id| rows.find(id)).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut rows = self.rows();
        if slot.epoch().is_some_and(|epoch| Some(epoch) < rows.floor) {
            return Err(StoreError::below_floor());
        }
        if !expected.is_met_by(&rows.find(slot.id())) {
            return Err(StoreError::conflict());
        }
        rows.by_id.insert(slot.id().to_bytes(), Row::of(slot));
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let rows = self.rows();
        let after = scan.cursor().map_or(Bound::Unbounded, |id| Bound::Excluded(id.to_bytes()));
        let (mut page, mut last) = (ScanPage::default(), None);
        for (id, _) in rows.by_id.range((after, Bound::Unbounded)).filter(|(_, row)| row.is_found(scan.filter())) {
            let id = match SlotId::from_bytes(id) {
                Err(_) if scan.only_tenant().is_none() => {
                    page.nameless += 1;
                    continue;
                }
                Ok(id) if scan.only_tenant().is_none_or(|tenant| id.tenant() == Some(tenant)) => id,
                _ => continue,
            };
            if page.slots.len() + page.damaged.len() == scan.page_size() {
                page.next = last;
                return Ok(page);
            }
            last = Some(id.clone());
            match rows.find(&id) {
                Loaded::Absent => {}
                Loaded::Slot(slot) => page.slots.push(slot),
                Loaded::Damaged(token) => page.damaged.push((id, token)),
            }
        }
        Ok(page)
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut rows = self.rows();
        rows.floor = rows.floor.max(Some(epoch));
        Ok(())
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        Ok(Residue::none())
    }
}

#[async_trait]
impl Damage for Shelf {
    fn parts(&self) -> &'static [Part] {
        use Part::{Column, Gone};
        &[Column("state"), Column("epoch"), Column("due"), Gone("epoch"), Gone("due")]
    }

    async fn change(&self, id: &SlotId, part: Part, bit: usize) {
        let mut row = self.row(id);
        match part {
            Part::Bytes => row.bytes[bit / 8] ^= 1 << (bit % 8),
            Part::Column("state") => row.state ^= 1 << bit,
            Part::Column("epoch") => row.epoch = Some(row.epoch.unwrap_or_default() ^ (1 << bit)),
            Part::Column(_) => row.due = Some(row.due.unwrap_or_default() ^ (1 << bit)),
            Part::Gone("epoch") => row.epoch = None,
            Part::Gone(_) => row.due = None,
        }
        self.set(id, row);
    }

    async fn rename(&self, id: &SlotId, to: &[u8]) {
        let mut rows = self.rows();
        let row = rows.by_id.remove(&id.to_bytes()).unwrap();
        rows.by_id.insert(to.to_vec(), row);
    }
}

async fn shelf() -> Shelf {
    Shelf::default()
}

fieldseal_testkit::store_suite! { #[tokio::test] as_a_store, shelf }
fieldseal_testkit::damaged_store_suite! { #[tokio::test] damaged, shelf }
