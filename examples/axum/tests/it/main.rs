//! The service over HTTP, and bulk work beside it, on SQLite and on a PostgreSQL server of the tests' own.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::future_not_send, reason = "a test runs on one thread")]

mod jobs;
mod service;

use std::process::ExitCode;

use fleet_tests::harness;
use fleet_tests::postgres::{Databases, Which};

fn main() -> ExitCode {
    let databases = Databases::new(Which::Installed);
    let mut trials = service::trials(&databases);
    trials.extend(jobs::trials(&databases));
    harness::run(trials)
}

/// The same tests on two engines, of each of which a place says what a test gets.
macro_rules! on_both {
    ($sqlite:expr, $postgres:expr => $($($part:ident)::+)*) => {{
        let mut trials = fleet_tests::tests![$sqlite => $($($part)::+)*];
        trials.extend(fleet_tests::tests![$postgres => $($($part)::+)*]);
        trials
    }};
}
use on_both;
