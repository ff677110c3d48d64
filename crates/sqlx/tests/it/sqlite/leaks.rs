//! Errors of SQLite, and of what a column holds, show nothing of a person.

#[path = "../../../../../tests/it/leaks/needles.rs"]
mod needles;

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use fieldseal::provider::LocalKeyring;
use fieldseal::{Error, Sealed, SubjectId, Vault};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::customer;
use fleet_tests::harness::{Alone, Trial};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Row as _};

use needles::{EMAIL, Needles, SUBJECT};

pub(super) fn trials() -> Vec<Trial> {
    fleet_tests::tests![Alone::new() => errors_of_a_damaged_store_show_nothing errors_of_sqlx_show_nothing]
}

async fn errors_of_a_damaged_store_show_nothing() {
    let needles = Needles::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.db");
    let provider = Arc::new(LocalKeyring::ephemeral().unwrap());
    let customers = async || {
        let store = SqliteStore::open(&file).await.unwrap();
        Vault::builder(Arc::clone(&provider), store)
            .kinds(["customer"])
            .without_journal()
            .build()
            .await
            .unwrap()
            .default_tenant()
    };
    let ada = SubjectId::new("customer", SUBJECT).unwrap();
    customers().await.enroll(&ada).await.unwrap();

    let [cold, colder] = [customers().await, customers().await];
    damage(&file, "UPDATE fieldseal_rooms SET bytes = zeroblob(length(bytes))").await;
    refused(&needles, cold.keys(&ada).await);
    damage(&file, "DROP TABLE fieldseal_rooms").await;
    refused(&needles, colder.keys(&ada).await);
    refused(&needles, colder.enroll(&customer(EMAIL)).await);
}

fn refused<T: Debug>(needles: &Needles, answer: Result<T, Error>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error:?}");
    needles.search_error("a store's error", &error);
}

async fn damage(file: &Path, sql: &'static str) {
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
    db.close().await.unwrap();
}

async fn errors_of_sqlx_show_nothing() {
    let needles = Needles::new();
    let mut db = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for stored in [EMAIL.as_bytes().to_vec(), [b"\xF9", EMAIL.as_bytes()].concat(), Vec::new()] {
        let row = sqlx::query("SELECT $1 AS email").bind(&stored).fetch_one(&mut db).await.unwrap();
        needles.search_error("a blob", &row.try_get::<Sealed<String>, _>("email").unwrap_err());
        needles.search_error("a blob", &row.try_get::<Option<Sealed<String>>, _>("email").unwrap_err());
    }
    for stored in [EMAIL.to_owned(), format!("fs1.{SUBJECT}")] {
        let row = sqlx::query("SELECT $1 AS email").bind(stored).fetch_one(&mut db).await.unwrap();
        needles.search_error("a text", &row.try_get::<Sealed<String>, _>("email").unwrap_err());
        type Text = sqlx::types::Text<Sealed<String>>;
        needles.search_error("a text", &row.try_get::<Text, _>("email").unwrap_err());
    }
}
