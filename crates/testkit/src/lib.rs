//! For the tests of applications that use [`fieldseal`], and of adapters for it.
//!
//! | | |
//! | --- | --- |
//! | test code that takes keys | [`keys()`], [`keys_for`], [`rotated_keys`]; [`customer()`] for a subject |
//! | test that what is stored keeps its names | [`assert_schema!`] |
//! | set the time by hand | [`clock::ManualClock`]; that of a key store or a journal: [`clock::Clocked`] |
//! | hold a port of your own to its rules | [`store_suite!`], [`persistent_store_suite!`], [`damaged_store_suite!`], [`journal_suite!`], [`persistent_journal_suite!`], [`provider_suite!`], [`rows_suite!`] |
//! | count what a vault asks of its ports | [`counting::Counting`] |
//! | let calls overlap, fail, or stand still | [`faults::Tapped`] |
//! | several vaults on the same ports, as several processes have them | [`world::World`] |
//! | make slots that a store can't tell from real ones | [`slot::SampleSlot`] |
//! | leave behind what another process, or a later version, would | [`scribe::Scribe`] |
//!
//! Nothing here picks a runtime: a suite's test attribute is passed in. Uses the public API of `fieldseal` and nothing else
//! of it.

/// The rules of a suite as data: for a test program that makes its tests when it runs, as those that need a server do.
macro_rules! list {
    ($($rule:ident)*) => {
        /// Every rule, with its name.
        pub const RULES: &[(&str, Rule)] = &[$((stringify!($rule), |subject| Box::pin($rule(subject)))),*];
    };
}
use list;

mod abandoned;
pub mod clock;
pub mod counting;
pub mod damage;
pub mod faults;
pub mod journal;
mod keys;
pub mod provider;
pub mod rows;
#[doc(hidden)]
pub mod schema;
pub mod scribe;
pub mod slot;
pub mod store;
pub mod world;

pub use keys::{CUSTOMER, customer, keys, keys_for, rotated_keys};
