//! Beside an application that writes to the same rows: nothing that it wrote is lost, and every row opens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fieldseal::TenantId;
use fieldseal::jobs::reseal;
use fieldseal::rows::{Page, RowSource, RowsError, Swap};
use fieldseal_testkit::faults::{Act, Gate, Tap, Tapped};

use super::*;

/// Rows that an application changes between what a job reads and what it writes.
#[derive(Debug)]
struct Busy {
    rows: MemoryRows,
    customers: Tenant,
    /// What the application wrote last, by row.
    wrote: Arc<Mutex<HashMap<i64, String>>>,
    /// Every swap meets a change, not only the first.
    always: bool,
    done: AtomicBool,
    old: Mutex<HashMap<i64, [Vec<Cell>; 2]>>,
}

impl Busy {
    /// What was sealed before the rotation: a process that still uses those keys writes it.
    fn write_old(&self, row: i64) {
        let mut old = self.old.lock().unwrap();
        let old = old.get_mut(&row).unwrap();
        old.swap(0, 1);
        self.rows.put(key(row), old[0].clone()).unwrap();
    }

    async fn write(&self, row: i64, value: &str) {
        let mut cells = self.rows.load(&[key(row)]).await.unwrap().remove(0).unwrap().cells;
        let Cell::Integer(subject) = cells[SUBJECT] else { panic!() };
        let keys = self.customers.keys(&customer(subject)).await.unwrap();
        cells[EMAIL] = Cell::bytes(seal(&keys, "email", "default", row, value));
        self.rows.put(key(row), cells).unwrap();
        self.wrote.lock().unwrap().insert(row, value.to_owned());
    }
}

#[async_trait::async_trait]
impl RowSource for Busy {
    fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    async fn page(&self, page: &Page) -> std::result::Result<Vec<Row>, RowsError> {
        self.rows.page(page).await
    }

    async fn load(&self, keys: &[RowKey]) -> std::result::Result<Vec<Option<Row>>, RowsError> {
        self.rows.load(keys).await
    }

    async fn swap(&self, swaps: &[Swap]) -> std::result::Result<Vec<bool>, RowsError> {
        if self.always || !self.done.swap(true, Ordering::SeqCst) {
            for (at, swap) in swaps.iter().enumerate() {
                let Cell::Integer(row) = swap.key().cells()[0] else { panic!() };
                match at % 3 {
                    0 if self.always => self.write_old(row),
                    0 => self.write(row, &format!("written {row}")).await,
                    1 if !self.always => drop(self.rows.delete(swap.key())),
                    _ => {}
                }
            }
        }
        self.rows.swap(swaps).await
    }

    async fn count(&self) -> std::result::Result<u64, RowsError> {
        self.rows.count().await
    }
}

async fn busy(always: bool) -> (Shop, Busy) {
    let shop = Shop::populated(6).await;
    let mut old = HashMap::new();
    for row in 1..=6 {
        let first = shop.row(row).await.cells;
        shop.insert(row, 1 + row % 2).await;
        old.insert(row, [shop.row(row).await.cells, first]);
    }
    for subject in [1, 2] {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    let wrote = Arc::default();
    let (rows, customers) = (shop.rows.clone(), shop.customers.clone());
    (shop, Busy { rows, customers, wrote, always, done: AtomicBool::new(false), old: Mutex::new(old) })
}

#[tokio::test]
async fn a_row_changed_under_a_job_is_read_again_and_keeps_the_change() {
    let (shop, busy) = busy(false).await;
    let tally = reseal(&shop.vault, &map(), &busy, &JobOptions::new(), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.failed), (4, 0), "two were deleted meanwhile");
    let wrote = busy.wrote.lock().unwrap().clone();
    for (row, value) in wrote {
        assert_eq!(shop.email(row).await.unwrap(), value);
    }
    assert_eq!(busy.wrote.lock().unwrap().len(), 2);
    let tally = reseal(&shop.vault, &map(), &busy, &JobOptions::new(), &mut ()).await.unwrap();
    assert_eq!((tally.changed, tally.current), (0, 8));
}

#[tokio::test]
async fn a_row_that_never_stands_still_is_reported_and_stops_no_other() {
    let (shop, busy) = busy(true).await;
    let mut heard = Heard::default();
    let tally = reseal(&shop.vault, &map(), &busy, &JobOptions::new(), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.failed), (6, 1));
    let kinds: Vec<_> = heard.troubles.iter().map(|trouble| trouble.kind.to_string()).collect();
    assert_eq!(kinds.len(), 1);
    assert!(kinds[0].contains("again and again"));
    for row in 1..=6 {
        assert_eq!(shop.email(row).await.unwrap(), format!("{row}@example.com"));
    }
}

#[tokio::test]
async fn keys_changed_by_this_process_during_a_page_are_read_again() {
    let tap = Tap::open();
    let store = Tapped::new(MemoryStore::new(), &tap);
    let vault = Vault::builder(LocalKeyring::ephemeral().unwrap(), store)
        .kinds(["customer"])
        .without_journal()
        .build()
        .await
        .unwrap();
    let map = TableMap::new("t", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .tenant_column("tenant")
        .field(FieldMap::new("email"));
    let rows = MemoryRows::new(map.table().columns);
    let tenants = ["a", "b"].map(|name| vault.tenant(&TenantId::new(name).unwrap()));
    for (tenant, id) in tenants.iter().zip(1i64..) {
        let keys = tenant.enroll(&customer(id)).await.unwrap();
        let cells = vec![
            Cell::text(tenant.id().as_str()),
            Cell::Integer(id),
            Cell::bytes(seal(&keys, "email", "default", id, "x")),
        ];
        rows.put(key(id), cells).unwrap();
        tenant.rotate_now(&customer(id)).await.unwrap();
    }
    // Between the reads of the two tenants' keys, both are rotated: what was read first is outdated when it is used.
    let (gate, reads) = (Gate::new(), AtomicUsize::new(0));
    let at_second = gate.clone();
    tap.set(move |call| match call.method {
        "load" if !call.is_over() && reads.fetch_add(1, Ordering::SeqCst) == 1 => Act::Park(at_second.clone()),
        _ => Act::Go,
    });
    let options = JobOptions::new();
    let mut silent = ();
    let resealing = reseal(&vault, &map, &rows, &options, &mut silent);
    let rotating = async {
        gate.reached().await;
        tap.set(|_| Act::Go);
        for (tenant, id) in tenants.iter().zip(1i64..) {
            tenant.rotate_now(&customer(id)).await.unwrap();
        }
        gate.open();
    };
    let (tally, ()) = futures_util::future::join(resealing, rotating).await;
    let tally = tally.unwrap();
    assert_eq!((tally.rows, tally.changed, tally.failed), (2, 2, 0));
    let again = reseal(&vault, &map, &rows, &JobOptions::new(), &mut ()).await.unwrap();
    assert_eq!((again.changed, again.current), (0, 2), "under the newest keys");
}
