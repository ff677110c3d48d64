//! What processes share: a keyring file, a store and a journal, of which the last two are files or databases.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldseal::Vault;
use fieldseal::clock::{Clock as _, SystemClock, Timestamp};
use fieldseal::journal::{ErasureJournal, FileJournal};
use fieldseal::provider::{KeyringOptions, LocalKeyring};
use fieldseal::store::{Expected, Filter, KeyStore, Scan, SlotId, StoredSlot};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal_sqlx::{PostgresJournal, PostgresStore, SqliteStore};
use fieldseal_testkit::clock::{Clocked, ManualClock};
use fieldseal_testkit::faults::{Tap, Tapped};
use fleet_tests::postgres::Databases;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _};

use super::Result;

/// Where stores and journals are.
#[derive(Clone)]
pub(super) enum Ground {
    Files,
    Postgres(Databases),
}

/// A folder that processes share. Where it has a file [`DATABASES`], the store and the journal are what that names.
#[derive(Clone)]
pub(super) struct SharedFolder(pub(super) PathBuf);

/// The directory of a server's socket, the database of the store and that of the journal: a line each.
const DATABASES: &str = "databases";
const KEPT_ID: &str = "kept.id";
const KEPT_SLOT: &str = "kept.slot";

impl SharedFolder {
    /// With a keyring, and a store and a journal that are empty.
    pub(super) async fn empty(folder: &Path, on: &Ground) -> Result<Self> {
        let place = Self(folder.to_owned());
        KeyringOptions::new().generate(place.keyring()).await?;
        if let Ground::Postgres(databases) = on {
            let server = databases.server().ok_or("it was started")?;
            let mut names = vec![server.dir().display().to_string()];
            for _ in 0..2 {
                let database = server.database().await;
                names.push(database.get_database().ok_or("it has a name")?.to_owned());
                let pool = pool(database);
                PostgresStore::builder(pool.clone()).migrate().await?;
                PostgresJournal::builder(pool).migrate().await?;
            }
            std::fs::write(folder.join(DATABASES), names.join("\n"))?;
        }
        Ok(place)
    }

    /// With a vault.
    pub(super) async fn make(folder: &Path, on: &Ground) -> Result<Self> {
        let place = Self::empty(folder, on).await?;
        place.fresh().await?;
        Ok(place)
    }

    pub(super) fn keyring(&self) -> PathBuf {
        self.0.join("keyring")
    }

    pub(super) async fn store(&self) -> Result<Arc<dyn KeyStore>> {
        Ok(match self.databases()? {
            None => Arc::new(SqliteStore::open(self.0.join("keys.db")).await?),
            Some([store, _]) => Arc::new(PostgresStore::builder(pool(store)).lock_timeout(PATIENCE).open().await?),
        })
    }

    pub(super) async fn journal(&self) -> Result<Arc<dyn ErasureJournal>> {
        Ok(match self.databases()? {
            None => Arc::new(FileJournal::open(self.0.join("journal")).await?),
            Some([_, journal]) => {
                Arc::new(PostgresJournal::builder(pool(journal)).lock_timeout(PATIENCE).open().await?)
            }
        })
    }

    /// A process's vault; each call of a port passes the tap.
    pub(super) async fn vault(&self, tap: &Tap) -> Result<(Vault, LocalKeyring)> {
        let (builder, keyring) = self.builder(tap).await?;
        Ok((builder.build().await?, keyring))
    }

    /// That of a process an hour ago: what it erased, others may enroll again.
    pub(super) async fn vault_an_hour_ago(&self) -> Result<(Vault, LocalKeyring)> {
        let keyring = LocalKeyring::open(self.keyring()).await?;
        let clock = ManualClock::new();
        clock.set_wall(Timestamp::from_millis(SystemClock::new().wall().as_millis() - 3_600_000));
        let builder = Vault::builder(keyring.clone(), Clocked::new(self.store().await?, None)).kinds(["customer"]);
        let builder = builder.journal(Clocked::new(self.journal().await?, None)).purposes(["billing"]);
        Ok((builder.clock(clock).build().await?, keyring))
    }

    pub(super) async fn builder(&self, tap: &Tap) -> Result<(VaultBuilder<Ready>, LocalKeyring)> {
        let keyring = LocalKeyring::open(self.keyring()).await?;
        let (store, journal) = (self.store().await?, self.journal().await?);
        let builder = Vault::builder(Tapped::new(keyring.clone(), tap), Tapped::new(store, tap)).kinds(["customer"]);
        Ok((builder.journal(Tapped::new(journal, tap)).purposes(["billing"]), keyring))
    }

    pub(super) async fn fresh(&self) -> Result<Vault> {
        Ok(self.vault(&Tap::open()).await?.0)
    }

    /// The databases of the store and of the journal, if they are in some.
    pub(super) fn databases(&self) -> Result<Option<[PgConnectOptions; 2]>> {
        let file = self.0.join(DATABASES);
        if !file.exists() {
            return Ok(None);
        }
        let names = std::fs::read_to_string(file)?;
        let [socket, store, journal] = names.lines().collect::<Vec<_>>()[..] else { return Err("three lines".into()) };
        Ok(Some([store, journal].map(|name| connect(socket, name))))
    }

    /// Brings what is in SQLite's log into the database. What was dropped closes its files in the background, so the log may
    /// come and go for a while, but nothing is in it any more.
    pub(super) async fn settle(&self) -> Result {
        if !self.0.join("keys.db").exists() {
            return Ok(());
        }
        let store = SqliteStore::open(self.0.join("keys.db")).await?;
        while store.scrub().await?.items().iter().any(|item| item.place == "write-ahead log") {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Copies the files of a place that was settled, and its databases.
    pub(super) async fn copy_to(&self, folder: &Path) -> Result<Self> {
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            if entry.file_type()?.is_file() && !name.to_string_lossy().starts_with("keys.db-") {
                std::fs::copy(entry.path(), folder.join(name))?;
            }
        }
        let place = Self(folder.to_owned());
        if let Some([store, journal]) = self.databases()? {
            let names = [copy(&store).await?, copy(&journal).await?];
            let lines = [&socket(&store)?, &names[0], &names[1]].map(String::as_str).join("\n");
            std::fs::write(folder.join(DATABASES), lines)?;
        }
        Ok(place)
    }

    /// A place whose store is a copy of this one's as it is now.
    pub(super) async fn with_a_copy_of_the_store(&self, folder: &Path) -> Result<Self> {
        let place = Self(folder.to_owned());
        match self.databases()? {
            Some([store, journal]) => {
                let journal = journal.get_database().ok_or("it has a name")?;
                let lines = [&socket(&store)?, &copy(&store).await?, journal].join("\n");
                std::fs::write(folder.join(DATABASES), lines)?;
            }
            None => {
                let copy = place.store().await?;
                for slot in self.store().await?.scan(&Scan::new(Filter::All).limit(1000)).await?.slots {
                    copy.put(&slot, Expected::Absent).await?;
                }
            }
        }
        Ok(place)
    }

    /// Keyring and journal go on there; a journal in a database is the same one already.
    pub(super) fn leave_the_journal_to(&self, other: &Self) -> Result {
        std::fs::copy(self.keyring(), other.keyring())?;
        if self.databases()?.is_none() {
            std::fs::copy(self.0.join("journal"), other.0.join("journal"))?;
        }
        Ok(())
    }

    /// Keeps a slot as it is, for [`put_back`](Self::put_back).
    pub(super) fn keep_for_later(&self, slot: &StoredSlot) -> Result {
        std::fs::write(self.0.join(KEPT_ID), slot.id().to_bytes())?;
        Ok(std::fs::write(self.0.join(KEPT_SLOT), slot.as_bytes())?)
    }

    /// Puts the slot that was kept over the one that is there, as an operator does by hand.
    pub(super) async fn put_back(&self) -> Result {
        let id = SlotId::from_bytes(&std::fs::read(self.0.join(KEPT_ID))?)?;
        let slot = StoredSlot::from_bytes(id, std::fs::read(self.0.join(KEPT_SLOT))?)?;
        let store = self.store().await?;
        let now = store.load(std::slice::from_ref(slot.id())).await?.remove(0).into_slot()?.ok_or("it is there")?;
        Ok(store.put(&slot, Expected::Revision(now.revision())).await?)
    }

    /// Drops its databases.
    pub(super) async fn discard(&self) -> Result {
        for database in self.databases()?.into_iter().flatten() {
            let name = database.get_database().ok_or("it has a name")?;
            admin(&database, &[&format!("DROP DATABASE {name} WITH (FORCE)")]).await?;
        }
        Ok(())
    }
}

/// A copy of a database that nobody works with: whoever is still connected has let go, and is only not gone yet.
async fn copy(database: &PgConnectOptions) -> Result<String> {
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let from = database.get_database().ok_or("it has a name")?;
    let copy = format!("copy_{}", COPIES.fetch_add(1, Ordering::Relaxed));
    let gone = format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{from}'");
    admin(database, &[&gone, &format!("CREATE DATABASE {copy} TEMPLATE {from}")]).await?;
    Ok(copy)
}

async fn admin(server: &PgConnectOptions, statements: &[&str]) -> Result {
    let mut admin = PgConnection::connect_with(&server.clone().database("postgres")).await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe((*statement).to_owned())).execute(&mut admin).await?;
    }
    Ok(admin.close().await?)
}

fn connect(socket: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass().socket(socket).port(5432).username("postgres").database(database)
}

fn socket(database: &PgConnectOptions) -> Result<String> {
    Ok(database.get_socket().ok_or("it has a socket")?.display().to_string())
}

fn pool(database: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(4).connect_lazy_with(database)
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
