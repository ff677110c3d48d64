//! [`PostgresStoreBuilder`]: where a key store is, and how it is to be used.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgPool;

use super::error::{failed, usable};
use super::layout::LAYOUT;
use super::replica::Seen;
use super::{Inner, PostgresStore};
use crate::postgres::Schema;
use fieldseal::clock::{Clock, SystemClock};
use fieldseal::error::StoreError;

/// Makes a [`PostgresStore`], and the tables for it.
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresStoreBuilder {
    pool: PgPool,
    schema: String,
    notify: bool,
    scrub_full: bool,
    lock_timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl PostgresStoreBuilder {
    pub(super) fn new(pool: PgPool) -> Self {
        let (schema, clock) = (Schema::DEFAULT.to_owned(), Arc::new(SystemClock::new()));
        Self { pool, schema, notify: false, scrub_full: false, lock_timeout: LOCK_TIMEOUT, clock }
    }

    /// The PostgreSQL schema that the tables are in, `fieldseal` unless said otherwise: any name of 1 to 63 bytes, taken as it
    /// is written, but for those that begin with `pg_`. Several key stores may be in one database, each in its schema.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Has a put that ends keys notify whoever listens ([`PostgresStore::notices`]). Every process that writes must do so: what
    /// one without it ends is not told.
    ///
    /// Off unless said otherwise, because PostgreSQL lets only one transaction that tells something commit at a time, in all
    /// of the server. So a put tells only where keys may have ended: it makes a tombstone, schedules an erasure, or leaves
    /// less in a slot than there was. Enrollment, rotation and rewrapping tell nothing.
    pub fn with_notices(mut self) -> Self {
        self.notify = true;
        self
    }

    /// Has a scrub rewrite the table of slots (`VACUUM FULL`), so that no overwritten bytes stay in its pages. While it
    /// does, nobody can read or write slots, for as long as it takes to copy them all: for a maintenance window, on a store
    /// that is opened for it.
    pub fn with_full_scrub(mut self) -> Self {
        self.scrub_full = true;
        self
    }

    /// How long a put waits for another one of the same slot, or for the floor, and a floor for the puts that are under way,
    /// before it gives up with `Throttled`: 1.5 seconds for each lock unless said otherwise. Let it be less than an attempt of the [`Guard`](fieldseal::guard::Guard) that is around the
    /// store: a put that the guard drops while it waits counts as one that found no answer, and may land afterwards.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// The clock by which the bound of a [`replica`](PostgresStore::replica) is held: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes schema and tables where there are none, in one transaction. The role needs the right to create them: a schema in
    /// the database, or tables in a schema that is there. It may be called at each start, by several processes at once.
    ///
    /// The same SQL is in `src/postgres/store/migrations/`, for an application's own migrations; there is also
    /// `partitioned.sql`, for a partitioned table of slots.
    ///
    /// # Errors
    /// [`StoreError`] of kind `NewerSchema` if a later version of this crate made the tables; `Misconfigured` if there are
    /// others of these names, or the schema's name can't be one; `Corrupt` if they were altered; `Denied` without the right.
    /// Nothing was changed.
    ///
    /// # Cancel safety
    /// All of the tables are made, or none.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        usable(self.schema_name()?.migrate(&self.pool, &LAYOUT).await.map_err(failed)?)
    }

    /// Opens the key store.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Misconfigured` if the tables are not there, are another application's, are unlogged, or hide
    /// rows from the role; `NewerSchema` if a later version of this crate made them; `Corrupt` if they were altered, or have
    /// a trigger, which could keep what an erasure destroys; `Denied`, also if the role may not vacuum them: it owns them, or
    /// has MAINTAIN on them (PostgreSQL 17 and later); `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let schema = self.schema_name()?;
        usable(schema.check(&self.pool, &LAYOUT).await.map_err(failed)?)?;
        let Self { pool, notify, scrub_full, lock_timeout, clock, .. } = self;
        let inner = Inner { pool, schema, notify, scrub_full, lock_timeout, seen: Seen::new(clock) };
        inner.check_may_scrub().await?;
        Ok(PostgresStore(Arc::new(inner)))
    }

    fn schema_name(&self) -> Result<Schema, StoreError> {
        Schema::new(&self.schema).ok_or_else(|| {
            StoreError::misconfigured("a PostgreSQL schema's name has 1 to 63 bytes, and doesn't begin with `pg_`")
        })
    }
}

/// Less than an attempt of a guard.
const LOCK_TIMEOUT: Duration = Duration::from_millis(1500);
