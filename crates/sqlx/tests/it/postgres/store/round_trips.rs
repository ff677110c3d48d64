//! How often a call waits for the server, counted on the wire.

use fieldseal::Vault;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Expected, KeyStore as _, Loaded, SlotId, Tag};
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::customer;
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::proxy::Proxy;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::made;

pub(super) async fn a_page_of_a_hundred_is_one(database: PgConnectOptions) {
    let (proxy, pool) = proxied(&database).await;
    let store = made(&pool).await;
    let tenant = fieldseal::TenantId::default_tenant();
    let ids: Vec<_> = (0..100).map(|n| SlotId::Subject(tenant.clone(), Tag::from_bytes([n; 16]))).collect();
    for id in &ids {
        store.put(&SampleSlot::new(id.clone()).build(), Expected::Absent).await.unwrap();
    }
    proxy.trips();
    let found = store.load(&ids).await.unwrap();
    assert_eq!(proxy.trips(), 1);
    assert!(found.iter().all(|found| matches!(found, Loaded::Slot(_))));
    // So the proxy counts what there is to count.
    for id in ids.iter().take(7) {
        store.load(std::slice::from_ref(id)).await.unwrap();
    }
    assert_eq!(proxy.trips(), 7);
}

/// Once the tenant's keys are there.
pub(super) async fn a_vault_reads_a_page_of_cold_subjects_in_one(database: PgConnectOptions) {
    let subjects: Vec<_> = (1..=100).map(customer).collect();
    let (proxy, pool) = proxied(&database).await;
    let store = made(&pool).await;
    let keyring = std::sync::Arc::new(LocalKeyring::ephemeral().unwrap());
    let journal = std::sync::Arc::new(MemoryJournal::new().unwrap());
    let vault = async |store: PostgresStore| {
        Vault::builder(keyring.clone(), store).kinds(["customer"]).journal(journal.clone()).build().await.unwrap()
    };
    vault(store).await.default_tenant().enroll_all(&subjects).await.unwrap();
    let cold = vault(PostgresStore::new(pool).await.unwrap()).await.default_tenant();
    cold.enroll(&customer(1000)).await.unwrap(); // the tenant is warm
    proxy.trips();
    let page = cold.keys_of(&subjects).await.unwrap();
    assert_eq!(proxy.trips(), 1);
    assert!(subjects.iter().all(|subject| page.get(subject).is_ok()));
}

pub(super) async fn a_put_is_four(database: PgConnectOptions) {
    let (proxy, pool) = proxied(&database).await;
    let store = made(&pool).await;
    let slot = SampleSlot::new(SlotId::Vault).build();
    proxy.trips();
    store.put(&slot, Expected::Absent).await.unwrap();
    assert_eq!(proxy.trips(), 4);
    store.put(&slot, Expected::Revision(slot.revision())).await.unwrap();
    assert_eq!(proxy.trips(), 4);
}

/// One connection, which is not asked before each call whether it is still there.
async fn proxied(database: &PgConnectOptions) -> (Proxy, PgPool) {
    let proxy = Proxy::start(database);
    let options = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = options.connect_with(proxy.options(database)).await.unwrap();
    (proxy, pool)
}
