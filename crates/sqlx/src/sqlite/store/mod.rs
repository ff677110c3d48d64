//! [`SqliteStore`]: slots in SQLite, through sqlx.
//!
//! `schema` says how the tables are built so that an overwritten
//! slot is gone; `file` opens a file of the store's own.

mod error;
mod file;
mod schema;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use futures_util::lock::{Mutex, MutexGuard};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Connection as _, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use error::failed;
use fieldseal::clock::Timestamp;
use fieldseal::error::StoreError;
use fieldseal::id::TenantId;
use fieldseal::store::{Epoch, Revision, SlotId, StoredSlot};
use fieldseal::store::{Expected, Filter, KeyStore, Residue, Scan, ScanPage};

/// Slots in SQLite: in a file of their own, or in the application's database.
///
/// It needs a database in WAL mode. It sets `secure_delete = ON` and `synchronous = FULL` on each connection that it
/// writes with, where they are lower, and leaves them so: a key must be as durable as what is sealed under it, wherever
/// that is kept. One store writes one transaction at a time; several processes may share a file, not a network file
/// system.
///
/// sqlx needs one of its runtimes, which the application chooses by sqlx's features.
pub struct SqliteStore {
    pool: SqlitePool,
    /// Held while writing: SQLite has one writer, and waiting for this is fair and free, waiting for a busy database is
    /// neither.
    turn: Mutex<()>,
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
    /// until the pool's `acquire_timeout`.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Misconfigured` if the database isn't in WAL mode; `NewerSchema` if a later version of this
    /// crate made the tables; `Corrupt` if they were altered.
    ///
    /// # Cancel safety
    /// The tables are made in one transaction: all of them, or none.
    pub async fn new(pool: SqlitePool) -> Result<Self, StoreError> {
        let store = Self { pool, turn: Mutex::new(()) };
        let (turn, mut connection) = store.writer().await?;
        schema::ensure(&mut connection).await?;
        drop((connection, turn));
        Ok(store)
    }

    /// A connection to write with, and the right to: with the settings that an erasure relies on.
    async fn writer(&self) -> Result<(MutexGuard<'_, ()>, PoolConnection<Sqlite>), StoreError> {
        // In this order, so that those who wait for their turn leave the pool's connections to those who read.
        let turn = self.turn.lock().await;
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        self.harden(&mut connection).await?;
        Ok((turn, connection))
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
impl KeyStore for SqliteStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Option<StoredSlot>>, StoreError> {
        let mut found: HashMap<SlotId, StoredSlot> = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(LOAD_CHUNK) {
            // Only question marks are added to the statement, never a value.
            let marks = vec!["?"; ids.len()].join(", ");
            let mut query = sqlx::query_as(AssertSqlSafe(format!("{SELECT} WHERE s.id IN ({marks})")));
            for id in ids {
                query = query.bind(id.to_bytes());
            }
            // Statements of every length would crowd the application's out of the connection's cache.
            let rows: Vec<Row> = query.persistent(ids.len() == 1).fetch_all(&self.pool).await.map_err(failed)?;
            for row in rows {
                let slot = row_to_slot(row)?;
                found.insert(slot.id().clone(), slot);
            }
        }
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let (_turn, mut connection) = self.writer().await?;
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
        let mut query = QueryBuilder::<Sqlite>::new(SELECT);
        // The empty blob is before every id.
        query.push(" WHERE s.id > ").push_bind(scan.cursor().map(SlotId::to_bytes).unwrap_or_default());
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
        // One more than asked for tells whether more may follow.
        let limit = i64::try_from(scan.page_size()).unwrap_or(i64::MAX);
        query.push(" ORDER BY s.id LIMIT ").push_bind(limit.saturating_add(1));
        let mut rows: Vec<Row> = query.build_query_as().fetch_all(&self.pool).await.map_err(failed)?;
        let more = rows.len() > scan.page_size();
        rows.truncate(scan.page_size());
        let slots = rows.into_iter().map(row_to_slot).collect::<Result<Vec<_>, _>>()?;
        let next = slots.last().filter(|_| more).map(|last| last.id().clone());
        Ok(ScanPage { slots, next })
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let (_turn, mut connection) = self.writer().await?;
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
        let (_turn, mut connection) = self.writer().await?;
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

/// Within a write transaction.
async fn put(transaction: &mut SqliteConnection, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
    let id = slot.id().to_bytes();
    let found: Option<Found> = sqlx::query_as(FIND)
        .bind(id.as_slice())
        .bind(schema::FLOOR)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
    let (floor, room, size, revision) = found.ok_or_else(no_floor)?;
    if slot.epoch().is_some_and(|epoch| i64::from(epoch.get()) < floor) {
        return Err(StoreError::below_floor());
    }
    match (&revision, expected) {
        (None, Expected::Absent) if room.is_none() => {}
        (Some(found), Expected::Revision(revision)) if found == revision.as_bytes() => {}
        (None, _) if room.is_some() => return Err(bytes_missing()),
        _ => return Err(StoreError::conflict()),
    }

    let bytes = slot.as_bytes();
    let old = room.zip(size.and_then(|size| usize::try_from(size).ok()));
    let (sql, new) = match old {
        Some((room, size)) if bytes.len() <= size => {
            fill(transaction, room, padded(bytes, size)).await?;
            (UPDATE, room)
        }
        Some((room, size)) => {
            fill(transaction, room, vec![0; size]).await?;
            (UPDATE, append(transaction, bytes).await?)
        }
        None => (INSERT, append(transaction, bytes).await?),
    };
    sqlx::query(sql)
        .bind(id)
        .bind(slot.id().tenant().map(TenantId::as_str))
        .bind(i64::from(slot.state().number()))
        .bind(slot.epoch().map(|epoch| i64::from(epoch.get())))
        .bind(slot.due().map(due_column))
        .bind(new)
        .bind(i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        .execute(transaction)
        .await
        .map_err(failed)?;
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

/// Id, tenant, state, epoch, due, bytes.
type Row = (Vec<u8>, Option<String>, i64, Option<i64>, Option<i64>, Option<Vec<u8>>);

fn row_to_slot((id, tenant, state, epoch, due, bytes): Row) -> Result<StoredSlot, StoreError> {
    let id = SlotId::from_bytes(&id)?;
    let changed = || StoreError::corrupt("a slot's columns say otherwise than its id and bytes");
    if tenant.as_deref() != id.tenant().map(TenantId::as_str) {
        return Err(changed());
    }
    let state = u8::try_from(state).map_err(|_| changed())?;
    let epoch = epoch.map(u32::try_from).transpose().map_err(|_| changed())?;
    let bytes = bytes.ok_or_else(bytes_missing)?;
    StoredSlot::from_columns(id, bytes, state, epoch, due.map(due_millis))
}

/// A moment as SQLite's signed integer, in the same order: 2^63 lower.
fn due_column(moment: Timestamp) -> i64 {
    (moment.as_millis() ^ SIGN).cast_signed()
}

fn due_millis(column: i64) -> u64 {
    column.cast_unsigned() ^ SIGN
}

fn bytes_missing() -> StoreError {
    StoreError::corrupt("a slot's bytes are missing")
}

fn no_floor() -> StoreError {
    StoreError::corrupt("the floor is missing")
}

const SIGN: u64 = 1 << 63;

/// Ids a statement: below the 999 parameters that the oldest SQLite allows.
const LOAD_CHUNK: usize = 500;

const SECURE_DELETE_ON: i64 = 1;
const SYNCHRONOUS_FULL: i64 = 2;

const SETTINGS: &str = "SELECT (SELECT journal_mode FROM pragma_journal_mode), \
     (SELECT file FROM pragma_database_list WHERE name = 'main'), \
     (SELECT secure_delete FROM pragma_secure_delete), (SELECT synchronous FROM pragma_synchronous)";

/// A left join, so that a slot whose room is missing is an error and not an absent slot.
const SELECT: &str = "SELECT s.id, s.tenant, s.state, s.epoch, s.due, substr(r.bytes, 1, s.len) \
     FROM fieldseal_slots s LEFT JOIN fieldseal_rooms r ON r.n = s.room";

/// The floor, and of the slot, if it is there: its room, the room's size, the slot's last 32 bytes.
type Found = (i64, Option<i64>, Option<i64>, Option<Vec<u8>>);
const FIND: &str = "SELECT m.value, s.room, length(r.bytes), substr(r.bytes, s.len - 31, 32) FROM fieldseal_meta m \
     LEFT JOIN fieldseal_slots s ON s.id = ?1 LEFT JOIN fieldseal_rooms r ON r.n = s.room WHERE m.name = ?2";
const _: () = assert!(Revision::LEN == 32);

const INSERT: &str = "INSERT INTO fieldseal_slots (id, tenant, state, epoch, due, room, len) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const UPDATE: &str = "UPDATE fieldseal_slots SET tenant = ?2, state = ?3, epoch = ?4, due = ?5, room = ?6, len = ?7 \
     WHERE id = ?1";
