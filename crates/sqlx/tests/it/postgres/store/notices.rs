//! What one store's puts tell another's listener.

use std::time::Duration;

use fieldseal::id::Purpose;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Epoch, Expected, KeyStore as _, Notice, SlotId, SlotState, StoredSlot};
use fieldseal::vault::ErasureRequest;
use fieldseal::{TenantId, Vault};
use fieldseal_sqlx::{Notices, PostgresStore};
use fieldseal_testkit::customer;
use fieldseal_testkit::slot::SampleSlot;
use futures_util::StreamExt as _;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use super::made;
use crate::postgres::{execute, pool};

pub(super) async fn what_ends_is_told_to_other_stores(database: PgConnectOptions) {
    let (one, other) = (telling(&pool(database.clone()).await, "fieldseal").await, pool(database).await);
    let mut told = PostgresStore::new(other.clone()).await.unwrap().notices(&other).await.unwrap();
    let long = TenantId::new("\u{1f511}".repeat(256)).unwrap();
    for id in
        [SlotId::Vault, SlotId::Tenant(long.clone()), subject(&long, 0xff), subject(&TenantId::new("a\0").unwrap(), 0)]
    {
        let live = SampleSlot::new(id.clone()).build();
        one.put(&live, Expected::Absent).await.unwrap();
        let scheduled = SampleSlot::new(id.clone()).state(SlotState::Scheduled).build();
        one.put(&scheduled, Expected::Revision(live.revision())).await.unwrap();
        assert_eq!(told.next().await.unwrap(), Notice::Ended(id.clone()));
        let erased = SampleSlot::new(id.clone()).state(SlotState::Erased).build();
        one.put(&erased, Expected::Revision(scheduled.revision())).await.unwrap();
        assert_eq!(told.next().await.unwrap(), Notice::Ended(id.clone()));
    }
    // A tombstone of somebody who was never seen.
    let id = subject(&long, 7);
    one.put(&SampleSlot::new(id.clone()).state(SlotState::Erased).build(), Expected::Absent).await.unwrap();
    assert_eq!(told.next().await.unwrap(), Notice::Ended(id));
    // Another store in the same database is another's.
    let third = telling(&other, "third").await;
    third.put(&SampleSlot::new(SlotId::Vault).state(SlotState::Erased).build(), Expected::Absent).await.unwrap();
    nothing_more(&one, &mut told).await;
}

pub(super) async fn what_ends_nothing_is_not_told(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = telling(&pool, "fieldseal").await;
    let mut told = store.notices(&pool).await.unwrap();
    let sample = SampleSlot::new(SlotId::Vault);
    let enrolled = sample.clone().epoch(Epoch::FIRST).build();
    store.put(&enrolled, Expected::Absent).await.unwrap();
    let rewrapped = sample.clone().epoch(Epoch::new(2).unwrap()).content(1).build();
    store.put(&rewrapped, Expected::Revision(enrolled.revision())).await.unwrap();
    let rotated = sample.clone().len(450).build();
    store.put(&rotated, Expected::Revision(rewrapped.revision())).await.unwrap();
    nothing_more(&store, &mut told).await;
    // Less than there was.
    store.put(&sample.clone().len(449).build(), Expected::Revision(rotated.revision())).await.unwrap();
    assert_eq!(told.next().await.unwrap(), Notice::Ended(SlotId::Vault));
}

/// Its slot stays live.
pub(super) async fn an_erased_purpose_is_told(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = telling(&pool, "fieldseal").await;
    let mut told = store.notices(&pool).await.unwrap();
    let builder = Vault::builder(LocalKeyring::ephemeral().unwrap(), store.clone())
        .kinds(["customer"])
        .journal(MemoryJournal::new().unwrap());
    let tenant = builder.purposes(["billing"]).build().await.unwrap().default_tenant();
    tenant.enroll(&customer(1)).await.unwrap();
    tenant.rotate_now(&customer(1)).await.unwrap();
    nothing_more(&store, &mut told).await;
    tenant.erase(&customer(1), &ErasureRequest::new().purpose(Purpose::new("billing").unwrap())).await.unwrap();
    assert!(matches!(told.next().await.unwrap(), Notice::Ended(SlotId::Subject(..))));
}

pub(super) async fn without_the_setting_nothing_is_told(database: PgConnectOptions) {
    let pool = pool(database).await;
    let (silent, store) = (made(&pool).await, telling(&pool, "fieldseal").await);
    let mut told = store.notices(&pool).await.unwrap();
    silent.put(&SampleSlot::new(SlotId::Vault).state(SlotState::Erased).build(), Expected::Absent).await.unwrap();
    nothing_more(&store, &mut told).await;
}

pub(super) async fn a_put_that_is_refused_tells_nothing(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = telling(&pool, "fieldseal").await;
    let mut told = store.notices(&pool).await.unwrap();
    let slot = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    let erased = SampleSlot::new(SlotId::Vault).state(SlotState::Erased).content(1).build();
    store.put(&erased, Expected::Absent).await.unwrap_err();
    store.put(&erased, Expected::Revision(erased.revision())).await.unwrap_err();
    store.raise_floor(Epoch::new(2).unwrap()).await.unwrap();
    let short = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).len(100).build();
    store.put(&short, Expected::Revision(slot.revision())).await.unwrap_err();
    nothing_more(&store, &mut told).await;
}

pub(super) async fn a_connection_that_was_lost_is_told(database: PgConnectOptions) {
    let pool = pool(database.clone()).await;
    let store = telling(&pool, "fieldseal").await;
    let listeners = super::pool(database.application_name("listener")).await;
    let mut told = store.notices(&listeners).await.unwrap();
    for content in 0..3 {
        execute(&pool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listener'")
            .await;
        assert_eq!(told.next().await.unwrap(), Notice::Missed);
        let id = subject(&TenantId::default_tenant(), content);
        store.put(&SampleSlot::new(id.clone()).state(SlotState::Erased).build(), Expected::Absent).await.unwrap();
        assert_eq!(told.next().await.unwrap(), Notice::Ended(id), "it listens again");
    }
}

pub(super) async fn what_is_no_id_is_passed_over(database: PgConnectOptions) {
    let pool = pool(database).await;
    let store = telling(&pool, "fieldseal").await;
    let mut told = store.notices(&pool).await.unwrap();
    for payload in ["", "hello", "====", "AA==", "/w=="] {
        sqlx::query("SELECT pg_notify('fieldseal', $1)").bind(payload).execute(&pool).await.unwrap();
    }
    nothing_more(&store, &mut told).await;
}

async fn telling(pool: &PgPool, schema: &str) -> PostgresStore {
    let builder = PostgresStore::builder(pool.clone()).schema(schema).with_notices();
    builder.migrate().await.unwrap();
    builder.open().await.unwrap()
}

/// What is told comes in the order of the commits: the next is the one that is made now.
async fn nothing_more(store: &PostgresStore, told: &mut Notices) {
    let mark = mark();
    store.put(&mark, Expected::Absent).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(30), told.next()).await.unwrap().unwrap();
    assert_eq!(next, Notice::Ended(mark.id().clone()));
}

fn mark() -> StoredSlot {
    SampleSlot::new(SlotId::Tenant(TenantId::new("mark").unwrap())).state(SlotState::Erased).build()
}

fn subject(tenant: &TenantId, n: u8) -> SlotId {
    SlotId::Subject(tenant.clone(), fieldseal::store::Tag::from_bytes([n; 16]))
}
