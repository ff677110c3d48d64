//! Seals 59 real customers, stores them, and opens them again: start here.
//!
//! `cargo run --example quickstart --all-features`
//!
//! A keyring file guards the keys, one SQLite file holds them, another is the application's own database.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;

use fieldseal::provider::LocalKeyring;
use fieldseal::store::SqliteStore;
use fieldseal::{Error, Record, Sealed, Tenant, Vault};
use serde::Deserialize;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

/// The row as it is stored: it never holds plaintext. `CustomerPlain`, its twin, is made by the derive.
#[derive(Record, sqlx::FromRow)]
#[record(schema = "customer", plain(derive(Deserialize)))]
struct Customer {
    #[record(id, subject)]
    customer_id: i64,
    #[record(pad = 32)] // names are short: don't show how short
    firstname: Sealed<String>,
    #[record(pad = 32)]
    lastname: Sealed<String>,
    email: Sealed<String>,
    phone: Option<Sealed<String>>,
    fax: Option<Sealed<String>>,
    address: Sealed<String>,
    city: Sealed<String>,
    postalcode: Option<Sealed<String>>,
    #[record(purpose = "billing")] // another purpose has keys of its own, and can be erased alone
    company: Option<Sealed<String>>,
    #[record(clear)] // leaving a field in the clear must be said
    state: Option<String>,
    #[record(clear)]
    country: String,
    #[record(clear)]
    support_rep: i64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join("quickstart");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)?;
    }
    std::fs::create_dir_all(&scratch)?;
    let database = open_database(&scratch).await?;

    println!("1. A keyring file with a master key, a key store, a vault.");
    LocalKeyring::generate(scratch.join("master.keyring")).await?;
    let customers = open_vault(&scratch).await?;

    println!("2. Enroll and seal the customers of examples/data/chinook_customers.csv.");
    let csv = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/chinook_customers.csv");
    let people: Vec<CustomerPlain> = csv::Reader::from_path(csv)?.deserialize().collect::<Result<_, _>>()?;
    let page = customers.enroll_all(&people).await?;
    for person in people {
        let keys = page.get(&person)?;
        insert(&database, &Customer::seal(person, keys)?).await?;
    }
    println!("   {} customers, each with keys of their own for 2 purposes", page.len());

    println!("3. One row as the database has it, and as its owner has it.\n");
    let stored: Customer = select(&database, 4).await?;
    let keys = customers.keys(&stored).await?;
    let opened = stored.open(&keys)?;
    println!("   email    {:.60}..", stored.email.to_string());
    println!("            {} ({} bytes)", opened.email.expose(), stored.email.as_bytes().len());
    println!("   lastname {:.60}..", stored.lastname.to_string());
    println!("            {} (padded to 32, {} bytes)", opened.lastname.expose(), stored.lastname.as_bytes().len());
    println!("   in a log {:?}\n", opened.email);

    println!("4. Open them all: one read of the key store for what isn't cached.");
    let rows: Vec<Customer> = sqlx::query_as("SELECT * FROM customer").fetch_all(&database).await?;
    let page = customers.keys_of(&rows).await?;
    let mut domains: Vec<String> = Vec::new();
    for row in &rows {
        let email = page.get(row)?.open(row, Customer::EMAIL)?; // one field: the least exposure
        domains.extend(email.expose().rsplit('@').next().map(str::to_owned));
    }
    domains.sort();
    domains.dedup();
    println!("   {} customers, {} e-mail domains", rows.len(), domains.len());

    println!("5. Read and change a single column, without the row.");
    let mut place = keys.place::<Customer>(&4)?;
    let (phone,): (Option<Sealed<String>>,) =
        sqlx::query_as("SELECT phone FROM customer WHERE customer_id = 4").fetch_one(&database).await?;
    let old = place.open(Customer::PHONE, &phone)?;
    let new = place.seal(Customer::PHONE, Some("+47 22 44 00 00".into()))?;
    sqlx::query("UPDATE customer SET phone = ? WHERE customer_id = 4").bind(&new).execute(&database).await?;
    let phone = place.open(Customer::PHONE, &new)?;
    println!("   {} -> {}", show(old.as_ref()), show(phone.as_ref()));

    println!("6. A value opens in its own place only.");
    let other: Customer = select(&database, 5).await?;
    let other_keys = customers.keys(&other).await?;
    let in_another_row = Customer { email: stored.email.clone(), ..select(&database, 5).await? };
    refused("moved to another customer's row", other_keys.open(&in_another_row, Customer::EMAIL));
    // An unknown key may be one that another process made a moment ago: a refresh tells.
    let other_keys = customers.refresh(&other_keys).await?;
    refused(".. and after a refresh", other_keys.open(&in_another_row, Customer::EMAIL));
    let in_another_column = Customer { address: stored.email.clone(), ..select(&database, 4).await? };
    refused("moved to another column", keys.open(&in_another_column, Customer::ADDRESS));
    refused("opened with another customer's keys", other_keys.open(&stored, Customer::EMAIL));

    println!("7. Everything again from disk, in a second vault.");
    drop(customers);
    let customers = open_vault(&scratch).await?;
    let again: Customer = select(&database, 4).await?;
    let email = customers.keys(&again).await?.open(&again, Customer::EMAIL)?;
    println!("   {}\n", email.expose());

    println!("Look at next: {}", scratch.display());
    println!("  sqlite3 app.db 'SELECT hex(email), country FROM customer LIMIT 3'   what a leaked dump shows");
    println!("  sqlite3 keys.db 'SELECT hex(id), state FROM fieldseal_slots LIMIT 3'  the key store names nobody");
    println!("  docs/architecture.md for the why, examples/axum_sqlx for a service");
    Ok(())
}

/// What an application does at start.
async fn open_vault(folder: &Path) -> Result<Tenant, Box<dyn std::error::Error>> {
    let provider = LocalKeyring::open(folder.join("master.keyring")).await?;
    let store = SqliteStore::open(folder.join("keys.db")).await?;
    let vault = Vault::builder(provider, store)
        .without_journal() // an erasure needs one, kept elsewhere than the key store
        .purposes(["billing"])
        .build()
        .await?;
    Ok(vault.default_tenant())
}

async fn open_database(folder: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(folder.join("app.db")).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await?;
    sqlx::query(
        "CREATE TABLE customer (
            customer_id INTEGER PRIMARY KEY, firstname BLOB NOT NULL, lastname BLOB NOT NULL, email BLOB NOT NULL,
            phone BLOB, fax BLOB, address BLOB NOT NULL, city BLOB NOT NULL, postalcode BLOB, company BLOB,
            state TEXT, country TEXT NOT NULL, support_rep INTEGER NOT NULL
        )",
    )
    .execute(&database)
    .await?;
    Ok(database)
}

async fn insert(database: &SqlitePool, row: &Customer) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
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

async fn select(database: &SqlitePool, id: i64) -> Result<Customer, sqlx::Error> {
    sqlx::query_as("SELECT * FROM customer WHERE customer_id = ?").bind(id).fetch_one(database).await
}

fn show(phone: Option<&fieldseal::Plain<String>>) -> &str {
    phone.map_or("none", |phone| phone.expose())
}

fn refused<T>(what: &str, opened: Result<T, Error>) {
    match opened {
        Ok(_) => unreachable!("{what}: it must not open"),
        Err(error) => println!("   {what}: {error}"),
    }
}
