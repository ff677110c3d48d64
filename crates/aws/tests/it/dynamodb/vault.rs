//! The life of keys that DynamoDB keeps.

use std::time::Duration;

use fieldseal::provider::LocalKeyring;
use fieldseal::store::Epoch;
use fieldseal::vault::{ErasureRequest, ErasureStatus};
use fieldseal::{Error, FieldContext, Result, SubjectKeys, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;

use fleet_tests::microburst::Upstream;

use super::{FreshTable, journal, store};

/// Everything that happens to keys, in one life.
pub(crate) async fn keys_live_and_die(aws: &Upstream) {
    let tables = Tables::new(aws).await;
    let vault = tables.process().await;
    let customers = vault.default_tenant();
    let ada = customers.enroll(&customer(1)).await.unwrap();
    let ben = customers.enroll(&customer(2)).await.unwrap();
    let (old, bens) = (seal(&ada), seal(&ben));

    customers.rotate_now(&customer(1)).await.unwrap();
    let ada = customers.keys(&customer(1)).await.unwrap();
    let new = seal(&ada);
    assert!(opens(&ada, &old) && opens(&ada, &new), "a rotation loses nothing");

    tables.provider.add_key().await.unwrap();
    assert_eq!(vault.advance_epoch().await.unwrap().epoch, Epoch::new(2).unwrap());
    let refused = vault.retire_epoch(Epoch::FIRST).await.unwrap_err();
    assert!(matches!(refused, Error::EpochInUse { .. }), "{refused:?}");
    let mut next = None;
    loop {
        next = vault.rewrap_page(next.as_ref(), 2).await.unwrap().next;
        if next.is_none() {
            break;
        }
    }

    let receipt = customers.erase(&customer(1), &ErasureRequest::new()).await.unwrap();
    assert!(ada.open_bytes(&new, &context()).is_err(), "erased means erased");
    let kept = "on-demand backups, exports and other copies of the table";
    assert!(receipt.residue().iter().any(|residue| residue.place == kept), "{:?}", receipt.residue());

    vault.retire_epoch(Epoch::FIRST).await.unwrap();
    vault.retire_epoch(Epoch::FIRST).await.unwrap();
    let status = customers.erasure_status(&receipt).await.unwrap();
    assert!(matches!(status, ErasureStatus::Erased { .. } | ErasureStatus::Final { .. }), "{status:?}");

    // A process that starts now.
    let customers = tables.process().await.default_tenant();
    assert!(matches!(customers.keys(&customer(1)).await, Err(Error::SubjectErased { .. })));
    assert!(matches!(customers.enroll(&customer(1)).await, Err(Error::SubjectErased { .. })));
    assert!(opens(&customers.keys(&customer(2)).await.unwrap(), &bens));
}

/// What one does the other sees after `max_age`, and neither undoes it.
pub(crate) async fn two_processes_share_a_table(aws: &Upstream) {
    let tables = Tables::new(aws).await;
    let (one, other) = (tables.process().await.default_tenant(), tables.process().await.default_tenant());
    let (a, b) = futures_util::future::join(one.enroll(&customer(1)), other.enroll(&customer(1))).await;
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(opens(&b, &seal(&a)) && opens(&a, &seal(&b)), "two enrollments at once are one");

    let sealed = seal(&b);
    one.erase(&customer(1), &ErasureRequest::new()).await.unwrap();
    tables.clock.advance(Duration::from_secs(301));
    assert!(b.open_bytes(&sealed, &context()).is_err());
    assert!(matches!(other.keys(&customer(1)).await, Err(Error::SubjectErased { .. })));

    let subjects: Vec<_> = (10..40).map(customer).collect();
    one.enroll_all(&subjects).await.unwrap();
    let page = other.keys_of(&subjects).await.unwrap();
    assert_eq!(page.len(), subjects.len());
}

struct Tables {
    provider: LocalKeyring,
    clock: ManualClock,
    keys: FreshTable,
    journal: FreshTable,
}

impl Tables {
    async fn new(aws: &Upstream) -> Self {
        let (keys, entries) = (FreshTable::new(aws), FreshTable::new(aws));
        store(&keys).await;
        journal(&entries).await;
        let provider = LocalKeyring::ephemeral().unwrap();
        Self { provider, clock: ManualClock::new(), keys, journal: entries }
    }

    async fn process(&self) -> Vault {
        let vault =
            Vault::builder(self.provider.clone(), self.keys.store()).kinds(["customer"]).clock(self.clock.clone());
        vault.journal(self.journal.journal()).build().await.unwrap()
    }
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

fn seal(keys: &SubjectKeys) -> Vec<u8> {
    keys.seal_bytes(b"ada@example.com", &context()).unwrap()
}

fn opens(keys: &SubjectKeys, envelope: &[u8]) -> bool {
    let opened: Result<_> = keys.open_bytes(envelope, &context());
    opened.unwrap().is_some_and(|value| value.as_slice() == b"ada@example.com")
}
