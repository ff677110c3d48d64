//! The tables of [`SqliteStore`](super::SqliteStore): made in one transaction, compared with what is expected when they
//! are there.
//!
//! # Why rooms
//! `secure_delete` zeroes what a row leaves behind when it is deleted or grows. It doesn't zero the copies that SQLite
//! leaves in the unused middle of a page when it moves rows to other pages to keep its tree in balance: such a copy
//! outlives the row, and only `VACUUM` ends it. With slots in an ordinary table about one overwritten slot in a thousand
//! can be found in the file for ever after.
//!
//! So the bytes of slots stand in rows that never move, `fieldseal_rooms`. A room has a power of two of bytes and never
//! another number; it is overwritten in place; it is never deleted; a slot that outgrows its room gets a new one at the
//! end of the table, and the old one is zeroed for good (all rooms that a slot ever left are together smaller than the
//! one it is in). A table that only grows at its end moves no row, with one exception: when its first page is full, the
//! rows of that page. Those are [`EMPTY_ROOMS`], made with the table.

use sqlx::{Connection as _, SqliteConnection};

use super::error::failed;
use fieldseal::error::{StoreError, StoreErrorKind};

/// Whether the database holds anything that is not fieldseal's or SQLite's own.
pub(super) async fn is_foreign(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let others: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE name NOT GLOB 'fieldseal_*' AND name NOT GLOB 'sqlite_*'",
    )
    .fetch_one(connection)
    .await?;
    Ok(others > 0)
}

/// Makes the tables where there are none.
pub(super) async fn ensure(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    if check(connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
    // Another process may have been first.
    if !check(&mut transaction).await? {
        for (_, statement) in OBJECTS {
            sqlx::query(statement).persistent(false).execute(&mut *transaction).await.map_err(failed)?;
        }
        for (name, value) in [(SCHEMA, VERSION), (FLOOR, 0)] {
            sqlx::query("INSERT INTO fieldseal_meta (name, value) VALUES (?, ?)")
                .bind(name)
                .bind(value)
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
        for _ in 0..EMPTY_ROOMS {
            sqlx::query("INSERT INTO fieldseal_rooms (bytes) VALUES (?)")
                .bind(vec![0; SMALLEST_ROOM])
                .execute(&mut *transaction)
                .await
                .map_err(failed)?;
        }
    }
    transaction.commit().await.map_err(failed)
}

/// Whether the tables are there; an error if they are not as this version makes them.
async fn check(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    // Also what else stands on these tables: a trigger could keep what an erasure destroys.
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL \
         AND tbl_name IN ('fieldseal_meta', 'fieldseal_slots', 'fieldseal_rooms')",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    if found.is_empty() {
        return Ok(false);
    }
    // The version first: a later one may have other tables.
    let version: Option<i64> = sqlx::query_scalar("SELECT value FROM fieldseal_meta WHERE name = ?")
        .bind(SCHEMA)
        .fetch_optional(connection)
        .await
        .map_err(|e| unexpected("fieldseal_meta").with_source(e))?;
    match version {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(StoreError::new(StoreErrorKind::NewerSchema)),
        _ => return Err(unexpected("fieldseal_meta")),
    }
    for (name, sql) in &found {
        if !OBJECTS.contains(&(name.as_str(), sql.as_str())) {
            return Err(unexpected(name));
        }
    }
    match OBJECTS.iter().find(|(name, _)| !found.iter().any(|(found, _)| found == name)) {
        Some((missing, _)) => Err(unexpected(missing)),
        None => Ok(true),
    }
}

fn unexpected(name: &str) -> StoreError {
    StoreError::corrupt(format!("in the database's schema, `{name}` is missing or not as fieldseal makes it"))
}

/// The row of `fieldseal_meta` that holds the schema's version.
const SCHEMA: &str = "schema";
/// The row of `fieldseal_meta` that holds the floor: an epoch, or 0 for none.
pub(super) const FLOOR: &str = "floor";
const VERSION: i64 = 1;

/// The size of the smallest room: a subject of one purpose fits into it with a key version to spare.
pub(super) const SMALLEST_ROOM: usize = 512;
/// More than one page, also of the largest size, 64 KiB.
const EMPTY_ROOMS: usize = 64 * 1024 / SMALLEST_ROOM + 1;

/// Name and definition, as SQLite keeps them.
///
/// No index on `epoch`: such scans run right after an epoch began, when nearly every slot is found, and page by page in
/// the order of ids. They read the table of slots in that order, which is small without the bytes.
const OBJECTS: [(&str, &str); 5] = [
    (
        "fieldseal_meta",
        "CREATE TABLE fieldseal_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "fieldseal_slots",
        "CREATE TABLE fieldseal_slots (id BLOB PRIMARY KEY, tenant TEXT, state INTEGER NOT NULL, epoch INTEGER, \
         due INTEGER, room INTEGER NOT NULL, len INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("fieldseal_rooms", "CREATE TABLE fieldseal_rooms (n INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT"),
    ("fieldseal_slots_tenant", "CREATE INDEX fieldseal_slots_tenant ON fieldseal_slots (tenant, id)"),
    ("fieldseal_slots_due", "CREATE INDEX fieldseal_slots_due ON fieldseal_slots (due) WHERE due IS NOT NULL"),
];
