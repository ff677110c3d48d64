//! Sealed columns in PostgreSQL: BYTEA, NULL, TEXT, arrays, and what is refused.

use fieldseal::{Error, Sealed};
use fleet_tests::harness::{Outcome, Trial};
use fleet_tests::postgres::Databases;
use fleet_tests::tests;
use sqlx::postgres::PgConnection;
use sqlx::types::Text;
use sqlx::{Connection as _, Row as _};

use crate::customer::{Customer, CustomerPlain};

pub(super) fn trials(databases: &Databases) -> Vec<Trial> {
    tests![WithTable(databases) =>
        rows_come_back_from_bytea_and_text
        null_is_none
        one_statement_inserts_many_rows
        arrays_come_back
        rows_come_back_from_the_simple_protocol
        one_column_is_written_and_read_by_its_place
        bytes_that_are_no_envelope_are_refused_without_being_shown
        a_column_of_another_type_is_refused
    ]
}

/// A connection to a database of the test's own, in which there is a table of customers.
struct WithTable<'a>(&'a Databases);

impl WithTable<'_> {
    fn trial<O: Outcome>(&self, name: String, test: impl AsyncFnOnce(PgConnection) -> O + Send + 'static) -> Trial {
        self.0.trial(name, async move |database| {
            let mut connection = PgConnection::connect_with(&database).await.unwrap();
            sqlx::query(TABLE).execute(&mut connection).await.unwrap();
            test(connection).await
        })
    }
}

const TABLE: &str =
    "CREATE TABLE customer (id BIGINT PRIMARY KEY, email BYTEA NOT NULL, phone BYTEA, note TEXT NOT NULL, remark TEXT)";

async fn insert(db: &mut PgConnection, row: &Customer) {
    sqlx::query("INSERT INTO customer (id, email, phone, note, remark) VALUES ($1, $2, $3, $4, $5)")
        .bind(row.id)
        .bind(&row.email)
        .bind(&row.phone)
        .bind(&row.note)
        .bind(&row.remark)
        .execute(db)
        .await
        .unwrap();
}

async fn select(db: &mut PgConnection, id: i64) -> Customer {
    sqlx::query_as("SELECT * FROM customer WHERE id = $1").bind(id).fetch_one(db).await.unwrap()
}

async fn rows_come_back_from_bytea_and_text(mut db: PgConnection) {
    let (row, keys) = Customer::sealed(&CustomerPlain::full(1));
    insert(&mut db, &row).await;
    let read = select(&mut db, 1).await;
    assert!(read.is(&row));
    assert!(read.holds(&keys, &CustomerPlain::full(1)));

    let stored: (Vec<u8>, String) =
        sqlx::query_as("SELECT email, note FROM customer").fetch_one(&mut db).await.unwrap();
    assert_eq!(stored, (row.email.as_bytes().to_vec(), row.note.to_string()));
}

async fn null_is_none(mut db: PgConnection) {
    let (row, keys) = Customer::sealed(&CustomerPlain::sparse(1));
    insert(&mut db, &row).await;
    let read = select(&mut db, 1).await;
    assert!(read.phone.is_none() && read.remark.is_none());
    assert!(read.holds(&keys, &CustomerPlain::sparse(1)));
    let nulls: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM customer WHERE phone IS NULL AND remark IS NULL")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(nulls, 1);
}

async fn one_statement_inserts_many_rows(mut db: PgConnection) {
    let plains = || (1..=50).map(|id| if id % 2 == 0 { CustomerPlain::full(id) } else { CustomerPlain::sparse(id) });
    let (rows, keys): (Vec<_>, Vec<_>) = plains().map(|plain| Customer::sealed(&plain)).unzip();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let emails: Vec<_> = rows.iter().map(|row| row.email.clone()).collect();
    let phones: Vec<_> = rows.iter().map(|row| row.phone.clone()).collect();
    let notes: Vec<_> = rows.iter().map(|row| &row.note).collect();
    let remarks: Vec<_> = rows.iter().map(|row| row.remark.as_ref()).collect();
    sqlx::query(
        "INSERT INTO customer (id, email, phone, note, remark)
         SELECT * FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[], $4::text[], $5::text[])",
    )
    .bind(ids)
    .bind(emails.as_slice())
    .bind(phones)
    .bind(notes)
    .bind(remarks)
    .execute(&mut db)
    .await
    .unwrap();

    let read: Vec<Customer> = sqlx::query_as("SELECT * FROM customer ORDER BY id").fetch_all(&mut db).await.unwrap();
    assert!(read.len() == rows.len() && read.iter().zip(&rows).all(|(read, row)| read.is(row)));
    for ((row, keys), plain) in read.iter().zip(&keys).zip(plains()) {
        assert!(row.holds(keys, &plain));
    }
}

async fn arrays_come_back(mut db: PgConnection) {
    let rows = [CustomerPlain::full(1), CustomerPlain::sparse(2)].map(|plain| Customer::sealed(&plain).0);
    for row in &rows {
        insert(&mut db, row).await;
    }
    let arrays =
        "SELECT array_agg(email ORDER BY id), array_agg(phone ORDER BY id), array_agg(note ORDER BY id) FROM customer";
    type Arrays = (Vec<Sealed<String>>, Vec<Option<Sealed<String>>>, Vec<Text<Sealed<String>>>);
    let (emails, phones, notes): Arrays = sqlx::query_as(arrays).fetch_one(&mut db).await.unwrap();
    let [first, second] = rows;
    let bytes = |sealed: &Sealed<String>| sealed.as_bytes().to_vec();
    assert_eq!(emails.iter().map(bytes).collect::<Vec<_>>(), [&first.email, &second.email].map(bytes));
    let phones: Vec<_> = phones.iter().map(|phone| phone.as_ref().map(bytes)).collect();
    assert_eq!(phones, [first.phone.as_ref().map(bytes), None]);
    let notes: Vec<_> = notes.iter().map(|Text(note)| bytes(note)).collect();
    assert_eq!(notes, [&first.note.0, &second.note.0].map(bytes));

    let found: i64 = sqlx::query_scalar("SELECT id FROM customer WHERE email = ANY($1)")
        .bind([first.email])
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(found, 1);
}

/// There the server sends BYTEA as hexadecimal text.
async fn rows_come_back_from_the_simple_protocol(mut db: PgConnection) {
    let (row, _) = Customer::sealed(&CustomerPlain::full(1));
    insert(&mut db, &row).await;
    let read = sqlx::raw_sql("SELECT email FROM customer").fetch_one(&mut db).await.unwrap();
    assert!(read.get::<Sealed<String>, _>("email").same_bytes(&row.email));
}

async fn one_column_is_written_and_read_by_its_place(mut db: PgConnection) {
    let (row, keys) = Customer::sealed(&CustomerPlain::full(7));
    insert(&mut db, &row).await;
    let mut place = keys.record_ref::<Customer>(&7).unwrap();
    sqlx::query("UPDATE customer SET email = $1, note = $2 WHERE id = 7")
        .bind(place.seal(Customer::EMAIL, "ada@example.org").unwrap())
        .bind(place.seal(Customer::NOTE, "changed").unwrap())
        .execute(&mut db)
        .await
        .unwrap();
    let (email, note) = sqlx::query_as("SELECT email, note FROM customer").fetch_one(&mut db).await.unwrap();
    assert_eq!(place.open(Customer::EMAIL, &email).unwrap().expose(), "ada@example.org");
    assert_eq!(place.open(Customer::NOTE, &note).unwrap().expose(), "changed");
    // Two columns of text: the one's value is not the other's.
    assert!(matches!(
        place.open(Customer::REMARK, &Some(note)).map_err(Error::without_field),
        Err(Error::Authentication)
    ));
}

async fn bytes_that_are_no_envelope_are_refused_without_being_shown(mut db: PgConnection) {
    for (what, sql) in [
        ("bytes", "SELECT 'ada@example.com'::bytea AS email"),
        ("no bytes", "SELECT ''::bytea AS email"),
        ("half an envelope", "SELECT '\\xF9616461'::bytea AS email"),
        ("a text form as bytes", "SELECT 'fs1.ada'::bytea AS email"),
    ] {
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        shows_nothing(what, &row.try_get::<Sealed<String>, _>("email").unwrap_err());
    }
    for text in ["SELECT 'ada@example.com' AS note", "SELECT 'fs1.ada' AS note", "SELECT '' AS note"] {
        let row = sqlx::query(text).fetch_one(&mut db).await.unwrap();
        shows_nothing(text, &row.try_get::<Text<Sealed<String>>, _>("note").unwrap_err());
    }
}

async fn a_column_of_another_type_is_refused(mut db: PgConnection) {
    for sql in ["SELECT 'fs1.ada'::text AS email", "SELECT 4711 AS email", "SELECT ARRAY['ada'::bytea] AS email"] {
        let row = sqlx::query(sql).fetch_one(&mut db).await.unwrap();
        shows_nothing(sql, &row.try_get::<Sealed<String>, _>("email").unwrap_err());
    }
}

fn shows_nothing(what: &str, error: &sqlx::Error) {
    assert!(matches!(error, sqlx::Error::ColumnDecode { .. }), "{what}: {error}");
    let shown = format!("{error} {error:?}");
    for part in ["ada", "616461", "97, 100, 97", "4711"] {
        assert!(!shown.contains(part), "{what}: {shown}");
    }
}
