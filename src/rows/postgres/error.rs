//! What PostgreSQL's error codes mean for a source of rows, and what may be kept of an error.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

use crate::error::{RowsError, RowsErrorKind};

/// Whose fault it is.
pub(super) fn failed(error: sqlx::Error) -> RowsError {
    let Some(refused) = Refused::of(&error) else {
        return match error {
            // What stands in the row is no part of the error that says so.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => RowsError::corrupt("a value in the table"),
            sqlx::Error::Configuration(_) => RowsError::misconfigured("the PostgreSQL pool").with_source(error),
            _ => RowsError::new(RowsErrorKind::Unavailable).with_hint("the PostgreSQL database").with_source(error),
        };
    };
    let (kind, hint) = meaning(&refused.code);
    RowsError::new(kind).with_hint(hint).with_source(refused)
}

/// Whether nothing was done, for the sake of another transaction, and the same may succeed at once.
pub(super) fn gave_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some(code::SERIALIZATION_FAILURE | code::DEADLOCK))
}

fn meaning(code: &str) -> (RowsErrorKind, &'static str) {
    use RowsErrorKind::{Corrupt, Denied, Misconfigured, Unavailable};
    match code {
        code::READ_ONLY => return (Denied, "this role or database may only be read: go to the primary"),
        code::NO_PRIVILEGE => return (Denied, "the role lacks a privilege on the table, its columns or its schema"),
        code::LOCKED => return (Unavailable, "a transaction of the application holds the table or a row for long"),
        code::DISK_FULL => return (Unavailable, "the disk is full: make room"),
        code::NO_STATEMENT => return (Unavailable, "a pooler gave a call to two servers: is it in transaction mode?"),
        _ => {}
    }
    match code.get(..2) {
        Some("28") => (Denied, "PostgreSQL refuses the login"),
        Some("0A" | "3D" | "3F" | "42") => {
            (Misconfigured, "PostgreSQL refuses the statement: are table and columns as mapped?")
        }
        Some("22") => (Misconfigured, "a value that its column's type doesn't take: are table and columns as mapped?"),
        Some("21" | "23" | "44" | "P0") => {
            (Misconfigured, "a constraint, policy or trigger of the table refuses the change")
        }
        Some("54" | "55") => (Misconfigured, "PostgreSQL can't do this to the table as it is"),
        Some("XX") if code != code::INTERNAL => (Corrupt, "the PostgreSQL database"),
        Some("40") => (Unavailable, "other transactions stood in the way"),
        _ => (Unavailable, "the PostgreSQL database"),
    }
}

/// What is kept of an error of PostgreSQL's: its code, and what can't hold a value that stands in a row or was bound.
///
/// DETAIL names values ("Key (email)=(ada@example.com) already exists"), CONTEXT too; so does the message where a value was
/// not understood, and where a trigger wrote it.
#[derive(Debug)]
struct Refused {
    code: String,
    message: Option<String>,
    constraint: Option<String>,
}

impl Refused {
    fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
        let harmless = ["08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57"];
        let is_harmless = error.code().get(..2).is_some_and(|class| harmless.contains(&class));
        // Code of a function can raise any code, with any message; PostgreSQL then adds where it was.
        let is_own = error.r#where().is_none();
        Some(Self {
            code: error.code().to_owned(),
            message: (is_harmless && is_own).then(|| error.message().to_owned()),
            constraint: error.constraint().filter(|_| is_own).map(str::to_owned),
        })
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLSTATE {}", self.code)?;
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint:?}")?;
        }
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refused {}

/// Codes that mean something else than their class, as in PostgreSQL's appendix A.
mod code {
    pub(super) const READ_ONLY: &str = "25006";
    pub(super) const NO_STATEMENT: &str = "26000";
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK: &str = "40P01";
    pub(super) const NO_PRIVILEGE: &str = "42501";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const LOCKED: &str = "55P03";
    pub(super) const INTERNAL: &str = "XX000";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_who_is_to_blame() {
        use RowsErrorKind::{Corrupt, Denied, Misconfigured, Unavailable};
        for (code, kind) in [
            ("08006", Unavailable),   // connection failure
            ("22P02", Misconfigured), // invalid text representation
            ("23505", Misconfigured), // unique violation
            ("25006", Denied),        // read-only transaction
            ("28P01", Denied),        // invalid password
            ("40001", Unavailable),   // serialization failure
            ("40P01", Unavailable),   // deadlock
            ("42501", Denied),        // insufficient privilege
            ("42P01", Misconfigured), // undefined table
            ("53100", Unavailable),   // disk full
            ("53300", Unavailable),   // too many connections
            ("55000", Misconfigured), // object not in prerequisite state
            ("55P03", Unavailable),   // lock not available
            ("57014", Unavailable),   // query cancelled
            ("57P01", Unavailable),   // admin shutdown
            ("P0001", Misconfigured), // raised by a trigger
            ("XX000", Unavailable),   // internal error
            ("XX001", Corrupt),       // data corrupted
            ("", Unavailable),
        ] {
            assert_eq!(meaning(code).0, kind, "{code}");
        }
    }
}
