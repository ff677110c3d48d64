//! `PostgresStore`, on servers of the test's own, of two major versions: the conformance suite, also on a partitioned table
//! and through a pooler, and what PostgreSQL adds.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "store_postgres/crash.rs"]
mod crash;
#[path = "store_postgres/notices.rs"]
mod notices;
#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/process.rs"]
mod process;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "store_postgres/puts.rs"]
mod puts;
#[path = "store_postgres/replica.rs"]
mod replica;
#[path = "store_postgres/residue.rs"]
mod residue;
#[path = "store_postgres/round_trips.rs"]
mod round_trips;
#[path = "store_postgres/schema.rs"]
mod schema;
#[path = "support/service.rs"]
mod service;
#[path = "store_postgres/silence.rs"]
mod silence;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fieldseal::store::PostgresStore;
use fieldseal::testing::store::{self as rules, RULES};
use libtest_mimic::{Arguments, Completion, Trial};
use pooler::Pooler;
use postgres::{Server, Which};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::runtime;
use tokio::sync::OnceCell;

type Shared = Arc<OnceCell<Option<Server>>>;
type Test = dyn FnOnce(&OnceCell<Option<Server>>) -> Completion + Send;

fn main() -> ExitCode {
    if let Ok(task) = std::env::var(process::CHILD) {
        return crash::child(&task);
    }
    let mut trials = Vec::new();
    for which in Which::ALL {
        // Started by the first test that runs, so that listing them starts nothing.
        let server: Shared = Arc::new(OnceCell::new());
        let trial = |name: &str, test: Box<Test>| {
            let server = Arc::clone(&server);
            let name = format!("{}::{name}", which.name());
            Trial::ignorable_test(name, move || Ok(test(&server))).with_ignored_flag(which.skip())
        };
        for (name, rule) in RULES {
            let test =
                move |server: &_| on(which, server, async |database| rule(&made(&pool(database).await).await).await);
            trials.push(trial(&format!("suite::{name}"), Box::new(test)));
            // Once each: neither makes a difference between versions, nor is quick.
            let (name, test, skip): (_, Box<dyn FnOnce(&_) -> _ + Send>, _) = match which {
                Which::Installed => {
                    let test = move |server: &_| on_pooler(which, server, async |pool| rule(&made(&pool).await).await);
                    (format!("pooler::{name}"), Box::new(test), service::skip("pgbouncer", &["pgbouncer"]))
                }
                Which::Embedded => {
                    let test = async move |database| rule(&partitioned(&pool(database).await).await).await;
                    (format!("partitioned::{name}"), Box::new(move |server: &_| on(which, server, test)), false)
                }
            };
            trials.push(trial(&name, test).with_ignored_flag(which.skip() || skip));
        }
        macro_rules! persistent {
            ($($rule:ident)*) => {$(
                let test = move |server: &_| on(which, server, async |database| rules::$rule(&database, open).await);
                trials.push(trial(concat!("suite::", stringify!($rule)), Box::new(test)));
            )*};
        }
        persistent![
            what_was_put_survives_reopening
            the_floor_survives_reopening
            a_new_place_can_be_opened_by_many_at_once
            a_store_sees_at_once_what_another_put
            one_of_many_stores_wins
            nothing_below_the_floor_lands_through_another_store
        ];
        macro_rules! trials {
            ($($module:ident::$test:ident)*) => {$(
                let test = move |server: &_| on(which, server, $module::$test);
                trials.push(trial(concat!(stringify!($module), "::", stringify!($test)), Box::new(test)));
            )*};
        }
        trials![
            schema::a_schema_may_have_any_name
            schema::stores_in_two_schemas_are_two
            schema::a_tenant_may_have_partitions_of_its_own
            schema::tables_are_made_once
            schema::tables_are_made_by_one_of_many
            schema::the_shipped_sql_makes_what_migrate_makes
            schema::a_role_that_may_use_a_schema_need_not_make_one
            schema::a_role_without_rights_is_denied
            schema::what_is_not_there_is_misconfigured_and_says_what_makes_it
            schema::tables_of_another_application_are_left_alone
            schema::tables_of_a_later_version_are_refused
            schema::tables_that_were_altered_are_refused
            schema::a_slot_whose_columns_were_altered_is_corrupt
            puts::a_put_is_durable_whatever_the_session_says
            puts::nothing_is_left_in_the_session
            puts::a_put_to_a_database_that_may_only_be_read_is_denied
            puts::a_put_that_waits_for_long_is_throttled
            puts::a_put_that_is_dropped_holds_no_lock
            puts::a_put_that_is_dropped_leaves_no_transaction
            puts::what_a_constraint_refuses_shows_no_byte
            puts::what_is_put_is_not_in_the_text_of_a_statement
            puts::a_store_whose_server_is_gone_is_unavailable
            round_trips::a_page_of_a_hundred_is_one
            round_trips::a_vault_reads_a_page_of_cold_subjects_in_one
            round_trips::a_put_is_four
            silence::a_call_that_is_given_up_costs_no_place_in_the_pool
            residue::what_a_vacuum_leaves_is_told
            residue::dead_rows_that_a_snapshot_sees_are_told_until_it_ends
            residue::dead_rows_that_a_prepared_transaction_holds_are_told
            residue::a_full_scrub_leaves_no_byte_in_the_table
            residue::a_log_of_parameters_is_told
            residue::a_role_that_may_not_vacuum_is_denied
            notices::what_ends_is_told_to_other_stores
            notices::what_ends_nothing_is_not_told
            notices::an_erased_purpose_is_told
            notices::without_the_setting_nothing_is_told
            notices::a_put_that_is_refused_tells_nothing
            notices::a_connection_that_was_lost_is_told
            notices::what_is_no_id_is_passed_over
        ];
        // With servers of their own.
        macro_rules! alone {
            ($($module:ident::$test:ident)*) => {$(
                let test = move |_: &_| block_on($module::$test(which));
                trials.push(trial(concat!(stringify!($module), "::", stringify!($test)), Box::new(test)));
            )*};
        }
        alone![
            replica::what_a_replica_holds_is_read_there
            replica::a_replica_that_is_behind_is_not_believed
            replica::a_look_at_the_primary_for_one_leaves_the_replica_to_others
            replica::a_machine_that_was_suspended_asks_the_primary
            replica::a_replica_never_misses_what_was_put_here
            replica::a_replica_that_is_none_or_is_gone_is_passed_over
            replica::a_replica_that_goes_silent_is_passed_over
            replica::what_a_replica_lacks_is_looked_for_at_the_primary
            replica::a_standby_is_no_primary
            residue::standbys_slots_and_archives_are_told
            crash::nothing_that_was_confirmed_is_lost
        ];
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs a test in a database of its own.
fn on(which: Which, server: &OnceCell<Option<Server>>, test: impl AsyncFnOnce(PgConnectOptions)) -> Completion {
    block_on(async {
        let start = || Server::start_with(which, &["fsync=off", "max_prepared_transactions=4"]);
        let Some(server) = server.get_or_init(start).await else {
            return Completion::ignored_with("PostgreSQL is not installed");
        };
        test(server.database().await).await;
        Completion::Completed
    })
}

/// Runs a test through a pooler in transaction mode that has two connections for all.
fn on_pooler(which: Which, server: &OnceCell<Option<Server>>, test: impl AsyncFnOnce(PgPool)) -> Completion {
    on(which, server, async |database| {
        let pooler = Pooler::start(&database, 2);
        test(pool(pooler.options(&database)).await).await;
        // No worker of autovacuum, which comes when it likes.
        let backends = "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let backends: i64 = sqlx::query_scalar(backends).fetch_one(&pool(database).await).await.unwrap();
        assert!((1..=2).contains(&backends), "the pooler had {backends} connections");
    })
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

async fn pool(database: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(6).connect_with(database).await.unwrap()
}

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// A new store.
async fn made(pool: &PgPool) -> PostgresStore {
    PostgresStore::builder(pool.clone()).migrate().await.unwrap();
    PostgresStore::builder(pool.clone()).lock_timeout(PATIENCE).open().await.unwrap()
}

async fn partitioned(pool: &PgPool) -> PostgresStore {
    PostgresStore::builder(pool.clone()).migrate().await.unwrap();
    execute(pool, include_str!("../src/store/postgres/migrations/partitioned.sql")).await;
    PostgresStore::builder(pool.clone()).lock_timeout(PATIENCE).open().await.unwrap()
}

async fn open(database: &PgConnectOptions) -> PostgresStore {
    made(&pool(database.clone()).await).await
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
