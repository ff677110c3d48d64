//! What is sealed and opened in the tests of a [`World`](fieldseal_testkit::world::World).

use std::time::Duration;

use fieldseal::store::Epoch;
use fieldseal::{Error, FieldContext, SubjectKeys, TenantId};

pub(crate) type Result<T = ()> = fieldseal::Result<T>;

pub(crate) const VALUE: &[u8] = b"ada@example.com";

pub(crate) fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

pub(crate) fn seal(keys: &SubjectKeys) -> Result<Vec<u8>> {
    seal_for(keys, "default")
}

pub(crate) fn seal_for(keys: &SubjectKeys, purpose: &'static str) -> Result<Vec<u8>> {
    keys.seal_bytes(VALUE, &context().purpose(purpose))
}

/// True if it opens as what was sealed.
pub(crate) fn opens(keys: &SubjectKeys, envelope: &[u8]) -> Result<bool> {
    opens_for(keys, envelope, "default")
}

pub(crate) fn opens_for(keys: &SubjectKeys, envelope: &[u8], purpose: &'static str) -> Result<bool> {
    let value = keys.open_bytes(envelope, &context().purpose(purpose))?;
    Ok(value.as_deref().map(Vec::as_slice) == Some(VALUE))
}

/// Holds that it opens as what was sealed.
pub(crate) fn open(keys: &SubjectKeys, envelope: &[u8]) -> Result {
    assert!(opens(keys, envelope)?, "it opens as something else");
    Ok(())
}

pub(crate) fn is_erased<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::SubjectErased { .. }))
}

/// Its keys are there, and can't be used.
pub(crate) fn is_closed<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::SubjectClosed { .. }))
}

pub(crate) fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(crate) fn epoch(n: u32) -> Epoch {
    Epoch::new(n).unwrap()
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// How long a subject is closed before a sweep erases it.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
