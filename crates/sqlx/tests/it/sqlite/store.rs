//! `SqliteStore`: the suites on a file of its own, on the application's pool and in memory; then files, schema, what an
//! overwritten slot leaves behind, and dropped calls.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::TenantId;
use fieldseal::error::{StoreError, StoreErrorKind};
use fieldseal::store::{Epoch, Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoredSlot, Tag};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit as testkit;
use fieldseal_testkit::damage::{Damage, Part};
use fieldseal_testkit::slot::SampleSlot;
use fieldseal_testkit::store::{self as rules, RULES};
use fleet_tests::harness::{Alone, Trial, soak};
use fleet_tests::process::Process;
use fleet_tests::tests;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqliteConnection, SqlitePool};
use tempfile::TempDir;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = tests![Alone::new() =>
        a_later_schema_is_refused_and_left_as_it_is
        another_applications_file_is_refused_and_left_as_it_is
        a_file_that_is_no_database_is_refused_and_left_as_it_is
        altered_tables_are_refused
        a_pool_without_a_write_ahead_log_is_refused
        a_file_that_left_wal_mode_is_not_written
        an_in_memory_pool_of_several_connections_is_refused
        the_files_are_their_owners_alone
        names_that_sqlite_reads_as_something_else_are_files
        the_settings_are_made_on_every_connection_that_writes
        two_processes_open_a_new_file_at_once
        columns_that_were_changed_are_damage
        a_room_that_two_slots_name_is_not_zeroed
        a_room_that_is_left_is_zeroed_and_no_other
        a_missing_floor_is_no_floor_of_none
        a_damaged_file_is_corrupt
        overwritten_slots_are_in_no_file_after_a_scrub
        an_ordinary_table_would_keep_overwritten_slots
        a_reader_that_blocks_the_checkpoint_is_residue
        a_busy_database_is_unavailable_and_then_is_not
        a_closed_pool_is_unavailable
        a_read_only_pool_is_misconfigured
    ];
    trials.extend(tests![Alone::new().threads(2) =>
        a_dropped_put_leaves_the_store_sound
    ]);
    let suite = |name: &str| format!("sqlite::store::{name}");
    for (name, rule) in testkit::damage::RULES {
        let damaged = async move || rule(&shared_pool().await).await;
        trials.push(Alone::new().trial(suite(&format!("damaged::{name}")), damaged));
    }
    for (name, rule) in RULES {
        let own_file = async move || rule(&own_file().await).await;
        trials.push(Alone::new().trial(suite(&format!("own_file::{name}")), own_file));
        trials.push(Alone::new().threads(2).trial(suite(&format!("own_file_on_threads::{name}")), own_file));
        let shared_pool = async move || rule(&shared_pool().await).await;
        trials.push(Alone::new().trial(suite(&format!("shared_pool::{name}")), shared_pool));
        let in_memory = async move || rule(&in_memory().await).await;
        trials.push(Alone::new().trial(suite(&format!("in_memory::{name}")), in_memory));
    }
    macro_rules! persistent {
        ($($rule:ident)*) => {$(
            let file_again = async || rules::$rule(&folder().await, open).await;
            trials.push(Alone::new().trial(suite(concat!("file_again::", stringify!($rule))), file_again));
            let pool_again = async || rules::$rule(&folder().await, open_shared).await;
            trials.push(Alone::new().trial(suite(concat!("pool_again::", stringify!($rule))), pool_again));
        )*};
    }
    persistent![
        what_was_put_survives_reopening
        the_floor_survives_reopening
        a_new_place_can_be_opened_by_many_at_once
        a_store_sees_at_once_what_another_put
        one_of_many_stores_wins
        nothing_below_the_floor_lands_through_another_store
    ];
    trials
}

/// A store and the folder that its file is in.
#[derive(Debug)]
struct InFolder {
    store: SqliteStore,
    folder: TempDir,
}

#[async_trait]
impl KeyStore for InFolder {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.store.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.store.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.store.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.store.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.store.scrub().await
    }
}

#[async_trait]
impl Damage for InFolder {
    fn parts(&self) -> &'static [Part] {
        use Part::{Column, Gone};
        &[
            Column("state"),
            Column("epoch"),
            Column("due"),
            Column("tenant"),
            Column("len"),
            Gone("epoch"),
            Gone("due"),
            Gone("tenant"),
            Gone("room"),
        ]
    }

    async fn change(&self, id: &SlotId, part: Part, bit: usize) {
        let mut db = raw(&self.folder).await;
        let id = id.to_bytes();
        let bytes = |sql: &'static str| sqlx::query_scalar::<_, Vec<u8>>(sql).bind(id.clone());
        let changed = match part {
            Part::Bytes => {
                let room = bytes(
                    "SELECT r.bytes FROM fieldseal_slots s JOIN fieldseal_rooms r ON r.n = s.room WHERE s.id = ?",
                );
                let room = flipped(room.fetch_one(&mut db).await.unwrap(), bit);
                let sql =
                    "UPDATE fieldseal_rooms SET bytes = ? WHERE n = (SELECT room FROM fieldseal_slots WHERE id = ?)";
                sqlx::query(sql).bind(room).bind(id.clone()).execute(&mut db).await
            }
            // Damage may leave what is no text.
            Part::Column("tenant") => {
                let tenant = bytes("SELECT CAST(tenant AS BLOB) FROM fieldseal_slots WHERE id = ?");
                let tenant = flipped(tenant.fetch_one(&mut db).await.unwrap(), bit);
                let sql = "UPDATE fieldseal_slots SET tenant = CAST(? AS TEXT) WHERE id = ?";
                sqlx::query(sql).bind(tenant).bind(id.clone()).execute(&mut db).await
            }
            Part::Column(name) => {
                let old = format!("coalesce({name}, 0)");
                let new = format!("({old} | ?1) - ({old} & ?1)"); // SQLite has no XOR
                let sql = format!("UPDATE fieldseal_slots SET {name} = {new} WHERE id = ?2");
                sqlx::query(AssertSqlSafe(sql)).bind(1_i64 << bit).bind(id.clone()).execute(&mut db).await
            }
            Part::Gone("room") => {
                let sql = "DELETE FROM fieldseal_rooms WHERE n = (SELECT room FROM fieldseal_slots WHERE id = ?)";
                sqlx::query(sql).bind(id.clone()).execute(&mut db).await
            }
            Part::Gone(name) => {
                let sql = format!("UPDATE fieldseal_slots SET {name} = NULL WHERE id = ?");
                sqlx::query(AssertSqlSafe(sql)).bind(id.clone()).execute(&mut db).await
            }
        };
        assert_eq!(changed.unwrap().rows_affected(), 1, "{part:?}");
        db.close().await.unwrap();
    }

    async fn rename(&self, id: &SlotId, to: &[u8]) {
        let mut db = raw(&self.folder).await;
        let sql = "UPDATE fieldseal_slots SET id = ? WHERE id = ?";
        let renamed = sqlx::query(sql).bind(to).bind(id.to_bytes()).execute(&mut db).await.unwrap();
        assert_eq!(renamed.rows_affected(), 1);
        db.close().await.unwrap();
    }
}

fn flipped(mut bytes: Vec<u8>, bit: usize) -> Vec<u8> {
    let at = bit / 8 % bytes.len();
    bytes[at] ^= 1 << (bit % 8);
    bytes
}

async fn own_file() -> InFolder {
    let folder = folder().await;
    InFolder { store: open(&folder).await, folder }
}

async fn shared_pool() -> InFolder {
    let folder = folder().await;
    InFolder { store: open_shared(&folder).await, folder }
}

async fn in_memory() -> SqliteStore {
    SqliteStore::new(memory_pool(1).await).await.unwrap()
}

async fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(path(folder)).await.unwrap()
}

async fn open_shared(folder: &TempDir) -> SqliteStore {
    SqliteStore::new(pool(folder).await).await.unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("keys.db")
}

/// As an application has it: a table of its own, `secure_delete` off, `synchronous` lowered.
async fn pool(folder: &TempDir) -> SqlitePool {
    let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options(folder)).await.unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS customer (id INTEGER PRIMARY KEY, note TEXT)")
        .execute(&pool)
        .await
        .unwrap();
    pool
}

fn options(folder: &TempDir) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path(folder))
        .create_if_missing(true)
        .busy_timeout(Duration::from_secs(30))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .pragma("secure_delete", "OFF")
}

async fn memory_pool(connections: u32) -> SqlitePool {
    SqlitePoolOptions::new().max_connections(connections).connect("sqlite::memory:").await.unwrap()
}

fn id(n: u128) -> SlotId {
    SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes(n.to_be_bytes()))
}

async fn raw(folder: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path(folder)).connect().await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

/// Leaves the file alone on disk: whatever is in the log is in it, and the log is gone.
async fn close(connection: SqliteConnection) {
    connection.close().await.unwrap();
}

fn error(opened: Result<SqliteStore, StoreError>) -> StoreError {
    opened.expect_err("a store that must not open")
}

// Opening

async fn a_later_schema_is_refused_and_left_as_it_is() {
    let folder = folder().await;
    let mut db = raw_new(&folder).await;
    // Another shape, too: the version is looked at first.
    execute(&mut db, "CREATE TABLE fieldseal_meta (name TEXT, value INTEGER, note TEXT); INSERT INTO fieldseal_meta VALUES ('schema', 2, '')").await;
    execute(&mut db, "CREATE TABLE fieldseal_later (x)").await;
    close(db).await;
    let before = std::fs::read(path(&folder)).unwrap();
    assert_eq!(error(SqliteStore::open(path(&folder)).await).kind(), StoreErrorKind::NewerSchema);
    assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
    let shared = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path(&folder))).await.unwrap();
    assert_eq!(error(SqliteStore::new(shared.clone()).await).kind(), StoreErrorKind::NewerSchema);
    shared.close().await;
    assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
}

async fn raw_new(folder: &TempDir) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path(folder)).create_if_missing(true);
    options.journal_mode(SqliteJournalMode::Wal).connect().await.unwrap()
}

async fn another_applications_file_is_refused_and_left_as_it_is() {
    for mode in [SqliteJournalMode::Delete, SqliteJournalMode::Wal] {
        let folder = folder().await;
        let options = SqliteConnectOptions::new().filename(path(&folder)).create_if_missing(true).journal_mode(mode);
        let mut db = options.connect().await.unwrap();
        execute(&mut db, "CREATE TABLE invoice (id INTEGER PRIMARY KEY); INSERT INTO invoice VALUES (1)").await;
        close(db).await;
        let before = std::fs::read(path(&folder)).unwrap();
        assert_eq!(error(SqliteStore::open(path(&folder)).await).kind(), StoreErrorKind::Misconfigured);
        assert_eq!(std::fs::read(path(&folder)).unwrap(), before);
    }
}

async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    for content in [&b"not a database, but longer than the hundred bytes of a header "[..]; 1].map(|c| c.repeat(20)) {
        let folder = folder().await;
        std::fs::write(path(&folder), &content).unwrap();
        let error = error(SqliteStore::open(path(&folder)).await);
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error:?}");
        assert_eq!(std::fs::read(path(&folder)).unwrap(), content);
    }
    let folder = folder().await;
    let error = error(SqliteStore::open(folder.path()).await);
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "a folder: {error:?}");
    let nowhere = folder.path().join("no such folder").join("keys.db");
    assert_eq!(self::error(SqliteStore::open(nowhere).await).kind(), StoreErrorKind::Misconfigured);
}

async fn altered_tables_are_refused() {
    for alter in [
        "ALTER TABLE fieldseal_slots ADD COLUMN note TEXT",
        "DROP TABLE fieldseal_rooms",
        "DROP INDEX fieldseal_slots_due",
        "CREATE INDEX other ON fieldseal_rooms (bytes)",
        "CREATE TABLE copy (bytes); CREATE TRIGGER keep AFTER UPDATE ON fieldseal_rooms BEGIN INSERT INTO copy VALUES (old.bytes); END",
        "DELETE FROM fieldseal_meta",
        "UPDATE fieldseal_meta SET value = 0 WHERE name = 'schema'",
    ] {
        let folder = folder().await;
        drop(open_shared(&folder).await);
        let mut db = raw(&folder).await;
        execute(&mut db, alter).await;
        close(db).await;
        let error = error(SqliteStore::new(pool(&folder).await).await);
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{alter}: {error:?}");
    }
}

async fn a_pool_without_a_write_ahead_log_is_refused() {
    let folder = folder().await;
    let options = options(&folder).journal_mode(SqliteJournalMode::Delete);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let error = error(SqliteStore::new(pool).await);
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("WAL"), "{error}");
}

async fn a_file_that_left_wal_mode_is_not_written() {
    let folder = folder().await;
    // One connection: SQLite changes the mode only while nobody else is connected.
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options(&folder)).await.unwrap();
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    sqlx::query("PRAGMA journal_mode = DELETE").execute(&pool).await.unwrap();
    let put = store.put(&SampleSlot::new(id(1)).build(), Expected::Absent).await;
    assert_eq!(put.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    let mut db = raw(&folder).await;
    let slots: i64 = sqlx::query_scalar("SELECT count(*) FROM fieldseal_slots").fetch_one(&mut db).await.unwrap();
    assert_eq!(slots, 0);
}

async fn an_in_memory_pool_of_several_connections_is_refused() {
    assert_eq!(error(SqliteStore::new(memory_pool(2).await).await).kind(), StoreErrorKind::Misconfigured);
}

#[cfg(unix)]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = folder().await;
    let store = open(&folder).await;
    store.put(&SampleSlot::new(id(1)).build(), Expected::Absent).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = with_suffix(&path(&folder), suffix);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

async fn names_that_sqlite_reads_as_something_else_are_files() {
    let folder = folder().await;
    for name in [":memory:", "file:keys?mode=memory", "keys.db?mode=ro", "%41.db"] {
        let path = folder.path().join(name);
        let store = SqliteStore::open(&path).await.unwrap();
        store.put(&SampleSlot::new(id(1)).build(), Expected::Absent).await.unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 0, "{name}");
    }
}

async fn the_settings_are_made_on_every_connection_that_writes() {
    let folder = folder().await;
    // A pool that never keeps a connection: each write comes on a new one, with the application's settings.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .after_release(|connection, _| {
            Box::pin(async move {
                let on: i64 = sqlx::query_scalar("PRAGMA secure_delete").fetch_one(&mut *connection).await?;
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
                assert_eq!((on, synchronous), (1, 2));
                Ok(false)
            })
        })
        .connect_with(options(&folder))
        .await
        .unwrap();
    let store = SqliteStore::new(pool).await.unwrap();
    for n in 0..3 {
        store.put(&SampleSlot::new(id(n)).build(), Expected::Absent).await.unwrap();
    }
    store.raise_floor(Epoch::FIRST).await.unwrap();
    store.scrub().await.unwrap();
}

/// A process of `two_processes_open_a_new_file_at_once`: it is told the first of its slots, and the folder.
pub(crate) async fn child(task: &str) {
    let (first, folder) = task.split_once(' ').unwrap();
    let first: u128 = first.parse().unwrap();
    let store = SqliteStore::open(Path::new(folder).join("keys.db")).await.unwrap();
    for n in first..first + 20 {
        store.put(&SampleSlot::new(id(n)).build(), Expected::Absent).await.unwrap();
    }
}

async fn two_processes_open_a_new_file_at_once() {
    let folder = folder().await;
    let task = |n: u32| format!("sqlite {} {}", n * 100, folder.path().display());
    let children: Vec<_> = (0..3).map(|n| Process::start(&task(n), Stdio::null()).unwrap()).collect();
    for mut child in children {
        assert!(child.child.wait().unwrap().success());
    }
    let page = open(&folder).await.scan(&Scan::new(Filter::All)).await.unwrap();
    assert_eq!(page.slots.len(), 60);
}

// What is read back

async fn columns_that_were_changed_are_damage() {
    for change in [
        "UPDATE fieldseal_slots SET epoch = 9",
        "UPDATE fieldseal_slots SET epoch = NULL",
        "UPDATE fieldseal_slots SET epoch = -1",
        "UPDATE fieldseal_slots SET due = due + 1",
        "UPDATE fieldseal_slots SET due = NULL",
        "UPDATE fieldseal_slots SET state = 3",
        "UPDATE fieldseal_slots SET state = 1000",
        "UPDATE fieldseal_slots SET tenant = 'other'",
        "UPDATE fieldseal_slots SET tenant = NULL",
        "UPDATE fieldseal_slots SET len = 10",
        "UPDATE fieldseal_slots SET room = 1",
        "UPDATE fieldseal_slots SET room = 100000",
        "UPDATE fieldseal_rooms SET bytes = zeroblob(512)",
        "DELETE FROM fieldseal_rooms",
    ] {
        let folder = folder().await;
        let store = open(&folder).await;
        let due = fieldseal::clock::Timestamp::from_millis(5);
        store.put(&SampleSlot::new(id(1)).epoch(Epoch::FIRST).due(due).build(), Expected::Absent).await.unwrap();
        assert!(matches!(store.load(&[id(1)]).await.unwrap().as_slice(), [Loaded::Slot(_)]));
        execute(&mut raw(&folder).await, change).await;
        let page = store.scan(&Scan::new(Filter::All)).await.unwrap();
        let [(found, token)] = page.damaged.as_slice() else { panic!("{change}: {page:?}") };
        assert_eq!((found, page.slots.len()), (&id(1), 0), "{change}");
        assert_eq!(store.load(&[id(1)]).await.unwrap(), [Loaded::Damaged(*token)], "{change}");
    }
}

/// A damaged number of a room: whoever replaces the slot that has it, or that other slot, leaves the other one's bytes; and the
/// room that nobody names any more is zeroed.
async fn a_room_that_two_slots_name_is_not_zeroed() {
    let folder = folder().await;
    let pool = pool(&folder).await;
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    let [ada, ben] = [1, 2].map(|n| SampleSlot::new(id(n)).epoch(Epoch::FIRST).build());
    for slot in [&ada, &ben] {
        store.put(slot, Expected::Absent).await.unwrap();
    }
    let rooms = async || -> Vec<(i64, Vec<u8>)> {
        let rooms = "SELECT n, bytes FROM fieldseal_rooms WHERE bytes <> zeroblob(length(bytes)) ORDER BY n";
        sqlx::query_as(rooms).fetch_all(&pool).await.unwrap()
    };
    let before = rooms().await;
    assert_eq!(before.len(), 2);
    let point = "UPDATE fieldseal_slots SET room = (SELECT max(room) FROM fieldseal_slots)";
    sqlx::query(point).execute(&pool).await.unwrap();
    let found = store.load(&[id(1), id(2)]).await.unwrap();
    let [Loaded::Slot(neither), Loaded::Slot(sound)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(sound, &ben, "the room is its own");
    assert_eq!(neither.as_bytes(), ben.as_bytes(), "whose MAC is not over her id");

    let tombstone = SampleSlot::new(id(1)).state(fieldseal::store::SlotState::Erased).build();
    store.put(&tombstone, Expected::Damaged(neither.token())).await.unwrap();
    assert_eq!(store.load(&[id(1), id(2)]).await.unwrap(), [Loaded::Slot(tombstone), Loaded::Slot(ben.clone())]);
    let after = rooms().await;
    assert_eq!(after.len(), 2, "hers is zeroed, and she has another");
    assert!(after.iter().any(|(n, bytes)| *n == before[1].0 && *bytes == before[1].1), "his is as it was");
    assert!(!after.iter().any(|(n, _)| *n == before[0].0), "what was hers is gone");
    let next = SampleSlot::new(id(2)).content(1).build();
    store.put(&next, Expected::Revision(ben.revision())).await.unwrap();
    assert_eq!(store.load(&[id(2)]).await.unwrap(), [Loaded::Slot(next)]);
}

/// Of two whose numbers of rooms nobody can believe, and one whose bytes are damaged: what is zeroed is never the room of a slot
/// that may be put right.
async fn a_room_that_is_left_is_zeroed_and_no_other() {
    let folder = folder().await;
    let pool = pool(&folder).await;
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    let good = [1, 2, 3].map(|n| SampleSlot::new(id(n)).epoch(Epoch::FIRST).build());
    for slot in &good {
        store.put(slot, Expected::Absent).await.unwrap();
    }
    let room_of = async |n: u128| -> i64 {
        let room = "SELECT room FROM fieldseal_slots WHERE id = ?";
        sqlx::query_scalar(room).bind(id(n).to_bytes()).fetch_one(&pool).await.unwrap()
    };
    let lead_to = async |n: u128, room: i64| {
        let lead = "UPDATE fieldseal_slots SET room = ? WHERE id = ?";
        sqlx::query(lead).bind(room).bind(id(n).to_bytes()).execute(&pool).await.unwrap();
    };
    let is_zeroed = async |room: i64| -> bool {
        let zeroed = "SELECT bytes = zeroblob(length(bytes)) FROM fieldseal_rooms WHERE n = ?";
        sqlx::query_scalar(zeroed).bind(room).fetch_one(&pool).await.unwrap()
    };
    let bury = async |n: u128| {
        let Loaded::Damaged(token) = store.load(&[id(n)]).await.unwrap().remove(0) else { panic!("{n} is damaged") };
        let tombstone = SampleSlot::new(id(n)).state(fieldseal::store::SlotState::Erased).build();
        store.put(&tombstone, Expected::Damaged(token)).await.unwrap();
    };
    let [first, second, third] = [room_of(1).await, room_of(2).await, room_of(3).await];
    sqlx::query("UPDATE fieldseal_rooms SET bytes = CAST(zeroblob(1) || substr(bytes, 2) AS BLOB) WHERE n = ?")
        .bind(first)
        .execute(&pool)
        .await
        .unwrap();
    lead_to(2, 1_000_000).await;
    bury(1).await;
    assert!(is_zeroed(first).await && !is_zeroed(second).await && !is_zeroed(third).await);
    lead_to(2, second).await;
    assert_eq!(store.load(&[id(2)]).await.unwrap(), [Loaded::Slot(good[1].clone())], "it is put right");

    // One whose number was damaged leaves a room that nothing leads to: to one that isn't there, to an empty one, and nobody's.
    for (n, room, elsewhere) in [(2, second, 1_000_000), (3, third, 1)] {
        lead_to(n, elsewhere).await;
        bury(n).await;
        assert!(is_zeroed(room).await, "{n}");
    }
    assert_eq!(store.scan(&Scan::new(Filter::All)).await.unwrap().slots.len(), 3);
}

async fn a_missing_floor_is_no_floor_of_none() {
    let folder = folder().await;
    let store = open(&folder).await;
    execute(&mut raw(&folder).await, "DELETE FROM fieldseal_meta WHERE name = 'floor'").await;
    let put = store.put(&SampleSlot::new(id(1)).build(), Expected::Absent).await;
    assert_eq!(put.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(store.raise_floor(Epoch::FIRST).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

async fn a_damaged_file_is_corrupt() {
    let folder = folder().await;
    let pool = pool(&folder).await;
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    for n in 0..200 {
        store.put(&SampleSlot::new(id(n)).build(), Expected::Absent).await.unwrap();
    }
    store.scrub().await.unwrap();
    pool.close().await; // a dropped one would still write for a while
    let mut bytes = std::fs::read(path(&folder)).unwrap();
    // The schema and the first page of each tree stay.
    let damaged = bytes.len() / 2..;
    bytes[damaged].fill(0xa5);
    std::fs::write(path(&folder), bytes).unwrap();
    let store = open_shared(&folder).await;
    let ids: Vec<_> = (0..200).map(id).collect();
    assert_eq!(store.load(&ids).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

// What an overwritten slot leaves behind

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// How many of the slots can be found in the files, be it by 16 bytes of what tells them apart.
fn found_in(folder: &TempDir, suffixes: &[&str], slots: &[StoredSlot]) -> usize {
    let parts = |slot: &StoredSlot| -> Vec<[u8; 16]> { slot.as_bytes()[15..].as_chunks().0.to_vec() };
    let owners: HashMap<_, _> = (0..).zip(slots).flat_map(|(n, s)| parts(s).into_iter().map(move |p| (p, n))).collect();
    let mut found = HashSet::<usize>::new();
    for suffix in suffixes {
        let bytes = std::fs::read(with_suffix(&path(folder), suffix)).unwrap_or_default();
        found.extend(bytes.windows(16).filter_map(|window| owners.get(window)));
    }
    found.len()
}

/// In memory, where there is such a place: thousands of synced writes take their time on a disk.
fn fast_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Makes slots and overwrites them in changing order and size; gives what was overwritten, and what lives.
async fn churn(
    writes: u64,
    mut put: impl AsyncFnMut(StoredSlot, Option<StoredSlot>),
) -> (Vec<StoredSlot>, Vec<StoredSlot>) {
    const SIZES: [usize; 6] = [300, 420, 512, 900, 2100, 300];
    let (mut dead, mut live) = (Vec::new(), Vec::<StoredSlot>::new());
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below
    };
    for content in 0..writes {
        let len = SIZES[next(SIZES.len())];
        let slot = |id| SampleSlot::new(id).len(len).content(content).build();
        if content < writes / 8 {
            let slot = slot(id(u128::from(content).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
            put(slot.clone(), None).await;
            live.push(slot);
        } else {
            let n = next(live.len());
            let slot = slot(live[n].id().clone());
            put(slot.clone(), Some(live[n].clone())).await;
            dead.push(std::mem::replace(&mut live[n], slot));
        }
    }
    (dead, live)
}

async fn put_over(store: &SqliteStore, slot: &StoredSlot, old: Option<&StoredSlot>) {
    let expected = old.map_or(Expected::Absent, |old| Expected::Revision(old.revision()));
    store.put(slot, expected).await.unwrap();
}

async fn overwritten_slots_are_in_no_file_after_a_scrub() {
    let (own, shared) = (fast_folder(), fast_folder());
    for (folder, store) in [(&own, open(&own).await), (&shared, open_shared(&shared).await)] {
        let (dead, live) =
            churn(if soak() { 4000 } else { 1000 }, async |slot, old| put_over(&store, &slot, old.as_ref()).await)
                .await;
        assert!(found_in(folder, &["-wal"], &dead) > 0, "the log has them until then, or this test proves nothing");
        let residue = store.scrub().await.unwrap();
        assert!(!residue.items().iter().any(|item| item.place.contains("log")), "{residue:?}");
        assert_eq!(found_in(folder, &["", "-wal", "-shm"], &dead), 0);
        assert_eq!(found_in(folder, &[""], &live), live.len());
    }
}

/// The twin of the test above: why slots stand in rooms. In an ordinary table `secure_delete` isn't enough.
async fn an_ordinary_table_would_keep_overwritten_slots() {
    for (secure_delete, at_least) in [("ON", 1), ("OFF", 100)] {
        let folder = fast_folder();
        let mut db = raw_new(&folder).await;
        execute(&mut db, &format!("PRAGMA secure_delete = {secure_delete}")).await;
        execute(&mut db, "CREATE TABLE slot (id BLOB PRIMARY KEY, bytes BLOB)").await;
        let (dead, live) = churn(4000, async |slot, _| {
            sqlx::query("INSERT INTO slot VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = ?2")
                .bind(slot.id().to_bytes())
                .bind(slot.as_bytes())
                .execute(&mut db)
                .await
                .unwrap();
        })
        .await;
        execute(&mut db, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        let found = found_in(&folder, &["", "-wal", "-shm"], &dead);
        assert!(found >= at_least, "secure_delete = {secure_delete}: {found} found");
        assert_eq!(found_in(&folder, &[""], &live), live.len());
    }
}

async fn a_reader_that_blocks_the_checkpoint_is_residue() {
    let folder = folder().await;
    let options = options(&folder).busy_timeout(Duration::from_millis(50));
    let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool).await.unwrap();
    let first = SampleSlot::new(id(1)).build();
    store.put(&first, Expected::Absent).await.unwrap();

    let mut reader = raw(&folder).await;
    let mut snapshot = reader.begin().await.unwrap();
    let _: i64 = sqlx::query_scalar("SELECT count(*) FROM fieldseal_slots").fetch_one(&mut *snapshot).await.unwrap();
    let second = SampleSlot::new(id(1)).content(1).build();
    store.put(&second, Expected::Revision(first.revision())).await.unwrap();
    let blocked = store.scrub().await.unwrap();
    assert!(blocked.items().iter().any(|item| item.place == "write-ahead log"), "{blocked:?}");
    assert_eq!(found_in(&folder, &["", "-wal"], std::slice::from_ref(&first)), 1);

    snapshot.rollback().await.unwrap();
    let free = store.scrub().await.unwrap();
    assert!(!free.items().iter().any(|item| item.place == "write-ahead log"), "{free:?}");
    assert!(free.items().iter().any(|item| item.place.contains("backups")), "{free:?}");
    assert_eq!(found_in(&folder, &["", "-wal"], &[first]), 0);
}

// Dropped calls, busy databases

/// Polls a future so many times, then drops it.
async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match left {
        0 => Poll::Ready(false),
        _ => {
            left -= 1;
            match future.as_mut().poll(context) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if left == 0 => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        }
    })
    .await
}

async fn a_dropped_put_leaves_the_store_sound() {
    let folder = folder().await;
    let options = options(&folder);
    for connections in [1, 3] {
        let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options.clone()).await.unwrap();
        let store = SqliteStore::new(pool).await.unwrap();
        let subject = id(u128::from(connections));
        let mut last = SampleSlot::new(subject.clone()).build();
        store.put(&last, Expected::Absent).await.unwrap();
        let mut landed = 0;
        for content in 1..200u64 {
            let len = if content % 3 == 0 { 3000 } else { 300 };
            let next = SampleSlot::new(subject.clone()).len(len).content(content).build();
            let polls = usize::try_from(content).unwrap() % 25;
            let done = dropped_after(polls, store.put(&next, Expected::Revision(last.revision()))).await;
            // The next writer isn't kept out, and finds the slot whole: as it was, or as it was to be.
            let other = SampleSlot::new(id(1000 * u128::from(connections) + u128::from(content))).build();
            store.put(&other, Expected::Absent).await.unwrap();
            let now =
                store.load(std::slice::from_ref(&subject)).await.unwrap().pop().unwrap().into_slot().unwrap().unwrap();
            assert!(now == next || (now == last && !done), "{content}");
            landed += u32::from(now == next);
            last = now;
        }
        assert!((1..199).contains(&landed), "{landed} of 199 puts landed");
        store.scrub().await.unwrap();
    }
}

async fn a_busy_database_is_unavailable_and_then_is_not() {
    let folder = folder().await;
    let options = options(&folder).busy_timeout(Duration::from_millis(20));
    let store = SqliteStore::new(SqlitePool::connect_with(options).await.unwrap()).await.unwrap();
    let mut other = raw(&folder).await;
    let turn = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let slot = SampleSlot::new(id(1)).build();
    assert_eq!(store.put(&slot, Expected::Absent).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.raise_floor(Epoch::FIRST).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(store.load(&[id(1)]).await.unwrap(), [Loaded::Absent], "reading needs no turn");
    turn.rollback().await.unwrap();
    store.put(&slot, Expected::Absent).await.unwrap();
}

async fn a_closed_pool_is_unavailable() {
    let folder = folder().await;
    let pool = pool(&folder).await;
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    pool.close().await;
    assert_eq!(store.load(&[id(1)]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

async fn a_read_only_pool_is_misconfigured() {
    let folder = folder().await;
    drop(open_shared(&folder).await);
    let options = SqliteConnectOptions::new().filename(path(&folder)).read_only(true);
    let store = SqliteStore::new(SqlitePool::connect_with(options).await.unwrap()).await.unwrap();
    let put = store.put(&SampleSlot::new(id(1)).build(), Expected::Absent).await;
    assert_eq!(put.unwrap_err().kind(), StoreErrorKind::Misconfigured);
}
