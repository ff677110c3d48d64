//! `examples/keytool` and `examples/quickstart` by TLS: PostgreSQL, OpenBao and what is to be AWS, with certificates of an
//! authority of the test's own, on loopback; and each way in which TLS doesn't come about.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore. The built examples are run: see
//! `tests/keytool`.
#![cfg_attr(unix, expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic"))]

#[cfg(unix)]
#[path = "support/authority.rs"]
mod authority;
#[cfg(unix)]
#[path = "keytool/by_tls.rs"]
mod by_tls;
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
    by_tls::run()
}

#[cfg(not(unix))]
fn main() {}
