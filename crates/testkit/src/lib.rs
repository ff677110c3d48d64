//! For tests: keys without a vault, conformance suites for ports, decorators that count, delay and fail calls, a clock set
//! by hand.
//!
//! Imports everything; nothing imports it. Nothing here picks a runtime: a suite's test attribute is passed in.

/// The rules of a suite as data: for a test program that makes its tests when it runs, as those that need a server do.
macro_rules! list {
    ($($rule:ident)*) => {
        /// Every rule, with its name.
        pub const RULES: &[(&str, Rule)] = &[$((stringify!($rule), |subject| Box::pin($rule(subject)))),*];
    };
}
use list;

pub mod clock;
pub mod counting;
pub mod faults;
pub mod journal;
mod keys;
pub mod provider;
pub mod rows;
pub mod slot;
pub mod store;

pub use keys::{keys, keys_for, rotated_keys};
