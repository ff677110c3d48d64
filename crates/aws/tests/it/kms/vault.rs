//! A vault whose master keys are at KMS, from its first key to an erasure that is final.

use std::sync::Arc;

use fieldseal::journal::MemoryJournal;
use fieldseal::provider::{Destruction, MasterKeyProvider};
use fieldseal::store::{Epoch, MemoryStore};
use fieldseal::vault::{ErasureRequest, ErasureStatus, KeyEnd};
use fieldseal::{Error, FieldContext, Plain, Sealed, SubjectKeys, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::counting::Counting;
use fieldseal_testkit::customer;
use fieldseal_testkit::provider::ProviderFixture as _;
use serde_json::json;

use fleet_tests::microburst::Upstream;

use super::Fixture;

/// What is shared by the processes of an application.
struct Application {
    store: Arc<MemoryStore>,
    journal: Arc<MemoryJournal>,
    clock: ManualClock,
}

impl Application {
    fn new() -> Self {
        let journal = Arc::new(MemoryJournal::new().unwrap());
        Self { store: Arc::new(MemoryStore::new()), journal, clock: ManualClock::new() }
    }

    async fn vault(&self, provider: &(impl MasterKeyProvider + Clone)) -> Vault {
        let builder = Vault::builder(provider.clone(), Arc::clone(&self.store))
            .kinds(["customer"])
            .journal(Arc::clone(&self.journal));
        builder.clock(self.clock.clone()).build().await.unwrap()
    }
}

fn seal(keys: &SubjectKeys, value: &str) -> Sealed<String> {
    keys.seal_value(&Plain::new(value.to_owned()), &context()).unwrap()
}

fn opens(keys: &SubjectKeys, sealed: &Sealed<String>, value: &str) -> bool {
    keys.open_value(sealed, &context()).unwrap().expose() == value
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17).unwrap()
}

async fn rewrap(vault: &Vault) {
    let mut next = None;
    loop {
        let page = vault.rewrap_page(next.as_ref(), 100).await.unwrap();
        assert!(page.failed.is_empty());
        next = page.next;
        if next.is_none() {
            return;
        }
    }
}

pub(crate) async fn keys_move_from_epoch_to_epoch(aws: &Upstream) {
    let (fixture, application) = (Fixture::new(aws).await, Application::new());
    let vault = application.vault(&fixture.provider).await;
    let customers = vault.default_tenant();
    let keys = customers.enroll(&customer(17)).await.unwrap();
    let first = seal(&keys, "ada@example.com");
    customers.rotate_now(&customer(17)).await.unwrap();
    let keys = customers.refresh(&keys).await.unwrap();
    let second = seal(&keys, "ada@example.org");

    // The alias moved: until the epoch does, a new tenant has no master key, and who is here goes on.
    fixture.rotate().await;
    let tenant = vault.tenant(&fieldseal::TenantId::new("new").unwrap());
    assert!(matches!(tenant.enroll(&customer(1)).await, Err(Error::Provider(_))));
    customers.enroll(&customer(18)).await.unwrap();
    assert_eq!(vault.advance_epoch().await.unwrap().epoch, Epoch::new(2).unwrap());
    tenant.enroll(&customer(1)).await.unwrap();
    rewrap(&vault).await;

    // Another process, which unwraps everything anew.
    let vault = application.vault(&fixture.provider).await;
    let keys = vault.default_tenant().keys(&customer(17)).await.unwrap();
    assert!(opens(&keys, &first, "ada@example.com") && opens(&keys, &second, "ada@example.org"));
    vault.default_tenant().erase(&customer(17), &ErasureRequest::new()).await.unwrap();
    let erased = vault.default_tenant().keys(&customer(17)).await;
    assert!(matches!(erased, Err(Error::SubjectErased { .. })));
}

/// What the handbook says that KMS is called for: Encrypt and Decrypt.
pub(crate) async fn calls_are_a_matter_of_tenants_not_of_subjects(aws: &Upstream) {
    let (fixture, application) = (Fixture::new(aws).await, Application::new());
    let provider = Arc::new(Counting::new(fixture.provider.clone()));
    let counts = provider.counts();
    let taken = || {
        let taken = (counts.wraps(), counts.unwraps());
        counts.reset();
        taken
    };
    let vault = application.vault(&provider).await;
    assert_eq!(taken(), (1, 2), "a vault");
    let customers = vault.default_tenant();
    customers.enroll(&customer(1)).await.unwrap();
    assert_eq!(taken(), (2, 4), "a tenant");
    for subject in 2..20 {
        customers.enroll(&customer(subject)).await.unwrap();
    }
    assert_eq!(taken(), (0, 0), "subjects");
    let vault = application.vault(&provider).await;
    assert_eq!(taken(), (0, 1), "a process");
    for subject in 1..20 {
        vault.default_tenant().keys(&customer(subject)).await.unwrap();
    }
    assert_eq!(taken(), (0, 2), "a cold tenant");
    fixture.rotate().await;
    vault.advance_epoch().await.unwrap();
    assert_eq!(taken(), (3, 6), "an epoch: the vault, and a tenant");
    rewrap(&vault).await;
    assert_eq!(taken(), (0, 3), "a tenant read again, in both epochs");
}

pub(crate) async fn an_erasure_is_final_once_kms_knows_the_key_no_more(aws: &Upstream) {
    let (fixture, application) = (Fixture::new(aws).await, Application::new());
    let burst = aws.microburst().await;
    let provider = fixture.over(&burst.url());
    let vault = application.vault(&provider).await;
    let customers = vault.default_tenant();
    customers.enroll(&customer(17)).await.unwrap();
    customers.enroll(&customer(18)).await.unwrap();
    let receipt = customers.erase(&customer(17), &ErasureRequest::new()).await.unwrap();
    fixture.rotate().await;
    vault.advance_epoch().await.unwrap();
    rewrap(&vault).await;
    let retired = vault.retire_epoch(Epoch::FIRST).await.unwrap();
    let Destruction::Scheduled { at } = retired.destruction else { panic!("{:?}", retired.destruction) };

    // Past the date too: what counts is that KMS says so, for until then it can be called back.
    application.clock.set_wall(at.plus(std::time::Duration::from_secs(60)));
    let vault = application.vault(&provider).await;
    let status = async || vault.default_tenant().erasure_status(&receipt).await.unwrap();
    let ErasureStatus::Erased { waits_for } = status().await else { panic!("{:?}", status().await) };
    assert_eq!(waits_for.len(), 1);
    assert_eq!((&waits_for[0].master, &waits_for[0].end), (&retired.master, &KeyEnd::Scheduled { at }));
    assert_eq!(vault.retire_epoch(Epoch::FIRST).await.unwrap(), retired);

    // Called back: then the epoch can be retired again.
    let id = retired.master.as_str();
    fixture.client.cancel_key_deletion().key_id(id).send().await.unwrap();
    let ErasureStatus::Erased { waits_for } = status().await else { panic!("{:?}", status().await) };
    assert_eq!(waits_for[0].end, KeyEnd::Lives);
    assert!(matches!(vault.retire_epoch(Epoch::FIRST).await.unwrap().destruction, Destruction::Scheduled { .. }));

    // ministack never destroys one: what KMS says then.
    let gone = json!({ "code": "NotFoundException" });
    let rule = json!({ "service": "kms", "body": format!("KeyId == '{id}'"), "error": gone });
    burst.rules(json!([rule])).await;
    assert_eq!(status().await, ErasureStatus::Final { vouched_for: Vec::new() });
    assert_eq!(vault.retire_epoch(Epoch::FIRST).await.unwrap().destruction, Destruction::Destroyed);
    assert!(vault.default_tenant().keys(&customer(18)).await.is_ok());

    // Where KMS can't be asked, nothing is claimed.
    burst.breaks("kms", "DescribeKey", json!({ "error": { "code": "KMSInternalException" } })).await;
    let ErasureStatus::Erased { waits_for } = status().await else { panic!("{:?}", status().await) };
    assert_eq!(waits_for[0].end, KeyEnd::Unconfirmed);
}
