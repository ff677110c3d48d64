//! Tests that need several servers, or several adapters: a primary that fails over, and a table that goes through jobs on
//! each database; and remote ports through proxies that break what they are told to.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::future_not_send, reason = "a test runs on one thread")]

mod failover;
mod febrl;
mod remote_faults;

use std::process::ExitCode;

use fleet_tests::harness;

fn main() -> ExitCode {
    let mut trials = failover::trials();
    trials.extend(febrl::trials());
    trials.extend(remote_faults::trials());
    harness::run(trials)
}
