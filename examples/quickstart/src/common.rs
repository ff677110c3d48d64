//! What the examples share: a record, the people to make records of, and the application's own database.

use std::path::{Path, PathBuf};

use fieldseal::{Record, Sealed};
use serde::Deserialize;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

/// The row as it is stored: it never holds plaintext. `CustomerPlain`, its twin, is made by the derive.
#[derive(Record, sqlx::FromRow)]
#[record(schema = "customer", plain(derive(Deserialize)))]
pub(crate) struct Customer {
    #[record(id, subject)] // bound into every envelope of the row; names the person
    pub(crate) customer_id: i64,
    #[record(pad = 32)] // names are short: don't show how short
    pub(crate) firstname: Sealed<String>,
    #[record(pad = 32)]
    pub(crate) lastname: Sealed<String>,
    pub(crate) email: Sealed<String>,
    pub(crate) phone: Option<Sealed<String>>,
    pub(crate) fax: Option<Sealed<String>>,
    pub(crate) address: Sealed<String>,
    pub(crate) city: Sealed<String>,
    pub(crate) postalcode: Option<Sealed<String>>,
    #[record(purpose = "billing")] // another purpose has keys of its own, and can be erased alone
    pub(crate) company: Option<Sealed<String>>,
    #[record(clear)] // leaving a field in the clear must be said
    pub(crate) state: Option<String>,
    #[record(clear)]
    pub(crate) country: String,
    #[record(clear)]
    pub(crate) support_rep: i64,
}

/// The 59 customers of the Chinook sample data, read straight into the twin: from here on they can't be printed.
pub(crate) fn people() -> Result<Vec<CustomerPlain>, csv::Error> {
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/chinook_customers.csv");
    csv::Reader::from_path(csv)?.deserialize().collect()
}

/// A folder under `target/`, emptied.
pub(crate) fn scratch(name: &str) -> std::io::Result<PathBuf> {
    let scratch = scratch_path(name);
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

/// The folder that [`scratch`] empties.
pub(crate) fn scratch_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(name)
}

pub(crate) async fn open_database(file: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS customer (
            customer_id INTEGER PRIMARY KEY, firstname BLOB NOT NULL, lastname BLOB NOT NULL, email BLOB NOT NULL,
            phone BLOB, fax BLOB, address BLOB NOT NULL, city BLOB NOT NULL, postalcode BLOB, company BLOB,
            state TEXT, country TEXT NOT NULL, support_rep INTEGER NOT NULL
        )",
    )
    .execute(&database)
    .await?;
    Ok(database)
}

/// In the place of a row that has its id already.
pub(crate) async fn insert(database: &SqlitePool, row: &Customer) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT OR REPLACE INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(row.customer_id)
        .bind(&row.firstname)
        .bind(&row.lastname)
        .bind(&row.email)
        .bind(&row.phone)
        .bind(&row.fax)
        .bind(&row.address)
        .bind(&row.city)
        .bind(&row.postalcode)
        .bind(&row.company)
        .bind(&row.state)
        .bind(&row.country)
        .bind(row.support_rep)
        .execute(database)
        .await?;
    Ok(())
}

pub(crate) async fn select(database: &SqlitePool, id: i64) -> Result<Customer, sqlx::Error> {
    sqlx::query_as("SELECT * FROM customer WHERE customer_id = ?").bind(id).fetch_one(database).await
}

pub(crate) async fn select_all(database: &SqlitePool) -> Result<Vec<Customer>, sqlx::Error> {
    sqlx::query_as("SELECT * FROM customer ORDER BY customer_id").fetch_all(database).await
}
