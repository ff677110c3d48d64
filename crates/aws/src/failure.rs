//! [`Failure`]: what a service of AWS, or the way to it, answered instead; sorted by who is to blame.
//!
//! A [`Service`] knows its own codes; those of no service in particular, with their several spellings, are sorted here. The
//! service's own text is left out: it may hold values, and names keys and callers. The code and the request's id are enough
//! to find the call in CloudTrail.

use std::error::Error as StdError;
use std::fmt;

#[cfg(not(feature = "kms"))]
use aws_sdk_dynamodb as sdk;
// The same types in each SDK.
#[cfg(feature = "kms")]
use aws_sdk_kms as sdk;
use sdk::error::{ProvideErrorMetadata, SdkError};
use sdk::operation::RequestId as _;

/// What is particular to one service.
#[derive(Debug)]
pub(crate) struct Service {
    /// Sorts the codes that are its own.
    pub(crate) sort: fn(code: &str) -> Option<Sorted>,
    /// What to do about a denial.
    pub(crate) denied: &'static str,
    /// What to do about too many calls.
    pub(crate) throttled: Option<&'static str>,
    /// What to do where it does not take the call.
    pub(crate) misconfigured: &'static str,
    /// What to do where something in between refuses.
    pub(crate) in_between: &'static str,
    /// What to do where something else answers.
    pub(crate) elsewhere: &'static str,
    /// What to do where no call can be sent.
    pub(crate) unsent: &'static str,
}

/// Who is to blame, and what to do about it.
pub(crate) type Sorted = (Kind, Option<&'static str>);

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    #[cfg(feature = "kms")]
    Authentication,
    Denied,
    #[cfg(feature = "kms")]
    Disabled,
    Misconfigured,
    #[cfg(feature = "kms")]
    PendingDeletion,
    Throttled,
    Unavailable,
    #[cfg(feature = "kms")]
    UnknownKey,
}

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    operation: &'static str,
    /// The service's code, or what became of the call.
    what: String,
    request: Option<String>,
    pub(crate) kind: Kind,
    hint: Option<&'static str>,
}

impl Failure {
    pub(crate) fn of<E>(service: &Service, operation: &'static str, error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let request = error.request_id().and_then(word);
        let (what, (kind, hint)) = match error {
            SdkError::TimeoutError(_) => ("timed out".to_owned(), (Kind::Unavailable, None)),
            SdkError::DispatchFailure(failure) => {
                let why = failure.as_connector_error().and_then(io_kind);
                let what = match why {
                    Some(kind) => format!("not sent, or no answer: {kind}"),
                    None if failure.is_timeout() => "timed out".to_owned(),
                    None => "not sent, or no answer".to_owned(),
                };
                let hint = (!failure.is_timeout() && !failure.is_io()).then_some(service.unsent);
                (what, (Kind::Unavailable, hint))
            }
            SdkError::ConstructionFailure(_) => {
                ("not sent".to_owned(), (Kind::Misconfigured, Some("the client can't make the request")))
            }
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                match error.code().and_then(word) {
                    Some(code) => {
                        let sorted = service.sorted(&code, status);
                        (code, sorted)
                    }
                    None => service.unread(status, request.is_some()),
                }
            }
            // A response that broke off or makes no sense, and what a later SDK may add.
            other => {
                let status = other.raw_response().map_or(0, |response| response.status().as_u16());
                service.unread(status, request.is_some())
            }
        };
        Self { operation, what, request, kind, hint }
    }

    /// By a code alone.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn coded(service: &Service, operation: &'static str, code: &str) -> Self {
        let (kind, hint) = service.sorted(code, 400);
        Self { operation, what: word(code).unwrap_or_default(), request: None, kind, hint }
    }

    /// By what an answer says.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn said(operation: &'static str, kind: Kind, hint: &'static str) -> Self {
        Self { operation, what: "answered".to_owned(), request: None, kind, hint: Some(hint) }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Sorted anew, once more is known.
    #[cfg(feature = "kms")]
    pub(crate) fn known_as(self, kind: Kind, hint: &'static str) -> Self {
        Self { kind, hint: Some(hint), ..self }
    }

    /// Whether the service answered this code.
    #[cfg(feature = "kms")]
    pub(crate) fn is_code(&self, code: &str) -> bool {
        self.what == code
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

/// Makes a port's errors of failures: the kind by a function, the hint and the source as they are.
macro_rules! becomes {
    ($error:ident, $kind:expr) => {
        impl From<$crate::failure::Failure> for $error {
            fn from(failure: $crate::failure::Failure) -> Self {
                let error = Self::new($kind(failure.kind));
                match failure.hint() {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
                .with_source(failure)
            }
        }
    };
}
pub(crate) use becomes;

impl Service {
    fn sorted(&self, code: &str, status: u16) -> Sorted {
        if let Some(sorted) = (self.sort)(code) {
            return sorted;
        }
        match code {
            "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "NotAuthorizedException" => {
                (Kind::Denied, Some(self.denied))
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
            "ThrottlingException"
            | "Throttling"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "LimitExceededException"
            | "SlowDown" => (Kind::Throttled, self.throttled),
            "InternalFailure"
            | "InternalError"
            | "InternalServerError"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "RequestTimeout"
            | "RequestTimeoutException" => (Kind::Unavailable, None),
            _ if status == 429 => (Kind::Throttled, self.throttled),
            _ if status >= 500 => (Kind::Unavailable, None),
            _ => (Kind::Misconfigured, Some(self.misconfigured)),
        }
    }

    /// An answer without a code: cut off, damaged, or not the service's at all. One that has the id of a request is the
    /// service's, whatever it said: what is wrong with it came later.
    fn unread(&self, status: u16, has_id: bool) -> (String, Sorted) {
        let sorted = match status {
            401 | 403 | 407 => (Kind::Denied, Some(self.in_between)),
            429 => (Kind::Throttled, self.throttled),
            400 | 404 | 405 | 410 if !has_id => (Kind::Misconfigured, Some(self.elsewhere)),
            _ => (Kind::Unavailable, None),
        };
        (format!("an answer that can't be read, status {status}"), sorted)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: Service = Service {
        sort: |_| None,
        denied: "denied",
        throttled: None,
        misconfigured: "misconfigured",
        in_between: "in between",
        elsewhere: "elsewhere",
        unsent: "unsent",
    };

    #[test]
    fn what_is_no_word_does_not_reach_a_message() {
        for text in ["", "two words", "arn:aws:kms", "a\nb", &"x".repeat(101)] {
            assert_eq!(word(text), None, "{text}");
        }
        assert_eq!(word("KMSInternalException").as_deref(), Some("KMSInternalException"));
    }

    #[test]
    fn an_answer_with_an_id_is_its_services_however_short() {
        let kind = |status, has_id| SERVICE.unread(status, has_id).1.0;
        for status in [400, 404, 405, 410] {
            assert_eq!(kind(status, true), Kind::Unavailable, "{status}");
            assert_eq!(kind(status, false), Kind::Misconfigured, "{status}");
        }
        assert_eq!((kind(403, true), kind(200, true)), (Kind::Denied, Kind::Unavailable));
    }

    #[test]
    fn a_service_sorts_its_own_codes_first() {
        let own = Service { sort: |code| (code == "SlowDown").then_some((Kind::Denied, None)), ..SERVICE };
        assert_eq!(own.sorted("SlowDown", 400).0, Kind::Denied);
        assert_eq!(SERVICE.sorted("SlowDown", 400).0, Kind::Throttled);
        assert_eq!(SERVICE.sorted("Unheard", 400), (Kind::Misconfigured, Some("misconfigured")));
        assert_eq!(SERVICE.sorted("Unheard", 500).0, Kind::Unavailable);
    }
}
