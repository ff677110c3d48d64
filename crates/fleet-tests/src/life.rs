//! A key store's whole life under a provider: what is sealed opens through a new epoch, who is erased is gone, and the old
//! master key ends with its epoch.

use std::sync::Arc;
use std::time::Duration;

use fieldseal::journal::MemoryJournal;
use fieldseal::provider::{Destruction, MasterKeyProvider};
use fieldseal::store::MemoryStore;
use fieldseal::vault::{ErasureRequest, ErasureStatus, KeyEnd};
use fieldseal::{Error, FieldContext, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use fieldseal_testkit::provider::ProviderFixture;

/// `copies` is what the provider says that the operator answers for.
pub async fn whole_life(
    provider: impl MasterKeyProvider + Clone,
    fixture: &dyn ProviderFixture,
    copies: &[&'static str],
) {
    let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new().unwrap()));
    let clock = ManualClock::new();
    let start = || {
        let builder =
            Vault::builder(provider.clone(), Arc::clone(&store)).kinds(["customer"]).journal(Arc::clone(&journal));
        builder.clock(clock.clone()).build()
    };
    let vault = start().await.unwrap();
    let customers = vault.default_tenant();
    let context = FieldContext::new("customer", "email", &17).unwrap();
    let ada = customers.enroll(&customer("ada")).await.unwrap().seal_bytes(b"ada@example.com", &context).unwrap();
    let ben = customers.enroll(&customer("ben")).await.unwrap().seal_bytes(b"ben@example.com", &context).unwrap();
    let receipt = customers.erase(&customer("ada"), &ErasureRequest::new()).await.unwrap();
    let old = vault.current_epoch().await.unwrap();
    clock.advance(Duration::from_secs(3600));
    let status = customers.erasure_status(&receipt).await.unwrap();
    let ErasureStatus::Erased { waits_for } = status else { panic!("the master key lives: {status:?}") };
    assert!(waits_for.len() == 1 && waits_for.iter().all(|master| master.end == KeyEnd::Lives));

    fixture.rotate().await;
    vault.advance_epoch().await.unwrap();
    let mut next = None;
    loop {
        next = vault.rewrap_page(next.as_ref(), 100).await.unwrap().next;
        if next.is_none() {
            break;
        }
    }
    let retired = vault.retire_epoch(old).await.unwrap();
    assert_eq!(retired.destruction, Destruction::DestroyedHere { copies: copies.to_vec() });
    let status = customers.erasure_status(&receipt).await.unwrap();
    let ErasureStatus::Final { mut vouched_for } = status else { panic!("every master key ended: {status:?}") };
    vouched_for.sort();
    let mut expected = copies.to_vec();
    expected.sort_unstable();
    assert_eq!(vouched_for, expected);

    // A process that starts now.
    let customers = start().await.unwrap().default_tenant();
    let value = customers.keys(&customer("ben")).await.unwrap().open_bytes(&ben, &context).unwrap();
    assert_eq!(value.as_deref().map(Vec::as_slice), Some(&b"ben@example.com"[..]));
    assert!(customers.keys(&customer("ben")).await.unwrap().open_bytes(&ada, &context).is_err());
    assert!(matches!(customers.keys(&customer("ada")).await, Err(Error::SubjectErased { .. })));
}
