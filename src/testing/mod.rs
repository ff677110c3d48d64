//! For tests: keys without a vault, conformance suites for ports, counting decorators, a clock set by hand.
//!
//! Imports everything; nothing imports it.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by a panic")]

mod keys;

pub use keys::{keys, keys_for};
