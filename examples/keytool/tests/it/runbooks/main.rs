//! The runbooks in `docs/`, run as they are written: each is one shell script over a prepared folder, in which each command's
//! output is what the page shows; and then the library looks at what has become of keys and rows.
//!
//! `book` reads a page, `shell` runs it, `world` is the folder that it is run in. The built example is run, so it must be built:
//! `cargo test` does, `cargo test --test runbooks` does not.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod book;
mod emergency;
mod erasure;
mod moving;
mod restore;
mod rotate_all;
mod rotation;
mod shell;
mod world;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The pages that are run.
const PAGES: &[&str] = &["emergency.md", "erasure.md", "providers.md", "restore.md", "rotation.md"];
