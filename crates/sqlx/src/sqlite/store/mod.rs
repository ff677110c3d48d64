//! [`SqliteStore`]: slots in SQLite, through sqlx.
//!
//! `schema` says how the tables are built so that an overwritten
//! slot is gone; `file` opens a file of the store's own.

mod error;
mod file;
mod schema;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Connection as _, FromRow, QueryBuilder, Row as _, Sqlite, SqliteConnection, SqlitePool};

use super::queue::{Access, Queue};
use crate::slots::{FoundRows, PageOfRows, SlotRow, due_column};
use error::failed;
use fieldseal::error::StoreError;
use fieldseal::id::TenantId;
use fieldseal::store::{Epoch, SlotId, StoredSlot};
use fieldseal::store::{Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage};

/// Slots in SQLite: in a file of their own, or in the application's database.
///
/// It needs a database in WAL mode. It sets `secure_delete = ON` and `synchronous = FULL` on each connection that it
/// writes with, where they are lower, and leaves them so: a key must be as durable as what is sealed under it, wherever
/// that is kept. One store writes one transaction at a time; several processes may share a file, not a network file
/// system.
///
/// sqlx needs one of its runtimes, which the application chooses by sqlx's features.
pub struct SqliteStore {
    slots: Arc<Slots>,
    calls: Queue,
}

/// The calls themselves.
#[derive(Debug)]
struct Slots {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens a file of the store's own, or makes it: readable by its owner alone, in WAL mode.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Misconfigured` if the file is no SQLite database or another application's (it is left as it
    /// is), or can't be made; `NewerSchema` if a later version of this crate made it; `Corrupt` if its tables were altered.
    ///
    /// # Cancel safety
    /// A call that is dropped may have made the file. It can be opened again.
    pub async fn open(path: impl AsRef<Path> + Send) -> Result<Self, StoreError> {
        let pool = file::open(path.as_ref()).await?;
        Self::new(pool).await
    }

    /// Keeps slots in the application's database, in tables and indexes named `fieldseal_..` that it makes if they aren't
    /// there.
    ///
    /// The database must be in WAL mode already (`SqliteConnectOptions::journal_mode`), because changing that is the
    /// application's decision. An in-memory database does for tests, in a pool of one connection: it dies with that.
    ///
    /// A call takes one connection from the pool. Where the application holds the last one while it calls, the call waits
    /// until the pool's `acquire_timeout`. So it does where the application, or another store or table on the same pool, has
    /// it in a call that was polled and is polled no more; this store's own such calls are finished by its next one.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Misconfigured` if the database isn't in WAL mode; `NewerSchema` if a later version of this
    /// crate made the tables; `Corrupt` if they were altered.
    ///
    /// # Cancel safety
    /// The tables are made in one transaction: all of them, or none.
    pub async fn new(pool: SqlitePool) -> Result<Self, StoreError> {
        let calls = Queue::of(&pool);
        let slots = Slots { pool };
        schema::ensure(&mut *slots.writer().await?).await?;
        Ok(Self { slots: Arc::new(slots), calls })
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let (slots, ids) = (self.slots.clone(), ids.to_vec());
        self.calls.run(Access::Read, async move { slots.load(&ids).await }).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let (slots, slot) = (self.slots.clone(), slot.clone());
        self.calls.run(Access::Write, async move { slots.put(&slot, expected).await }).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let (slots, scan) = (self.slots.clone(), scan.clone());
        self.calls.run(Access::Read, async move { slots.scan(&scan).await }).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let slots = self.slots.clone();
        self.calls.run(Access::Write, async move { slots.raise_floor(epoch).await }).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        let slots = self.slots.clone();
        self.calls.run(Access::Write, async move { slots.scrub().await }).await
    }
}

impl Slots {
    /// A connection to write with: with the settings that an erasure relies on.
    async fn writer(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        self.harden(&mut connection).await?;
        Ok(connection)
    }

    /// Each time, since the pool's connections are the application's: it may have changed them, and opens new ones.
    async fn harden(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let (journal, file, secure_delete, synchronous): (String, String, i64, i64) =
            sqlx::query_as(SETTINGS).fetch_one(&mut *connection).await.map_err(failed)?;
        let in_memory = journal == "memory" && file.is_empty();
        if in_memory && self.pool.options().get_max_connections() != 1 {
            return Err(StoreError::misconfigured(
                "an in-memory SQLite database needs a pool of one connection: each connection may be another database",
            ));
        }
        if journal != "wal" && !in_memory {
            return Err(StoreError::misconfigured(
                "the SQLite database is not in WAL mode: open the pool with `journal_mode(SqliteJournalMode::Wal)`",
            ));
        }
        if secure_delete != SECURE_DELETE_ON {
            let now: i64 = sqlx::query_scalar("PRAGMA main.secure_delete = ON")
                .fetch_one(&mut *connection)
                .await
                .map_err(failed)?;
            if now != SECURE_DELETE_ON {
                return Err(StoreError::misconfigured("this SQLite has no `secure_delete`"));
            }
        }
        if synchronous < SYNCHRONOUS_FULL {
            sqlx::query("PRAGMA main.synchronous = FULL").execute(connection).await.map_err(failed)?;
        }
        Ok(())
    }
}

#[async_trait]
impl KeyStore for Slots {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let mut found = FoundRows::default();
        for ids in ids.chunks(LOAD_CHUNK) {
            // Only question marks are added to the statement, never a value.
            let marks = vec!["?"; ids.len()].join(", ");
            let mut query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} WHERE s.id IN ({marks})")));
            for id in ids {
                query = query.bind(id.to_bytes());
            }
            // Statements of every length would crowd the application's out of the connection's cache.
            let rows: Vec<Row> = query.persistent(ids.len() == 1).fetch_all(&self.pool).await.map_err(failed)?;
            found.add(rows.into_iter().map(|row| row.slot).collect());
        }
        Ok(ids.iter().map(|id| found.loaded(id)).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        // At once a writer: what is read below can't change until the commit. A dropped future rolls back.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        match put(&mut transaction, slot, expected).await {
            Ok(()) => transaction.commit().await.map_err(failed),
            Err(error) => {
                // Now rather than on drop, so that the next writer doesn't find the database busy. It changed nothing, so
                // a failure to say so adds nothing.
                let _ = transaction.rollback().await;
                Err(error)
            }
        }
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        let mut page = PageOfRows::of(scan);
        loop {
            let mut query = QueryBuilder::<Sqlite>::new(SELECT);
            query.push(" WHERE s.id > ").push_bind(page.after.clone());
            if let Some(tenant) = scan.only_tenant() {
                query.push(" AND s.tenant = ").push_bind(tenant.as_str());
            }
            match scan.filter() {
                Filter::All => {}
                Filter::EpochBelow(epoch) => {
                    query.push(" AND s.epoch < ").push_bind(i64::from(epoch.get()));
                }
                Filter::DueBefore(moment) => {
                    query.push(" AND s.due < ").push_bind(due_column(moment));
                }
            }
            query.push(" ORDER BY s.id LIMIT ").push_bind(i64::try_from(page.limit).unwrap_or(i64::MAX));
            let rows: Vec<Row> = query.build_query_as().fetch_all(&self.pool).await.map_err(failed)?;
            if let Some(page) = page.take(rows.into_iter().map(|row| row.slot).collect()) {
                return Ok(page);
            }
        }
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut connection = self.writer().await?;
        let raised = sqlx::query("UPDATE fieldseal_meta SET value = max(value, ?) WHERE name = ?")
            .bind(i64::from(epoch.get()))
            .bind(schema::FLOOR)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        match raised.rows_affected() {
            1 => Ok(()),
            _ => Err(no_floor()),
        }
    }

    /// Overwritten slots are overwritten in place; the write-ahead log still has them. Copies it into the database and
    /// cuts it off.
    async fn scrub(&self) -> Result<Residue, StoreError> {
        let mut connection = self.writer().await?;
        let (busy, frames, _): (i64, i64, i64) =
            sqlx::query_as("PRAGMA main.wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await.map_err(failed)?;
        if frames < 0 {
            // `writer` made sure that a database without a log is in memory.
            return Ok(Residue::none());
        }
        let mut residue = Residue::none();
        if busy != 0 {
            residue = residue.may_remain_in("write-ahead log", "the next scrub that no older read transaction blocks");
        }
        Ok(residue.may_remain_in("backups and copies of the database file", "their retention").may_remain_in(
            "file-system snapshots, and blocks that the device has set aside",
            "their retention, the device's disposal",
        ))
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

/// Within a write transaction: what it finds stays so until its end.
async fn put(transaction: &mut SqliteConnection, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
    let floor: Option<i64> = sqlx::query_scalar("SELECT value FROM fieldseal_meta WHERE name = ?")
        .bind(schema::FLOOR)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    let floor = floor.ok_or_else(no_floor)?;
    if slot.epoch().is_some_and(|epoch| i64::from(epoch.get()) < floor) {
        return Err(StoreError::below_floor());
    }
    let id = slot.id().to_bytes();
    let found: Option<Row> = sqlx::query_as(AssertSqlSafe(format!("{SELECT} WHERE s.id = ?")))
        .bind(id.as_slice())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    let place = found.as_ref().map(|row| (row.room, row.size));
    if !expected.is_met_by(&found.map_or(Loaded::Absent, |row| row.slot.loaded(slot.id()))) {
        return Err(StoreError::conflict());
    }

    let bytes = slot.as_bytes();
    let is_damaged = matches!(expected, Expected::Damaged(_));
    let (sql, room) = match place {
        None => (INSERT, append(transaction, bytes).await?),
        // The room that it names may be another's.
        Some(_) if is_damaged => (UPDATE, append(transaction, bytes).await?),
        Some((room, size)) if bytes.len() <= size => {
            fill(transaction, room, padded(bytes, size)).await?;
            (UPDATE, room)
        }
        Some((room, size)) => {
            fill(transaction, room, vec![0; size]).await?;
            (UPDATE, append(transaction, bytes).await?)
        }
    };
    sqlx::query(sql)
        .bind(id)
        .bind(slot.id().tenant().map(TenantId::as_str))
        .bind(i64::from(slot.state().number()))
        .bind(slot.epoch().map(|epoch| i64::from(epoch.get())))
        .bind(slot.due().map(due_column))
        .bind(room)
        .bind(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    match place {
        Some((room, size)) if is_damaged => empty(transaction, room, size).await,
        _ => Ok(()),
    }
}

/// Zeroes the room of a damaged slot that was moved out of it. Where the number that it named leads nowhere, to nothing or to
/// another's room, that number was damaged, and its own room is one of those that no slot names: then all of these are zeroed.
/// It looks through all slots, or all rooms, and is done only where somebody replaces what is damaged.
async fn empty(transaction: &mut SqliteConnection, room: i64, size: usize) -> Result<(), StoreError> {
    let is_its_own: bool =
        sqlx::query_scalar(IS_FILLED_AND_UNNAMED).bind(room).fetch_one(&mut *transaction).await.map_err(failed)?;
    if is_its_own {
        return fill(transaction, room, vec![0; size]).await;
    }
    sqlx::query(EMPTY_UNNAMED).execute(transaction).await.map_err(failed)?;
    Ok(())
}

/// Overwrites a room. The new bytes must be as many as the old ones, so that SQLite has no reason to move the row.
async fn fill(transaction: &mut SqliteConnection, room: i64, bytes: Vec<u8>) -> Result<(), StoreError> {
    sqlx::query("UPDATE fieldseal_rooms SET bytes = ? WHERE n = ?")
        .bind(bytes)
        .bind(room)
        .execute(transaction)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Makes a room at the end of the table.
async fn append(transaction: &mut SqliteConnection, bytes: &[u8]) -> Result<i64, StoreError> {
    let size = bytes.len().next_power_of_two().max(schema::SMALLEST_ROOM);
    let made = sqlx::query("INSERT INTO fieldseal_rooms (bytes) VALUES (?)")
        .bind(padded(bytes, size))
        .execute(transaction)
        .await
        .map_err(failed)?;
    Ok(made.last_insert_rowid())
}

fn padded(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut room = Vec::with_capacity(size);
    room.extend_from_slice(bytes);
    room.resize(size, 0);
    room
}

/// What a row of [`SELECT`] is.
struct Row {
    slot: SlotRow,
    room: i64,
    /// Of the room, in bytes; 0 if it is missing.
    size: usize,
}

impl FromRow<'_, SqliteRow> for Row {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let slot = SlotRow {
            id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            state: row.try_get(2)?,
            epoch: row.try_get(3)?,
            due: row.try_get(4)?,
            bytes: row.try_get(5)?,
        };
        let size: Option<i64> = row.try_get(7)?;
        Ok(Self { slot, room: row.try_get(6)?, size: size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0) })
    }
}

fn no_floor() -> StoreError {
    StoreError::corrupt("the floor is missing")
}

/// Ids a statement: below the 999 parameters that the oldest SQLite allows.
const LOAD_CHUNK: usize = 500;

const SECURE_DELETE_ON: i64 = 1;
const SYNCHRONOUS_FULL: i64 = 2;

const SETTINGS: &str = "SELECT (SELECT journal_mode FROM pragma_journal_mode), \
     (SELECT file FROM pragma_database_list WHERE name = 'main'), \
     (SELECT secure_delete FROM pragma_secure_delete), (SELECT synchronous FROM pragma_synchronous)";

/// A left join, so that a slot whose room is missing is damaged and not absent. The tenant as bytes: damage may leave none that
/// are text.
const SELECT: &str = "SELECT s.id, CAST(s.tenant AS BLOB), s.state, s.epoch, s.due, substr(r.bytes, 1, s.len), s.room, \
     length(r.bytes) FROM fieldseal_slots s LEFT JOIN fieldseal_rooms r ON r.n = s.room";

const IS_FILLED_AND_UNNAMED: &str = "SELECT EXISTS (SELECT 1 FROM fieldseal_rooms \
     WHERE n = ?1 AND bytes <> zeroblob(length(bytes)) AND n NOT IN (SELECT room FROM fieldseal_slots))";
const EMPTY_UNNAMED: &str = "UPDATE fieldseal_rooms SET bytes = zeroblob(length(bytes)) \
     WHERE n NOT IN (SELECT room FROM fieldseal_slots) AND bytes <> zeroblob(length(bytes))";

const INSERT: &str = "INSERT INTO fieldseal_slots (id, tenant, state, epoch, due, room, len) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const UPDATE: &str = "UPDATE fieldseal_slots SET tenant = ?2, state = ?3, epoch = ?4, due = ?5, room = ?6, len = ?7 \
     WHERE id = ?1";
