//! How one customer is erased, what a restored backup does to that, and what makes it final.
//!
//! `cargo run -p quickstart --bin erase`
//!
//! The story goes on where the quickstart ends. The program checks every claim before it prints it, and fails where one
//! does not hold. `docs/erasure.md` and `docs/restore.md` are the same for operators.
#![expect(clippy::print_stdout, reason = "an example prints")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{Customer, insert, select, select_all};
use fieldseal::clock::{Clock, Timestamp};
use fieldseal::journal::FileJournal;
use fieldseal::provider::{LocalKeyring, ProviderErrorKind};
use fieldseal::store::{KeyStore as _, SlotId};
use fieldseal::vault::{ErasureReceipt, ErasureRequest, ErasureStatus};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal::{Error, Record as _, Tenant, Vault};
use fieldseal_sqlx::SqliteStore;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

type Result<T = (), E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The customer who asks to be forgotten.
const BJORN: i64 = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    let here = Folders::new()?;
    let clock = HandClock(Arc::new(1_795_384_800_000.into()));
    let database = common::open_database(&here.root.join("app.db")).await?;

    println!("1. Master keys, wrapped keys and journal, each in a folder of its own: 59 customers, sealed.");
    LocalKeyring::generate(&here.keyring).await?;
    let (pool, builder) = here.open(&here.store, &clock).await?;
    let vault = builder.build().await?;
    let customers = vault.default_tenant();
    let people = common::people()?;
    let page = customers.enroll_all(&people).await?;
    for person in people {
        let keys = page.get(&person)?;
        insert(&database, &Customer::seal(&person, keys)?).await?;
    }
    drop(page);
    ensure(readable(&customers, &database).await? == 59, "all are readable")?;

    println!("2. In the night the key store is backed up, as SQLite wants it done: VACUUM INTO.");
    sqlx::query("VACUUM INTO ?").bind(here.backup.to_str()).execute(&pool).await?;
    clock.advance(Duration::from_secs(12 * 3600));

    println!("3. Customer {BJORN} asks to be erased. The receipt, which is saved as JSON too:\n");
    let his = select(&database, BJORN).await?;
    let at_hand = customers.keys(&his).await?; // as a handler has them, in the middle of a request
    ensure(at_hand.open(&his, Customer::EMAIL).is_ok(), "he is readable")?;
    let request = ErasureRequest::new().reference("request 2026-0042");
    let receipt = customers.erase(&Customer::subject_of(&BJORN)?, &request).await?;
    println!("{}\n", indented(&receipt));
    fs::write(&here.receipt, serde_json::to_string_pretty(&receipt)? + "\n")?;
    let saved: ErasureReceipt = serde_json::from_str(&fs::read_to_string(&here.receipt)?)?;
    ensure(saved == receipt, "the saved receipt is the receipt")?;

    println!("4. Nobody reads him, and nobody enrolls him again by accident. The others are as they were.");
    refused("with keys at hand", at_hand.open(&his, Customer::EMAIL), is_erased)?;
    refused("his keys", customers.keys(&his).await, is_erased)?;
    refused("enrolling him", customers.enroll(&his).await, is_erased)?;
    ensure(readable(&customers, &database).await? == 58, "the others are readable")?;
    println!("   {} others are readable", readable(&customers, &database).await?);

    println!("5. His wrapped keys: overwritten in the key store, and still in the backup.");
    let wrapped = wrapped_keys(&here.copy_of_backup("first look")?, &receipt).await?;
    ensure(wrapped.len() == 2, "one key for each of two purposes")?;
    let files = |folder: &Path| -> Result<Vec<u8>> {
        let files = fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect::<Result<Vec<_>, _>>()?;
        Ok(files.concat())
    };
    let of_the_store = files(here.store.parent().ok_or("no folder")?)?;
    ensure(!wrapped.iter().any(|key| contains(&of_the_store, key)), "no file of the key store has them")?;
    let of_the_backup = fs::read(&here.backup)?;
    ensure(wrapped.iter().all(|key| contains(&of_the_backup, key)), "the backup has them")?;
    println!("   2 wrapped keys of {} bytes: in no file of the key store, in the backup byte for byte", WRAPPED_KEY);

    println!(
        "6. A bad day: everything is stopped, and the backup is put back. The journal, which is elsewhere, shows it."
    );
    drop((at_hand, customers, vault));
    pool.close().await;
    here.restore()?;
    let (pool, builder) = here.open(&here.store, &clock).await?;
    refused("a vault on it", builder.build().await, |e| matches!(e, Error::StoreBehindJournal { missing: 1 }))?;
    pool.close().await;

    println!("7. One process replays the journal: what was erased is erased again.");
    let (pool, builder) = here.open(&here.store, &clock).await?;
    let (vault, replayed) = builder.replay().await?;
    let customers = vault.default_tenant();
    ensure(replayed.erasures == 1, "one erasure was done again")?;
    refused("his keys", customers.keys(&his).await, is_erased)?;
    ensure(readable(&customers, &database).await? == 58, "the others are readable")?;

    println!("8. What can be said of it now, by the saved receipt:");
    clock.advance(vault.max_age());
    let status = customers.erasure_status(&saved).await?;
    ensure(matches!(&status, ErasureStatus::Erased { waits_for } if waits_for.len() == 1), "a master key lives")?;
    println!("{}", indented(&status));

    println!(
        "9. So that master key goes: a new one, a new epoch, everything that lives moved into it, the old one retired."
    );
    let first = vault.current_epoch().await?;
    LocalKeyring::open(&here.keyring).await?.add_key().await?;
    let second = vault.advance_epoch().await?.epoch;
    refused("retiring it too early", vault.retire_epoch(first).await, |e| matches!(e, Error::EpochInUse { .. }))?;
    let (mut moved, mut from) = (0, None);
    loop {
        let page = vault.rewrap_page(from.as_ref(), 20).await?;
        moved += page.moved;
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    ensure(moved == 58, "each subject that lives was moved")?;
    let retired = vault.retire_epoch(first).await?;
    println!("   {moved} subjects moved from epoch {} to {second}; {} is destroyed", retired.epoch, retired.master);
    ensure(readable(&customers, &database).await? == 58, "no row was touched, and the others are readable")?;

    println!("10. And now?");
    let status = customers.erasure_status(&saved).await?;
    ensure(matches!(&status, ErasureStatus::Final { vouched_for } if !vouched_for.is_empty()), "it is final")?;
    println!("{}", indented(&status));

    println!("11. The backup still has his wrapped keys. There is nothing left to open them with.");
    ensure(wrapped_keys(&here.copy_of_backup("second look")?, &receipt).await? == wrapped, "they are in the backup")?;
    let (copy, builder) = here.open(&here.copy_of_backup("third look")?, &clock).await?;
    let destroyed = |e: &Error| matches!(e, Error::Provider(e) if e.kind() == ProviderErrorKind::KeyDestroyed);
    refused("a vault on the backup", builder.build().await, destroyed)?;
    copy.close().await;

    drop((customers, vault));
    pool.close().await;
    println!("\nLook at next: {}", here.root.display());
    println!("  receipt.json                the receipt: docs/receipt.md says what it claims, and what it doesn't");
    println!("  docs/lifecycle.md           why this ends well also where something crashes in the middle");
    Ok(())
}

/// A clock set by hand, in milliseconds: else the story would take half a day.
#[derive(Clone, Debug)]
struct HandClock(Arc<AtomicU64>);

impl HandClock {
    fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Where everything is. In production keyring, store and journal are on three machines, or at least in three backups.
struct Folders {
    root: PathBuf,
    keyring: PathBuf,
    store: PathBuf,
    journal: PathBuf,
    backup: PathBuf,
    receipt: PathBuf,
}

impl Folders {
    fn new() -> Result<Self> {
        let root = common::scratch("erase")?;
        for folder in ["keyring", "store", "journal", "backup"] {
            fs::create_dir(root.join(folder))?;
        }
        Ok(Self {
            keyring: root.join("keyring/master.keyring"),
            store: root.join("store/keys.db"),
            journal: root.join("journal/erasures.journal"),
            backup: root.join("backup/keys.db"),
            receipt: root.join("receipt.json"),
            root,
        })
    }

    /// What an application does at start, but for the clock; and the pool, to close it: `SqliteStore::open` needs none.
    async fn open(&self, store: &Path, clock: &HandClock) -> Result<(SqlitePool, VaultBuilder<Ready>)> {
        let options = SqliteConnectOptions::new().filename(store).create_if_missing(true);
        let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
        let keyring = LocalKeyring::open(&self.keyring).await?;
        let journal = FileJournal::open(&self.journal).await?;
        let vault = Vault::builder(keyring, SqliteStore::new(pool.clone()).await?);
        Ok((pool, vault.journal(journal).record::<Customer>().clock(clock.clone())))
    }

    /// The whole store, with no file of the old one left beside it.
    fn restore(&self) -> Result {
        for leftover in ["store/keys.db-wal", "store/keys.db-shm"] {
            if self.root.join(leftover).exists() {
                fs::remove_file(self.root.join(leftover))?;
            }
        }
        fs::copy(&self.backup, &self.store)?;
        Ok(())
    }

    /// For looking into the backup without changing it.
    fn copy_of_backup(&self, name: &str) -> Result<PathBuf> {
        let copy = self.root.join("backup").join(name);
        fs::copy(&self.backup, &copy)?;
        Ok(copy)
    }
}

/// How many customers' e-mail addresses open.
async fn readable(customers: &Tenant, database: &SqlitePool) -> Result<usize> {
    let rows = select_all(database).await?;
    let page = customers.keys_of(&rows).await?;
    let mut readable = 0;
    for row in &rows {
        match page.get(row) {
            Ok(keys) => readable += usize::from(keys.open(row, Customer::EMAIL)?.expose().contains('@')),
            Err(Error::SubjectErased { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(readable)
}

/// The wrapped keys that a receipt names, as a key store has them: each stands behind its id.
async fn wrapped_keys(store: &Path, receipt: &ErasureReceipt) -> Result<Vec<Vec<u8>>> {
    let store = SqliteStore::open(store).await?;
    let tag = receipt.tag().ok_or("a receipt of a tenant")?;
    let slot = store
        .load(&[SlotId::Subject(receipt.tenant().clone(), *tag)])
        .await?
        .remove(0)
        .into_slot()?
        .ok_or("no slot")?;
    let mut found = Vec::new();
    for id in receipt.purposes().iter().flat_map(|purpose| &purpose.key_ids) {
        let at = position(slot.as_bytes(), id.as_bytes()).ok_or("the slot has no such key")? + id.as_bytes().len();
        found.push(slot.as_bytes().get(at..at + WRAPPED_KEY).ok_or("a short slot")?.to_vec());
    }
    Ok(found)
}

fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    position(bytes, part).is_some()
}

/// Prints the expected error; any other, or none, ends the example.
fn refused<T>(what: &str, answer: Result<T, Error>, expected: impl Fn(&Error) -> bool) -> Result {
    match answer {
        Ok(_) => Err(format!("{what}: this must be refused").into()),
        Err(error) if expected(&error) => {
            println!("   {what}: {error}");
            Ok(())
        }
        Err(error) => Err(format!("{what}: {error}").into()),
    }
}

fn is_erased(error: &Error) -> bool {
    matches!(error, Error::SubjectErased { .. })
}

fn ensure(holds: bool, what: &str) -> Result {
    if holds { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}

fn indented(text: &impl ToString) -> String {
    text.to_string().lines().map(|line| format!("   {line}")).collect::<Vec<_>>().join("\n")
}

/// Bytes of a wrapped data key: `docs/format.md`, section 9.
const WRAPPED_KEY: usize = 98;
