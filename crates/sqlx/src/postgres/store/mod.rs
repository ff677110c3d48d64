//! [`PostgresStore`]: slots in PostgreSQL, through sqlx.
//!
//! `layout` says what the tables are, `put` writes a slot, `scrub` is what the engine may keep, `notices` and `replica` are what a
//! store may have beside.

mod builder;
mod error;
mod layout;
mod notices;
mod put;
mod replica;
mod scrub;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};

use crate::postgres::{CLOCK, Cause, Lsn, Schema, bytea, bytea_array, clock_of, read, write};
use crate::slots::{FoundRows, PageOfRows, SlotRow, due_column, tenant_of};
use error::{failed, standby};
use fieldseal::clock::Timestamp;
use fieldseal::error::StoreError;
use fieldseal::store::{Epoch, SlotId, StoredSlot};
use fieldseal::store::{Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage};

pub use builder::PostgresStoreBuilder;
pub use notices::Notices;
pub use replica::PostgresReplica;

/// Slots in PostgreSQL, 14 or later: in a schema of their own, beside the application's tables or in another database.
///
/// ```no_run
/// use fieldseal_sqlx::PostgresStore;
/// use sqlx::PgPool;
///
/// # async fn doc(pool: PgPool) -> Result<(), fieldseal::error::StoreError> {
/// PostgresStore::builder(pool.clone()).migrate().await?; // once, by whoever may make tables
/// let store = PostgresStore::new(pool).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Poolers and round trips
/// Each call is one transaction that leaves nothing in the session, so a pooler in transaction mode may stand in between.
/// A `load` of up to 500 slots is one round trip, a `put` four. (sqlx's pool adds one before each, to test the connection,
/// unless it is told `test_before_acquire(false)`.) A call that is dropped may cost its connection.
///
/// A `put` that was polled and is polled no more, and not dropped either, keeps what it has locked until the server ends its
/// transaction, 30 seconds later: a [`raise_floor`](KeyStore::raise_floor), and another put of the same slot, find `Throttled`
/// until then. Whatever else is asked goes on, as long as the pool has a connection: each call that nobody polls has one.
/// (In one message, as the other calls are, a put could hold nothing; but then what wraps keys would stand in its text.)
///
/// # Durability
/// A `put` is confirmed when the server has it on disk, and its synchronous standby too where one is set up: where a
/// session, role or database says `synchronous_commit = off` or `local`, the call says `on`; `remote_write` and
/// `remote_apply` stay. That a failover loses nothing that was confirmed needs such a standby; without one it is a restore.
///
/// # Security
/// What wraps keys is bound to statements, so it is in no statement's text; a server that logs the parameters of statements
/// (`log_statement`, `log_min_duration_statement` and the like, where `log_parameter_max_length` isn't 0) writes it to its
/// log, and [`scrub`](KeyStore::scrub) says so. The ids of slots, that is tenants and tags, stand in the text of statements:
/// `pg_stat_activity` shows it, and the server or sqlx logs it where they log statements, slow ones too.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    pool: PgPool,
    schema: Schema,
    notify: bool,
    scrub_full: bool,
    lock_timeout: Duration,
    /// What it knows of how far the primary is, for its replicas.
    seen: replica::Seen,
}

impl PostgresStore {
    /// The key store in the schema `fieldseal` of a database; made before by
    /// [`migrate`](PostgresStoreBuilder::migrate).
    ///
    /// # Errors
    /// Those of [`PostgresStoreBuilder::open`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn new(pool: PgPool) -> Result<Self, StoreError> {
        Self::builder(pool).open().await
    }

    /// A key store in a schema of another name, or with other settings; and what makes its tables.
    pub fn builder(pool: PgPool) -> PostgresStoreBuilder {
        PostgresStoreBuilder::new(pool)
    }
}

impl Inner {
    /// A read that sees whatever was confirmed before it was sent.
    async fn read(&self, statement: &str) -> Result<Vec<PgRow>, StoreError> {
        let asked = self.seen.ask();
        let (logged, rows) = self.read_primary(statement).await?;
        self.seen.note(asked, logged);
        Ok(rows)
    }

    /// With how far the log was when all that was read stood in it.
    async fn read_primary(&self, statement: &str) -> Result<(Lsn, Vec<PgRow>), StoreError> {
        let (server, rows) = read(&self.pool, &self.schema.sql(statement)).await.map_err(failed)?;
        if server.is_standby {
            return Err(standby());
        }
        Ok((server.logged, rows))
    }

    async fn load(&self, ids: &[SlotId]) -> Result<FoundRows, StoreError> {
        let mut found = FoundRows::default();
        for ids in ids.chunks(LOAD_CHUNK) {
            found.add(slot_rows(&self.read(&select(ids)).await?)?);
        }
        Ok(found)
    }

    /// Subjects that a replica of this bound did not answer for.
    async fn load_beside(&self, ids: &[SlotId], bound: Duration) -> Result<FoundRows, StoreError> {
        let mut found = FoundRows::default();
        for ids in ids.chunks(LOAD_CHUNK) {
            let asked = self.seen.ask();
            let (logged, rows) = self.read_primary(&select(ids)).await?;
            self.seen.note_beside(asked, logged, ids, bound);
            found.add(slot_rows(&rows)?);
        }
        Ok(found)
    }

    /// An error of a write. Who writes to a standby wants the primary: after a failover the pool may still lead to the old
    /// one, and that is over in a moment; that a role may only read is not.
    async fn write_failed(&self, error: sqlx::Error) -> StoreError {
        if Cause::of(&error) == Cause::ReadOnly
            && let Ok((server, _)) = read(&self.pool, "SELECT 1").await
            && server.is_standby
        {
            return standby();
        }
        failed(error)
    }

    fn floor_lock(&self) -> String {
        self.schema.lock_key("floor")
    }
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let found = self.0.load(ids).await?;
        Ok(ids.iter().map(|id| found.loaded(id)).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let _writing = self.0.seen.write();
        self.0.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let mut page = PageOfRows::of(scan);
        loop {
            let mut sql = format!("SELECT {COLUMNS} WHERE id > {}", bytea(&page.after));
            if let Some(tenant) = scan.only_tenant() {
                sql.push_str(&format!(" AND tenant = {}", bytea(tenant.as_str().as_bytes())));
            }
            match scan.filter() {
                Filter::All => {}
                Filter::EpochBelow(epoch) => sql.push_str(&format!(" AND epoch < {epoch}")),
                Filter::DueBefore(moment) => sql.push_str(&format!(" AND due < '{}'::bigint", due_column(moment))),
            }
            sql.push_str(&format!(" ORDER BY id LIMIT {}", page.limit));
            if let Some(page) = page.take(slot_rows(&self.0.read(&sql).await?)?) {
                return Ok(page);
            }
        }
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let lock = format!("SELECT pg_advisory_xact_lock({})", self.0.floor_lock());
        let raise = format!(
            "UPDATE \"fieldseal\".key_store SET value = greatest(value, {epoch}) WHERE name = 'floor' RETURNING value"
        );
        // The lock waits for the puts that are under way, and those that come wait for it; the UPDATE sees what is there
        // once it is had.
        let raised = write(&self.0.pool, self.0.lock_timeout, &[&lock, &self.0.schema.sql(&raise)]).await;
        match raised {
            Ok(rows) if rows.len() == 1 => Ok(()),
            Ok(_) => Err(no_floor()),
            Err(error) => Err(self.0.write_failed(error).await),
        }
    }

    /// Vacuums the table of slots, which takes as long as there is changed since it was last vacuumed, and with
    /// [`with_full_scrub`](PostgresStoreBuilder::with_full_scrub) rewrites it. Then says what may still be where.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Denied` if the role may not vacuum the table, that is, doesn't own it: PostgreSQL itself would
    /// only warn. `Unavailable`.
    ///
    /// # Cancel safety
    /// May be called again.
    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.0.scrub().await
    }

    /// The server's.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.0.read(CLOCK).await?;
        rows.first().map(|row| clock_of(row).map_err(failed)).transpose()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.0.schema.name()).finish_non_exhaustive()
    }
}

/// The rows of these ids. Both columns are asked for, so that it is a read by the primary key, and of the right partitions
/// whichever of them the table is partitioned by. Only where one is not found so, the id is asked for alone: a row whose tenant
/// was changed is damaged, and not absent.
fn select(ids: &[SlotId]) -> String {
    let mut tenants: Vec<_> = ids.iter().map(tenant_column).collect();
    tenants.sort_unstable();
    tenants.dedup();
    let tenants = bytea_array(tenants);
    let mut ids: Vec<_> = ids.iter().map(SlotId::to_bytes).collect();
    ids.sort_unstable();
    ids.dedup();
    let (count, ids) = (ids.len(), bytea_array(ids));
    format!(
        "WITH here AS MATERIALIZED (SELECT {COLUMNS} WHERE tenant = ANY ({tenants}) AND id = ANY ({ids})) \
         SELECT * FROM here UNION ALL SELECT {COLUMNS} WHERE (SELECT count(DISTINCT id) FROM here) < {count} \
         AND id = ANY ({ids}) AND id NOT IN (SELECT id FROM here)"
    )
}

/// The row of this id, likewise, and nobody else changes it until the transaction's end.
fn select_for_update(id: &SlotId) -> String {
    let (tenant, id) = (bytea(tenant_column(id)), bytea(&id.to_bytes()));
    format!(
        "WITH here AS MATERIALIZED (SELECT {COLUMNS} WHERE tenant = {tenant} AND id = {id} FOR UPDATE) \
         SELECT * FROM here UNION ALL \
         SELECT * FROM (SELECT {COLUMNS} WHERE id = {id} AND NOT EXISTS (SELECT FROM here) FOR UPDATE) elsewhere"
    )
}

fn slot_rows(rows: &[PgRow]) -> Result<Vec<SlotRow>, StoreError> {
    let slot_row = |row: &PgRow| -> Result<_, sqlx::Error> {
        Ok(SlotRow {
            id: row.try_get(0)?,
            tenant: Some(row.try_get(1)?).filter(|tenant: &Vec<u8>| !tenant.is_empty()),
            state: row.try_get::<i16, _>(2)?.into(),
            epoch: row.try_get(3)?,
            due: row.try_get(4)?,
            bytes: Some(row.try_get(5)?),
        })
    };
    rows.iter().map(slot_row).collect::<Result<_, _>>().map_err(failed)
}

/// As bytes: a name may hold what PostgreSQL's text can't. Empty for the vault, as no tenant's name is.
fn tenant_column(id: &SlotId) -> &[u8] {
    tenant_of(id).unwrap_or_default()
}

fn no_floor() -> StoreError {
    StoreError::corrupt("the floor is missing")
}

/// Ids a statement.
const LOAD_CHUNK: usize = 500;

const COLUMNS: &str = "id, tenant, state, epoch, due, bytes FROM \"fieldseal\".key_slots";
