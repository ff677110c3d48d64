//! `examples/keytool` and `examples/quickstart` on key stores, journals and master keys elsewhere: PostgreSQL, DynamoDB, AWS
//! KMS (on two emulators, each of which is right where the other is not), OpenBao, a SoftHSM token.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore. The built examples are run: see
//! `tests/keytool`.
#![cfg_attr(unix, expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic"))]

#[cfg(unix)]
#[path = "support/dynamodb.rs"]
mod dynamodb;
#[cfg(unix)]
#[path = "keytool/grounds.rs"]
mod grounds;
#[cfg(unix)]
#[path = "keytool/journey.rs"]
mod journey;
#[cfg(unix)]
#[path = "keytool/place.rs"]
mod place;
#[cfg(unix)]
#[path = "support/postgres.rs"]
mod postgres;
#[cfg(unix)]
#[path = "support/service.rs"]
mod service;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    journey::run()
}

#[cfg(not(unix))]
fn main() {}
