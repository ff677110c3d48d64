//! What a put promises, and what it leaves nowhere.

use std::time::Duration;

use fieldseal::TenantId;
use fieldseal::store::{Epoch, Expected, Filter, KeyStore as _, Loaded, Scan, SlotId, StoreErrorKind, Tag};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::slot::SampleSlot;
use futures_util::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{made, partitioned};
use crate::postgres::{execute, pool};

/// By tenant and id it isn't found, and is there all the same: also where each is a partition of its own.
pub(super) async fn a_row_of_another_tenants_column_is_damaged_and_not_absent(database: PgConnectOptions) {
    let pool = pool(database).await;
    for is_partitioned in [false, true] {
        execute(&pool, "DROP SCHEMA IF EXISTS fieldseal CASCADE").await;
        let store = if is_partitioned { partitioned(&pool).await } else { made(&pool).await };
        let [ada, ben] = [1, 2].map(|n| SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes([n; 16])));
        let [good, beside] = [&ada, &ben].map(|id| SampleSlot::new(id.clone()).build());
        store.put(&good, Expected::Absent).await.unwrap();
        store.put(&beside, Expected::Absent).await.unwrap();
        let change = "UPDATE fieldseal.key_slots SET tenant = 'zeta' WHERE id = $1";
        sqlx::query(change).persistent(false).bind(ada.to_bytes()).execute(&pool).await.unwrap();

        let found = store.load(&[ben.clone(), ada.clone(), ada.clone()]).await.unwrap();
        let [Loaded::Slot(sound), Loaded::Damaged(token), Loaded::Damaged(again)] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((sound, token), (&beside, again));
        // Neither a second row beside it, nor a put over what nobody saw.
        let next = SampleSlot::new(ada.clone()).content(1).build();
        for expected in [Expected::Absent, Expected::Revision(good.revision()), Expected::Damaged(good.token())] {
            assert_eq!(store.put(&next, expected).await.unwrap_err().kind(), StoreErrorKind::Conflict);
        }
        // Of the tenant that the column says it has no slot.
        let zeta = Scan::new(Filter::All).tenant(TenantId::new("zeta").unwrap());
        let page = store.scan(&zeta).await.unwrap();
        assert!(page.slots.is_empty() && page.damaged.is_empty());
        // Somebody puts the good one back by hand, beside it: that one is the answer, and the other one has no name.
        let copy = "INSERT INTO fieldseal.key_slots SELECT 'default', id, state, epoch, due, bytes \
                    FROM fieldseal.key_slots WHERE tenant = 'zeta'";
        execute(&pool, copy).await;
        assert_eq!(store.load(std::slice::from_ref(&ada)).await.unwrap(), [Loaded::Slot(good.clone())]);
        let page = store.scan(&Scan::new(Filter::All).limit(1)).await.unwrap();
        assert_eq!((page.slots, page.nameless, page.next), (vec![good.clone()], 1, Some(ada.clone())));
        assert_eq!(store.put(&next, Expected::Damaged(*token)).await.unwrap_err().kind(), StoreErrorKind::Conflict);
        let remove = "DELETE FROM fieldseal.key_slots WHERE tenant = 'default' AND id = $1";
        sqlx::query(remove).persistent(false).bind(ada.to_bytes()).execute(&pool).await.unwrap();

        store.put(&next, Expected::Damaged(*token)).await.unwrap();
        assert_eq!(store.load(&[ada]).await.unwrap(), [Loaded::Slot(next)]);
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM fieldseal.key_slots").fetch_one(&pool).await.unwrap();
        assert_eq!(rows, 2, "it keeps its place");
    }
}

/// What is confirmed is on disk, also the standby's where there is one that is waited for.
pub(super) async fn a_put_is_durable_whatever_the_session_says(database: PgConnectOptions) {
    let settings = [
        ("off", "on"),
        ("local", "on"),
        ("on", "on"),
        ("remote_write", "remote_write"),
        ("remote_apply", "remote_apply"),
    ];
    for (session, put) in settings {
        let pool = pool(database.clone().options([("synchronous_commit", session)])).await;
        execute(
            &pool,
            "DROP SCHEMA IF EXISTS fieldseal CASCADE; DROP TABLE IF EXISTS told; CREATE TABLE told (it text)",
        )
        .await;
        let store = made(&pool).await;
        execute(
            &pool,
            "CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO told VALUES (current_setting('synchronous_commit')); RETURN NEW;
             END $$;
             CREATE TRIGGER tell AFTER INSERT OR UPDATE ON fieldseal.key_slots FOR EACH ROW EXECUTE FUNCTION tell();
             CREATE TRIGGER tell AFTER UPDATE ON fieldseal.key_store FOR EACH ROW EXECUTE FUNCTION tell()",
        )
        .await;
        let slot = SampleSlot::new(SlotId::Vault).build();
        store.put(&slot, Expected::Absent).await.unwrap();
        store.put(&slot, Expected::Revision(slot.revision())).await.unwrap();
        store.raise_floor(Epoch::FIRST).await.unwrap();
        let told: Vec<String> =
            sqlx::query_scalar("SELECT it FROM told").persistent(false).fetch_all(&pool).await.unwrap();
        assert_eq!(told, [put; 3], "{session}");
    }
}

/// No statement with a name, no setting, no lock, no transaction: the next call may be given to another server.
pub(super) async fn nothing_is_left_in_the_session(database: PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(database).await.unwrap();
    execute(&pool, "SET synchronous_commit TO off; SET bytea_output TO escape; SET lock_timeout TO 7").await;
    execute(&pool, "SET default_transaction_isolation TO serializable; SET standard_conforming_strings TO off").await;
    let session = async || {
        let settings = "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name <> 'transaction_isolation' ORDER BY name";
        let settings: Vec<(String, String)> =
            sqlx::query_as(settings).persistent(false).fetch_all(&pool).await.unwrap();
        let count = async |sql: &'static str| -> i64 {
            sqlx::query_scalar(sql).persistent(false).fetch_one(&pool).await.unwrap()
        };
        let statements =
            count("SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%'").await;
        (
            settings,
            statements,
            count("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").await,
        )
    };
    let before = session().await;
    assert!(before.0.len() >= 5 && before.1 == 0 && before.2 == 0);
    let builder = PostgresStore::builder(pool.clone()).with_notices();
    builder.migrate().await.unwrap();
    let store = builder.open().await.unwrap();
    let slot = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    store.put(&slot, Expected::Absent).await.unwrap_err();
    store.raise_floor(Epoch::new(2).unwrap()).await.unwrap();
    store.put(&slot, Expected::Revision(slot.revision())).await.unwrap_err();
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Slot(slot.clone())]);
    assert_eq!(store.scan(&Scan::new(Filter::All)).await.unwrap().slots, std::slice::from_ref(&slot));
    store.scrub().await.unwrap();
    assert_eq!(session().await, before);
    // Nor after an error.
    execute(&pool, "ALTER TABLE fieldseal.key_slots DROP bytes").await;
    store.put(&slot, Expected::Absent).await.unwrap_err();
    store.load(&[SlotId::Vault]).await.unwrap_err();
    execute(&pool, "DROP SCHEMA fieldseal CASCADE").await;
    store.raise_floor(Epoch::FIRST).await.unwrap_err();
    store.scrub().await.unwrap_err();
    assert_eq!(session().await, before);
}

pub(super) async fn a_put_to_a_database_that_may_only_be_read_is_denied(database: PgConnectOptions) {
    made(&pool(database.clone()).await).await;
    let pool = pool(database.options([("default_transaction_read_only", "on")])).await;
    let store = PostgresStore::new(pool).await.unwrap();
    let slot = SampleSlot::new(SlotId::Vault).build();
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Absent]);
    assert_eq!(store.put(&slot, Expected::Absent).await.unwrap_err().kind(), StoreErrorKind::Denied);
    assert_eq!(store.raise_floor(Epoch::FIRST).await.unwrap_err().kind(), StoreErrorKind::Denied);
}

/// Behind a transaction that somebody left open.
pub(super) async fn a_put_that_waits_for_long_is_throttled(database: PgConnectOptions) {
    let pool = pool(database).await;
    made(&pool).await;
    let builder = PostgresStore::builder(pool.clone()).lock_timeout(Duration::from_millis(50));
    let store = builder.open().await.unwrap();
    let slot = SampleSlot::new(SlotId::Vault).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    let mut open = pool.begin().await.unwrap();
    sqlx::query("UPDATE fieldseal.key_slots SET state = state").execute(&mut *open).await.unwrap();
    let next = SampleSlot::new(SlotId::Vault).content(1).build();
    let error = store.put(&next, Expected::Revision(slot.revision())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled, "{error:?}");
    open.rollback().await.unwrap();
    store.put(&next, Expected::Revision(slot.revision())).await.unwrap();
}

/// At each of the points where it waits for the server.
pub(super) async fn a_put_that_is_dropped_holds_no_lock(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = made(&pool).await;
    let mut last = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).build();
    store.put(&last, Expected::Absent).await.unwrap();
    for polls in 0..40 {
        let next = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).content(polls).build();
        {
            let mut put = std::pin::pin!(store.put(&next, Expected::Revision(last.revision())));
            for _ in 0..polls {
                if (&mut put).now_or_never().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        // Whatever became of it, the slot and the floor can be had; a lock that was left would make these wait, and fail.
        store.raise_floor(Epoch::FIRST).await.unwrap();
        let found = store.load(&[SlotId::Vault]).await.unwrap().remove(0).into_slot().unwrap().unwrap();
        assert!(found == last || found == next);
        let after = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).content(1000 + polls).build();
        match store.put(&after, Expected::Revision(found.revision())).await {
            Ok(()) => last = after,
            // It landed after it was read.
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Conflict);
                last = store.load(&[SlotId::Vault]).await.unwrap().remove(0).into_slot().unwrap().unwrap();
                assert!(last == next);
            }
        }
    }
}

/// Above all no transaction that is open, in which the application's next changes would be lost.
pub(super) async fn a_put_that_is_dropped_leaves_no_transaction(database: PgConnectOptions) {
    let (pool, other) = (PgPoolOptions::new().max_connections(1), pool(database.clone()).await);
    let pool = pool.connect_with(database).await.unwrap();
    let store = made(&pool).await;
    execute(&pool, "CREATE TABLE visit (n bigint)").await;
    for polls in 1..40 {
        let slot = SampleSlot::new(SlotId::Vault).content(polls).build();
        {
            let mut put = std::pin::pin!(store.put(&slot, Expected::Revision(slot.revision())));
            for _ in 0..polls {
                if (&mut put).now_or_never().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        execute(&pool, "INSERT INTO visit VALUES (1)").await;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM visit").fetch_one(&other).await.unwrap();
        assert_eq!(u64::try_from(seen).unwrap(), polls, "what the application did is not committed");
    }
}

pub(super) async fn what_a_constraint_refuses_shows_no_byte(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = made(&pool).await;
    let slot = SampleSlot::new(SlotId::Vault).build();
    let hex = hex(&slot.as_bytes()[..20]);
    for alter in [
        "ALTER TABLE fieldseal.key_slots ADD CONSTRAINT small CHECK (octet_length(bytes) < 10)",
        "ALTER TABLE fieldseal.key_slots DROP CONSTRAINT small; ALTER TABLE fieldseal.key_slots ADD CHECK (encode(bytes, 'hex')::int > 0)",
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no %', NEW.bytes; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON fieldseal.key_slots FOR EACH ROW EXECUTE FUNCTION refuse()",
    ] {
        execute(&pool, alter).await;
        let error = store.put(&slot, Expected::Absent).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("SQLSTATE")));
        assert!(!format!("{error:?} {error}").contains(&hex), "{error:?}");
    }
}

/// Where `pg_stat_activity` shows it, and the server's log where a statement fails.
pub(super) async fn what_is_put_is_not_in_the_text_of_a_statement(database: PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(database.clone()).await.unwrap();
    let store = made(&pool).await;
    let other = super::pool(database).await;
    let slot = SampleSlot::new(SlotId::Vault).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    // With this the row can be read and locked, and not be written.
    let mut open = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE fieldseal.key_slots IN SHARE MODE").execute(&mut *open).await.unwrap();
    let next = SampleSlot::new(SlotId::Vault).content(1).build();
    let put = store.put(&next, Expected::Revision(slot.revision()));
    let look = async {
        let waiting =
            "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        loop {
            let found: Option<String> = sqlx::query_scalar(waiting).fetch_optional(&other).await.unwrap();
            if let Some(found) = found {
                open.rollback().await.unwrap();
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let (put, text) = futures_util::future::join(put, look).await;
    put.unwrap();
    assert!(text.contains("UPDATE \"fieldseal\".key_slots SET"), "{text}");
    assert!(!text.contains(&hex(&next.as_bytes()[..20])) && !text.contains(&hex(next.revision().as_bytes())), "{text}");
}

pub(super) async fn a_store_whose_server_is_gone_is_unavailable(database: PgConnectOptions) {
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(300));
    let pool = options.connect_lazy_with(database.clone().socket("/nowhere"));
    assert_eq!(PostgresStore::new(pool).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let pool = super::pool(database.clone()).await;
    let store = made(&pool).await;
    pool.close().await;
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let error = store.put(&SampleSlot::new(SlotId::Vault).build(), Expected::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
