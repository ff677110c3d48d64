//! Entries for the fuzz targets in `fuzz/` to what isn't public. Compiled under `--cfg fuzzing` alone.
//!
//! Imports `envelope`, `keys`, `subject`, `provider` and `journal`.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, Stamp, Timestamp};
use crate::crypto::Suite;
use crate::envelope::frame::{self, Frame, Marker};
use crate::envelope::header::Envelope;
use crate::envelope::{FieldContext, KeyId};
use crate::error::Result;
use crate::id::{Purpose, SubjectId, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::{DataKeyPlace, KeyMaterial, Tag, UsableKey, unwrap_data_key, unwrap_in_envelope};
use crate::subject::{Opener, Policy, Sealer, SubjectKeys};

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
    let subject = SubjectId::new("customer", "user-1").expect("a short name");
    SubjectKeys::new(Arc::new(policy), subject, ring, loaded, true, Arc::default()).refreshed_since(&loaded)
}

/// Seals bytes with any marker, 0x80 to 0xBF.
///
/// # Errors
/// [`Error::InvalidInput`](crate::Error) if a none has bytes.
pub fn seal(keys: &SubjectKeys, marker: u8, value: &[u8], context: &FieldContext<'_>) -> Result<Vec<u8>> {
    let mut frame = Frame::new(value.len(), 0, Marker::of(marker).expect("a marker"))?;
    frame.put(value)?;
    Sealer::new(keys, context.schema(), context)?.seal(context.purpose_name(), context.field(), frame)
}

/// The bytes of a value of any kind; none for a none.
///
/// # Errors
/// As of [`SubjectKeys::open_bytes`], but no `WrongType`.
pub fn open(keys: &SubjectKeys, envelope: &[u8], context: &FieldContext<'_>) -> Result<Option<Vec<u8>>> {
    let mut opener = Opener::new(keys, context.schema(), context)?;
    let frame = opener.open(context.purpose_name(), context.field(), envelope)?;
    let (marker, len) = frame::parse(frame.as_slice())?;
    Ok(frame.as_slice().get(..len).filter(|_| marker != Marker::NONE).map(<[u8]>::to_vec))
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
    let Ok((marker, len)) = frame::parse(bytes) else {
        assert!(Frame::again(bytes).is_err(), "what is no frame is not moved");
        return;
    };
    let (found, padding) = bytes.get(len..).and_then(<[u8]>::split_first).expect("a frame has a marker");
    assert!(*found == marker.byte() && padding.iter().all(|&b| b == 0), "a frame is value, marker and zeros");
    assert!((0x80..=0xBF).contains(found) && (*found != 0x81 || len == 0));
    let again = Frame::again(bytes).and_then(Frame::finish).expect("a frame is moved, whatever its marker");
    assert!(again.as_slice().ends_with(bytes), "and moved as it is");
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
