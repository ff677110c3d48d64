//! What a scrub says remains, held against what does.

use std::fs;
use std::path::{Path, PathBuf};

use fieldseal::TenantId;
use fieldseal::store::{Expected, KeyStore, Residue, SlotId, SlotState, StoreErrorKind, StoredSlot};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::harness::Completion;
use fleet_tests::postgres::{Server, Which};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::{made, partitioned};
use crate::postgres::{execute, pool};

pub(super) async fn what_a_vacuum_leaves_is_told(database: PgConnectOptions) {
    let (pool, data) = (pool(database.clone()).await, data(&database));
    let store = made(&pool).await;
    for len in [300, 30_000] {
        let (before, files) = erased(&pool, &store, len, &data).await;
        let told = places(&store.scrub().await.unwrap());
        assert_eq!(
            told.strip_prefix(&[DEAD]).unwrap_or(&told),
            [
                "free space in the table's pages",
                "write-ahead log",
                "base backups, dumps, snapshots, and standbys that are not connected",
            ],
        );
        checkpoint(&pool).await;
        assert!(holds(&files, &before), "that is why");
    }
}

/// Whoever sees the old row keeps it. (So do workers of the server's own, now and then, for a moment.)
pub(super) async fn dead_rows_that_a_snapshot_sees_are_told_until_it_ends(database: PgConnectOptions) {
    let pool = pool(database).await;
    for store in [made(&pool).await, partitioned_again(&pool).await] {
        for len in [300, 30_000] {
            let slot = SampleSlot::new(SlotId::Vault).len(len).build();
            put(&store, &slot).await;
            while places(&store.scrub().await.unwrap()).contains(&DEAD) {}
            let mut reader = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
            sqlx::query("SELECT 1").execute(&mut *reader).await.unwrap();
            put(&store, &SampleSlot::new(SlotId::Vault).state(SlotState::Erased).content(len as u64).build()).await;
            let residue = store.scrub().await.unwrap();
            let item = residue.items().iter().find(|item| item.place == DEAD).expect("it is told");
            assert!(item.ends_by.contains("transactions"), "{}", item.ends_by);
            reader.rollback().await.unwrap();
            while places(&store.scrub().await.unwrap()).contains(&DEAD) {}
        }
    }
}

pub(super) async fn dead_rows_that_a_prepared_transaction_holds_are_told(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = made(&pool).await;
    put(&store, &SampleSlot::new(SlotId::Vault).build()).await;
    execute(&pool, "CREATE TABLE other (id int)").await;
    let mut preparer = pool.acquire().await.unwrap();
    for statement in ["BEGIN", "INSERT INTO other VALUES (1)", "PREPARE TRANSACTION 'forgotten'"] {
        sqlx::raw_sql(statement).execute(&mut *preparer).await.unwrap();
    }
    put(&store, &SampleSlot::new(SlotId::Vault).content(1).build()).await;
    let residue = store.scrub().await.unwrap();
    let item = residue.items().iter().find(|item| item.place == DEAD).expect("it is told");
    assert!(item.ends_by.contains("prepared"), "{}", item.ends_by);
    execute(&pool, "ROLLBACK PREPARED 'forgotten'").await;
    while places(&store.scrub().await.unwrap()).contains(&DEAD) {}
}

pub(super) async fn a_full_scrub_leaves_no_byte_in_the_table(database: PgConnectOptions) {
    let (pool, data) = (pool(database.clone()).await, data(&database));
    made(&pool).await;
    let store = PostgresStore::builder(pool.clone()).with_full_scrub().open().await.unwrap();
    for len in [300, 30_000] {
        let (before, _) = erased(&pool, &store, len, &data).await;
        let mut residue = store.scrub().await.unwrap();
        while places(&residue).contains(&DEAD) {
            // The server's own workers look at the table now and then.
            residue = store.scrub().await.unwrap();
        }
        assert!(places(&residue).contains(&"blocks that the table's former files had"), "{residue:?}");
        assert!(!places(&residue).contains(&"free space in the table's pages"), "{residue:?}");
        checkpoint(&pool).await;
        assert!(!holds(&files(&pool, &data).await, &before), "it is in the table");
    }
}

pub(super) async fn a_log_of_parameters_is_told(database: PgConnectOptions) {
    const LOG: &str = "the server's log, with the parameters of statements";
    made(&pool(database.clone()).await).await;
    for (settings, is_told) in [
        ([("log_statement", "none"), ("log_min_duration_statement", "-1")], false),
        ([("log_statement", "ddl"), ("log_duration", "on")], false),
        ([("log_statement", "mod"), ("log_parameter_max_length", "-1")], true),
        ([("log_statement", "all"), ("log_parameter_max_length", "0")], false),
        ([("log_min_duration_statement", "1s"), ("log_parameter_max_length", "10")], true),
        ([("log_transaction_sample_rate", "0.01"), ("log_statement", "none")], true),
        ([("log_parameter_max_length", "0"), ("log_parameter_max_length_on_error", "-1")], true),
    ] {
        let store = PostgresStore::new(pool(database.clone().options(settings)).await).await.unwrap();
        assert_eq!(places(&store.scrub().await.unwrap()).contains(&LOG), is_told, "{settings:?}");
    }
}

/// PostgreSQL would only warn, and leave everything.
pub(super) async fn a_role_that_may_not_vacuum_is_denied(database: PgConnectOptions) {
    let admin = pool(database.clone()).await;
    for store in [made(&admin).await, partitioned_again(&admin).await] {
        drop(store);
        let role = "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
             GRANT USAGE ON SCHEMA fieldseal TO reader;
             GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA fieldseal TO reader";
        execute(&admin, role).await;
        let denied = PostgresStore::new(pool(database.clone().username("reader")).await).await.unwrap_err();
        assert_eq!(denied.kind(), StoreErrorKind::Denied, "before anybody is erased in it");
        assert!(denied.to_string().contains("may not vacuum"), "{denied}");
        execute(&admin, "DROP OWNED BY reader").await;
    }
}

pub(super) async fn standbys_slots_and_archives_are_told(which: Which) -> Completion {
    let settings = ["fsync=off", "wal_level=logical", "archive_mode=on", "archive_command=true"];
    let Some(server) = Server::start_with(which, &settings).await else { return Completion::ignored() };
    let pool = pool(server.database().await).await;
    let store = made(&pool).await;
    let told = places(&store.scrub().await.unwrap());
    assert!(
        told.contains(&"archived write-ahead log") && told.contains(&"receivers of logical replication"),
        "{told:?}"
    );
    assert!(!told.contains(&"standbys"), "{told:?}");

    let standby = server.standby(&["fsync=off", "hot_standby_feedback=on"]).await;
    while !places(&store.scrub().await.unwrap()).contains(&"standbys") {
        tokio::task::yield_now().await;
    }
    drop(standby);
    assert!(!places(&store.scrub().await.unwrap()).contains(&HELD));
    execute(&pool, "SELECT pg_create_physical_replication_slot('gone', true)").await;
    assert!(places(&store.scrub().await.unwrap()).contains(&HELD));
    Completion::Completed
}

async fn partitioned_again(pool: &PgPool) -> PostgresStore {
    execute(pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
    partitioned(pool).await
}

/// A slot that was there, and is a tombstone now; its bytes, and the files that had them before the scrub.
async fn erased(pool: &PgPool, store: &impl KeyStore, len: usize, data: &Path) -> (Vec<u8>, Vec<PathBuf>) {
    let slot = SampleSlot::new(SlotId::Vault).len(len).content(len as u64).build();
    // A vacuum moves what lives in a page over what doesn't, and cuts the pages off in which nothing does: this is where
    // neither hides what is left.
    let beside = SampleSlot::new(SlotId::Tenant(TenantId::default_tenant())).len(len).content(len as u64).build();
    let is_inline = len < 2000;
    for slot in if is_inline { [&beside, &slot] } else { [&slot, &beside] } {
        put(store, slot).await;
    }
    put(store, &SampleSlot::new(SlotId::Vault).state(SlotState::Erased).len(100).content(len as u64 + 1).build()).await;
    checkpoint(pool).await;
    let files = files(pool, data).await;
    // From where no slot's bytes are like another's.
    let part = slot.as_bytes()[60..100].to_vec();
    assert!(holds(&files, &part), "the test looks in the right place");
    (part, files)
}

async fn put(store: &impl KeyStore, slot: &StoredSlot) {
    let found = store.load(std::slice::from_ref(slot.id())).await.unwrap().remove(0).into_slot().unwrap();
    store.put(slot, found.map_or(Expected::Absent, |found| Expected::Revision(found.revision()))).await.unwrap();
}

fn places(residue: &Residue) -> Vec<&'static str> {
    residue.items().iter().map(|item| item.place).collect()
}

async fn checkpoint(pool: &PgPool) {
    execute(pool, "CHECKPOINT").await;
}

fn data(database: &PgConnectOptions) -> PathBuf {
    database.get_socket().unwrap().join("data")
}

/// Those of the table of slots, its indexes and its long values.
async fn files(pool: &PgPool, data: &Path) -> Vec<PathBuf> {
    let sql = "WITH slots AS (SELECT oid, reltoastrelid FROM pg_class WHERE oid = 'fieldseal.key_slots'::regclass)
        SELECT pg_relation_filepath(r) FROM (
            SELECT oid FROM slots UNION ALL SELECT reltoastrelid FROM slots
            UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT oid FROM slots)) AS relations(r)";
    let paths: Vec<String> = sqlx::query_scalar(sql).persistent(false).fetch_all(pool).await.unwrap();
    assert!(paths.len() >= 5);
    paths.iter().map(|path| data.join(path)).collect()
}

fn holds(files: &[PathBuf], part: &[u8]) -> bool {
    files.iter().any(|file| fs::read(file).unwrap_or_default().windows(part.len()).any(|window| window == part))
}

const DEAD: &str = "dead rows that can't be removed yet";
const HELD: &str = "write-ahead log that replication slots hold back";
