//! Subject keys for tests of code that takes `&SubjectKeys`: a vault in memory makes them, and is gone when they are there.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use fieldseal::id::{HasSubject, Purpose, ToId};
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::MemoryStore;
use fieldseal::vault::ErasureRequest;
use fieldseal::{Result, SubjectId, SubjectKeys, Tenant, Vault};

/// The kind of the subjects in [`World`](crate::world::World)s, and of [`customer`](customer()).
pub const CUSTOMER: &str = "customer";

/// The customer with this id: a subject for tests that are about no record.
///
/// ```
/// use fieldseal::SubjectId;
/// use fieldseal_testkit::customer;
///
/// assert_eq!(customer(17), SubjectId::new("customer", &17)?);
/// # Ok::<(), fieldseal::Error>(())
/// ```
pub fn customer(id: impl ToId) -> SubjectId {
    SubjectId::new(CUSTOMER, &id).unwrap()
}

/// Fresh random keys of a subject of the default tenant, for the purpose `default`. Each call makes others, and no two
/// subjects or purposes share one: what was moved from one to another doesn't open.
///
/// ```
/// use fieldseal_testkit::{customer, keys};
///
/// let keys = keys(&customer("ada"));
/// ```
pub fn keys(subject: &(impl HasSubject + ?Sized)) -> SubjectKeys {
    keys_for(subject, &[Purpose::DEFAULT], &[])
}

/// Fresh random keys of a subject for these purposes, and for `default`, which every vault has; those in `erased` read as
/// erased.
pub fn keys_for(subject: &(impl HasSubject + ?Sized), purposes: &[&str], erased: &[&str]) -> SubjectKeys {
    let subject = subject.subject().unwrap();
    block_on(async {
        let customers = Ports::new()?.process(&subject, purposes, erased).await?;
        customers.enroll(&subject).await?;
        erase(&customers, &subject, erased).await
    })
    .unwrap()
}

/// Keys of a subject before and after a rotation of these purposes: the later ones open what the earlier ones sealed, and
/// seal under a newer key. Those in `erased` were erased in between.
///
/// ```
/// # use fieldseal::FieldContext;
/// # use fieldseal_testkit::{customer, rotated_keys};
/// let [before, after] = rotated_keys(&customer("ada"), &["default"], &[]);
/// let context = FieldContext::new("customer", "email", &17)?;
/// let sealed = before.seal_value(&"ada@example.com".into(), &context)?;
/// assert!(sealed.needs_reseal(&after)?);
/// let resealed = after.reseal_value(&sealed, &context)?.unwrap();
/// assert_eq!(after.open_value(&resealed, &context)?.expose(), "ada@example.com");
/// # Ok::<(), fieldseal::Error>(())
/// ```
pub fn rotated_keys(subject: &(impl HasSubject + ?Sized), purposes: &[&str], erased: &[&str]) -> [SubjectKeys; 2] {
    let subject = subject.subject().unwrap();
    block_on(async {
        let ports = Ports::new()?;
        let before = ports.process(&subject, purposes, erased).await?.enroll(&subject).await?;
        // Another process rotates and erases: keys of the same one would know at once.
        let later = ports.process(&subject, purposes, erased).await?;
        later.rotate_now(&subject).await?;
        let after = erase(&later, &subject, erased).await?;
        Result::<_>::Ok([before, after])
    })
    .unwrap()
}

/// What the processes of one test share.
struct Ports {
    provider: LocalKeyring,
    store: Arc<MemoryStore>,
    journal: Arc<MemoryJournal>,
}

impl Ports {
    fn new() -> Result<Self> {
        let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new()?));
        Ok(Self { provider: LocalKeyring::ephemeral()?, store, journal })
    }

    async fn process(&self, subject: &SubjectId, purposes: &[&str], erased: &[&str]) -> Result<Tenant> {
        // One that stays keeps a subject alive all of whose other purposes are erased.
        let named = purposes.iter().chain(erased).chain(&[STAYS]).filter(|name| **name != Purpose::DEFAULT);
        let vault = Vault::builder(self.provider.clone(), self.store.clone())
            .journal(self.journal.clone())
            .kinds([subject.kind()])
            .purposes(named.copied())
            .max_age(MAX_AGE)
            .build()
            .await?;
        Ok(vault.default_tenant())
    }
}

async fn erase(customers: &Tenant, subject: &SubjectId, purposes: &[&str]) -> Result<SubjectKeys> {
    for purpose in purposes {
        customers.erase(subject, &ErasureRequest::new().purpose(Purpose::new(*purpose)?)).await?;
    }
    customers.keys(subject).await
}

/// On a thread of its own, because the test may be in an executor that bears no other inside.
fn block_on<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(|| futures_executor::block_on(work)).join().unwrap())
}

const STAYS: &str = "fieldseal-testkit";

/// Longer than a test takes.
const MAX_AGE: Duration = Duration::from_secs(3600);
