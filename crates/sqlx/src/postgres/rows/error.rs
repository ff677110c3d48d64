//! What a failure of PostgreSQL means for a source of rows.

use crate::postgres::{Cause, Failure};
use fieldseal::error::{RowsError, RowsErrorKind};

/// Whose fault it is.
pub(super) fn failed(error: sqlx::Error) -> RowsError {
    let Failure { cause, source } = Failure::of(error);
    let (kind, hint) = meaning(cause);
    let error = RowsError::new(kind).with_hint(hint);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn meaning(cause: Cause) -> (RowsErrorKind, &'static str) {
    use RowsErrorKind::{Corrupt, Denied, Misconfigured, Throttled, Unavailable};
    match cause {
        Cause::ReadOnly => (Denied, "this role or database may only be read: go to the primary"),
        Cause::NoPrivilege => (Denied, "the role lacks a privilege on the table, its columns or its schema"),
        Cause::Login => (Denied, "PostgreSQL refuses the login"),
        Cause::Statement => (Misconfigured, "PostgreSQL refuses the statement: are table and columns as mapped?"),
        Cause::Value => {
            (Misconfigured, "a value that its column's type doesn't take: are table and columns as mapped?")
        }
        Cause::Constraint | Cause::NoPartition => {
            (Misconfigured, "a constraint, policy or trigger of the table refuses the change")
        }
        Cause::State => (Misconfigured, "PostgreSQL can't do this to the table as it is"),
        Cause::Pool => (Misconfigured, "the PostgreSQL pool"),
        Cause::Locked => (Throttled, "a transaction of the application holds the table or a row for long"),
        Cause::GaveWay => (Throttled, "other transactions stood in the way"),
        Cause::DiskFull => (Unavailable, "the disk is full: make room"),
        Cause::Pooler => (Unavailable, "a pooler gave a call to two servers: is it in transaction mode?"),
        Cause::Unreachable => (Unavailable, "the PostgreSQL database"),
        Cause::Damaged => (Corrupt, "the PostgreSQL database"),
        Cause::Unreadable => (Corrupt, "a value in the table"),
    }
}
