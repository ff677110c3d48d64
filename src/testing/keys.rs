//! Subject keys without a vault: for tests of code that takes `&SubjectKeys`.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stamp, SystemClock};
use crate::crypto::Suite;
use crate::id::{HasSubject, Purpose, TenantId};
use crate::keys::KeyMaterial;
use crate::keys::ring::KeyRing;
use crate::subject::{Policy, SubjectKeys};

/// Fresh random keys of a subject of the default tenant, for the purpose `default`.
///
/// ```
/// let keys = fieldseal::testing::keys("ada");
/// ```
pub fn keys(subject: &(impl HasSubject + ?Sized)) -> SubjectKeys {
    keys_for(subject, &[Purpose::DEFAULT], &[])
}

/// Fresh random keys of a subject for these purposes; those in `erased` read as erased.
pub fn keys_for(subject: &(impl HasSubject + ?Sized), purposes: &[&str], erased: &[&str]) -> SubjectKeys {
    let live = purposes.iter().map(|name| (name, Some(vec![KeyMaterial::generate().unwrap()])));
    let gone = erased.iter().map(|name| (name, None));
    let ring = live.chain(gone).map(|(name, keys)| (Purpose::new(name).unwrap(), keys)).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let loaded = Stamp::now(&clock);
    let policy = Policy {
        tenant: TenantId::default_tenant(),
        suite: Suite::default(),
        max_age: Duration::from_secs(3600),
        clock,
    };
    SubjectKeys::new(Arc::new(policy), subject.subject().unwrap(), KeyRing::of(ring), loaded, false, Arc::default())
}
