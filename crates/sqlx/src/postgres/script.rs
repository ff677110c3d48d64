//! A transaction as one string: one round trip, and nothing for a pooler to give to two servers.
//!
//! Nothing can be bound in such a string. What is written into it stands in the server's statement log, where that is on,
//! so ids, moments and numbers may, and bytes that wrap a key may not.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Either, PgConnection, Row as _};

use super::Borrowed;

/// What a server said of itself around a [`read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// A standby: it may lag behind what was confirmed.
    pub(crate) is_standby: bool,
    /// How far a standby had replayed its log before the statement: that much is in what it read.
    pub(crate) replayed: Lsn,
    /// How far a primary's log was behind the statement: what it read stands no later.
    pub(crate) logged: Lsn,
}

/// A place in the write-ahead log, in bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lsn(pub(crate) i64);

/// Runs a statement that reads, whose snapshot is its own: whatever was confirmed before it was sent is in it.
pub(crate) async fn read(pool: &PgPool, statement: &str) -> Result<(Server, Vec<PgRow>), sqlx::Error> {
    let sql = format!("{READ_COMMITTED}; SET LOCAL bytea_output TO hex; {BEFORE}; {statement}; {BEHIND}");
    let mut results = run(pool, sql).await?.into_iter().skip(2);
    let first =
        |rows: Option<Vec<PgRow>>| rows.and_then(|rows| rows.into_iter().next()).ok_or(sqlx::Error::RowNotFound);
    let lsn = |row: &PgRow, column| Ok::<_, sqlx::Error>(Lsn(row.try_get::<Option<i64>, _>(column)?.unwrap_or(0)));
    let before = first(results.next())?;
    let rows = results.next().ok_or(sqlx::Error::RowNotFound)?;
    let behind = first(results.next())?;
    let server = Server { is_standby: before.try_get(0)?, replayed: lsn(&before, 1)?, logged: lsn(&behind, 0)? };
    Ok((server, rows))
}

/// Runs statements that write: all or none. Gives what the last one gives.
pub(crate) async fn write(
    pool: &PgPool,
    lock_timeout: Duration,
    statements: &[&str],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!("{READ_COMMITTED}; {}; {}", super::settings(lock_timeout), statements.join("; "));
    Ok(run(pool, sql).await?.pop().unwrap_or_default())
}

/// Runs a string by itself, and gives the rows of each of its statements.
pub(crate) async fn run(pool: &PgPool, sql: String) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    let mut connection = Borrowed::from(pool).await?;
    let results = results(&mut connection, sql).await;
    connection.answered(results)
}

/// The rows of each statement of a string.
pub(super) async fn results(connection: &mut PgConnection, sql: String) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    let mut answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(connection);
    let (mut results, mut rows) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.try_next().await? {
        match answer {
            Either::Left(_) => results.push(std::mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok(results)
}

/// Bytes as a literal. `E''` reads the same whatever `standard_conforming_strings` says.
pub(crate) fn bytea(bytes: &[u8]) -> String {
    let mut sql = String::with_capacity(bytes.len() * 2 + 16);
    sql.push_str("E'\\\\x");
    hex(&mut sql, bytes);
    sql.push_str("'::bytea");
    sql
}

/// An array of bytes as a literal: a constant, so that partitions are left out before they are looked at.
pub(crate) fn bytea_array<B: AsRef<[u8]>>(all: impl IntoIterator<Item = B>) -> String {
    let mut sql = String::from("E'{");
    for (n, bytes) in all.into_iter().enumerate() {
        sql.push_str(if n == 0 { "\\\\\\\\x" } else { ",\\\\\\\\x" });
        hex(&mut sql, bytes.as_ref());
    }
    sql.push_str("}'::bytea[]");
    sql
}

fn hex(sql: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(sql, "{byte:02x}");
    }
}

/// A transaction that reads one snapshot would have taken it before the server says how far it is.
const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// A server that was never a standby has replayed nothing; one that was promoted still says how far it had.
const BEFORE: &str = "SELECT pg_is_in_recovery(), (pg_last_wal_replay_lsn() - '0/0')::int8";

/// As far as it is inserted: with `synchronous_commit` off a commit is seen before it is written.
const BEHIND: &str =
    "SELECT (CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_insert_lsn() END - '0/0')::int8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_hexadecimal() {
        assert_eq!(bytea(b"\x00'\\"), r"E'\\x00275c'::bytea");
        assert_eq!(bytea_array([&b""[..], b"\xff"]), r"E'{\\\\x,\\\\xff}'::bytea[]");
        assert_eq!(bytea_array::<&[u8]>([]), "E'{}'::bytea[]");
    }
}
