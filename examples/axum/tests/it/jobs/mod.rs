//! Life under bulk work: clients ask the service over HTTP all the while, and each job goes through its table beside them.
//!
//! Nothing is timed. What a job reads is handed to it only after one of those rows was changed and the clients were
//! answered so many times more (`beside.rs`), so that it always works beside them. What each client wrote and was told is
//! kept, and held against all that it is told later (`traffic.rs`).

mod adopt;
mod beside;
mod engine;
mod reseal;
mod reveal;
mod traffic;
mod writer;

use std::time::Duration;

use axum_example::database::{Customer, Database, Postgres, Sqlite};
use axum_example::service;
use fieldseal::Vault;
use fieldseal::jobs::{FieldMap, JobOptions, SubjectColumn, TableMap};
use fieldseal::provider::LocalKeyring;
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::clock::ManualClock;
use fleet_tests::client::Client;
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::postgres::Databases;
use fleet_tests::tests;
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;

use crate::on_both;
use engine::Engine;
use traffic::Traffic;

pub(crate) fn trials(databases: &Databases) -> Vec<Trial> {
    let mut trials = on_both![OnSqlite, OnPostgres(databases) =>
        reseal::customers_move_to_new_keys_and_the_old_ones_are_retired
        reveal::a_person_and_a_table_are_revealed
        adopt::a_table_in_the_clear_is_adopted
        adopt::somebody_erased_is_gone_though_plaintext_is_left
    ];
    trials.extend(tests![OnSqlite => writer::between_two_batches_the_database_is_free]);
    trials
}

/// What the processes share: the service's instances, and the operator's.
struct Site {
    folder: TempDir,
    clock: ManualClock,
}

impl Site {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        LocalKeyring::generate(folder.path().join("master.keyring")).await.unwrap();
        Self { folder, clock: ManualClock::new() }
    }

    /// That of a process of its own.
    async fn vault(&self) -> Vault {
        let keyring = LocalKeyring::open(self.folder.path().join("master.keyring")).await.unwrap();
        let store = SqliteStore::open(self.folder.path().join("keys.db")).await.unwrap();
        Vault::builder(keyring, store)
            .record::<Customer<i64>>()
            .without_journal()
            .clock(self.clock.clone())
            .build()
            .await
            .unwrap()
    }

    /// An instance of the service over sealed customers.
    async fn serve(&self, database: impl Database) -> Client {
        Client::of(service::router(self.vault().await.default_tenant(), database)).await
    }
}

/// Where the customers' values belong: what the derive of `Customer` says.
fn map<E: Engine>() -> TableMap {
    TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", E::id()))
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

/// A test gets a file with the example's table.
struct OnSqlite;

impl OnSqlite {
    fn trial(&self, name: String, test: impl AsyncFnOnce(Sqlite) + Send + 'static) -> Trial {
        Alone::new().named("sqlite").trial(name, async || {
            let folder = TempDir::new().unwrap();
            let database = Sqlite::open(&folder.path().join("app.db")).await.unwrap();
            // A writer waits for the others as long as it takes on a busy machine.
            let options = database.0.connect_options().as_ref().clone().busy_timeout(Duration::from_secs(60));
            test(Sqlite(SqlitePool::connect_with(options).await.unwrap())).await;
        })
    }
}

/// A test gets a database of its own, with the example's table.
struct OnPostgres<'a>(&'a Databases);

impl OnPostgres<'_> {
    fn trial(&self, name: String, test: impl AsyncFnOnce(Postgres) + Send + 'static) -> Trial {
        self.0.trial(name, async |options| {
            test(Postgres::open(PgPool::connect_with(options).await.unwrap()).await.unwrap()).await;
        })
    }
}
