//! [`Failure`]: what KMS, or the way to it, answered instead; sorted into the port's kinds.
//!
//! Imports `error`. KMS's own text is left out: it names keys and callers. The code and the request's id are enough to find
//! the call in CloudTrail.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::operation::RequestId as _;

use fieldseal::error::{ProviderError, ProviderErrorKind};

/// A call that did not succeed.
#[derive(Debug)]
pub(super) struct Failure {
    operation: &'static str,
    /// KMS's code, or what became of the call.
    what: String,
    request: Option<String>,
    kind: ProviderErrorKind,
    hint: Option<&'static str>,
}

impl Failure {
    pub(super) fn of<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let request = error.request_id().and_then(word);
        let (what, kind, hint) = match error {
            SdkError::TimeoutError(_) => ("timed out".to_owned(), ProviderErrorKind::Unavailable, None),
            SdkError::DispatchFailure(failure) => {
                let why = failure.as_connector_error().and_then(io_kind);
                let what = match why {
                    Some(kind) => format!("not sent, or no answer: {kind}"),
                    None if failure.is_timeout() => "timed out".to_owned(),
                    None => "not sent, or no answer".to_owned(),
                };
                let hint = (!failure.is_timeout() && !failure.is_io()).then_some(NO_CALL);
                (what, ProviderErrorKind::Unavailable, hint)
            }
            SdkError::ConstructionFailure(_) => {
                ("not sent".to_owned(), ProviderErrorKind::Misconfigured, Some("the client can't make the request"))
            }
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                match code(error) {
                    Some(code) => {
                        let (kind, hint) = sort(&code, status);
                        (code, kind, hint)
                    }
                    None => unread(status, request.is_some()),
                }
            }
            // A response that broke off or makes no sense, and what a later SDK may add.
            other => {
                let status = other.raw_response().map_or(0, |response| response.status().as_u16());
                unread(status, request.is_some())
            }
        };
        Self { operation, what, request, kind, hint }
    }

    /// Whether the key's state forbids the operation: which state it is, KMS says only in its text.
    pub(super) fn is_state(&self) -> bool {
        self.what == STATE
    }

    /// The error of another kind, once more is known.
    pub(super) fn sorted(self, kind: ProviderErrorKind, hint: &'static str) -> ProviderError {
        Self { kind, hint: Some(hint), ..self }.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.what)?;
        match &self.request {
            Some(request) => write!(f, ", request {request}"),
            None => Ok(()),
        }
    }
}

impl StdError for Failure {}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        let error = Self::new(failure.kind);
        match failure.hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
        .with_source(failure)
    }
}

/// The kind of a code that KMS answered. Those of no service in particular have several spellings.
fn sort(code: &str, status: u16) -> (ProviderErrorKind, Option<&'static str>) {
    use ProviderErrorKind as Kind;
    match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => (Kind::Authentication, None),
        // Also where the bytes name a key that is not there: KMS tells nobody which keys there are that they may not use.
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "NotAuthorizedException" => {
            (Kind::Denied, Some("neither the key's policy nor the caller's allows it"))
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "RequestExpired"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "RequestTimeTooSkewed"
        | "OptInRequired" => (
            Kind::Denied,
            Some("the caller's credentials are not accepted: expired, wrong, or this machine's clock is"),
        ),
        "NotFoundException" => (Kind::UnknownKey, None),
        "DisabledException" | STATE => (Kind::Disabled, None),
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "SlowDown" => (Kind::Throttled, None),
        "InvalidKeyUsageException" | "UnsupportedOperationException" => (Kind::Misconfigured, Some(NO_SUCH_USE)),
        "KeyUnavailableException"
        | "DependencyTimeoutException"
        | "KMSInternalException"
        | "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => (Kind::Unavailable, None),
        _ if status == 429 => (Kind::Throttled, None),
        _ if status >= 500 => (Kind::Unavailable, None),
        _ => (Kind::Misconfigured, Some("KMS does not take the call as it is")),
    }
}

/// An answer without a code: cut off, damaged, or not KMS's at all. One that has the id of a request is KMS's, whatever it
/// said: what is wrong with it came later.
fn unread(status: u16, has_id: bool) -> (String, ProviderErrorKind, Option<&'static str>) {
    use ProviderErrorKind as Kind;
    let (kind, hint) = match status {
        401 | 403 | 407 => (Kind::Denied, Some("something on the way to KMS refuses the call")),
        429 => (Kind::Throttled, None),
        400 | 404 | 405 | 410 if !has_id => {
            (Kind::Misconfigured, Some("what answers at the client's endpoint is not KMS"))
        }
        _ => (Kind::Unavailable, None),
    };
    (format!("an answer that can't be read, status {status}"), kind, hint)
}

fn code(error: &impl ProvideErrorMetadata) -> Option<String> {
    error.code().and_then(word)
}

/// A code or an id, if it looks like one: whoever answers could put anything there.
fn word(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=100).contains(&text.len()) && text.chars().all(plain) { Some(text.to_owned()) } else { None }
}

/// The kind of the I/O error at the bottom: the errors above it may hold addresses.
fn io_kind(error: &(impl StdError + 'static)) -> Option<std::io::ErrorKind> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() != std::io::ErrorKind::Other
        {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// What a key must be.
pub(super) const NO_SUCH_USE: &str =
    "the key is not one for this: create a symmetric one (KeySpec SYMMETRIC_DEFAULT, KeyUsage ENCRYPT_DECRYPT)";
const NO_CALL: &str = "if every call fails so: has the client credentials, an HTTP client and a runtime?";
const STATE: &str = "KMSInvalidStateException";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_does_not_reach_a_message() {
        for text in ["", "two words", "arn:aws:kms", "a\nb", &"x".repeat(101)] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(word("KMSInternalException").as_deref(), Some("KMSInternalException"));
    }

    #[test]
    fn an_answer_with_an_id_is_its_service_s_however_little_is_left_of_it() {
        for status in [400, 404, 405, 410] {
            assert_eq!(unread(status, true).1, ProviderErrorKind::Unavailable, "{status}");
            assert_eq!(unread(status, false).1, ProviderErrorKind::Misconfigured, "{status}");
        }
        assert_eq!(
            (unread(403, true).1, unread(200, true).1),
            (ProviderErrorKind::Denied, ProviderErrorKind::Unavailable)
        );
    }
}
