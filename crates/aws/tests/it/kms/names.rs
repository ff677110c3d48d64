//! What a key is called, which keys are fit, and what stands in a key store; on moto.

use std::collections::HashMap;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeySpec, KeyState, KeyUsageType, OriginType};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use fieldseal::Retry;
use fieldseal::provider::{MasterKeyId, MasterKeyProvider as _, ProviderErrorKind, WrappedKey};
use fieldseal_aws::AwsKms;
use fieldseal_testkit::provider::ProviderFixture as _;
use serde_json::Value;

use fleet_tests::harness::soak;
use fleet_tests::kms::{self, AWAY, HOME};
use fleet_tests::microburst::Upstream;

use super::{Fixture, material};

pub(crate) async fn a_key_has_four_names_and_one_id(aws: &Upstream) {
    let client = kms::client(&aws.url(), HOME);
    let (id, arn) = kms::key(client.create_key()).await;
    let alias = kms::alias(&client, &id).await;
    let alias_arn = arn.replace(&format!("key/{id}"), &alias);
    let (key, context) = material();
    for name in [id, arn.clone(), alias, alias_arn] {
        let provider = AwsKms::new(client.clone(), &name).unwrap();
        assert_eq!(provider.current().await.unwrap().as_str(), arn, "{name}");
        let wrapped = provider.wrap_key(&key, &context).await.unwrap();
        assert_eq!(wrapped.master().as_str(), arn, "{name}");
        assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    }
}

pub(crate) async fn a_name_that_stands_for_nothing_is_misconfigured(aws: &Upstream) {
    let client = kms::client(&aws.url(), HOME);
    let (key, context) = material();
    for name in ["alias/nothing", "11111111-2222-3333-4444-555555555555"] {
        let provider = AwsKms::new(client.clone(), name).unwrap();
        // `UnknownKey` is of an id in a key store, which another provider may know.
        for error in [provider.current().await.unwrap_err(), provider.wrap_key(&key, &context).await.unwrap_err()] {
            assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::Misconfigured, Retry::Never), "{name}");
        }
    }
    let away = "arn:aws:kms:eu-west-1:123456789012:alias/fieldseal";
    for name in ["", "two words", away] {
        assert_eq!(AwsKms::new(client.clone(), name).unwrap_err().kind(), ProviderErrorKind::Misconfigured);
    }
    assert!(AwsKms::new(kms::client(&aws.url(), AWAY), away).is_ok());
    let provider = AwsKms::new(client.clone(), "alias/any").unwrap();
    assert_eq!(provider.clone().region(client).unwrap_err().kind(), ProviderErrorKind::Misconfigured);
    for days in [0, 6, 31] {
        let error = provider.clone().waiting_days(days).unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Misconfigured, "{days}");
    }
}

pub(crate) async fn an_unfit_key_is_refused_and_the_error_says_what_to_create(aws: &Upstream) {
    let client = kms::client(&aws.url(), HOME);
    let create = || client.create_key();
    let rsa = create().key_spec(KeySpec::Rsa2048).key_usage(KeyUsageType::EncryptDecrypt);
    let sign = create().key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify);
    let (key, context) = material();
    for (call, says) in [
        (rsa, "SYMMETRIC_DEFAULT"),
        (sign, "SYMMETRIC_DEFAULT"),
        (create().origin(OriginType::External), "Origin AWS_KMS"),
    ] {
        let (id, _) = kms::key(call).await;
        let provider = AwsKms::new(client.clone(), id).unwrap();
        for error in [provider.current().await.unwrap_err(), provider.wrap_key(&key, &context).await.unwrap_err()] {
            assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::Misconfigured, Retry::Never));
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

/// So that it can be decrypted without this library: docs/master-keys.md.
pub(crate) async fn a_wrapped_key_is_a_ciphertext_of_kms_as_documented(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let id = Base64UrlUnpadded::encode_string(key.id().as_bytes());
    let context: HashMap<_, _> = [
        ("fieldseal:role", "epoch key"),
        ("fieldseal:tenant", "acme"),
        ("fieldseal:epoch", "1"),
        ("fieldseal:key-id", id.as_str()),
    ]
    .map(|(name, part)| (name.to_owned(), part.to_owned()))
    .into();
    let call = fixture.client.decrypt().key_id(wrapped.master().as_str()).set_encryption_context(Some(context));
    let plain = call.ciphertext_blob(Blob::new(wrapped.as_bytes())).send().await.unwrap();
    assert_eq!(plain.plaintext.unwrap().as_ref(), key.expose());
}

pub(crate) async fn an_id_of_another_account_region_or_form_is_unknown(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let id = wrapped.master().as_str();
    let multi = id.replace("key/", "key/mrk-");
    for other in [
        id.replace(HOME, AWAY),
        id.replace(HOME, "*"),
        id.replace(":aws:", ":aws-cn:").replace(HOME, "cn-north-1"),
        multi, // of one region
        id.replace("key/", "alias/"),
        id.replace("arn:aws:kms", "arn:aws:s3"),
        fixture.alias.clone(),
        "local-265ac83a20d4b22d".to_owned(),
    ] {
        let other = MasterKeyId::new(&other).unwrap();
        let relabeled = WrappedKey::new(other.clone(), wrapped.as_bytes()).unwrap();
        let errors = [
            fixture.provider.unwrap_key(&relabeled, &context).await.unwrap_err(),
            fixture.provider.destroy_key(&other).await.unwrap_err(),
            fixture.provider.destruction(&other).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ProviderErrorKind::UnknownKey, "{other}");
        }
    }
    // Another account's key, that KMS may even let this caller see: whether it is destroyed is that account's to say.
    let other = MasterKeyId::new(id.replace(":123456789012:", ":999999999999:")).unwrap();
    assert_ne!(&other, wrapped.master());
    assert_eq!(fixture.provider.destroy_key(&other).await.unwrap_err().kind(), ProviderErrorKind::UnknownKey);
    assert_eq!(fixture.provider.destruction(&other).await.unwrap_err().kind(), ProviderErrorKind::UnknownKey);
}

/// What a policy asks for is what is sent, and no call of the provider lacks a permission.
pub(crate) async fn the_policies_of_the_handbook_fit_the_calls() {
    let page = include_str!("../../../../../docs/master-keys.md");
    let policies = page.split("```json\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let policies: Vec<Value> = policies.map(|policy| serde_json::from_str(policy).unwrap()).collect();
    let text = serde_json::to_string(&policies).unwrap();
    let names = ["role", "tenant", "epoch", "index-epoch", "key-id"].map(|name| format!("fieldseal:{name}"));
    let asked: Vec<_> =
        text.split("kms:EncryptionContext:").skip(1).map(|rest| rest.split_once('"').unwrap().0).collect();
    assert!(asked.len() >= 2 && asked.iter().all(|name| names.iter().any(|sent| sent == name)), "{asked:?}");
    for name in names {
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    for action in ["Encrypt", "Decrypt", "DescribeKey", "ScheduleKeyDeletion"] {
        assert!(text.contains(&format!("\"kms:{action}\"")), "{action}");
    }
}

/// The suite's rule, but for the bytes that name the key: moto, as KMS may, tells nobody whether there is another key that they
/// may not use, and denies.
pub(crate) async fn a_flipped_bit_does_not_unwrap(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let mut denied = 0;
    // At least one bit of each byte; every one with `FIELDSEAL_SOAK`.
    for bit in (0..wrapped.as_bytes().len() * 8).step_by(if soak() { 1 } else { 7 }) {
        let mut bytes = wrapped.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let changed = WrappedKey::new(wrapped.master().clone(), bytes).unwrap();
        let error = fixture.provider.unwrap_key(&changed, &context).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never);
        match error.kind() {
            ProviderErrorKind::Authentication => {}
            ProviderErrorKind::Denied if bit < 36 * 8 => denied += 1,
            kind => panic!("bit {bit}: {kind:?}"),
        }
    }
    assert_ne!(denied, 0, "moto tells more than KMS: this is the suite's rule now");
}

/// KMS says `IncorrectKeyException`, which is `Authentication`: `faults`.
pub(crate) async fn moto_says_that_a_relabeled_key_is_denied_and_not_why(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    fixture.rotate().await;
    let other = fixture.provider.current().await.unwrap();
    let relabeled = WrappedKey::new(other, wrapped.as_bytes()).unwrap();
    let error = fixture.provider.unwrap_key(&relabeled, &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Denied, "moto says why: this is the suite's rule now");
}

pub(crate) async fn moto_decrypts_under_a_key_that_is_to_be_destroyed(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    fixture.rotate().await;
    // By its ARN, moto can't do it at all.
    let error = fixture.provider.destroy_key(wrapped.master()).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Unavailable, "moto schedules by ARN: run the suite's rules on it");
    let (_, id) = wrapped.master().as_str().rsplit_once('/').unwrap();
    fixture.client.schedule_key_deletion().key_id(id).send().await.unwrap();
    let described = fixture.client.describe_key().key_id(id).send().await.unwrap();
    assert_eq!(described.key_metadata().unwrap().key_state(), Some(&KeyState::PendingDeletion));
    assert!(fixture.provider.unwrap_key(&wrapped, &context).await.is_ok(), "moto refuses: run the suite's rules on it");
}

/// Its ciphertexts have room for the ids of other keys alone. So `regions` is on ministack.
pub(crate) async fn moto_does_not_decrypt_under_a_multi_region_key(aws: &Upstream) {
    let client = kms::client(&aws.url(), HOME);
    let (id, _) = kms::key(client.create_key().multi_region(true)).await;
    let provider = AwsKms::new(client, id).unwrap();
    let (key, context) = material();
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let error = provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Denied, "moto decrypts: run `regions` on it");
}
