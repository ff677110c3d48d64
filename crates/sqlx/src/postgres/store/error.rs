//! What a failure of PostgreSQL means for a key store.

use crate::postgres::{Cause, Failure, Found};
use fieldseal::error::{StoreError, StoreErrorKind};

/// Whose fault it is.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    let Failure { cause, source } = Failure::of(error);
    let (kind, hint) = meaning(cause);
    let error = StoreError::new(kind).with_hint(hint);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn meaning(cause: Cause) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind::{Corrupt, Denied, Misconfigured, Throttled, Unavailable};
    match cause {
        Cause::ReadOnly => (Denied, "this role or database may only be read"),
        Cause::NoPrivilege => (Denied, "the role lacks a privilege on the key store's schema or tables"),
        Cause::Login => (Denied, "PostgreSQL refuses the login"),
        Cause::Pool => (Misconfigured, "the PostgreSQL pool, or the database that it names"),
        Cause::Locked => (Throttled, "another transaction holds the slot, or the floor, for long"),
        Cause::GaveWay => (Throttled, "other transactions stood in the way"),
        Cause::DiskFull => (Unavailable, "the disk of the PostgreSQL server is full: make room"),
        Cause::Pooler => (Unavailable, "a pooler gave a call to two servers: is it in transaction mode?"),
        Cause::Unreachable => (Unavailable, "the PostgreSQL database"),
        Cause::NoPartition => {
            (Misconfigured, "the key store's table has no partition for the tenant: give it a DEFAULT one")
        }
        // Not what `migrate` made and `open` found.
        Cause::Statement | Cause::Value | Cause::Constraint | Cause::State => {
            (Corrupt, "the key store's tables in PostgreSQL aren't as they were made")
        }
        Cause::Damaged => (Corrupt, "the PostgreSQL database"),
        Cause::Unreadable => (Corrupt, "a value in the key store's tables"),
    }
}

/// Whether the tables can be used.
pub(super) fn usable(found: Found) -> Result<(), StoreError> {
    match found {
        Found::Right => Ok(()),
        Found::Nothing => Err(StoreError::misconfigured(
            "this PostgreSQL schema has no key store: make one with `PostgresStore::builder(pool).migrate()`, or by the SQL \
             in crates/sqlx/src/postgres/store/migrations",
        )),
        Found::Newer => Err(StoreError::new(StoreErrorKind::NewerSchema)),
        Found::Foreign(table) => Err(StoreError::misconfigured(format!(
            "the table {table:?} of this PostgreSQL schema is another application's: name a schema of the key store's own"
        ))),
        Found::Unlogged(table) => Err(StoreError::misconfigured(format!(
            "the table {table:?} is unlogged, a crash would empty it: ALTER TABLE .. SET LOGGED"
        ))),
        Found::Hidden(table) => Err(StoreError::misconfigured(format!(
            "row security hides slots in {table:?} from this role: let it see all of them"
        ))),
        Found::Triggered(table) => Err(StoreError::corrupt(format!(
            "a trigger or rule stands on {table:?}, and could keep what an erasure destroys: drop it"
        ))),
        Found::Altered(table) => Err(StoreError::corrupt(format!(
            "in the PostgreSQL schema, the table {table:?} is missing or not as fieldseal makes it"
        ))),
    }
}

/// A standby was asked for what only the primary knows.
pub(super) fn standby() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable)
        .with_hint("this PostgreSQL server is a standby: the store's pool must lead to the primary")
}
