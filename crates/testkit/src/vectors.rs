//! Keys and unwrapping with bytes that are given: for tests that read the format's examples.
#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stamp};
use crate::crypto::Suite;
use crate::envelope::KeyId;
use crate::error::{Error, Result};
use crate::id::{HasSubject, Purpose, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::{DataKeyPlace, KeyMaterial, SlotId, UsableKey, unwrap_data_key, unwrap_in_envelope};
use crate::subject::{Policy, SubjectKeys};
use crate::testing::clock::ManualClock;

/// Keys of a subject: this one data key, for this one purpose. They count as refreshed, so an envelope that names another
/// key is refused for good, as `docs/format.md` says of a reader with one key.
///
/// # Security
/// The bytes of a key have no place outside tests.
pub fn keys_from(
    subject: &(impl HasSubject + ?Sized),
    tenant: &TenantId,
    purpose: &Purpose,
    data_key: [u8; 32],
) -> SubjectKeys {
    let key = KeyMaterial::from_slice(&data_key).unwrap();
    // Time stands still: a refresh speaks for a second.
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new());
    let loaded = Stamp::now(&clock);
    let (suite, max_age) = (Suite::default(), Duration::from_secs(3600));
    let policy = Policy { tenant: tenant.clone(), suite, max_age, clock, looked: None };
    let ring = KeyRing::of(vec![(purpose.clone(), Some(vec![key]))]);
    SubjectKeys::new(Arc::new(policy), subject.subject().unwrap(), ring, loaded, true, Arc::default())
        .refreshed_since(&loaded)
}

/// The data key in a wrapped one (section 9), for the subject whose slot is `slot`.
///
/// # Errors
/// [`Error::Authentication`] for another wrapping key, place or data key, or a changed byte; [`Error::Malformed`],
/// [`Error::UnknownFormat`]; [`Error::InvalidInput`] if `slot` is no subject's.
pub fn unwrap_vector(
    kek: &KeyMaterial,
    slot: &SlotId,
    purpose: &Purpose,
    (line, version): (u32, u32),
    key_id: &KeyId,
    wrapped: &[u8],
) -> Result<KeyMaterial> {
    let SlotId::Subject(tenant, tag) = slot else {
        return Err(Error::invalid("data keys are a subject's"));
    };
    let (kek, place) = (UsableKey::derive(kek), DataKeyPlace { tenant, tag, purpose, line, version });
    unwrap_data_key(&kek, &place, key_id, wrapped)?;
    // Again, because the library keeps what is derived from a data key and not its bytes.
    unwrap_in_envelope(&kek, &place.context(key_id), wrapped)
}
