//! PostgreSQL: two servers for the whole program, each started by the first test that needs it, and a database for each test.

mod columns;
mod journal;
mod rows;
pub(crate) mod store;

use std::time::Duration;

use fleet_tests::harness::Trial;
use fleet_tests::pooler::Pooler;
use fleet_tests::postgres::{Databases, Which};
use fleet_tests::service;
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::ground;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for which in Which::ALL {
        let databases = Databases::new(which);
        trials.extend(store::trials(&databases));
        trials.extend(journal::trials(&databases));
        trials.extend(ground::trials(&databases));
        // What these ask PostgreSQL has been the same for long.
        if which == Which::Installed {
            trials.extend(rows::trials(&databases));
            trials.extend(columns::trials(&databases));
        }
    }
    trials
}

async fn pool(database: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(6).connect_with(database).await.unwrap()
}

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

/// Whether tests through a pooler count as ignored.
fn no_pooler() -> bool {
    service::skip("pgbouncer", &["pgbouncer"])
}

/// Runs a test through a pooler in transaction mode that has two connections for all.
async fn through_a_pooler(database: PgConnectOptions, test: impl AsyncFnOnce(PgPool)) {
    let pooler = Pooler::start(&database, 2);
    test(pool(pooler.options(&database)).await).await;
    // No worker of autovacuum, which comes when it likes.
    let backends = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let backends: i64 = sqlx::query_scalar(backends).fetch_one(&pool(database).await).await.unwrap();
    assert!((1..=2).contains(&backends), "the pooler had {backends} connections");
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
