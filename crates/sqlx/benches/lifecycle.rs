//! The life of a key store: enrolling many subjects, moving them all to a new epoch, erasing some, retiring the old epoch.
//! How many slots a second each takes, and the most memory that the process ever had.
//!
//! `cargo bench -p fieldseal-sqlx --all-features --bench lifecycle -- 100000 /dev/shm`: how many subjects, and where the file is. In memory,
//! what is left out is what the disk asks for a synced write: one a slot that is written, six an erasure in the journal.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time, and prints it")]

#[path = "common/memory.rs"]
mod memory;

use std::path::Path;
use std::time::{Duration, Instant};

use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::Epoch;
use fieldseal::vault::ErasureRequest;
use fieldseal::{SubjectId, Tenant, Vault};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::customer;

/// What the process may take of memory at most, however many subjects there are.
const MOST_MEMORY_KIB: u64 = 200 * 1024;
const SUBJECTS: i64 = 100_000;
/// One in so many is erased.
const ERASED: usize = 100;
const PAGE: usize = 500;

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let count: i64 = arguments.next().map_or(SUBJECTS, |count| count.parse().unwrap());
    let place = arguments.next().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(live(&(1..=count).map(customer).collect::<Vec<_>>(), Path::new(&place)));
}

async fn live(subjects: &[SubjectId], place: &Path) {
    let folder = tempfile::tempdir_in(place).unwrap();
    let file = folder.path().join("keys.db");
    println!("a synced write of 4 KiB takes {:?}", sync_takes(&folder.path().join("probe")));

    let keyring = LocalKeyring::generate(folder.path().join("keyring")).await.unwrap();
    let store = SqliteStore::open(&file).await.unwrap();
    let journal = FileJournal::open(folder.path().join("journal")).await.unwrap();
    let vault = Vault::builder(keyring.clone(), store).kinds(["customer"]).journal(journal).build().await.unwrap();
    let customers = vault.default_tenant();

    let phase = Phase::begin("enroll");
    for page in subjects.chunks(PAGE) {
        customers.enroll_all(page).await.unwrap();
    }
    phase.end(subjects.len(), &file);

    let phase = Phase::begin("advance the epoch");
    keyring.add_key().await.unwrap();
    vault.advance_epoch().await.unwrap();
    phase.end(1, &file);

    let phase = Phase::begin("rewrap");
    phase.end(rewrap(&vault).await, &file);

    let phase = Phase::begin("erase");
    let erased: Vec<_> = subjects.iter().step_by(ERASED).collect();
    erase(&customers, &erased).await;
    phase.end(erased.len(), &file);

    let phase = Phase::begin("retire the epoch");
    vault.retire_epoch(Epoch::FIRST).await.unwrap();
    phase.end(subjects.len(), &file);

    let memory = memory::most_memory_kib();
    if let Some(memory) = memory {
        println!("{:>8} MiB resident at most", memory / 1024);
    }
    assert!(memory.is_none_or(|kib| kib < MOST_MEMORY_KIB), "that is too much");
}

/// How many slots moved.
async fn rewrap(vault: &Vault) -> usize {
    let (mut moved, mut from) = (0, None);
    loop {
        let page = vault.rewrap_page(from.as_ref(), PAGE).await.unwrap();
        moved += usize::try_from(page.moved).unwrap();
        from = page.next;
        if from.is_none() {
            return moved;
        }
    }
}

async fn erase(customers: &Tenant, subjects: &[&SubjectId]) {
    for receipt in customers.erase_all(subjects, &ErasureRequest::new()).await.unwrap() {
        receipt.unwrap();
    }
}

struct Phase {
    name: &'static str,
    began: Instant,
}

impl Phase {
    fn begin(name: &'static str) -> Self {
        Self { name, began: Instant::now() }
    }

    fn end(self, slots: usize, file: &Path) {
        let took = self.began.elapsed();
        let each = took / u32::try_from(slots).unwrap().max(1);
        let rate = 1.0 / each.as_secs_f64();
        let size = std::fs::metadata(file).unwrap().len() >> 20;
        println!(
            "{:>20}: {slots:>7} slots, {rate:>8.0} a second, {took:.1?} in all; the file has {size} MiB",
            self.name
        );
    }
}

/// What the disk asks for one transaction: the median of some.
fn sync_takes(file: &Path) -> Duration {
    use std::io::Write as _;

    let mut file = std::fs::File::create(file).unwrap();
    let mut took: Vec<Duration> = (0..51)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}
