//! The tables, what damage to them is found, and what an append leaves.

use std::time::Duration;

use fieldseal::TenantId;
use fieldseal::clock::Timestamp;
use fieldseal::journal::{
    EntryAt, ErasureJournal as _, Head, JournalEntry, JournalError, JournalErrorKind, JournalEvent,
};
use fieldseal::store::Tag;
use fieldseal_sqlx::PostgresJournal;
use fleet_tests::harness::Completion;
use fleet_tests::postgres::{Server, Which};
use futures_util::FutureExt as _;
use sqlx::postgres::PgConnectOptions;

use super::made;
use crate::postgres::{execute, pool};

pub(super) async fn a_schema_may_have_any_name(database: PgConnectOptions) {
    let pool = pool(database).await;
    for name in ["public", "Keys", "a b", "a\"b", "a'b", "a\\b", "k\u{e4}y", "select", "%s", &"x".repeat(63)] {
        let builder = PostgresJournal::builder(pool.clone()).schema(name);
        builder.migrate().await.unwrap();
        let journal = builder.open().await.unwrap();
        let head = fill(&journal, 3).await;
        assert_eq!(journal.verify().await.unwrap(), head, "{name:?}");
        let at = EntryAt::new(Head::EMPTY.advanced_by(&entry(0)), entry(1));
        assert_eq!(journal.read_of(Some(&acme()), Some(&tag(1)), &head).await.unwrap(), [at]);
    }
    for name in ["", "pg_keys", &"x".repeat(64)] {
        let builder = PostgresJournal::builder(pool.clone()).schema(name);
        assert_eq!(builder.migrate().await.unwrap_err().kind(), JournalErrorKind::Misconfigured, "{name:?}");
    }
}

pub(super) async fn journals_in_two_schemas_are_two(database: PgConnectOptions) {
    let pool = pool(database).await;
    let (one, other) = (made(&pool).await, PostgresJournal::builder(pool.clone()).schema("other"));
    other.migrate().await.unwrap();
    let other = other.open().await.unwrap();
    fill(&one, 2).await;
    assert_eq!(other.head().await.unwrap(), Head::EMPTY);
    assert_ne!(one.id().await.unwrap(), other.id().await.unwrap());
}

pub(super) async fn the_shipped_sql_makes_what_migrate_makes(database: PgConnectOptions) {
    let pool = pool(database).await;
    let journal = made(&pool).await;
    let sql = include_str!("../../../../src/postgres/journal/migrations/0001_journal.sql");
    execute(&pool, &sql.replace("\"fieldseal\"", "by_hand")).await;
    let by_hand = PostgresJournal::builder(pool.clone()).schema("by_hand").open().await.unwrap();
    assert_eq!(fill(&by_hand, 4).await, fill(&journal, 4).await);
    assert_ne!(by_hand.id().await.unwrap(), journal.id().await.unwrap());
    let again = made(&pool).await;
    assert_eq!(again.id().await.unwrap(), journal.id().await.unwrap(), "the id is drawn once");
}

pub(super) async fn what_is_not_there_is_misconfigured_and_says_what_makes_it(database: PgConnectOptions) {
    let error = PostgresJournal::new(pool(database).await).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

pub(super) async fn tables_that_can_not_be_used_are_refused(database: PgConnectOptions) {
    use JournalErrorKind::{Corrupt, Misconfigured, NewerSchema};
    let pool = pool(database).await;
    for (kind, alter) in [
        (Corrupt, "DROP TABLE fieldseal.journal_entries"),
        (Corrupt, "ALTER TABLE fieldseal.journal_entries DROP COLUMN hash"),
        (Corrupt, "ALTER TABLE fieldseal.journal_entries DROP CONSTRAINT journal_entries_pkey"),
        (Corrupt, "DELETE FROM fieldseal.journal"),
        (Corrupt, "CREATE RULE keep AS ON INSERT TO fieldseal.journal_entries DO ALSO NOTHING"),
        (NewerSchema, "UPDATE fieldseal.journal SET version = 2"),
        (Misconfigured, "ALTER TABLE fieldseal.journal_entries SET UNLOGGED"),
        (Misconfigured, "ALTER TABLE fieldseal.journal DROP COLUMN id"),
        (
            Misconfigured,
            "DROP SCHEMA fieldseal CASCADE; CREATE SCHEMA fieldseal; CREATE TABLE fieldseal.journal (id int)",
        ),
    ] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        made(&pool).await;
        execute(&pool, alter).await;
        let builder = PostgresJournal::builder(pool.clone());
        for error in [builder.migrate().await.unwrap_err(), builder.open().await.map(drop).unwrap_err()] {
            assert_eq!(error.kind(), kind, "{alter}: {error:?}");
        }
    }
}

/// By each call that should have given it, or would build on it.
pub(super) async fn an_entry_that_was_changed_or_taken_away_is_told(database: PgConnectOptions) {
    let pool = pool(database).await;
    let kind = |e: JournalError| e.kind();
    for (damage, head_tells) in [
        ("DELETE FROM fieldseal.journal_entries WHERE position = 4", false),
        ("DELETE FROM fieldseal.journal_entries WHERE position = 3", false),
        ("DELETE FROM fieldseal.journal_entries WHERE position >= 4", true),
        ("UPDATE fieldseal.journal_entries SET position = 9 WHERE position = 4", false),
        (
            "UPDATE fieldseal.journal_entries SET bytes = (SELECT bytes FROM fieldseal.journal_entries WHERE position = 3) WHERE position = 4",
            false,
        ),
        ("UPDATE fieldseal.journal_entries SET bytes = '\\x00' WHERE position = 4", false),
        ("UPDATE fieldseal.journal_entries SET hash = sha256('') WHERE position = 4", false),
        ("UPDATE fieldseal.journal_entries SET tag = '\\x00' WHERE position = 4", false),
        ("UPDATE fieldseal.journal SET hash = sha256('')", true),
        ("UPDATE fieldseal.journal SET position = 9", true),
    ] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        let journal = made(&pool).await;
        let head = fill(&journal, 6).await;
        assert_eq!(journal.verify().await.unwrap(), head);
        execute(&pool, damage).await;
        if damage.contains("journal_entries") {
            assert_eq!(journal.verify().await.map_err(kind), Err(JournalErrorKind::Corrupt), "{damage}");
            assert_eq!(journal.read(3, 1).await.map_err(kind).err(), Some(JournalErrorKind::Corrupt), "{damage}");
            // What was read before the damage can be read still.
            assert_eq!(journal.read(0, 2).await.unwrap(), [entry(0), entry(1)], "{damage}");
        }
        let told = journal.head().await.map_err(kind);
        assert_eq!(told.err(), head_tells.then_some(JournalErrorKind::Corrupt), "{damage}");
        assert_eq!(PostgresJournal::new(pool.clone()).await.is_err(), head_tells, "{damage}");
    }
    // About one subject: what stands there must be what was appended.
    for damage in [
        "UPDATE fieldseal.journal_entries SET bytes = (SELECT bytes FROM fieldseal.journal_entries WHERE position = 3) WHERE position = 4",
        "UPDATE fieldseal.journal_entries SET hash = sha256('') WHERE position = 4",
        "UPDATE fieldseal.journal_entries SET hash = sha256('') WHERE position = 3",
        "DELETE FROM fieldseal.journal_entries WHERE position = 3",
        "UPDATE fieldseal.journal_entries SET tag = (SELECT tag FROM fieldseal.journal_entries WHERE position = 4) WHERE position = 5",
    ] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        let journal = made(&pool).await;
        let head = fill(&journal, 6).await;
        execute(&pool, damage).await;
        let read = journal.read_of(Some(&acme()), Some(&tag(3)), &head).await;
        assert_eq!(read.map_err(kind).err(), Some(JournalErrorKind::Corrupt), "{damage}");
    }
}

/// An entry that goes by another tag is not read with its subject's; reading all shows it.
pub(super) async fn an_entry_that_was_hidden_is_found_by_verifying(database: PgConnectOptions) {
    let pool = pool(database).await;
    let journal = made(&pool).await;
    let head = fill(&journal, 6).await;
    execute(&pool, "UPDATE fieldseal.journal_entries SET tag = '' WHERE position = 4").await;
    assert_eq!(journal.read_of(Some(&acme()), Some(&tag(3)), &head).await.unwrap(), []);
    assert_eq!(journal.verify().await.unwrap_err().kind(), JournalErrorKind::Corrupt);
}

/// With what the documentation says that it needs.
pub(super) async fn a_role_that_may_only_append_can(database: PgConnectOptions) {
    let admin = pool(database.clone()).await;
    made(&admin).await;
    let role =
        "DO $$ BEGIN CREATE ROLE appender LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
         GRANT USAGE ON SCHEMA fieldseal TO appender;
         GRANT SELECT ON fieldseal.journal, fieldseal.journal_entries TO appender;
         GRANT UPDATE ON fieldseal.journal TO appender;
         GRANT INSERT ON fieldseal.journal_entries TO appender";
    execute(&admin, role).await;
    let pool = pool(database.username("appender")).await;
    let journal = PostgresJournal::new(pool.clone()).await.unwrap();
    let head = fill(&journal, 3).await;
    assert_eq!(journal.verify().await.unwrap(), head);
    for refused in ["DELETE FROM fieldseal.journal_entries", "UPDATE fieldseal.journal_entries SET tag = ''"] {
        sqlx::query(refused).execute(&pool).await.unwrap_err();
    }
    execute(&admin, "REVOKE INSERT ON fieldseal.journal_entries FROM appender").await;
    assert_eq!(journal.append(&entry(3), &head).await.unwrap_err().kind(), JournalErrorKind::Denied);
    assert_eq!(journal.head().await.unwrap(), head);
    execute(&admin, "DROP OWNED BY appender").await;
}

pub(super) async fn an_append_is_durable_whatever_the_session_says(database: PgConnectOptions) {
    for (session, append) in [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")] {
        let pool = pool(database.clone().options([("synchronous_commit", session)])).await;
        execute(
            &pool,
            "DROP SCHEMA IF EXISTS fieldseal CASCADE; DROP TABLE IF EXISTS told; CREATE TABLE told (it text)",
        )
        .await;
        let journal = made(&pool).await;
        execute(
            &pool,
            "CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO told VALUES (current_setting('synchronous_commit')); RETURN NEW;
             END $$;
             CREATE TRIGGER tell AFTER INSERT ON fieldseal.journal_entries FOR EACH ROW EXECUTE FUNCTION tell()",
        )
        .await;
        fill(&journal, 1).await;
        let told: Vec<String> =
            sqlx::query_scalar("SELECT it FROM told").persistent(false).fetch_all(&pool).await.unwrap();
        assert_eq!(told, [append], "{session}");
    }
}

/// At each of the points where it waits for the server.
pub(super) async fn an_append_that_is_dropped_holds_nothing(database: PgConnectOptions) {
    let pool = pool(database).await;
    let journal = made(&pool).await;
    let (mut head, dropped) = (Head::EMPTY, entry(0));
    for polls in 0..40 {
        {
            let mut append = std::pin::pin!(journal.append(&dropped, &head));
            for _ in 0..polls {
                if (&mut append).now_or_never().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        // Whatever became of it: a lock that was left would make these wait, and fail.
        head = loop {
            let found = journal.head().await.unwrap();
            match journal.append(&entry(1), &found).await {
                Ok(after) => break after,
                Err(error) => assert_eq!(error.kind(), JournalErrorKind::Conflict, "{error:?}"),
            }
        };
    }
    assert!(head.position() > 40, "none of them landed");
    assert_eq!(journal.verify().await.unwrap(), head);
}

/// Behind a transaction that somebody left open: the server answers, so it is no silence.
pub(super) async fn an_append_that_waits_for_long_is_throttled(database: PgConnectOptions) {
    let pool = pool(database).await;
    made(&pool).await;
    let journal = PostgresJournal::builder(pool.clone()).lock_timeout(Duration::from_millis(50)).open().await.unwrap();
    let mut open = pool.begin().await.unwrap();
    sqlx::query("UPDATE fieldseal.journal SET position = position").execute(&mut *open).await.unwrap();
    let error = journal.append(&entry(1), &Head::EMPTY).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Throttled, "{error:?}");
    open.rollback().await.unwrap();
    assert_eq!(journal.append(&entry(1), &Head::EMPTY).await.unwrap(), Head::EMPTY.advanced_by(&entry(1)));
}

/// It may not have heard of what was appended.
pub(super) async fn a_standby_is_no_journal(which: Which) -> Completion {
    let Some(server) = Server::start_with(which, &["fsync=off"]).await else { return Completion::ignored() };
    let database = server.database().await;
    let head = fill(&made(&pool(database.clone()).await).await, 2).await;
    let standby = server.standby(&["fsync=off"]).await;
    let options = standby.options().database(database.get_database().unwrap());
    let error = PostgresJournal::new(pool(options.clone()).await).await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Unavailable, "{error:?}");
    standby.promote();
    let journal = PostgresJournal::new(pool(options).await).await.unwrap();
    assert_eq!(journal.verify().await.unwrap(), head);
    Completion::Completed
}

async fn fill(journal: &PostgresJournal, count: u8) -> Head {
    let mut head = journal.head().await.unwrap();
    for n in 0..count {
        head = journal.append(&entry(n), &head).await.unwrap();
    }
    head
}

fn entry(n: u8) -> JournalEntry {
    JournalEntry::of_subject(Timestamp::from_millis(1000), acme(), tag(n), JournalEvent::Held)
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn tag(n: u8) -> Tag {
    Tag::from_bytes([n; 16])
}
