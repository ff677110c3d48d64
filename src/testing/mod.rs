//! For the tests of applications and adapters: conformance suites.
//!
//! Feature `test-util`.

pub mod provider;
