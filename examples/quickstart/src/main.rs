//! Seals 59 real customers, stores them, and opens them again: start here.
//!
//! `cargo run --example quickstart --all-features`
//! `cargo run --example quickstart --all-features -- --folder shop --provider awskms:alias/fieldseal --store postgres://user@host/keys --journal postgres://user@host/journal`
//!
//! A keyring file guards the keys, one SQLite file holds them, another is the application's own database. A journal tells
//! of erasures: `examples/erase.rs` goes on with that. The record is in `common/mod.rs`: read it first. Each of the three
//! can be somewhere else: `--provider`, `--store` and `--journal` take a URL as `keytool.toml` does (docs/keytool.md), and
//! `--folder` says where the rest is kept. With a folder it may be run again: nothing that is there is made anew.
#![expect(clippy::print_stdout, reason = "an example prints")]

mod common;
#[path = "common/ports/mod.rs"]
mod ports;

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use common::{Customer, insert, select, select_all};
use fieldseal::{Error, Record, Sealed, Tenant, Vault};
use ports::{JournalUrl, ProviderUrl, StoreUrl};

/// Seals 59 customers, and opens them again. Where master keys, key store and journal are: what is missing is made, but for a
/// key that the operator makes.
#[derive(clap::Parser)]
struct Ports {
    #[arg(long, value_name = "URL", default_value = "keyring:master.keyring", requires = "folder")]
    provider: ProviderUrl,
    #[arg(long, value_name = "URL", default_value = "sqlite:keys.db", requires = "folder")]
    store: StoreUrl,
    // Kept elsewhere than the key store and its backups: else a restored backup would bring erased keys back.
    #[arg(long, value_name = "URL", default_value = "file:journal/erasures.journal", requires = "folder")]
    journal: JournalUrl,
    /// Where app.db is made, and relative paths begin. Nothing that is there is lost. Without it, and without a URL, that is
    /// target/quickstart, which is emptied first; so a URL wants a folder, which keeps what belongs to what it names.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ports = Ports::parse();
    let scratch = match &ports.folder {
        Some(folder) => kept(folder)?,
        None => common::scratch(SCRATCH)?,
    };
    ports.make(&scratch).await?;
    let database = common::open_database(&scratch.join("app.db")).await?;

    println!("1. A provider with a master key, a key store, a journal of erasures, a vault.");
    let customers = ports.open_vault(&scratch).await?;

    println!("2. Enroll and seal the customers of examples/data/chinook_customers.csv.");
    let people = common::people()?;
    let page = customers.enroll_all(&people).await?;
    for person in people {
        let keys = page.get(&person)?;
        insert(&database, &Customer::seal(person, keys)?).await?; // in the place of a run before
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
    let rows = select_all(&database).await?;
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
    let customers = ports.open_vault(&scratch).await?;
    let again: Customer = select(&database, 4).await?;
    let email = customers.keys(&again).await?.open(&again, Customer::EMAIL)?;
    println!("   {}\n", email.expose());

    println!("Look at next: {}", scratch.display());
    println!("  sqlite3 app.db 'SELECT hex(email), country FROM customer LIMIT 3'   what a leaked dump shows");
    if matches!(ports.store, StoreUrl::Sqlite(_)) {
        println!("  sqlite3 keys.db 'SELECT hex(id), state FROM fieldseal_slots LIMIT 3'  the key store names nobody");
    }
    println!("  cargo run --example erase --all-features                              how one of them is erased");
    println!("  docs/architecture.md for the why, examples/axum_sqlx for a service");
    Ok(())
}

/// A folder that no run without arguments empties.
fn kept(folder: &Path) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (real, emptied) = (folder.canonicalize()?, common::scratch_path(SCRATCH).canonicalize());
    if emptied.is_ok_and(|emptied| real.starts_with(emptied)) {
        let what = "--folder is in target/quickstart, which a run without arguments empties: name another one";
        Ports::command().error(ErrorKind::ValueValidation, what).exit();
    }
    Ok(folder.to_owned())
}

const SCRATCH: &str = "quickstart";

impl Ports {
    /// What is done once, before an application starts for the first time. A key store that is there has its master keys and its
    /// journal already: new ones would not fit.
    async fn make(&self, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let (provider, journal) = (self.provider.is_there(folder).await?, self.journal.is_there(folder).await?);
        let store = self.store.is_there(folder).await?;
        if store && !(provider && journal) {
            let what = if provider { "its journal" } else { "its master key" };
            return Err(
                format!("the key store is there, and {what} is not: name it, or the --folder that has it").into()
            );
        }
        if !provider {
            self.provider.make(folder, None).await?; // LocalKeyring::generate("master.keyring")
        }
        if !journal {
            std::fs::create_dir_all(folder.join("journal"))?;
            self.journal.make(folder).await?;
        }
        if !store {
            self.store.make(folder).await?;
        }
        Ok(())
    }

    /// What an application does at each start. It knows what its ports are, and opens them without a URL.
    async fn open_vault(&self, folder: &Path) -> Result<Tenant, Box<dyn std::error::Error>> {
        let provider = self.provider.open(folder, None).await?.port(); // LocalKeyring::open("master.keyring")
        let store = self.store.open(folder).await?; // SqliteStore::open("keys.db")
        let journal = self.journal.open(folder).await?; // FileJournal::open("erasures.journal")
        let vault = Vault::builder(provider, store).journal(journal).purposes(["billing"]).build().await?;
        Ok(vault.default_tenant())
    }
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
