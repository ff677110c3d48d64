//! A way to the server on which packets are lost: nothing fails, nothing is answered.

use std::time::Duration;

use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::ErasureJournal as _;
use fieldseal::store::{Epoch, Expected, Filter, KeyStore as _, Scan, SlotId};
use fieldseal_sqlx::{PostgresJournal, PostgresStore};
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::proxy::Proxy;
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::made;

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

const PLACES: u32 = 2;
/// After which a call is given up.
const SHORT: Duration = Duration::from_millis(300);
/// For a place in the pool, on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);
