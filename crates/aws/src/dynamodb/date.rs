//! [`ReadsDate`]: DynamoDB's clock, which is the date of its answers. No operation tells the time.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use fieldseal::clock::Timestamp;

/// Keeps the date of the last answer to a call.
#[derive(Clone, Debug, Default)]
pub(super) struct ReadsDate(Arc<Mutex<Option<Timestamp>>>);

impl ReadsDate {
    /// In whole seconds; none if no answer had one.
    pub(super) fn read(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ReadsDate {
    fn name(&self) -> &'static str {
        "ReadsDate"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date").and_then(parse);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

fn parse(date: &str) -> Option<Timestamp> {
    let seconds = DateTime::from_str(date, DateTimeFormat::HttpDate).ok()?.secs();
    Some(Timestamp::from_millis(u64::try_from(seconds).ok()?.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_date_is_none() {
        let date = |text| parse(text).map(|at| at.to_string());
        assert_eq!(date("Thu, 01 Jan 2026 00:00:05 GMT").as_deref(), Some("2026-01-01T00:00:05.000Z"));
        for text in ["", "now", "2026-01-01T00:00:05Z", "Thu, 01 Jan 1926 00:00:05 GMT"] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
