//! What the library holds, a module a theme. Ports are in memory or in files here; those on servers have tests of their own in
//! `crates`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by a panic; a child prints to its parent"
)]

#[macro_use]
mod ground;
#[macro_use]
mod operations;
mod common;

mod cancel;
mod containment;
mod faults;
mod lifecycle;
mod lives;
mod races;

#[cfg(feature = "serde")]
mod dependencies;
#[cfg(feature = "derive")]
mod derive;
mod guard;
mod jobs;
mod journal;
mod keyring;
mod layering;
#[cfg(all(feature = "derive", feature = "serde"))]
mod leaks;
mod measure;
#[cfg(feature = "derive")]
mod moves;
mod providers;
#[cfg(feature = "serde")]
mod receipt;
mod replica;
#[cfg(feature = "derive")]
mod reseal;
mod rows;
#[cfg(feature = "serde")]
mod serde;
mod store;
mod swaps;
#[cfg(all(
    feature = "chrono",
    feature = "derive",
    feature = "rust_decimal",
    feature = "secrecy",
    feature = "serde",
    feature = "time",
    feature = "uuid"
))]
mod values;
mod vault;
