//! Life under bulk work: clients ask the service of `examples/axum_sqlx` over HTTP all the while, and each job goes through
//! its table beside them. On SQLite, and on a PostgreSQL server of the test's own.
//!
//! Nothing is timed. What a job reads is handed to it only after one of those rows was changed and the clients were
//! answered so many times more (`beside.rs`), so that it always works beside them. What each client wrote and was told is
//! kept, and held against all that it is told later (`traffic.rs`).
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]
#![expect(clippy::future_not_send, reason = "a test runs on one thread")]

mod adopt;
#[allow(dead_code, reason = "the example makes its table itself")]
#[path = "../../examples/axum_sqlx/adopting.rs"]
mod adopting;
mod beside;
#[path = "../support/client.rs"]
mod client;
#[path = "../../examples/axum_sqlx/database.rs"]
mod database;
mod engine;
#[path = "../support/postgres.rs"]
mod postgres;
mod reseal;
mod reveal;
#[path = "../../examples/axum_sqlx/service.rs"]
mod service;
mod traffic;
mod writer;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use client::Client;
use database::{Database, Postgres, Sqlite};
use engine::Engine;
use fieldseal::Vault;
use fieldseal::jobs::{FieldMap, JobOptions, TableMap};
use fieldseal::provider::LocalKeyring;
use fieldseal::store::SqliteStore;
use fieldseal::testing::clock::ManualClock;
use libtest_mimic::{Arguments, Completion, Trial};
use postgres::Server;
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;
use tokio::runtime;
use tokio::sync::OnceCell;
use traffic::Traffic;

fn main() -> ExitCode {
    // Started by the first test that runs, so that listing them starts nothing.
    let server = Arc::new(OnceCell::new());
    let mut trials = Vec::new();
    macro_rules! trials {
        ($($module:ident::$test:ident)*) => {$({
            trials.push(Trial::test(concat!("sqlite::", stringify!($test)), || Ok(on_sqlite($module::$test))));
            let server = Arc::clone(&server);
            let test = move || Ok(on_postgres(&server, $module::$test));
            let trial = Trial::ignorable_test(concat!("postgres::", stringify!($test)), test);
            trials.push(trial.with_ignored_flag(postgres::skip()));
        })*};
    }
    trials![
        reseal::customers_move_to_new_keys_and_the_old_ones_are_retired
        reveal::a_person_and_a_table_are_revealed
        adopt::a_table_in_the_clear_is_adopted
        adopt::somebody_erased_is_gone_though_plaintext_is_left
    ];
    let name = "sqlite::between_two_batches_the_database_is_free";
    trials.push(Trial::test(name, || {
        on_sqlite(writer::between_two_batches_the_database_is_free);
        Ok(())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What the processes share: the service's instances, and the operator's.
struct World {
    folder: TempDir,
    clock: ManualClock,
}

impl World {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        LocalKeyring::generate(folder.path().join("master.keyring")).await.unwrap();
        Self { folder, clock: ManualClock::new() }
    }

    /// That of a process of its own.
    async fn vault(&self) -> Vault {
        let keyring = LocalKeyring::open(self.folder.path().join("master.keyring")).await.unwrap();
        let store = SqliteStore::open(self.folder.path().join("keys.db")).await.unwrap();
        Vault::builder(keyring, store).without_journal().clock(self.clock.clone()).build().await.unwrap()
    }

    /// An instance of the service over sealed customers.
    async fn serve(&self, database: impl Database) -> Client {
        Client::of(service::router(self.vault().await.default_tenant(), database)).await
    }
}

/// Where the customers' values belong: what the derive of `Customer` says.
fn map<E: Engine>() -> TableMap {
    TableMap::new("customer", ["id"], "customer", E::id())
        .ids([E::id()])
        .field(FieldMap::new("name").pad(32))
        .field(FieldMap::new("email"))
        .field(FieldMap::new("phone"))
}

/// Eight pages and more, two of which are worked on at once.
fn options() -> JobOptions {
    JobOptions::new().batch(BATCH).workers(2)
}

/// Customers at the start; others come meanwhile.
const CUSTOMERS: usize = 200;
const BATCH: usize = 25;

fn on_sqlite(test: impl AsyncFnOnce(Sqlite)) {
    block_on(async {
        let folder = TempDir::new().unwrap();
        let database = Sqlite::open(&folder.path().join("app.db")).await.unwrap();
        // Who writes waits for the others as long as it takes on a busy machine.
        let options = database.0.connect_options().as_ref().clone().busy_timeout(Duration::from_secs(60));
        test(Sqlite(SqlitePool::connect_with(options).await.unwrap())).await;
    });
}

fn on_postgres(server: &OnceCell<Option<Server>>, test: impl AsyncFnOnce(Postgres)) -> Completion {
    block_on(async {
        let Some(server) = server.get_or_init(Server::start).await else {
            return Completion::ignored_with("PostgreSQL is not installed");
        };
        let pool = PgPool::connect_with(server.database().await).await.unwrap();
        test(Postgres::open(pool).await.unwrap()).await;
        Completion::Completed
    })
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}
