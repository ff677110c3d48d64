//! `examples/keytool`, run as its user does: each command, and what goes wrong, with the documented exit code.
//!
//! The built example is run, so it must be built: `cargo test` does, `cargo test --test keytool` does not.
#![cfg(unix)]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod adoption;
mod app;
mod census;
mod configuration;
mod databases;
mod epochs;
mod first_steps;
mod journal;
mod manual;
mod place;
mod report;
mod reseal;
mod reveal;
mod sets;
mod status;
mod subjects;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use place::{ADA, BEN, CONFIG, Place, Ran, Result, acme};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
