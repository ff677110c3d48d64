//! `AwsKms`, `DynamoDbStore` and `DynamoDbJournal` on two emulators of AWS, moto and ministack; microburst, a proxy before them,
//! gives the errors that they don't, and a server of the test's own what none of them does.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod dynamodb;
mod kms;

use std::process::ExitCode;

use fleet_tests::harness::{self, Shared, Trial};
use fleet_tests::microburst::Upstream;
use fleet_tests::service;

fn main() -> ExitCode {
    let ministack = Shared::new(|| Upstream::new(service::ministack())).named("ministack");
    let mut trials = kms::trials(&ministack);
    trials.extend(dynamodb::trials(&ministack));
    harness::run(by_turns(trials))
}

/// Those on ministack and the others by turns: an emulator answers one call at a time.
fn by_turns(trials: Vec<Trial>) -> Vec<Trial> {
    let (ministack, others): (Vec<_>, Vec<_>) =
        trials.into_iter().partition(|trial| trial.name().starts_with("ministack"));
    let (mut ministack, mut others) = (ministack.into_iter(), others.into_iter());
    let pairs = std::iter::from_fn(|| match (ministack.next(), others.next()) {
        (None, None) => None,
        pair => Some([pair.0, pair.1]),
    });
    pairs.flatten().flatten().collect()
}

/// What both services' tests need.
const PROGRAMS: &[&str] = &["moto_server", "ministack", "microburst"];
