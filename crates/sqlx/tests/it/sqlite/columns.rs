//! Sealed columns in SQLite: BLOB, NULL, TEXT, and what is refused.

use fieldseal::record::Record as _;
use fieldseal::{Error, Sealed};
use fieldseal_testkit::customer;
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::tests;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Text;
use sqlx::{Connection as _, Row as _};

use crate::customer::{Customer, CustomerPlain};

pub(super) fn trials() -> Vec<Trial> {
    tests![Alone::new() =>
        rows_come_back_from_blob_and_text
        rows_are_bound_by_value_too
        columns_of_every_kind_are_resealed
        null_is_none
        one_column_is_written_and_read_by_its_place
        values_swapped_in_the_database_do_not_open
        bytes_that_are_no_envelope_are_refused_without_being_shown
        a_column_of_another_type_is_refused
    ]
}

async fn database() -> SqliteConnection {
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    sqlx::query(
        "CREATE TABLE customer
             (id INTEGER PRIMARY KEY, email BLOB NOT NULL, phone BLOB, note TEXT NOT NULL, remark TEXT) STRICT",
    )
    .execute(&mut db)
    .await
    .unwrap();
    db
}

const INSERT: &str = "INSERT INTO customer (id, email, phone, note, remark) VALUES (?, ?, ?, ?, ?)";

async fn insert(db: &mut SqliteConnection, row: &Customer) {
    let insert = sqlx::query(INSERT).bind(row.id).bind(&row.email).bind(&row.phone).bind(&row.note).bind(&row.remark);
    insert.execute(db).await.unwrap();
}

async fn select(db: &mut SqliteConnection, id: i64) -> Customer {
    sqlx::query_as("SELECT * FROM customer WHERE id = ?").bind(id).fetch_one(db).await.unwrap()
}

async fn rows_come_back_from_blob_and_text() {
    let mut db = database().await;
    let (row, keys) = Customer::sealed(&CustomerPlain::full(1));
    insert(&mut db, &row).await;
    let read = select(&mut db, 1).await;
    assert!(read.is(&row));
    assert!(read.holds(&keys, &CustomerPlain::full(1)));

    let sql = "SELECT typeof(email), email, typeof(note), note FROM customer";
    let stored: (String, Vec<u8>, String, String) = sqlx::query_as(sql).fetch_one(&mut db).await.unwrap();
    assert_eq!(stored, ("blob".into(), row.email.as_bytes().to_vec(), "text".into(), row.note.to_string()));
}

async fn rows_are_bound_by_value_too() {
    let mut db = database().await;
    let (row, _) = Customer::sealed(&CustomerPlain::full(1));
    let Customer { id, email, phone, note, remark } = row.clone();
    sqlx::query(INSERT).bind(id).bind(email).bind(phone).bind(note).bind(remark).execute(&mut db).await.unwrap();
    assert!(select(&mut db, 1).await.is(&row));
}

/// In BLOB, NULL and TEXT alike.
async fn columns_of_every_kind_are_resealed() {
    let mut db = database().await;
    let [before, after] = fieldseal_testkit::rotated_keys(&customer(1), &["default"], &[]);
    for (plain, columns) in [(CustomerPlain::full as fn(i64) -> _, 4), (CustomerPlain::sparse, 2)] {
        let mut row = Customer::seal(&plain(1), &before).unwrap();
        assert!(row.needs_reseal(&after).unwrap());
        assert_eq!(row.reseal(&after).unwrap(), columns);
        sqlx::query("DELETE FROM customer").execute(&mut db).await.unwrap();
        insert(&mut db, &row).await;
        let mut read = select(&mut db, 1).await;
        assert!(!read.needs_reseal(&after).unwrap() && read.holds(&after, &plain(1)));
        assert!(matches!(read.open(&before).map_err(Error::without_field), Err(Error::KeyNotHeld)));

        std::mem::swap(&mut read.email, &mut read.note.0);
        assert!(matches!(read.open(&after).map_err(Error::without_field), Err(Error::Authentication)));
    }
    let place = after.record_ref::<Customer>(&1).unwrap();
    let row = Customer::seal(&CustomerPlain::full(1), &before).unwrap();
    let note = place.reseal(Customer::NOTE, &row.note).unwrap().unwrap();
    assert!(Customer { note, ..row.clone() }.holds(&after, &CustomerPlain::full(1)));
    assert!(matches!(
        place.reseal(Customer::REMARK, &Some(row.note)).map_err(Error::without_field),
        Err(Error::Authentication)
    ));
}

async fn null_is_none() {
    let mut db = database().await;
    let (row, keys) = Customer::sealed(&CustomerPlain::sparse(1));
    insert(&mut db, &row).await;
    let read = select(&mut db, 1).await;
    assert!(read.phone.is_none() && read.remark.is_none());
    assert!(read.holds(&keys, &CustomerPlain::sparse(1)));
    let sql = "SELECT COUNT(*) FROM customer WHERE phone IS NULL AND remark IS NULL";
    assert_eq!(sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut db).await.unwrap(), 1);

    let null = sqlx::query("SELECT NULL AS email").fetch_one(&mut db).await.unwrap();
    assert!(null.try_get::<Sealed<String>, _>("email").is_err(), "null is no envelope");
}

async fn one_column_is_written_and_read_by_its_place() {
    let mut db = database().await;
    let (row, keys) = Customer::sealed(&CustomerPlain::full(7));
    insert(&mut db, &row).await;
    let mut place = keys.record_ref::<Customer>(&7).unwrap();
    sqlx::query("UPDATE customer SET email = ?, note = ? WHERE id = 7")
        .bind(place.seal(Customer::EMAIL, "ada@example.org").unwrap())
        .bind(place.seal(Customer::NOTE, "changed").unwrap())
        .execute(&mut db)
        .await
        .unwrap();
    let (email, note) = sqlx::query_as("SELECT email, note FROM customer").fetch_one(&mut db).await.unwrap();
    assert_eq!(place.open(Customer::EMAIL, &email).unwrap().expose(), "ada@example.org");
    assert_eq!(place.open(Customer::NOTE, &note).unwrap().expose(), "changed");
}

async fn values_swapped_in_the_database_do_not_open() {
    let mut db = database().await;
    let (row, keys) = Customer::sealed(&CustomerPlain::full(1));
    insert(&mut db, &row).await;
    sqlx::query("UPDATE customer SET note = remark, remark = note").execute(&mut db).await.unwrap();
    assert!(matches!(select(&mut db, 1).await.open(&keys).map_err(Error::without_field), Err(Error::Authentication)));
}

async fn bytes_that_are_no_envelope_are_refused_without_being_shown() {
    let mut db = database().await;
    for sql in [
        "SELECT CAST('ada@example.com' AS BLOB) AS email",
        "SELECT x'' AS email",
        "SELECT x'F9616461' AS email",
        "SELECT 'ada@example.com' AS email",
        "SELECT 'fs1.ada' AS email",
    ] {
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        shows_nothing(sql, &row.try_get::<Sealed<String>, _>("email").unwrap_err());
        shows_nothing(sql, &row.try_get::<Option<Sealed<String>>, _>("email").unwrap_err());
    }
    for sql in ["SELECT 'ada@example.com' AS note", "SELECT 'fs1.ada' AS note", "SELECT '' AS note"] {
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        shows_nothing(sql, &row.try_get::<Text<Sealed<String>>, _>("note").unwrap_err());
    }
}

async fn a_column_of_another_type_is_refused() {
    let mut db = database().await;
    for sql in ["SELECT 4711 AS email", "SELECT 47.11 AS email"] {
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        shows_nothing(sql, &row.try_get::<Sealed<String>, _>("email").unwrap_err());
    }
    let (row, _) = Customer::sealed(&CustomerPlain::full(1));
    insert(&mut db, &row).await;
    let blob = sqlx::query("SELECT email FROM customer").fetch_one(&mut db).await.unwrap();
    assert!(blob.try_get::<Text<Sealed<String>>, _>("email").is_err(), "an envelope is no text");
}

fn shows_nothing(what: &str, error: &sqlx::Error) {
    assert!(matches!(error, sqlx::Error::ColumnDecode { .. }), "{what}: {error}");
    let shown = format!("{error} {error:?}");
    for part in ["ada", "616461", "97, 100, 97", "4711", "47.11"] {
        assert!(!shown.contains(part), "{what}: {shown}");
    }
}
