//! For tests: keys without a vault, conformance suites for ports, counting decorators, a clock set by hand.
//!
//! Imports everything; nothing imports it.

mod keys;
pub mod provider;

pub use keys::{keys, keys_for};
