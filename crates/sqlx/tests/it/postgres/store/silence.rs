//! A way to the server on which packets are lost: nothing fails, nothing is answered.

use std::time::Duration;

use fieldseal::TenantId;
use fieldseal::error::StoreErrorKind;
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::ErasureJournal as _;
use fieldseal::store::{Epoch, Expected, Filter, KeyStore as _, Scan, SlotId};
use fieldseal_sqlx::{PostgresJournal, PostgresStore};
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::proxy::Proxy;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{made, made_with, pool};

/// As many calls as there are places are given up; then the way is good again, and so is the pool.
pub(super) async fn a_call_that_is_given_up_costs_no_place_in_the_pool(database: PgConnectOptions) {
    let proxy = Proxy::start(&database);
    let options = PgPoolOptions::new().max_connections(PLACES).acquire_timeout(PATIENT).test_before_acquire(false);
    let pool = options.connect_with(proxy.options(&database)).await.unwrap();
    let store = made(&pool).await;
    PostgresJournal::builder(pool.clone()).migrate().await.unwrap();
    let journal = PostgresJournal::new(pool.clone()).await.unwrap();
    let guard = Guard::new().deadline(SHORT).long_deadline(SHORT).attempts(1).circuit(u32::MAX, SHORT);
    let (store, journal) = (Guarded::new(store, &guard), Guarded::new(journal, &guard));
    let (slot, scan) = (SampleSlot::new(SlotId::Vault).build(), Scan::new(Filter::All));
    let is_answered = async |call: &str| match call {
        "load" => store.load(&[SlotId::Vault]).await.is_ok(),
        "scan" => store.scan(&scan).await.is_ok(),
        "put" => store.put(&slot, Expected::Absent).await.is_ok(),
        "raise_floor" => store.raise_floor(Epoch::FIRST).await.is_ok(),
        "scrub" => store.scrub().await.is_ok(),
        "head" => journal.head().await.is_ok(),
        "read" => journal.read(0, 1).await.is_ok(),
        "new store" => tokio::time::timeout(SHORT, PostgresStore::new(pool.clone())).await.is_ok(),
        "new journal" => tokio::time::timeout(SHORT, PostgresJournal::new(pool.clone())).await.is_ok(),
        _ => panic!("no such call"),
    };
    for (call, lost) in [
        ("load", "key_slots"),
        ("scan", "key_slots"),
        ("put", "BEGIN"),
        ("raise_floor", "UPDATE"),
        ("scrub", "VACUUM"),
        ("head", "journal"),
        ("read", "journal"),
        ("new store", "pg_class"),
        ("new journal", "pg_class"),
    ] {
        proxy.lose(lost);
        let answers = join_all((0..PLACES).map(|_| is_answered(call))).await;
        assert!(!answers.contains(&true), "{call}: what it asks is lost");
        proxy.heal();
        // The pool waits for a place as long as it is told to, and no longer.
        store.inner().load(&[SlotId::Vault]).await.unwrap_or_else(|e| panic!("after {call}: {e:?}"));
    }
}

/// Thirty seconds, by the server's clock. Who wants what it holds is told so until then, and everybody else goes on.
pub(super) async fn an_abandoned_put_holds_the_floor_for_as_long_as_is_said(database: PgConnectOptions) {
    let pool = pool(database).await;
    made(&pool).await;
    let store = made_with(&pool, SHORT).await;
    let slot = |name: String| SampleSlot::new(SlotId::Tenant(TenantId::new(name).unwrap())).build();
    let (slots, other) = ((0..100).map(|n| slot(format!("acme {n}"))).collect::<Vec<_>>(), slot("zeta".to_owned()));
    let holders = async || -> i64 {
        let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        sqlx::query_scalar(held).persistent(false).fetch_one(&pool).await.unwrap()
    };
    // Where this thread is held up, one poll may be all that a put needs.
    let mut slots = slots.iter();
    let (slot, put) = 'begun: loop {
        let slot = slots.next().expect("one that waits");
        let mut put = store.put(slot, Expected::Absent);
        while (&mut put).now_or_never().is_none() {
            if holders().await > 0 {
                break 'begun (slot, put);
            }
        }
    };
    let refused = store.raise_floor(Epoch::FIRST).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Throttled, "{refused:?}");
    store.put(&other, Expected::Absent).await.unwrap();
    assert!(
        store.load(&[slot.id().clone(), other.id().clone()]).await.unwrap()[1].clone().into_slot().unwrap().is_some()
    );
    while holders().await > 0 {
        tokio::time::sleep(SHORT).await;
    }
    store.raise_floor(Epoch::FIRST).await.unwrap();
    let late = put.await.unwrap_err();
    assert_eq!(late.kind(), StoreErrorKind::Unavailable, "{late:?}");
    store.put(slot, Expected::Absent).await.unwrap();
}

const PLACES: u32 = 2;
/// After which a call is given up.
const SHORT: Duration = Duration::from_millis(300);
/// For a place in the pool, on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);
