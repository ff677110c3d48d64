//! What the key stores of both engines have in common: the row of a slot, and what rows come to, whether or not they are slots.

use std::collections::HashMap;

use fieldseal::clock::Timestamp;
use fieldseal::id::TenantId;
use fieldseal::store::{Loaded, RawColumns, Scan, ScanPage, SlotId};

/// A row as it was read.
#[derive(Clone)]
pub(crate) struct SlotRow {
    pub(crate) id: Vec<u8>,
    /// None for the vault's.
    pub(crate) tenant: Option<Vec<u8>>,
    pub(crate) state: i64,
    pub(crate) epoch: Option<i64>,
    pub(crate) due: Option<i64>,
    /// None if they are missing.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl SlotRow {
    /// What stands in the place of the slot whose id the row has.
    pub(crate) fn loaded(self, id: &SlotId) -> Loaded {
        let columns = RawColumns {
            state: Some(self.state.into()),
            epoch: self.epoch.map(i128::from),
            due: self.due.map(|due| due_millis(due).into()),
        };
        let more = match self.tenant {
            tenant if tenant.as_deref() == tenant_of(id) => Vec::new(),
            Some(other) => [&[1], other.as_slice()].concat(),
            None => vec![0],
        };
        Loaded::from_row(id, self.bytes, columns, &more)
    }

    fn is_of_its_tenant(&self) -> bool {
        SlotId::from_bytes(&self.id).is_ok_and(|id| self.tenant.as_deref() == tenant_of(&id))
    }
}

/// Leaves one row of each id, in their order: where several have one id, that of the right tenant, else the first. A table in
/// which tenant and id name a slot together may have several, where one of the two was changed. Gives how many went.
pub(crate) fn settle(rows: &mut Vec<SlotRow>) -> u64 {
    let all = rows.len();
    let order = |row: &SlotRow| (!row.is_of_its_tenant(), row.tenant.clone());
    rows.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| order(a).cmp(&order(b))));
    rows.dedup_by(|later, first| later.id == first.id);
    (all - rows.len()) as u64
}

/// What was found, by the bytes of ids.
#[derive(Default)]
pub(crate) struct FoundRows(HashMap<Vec<u8>, SlotRow>);

impl FoundRows {
    pub(crate) fn add(&mut self, mut rows: Vec<SlotRow>) {
        settle(&mut rows);
        self.0.extend(rows.into_iter().map(|row| (row.id.clone(), row)));
    }

    /// What stands in this one's place.
    pub(crate) fn loaded(&self, id: &SlotId) -> Loaded {
        self.0.get(&id.to_bytes()).cloned().map_or(Loaded::Absent, |row| row.loaded(id))
    }
}

/// Makes a page of the rows that are read for it, in the order of their ids.
pub(crate) struct PageOfRows<'a> {
    scan: &'a Scan,
    /// Rows behind this id are to be read next; the empty one is before every id.
    pub(crate) after: Vec<u8>,
    /// So many at most: one more than asked for tells whether more may follow.
    pub(crate) limit: usize,
    nameless: u64,
}

impl<'a> PageOfRows<'a> {
    pub(crate) fn of(scan: &'a Scan) -> Self {
        let after = scan.cursor().map(SlotId::to_bytes).unwrap_or_default();
        Self { scan, after, limit: scan.page_size().saturating_add(1), nameless: 0 }
    }

    /// Takes what was read. None if more must be: a page ends at an id, and none of these rows has one.
    pub(crate) fn take(&mut self, mut rows: Vec<SlotRow>) -> Option<ScanPage> {
        let mut more = rows.len() == self.limit;
        if more {
            // The last id is left to the next page: what else stands under it may not be among the rows.
            let last = rows.last().map(|row| row.id.clone()).unwrap_or_default();
            rows.retain(|row| row.id != last);
            if rows.is_empty() {
                self.limit = self.limit.saturating_mul(2);
                return None;
            }
        }
        let of_page = rows.chunk_by(|a, b| a.id == b.id).take(self.scan.page_size()).map(<[_]>::len).sum();
        more |= of_page < rows.len();
        rows.truncate(of_page);
        if !more {
            return Some(self.page(rows, None));
        }
        let next = rows.iter().rev().find_map(|row| SlotId::from_bytes(&row.id).ok());
        let Some(next) = next else {
            self.nameless += rows.len() as u64;
            self.after = rows.last().map(|row| row.id.clone()).unwrap_or_default();
            return None;
        };
        rows.retain(|row| row.id <= next.to_bytes());
        Some(self.page(rows, Some(next)))
    }

    fn page(&self, mut rows: Vec<SlotRow>, next: Option<SlotId>) -> ScanPage {
        let mut page = ScanPage { nameless: self.nameless + settle(&mut rows), next, ..ScanPage::default() };
        for row in rows {
            let Ok(id) = SlotId::from_bytes(&row.id) else {
                page.nameless += 1;
                continue;
            };
            if self.scan.only_tenant().is_some_and(|tenant| id.tenant() != Some(tenant)) {
                continue; // its column says so, and its id, which names it, doesn't
            }
            match row.loaded(&id) {
                Loaded::Absent => {}
                Loaded::Slot(slot) => page.slots.push(slot),
                Loaded::Damaged(token) => page.damaged.push((id, token)),
            }
        }
        if self.scan.only_tenant().is_some() {
            page.nameless = 0; // what has no name is of no tenant
        }
        page
    }
}

/// The column of a slot's tenant; none for the vault's.
pub(crate) fn tenant_of(id: &SlotId) -> Option<&[u8]> {
    id.tenant().map(TenantId::as_str).map(str::as_bytes)
}

/// A moment as a database's signed integer, in the same order: 2^63 lower.
pub(crate) fn due_column(moment: Timestamp) -> i64 {
    (moment.as_millis() ^ SIGN).cast_signed()
}

fn due_millis(column: i64) -> u64 {
    column.cast_unsigned() ^ SIGN
}

const SIGN: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;
    use fieldseal::store::{Filter, Tag};
    use fieldseal_testkit::slot::SampleSlot;

    fn id(n: u8) -> SlotId {
        SlotId::Subject(TenantId::new("acme").unwrap(), Tag::from_bytes([n; Tag::LEN]))
    }

    fn row(n: u8) -> SlotRow {
        let slot = SampleSlot::new(id(n)).build();
        let bytes = Some(slot.as_bytes().to_vec());
        SlotRow {
            id: id(n).to_bytes(),
            tenant: Some(b"acme".to_vec()),
            state: slot.state().number().into(),
            epoch: slot.epoch().map(|epoch| epoch.get().into()),
            due: slot.due().map(due_column),
            bytes,
        }
    }

    fn of_another_tenant(n: u8) -> SlotRow {
        SlotRow { tenant: Some(b"zeta".to_vec()), ..row(n) }
    }

    fn without_a_name(n: u8) -> SlotRow {
        SlotRow { id: vec![3, n], ..row(n) }
    }

    /// Reads as a table of these rows would be.
    fn read(table: &[SlotRow], scan: &Scan) -> ScanPage {
        let mut page = PageOfRows::of(scan);
        loop {
            let rows = table.iter().filter(|row| row.id > page.after).take(page.limit).cloned().collect();
            if let Some(page) = page.take(rows) {
                return page;
            }
        }
    }

    #[test]
    fn several_rows_of_one_id_are_one_answer_and_split_by_no_page() {
        let table = [of_another_tenant(1), row(1), row(2), of_another_tenant(3), of_another_tenant(3), row(4)];
        for limit in 1..=6 {
            let (mut scan, mut ids, mut damaged, mut nameless) =
                (Scan::new(Filter::All).limit(limit), vec![], vec![], 0);
            loop {
                let page = read(&table, &scan);
                assert!(page.slots.len() + page.damaged.len() <= limit);
                ids.extend(page.slots.iter().map(|slot| slot.id().clone()));
                damaged.extend(page.damaged.into_iter().map(|(id, _)| id));
                nameless += page.nameless;
                let Some(next) = page.next else { break };
                scan = scan.starting_after(next);
            }
            assert_eq!((ids, damaged, nameless), (vec![id(1), id(2), id(4)], vec![id(3)], 2), "pages of {limit}");
        }
    }

    #[test]
    fn a_page_goes_on_behind_any_number_of_rows_without_a_name() {
        let mut table: Vec<_> = (0..50).map(without_a_name).collect();
        table.extend((40..45).map(row));
        table.sort_by(|a, b| a.id.cmp(&b.id));
        for limit in [1, 2, 7, 100] {
            let (mut scan, mut found, mut nameless) = (Scan::new(Filter::All).limit(limit), 0, 0);
            loop {
                let page = read(&table, &scan);
                found += page.slots.len();
                nameless += page.nameless;
                let Some(next) = page.next else { break };
                scan = scan.starting_after(next);
            }
            assert_eq!((found, nameless), (5, 50), "pages of {limit}");
        }
    }

    #[test]
    fn a_scan_of_one_tenant_finds_no_slot_of_another() {
        let table = [of_another_tenant(1), row(2), without_a_name(3)];
        let zeta = Scan::new(Filter::All).tenant(TenantId::new("zeta").unwrap());
        let page = read(&table, &zeta);
        assert!(page.slots.is_empty() && page.damaged.is_empty() && page.nameless == 0);
        let all = read(&table, &Scan::new(Filter::All));
        assert_eq!((all.slots.len(), all.damaged.len(), all.nameless), (1, 1, 1));
    }
}
