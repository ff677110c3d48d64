//! Entries for the fuzz targets in `fuzz/` to what isn't public. Compiled under `--cfg fuzzing` alone.
//!
//! Imports `envelope`, `keys`, `subject`, `provider` and `journal`.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stamp, Timestamp};
use crate::crypto::Suite;
use crate::envelope::header::Envelope;
use crate::envelope::{KeyId, frame};
use crate::error::Result;
use crate::id::{HasSubject as _, Purpose, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::{DataKeyPlace, KeyMaterial, Tag, UsableKey, unwrap_data_key, unwrap_in_envelope};
use crate::subject::{Policy, SubjectKeys};

/// Time that stands still: a refresh speaks for a second.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// Keys of a subject: this one data key, for the purpose `default`. They count as refreshed, so an envelope that names
/// another key is refused for good, as `docs/format.md` says of a reader with one key.
#[must_use]
pub fn keys(data_key: &[u8; 32]) -> SubjectKeys {
    let key = KeyMaterial::from_slice(data_key).expect("32 bytes");
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let loaded = Stamp::now(&clock);
    let (suite, max_age) = (Suite::default(), Duration::from_secs(3600));
    let policy = Policy { tenant: TenantId::default_tenant(), suite, max_age, clock, last_checked: None };
    let ring = KeyRing::of(vec![(purpose(), Some(vec![key]))]);
    let subject = "user-1".subject().expect("a short name");
    SubjectKeys::new(Arc::new(policy), subject, ring, loaded, true, Arc::default()).refreshed_since(&loaded)
}

/// The data key in a wrapped one (section 9), of one subject of the default tenant.
///
/// # Errors
/// [`Error::Authentication`](crate::Error), `Malformed`, `UnknownFormat`.
pub fn unwrap(kek: &KeyMaterial, key_id: &KeyId, wrapped: &[u8]) -> Result<KeyMaterial> {
    let (tenant, tag, purpose) = (TenantId::default_tenant(), Tag::from_bytes([1; 16]), purpose());
    let place = DataKeyPlace { tenant: &tenant, tag: &tag, purpose: &purpose, line: 1, version: 1 };
    let kek = UsableKey::derive(kek);
    unwrap_data_key(&kek, &place, key_id, wrapped)?;
    // Again, because the library keeps what is derived from a data key and not its bytes.
    unwrap_in_envelope(&kek, &place.context(key_id), wrapped)
}

fn purpose() -> Purpose {
    Purpose::new(Purpose::DEFAULT).expect("a name that is allowed")
}

/// An envelope's header, if these bytes have one, is read whole: its parts are the bytes again.
pub fn envelope(bytes: &[u8]) {
    let Ok(Envelope { suite, key_id, nonce, ciphertext, tag }) = Envelope::parse(bytes) else { return };
    let again = [&[suite.byte()][..], key_id.as_bytes(), nonce, ciphertext, tag].concat();
    assert_eq!(again, bytes, "an envelope is the sum of its parts");
}

/// The bytes as a frame that was authenticated: what is not value and marker is zeros.
pub fn frame(bytes: &[u8]) {
    let (len, marker) = match frame::value_len(bytes) {
        Ok(Some(len)) => (len, 0x80),
        Ok(None) => (0, 0x81),
        Err(_) => return,
    };
    let (found, padding) = bytes.get(len..).and_then(<[u8]>::split_first).expect("a frame has a marker");
    assert!(*found == marker && padding.iter().all(|&b| b == 0), "a frame is value, marker and zeros");
}

/// The bytes of a slot, of the kind that they say, without a key.
pub fn slot(bytes: &[u8]) {
    crate::keys::slot::parse_any(bytes);
}

/// A keyring file, as far as that goes without its check.
pub fn keyring_file(bytes: &[u8]) {
    crate::provider::local::format::parse_for_fuzz(bytes);
}

/// A journal file, its chain included.
pub fn journal_file(bytes: &[u8]) {
    crate::journal::file::format::parse_for_fuzz(bytes);
}

/// The state that a census keeps, without its digest: what is read is written, and read, as the same again.
pub fn census(body: &str) {
    if let Some(census) = crate::jobs::census_of(body) {
        let text = census.to_string();
        assert_eq!(text.parse::<crate::jobs::Census>().ok(), Some(census));
    }
}
