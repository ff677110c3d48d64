//! `examples/keytool` on the tables of a PostgreSQL server of the test's own.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore. The built example is run: see `tests/keytool`.
#![cfg_attr(unix, expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic"))]

#[cfg(unix)]
#[path = "keytool/place.rs"]
mod place;
#[cfg(unix)]
#[path = "support/postgres.rs"]
mod postgres;
#[cfg(unix)]
#[path = "keytool/shared.rs"]
mod shared;
#[cfg(unix)]
#[path = "keytool/on_postgres.rs"]
mod tests;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    tests::run()
}

#[cfg(not(unix))]
fn main() {}
