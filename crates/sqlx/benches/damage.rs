//! What damaged slots cost everybody else: a look at the journal by a process that runs, a build, and a replay, with none, one
//! and a thousand damaged slots among those of many subjects who were erased. A call with damage beside the same one without.
//!
//! `cargo bench -p fieldseal-sqlx --all-features --bench damage -- 100000 /dev/shm`: how many subjects were erased, and where the
//! files are.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time, and prints it")]

use std::path::Path;
use std::time::{Duration, Instant};

use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::SlotState;
use fieldseal::vault::{ErasureRequest, Ready, VaultBuilder};
use fieldseal::{SubjectId, Vault};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::clock::{Clocked, ManualClock};
use fieldseal_testkit::customer;
use fieldseal_testkit::world::MAX_AGE;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};

const ERASED: i64 = 100_000;
const PAGE: usize = 500;
/// How many calls of each kind are timed; who is erased meanwhile, and who is looked up.
const LOOKS: i64 = 50;
const DAMAGED: [u32; 3] = [0, 1, 1000];

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let count: i64 = arguments.next().map_or(ERASED, |count| count.parse().unwrap());
    let place = arguments.next().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let folder = tempfile::tempdir_in(place).unwrap();
    lay(folder.path(), count).await;
    println!("{count} subjects were erased in the last day; times in milliseconds, and beside a store without damage");
    println!("{:>26}{}", "damaged", DAMAGED.map(|damaged| format!("{damaged:>18}")).concat());
    let mut columns = Vec::new();
    for damaged in DAMAGED {
        let copy = tempfile::tempdir_in(folder.path()).unwrap();
        for file in ["keyring", "keys.db", "journal"] {
            std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
        }
        damage(copy.path(), damaged.min(u32::try_from(count).unwrap())).await;
        columns.push(measure(copy.path(), &ManualClock::new()).await);
    }
    for row in 0..columns[0].len() {
        let first = columns[0][row].1.as_secs_f64();
        let cells = columns.iter().map(|column| column[row].1.as_secs_f64());
        let cells: String = cells.map(|took| format!("{:>10.2} ({:4.2})", took * 1e3, took / first)).collect();
        println!("{:>26}{cells}", columns[0][row].0);
    }
}

/// People of whom most were erased just now.
async fn lay(folder: &Path, count: i64) {
    LocalKeyring::generate(folder.join("keyring")).await.unwrap();
    let vault = process(folder, &ManualClock::new()).await.build().await.unwrap();
    let customers = vault.default_tenant();
    let living: Vec<_> = (1..=4 * LOOKS).map(living).collect();
    customers.enroll_all(&living).await.unwrap();
    let erased: Vec<_> = (1..=count).map(customer).collect();
    for page in erased.chunks(PAGE) {
        for receipt in customers.erase_all(page, &ErasureRequest::new().even_if_unknown()).await.unwrap() {
            receipt.unwrap();
        }
    }
    let mut db = raw(folder).await;
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await.unwrap();
}

async fn measure(folder: &Path, clock: &ManualClock) -> Vec<(&'static str, Duration)> {
    let mut rows = Vec::new();
    let began = Instant::now();
    let vault = process(folder, clock).await.build().await.unwrap();
    rows.push(("build", began.elapsed()));
    let elsewhere = process(folder, clock).await.build().await.unwrap();

    rows.push(("nothing was erased since", looks(&vault, clock, LOOKS, async |_| ()).await));
    let erase = async |n| {
        elsewhere.default_tenant().erase(&living(n), &ErasureRequest::new()).await.unwrap();
    };
    rows.push(("one more was erased", looks(&vault, clock, 2 * LOOKS, erase).await));
    drop((vault, elsewhere));

    for _ in 0..2 {
        clock.advance(Duration::from_secs(25 * 3600));
        process(folder, clock).await.build().await.unwrap();
    }
    let began = Instant::now();
    process(folder, clock).await.build().await.unwrap();
    rows.push(("build, two days later", began.elapsed()));

    let began = Instant::now();
    let (_, report) = process(folder, clock).await.replay().await.unwrap();
    rows.push(("replay", began.elapsed()));
    assert_eq!(report.unclear, 0, "a replay buries what is damaged of the erased");
    rows
}

/// The median time of a call that checks the journal for new erasures, and then reads a person whose keys are not cached.
async fn looks(vault: &Vault, clock: &ManualClock, from: i64, before: impl AsyncFn(i64)) -> Duration {
    let customers = vault.default_tenant();
    let mut took = Vec::new();
    for n in 1..=LOOKS {
        before(3 * LOOKS + n).await;
        clock.advance(MAX_AGE / 2 + Duration::from_millis(1));
        let began = Instant::now();
        customers.keys(&living(from - LOOKS + n)).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

async fn process(folder: &Path, clock: &ManualClock) -> VaultBuilder<Ready> {
    let keyring = LocalKeyring::open(folder.join("keyring")).await.unwrap();
    let store = Clocked::new(SqliteStore::open(folder.join("keys.db")).await.unwrap(), None);
    let journal = Clocked::new(FileJournal::open(folder.join("journal")).await.unwrap(), None);
    Vault::builder(keyring, store).kinds(["customer"]).journal(journal).clock(clock.clone())
}

fn living(n: i64) -> SubjectId {
    customer(-n)
}

/// As a disk damages them, or an operator who edits the table by hand.
async fn damage(folder: &Path, slots: u32) {
    let sql =
        "UPDATE fieldseal_slots SET len = len + 1 WHERE id IN (SELECT id FROM fieldseal_slots WHERE state = ? LIMIT ?)";
    let damaged = sqlx::query(sql).bind(SlotState::Erased.number()).bind(slots).execute(&mut raw(folder).await).await;
    assert_eq!(damaged.unwrap().rows_affected(), u64::from(slots));
}

async fn raw(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(folder.join("keys.db"))).await.unwrap()
}
