//! For the tests of this workspace: servers that a test starts for itself (PostgreSQL, emulators of AWS, OpenBao, a pooler,
//! proxies, a browser), and the harness of the test programs that need them.
//!
//! Where a server's program isn't installed, its tests count as ignored; where `FIELDSEAL_REQUIRE` names the component,
//! they fail.
#![allow(
    clippy::expect_used,
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::unwrap_used,
    reason = "it is a part of tests, which fail by a panic, and is not published"
)]

// The programs in these pages compile as they stand.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../../../docs/production.md")]
mod production {}

pub mod authority;
#[cfg(feature = "browser")]
pub mod chromium;
#[cfg(feature = "http")]
pub mod client;
#[cfg(feature = "postgres")]
pub mod cluster;
#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod harness;
#[cfg(feature = "aws")]
pub mod kms;
pub mod life;
#[cfg(feature = "aws")]
pub mod microburst;
#[cfg(feature = "postgres")]
pub mod pooler;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod process;
#[cfg(feature = "postgres")]
pub mod proxy;
pub mod service;
