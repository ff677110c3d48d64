//! What PostgreSQL's error codes mean, and what may be kept of an error.

use std::fmt;

use sqlx::postgres::PgDatabaseError;

/// Why a call failed. Each adapter says what that means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server, database or role takes no writes.
    ReadOnly,
    /// The role lacks a privilege.
    NoPrivilege,
    /// The login is refused.
    Login,
    /// PostgreSQL doesn't know, or can't do, what the statement names.
    Statement,
    /// A value that its type doesn't take.
    Value,
    /// A constraint, policy or trigger.
    Constraint,
    /// A partitioned table has no partition for the row.
    NoPartition,
    /// It can't be done to the table as it is.
    State,
    /// Somebody else holds a lock for long.
    Locked,
    /// Nothing was done, for the sake of another transaction.
    GaveWay,
    /// The disk is full.
    DiskFull,
    /// A pooler gave one call to two servers.
    Pooler,
    /// The database is damaged.
    Damaged,
    /// What was read is no value of the type that it must be.
    Unreadable,
    /// The pool is set up wrongly.
    Pool,
    /// Anything else: the server could not be reached, was stopped, or had no room.
    Unreachable,
}

/// A cause, and what may be kept of the error.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn of(error: sqlx::Error) -> Self {
        let cause = Cause::of(&error);
        let source = match Refused::of(&error) {
            Some(refused) => Some(refused.into()),
            // What stands in the row is no part of the error that says so.
            None if cause == Cause::Unreadable => None,
            None => Some(error.into()),
        };
        Self { cause, source }
    }
}

impl Cause {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match (code, error) {
            // The code of a check too, which has a name.
            (Some(code), sqlx::Error::Database(e)) if code == code::CHECK && e.constraint().is_none() => {
                Self::NoPartition
            }
            (Some(code), _) => Self::of_code(&code),
            (None, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => Self::Unreadable,
            (None, sqlx::Error::Configuration(_)) => Self::Pool,
            _ => Self::Unreachable,
        }
    }

    fn of_code(code: &str) -> Self {
        match code {
            code::READ_ONLY => return Self::ReadOnly,
            code::NO_PRIVILEGE => return Self::NoPrivilege,
            code::LOCKED => return Self::Locked,
            code::DISK_FULL => return Self::DiskFull,
            code::NO_STATEMENT => return Self::Pooler,
            code::INTERNAL => return Self::Unreachable,
            _ => {}
        }
        match code.get(..2) {
            Some("28") => Self::Login,
            Some("3D") => Self::Pool,
            Some("0A" | "3F" | "42") => Self::Statement,
            Some("22") => Self::Value,
            Some("21" | "23" | "44" | "P0") => Self::Constraint,
            Some("54" | "55") => Self::State,
            Some("XX") => Self::Damaged,
            Some("40") => Self::GaveWay,
            _ => Self::Unreachable,
        }
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
    pub(super) const CHECK: &str = "23514";
    pub(super) const NO_STATEMENT: &str = "26000";
    pub(super) const NO_PRIVILEGE: &str = "42501";
    pub(super) const DISK_FULL: &str = "53100";
    pub(super) const LOCKED: &str = "55P03";
    pub(super) const INTERNAL: &str = "XX000";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_says_why() {
        for (code, cause) in [
            ("08006", Cause::Unreachable), // connection failure
            ("22P02", Cause::Value),       // invalid text representation
            ("23505", Cause::Constraint),  // unique violation
            ("23514", Cause::Constraint),  // check violation
            ("3D000", Cause::Pool),        // no such database
            ("25006", Cause::ReadOnly),    // read-only transaction
            ("26000", Cause::Pooler),      // invalid statement name
            ("28P01", Cause::Login),       // invalid password
            ("40001", Cause::GaveWay),     // serialization failure
            ("40P01", Cause::GaveWay),     // deadlock
            ("42501", Cause::NoPrivilege), // insufficient privilege
            ("42P01", Cause::Statement),   // undefined table
            ("53100", Cause::DiskFull),    // disk full
            ("53300", Cause::Unreachable), // too many connections
            ("55000", Cause::State),       // object not in prerequisite state
            ("55P03", Cause::Locked),      // lock not available
            ("57014", Cause::Unreachable), // query cancelled
            ("57P01", Cause::Unreachable), // admin shutdown
            ("P0001", Cause::Constraint),  // raised by a trigger
            ("XX000", Cause::Unreachable), // internal error
            ("XX001", Cause::Damaged),     // data corrupted
            ("", Cause::Unreachable),
        ] {
            assert_eq!(Cause::of_code(code), cause, "{code}");
        }
    }
}
