//! Bulk work over an application's table of eight sealed columns: resealing all of it, and a census. Rows a second, what
//! reading and writing take of the time, and the most memory that the process ever had.
//!
//! `cargo bench -p fieldseal-sqlx --all-features --bench jobs -- 1000000 100000 /dev/shm`: how many rows, over how many subjects, and where the
//! files are. The rows of one subject are scattered over the table, so each page has as many subjects as rows.
//! `DATABASE_URL=postgres://..` puts the table into that database instead, and goes through it with 1, 2 and 4 workers.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time, and prints it")]

#[path = "common/memory.rs"]
mod memory;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fieldseal::jobs::{self, Census, FieldMap, IdColumn, JobOptions, SubjectColumn, TableMap, Tally};
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::rows::{Page, Row, RowKey, RowSource, RowsError, Swap};
use fieldseal::store::{Epoch, Expected, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot};
use fieldseal::{FieldContext, SubjectKeys, Vault};
use fieldseal_sqlx::{PostgresRows, SqliteRows, SqliteStore};
use fieldseal_testkit::customer;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

/// What the process may take of memory at most, however many rows there are.
const MOST_MEMORY_KIB: u64 = 200 * 1024;
const ROWS: i64 = 100_000;
/// Name, and how long its values are: those of the other benchmarks.
const COLUMNS: [(&str, usize); 8] = [
    ("name", 24),
    ("email", 28),
    ("phone", 14),
    ("address", 60),
    ("city", 11),
    ("zip", 10),
    ("card", 16),
    ("note", 400),
];
const PAGE: usize = 500;

fn main() {
    // Cargo adds `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let rows: i64 = arguments.next().map_or(ROWS, |count| count.parse().unwrap());
    let subjects: i64 = arguments.next().map_or((rows / 10).max(1), |count| count.parse().unwrap());
    let place = arguments.next().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(rows, subjects, Path::new(&place)));
    if let Some(memory) = memory::most_memory_kib() {
        println!("{:>8} MiB resident at most", memory / 1024);
        assert!(memory < MOST_MEMORY_KIB, "that is too much");
    }
}

async fn measure(rows: i64, subjects: i64, place: &Path) {
    let folder = tempfile::tempdir_in(place).unwrap();
    let spent = Spent::default();
    let store = Timed::new(SqliteStore::open(folder.path().join("keys.db")).await.unwrap(), &spent);
    let keyring = LocalKeyring::ephemeral().unwrap();
    let vault = Vault::builder(keyring, store)
        .kinds(["customer"])
        .journal(MemoryJournal::new().unwrap())
        .build()
        .await
        .unwrap();
    println!("{rows} rows of 8 sealed columns over {subjects} subjects");
    match std::env::var("DATABASE_URL") {
        Ok(url) => {
            let pool = PgPoolOptions::new().max_connections(8).connect(&url).await.unwrap();
            sqlx::raw_sql("DROP TABLE IF EXISTS fieldseal_bench").execute(&pool).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(create("fieldseal_bench", "BIGINT", "BYTEA")))
                .execute(&pool)
                .await
                .unwrap();
            fill(&vault, rows, subjects, &App::Postgres(pool.clone())).await;
            let table = map("fieldseal_bench");
            let rows = Timed::new(PostgresRows::new(pool.clone(), table.table()).await.unwrap(), &spent);
            go_through(&vault, &table, &rows, subjects, &spent, &[1, 2, 4]).await;
            sqlx::raw_sql("DROP TABLE fieldseal_bench").execute(&pool).await.unwrap();
        }
        Err(_) => {
            let file = folder.path().join("app.db");
            let options = SqliteConnectOptions::new()
                .filename(&file)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full);
            let pool = SqlitePool::connect_with(options).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(create("customer", "INTEGER", "BLOB"))).execute(&pool).await.unwrap();
            fill(&vault, rows, subjects, &App::Sqlite(pool.clone())).await;
            println!("the table's file has {} MiB", std::fs::metadata(&file).unwrap().len() >> 20);
            let table = map("customer");
            let rows = Timed::new(SqliteRows::new(pool, table.table()).await.unwrap(), &spent);
            go_through(&vault, &table, &rows, subjects, &spent, &[1, 2]).await;
        }
    }
}

/// Reseals the table once for each number of workers, with a rotation before each, and takes a census.
async fn go_through(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    subjects: i64,
    spent: &Spent,
    workers: &[usize],
) {
    for workers in workers {
        rotate_all(vault, subjects).await;
        let options = JobOptions::new().batch(PAGE).workers(*workers);
        let phase = Phase::begin(format!("reseal, workers: {workers}"), spent);
        let tally = jobs::reseal(vault, map, rows, &options, &mut ()).await.unwrap();
        assert_eq!((tally.changed, tally.failed), (8 * tally.rows, 0));
        phase.end(&tally);
        let phase = Phase::begin(format!("again, workers: {workers}"), spent);
        let tally = jobs::reseal(vault, map, rows, &options, &mut ()).await.unwrap();
        assert_eq!(tally.changed, 0);
        phase.end(&tally);
        let phase = Phase::begin(format!("census, workers: {workers}"), spent);
        let mut census = Census::begin(vault);
        let tally = jobs::census(vault, map, rows, &mut census, &options, &mut ()).await.unwrap();
        phase.end(&tally);
        assert!(census.is_complete(map));
    }
}

async fn rotate_all(vault: &Vault, subjects: i64) {
    let customers = vault.default_tenant();
    let began = Instant::now();
    let rotate = |subject: i64| {
        let customers = customers.clone();
        async move { customers.rotate_now(&customer(subject)).await }
    };
    stream::iter(1..=subjects).map(rotate).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    println!("{:>22}: {subjects} subjects in {:.1?}", "rotate", began.elapsed());
}

fn map(table: &str) -> TableMap {
    let map = TableMap::new(table, ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("subject")))
        .ids([IdColumn::integer("id")]);
    COLUMNS.iter().fold(map, |map, (column, _)| map.field(FieldMap::new(*column)))
}

fn create(table: &str, integer: &str, bytes: &str) -> String {
    let columns: Vec<_> = COLUMNS.iter().map(|(column, _)| format!("{column} {bytes} NOT NULL")).collect();
    format!("CREATE TABLE {table} (id {integer} PRIMARY KEY, subject {integer} NOT NULL, {})", columns.join(", "))
}

enum App {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// As an application that inserts a thousand rows a transaction.
async fn fill(vault: &Vault, rows: i64, subjects: i64, app: &App) {
    let customers = vault.default_tenant();
    let began = Instant::now();
    let ids: Vec<i64> = (1..=rows).collect();
    for page in ids.chunks(1000) {
        let subject = |id: i64| customer(1 + id % subjects);
        let whose: Vec<_> = page.iter().map(|id| subject(*id)).collect();
        let keys = customers.enroll_all(&whose).await.unwrap();
        let mut sealed: Vec<(i64, Row8)> = Vec::with_capacity(page.len());
        for id in page {
            let keys = keys.get(&subject(*id)).unwrap();
            sealed.push((*id, seal(*id, keys)));
        }
        insert(app, &sealed, subjects).await;
    }
    println!("{:>22}: {rows} rows in {:.1?}", "fill", began.elapsed());
}

type Row8 = [Vec<u8>; 8];

fn seal(id: i64, keys: &SubjectKeys) -> Row8 {
    COLUMNS.map(|(column, len)| {
        let context = FieldContext::new("customer", column, &id).unwrap();
        keys.seal_bytes(&vec![b'x'; len], &context).unwrap()
    })
}

async fn insert(app: &App, sealed: &[(i64, Row8)], subjects: i64) {
    match app {
        App::Sqlite(pool) => {
            let mut transaction = pool.begin().await.unwrap();
            for (id, cells) in sealed {
                let insert = sqlx::query("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
                let insert = insert.bind(*id).bind(1 + id % subjects);
                let insert = cells.iter().fold(insert, |insert, cell| insert.bind(cell.clone()));
                insert.execute(&mut *transaction).await.unwrap();
            }
            transaction.commit().await.unwrap();
        }
        App::Postgres(pool) => {
            let ids: Vec<i64> = sealed.iter().map(|(id, _)| *id).collect();
            let whose: Vec<i64> = ids.iter().map(|id| 1 + id % subjects).collect();
            let insert = sqlx::query(
                "INSERT INTO fieldseal_bench SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], \
                 $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[])",
            );
            let insert = insert.bind(ids).bind(whose);
            let columns = (0..8).map(|at| sealed.iter().map(|(_, cells)| cells[at].clone()).collect::<Vec<_>>());
            columns.fold(insert, |insert, column| insert.bind(column)).execute(pool).await.unwrap();
        }
    }
}

/// Nanoseconds that calls of ports took.
#[derive(Clone, Debug, Default)]
struct Spent(Arc<[AtomicU64; 3]>);

const READ: usize = 0;
const WRITE: usize = 1;
const KEYS: usize = 2;

impl Spent {
    async fn on<T>(&self, what: usize, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        self.0[what].fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap(), Ordering::Relaxed);
        answer
    }

    fn take(&self) -> [Duration; 3] {
        std::array::from_fn(|at| Duration::from_nanos(self.0[at].swap(0, Ordering::Relaxed)))
    }
}

/// A port whose calls are timed. Of calls that overlap each is counted whole.
#[derive(Debug)]
struct Timed<P> {
    inner: P,
    spent: Spent,
}

impl<P> Timed<P> {
    fn new(inner: P, spent: &Spent) -> Self {
        Self { inner, spent: spent.clone() }
    }
}

#[async_trait]
impl<S: RowSource> RowSource for Timed<S> {
    fn columns(&self) -> &[String] {
        self.inner.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        self.spent.on(READ, self.inner.page(page)).await
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        self.spent.on(READ, self.inner.load(keys)).await
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        self.spent.on(WRITE, self.inner.swap(swaps)).await
    }

    async fn count(&self) -> Result<u64, RowsError> {
        self.inner.count().await
    }
}

#[async_trait]
impl<S: KeyStore> KeyStore for Timed<S> {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.spent.on(KEYS, self.inner.load(ids)).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.inner.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.inner.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.inner.scrub().await
    }
}

struct Phase<'a> {
    name: String,
    spent: &'a Spent,
    began: Instant,
}

impl<'a> Phase<'a> {
    fn begin(name: String, spent: &'a Spent) -> Self {
        spent.take();
        Self { name, spent, began: Instant::now() }
    }

    fn end(self, tally: &Tally) {
        let took = self.began.elapsed();
        let [read, write, keys] = self.spent.take().map(|spent| spent.as_secs_f64());
        let rate = tally.rows as f64 / took.as_secs_f64();
        println!(
            "{:>22}: {rate:>7.0} rows a second, {:.1} s in all: rows read {read:.1} s, written {write:.1} s, keys read \
             {keys:.1} s, the rest (cryptography) {:.1} s",
            self.name,
            took.as_secs_f64(),
            (took.as_secs_f64() - read - write - keys).max(0.0),
        );
    }
}
