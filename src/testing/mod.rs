//! For tests: keys without a vault, conformance suites for ports, decorators that count, delay and fail calls, a clock set
//! by hand.
//!
//! Imports everything; nothing imports it. Nothing here picks a runtime: a suite's test attribute is passed in.

pub mod clock;
pub mod counting;
pub mod faults;
pub mod journal;
mod keys;
pub mod provider;
pub mod rows;
pub mod slot;
pub mod store;
mod vectors;

pub use keys::{keys, keys_for, rotated_keys};
pub use vectors::{keys_from, unwrap_vector};
