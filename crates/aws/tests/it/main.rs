//! `AwsKms`, `DynamoDbStore` and `DynamoDbJournal` on two emulators of AWS, moto and ministack; microburst, a proxy before them,
//! gives the errors that they don't, and a server of the test's own what none of them does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod dynamodb;
mod kms;

use std::process::ExitCode;

use fleet_tests::harness::{self, Shared};
use fleet_tests::microburst::Upstream;
use fleet_tests::service;

fn main() -> ExitCode {
    let ministack = Shared::new(|| Upstream::new(service::ministack())).named("ministack");
    let mut trials = kms::trials(&ministack);
    trials.extend(dynamodb::trials(&ministack));
    harness::run(trials)
}

/// What both services' tests need.
const PROGRAMS: &[&str] = &["moto_server", "ministack", "microburst"];
