//! What no emulator answers: the answers are made up. (Their URL is not used.)

use base64ct::{Base64, Encoding as _};
use fieldseal::Retry;
use fieldseal::provider::{MasterKeyId, MasterKeyProvider as _, ProviderErrorKind, WrappedKey};
use fieldseal_aws::AwsKms;
use serde_json::{Value, json};

use super::material;
use fleet_tests::kms::{self, HOME};

const ARN: &str = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555";
const OTHER: &str = "arn:aws:kms:eu-central-1:123456789012:key/66666666-2222-3333-4444-555555555555";

fn wrapped() -> WrappedKey {
    WrappedKey::new(MasterKeyId::new(ARN).unwrap(), *b"wrapped").unwrap()
}

pub(crate) async fn the_key_that_wrapped_is_asked_for_and_no_other() {
    let (key, context) = material();
    let answer = json!({ "KeyId": ARN, "Plaintext": Base64::encode_string(key.expose()) });
    let (url, mut asked) = kms::answering(vec![answer]).await;
    let provider = AwsKms::new(kms::client(&url, HOME), OTHER).unwrap();
    assert_eq!(provider.unwrap_key(&wrapped(), &context).await.unwrap().expose(), key.expose());
    let asked = asked.recv().await.unwrap();
    assert_eq!(asked["KeyId"], ARN);
    assert_eq!(asked["CiphertextBlob"], Base64::encode_string(b"wrapped"));
    assert_eq!(asked["EncryptionContext"]["fieldseal:tenant"], "acme");
}

pub(crate) async fn an_answer_that_does_not_fit_is_corrupt() {
    let (key, context) = material();
    let plain = |key: &[u8]| Base64::encode_string(key);
    for (what, answer) in [
        ("another key", json!({ "KeyId": OTHER, "Plaintext": plain(key.expose()) })),
        ("the key's id alone", json!({ "KeyId": ARN.rsplit_once('/').unwrap().1, "Plaintext": plain(key.expose()) })),
        ("no key", json!({ "Plaintext": plain(key.expose()) })),
        ("31 bytes", json!({ "KeyId": ARN, "Plaintext": plain(&[7; 31]) })),
        ("33 bytes", json!({ "KeyId": ARN, "Plaintext": plain(&[7; 33]) })),
        ("no plaintext", json!({ "KeyId": ARN })),
    ] {
        let provider = provider(vec![answer]).await;
        let error = provider.unwrap_key(&wrapped(), &context).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::Corrupt, Retry::Never), "{what}");
    }
    for (what, answer) in [
        ("nothing encrypted", json!({ "KeyId": ARN })),
        ("no key", json!({ "CiphertextBlob": plain(b"wrapped") })),
        ("an alias", json!({ "KeyId": ARN.replace("key/", "alias/"), "CiphertextBlob": plain(b"wrapped") })),
        (
            "another region's key",
            json!({ "KeyId": ARN.replace(HOME, "us-east-1"), "CiphertextBlob": plain(b"wrapped") }),
        ),
    ] {
        let provider = provider(vec![answer]).await;
        let error = provider.wrap_key(&key, &context).await.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Corrupt, "{what}");
    }
    let long = json!({ "KeyId": ARN, "CiphertextBlob": plain(&[7; 4097]) });
    let provider = provider(vec![long, described(&json!({}))]).await;
    assert_eq!(provider.wrap_key(&key, &context).await.unwrap_err().kind(), ProviderErrorKind::Corrupt);
    for state in [json!({ "KeyState": "PendingDeletion" }), json!({ "KeyState": "PendingReplicaDeletion" })] {
        let provider = self::provider(vec![described(&json!({})), described(&state)]).await;
        let error = provider.destruction(&MasterKeyId::new(ARN).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Corrupt, "to be destroyed, without a date");
    }
}

async fn provider(answers: Vec<Value>) -> AwsKms {
    AwsKms::new(kms::client(&kms::answering(answers).await.0, HOME), "alias/fieldseal").unwrap()
}

/// What DescribeKey answers.
fn described(more: &Value) -> Value {
    let mut metadata = json!({ "KeyId": "1", "Arn": ARN, "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"] });
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "KeyMetadata": metadata })
}
