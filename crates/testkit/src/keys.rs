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
    let live = purposes.iter().map(|name| (*name, Some(vec![generate()])));
    let gone = erased.iter().map(|name| (*name, None));
    of(subject, live.chain(gone))
}

/// Keys of a subject before and after a rotation of these purposes: the later ones open what the earlier ones sealed, and
/// seal under a newer key. Those in `erased` were erased in between.
///
/// ```
/// # use fieldseal::{FieldContext, testing::rotated_keys};
/// let [before, after] = rotated_keys("ada", &["default"], &[]);
/// let context = FieldContext::new("customer", "email", &17)?;
/// let sealed = before.seal_value(&"ada@example.com".into(), &context)?;
/// assert!(sealed.needs_reseal(&after)?);
/// let resealed = after.reseal_value(&sealed, &context)?.unwrap();
/// assert_eq!(after.open_value(&resealed, &context)?.expose(), "ada@example.com");
/// # Ok::<(), fieldseal::Error>(())
/// ```
pub fn rotated_keys(subject: &(impl HasSubject + ?Sized), purposes: &[&str], erased: &[&str]) -> [SubjectKeys; 2] {
    let versions: Vec<_> = purposes.iter().chain(erased).map(|name| (*name, generate(), generate())).collect();
    let copy = |key: &KeyMaterial| KeyMaterial::from_slice(key.expose()).unwrap();
    let before = of(subject, versions.iter().map(|(name, old, _)| (*name, Some(vec![copy(old)]))));
    let later = |(name, old, new)| (name, (!erased.contains(&name)).then(|| vec![old, new]));
    [before, of(subject, versions.into_iter().map(later))]
}

fn generate() -> KeyMaterial {
    KeyMaterial::generate().unwrap()
}

fn of<'a>(
    subject: &(impl HasSubject + ?Sized),
    purposes: impl Iterator<Item = (&'a str, Option<Vec<KeyMaterial>>)>,
) -> SubjectKeys {
    let ring = purposes.map(|(name, keys)| (Purpose::new(name).unwrap(), keys)).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let loaded = Stamp::now(&clock);
    let policy = Policy {
        tenant: TenantId::default_tenant(),
        suite: Suite::default(),
        max_age: Duration::from_secs(3600),
        clock,
        looked: None,
    };
    SubjectKeys::new(Arc::new(policy), subject.subject().unwrap(), KeyRing::of(ring), loaded, false, Arc::default())
}
