//! What the two programs share: a record, the people to make records of, and the application's own database.

use std::path::{Path, PathBuf};

use fieldseal::{Record, Sealed};
use serde::Deserialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{FromRow, Row as _, SqlitePool};

/// The row as the database has it: it never holds plaintext. The derive makes `CustomerPlain`, its twin, which does.
#[derive(Record)]
#[record(schema = "customer", plain(derive(Deserialize)))]
pub(crate) struct Customer {
    #[record(id, subject = "customer")] // bound into every envelope of the row; names the person
    pub(crate) customer_id: i64,
    #[record(pad = 32)] // names are short: hide how short
    pub(crate) firstname: Sealed<String>,
    #[record(pad = 32)]
    pub(crate) lastname: Sealed<String>,
    pub(crate) email: Sealed<String>,
    pub(crate) phone: Option<Sealed<String>>,
    #[record(purpose = "billing")] // a purpose has its own keys, which can be erased alone
    pub(crate) company: Option<Sealed<String>>,
    #[record(clear)] // the derive insists that you say so
    pub(crate) country: String,
}

/// As `#[derive(sqlx::FromRow)]` writes it, which would build sqlx a second time, for the compiler to run.
impl FromRow<'_, SqliteRow> for Customer {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            customer_id: row.try_get("customer_id")?,
            firstname: row.try_get("firstname")?,
            lastname: row.try_get("lastname")?,
            email: row.try_get("email")?,
            phone: row.try_get("phone")?,
            company: row.try_get("company")?,
            country: row.try_get("country")?,
        })
    }
}

/// The 59 customers of the Chinook sample data, parsed straight into the twin: from here on nothing prints them.
pub(crate) fn people() -> Result<Vec<CustomerPlain>, csv::Error> {
    csv::Reader::from_path(workspace().join("examples/data/chinook_customers.csv"))?.deserialize().collect()
}

/// An empty folder in `target`.
pub(crate) fn scratch(name: &str) -> std::io::Result<PathBuf> {
    let scratch = workspace().join("target").join(name);
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;
    Ok(scratch)
}

fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

pub(crate) async fn open_database(file: &Path) -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await?;
    let create =
        "CREATE TABLE customer (customer_id INTEGER PRIMARY KEY, firstname BLOB NOT NULL, lastname BLOB NOT NULL,
        email BLOB NOT NULL, phone BLOB, company BLOB, country TEXT NOT NULL)";
    sqlx::query(create).execute(&database).await?;
    Ok(database)
}

pub(crate) async fn insert(database: &SqlitePool, row: &Customer) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?)").bind(row.customer_id);
    let insert = insert.bind(&row.firstname).bind(&row.lastname).bind(&row.email).bind(&row.phone);
    insert.bind(&row.company).bind(&row.country).execute(database).await?;
    Ok(())
}

pub(crate) async fn select(database: &SqlitePool, id: i64) -> sqlx::Result<Customer> {
    sqlx::query_as("SELECT * FROM customer WHERE customer_id = ?").bind(id).fetch_one(database).await
}

pub(crate) async fn select_all(database: &SqlitePool) -> sqlx::Result<Vec<Customer>> {
    sqlx::query_as("SELECT * FROM customer ORDER BY customer_id").fetch_all(database).await
}
