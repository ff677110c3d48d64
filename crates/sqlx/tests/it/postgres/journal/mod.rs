//! `PostgresJournal`, on servers of the test's own, of two major versions: the conformance suite, also through a pooler, and
//! what PostgreSQL adds.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/pooler.rs"]
mod pooler;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/service.rs"]
mod service;
#[path = "journal_postgres/tables.rs"]
mod tables;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use fieldseal::journal::PostgresJournal;
use fieldseal::testing::journal::{self as rules, RULES};
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
            if which == Which::Installed {
                let test = move |server: &_| {
                    on(which, server, async |database| {
                        let pooler = Pooler::start(&database, 2);
                        rule(&made(&pool(pooler.options(&database)).await).await).await;
                    })
                };
                let skip = which.skip() || service::skip("pgbouncer", &["pgbouncer"]);
                trials.push(trial(&format!("pooler::{name}"), Box::new(test)).with_ignored_flag(skip));
            }
        }
        macro_rules! persistent {
            ($($rule:ident)*) => {$(
                let test = move |server: &_| on(which, server, async |database| rules::$rule(&database, open).await);
                trials.push(trial(concat!("suite::", stringify!($rule)), Box::new(test)));
            )*};
        }
        persistent![
            what_was_appended_survives_reopening
            a_new_place_becomes_one_journal
            a_journal_sees_at_once_what_another_appended
            one_of_many_journals_wins
            journals_that_try_again_lose_no_entry
        ];
        macro_rules! trials {
            ($($test:ident)*) => {$(
                let test = move |server: &_| on(which, server, tables::$test);
                trials.push(trial(concat!("tables::", stringify!($test)), Box::new(test)));
            )*};
        }
        trials![
            a_schema_may_have_any_name
            journals_in_two_schemas_are_two
            the_shipped_sql_makes_what_migrate_makes
            what_is_not_there_is_misconfigured_and_says_what_makes_it
            tables_that_can_not_be_used_are_refused
            an_entry_that_was_changed_or_taken_away_is_told
            an_entry_that_was_hidden_is_found_by_verifying
            a_role_that_may_only_append_can
            an_append_is_durable_whatever_the_session_says
            an_append_that_is_dropped_holds_nothing
            an_append_that_waits_for_long_is_throttled
        ];
        let test = move |_: &_| block_on(tables::a_standby_is_no_journal(which));
        trials.push(trial("tables::a_standby_is_no_journal", Box::new(test)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs a test in a database of its own.
fn on(which: Which, server: &OnceCell<Option<Server>>, test: impl AsyncFnOnce(PgConnectOptions)) -> Completion {
    block_on(async {
        let start = || Server::start_with(which, &["fsync=off"]);
        let Some(server) = server.get_or_init(start).await else {
            return Completion::ignored_with("PostgreSQL is not installed");
        };
        test(server.database().await).await;
        Completion::Completed
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

/// A new journal.
async fn made(pool: &PgPool) -> PostgresJournal {
    PostgresJournal::builder(pool.clone()).migrate().await.unwrap();
    PostgresJournal::builder(pool.clone()).lock_timeout(PATIENCE).open().await.unwrap()
}

async fn open(database: &PgConnectOptions) -> PostgresJournal {
    made(&pool(database.clone()).await).await
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
