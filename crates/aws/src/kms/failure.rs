//! What KMS's own codes mean, and which error of the port each becomes.

use std::error::Error as StdError;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use fieldseal::error::{ProviderError, ProviderErrorKind};

use crate::failure::{Failure, Kind, Service, Sorted, becomes};

const KMS: Service = Service {
    sort,
    // Also where the bytes name a key that is not there: KMS tells nobody which keys there are that they may not use.
    denied: "neither the key's policy nor the caller's allows it",
    throttled: None,
    misconfigured: "KMS does not take the call as it is",
    in_between: "something on the way to KMS refuses the call",
    elsewhere: "what answers at the client's endpoint is not KMS",
    unsent: "if every call fails so: has the client credentials, an HTTP client and a runtime?",
};

pub(super) fn of<E>(operation: &'static str, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    Failure::of(&KMS, operation, error)
}

/// Whether the key's state forbids the operation: which state it is, KMS says only in its text.
pub(super) fn is_state(failure: &Failure) -> bool {
    failure.is_code(STATE)
}

fn sort(code: &str) -> Option<Sorted> {
    Some(match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => (Kind::Authentication, None),
        "NotFoundException" => (Kind::UnknownKey, None),
        "DisabledException" | STATE => (Kind::Disabled, None),
        "InvalidKeyUsageException" | "UnsupportedOperationException" => (Kind::Misconfigured, Some(NO_SUCH_USE)),
        "KeyUnavailableException" | "DependencyTimeoutException" | "KMSInternalException" => (Kind::Unavailable, None),
        _ => return None,
    })
}

becomes!(ProviderError, |kind| match kind {
    Kind::Authentication => ProviderErrorKind::Authentication,
    Kind::Denied => ProviderErrorKind::Denied,
    Kind::Disabled => ProviderErrorKind::Disabled,
    Kind::Misconfigured => ProviderErrorKind::Misconfigured,
    Kind::PendingDeletion => ProviderErrorKind::PendingDeletion,
    Kind::Throttled => ProviderErrorKind::Throttled,
    Kind::Unavailable => ProviderErrorKind::Unavailable,
    Kind::UnknownKey => ProviderErrorKind::UnknownKey,
});

/// What a key must be.
pub(super) const NO_SUCH_USE: &str =
    "the key is not one for this: create a symmetric one (KeySpec SYMMETRIC_DEFAULT, KeyUsage ENCRYPT_DECRYPT)";
const STATE: &str = "KMSInvalidStateException";
