//! Each error that KMS has, and each way in which it can't be reached: of which kind, and whether to try again. On moto behind
//! a microburst.

use std::error::Error as _;
use std::time::Duration;

use aws_sdk_kms::Client;
use fieldseal::Retry;
use fieldseal::provider::{MasterKeyProvider as _, ProviderError, ProviderErrorKind as Kind};
use fieldseal_aws::AwsKms;
use serde_json::json;

use fleet_tests::kms::{self, HOME, SECRET};
use fleet_tests::microburst::{HANGS, Upstream};

use super::{Fixture, material};

/// What each call answers to an error of KMS.
const KINDS: &[(&str, u16, Kind)] = &[
    ("AccessDeniedException", 400, Kind::Denied),
    ("ExpiredTokenException", 400, Kind::Denied),
    ("UnrecognizedClientException", 400, Kind::Denied),
    ("InvalidSignatureException", 400, Kind::Denied),
    ("IncompleteSignature", 400, Kind::Denied),
    ("MissingAuthenticationToken", 403, Kind::Denied),
    ("InvalidClientTokenId", 403, Kind::Denied),
    ("RequestExpired", 400, Kind::Denied),
    ("OptInRequired", 403, Kind::Denied),
    ("DisabledException", 400, Kind::Disabled),
    ("ThrottlingException", 400, Kind::Throttled),
    ("LimitExceededException", 400, Kind::Throttled),
    ("RequestLimitExceeded", 400, Kind::Throttled),
    ("TooManyRequestsException", 429, Kind::Throttled),
    ("KeyUnavailableException", 500, Kind::Unavailable),
    ("DependencyTimeoutException", 503, Kind::Unavailable),
    ("KMSInternalException", 500, Kind::Unavailable),
    ("InternalFailure", 500, Kind::Unavailable),
    ("ServiceUnavailable", 503, Kind::Unavailable),
    ("SomethingNewException", 500, Kind::Unavailable),
    ("SomethingNewException", 400, Kind::Misconfigured),
    ("InvalidKeyUsageException", 400, Kind::Misconfigured),
    ("UnsupportedOperationException", 400, Kind::Misconfigured),
    ("InvalidGrantTokenException", 400, Kind::Misconfigured),
    ("ValidationException", 400, Kind::Misconfigured),
    ("InvalidArnException", 400, Kind::Misconfigured),
];

/// What Decrypt alone answers.
const OF_DECRYPT: &[(&str, u16, Kind)] = &[
    ("InvalidCiphertextException", 400, Kind::Authentication),
    ("IncorrectKeyException", 400, Kind::Authentication),
    // By its name KMS knows the provider's key, and by its ARN it doesn't: a moment's matter.
    ("NotFoundException", 400, Kind::UnknownKey),
];

const TEXT: &str = "User arn:aws:iam::123456789012:user/zoe may not use key 1234 for acme";

pub(crate) async fn each_error_of_kms_is_of_its_kind(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let burst = aws.microburst().await;
    let provider = fixture.over(&burst.url());
    let error = |code: &str, status: u16| json!({ "code": code, "status": status, "message": TEXT });
    for (code, status, kind) in KINDS.iter().chain(OF_DECRYPT) {
        burst.breaks("kms", "Decrypt", json!({ "error": error(code, *status) })).await;
        is(&provider.unwrap_key(&wrapped, &context).await.unwrap_err(), *kind, code);
    }
    for (code, status, kind) in KINDS {
        burst.breaks("kms", "Encrypt", json!({ "error": error(code, *status) })).await;
        is(&provider.wrap_key(&key, &context).await.unwrap_err(), *kind, code);
        burst.breaks("kms", "DescribeKey", json!({ "error": error(code, *status) })).await;
        is(&provider.current().await.unwrap_err(), *kind, code);
    }
    // The other calls go through, so it was these errors.
    burst.rules(json!([])).await;
    assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
}

fn is(error: &ProviderError, kind: Kind, what: &str) {
    let retry = if matches!(kind, Kind::Throttled | Kind::Unavailable) { Retry::Later } else { Retry::Never };
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{what}: {error}");
}

/// `KMSInvalidStateException` says in its text alone which state that is.
pub(crate) async fn a_state_is_looked_up(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let burst = aws.microburst().await;
    let provider = fixture.over(&burst.url());
    let state = json!({ "service": "kms", "operation": "Decrypt", "error": { "code": "KMSInvalidStateException" } });
    burst.rules(json!([state])).await;
    let (_, id) = wrapped.master().as_str().rsplit_once('/').unwrap();
    let unwrapped = async |kind| {
        is(&provider.unwrap_key(&wrapped, &context).await.unwrap_err(), kind, "KMSInvalidStateException");
    };
    // It was in another state a moment ago.
    unwrapped(Kind::Unavailable).await;
    fixture.client.disable_key().key_id(id).send().await.unwrap();
    unwrapped(Kind::Disabled).await;
    fixture.client.schedule_key_deletion().key_id(id).send().await.unwrap();
    unwrapped(Kind::PendingDeletion).await;
    for (code, kind) in [("ThrottlingException", Kind::Throttled), ("AccessDeniedException", Kind::Disabled)] {
        let describe = json!({ "service": "kms", "operation": "DescribeKey", "error": { "code": code } });
        burst.rules(json!([state, describe])).await;
        unwrapped(kind).await;
    }
}

pub(crate) async fn a_call_that_breaks_off_is_unavailable(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let mut burst = aws.microburst().await;
    let provider = fixture.over(&burst.url());
    for fault in [
        json!({ "reset": true }),
        json!({ "response": { "truncate_bytes": 20 } }),
        json!({ "response": { "abort_bytes": 20 } }),
        json!({ "response": { "corrupt_bytes": 200 } }),
    ] {
        let mut rule = fault.clone();
        rule["service"] = json!("kms");
        burst.rules(json!([rule])).await;
        for error in [
            provider.unwrap_key(&wrapped, &context).await.unwrap_err(),
            provider.wrap_key(&key, &context).await.unwrap_err(),
            provider.current().await.unwrap_err(),
        ] {
            is(&error, Kind::Unavailable, &fault.to_string());
        }
    }
    burst.kill();
    // On a connection that it left behind; then on none.
    is(&provider.unwrap_key(&wrapped, &context).await.unwrap_err(), Kind::Unavailable, "gone");
    let error = provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    is(&error, Kind::Unavailable, "nobody listens");
    assert!(error.source().unwrap().to_string().contains("connection refused"), "{error:?}");
}

pub(crate) async fn a_call_that_takes_too_long_is_unavailable(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let burst = aws.microburst().await;
    // It hangs for ever, so however short the client's patience is, the test says the same.
    burst.rules(json!([{ "service": "kms", "timeout_ms": HANGS }])).await;
    let client = kms::client_within(&burst.url(), HOME, Duration::from_millis(200));
    let provider = AwsKms::new(client, &fixture.alias).unwrap();
    let error = provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    is(&error, Kind::Unavailable, "hangs");
    assert!(error.source().unwrap().to_string().contains("timed out"), "{error:?}");
}

pub(crate) async fn nothing_of_a_failure_shows_what_is_secret(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let burst = aws.microburst().await;
    let provider = fixture.over(&burst.url());
    let mut errors = Vec::new();
    for (code, status, _) in KINDS.iter().chain(OF_DECRYPT) {
        let error = json!({ "code": code, "status": status, "message": TEXT });
        burst.rules(json!([{ "service": "kms", "error": error }])).await;
        errors.push(provider.unwrap_key(&wrapped, &context).await.unwrap_err());
        errors.push(provider.wrap_key(&key, &context).await.unwrap_err());
    }
    // A code that is none.
    burst.rules(json!([{ "service": "kms", "error": { "code": TEXT } }])).await;
    errors.push(provider.unwrap_key(&wrapped, &context).await.unwrap_err());
    burst.rules(json!([{ "service": "kms", "response": { "corrupt_bytes": 200 } }])).await;
    errors.push(provider.unwrap_key(&wrapped, &context).await.unwrap_err());
    // No credentials at all.
    let nobody = aws_sdk_kms::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_kms::config::Region::new(HOME))
        .endpoint_url(aws.url())
        .build();
    errors.push(AwsKms::new(Client::from_conf(nobody), &fixture.alias).unwrap().current().await.unwrap_err());
    let master = wrapped.master().as_str().rsplit_once('/').unwrap().1;
    for error in errors {
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            shown.push_str(&format!("{error} {error:?}"));
            source = error.source();
        }
        // None could be part of a request's id, which is hexadecimal and shown.
        for secret in [
            "zoe",
            "acme",
            "epoch key",
            "fieldseal:",
            "arn:",
            "AKIA",
            "127.0.0.1",
            "localhost",
            SECRET,
            master,
            &fixture.alias,
        ] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }
    assert!(!format!("{provider:?}").contains(SECRET));
}
