//! Bulk work that is killed: a job on a table of an SQLite database, with keyring, key store, journal and checkpoint in
//! files, gets SIGKILL at each call of a port, at each step of keeping its checkpoint, and at random moments beside an
//! application that goes on writing. It is run again from the checkpoint that it left, in a new process: every value opens,
//! none is changed twice or half, and nothing that the application wrote is lost.
//!
//! The application keeps a record of its own of what it writes; the parent holds the table against it.

mod application;
mod child;
mod keeper;
mod look;
mod parent;
mod table;
mod template;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldseal::Vault;
use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::KeyStore as _;
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::faults::{Tap, Tapped};
use fleet_tests::process::{Failure, Process, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::{Random, kill_at_points, new_folder, seed};

pub(crate) use child::run as child;
pub(crate) use parent::trials;

/// A job that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Reseal,
    /// Backfill, verify, contract.
    Adopt,
    /// And then key versions are retired on its word.
    Census,
    Reveal,
}

impl Job {
    const ALL: [Self; 4] = [Self::Reseal, Self::Adopt, Self::Census, Self::Reveal];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| format!("{job:?}") == name)
    }
}

/// The files that processes share.
#[derive(Clone)]
struct SharedFiles(PathBuf);

impl SharedFiles {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A process's vault; each call of a port passes the tap.
    async fn vault(&self, tap: &Tap, clock: &ManualClock) -> Result<Vault> {
        let keyring = LocalKeyring::open(self.file("keyring")).await?;
        let store = SqliteStore::open(self.file(KEYS)).await?;
        let journal = FileJournal::open(self.file("journal")).await?;
        let builder = Vault::builder(Tapped::new(keyring, tap), Tapped::new(store, tap)).kinds(["customer"]);
        let builder = builder.journal(Tapped::new(journal, tap)).purposes(["billing"]).clock(clock.clone());
        Ok(builder.build().await?)
    }

    /// The vault of a process that starts now, hours after the table was filled.
    async fn fresh(&self) -> Result<Vault> {
        self.vault(&Tap::open(), &now()).await
    }

    async fn database(&self) -> Result<SqlitePool> {
        let options = SqliteConnectOptions::new().filename(self.file(TABLE)).busy_timeout(PATIENCE);
        Ok(SqlitePoolOptions::new().max_connections(3).connect_with(options).await?)
    }

    /// Brings what is in the log of the key store into its file. What was dropped closes its files in the background, so the
    /// log may come and go for a while, but nothing is in it any more.
    async fn settle(&self) -> Result {
        let store = SqliteStore::open(self.file(KEYS)).await?;
        while store.scrub().await?.items().iter().any(|item| item.place == "write-ahead log") {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Copies the files of a place that was settled, and that nobody works in.
    fn copy_to(&self, folder: &Path) -> Result<Self> {
        self.copy(folder, |name| !name.starts_with("keys.db-"))
    }

    /// Copies the table as a crash left it, with what SQLite needs to make it whole again.
    fn copy_table_to(&self, folder: &Path) -> Result<Self> {
        self.copy(folder, |name| name.starts_with(TABLE) && !name.ends_with("-shm"))
    }

    fn copy(&self, folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        for entry in std::fs::read_dir(&self.0)? {
            let entry = entry?;
            if wanted(&entry.file_name().to_string_lossy()) {
                std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        Ok(Self(folder.to_owned()))
    }
}

/// The key store.
const KEYS: &str = "keys.db";
/// The application's database.
const TABLE: &str = "application.db";
/// What a job keeps to go on from.
const STATE: &str = "state";
/// What is revealed.
const REVEALED: &str = "revealed.jsonl";
/// What the application wrote.
const WRITTEN: &str = "written";

/// How long a process waits for its turn to write: longer than any other holds it, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough after the table was filled for its old keys to be retired.
fn now() -> ManualClock {
    let clock = ManualClock::new();
    clock.advance(2 * HOUR);
    clock
}

const HOUR: Duration = Duration::from_secs(3600);
