//! What a failure of PostgreSQL means for a journal.

use crate::postgres::{Cause, Failure, Found};
use fieldseal::error::{JournalError, JournalErrorKind};

/// Whose fault it is.
pub(super) fn failed(error: sqlx::Error) -> JournalError {
    let Failure { cause, source } = Failure::of(error);
    let (kind, hint) = meaning(cause);
    let error = JournalError::new(kind).with_hint(hint);
    match source {
        Some(source) => error.with_source(source),
        None => error,
    }
}

fn meaning(cause: Cause) -> (JournalErrorKind, &'static str) {
    use JournalErrorKind::{Corrupt, Denied, Misconfigured, Throttled, Unavailable};
    match cause {
        // A standby, after a failover, or a database that may only be read: nothing was appended.
        Cause::ReadOnly => (Unavailable, "this PostgreSQL server takes no writes: the pool must lead to the primary"),
        Cause::NoPrivilege => (Denied, "the role lacks a privilege on the journal's schema or tables"),
        Cause::Login => (Denied, "PostgreSQL refuses the login"),
        Cause::Pool => (Misconfigured, "the PostgreSQL pool"),
        Cause::Locked => (Throttled, "another transaction holds the journal's head for long"),
        Cause::GaveWay => (Throttled, "other transactions stood in the way"),
        Cause::DiskFull => (Unavailable, "the disk of the PostgreSQL server is full: make room"),
        Cause::Pooler => (Unavailable, "a pooler gave a call to two servers: is it in transaction mode?"),
        Cause::Unreachable => (Unavailable, "the PostgreSQL database"),
        // Not what `migrate` made and `open` found; an entry where the next one belongs.
        Cause::Statement | Cause::Value | Cause::Constraint | Cause::NoPartition | Cause::State => {
            (Corrupt, "the journal's tables in PostgreSQL aren't as they were made")
        }
        Cause::Damaged => (Corrupt, "the PostgreSQL database"),
        Cause::Unreadable => (Corrupt, "a value in the journal's tables"),
    }
}

/// Whether the tables can be used.
pub(super) fn usable(found: Found) -> Result<(), JournalError> {
    match found {
        Found::Right => Ok(()),
        Found::Nothing => Err(JournalError::misconfigured(
            "this PostgreSQL schema has no journal: make one with `PostgresJournal::builder(pool).migrate()`, or by the SQL \
             in crates/sqlx/src/postgres/journal/migrations",
        )),
        Found::Newer => Err(JournalError::newer_schema("the journal's tables: upgrade this program")),
        Found::Foreign(table) => Err(JournalError::misconfigured(format!(
            "the table {table:?} of this PostgreSQL schema is another application's: name a schema of the journal's own"
        ))),
        Found::Unlogged(table) => Err(JournalError::misconfigured(format!(
            "the table {table:?} is unlogged, a crash would empty it: ALTER TABLE .. SET LOGGED"
        ))),
        Found::Hidden(table) => Err(JournalError::misconfigured(format!(
            "row security hides entries in {table:?} from this role: let it see all of them"
        ))),
        Found::Triggered(table) => Err(JournalError::corrupt(format!(
            "a trigger or rule stands on {table:?}, and could change what is appended: drop it"
        ))),
        Found::Altered(table) => Err(JournalError::corrupt(format!(
            "in the PostgreSQL schema, the table {table:?} is missing or not as fieldseal makes it"
        ))),
    }
}

/// A standby was asked for what only the primary knows.
pub(super) fn standby() -> JournalError {
    JournalError::new(JournalErrorKind::Unavailable)
        .with_hint("this PostgreSQL server is a standby: the journal's pool must lead to the primary")
}
