//! A vault of these ports alone, each behind the decorator.

use std::sync::Arc;
use std::time::Duration;

use fieldseal::jobs::{self, FieldMap, IdColumn, JobOptions, SubjectColumn, TableMap};
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource as _};
use fieldseal::store::Epoch;
use fieldseal::vault::{ErasureRequest, ErasureStatus};
use fieldseal::{Error, FieldContext, Vault};
use fieldseal_outside::{Counted, Counts, Escrow, MapJournal, MapRows, MapStore};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;

fn context(id: &i64) -> FieldContext<'_> {
    FieldContext::new("customer", "email", id).unwrap()
}

#[tokio::test]
async fn a_vault_seals_rotates_reseals_and_erases() {
    let (counts, clock) = (Counts::default(), ManualClock::new());
    let keys = Arc::new(Escrow::new().unwrap());
    let vault = Vault::builder(Counted::new(Arc::clone(&keys), &counts), Counted::new(MapStore::default(), &counts))
        .kinds(["customer"])
        .journal(Counted::new(MapJournal::new().unwrap(), &counts))
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    let customers = vault.default_tenant();
    let map = TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email"));
    let table = MapRows::new(map.table().columns);
    for id in 1..=40 {
        let email = format!("{id}@example.com");
        let sealed =
            customers.enroll(&customer(id)).await.unwrap().seal_bytes(email.as_bytes(), &context(&id)).unwrap();
        table.put(&Row { key: key(id), cells: vec![Cell::Integer(id), Cell::bytes(sealed)] });
    }

    // A job over the table: what was sealed under the old keys of some moves to the new ones.
    for id in 1..=10 {
        customers.rotate_now(&customer(id)).await.unwrap();
    }
    let rows = Counted::new(table.clone(), &counts);
    let tally = jobs::reseal(&vault, &map, &rows, &JobOptions::new().batch(7), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.changed), (40, 10));
    let tally = jobs::reseal(&vault, &map, &rows, &JobOptions::new(), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.changed), (40, 0));
    for row in table.page(&Page::first(1000)).await.unwrap() {
        let [Cell::Integer(id), Cell::Bytes(sealed)] = row.cells.as_slice() else { panic!("a row of another shape") };
        let value = customers.keys(&customer(*id)).await.unwrap().open_bytes(sealed, &context(id)).unwrap();
        assert_eq!(value.unwrap().as_slice(), format!("{id}@example.com").as_bytes());
    }

    // An erasure, that is final once the master key under which the keys were wrapped is destroyed.
    let ada = customers.keys(&customer(1)).await.unwrap();
    let sealed = ada.seal_bytes(b"ada@example.com", &context(&1)).unwrap();
    let receipt = customers.erase(&customer(1), &ErasureRequest::new()).await.unwrap();
    assert!(ada.open_bytes(&sealed, &context(&1)).is_err(), "erased means erased");
    assert!(matches!(customers.keys(&customer(1)).await, Err(Error::SubjectErased { .. })));
    assert!(receipt.residue().iter().any(|residue| residue.place == "memory that was freed"));
    keys.rotate().unwrap();
    vault.advance_epoch().await.unwrap();
    let mut next = None;
    loop {
        next = vault.rewrap_page(next.as_ref(), 7).await.unwrap().next;
        if next.is_none() {
            break;
        }
    }
    vault.retire_epoch(Epoch::FIRST).await.unwrap();
    clock.advance(Duration::from_secs(3600)); // past what any process may have cached
    let status = customers.erasure_status(&receipt).await.unwrap();
    assert!(matches!(status, ErasureStatus::Final { .. }), "{status:?}");
    customers.keys(&customer(2)).await.unwrap();

    for (port, method) in [
        ("provider", "wrap_key"),
        ("provider", "destroy_key"),
        ("store", "put"),
        ("store", "scan"),
        ("journal", "append"),
        ("rows", "page"),
        ("rows", "swap"),
    ] {
        assert!(counts.of(port, method) > 0, "{port} {method} passes the decorator");
    }
}

fn key(id: i64) -> RowKey {
    RowKey::new(vec![Cell::Integer(id)])
}
