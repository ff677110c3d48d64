//! The adapters for sqlx: SQLite in files and in memory, PostgreSQL on servers of the tests' own, of two major versions. The
//! conformance suites of the ports, and what each database adds.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]

mod customer;
mod ground;
mod postgres;
mod sqlite;

use std::process::ExitCode;

use fleet_tests::harness;
use fleet_tests::process::CHILD;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    if let Ok(task) = std::env::var(CHILD) {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(child(&task));
        return ExitCode::SUCCESS;
    }
    let mut trials = sqlite::trials();
    trials.extend(ground::trials_on_files());
    trials.extend(postgres::trials());
    harness::run(trials)
}

/// A process that a test started.
async fn child(task: &str) {
    match task.split_once(' ').unwrap() {
        ("sqlite", task) => sqlite::store::child(task).await,
        ("postgres", task) => postgres::store::crash::child(task).await,
        (other, _) => panic!("no child of {other}"),
    }
}
