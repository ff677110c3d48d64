//! Adapters of [`fieldseal`] for SQLite and PostgreSQL, through sqlx: key stores, erasure journals, and bulk work on an
//! application's tables.
//!
//! | feature | adds |
//! | --- | --- |
//! | `sqlite` | [`SqliteStore`], [`SqliteRows`] |
//! | `postgres` | [`PostgresStore`] and its [`PostgresReplica`], [`PostgresJournal`], [`PostgresRows`] |
//!
//! The application chooses sqlx's runtime and TLS. Uses the public ports of `fieldseal` and nothing else of it.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod slots;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use postgres::{
    Notices, PostgresJournal, PostgresJournalBuilder, PostgresReplica, PostgresRows, PostgresStore,
    PostgresStoreBuilder,
};
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::{SqliteRows, SqliteStore};
