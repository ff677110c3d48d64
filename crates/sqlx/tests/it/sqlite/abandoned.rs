//! Calls that are polled and then polled no more, and that nobody drops: what they hold is the next one's to finish.

use std::time::Duration;

use async_trait::async_trait;
use fieldseal::jobs::{self, FieldMap, IdColumn, JobOptions, Observer, PageDone, SubjectColumn, TableMap};
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Expected, KeyStore as _, Loaded, SlotId, StoreErrorKind, Tag};
use fieldseal::{FieldContext, Result, Tenant, TenantId, Vault};
use fieldseal_sqlx::{SqliteRows, SqliteStore};
use fieldseal_testkit::slot::SampleSlot;
use fieldseal_testkit::{CUSTOMER, customer};
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::tests;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tempfile::TempDir;

pub(super) fn trials() -> Vec<Trial> {
    tests![Alone::new() =>
        an_enrollment_in_the_loop_of_a_stream_of_enrollments_ends
        an_abandoned_put_is_finished_by_the_next
        an_observer_that_calls_the_vault_hangs_no_job
        a_pool_of_one_is_held_by_the_application_until_its_time_is_over
    ]
}

async fn vault(store: SqliteStore) -> Result<Vault> {
    Vault::builder(LocalKeyring::ephemeral()?, store).journal(MemoryJournal::new()?).kinds([CUSTOMER]).build().await
}

fn pool_of_one() -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(1)
}

const IN_MEMORY: &str = "sqlite::memory:";

async fn an_enrollment_in_the_loop_of_a_stream_of_enrollments_ends() -> Result<()> {
    let folder = TempDir::new().unwrap();
    let customers = vault(SqliteStore::open(folder.path().join("keys.db")).await?).await?.default_tenant();
    let (many, single): (Vec<_>, Vec<_>) =
        ((1..=24i64).map(customer).collect(), (101..=124i64).map(customer).collect());
    let enrollments = many.iter().map(|who| customers.enroll(who)).collect::<Vec<_>>();
    let mut enrollments = stream::iter(enrollments).buffer_unordered(8);
    let mut single = single.iter();
    while let Some(keys) = enrollments.next().await {
        keys?;
        // The other seven are not polled until this is done.
        customers.enroll(single.next().unwrap()).await?;
    }
    assert!(single.next().is_none());
    Ok(())
}

async fn an_abandoned_put_is_finished_by_the_next() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(folder.path().join("keys.db")).await.unwrap();
    let slot = |n: u128| {
        SampleSlot::new(SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes(n.to_be_bytes()))).build()
    };
    let mut most = 0;
    for round in 0..100u128 {
        let (first, second) = (slot(2 * round), slot(2 * round + 1));
        let mut abandoned = store.put(&first, Expected::Absent);
        let mut polls = 0;
        let is_over = loop {
            polls += 1;
            match (&mut abandoned).now_or_never() {
                Some(put) => {
                    put.unwrap();
                    break true;
                }
                None if polls > round % 20 => break false,
                None => tokio::task::yield_now().await,
            }
        };
        most = most.max(polls);
        store.put(&second, Expected::Absent).await.unwrap();
        let found = store.load(&[first.id().clone(), second.id().clone()]).await.unwrap();
        assert_eq!(
            found,
            [Loaded::Slot(first.clone()), Loaded::Slot(second.clone())],
            "round {round}, after {polls} polls"
        );
        if !is_over {
            abandoned.await.unwrap(); // it hears of it when it is polled again
        }
    }
    assert!(most > 1);
}

/// The application's table and the store in one database, by the one connection that there is.
async fn an_observer_that_calls_the_vault_hangs_no_job() -> Result<()> {
    let pool = pool_of_one().connect(IN_MEMORY).await.unwrap();
    let vault = vault(SqliteStore::new(pool.clone()).await?).await?;
    let customers = vault.default_tenant();
    sqlx::query("CREATE TABLE customer (id INTEGER PRIMARY KEY, email BLOB)").execute(&pool).await.unwrap();
    for id in 1..=PAGES {
        insert(&customers, &pool, id).await?;
        customers.rotate_now(&customer(id)).await?;
    }
    let map = TableMap::new("customer", ["id"], "customer", SubjectColumn::new(CUSTOMER, IdColumn::integer("id")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email"));
    let rows = SqliteRows::new(pool, map.table()).await?;
    let options = JobOptions::new().batch(1).workers(4);
    let mut enrolls = Enrolls { customers, next: 1000 };
    let tally = jobs::reseal(&vault, &map, &rows, &options, &mut enrolls).await?;
    assert_eq!((tally.rows, tally.changed), (PAGES.unsigned_abs(), PAGES.unsigned_abs()));
    assert!(enrolls.next > 1000 + PAGES, "it was told of each page");
    Ok(())
}

async fn insert(customers: &Tenant, pool: &SqlitePool, id: i64) -> Result<()> {
    let keys = customers.enroll(&customer(id)).await?;
    let sealed = keys.seal_bytes(b"ada@example.com", &FieldContext::new("customer", "email", &id)?)?;
    sqlx::query("INSERT INTO customer VALUES (?, ?)").bind(id).bind(sealed).execute(pool).await.unwrap();
    Ok(())
}

const PAGES: i64 = 12;

struct Enrolls {
    customers: Tenant,
    next: i64,
}

#[async_trait]
impl Observer for Enrolls {
    async fn page(&mut self, _: &PageDone, (): &()) -> Result<()> {
        self.customers.enroll(&customer(self.next)).await?;
        self.next += 1;
        Ok(())
    }
}

/// What the application has is not the store's to finish.
async fn a_pool_of_one_is_held_by_the_application_until_its_time_is_over() {
    let pool = pool_of_one().acquire_timeout(Duration::from_millis(100)).connect(IN_MEMORY).await.unwrap();
    let store = SqliteStore::new(pool.clone()).await.unwrap();
    let mut abandoned = Box::pin(sqlx::query("SELECT 1").execute(&pool));
    assert!((&mut abandoned).now_or_never().is_none(), "it has the connection");
    let refused = store.load(&[SlotId::Vault]).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable, "{refused:?}");
    drop(abandoned);
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Absent]);
}
