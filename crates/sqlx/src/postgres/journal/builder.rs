//! [`PostgresJournalBuilder`]: where a journal is.

use std::time::Duration;

use sqlx::postgres::PgPool;

use super::PostgresJournal;
use super::error::{failed, usable};
use super::layout::LAYOUT;
use crate::postgres::Schema;
use fieldseal::error::JournalError;
use fieldseal::journal::ErasureJournal as _;

/// Makes a [`PostgresJournal`], and the tables for it.
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresJournalBuilder {
    pool: PgPool,
    schema: String,
    lock_timeout: Duration,
}

impl PostgresJournalBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, schema: Schema::DEFAULT.to_owned(), lock_timeout: LOCK_TIMEOUT }
    }

    /// The PostgreSQL schema that the tables are in, `fieldseal` unless said otherwise: any name of 1 to 63 bytes, taken as it
    /// is written, but for those that begin with `pg_`. Several journals may be in one database, each in its schema.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// How long an append waits for another one before it gives up with `Throttled`: 1.5 seconds unless said otherwise. Let it
    /// be less than an attempt of the [`Guard`](fieldseal::guard::Guard) that is around the journal: an append that the guard drops
    /// while it waits counts as one that found no answer, and may land afterwards.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Makes schema and tables where there are none, in one transaction, with an id of the journal's own. The role needs the
    /// right to create them. It may be called at each start, by several processes at once.
    ///
    /// The same SQL is in `src/postgres/journal/migrations/`, for an application's own migrations.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Misconfigured` if there are other tables of these names, or the schema's name can't be one;
    /// `NewerSchema` if those there are a later version's; `Corrupt` if they were altered; `Denied` without the right. Nothing
    /// was changed.
    ///
    /// # Cancel safety
    /// All of the tables are made, or none.
    pub async fn migrate(&self) -> Result<(), JournalError> {
        usable(self.schema_name()?.migrate(&self.pool, &LAYOUT).await.map_err(failed)?)
    }

    /// Opens the journal. The last entry is held against the head; [`verify`](PostgresJournal::verify) checks all.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Misconfigured` if the tables are not there, are another application's, are unlogged, hide
    /// rows from the role; `NewerSchema` if a later version made them; `Corrupt` if they were altered, or the last entry is missing; `Denied`,
    /// `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn open(self) -> Result<PostgresJournal, JournalError> {
        let schema = self.schema_name()?;
        usable(schema.check(&self.pool, &LAYOUT).await.map_err(failed)?)?;
        let journal = PostgresJournal { pool: self.pool, schema, lock_timeout: self.lock_timeout };
        journal.head().await?;
        Ok(journal)
    }

    fn schema_name(&self) -> Result<Schema, JournalError> {
        Schema::new(&self.schema).ok_or_else(|| {
            JournalError::misconfigured("a PostgreSQL schema's name has 1 to 63 bytes, and doesn't begin with `pg_`")
        })
    }
}

/// Less than an attempt of a guard.
const LOCK_TIMEOUT: Duration = Duration::from_millis(1500);
