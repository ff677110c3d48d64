//! [`Failure`]: what DynamoDB, or the way to it, answered instead; sorted into the ports' kinds.
//!
//! DynamoDB's own text is left out: it may hold values of an item, and names callers. The code and the request's id are
//! enough to find the call in CloudTrail.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::RequestId as _;

use fieldseal::error::{JournalErrorKind, PortError, StoreErrorKind};

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    operation: &'static str,
    /// DynamoDB's code, or what became of the call.
    what: String,
    request: Option<String>,
    pub(crate) kind: Kind,
    hint: Option<&'static str>,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Denied,
    Throttled,
    Unavailable,
    Misconfigured,
}

impl Failure {
    pub(super) fn of<E>(operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let request = error.request_id().and_then(word);
        let (what, kind, hint) = match error {
            SdkError::TimeoutError(_) => ("timed out".to_owned(), Kind::Unavailable, None),
            SdkError::DispatchFailure(failure) => {
                let why = failure.as_connector_error().and_then(io_kind);
                let what = match why {
                    Some(kind) => format!("not sent, or no answer: {kind}"),
                    None if failure.is_timeout() => "timed out".to_owned(),
                    None => "not sent, or no answer".to_owned(),
                };
                let hint = (!failure.is_timeout() && !failure.is_io()).then_some(NO_CALL);
                (what, Kind::Unavailable, hint)
            }
            SdkError::ConstructionFailure(_) => {
                ("not sent".to_owned(), Kind::Misconfigured, Some("the client can't make the request"))
            }
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                match error.code().and_then(word) {
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

    /// By a code alone.
    pub(super) fn coded(operation: &'static str, code: &str) -> Self {
        let (kind, hint) = sort(code, 400);
        Self { operation, what: word(code).unwrap_or_default(), request: None, kind, hint }
    }

    /// By what an answer says.
    pub(super) fn said(operation: &'static str, kind: Kind, hint: &'static str) -> Self {
        Self { operation, what: "answered".to_owned(), request: None, kind, hint: Some(hint) }
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

macro_rules! into {
    ($($port:ident)*) => {$(
        impl From<Failure> for PortError<$port> {
            fn from(failure: Failure) -> Self {
                let error = Self::new(match failure.kind {
                    Kind::Denied => $port::Denied,
                    Kind::Throttled => $port::Throttled,
                    Kind::Unavailable => $port::Unavailable,
                    Kind::Misconfigured => $port::Misconfigured,
                });
                match failure.hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
                .with_source(failure)
            }
        }
    )*};
}
into!(StoreErrorKind JournalErrorKind);

/// The kind of a code that DynamoDB answered. Those of no service in particular have several spellings.
fn sort(code: &str, status: u16) -> (Kind, Option<&'static str>) {
    match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "NotAuthorizedException" => {
            (Kind::Denied, Some("the caller's policy does not allow the operation that the source names"))
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
        "ResourceNotFoundException" | "TableNotFoundException" => {
            (Kind::Misconfigured, Some("there is no such table in this account and region: `create_table` makes it"))
        }
        "ResourceInUseException" => (Kind::Unavailable, Some("the table is being made or changed")),
        "ProvisionedThroughputExceededException"
        | "ProvisionedThroughputExceeded"
        | "ThrottlingException"
        | "ThrottlingError"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "LimitExceededException"
        | "SlowDown" => (Kind::Throttled, Some(THROTTLED)),
        super::CONFLICT
        | "TransactionConflictException"
        | "TransactionCanceledException"
        | "TransactionInProgressException" => (
            Kind::Throttled,
            Some("too many writes of the same items at once, or none that DynamoDB gives a reason for"),
        ),
        "InternalFailure"
        | "InternalError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException" => (Kind::Unavailable, None),
        _ if status == 429 => (Kind::Throttled, Some(THROTTLED)),
        _ if status >= 500 => (Kind::Unavailable, None),
        _ => (Kind::Misconfigured, Some("DynamoDB does not take the call: did `create_table` make the table?")),
    }
}

/// An answer without a code: cut off, damaged, or not DynamoDB's at all. One that has the id of a request is DynamoDB's,
/// whatever it said: what is wrong with it came later.
fn unread(status: u16, has_id: bool) -> (String, Kind, Option<&'static str>) {
    let (kind, hint) = match status {
        401 | 403 | 407 => (Kind::Denied, Some("something on the way to DynamoDB refuses the call")),
        429 => (Kind::Throttled, Some(THROTTLED)),
        400 | 404 | 405 | 410 if !has_id => {
            (Kind::Misconfigured, Some("what answers at the client's endpoint is not DynamoDB"))
        }
        _ => (Kind::Unavailable, None),
    };
    (format!("an answer that can't be read, status {status}"), kind, hint)
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

pub(super) const THROTTLED: &str = "the table, one of its partitions, or the account has had too many calls";
const NO_CALL: &str = "the client could not send it: has it credentials, an HTTP client and a runtime?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_word_does_not_reach_a_message() {
        for text in ["", "two words", "arn:aws:dynamodb", "a\nb", &"x".repeat(101)] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(word("ThrottlingException").as_deref(), Some("ThrottlingException"));
    }

    #[test]
    fn an_answer_with_an_id_is_its_service_s_however_little_is_left_of_it() {
        for status in [400, 404, 405, 410] {
            assert_eq!(unread(status, true).1, Kind::Unavailable, "{status}");
            assert_eq!(unread(status, false).1, Kind::Misconfigured, "{status}");
        }
        assert_eq!((unread(403, true).1, unread(200, true).1), (Kind::Denied, Kind::Unavailable));
    }
}
