//! What `docs/scale.md` reckons with: bytes a slot, calls an operation, bytes a subject in PostgreSQL, and how many slots a
//! second 1, 2 and 4 processes rewrap on one PostgreSQL.
//!
//! `cargo bench -p fieldseal-sqlx --all-features --bench scale -- 20000`: how many subjects; `postgres://..` as a
//! second argument instead of a server of its own, whose database then gets a schema `fieldseal_bench`. Client and server share
//! the machine, so processes beyond its cores show that they don't disturb each other, and no more.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures time, and prints it")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use fieldseal::journal::{ErasureJournal as _, FileJournal, MemoryJournal};
use fieldseal::measure::{Counters, Measured, Port, Series};
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Epoch, Filter, KeyStore as _, MemoryStore, Scan, SlotId};
use fieldseal::vault::{ErasureRequest, Shard};
use fieldseal::{Tenant, Vault};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::customer;
use fleet_tests::postgres::Server;
use fleet_tests::process::{CHILD, Process};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

const SUBJECTS: i64 = 20_000;
const PAGE: usize = 500;
const WORKERS: [u32; 3] = [1, 2, 4];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    if let Ok(task) = std::env::var(CHILD) {
        return runtime.block_on(rewrap_share(&task));
    }
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let subjects: i64 = arguments.first().map_or(SUBJECTS, |count| count.parse().unwrap());
    runtime.block_on(async {
        sizes().await;
        calls().await;
        on_postgres(subjects, arguments.get(1).map(String::as_str)).await;
    });
}

// --- Bytes a slot ----------------------------------------------------------------------------

async fn sizes() {
    println!("Bytes a slot, tenant `default`");
    for (purposes, versions) in [(1, 1), (1, 2), (2, 1), (2, 2), (4, 1), (4, 4)] {
        let store = Arc::new(MemoryStore::new());
        let customers = vault(&store, purposes).await.default_tenant();
        customers.enroll(&customer(1)).await.unwrap();
        for _ in 1..versions {
            customers.rotate_now(&customer(1)).await.unwrap();
        }
        println!("  subject, {purposes} purposes of {versions} versions: {:>5}", bytes_of(&store, &customers).await);
        if versions == 1 {
            customers.erase(&customer(1), &ErasureRequest::new()).await.unwrap();
            println!("  its tombstone:                      {:>5}", bytes_of(&store, &customers).await);
        }
    }
    let store = Arc::new(MemoryStore::new());
    vault(&store, 1).await.default_tenant().enroll(&customer(1)).await.unwrap();
    for slot in store.scan(&Scan::new(Filter::All)).await.unwrap().slots {
        match slot.id() {
            SlotId::Vault => println!("  vault, 1 epoch:                     {:>5}", slot.as_bytes().len()),
            SlotId::Tenant(_) => println!("  tenant, 1 epoch:                    {:>5}", slot.as_bytes().len()),
            SlotId::Subject(..) => {}
        }
    }
}

async fn vault(store: &Arc<MemoryStore>, purposes: usize) -> Vault {
    let names = (1..purposes).map(|n| format!("purpose{n}"));
    let builder = Vault::builder(LocalKeyring::ephemeral().unwrap(), store.clone()).kinds(["customer"]).purposes(names);
    builder.journal(MemoryJournal::new().unwrap()).build().await.unwrap()
}

async fn bytes_of(store: &Arc<MemoryStore>, customers: &Tenant) -> usize {
    let id = SlotId::Subject(customers.id().clone(), customers.tag(&customer(1)).await.unwrap());
    store.load(&[id]).await.unwrap().remove(0).into_slot().unwrap().unwrap().as_bytes().len()
}

// --- Calls an operation ----------------------------------------------------------------------

async fn calls() {
    println!("Calls an operation: provider, store, journal (a vault that is warm but for what is said)");
    let (keyring, counters) = (LocalKeyring::ephemeral().unwrap(), Counters::new());
    let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new().unwrap()));
    let open = async || {
        let provider = Measured::new(keyring.clone(), &counters);
        let builder = Vault::builder(provider, Measured::new(store.clone(), &counters)).kinds(["customer"]);
        builder.journal(Measured::new(journal.clone(), &counters)).build().await.unwrap()
    };
    let mut last = [0; 3];
    let mut told = |what: &str| {
        let of = |port| counters.snapshot().iter().filter(|series| series.port == port).map(Series::count).sum::<u64>();
        let now = [Port::Provider, Port::Store, Port::Journal].map(of);
        let [provider, store, journal] = std::array::from_fn(|n| now[n] - last[n]);
        println!("  {what:<32} {provider:>4} {store:>4} {journal:>4}");
        last = now;
    };
    let mut vault = open().await;
    told("create a key store");
    vault.default_tenant().enroll(&customer(2)).await.unwrap();
    told("first subject of a new tenant");
    vault.default_tenant().enroll(&customer(1)).await.unwrap();
    told("enroll");
    let hundred: Vec<_> = (100..200).map(customer).collect();
    vault.default_tenant().enroll_all(&hundred).await.unwrap();
    told("enroll 100");
    vault = open().await;
    told("build");
    vault.default_tenant().keys(&customer(1)).await.unwrap();
    told("keys, tenant cold");
    vault.default_tenant().keys(&customer(2)).await.unwrap();
    told("keys, subject cold");
    vault.default_tenant().keys_of(&hundred).await.unwrap();
    told("keys of 100, all cold");
    vault.default_tenant().keys_of(&hundred).await.unwrap();
    told("keys of 100, warm");
    vault.default_tenant().rotate(&customer(1)).await.unwrap();
    told("rotate");
    vault.default_tenant().erase(&customer(1), &ErasureRequest::new()).await.unwrap();
    told("erase");
    vault.default_tenant().erase_all(&hundred, &ErasureRequest::new()).await.unwrap();
    told("erase 100");
    keyring.add_key().await.unwrap();
    vault.advance_epoch().await.unwrap();
    told("advance the epoch, 1 tenant");
    rewrap(&vault, Shard::ALL).await;
    told("rewrap what is left, 1 page");
    vault.retire_epoch(Epoch::FIRST).await.unwrap();
    told("retire the epoch");
}

// --- PostgreSQL ------------------------------------------------------------------------------

async fn on_postgres(subjects: i64, url: Option<&str>) {
    let server = if url.is_none() { Server::start().await } else { None };
    let options: PgConnectOptions = match (url, &server) {
        (Some(url), _) => url.parse().unwrap(),
        (None, Some(server)) => server.database().await,
        (None, None) => return println!("There is no PostgreSQL here: its part is left out."),
    };
    let pool = PgPoolOptions::new().max_connections(10).connect_with(options.clone()).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))).execute(&pool).await.unwrap();
    PostgresStore::builder(pool.clone()).schema(SCHEMA).migrate().await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let place = SharedDatabase { folder: folder.path().to_owned(), options };
    let keyring = LocalKeyring::generate(place.keyring()).await.unwrap();
    let own = PgPoolOptions::new().max_connections(10).connect_with(place.options.clone()).await.unwrap();
    let vault = place.vault(own.clone()).await;
    let ids: Vec<_> = (1..=subjects).map(customer).collect();
    let began = Instant::now();
    for page in ids.chunks(PAGE) {
        vault.default_tenant().enroll_all(page).await.unwrap();
    }
    let enrolled = rate(subjects, began);
    own.close().await;
    println!("PostgreSQL, {subjects} subjects with one key each");
    println!("  enroll: {enrolled:.0} subjects/s");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("VACUUM ANALYZE {SCHEMA}.key_slots"))).execute(&pool).await.unwrap();
    let (table, indexes): (i64, i64) = sqlx::query_as(SIZE).fetch_one(&pool).await.unwrap();
    println!("  bytes a subject: {} in the table, {} in its indexes", table / subjects, indexes / subjects);

    for workers in WORKERS {
        keyring.add_key().await.unwrap();
        let own = PgPoolOptions::new().connect_with(place.options.clone()).await.unwrap();
        place.vault(own.clone()).await.advance_epoch().await.unwrap();
        own.close().await; // a session that ends reports what it did
        let updates_before = updates(&pool).await;
        let began = Instant::now();
        let children: Vec<_> = (0..workers)
            .map(|index| Process::start(&place.task(Shard::new(index, workers).unwrap()), Stdio::null()).unwrap())
            .collect();
        // Since the last of them was ready: a process starts, opens the keyring and builds its vault for a while.
        let (mut moved, mut slowest) = (Vec::new(), 0.0f64);
        for mut child in children {
            let line = child.next_line().unwrap();
            let (own, seconds) = line.split_once(' ').expect("how many, and how long it took");
            moved.push(own.parse::<i64>().unwrap());
            slowest = slowest.max(seconds.parse().unwrap());
        }
        let (all, took) = (moved.iter().sum::<i64>(), began.elapsed());
        assert_eq!(all, subjects, "each slot moves once: {moved:?}");
        // A vault that is built may note in its own slot how far the journal is applied.
        let written = updates(&pool).await - updates_before;
        assert!((subjects..=subjects + i64::from(workers)).contains(&written), "and is written once: {written}");
        println!(
            "  rewrap, {workers} processes: {:.0} slots/s ({:.1} s the slowest, {:.1} s with their starts); {moved:?}",
            subjects as f64 / slowest,
            slowest,
            took.as_secs_f64()
        );
    }
    let journal = FileJournal::open(place.journal()).await.unwrap();
    println!("  entries in the journal: {}", journal.head().await.unwrap().position());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP SCHEMA {SCHEMA} CASCADE"))).execute(&pool).await.unwrap();
}

/// The files and the database that processes share.
struct SharedDatabase {
    folder: PathBuf,
    options: PgConnectOptions,
}

impl SharedDatabase {
    fn keyring(&self) -> PathBuf {
        self.folder.join("keyring")
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal")
    }

    async fn vault(&self, pool: PgPool) -> Vault {
        let keyring = LocalKeyring::open(self.keyring()).await.unwrap();
        let store = PostgresStore::builder(pool).schema(SCHEMA).open().await.unwrap();
        let journal = FileJournal::open(self.journal()).await.unwrap();
        Vault::builder(keyring, store).kinds(["customer"]).journal(journal).build().await.unwrap()
    }

    /// What a child is told: its part, the files, and where the server is.
    fn task(&self, part: Shard) -> String {
        let (host, database) = (self.options.get_host(), self.options.get_database().unwrap_or_default());
        let socket = self.options.get_socket().map(|socket| socket.display().to_string()).unwrap_or_default();
        let (port, user) = (self.options.get_port(), self.options.get_username());
        [&part.to_string(), &self.folder.display().to_string(), host, &socket, &port.to_string(), user, database]
            .join("\n")
    }

    fn of_task(task: &str) -> (Shard, Self) {
        let parts: Vec<_> = task.split('\n').collect();
        let [part, folder, host, socket, port, user, database] = parts.as_slice() else { panic!("no task") };
        let (index, of) = part.split_once('/').unwrap();
        let part = Shard::new(index.parse::<u32>().unwrap() - 1, of.parse().unwrap()).unwrap();
        let options = PgConnectOptions::new().host(host).port(port.parse().unwrap()).username(user).database(database);
        let options = if socket.is_empty() { options } else { options.socket(socket) };
        (part, Self { folder: Path::new(folder).to_owned(), options })
    }
}

/// A child: says how many slots it moved, and in how many seconds.
async fn rewrap_share(task: &str) {
    let (part, place) = SharedDatabase::of_task(task);
    let pool = PgPoolOptions::new().max_connections(10).connect_with(place.options.clone()).await.unwrap();
    let vault = place.vault(pool).await;
    let began = Instant::now();
    let moved = rewrap(&vault, part).await;
    println!("{moved} {:.3}", began.elapsed().as_secs_f64());
}

async fn rewrap(vault: &Vault, part: Shard) -> u64 {
    let (mut moved, mut from) = (0, None);
    loop {
        let page = vault.rewrap_shard_page(part, from.as_ref(), PAGE).await.unwrap();
        assert!(page.failed.is_empty());
        moved += page.moved;
        from = page.next;
        if from.is_none() {
            return moved;
        }
    }
}

/// How many rows were overwritten so far, once the sessions that ended have reported it.
async fn updates(pool: &PgPool) -> i64 {
    let mut last = -1;
    loop {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let now: i64 = sqlx::query_scalar(UPDATES).fetch_one(pool).await.unwrap();
        if now == last {
            return now;
        }
        last = now;
    }
}

fn rate(count: i64, began: Instant) -> f64 {
    count as f64 / began.elapsed().as_secs_f64()
}

const SCHEMA: &str = "fieldseal_bench";
const SIZE: &str = "SELECT pg_table_size('fieldseal_bench.key_slots'), pg_indexes_size('fieldseal_bench.key_slots')";
const UPDATES: &str = "SELECT pg_stat_get_tuples_updated('fieldseal_bench.key_slots'::regclass)";
