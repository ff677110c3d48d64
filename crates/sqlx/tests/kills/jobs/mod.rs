//! Bulk work that is killed: a job on a table of an SQLite database, with keyring, key store, journal and checkpoint in
//! files, gets SIGKILL at each call of a port, at each step of keeping its checkpoint, and at random moments beside an
//! application that goes on writing. It is run again from the checkpoint that it left, in a new process: every value opens,
//! none is changed twice or half, and nothing that the application wrote is lost.
//!
//! The test's own program is the child: it is started again with `CHILD` set. The application keeps a record of its own of
//! what it writes; the parent holds the table against it.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "the child tells its parent")]
#![expect(clippy::disallowed_methods, reason = "how long a child may run is drawn by the clock")]

#[path = "job_kills/application.rs"]
mod application;
#[path = "job_kills/child.rs"]
mod child;
#[path = "job_kills/keeper.rs"]
mod keeper;
#[path = "job_kills/look.rs"]
mod look;
#[path = "job_kills/parent.rs"]
mod parent;
#[path = "support/process.rs"]
mod process;
#[path = "job_kills/table.rs"]
mod table;
#[path = "job_kills/template.rs"]
mod template;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldseal::Vault;
use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{KeyStore as _, SqliteStore};
use fieldseal::testing::clock::ManualClock;
use fieldseal::testing::faults::{Tap, Tapped};
use process::{CHILD, Process};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Result<T = ()> = std::result::Result<T, Failure>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match std::env::var(CHILD) {
        Ok(task) => {
            if let Err(e) = runtime.block_on(child::run(&task)) {
                child::say(&format!("failed {e:?}"));
                std::process::exit(1);
            }
        }
        Err(_) => parent::run(runtime),
    }
}

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
struct Place(PathBuf);

impl Place {
    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A process's vault; each call of a port passes the tap.
    async fn vault(&self, tap: &Tap, clock: &ManualClock) -> Result<Vault> {
        let keyring = LocalKeyring::open(self.file("keyring")).await?;
        let store = SqliteStore::open(self.file(KEYS)).await?;
        let journal = FileJournal::open(self.file("journal")).await?;
        let builder = Vault::builder(Tapped::new(keyring, tap), Tapped::new(store, tap));
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

/// A new folder, in memory where there is such a place: processes are killed, not the machine, so a disk would only be slow.
fn new_folder() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?)
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
