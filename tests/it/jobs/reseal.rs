//! Resealing a table.

use fieldseal::jobs::{JobOptions, TroubleKind, reseal};
use fieldseal::rows::Cell;
use fieldseal::vault::Shard;
use fieldseal::{Error, Sealed};

use super::*;

#[tokio::test]
async fn every_value_moves_to_the_current_key_and_opens_as_before() {
    let shop = Shop::populated(60).await;
    for subject in 1..=20 {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    let before = shop.all().await;
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.rows_changed, tally.changed, tally.empty), (60, 60, 120, 60));
    assert_eq!((tally.current, tally.erased, tally.not_held, tally.failed), (0, 0, 0, 0));
    for (row, old) in shop.all().await.into_iter().zip(before) {
        let Cell::Integer(subject) = row.cells[SUBJECT] else { panic!() };
        let keys = shop.customers.keys(&customer(subject)).await.unwrap();
        let Cell::Bytes(email) = &row.cells[EMAIL] else { panic!() };
        assert!(!Sealed::<String>::from_bytes(email.to_vec()).unwrap().needs_reseal(&keys).unwrap());
        let Cell::Text(iban) = &row.cells[IBAN] else { panic!() };
        assert!(!iban.parse::<Sealed<String>>().unwrap().needs_reseal(&keys).unwrap());
        assert_ne!(row.cells[EMAIL], old.cells[EMAIL]);
        assert_eq!(row.cells[NOTE], Cell::Null);
        assert_eq!(row.cells[5], old.cells[5]);
    }
    for row in 1..=60 {
        assert_eq!(shop.email(row).await.unwrap(), format!("{row}@example.com"));
    }
    // There is nothing left to do.
    let after = shop.all().await;
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.rows_changed, tally.changed, tally.current), (60, 0, 0, 120));
    assert_eq!(shop.all().await, after);
}

#[tokio::test]
async fn a_job_goes_on_from_any_checkpoint_and_leaves_nothing_out() {
    for stop in 0..10 {
        let shop = Shop::populated(60).await;
        for subject in 1..=20 {
            shop.customers.rotate_now(&customer(subject)).await.unwrap();
        }
        struct StopAt(usize, Option<Checkpoint>);
        #[async_trait::async_trait]
        impl Observer for StopAt {
            async fn page(&mut self, done: &PageDone, (): &()) -> Result<()> {
                if self.0 == 0 {
                    return Err(Error::Conflict);
                }
                self.0 -= 1;
                // As it is kept in a file.
                self.1 = Some(done.checkpoint.to_string().parse().unwrap());
                Ok(())
            }
        }
        let mut observer = StopAt(stop, None);
        let stopped = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut observer).await;
        assert_eq!(stopped.is_err(), stop < 9, "there are nine pages");
        let options = match observer.1 {
            Some(checkpoint) => small().from(checkpoint),
            None => small(),
        };
        let tally = reseal(&shop.vault, &map(), &shop.rows, &options, &mut ()).await.unwrap();
        assert_eq!(tally.rows, 60, "each row is counted once, however far the first run had got");
        let rest = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
        assert_eq!((rest.changed, rest.current), (0, 120));
    }
}

#[tokio::test]
async fn shares_together_are_the_whole() {
    let shop = Shop::populated(60).await;
    for subject in 1..=20 {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    let mut changed = 0;
    for index in 0..3 {
        let options = small().shard(Shard::new(index, 3).unwrap());
        let tally = reseal(&shop.vault, &map(), &shop.rows, &options, &mut ()).await.unwrap();
        assert!(tally.rows > 0 && tally.changed == 2 * tally.rows, "nobody else worked on them");
        changed += tally.changed;
    }
    assert_eq!(changed, 120);
}

#[tokio::test]
async fn what_cannot_be_resealed_stays_and_is_told_of() {
    let shop = Shop::populated(9).await;
    let [other, erased, lost] = [1i64, 2, 3];
    for subject in [other, erased, lost] {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    // Rows 3, 6 and 9 are of subject 1.
    let swapped = shop.row(3).await.cells[EMAIL].clone();
    let mut cells = shop.row(6).await.cells;
    cells[EMAIL] = swapped; // of another row
    cells[NOTE] = Cell::bytes([0xF9; 20]);
    shop.rows.put(key(6), cells).unwrap();
    shop.erase(erased, None).await;
    // A key that a restore lost: of a subject of the same name in another vault.
    let elsewhere = Shop::new().await;
    let keys = elsewhere.customers.enroll(&customer(lost)).await.unwrap();
    let mut cells = shop.row(2).await.cells;
    assert_eq!(cells[SUBJECT], Cell::Integer(lost));
    cells[EMAIL] = Cell::bytes(seal(&keys, "email", "default", 2, "gone"));
    shop.rows.put(key(2), cells).unwrap();
    // Nobody's row.
    let mut cells = shop.row(9).await.cells;
    cells[SUBJECT] = Cell::Integer(0);
    shop.rows.put(key(9), cells).unwrap();

    let (before, mut heard) = (shop.all().await, Heard::default());
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.erased, tally.not_held, tally.failed), (9, 6, 1, 3));
    assert_eq!(tally.changed, 2 + 1 + 1 + 2 + 2, "rows 3, 6, 2, 5 and 8");
    let after = shop.all().await;
    for (row, column) in [(6, EMAIL), (6, NOTE), (2, EMAIL), (9, EMAIL), (9, IBAN), (1, EMAIL), (1, IBAN)] {
        assert_eq!(after[row - 1].cells[column], before[row - 1].cells[column], "row {row}");
    }
    let mut told: Vec<_> = heard.troubles.iter().map(|t| (t.key.cells()[0].clone(), t.column.clone())).collect();
    told.sort();
    let column = |name: &str| Some(name.to_owned());
    let row = Cell::Integer;
    assert_eq!(told, [(row(2), column("email")), (row(6), column("email")), (row(6), column("note")), (row(9), None)]);
    let kinds = |row: i64| heard.troubles.iter().filter(move |t| t.key == key(row)).map(|t| &t.kind);
    assert!(kinds(2).all(|kind| matches!(kind, TroubleKind::NotHeld)));
    assert!(kinds(6).any(|kind| matches!(kind, TroubleKind::Failed(Error::Authentication))));
    assert!(kinds(6).any(|kind| matches!(kind, TroubleKind::Failed(Error::Malformed))));
    assert!(kinds(9).all(|kind| matches!(kind, TroubleKind::Failed(Error::InvalidInput(_)))));
    assert!(!format!("{:?}", heard.troubles).contains("example.com"));
}

#[tokio::test]
async fn a_key_made_a_moment_ago_is_read_before_it_is_called_lost() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let keyring = LocalKeyring::ephemeral().unwrap();
    let journal = std::sync::Arc::new(MemoryJournal::new().unwrap());
    let vault = async || {
        let builder = Vault::builder(keyring.clone(), store.clone()).kinds(["customer"]).journal(journal.clone());
        builder.purposes(["billing"]).build().await.unwrap()
    };
    let (ours, theirs) = (vault().await, vault().await);
    let shop = Shop { customers: theirs.default_tenant(), vault: theirs, ..Shop::new().await };
    shop.insert(1, 1).await;
    ours.default_tenant().keys(&customer(1)).await.unwrap(); // cached
    for row in 2..=20 {
        shop.customers.rotate_now(&customer(1)).await.unwrap();
        shop.insert(row, 1).await;
    }
    let tally = reseal(&ours, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.rows, tally.not_held, tally.failed), (20, 0, 0));
    assert_eq!((tally.changed, tally.current), (38, 2));
}

#[tokio::test]
async fn a_map_that_does_not_fit_is_refused_before_anything_is_done() {
    let shop = Shop::populated(6).await;
    let other = map().field(FieldMap::new("phone"));
    let refused = reseal(&shop.vault, &other, &shop.rows, &small(), &mut ()).await;
    assert!(matches!(refused, Err(Error::InvalidInput(_))));
    // A checkpoint of other work.
    let mut heard = Heard::default();
    reseal(&shop.vault, &map(), &shop.rows, &small(), &mut heard).await.unwrap();
    let checkpoint = heard.checkpoints.pop().unwrap();
    assert!(checkpoint.is_done());
    let narrower =
        TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("subject")))
            .ids([IdColumn::integer("id")])
            .field(FieldMap::new("email"));
    for (map, options) in [
        (narrower, JobOptions::new().from(checkpoint.clone())),
        (map(), JobOptions::new().shard(Shard::new(0, 2).unwrap()).from(checkpoint.clone())),
    ] {
        let refused = reseal(&shop.vault, &map, &shop.rows, &options, &mut ()).await;
        assert!(matches!(refused, Err(Error::InvalidInput(_))));
    }
    // A whole one has nothing left to do.
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small().from(checkpoint), &mut ()).await.unwrap();
    assert_eq!(tally.rows, 6);
}

#[tokio::test]
async fn a_value_that_only_the_next_key_will_seal_is_left() {
    let shop = Shop::populated(3).await;
    let from = shop.customers.rotate(&customer(1)).await.unwrap();
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.changed, tally.current), (0, 6), "the new key's time has not come");
    shop.clock.advance(from.since(fieldseal::clock::Clock::wall(&shop.clock)));
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.changed, tally.current), (6, 0));
}

#[tokio::test]
async fn a_row_of_nobody_stays_as_it_is() {
    let shop = Shop::populated(3).await;
    shop.customers.rotate_now(&customer(1)).await.unwrap();
    shop.disown(1).await;
    let (before, mut heard) = (shop.row(1).await, Heard::default());
    let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.changed, tally.of_nobody, tally.empty, tally.failed), (3, 4, 2, 3, 0));
    assert!(heard.troubles.is_empty() && shop.row(1).await == before);
    assert_eq!(heard.checkpoints.last().unwrap().to_string().parse::<Checkpoint>().unwrap().tally().of_nobody, 2);
}

#[tokio::test]
async fn a_row_whose_id_is_0_is_told_of_with_its_column() {
    let shop = Shop::populated(3).await;
    for (column, named) in [(SUBJECT, "\"subject\""), (ID, "\"id\"")] {
        let sound = shop.row(1).await.cells;
        shop.set(1, column, Cell::Integer(0)).await;
        let mut heard = Heard::default();
        let tally = reseal(&shop.vault, &map(), &shop.rows, &small(), &mut heard).await.unwrap();
        assert_eq!((tally.rows, tally.failed, tally.of_nobody), (3, 1, 0));
        let told = heard.troubles[0].kind.to_string();
        assert!(told.contains(named) && told.contains("0, a placeholder"), "{told}");
        shop.rows.put(key(1), sound).unwrap();
    }
}

#[tokio::test]
async fn a_row_whose_id_may_be_0_is_resealed() {
    let subject = SubjectColumn::new("customer", IdColumn::integer("customer"));
    let map = TableMap::new("line", ["order", "line"], "line", subject)
        .ids([IdColumn::integer("order"), IdColumn::integer("line").zero()])
        .field(FieldMap::new("note"));
    assert_eq!(map.table().columns, ["customer", "order", "line", "note"]);
    let shop = Shop { rows: MemoryRows::new(map.table().columns), ..Shop::new().await };
    let keys = shop.customers.enroll(&customer(7)).await.unwrap();
    let place = FieldContext::new("line", "note", &17).unwrap().and_id("0").unwrap();
    let note = keys.seal_bytes(b"fragile", &place).unwrap();
    let line = RowKey::new(vec![Cell::Integer(17), Cell::Integer(0)]);
    let cells = vec![Cell::Integer(7), Cell::Integer(17), Cell::Integer(0), Cell::bytes(note)];
    shop.rows.put(line.clone(), cells).unwrap();
    shop.customers.rotate_now(&customer(7)).await.unwrap();
    let tally = reseal(&shop.vault, &map, &shop.rows, &small(), &mut ()).await.unwrap();
    assert_eq!((tally.changed, tally.failed), (1, 0));
    let cells = shop.rows.load(&[line]).await.unwrap().remove(0).unwrap().cells;
    let Cell::Bytes(note) = &cells[3] else { panic!("no envelope") };
    let keys = shop.customers.keys(&customer(7)).await.unwrap();
    assert_eq!(**keys.open_bytes(note, &place).unwrap().unwrap(), *b"fragile");
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_told_of_and_holds_up_nothing() {
    let shop = Shop::populated(9).await;
    for subject in 1..=3 {
        shop.customers.rotate_now(&customer(subject)).await.unwrap();
    }
    shop.rows.put_unreadable(key(4)); // the last one of a page
    let mut heard = Heard::default();
    let tally = reseal(&shop.vault, &map(), &shop.rows, &JobOptions::new().batch(4), &mut heard).await.unwrap();
    assert_eq!((tally.rows, tally.rows_changed, tally.failed), (9, 8, 1));
    let [trouble] = heard.troubles.as_slice() else { panic!("{:?}", heard.troubles) };
    assert!(matches!(trouble.kind, TroubleKind::Unreadable) && trouble.key == key(4) && trouble.column.is_none());
}
