//! What DynamoDB's own codes mean, and which error of the ports each becomes.

use std::error::Error as StdError;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use fieldseal::error::{JournalError, JournalErrorKind, StoreError, StoreErrorKind};

use crate::failure::{Failure, Kind, Service, Sorted, becomes};

const DYNAMODB: Service = Service {
    sort,
    denied: "the caller's policy does not allow the operation that the source names",
    throttled: Some(THROTTLED),
    misconfigured: "DynamoDB does not take the call: did `create_table` make the table?",
    in_between: "something on the way to DynamoDB refuses the call",
    elsewhere: "what answers at the client's endpoint is not DynamoDB",
    unsent: "the client could not send it: has it credentials, an HTTP client and a runtime?",
};

pub(super) fn of<E>(operation: &'static str, error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    Failure::of(&DYNAMODB, operation, error)
}

/// By a code alone.
pub(super) fn coded(operation: &'static str, code: &str) -> Failure {
    Failure::coded(&DYNAMODB, operation, code)
}

fn sort(code: &str) -> Option<Sorted> {
    Some(match code {
        "ResourceNotFoundException" | "TableNotFoundException" => {
            (Kind::Misconfigured, Some("there is no such table in this account and region: `create_table` makes it"))
        }
        "ResourceInUseException" => (Kind::Unavailable, Some("the table is being made or changed")),
        "ProvisionedThroughputExceededException" | "ProvisionedThroughputExceeded" | "ThrottlingError" => {
            (Kind::Throttled, Some(THROTTLED))
        }
        super::CONFLICT
        | "TransactionConflictException"
        | "TransactionCanceledException"
        | "TransactionInProgressException" => (
            Kind::Throttled,
            Some("too many writes of the same items at once, or none that DynamoDB gives a reason for"),
        ),
        _ => return None,
    })
}

macro_rules! of_port {
    ($error:ident $kind:ident) => {
        becomes!($error, |kind| match kind {
            Kind::Denied => $kind::Denied,
            Kind::Misconfigured => $kind::Misconfigured,
            Kind::Throttled => $kind::Throttled,
            // The others are those of keys, of which DynamoDB knows none.
            _ => $kind::Unavailable,
        });
    };
}
of_port!(StoreError StoreErrorKind);
of_port!(JournalError JournalErrorKind);

pub(super) const THROTTLED: &str = "the table, one of its partitions, or the account has had too many calls";
