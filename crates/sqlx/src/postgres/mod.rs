//! What the PostgreSQL adapters have in common: short transactions that leave nothing in the session, so that a pooler in
//! transaction mode may stand in between; errors sorted by their code (`error`); and for those that keep tables of their
//! own, whole transactions as one string (`script`) and the schema that the tables are in (`schema`).

mod error;
mod journal;
mod rows;
mod schema;
mod script;
mod store;

use std::convert::identity;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use fieldseal::clock::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row as _};

pub use journal::{PostgresJournal, PostgresJournalBuilder};
pub use rows::PostgresRows;
pub use store::{Notices, PostgresReplica, PostgresStore, PostgresStoreBuilder};

pub(crate) use error::{Cause, Failure};
pub(crate) use schema::{Found, Layout, Schema, TableLayout};
pub(crate) use script::{Lsn, bytea, bytea_array, read, run, write};

pub(crate) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// A statement that leaves nothing in the session: what comes next may be given to another one by a pooler. It belongs into
/// a transaction, because it is sent in two parts.
pub(crate) fn query<'q>(sql: impl Into<String>) -> PgQuery<'q> {
    sqlx::query(AssertSqlSafe(sql.into())).persistent(false)
}

/// A connection of the pool's, which goes back once what was asked over it is answered. One that is dropped before is closed.
///
/// sqlx would take it back, behind a ping that it waits for as long as the system keeps a connection that has gone silent: so
/// long its place in the pool would be lost, and after a few calls that ran into their time limits every place.
#[derive(Debug)]
pub(crate) struct Borrowed {
    connection: PoolConnection<Postgres>,
    is_answered: bool,
}

impl Borrowed {
    pub(crate) async fn from(pool: &PgPool) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: pool.acquire().await?, is_answered: false })
    }

    /// Gives it back, with what was answered; the server's refusal is an answer too.
    pub(crate) fn answered<T>(mut self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        self.is_answered = matches!(answer, Ok(_) | Err(sqlx::Error::Database(_)));
        answer
    }
}

impl Deref for Borrowed {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if !self.is_answered {
            self.connection.close_on_drop();
        }
    }
}

/// A transaction that is under way. It is ended by [`end`](Self::end); one that is dropped takes its connection with it.
///
/// Not sqlx's, which gives a connection back with its transaction open where the call that begins it is dropped: whatever the
/// application then does in that session is never committed, and locks are held for good.
#[derive(Debug)]
pub(crate) struct Transaction(Borrowed);

/// A transaction in which locks and durability are as the adapters mean them, whatever the session, the role or the
/// database says. Each statement of it sees what is committed, so that one that had to wait for a row goes on with what
/// stands there. `also` are statements that are sent along.
pub(crate) async fn begin(pool: &PgPool, lock_timeout: Duration, also: &str) -> Result<Transaction, sqlx::Error> {
    let also = (!also.is_empty()).then_some(also);
    Ok(begin_reading(pool, lock_timeout, also.as_slice()).await?.0)
}

/// [`begin`], and the rows of each statement, which sees what is committed when those before it are done.
pub(crate) async fn begin_reading(
    pool: &PgPool,
    lock_timeout: Duration,
    statements: &[&str],
) -> Result<(Transaction, Vec<Vec<PgRow>>), sqlx::Error> {
    let mut sql = format!("BEGIN ISOLATION LEVEL READ COMMITTED; {}", settings(lock_timeout));
    for statement in statements {
        let _ = write!(sql, "; {statement}");
    }
    let mut transaction = Transaction(Borrowed::from(pool).await?);
    match script::results(&mut transaction, sql).await {
        Ok(results) => Ok((transaction, results)),
        Err(error) => transaction.end(Err(error), identity).await,
    }
}

impl Transaction {
    /// Makes what was done stay, or undoes it after an error. Where a commit `failed` it may stay, or not.
    pub(crate) async fn end<T, E>(mut self, done: Result<T, E>, failed: impl FnOnce(sqlx::Error) -> E) -> Result<T, E> {
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        match sqlx::raw_sql(end).execute(&mut *self).await {
            Ok(_) => self.0.is_answered = true,
            Err(error) => return Err(done.err().unwrap_or_else(|| failed(error))),
        }
        done
    }
}

impl Deref for Transaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Whether nothing was done, for the sake of another transaction, and the same may succeed at once.
pub(crate) fn gave_way(error: &sqlx::Error) -> bool {
    Cause::of(error) == Cause::GaveWay
}

/// The moment by the server's clock, in milliseconds.
pub(crate) const CLOCK: &str = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// What [`CLOCK`] answered. A server whose clock is before 1970 shows 1970.
pub(crate) fn clock_of(row: &PgRow) -> Result<Timestamp, sqlx::Error> {
    let millis: i64 = row.try_get(0)?;
    Ok(Timestamp::from_millis(u64::try_from(millis).unwrap_or_default()))
}

fn settings(lock_timeout: Duration) -> String {
    let millis = i32::try_from(lock_timeout.as_millis()).unwrap_or(i32::MAX).max(1); // 0 would be: for ever
    format!("SET LOCAL lock_timeout TO {millis}; SET LOCAL idle_in_transaction_session_timeout TO {GONE}; {DURABLE}")
}

/// When the server ends a transaction whose process doesn't go on, in milliseconds: where that process's machine is gone
/// without a word, TCP would keep what the transaction has locked for hours; and a call that nobody polls any more would keep
/// it for good.
const GONE: u32 = 30_000;

/// What is confirmed stays, also when the primary is lost and its synchronous standby takes over: keys are used, and
/// destroyed, on the strength of it. Who asks for more than `on`, or for a little less of the standby, keeps that.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', true) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local')";
