//! Seals 59 customers, stores them in SQLite, and opens them again. Start here, and read from top to bottom.
//!
//! `cargo run -p quickstart`
//!
//! `common.rs` has the record: which fields are personal. `erase.rs` goes on where this ends: `cargo run -p quickstart --bin
//! erase`. `docs/production.md` has the same vault on PostgreSQL and AWS KMS.
#![expect(clippy::print_stdout, reason = "an example prints")]

mod common;

use std::path::Path;

use common::{Customer, insert, select, select_all};
use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::{Error, Record as _, Sealed, Tenant, Vault};
use fieldseal_sqlx::SqliteStore;

/// The customer who is looked at closely.
const BJORN: i64 = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = common::scratch("quickstart")?;
    let database = common::open_database(&folder.join("app.db")).await?;

    println!("1. Make a master key, once and for all, and open a vault, as at each start of an application.");
    LocalKeyring::generate(folder.join("master.keyring")).await?;
    let customers = open_vault(&folder).await?;

    println!("2. Enroll 59 people: each gets a key for each of 2 purposes. Seal their rows, and store them.");
    let people = common::people()?;
    let page = customers.enroll_all(&people).await?;
    for person in people {
        let keys = page.get(&person)?;
        insert(&database, &Customer::seal(&person, keys)?).await?;
    }

    println!("3. Read a row, as the database has it and as the application opens it.\n");
    let stored = select(&database, BJORN).await?;
    let keys = customers.keys(&stored).await?;
    let opened = stored.open(&keys)?;
    println!("   stored   {}", stored.email);
    println!("   opened   {} ({} bytes sealed)", opened.email.expose(), stored.email.as_bytes().len());
    println!("   in a log {:?}", opened.email);
    println!("   padded   {} ({} bytes sealed)\n", opened.lastname.expose(), stored.lastname.as_bytes().len());

    println!("4. Open one field of every row: one read of the key store gets all keys that are not in memory yet.");
    let rows = select_all(&database).await?;
    let page = customers.keys_of(&rows).await?;
    let mut domains = Vec::new();
    for row in &rows {
        let email = page.get(row)?.open(row, Customer::EMAIL)?;
        domains.extend(email.expose().rsplit('@').next().map(str::to_owned));
    }
    domains.sort();
    domains.dedup();
    println!("   {} customers, {} e-mail domains", rows.len(), domains.len());

    println!("5. Read and change one column, without its row.");
    let phone: Option<Sealed<String>> =
        sqlx::query_scalar("SELECT phone FROM customer WHERE customer_id = ?").bind(BJORN).fetch_one(&database).await?;
    let mut bjorn = keys.record_ref::<Customer>(&BJORN)?;
    let old = bjorn.open(Customer::PHONE, &phone)?;
    let new = bjorn.seal(Customer::PHONE, Some("+47 22 44 00 00".into()))?;
    sqlx::query("UPDATE customer SET phone = ? WHERE customer_id = ?")
        .bind(&new)
        .bind(BJORN)
        .execute(&database)
        .await?;
    if let (Some(old), Some(new)) = (old, bjorn.open(Customer::PHONE, &new)?) {
        println!("   {} -> {}", old.expose(), new.expose());
    }

    println!("6. A value opens in its own place only.");
    let other = select(&database, 5).await?;
    let other_keys = customers.keys(&other).await?;
    refused("opened with another customer's keys", other_keys.open(&stored, Customer::EMAIL));
    let moved = Customer { lastname: stored.email.clone(), ..select(&database, BJORN).await? };
    refused("moved to another column", keys.open(&moved, Customer::LASTNAME));
    let moved = Customer { email: stored.email.clone(), ..other };
    refused("moved to another customer's row", other_keys.open(&moved, Customer::EMAIL));
    // The vault doesn't know that key: another process may have made it a moment ago. A refresh tells.
    let other_keys = customers.refresh(&other_keys).await?;
    refused(".. and after a refresh", other_keys.open(&moved, Customer::EMAIL));

    println!("7. Start again: a second vault reads everything from disk.");
    drop(customers);
    let customers = open_vault(&folder).await?;
    let keys = customers.keys(&stored).await?;
    println!("   {}\n", keys.open(&stored, Customer::EMAIL)?.expose());

    println!("Look at next: {}", folder.display());
    println!("  sqlite3 app.db 'SELECT hex(email), country FROM customer LIMIT 3'     what a leaked dump shows");
    println!("  sqlite3 keys.db 'SELECT hex(id), state FROM fieldseal_slots LIMIT 3'  the key store holds no name");
    println!("  cargo run -p quickstart --bin erase                                   how one of them is erased");
    println!("  docs/architecture.md for the why, examples/axum for a service");
    Ok(())
}

/// What an application does at each start. In production the three are in different places, with backups apart.
async fn open_vault(folder: &Path) -> Result<Tenant, Box<dyn std::error::Error>> {
    let provider = LocalKeyring::open(folder.join("master.keyring")).await?; // guards the keys
    let store = SqliteStore::open(folder.join("keys.db")).await?; // has them, wrapped
    let journal = FileJournal::open(folder.join("erasures.journal")).await?; // so that a restored backup undoes no erasure
    let vault = Vault::builder(provider, store).journal(journal).record::<Customer>().build().await?;
    Ok(vault.default_tenant())
}

fn refused<T>(what: &str, opened: Result<T, Error>) {
    match opened {
        Ok(_) => unreachable!("{what}: it must not open"),
        Err(error) => println!("   {what}: {error}"),
    }
}
