//! What becomes of keys, on ministack.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fieldseal::Retry;
use fieldseal::clock::Timestamp;
use fieldseal::provider::{Destruction, MasterKeyId, MasterKeyProvider as _, ProviderErrorKind, WrappedKey};
use fieldseal_aws::AwsKms;
use fieldseal_testkit::provider::ProviderFixture as _;

use fleet_tests::kms::HOME;
use fleet_tests::microburst::Upstream;

use super::{Fixture, material};

pub(crate) async fn a_disabled_key_is_disabled_until_it_is_enabled(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let id = wrapped.master().as_str();
    fixture.client.disable_key().key_id(id).send().await.unwrap();
    let errors = [
        fixture.provider.unwrap_key(&wrapped, &context).await.unwrap_err(),
        fixture.provider.wrap_key(&key, &context).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::Disabled, Retry::Never));
    }
    // Whoever can enable it can use it.
    assert_eq!(fixture.provider.destruction(wrapped.master()).await.unwrap(), None);
    fixture.client.enable_key().key_id(id).send().await.unwrap();
    assert_eq!(fixture.provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
}

pub(crate) async fn a_destruction_that_is_called_back_is_none(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let id = wrapped.master();
    fixture.rotate().await;
    let first = fixture.provider.destroy_key(id).await.unwrap();
    assert!(matches!(first, Destruction::Scheduled { .. }));
    let error = fixture.provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::PendingDeletion, Retry::Never));

    fixture.client.cancel_key_deletion().key_id(id.as_str()).send().await.unwrap();
    assert_eq!(fixture.provider.destruction(id).await.unwrap(), None);
    let error = fixture.provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Disabled, "KMS calls a key back as disabled");
    fixture.client.enable_key().key_id(id.as_str()).send().await.unwrap();
    assert_eq!(fixture.provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());

    let again = fixture.provider.destroy_key(id).await.unwrap();
    assert!(matches!(again, Destruction::Scheduled { .. }));
    assert_eq!(fixture.provider.destruction(id).await.unwrap(), Some(again));
}

pub(crate) async fn the_waiting_period_is_the_one_that_was_said(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    for (days, provider) in [(30, fixture.provider.clone()), (7, fixture.provider.clone().waiting_days(7).unwrap())] {
        let old = provider.current().await.unwrap();
        fixture.rotate().await;
        let before = now();
        let Destruction::Scheduled { at } = provider.destroy_key(&old).await.unwrap() else { panic!("not scheduled") };
        let wait = Duration::from_secs(days * 24 * 60 * 60);
        // ministack cuts the date to seconds.
        assert!(before.plus(wait).since(at) < Duration::from_secs(1) && at <= now().plus(wait), "{at}");
    }
}

pub(crate) async fn a_key_that_is_to_be_destroyed_keeps_its_date(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let old = fixture.provider.current().await.unwrap();
    fixture.rotate().await;
    let call = fixture.client.schedule_key_deletion().key_id(old.as_str()).pending_window_in_days(7);
    let millis = call.send().await.unwrap().deletion_date().unwrap().to_millis().unwrap();
    let at = Timestamp::from_millis(millis.try_into().unwrap());
    assert_eq!(fixture.provider.destroy_key(&old).await.unwrap(), Destruction::Scheduled { at });
}

/// Its waiting period is over.
pub(crate) async fn a_key_of_ours_that_kms_does_not_know_is_destroyed(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let (rest, _) = wrapped.master().as_str().rsplit_once('/').unwrap();
    let gone = MasterKeyId::new(format!("{rest}/11111111-2222-3333-4444-555555555555")).unwrap();
    assert_eq!(fixture.provider.destruction(&gone).await.unwrap(), Some(Destruction::Destroyed));
    assert_eq!(fixture.provider.destroy_key(&gone).await.unwrap(), Destruction::Destroyed);
    // Of 36 bytes that name the key, ministack looks at those in the wrapped key if it doesn't know the one it was given.
    let wrapped = WrappedKey::new(gone, [0; 116]).unwrap();
    let error = fixture.provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::KeyDestroyed, Retry::Never));
    // A multi-Region key may live on in a region that was not named, or be another provider's altogether.
    let (rest, _) = rest.split_once(HOME).unwrap();
    let gone = MasterKeyId::new(format!("{rest}*:000000000000:key/mrk-{}", "1".repeat(32))).unwrap();
    let told = fixture.provider.destruction(&gone).await.unwrap();
    assert!(matches!(&told, Some(Destruction::DestroyedHere { copies }) if copies.len() == 1), "{told:?}");
    let error = fixture.provider.destroy_key(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::UnknownKey, "nothing was destroyed: {error}");
    assert!(error.to_string().contains("name the region"), "{error}");
    let error = fixture.provider.unwrap_key(&WrappedKey::new(gone, [0; 116]).unwrap(), &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::UnknownKey, "{error}");
}

/// It XORs, and takes the key that it is given. So the rules on tampering are moto's alone.
pub(crate) async fn ministack_decrypts_what_was_changed_or_relabeled(aws: &Upstream) {
    let fixture = Fixture::new(aws).await;
    let (key, context) = material();
    let wrapped = fixture.provider.wrap_key(&key, &context).await.unwrap();
    let mut bytes = wrapped.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let changed = WrappedKey::new(wrapped.master().clone(), bytes).unwrap();
    let opened = fixture.provider.unwrap_key(&changed, &context).await;
    assert_ne!(opened.expect("ministack notices: run the suite's rules on it").expose(), key.expose());
    fixture.rotate().await;
    let other = AwsKms::new(fixture.client.clone(), &fixture.alias).unwrap().current().await.unwrap();
    let relabeled = WrappedKey::new(other, wrapped.as_bytes()).unwrap();
    let opened = fixture.provider.unwrap_key(&relabeled, &context).await;
    assert_ne!(opened.expect("ministack notices: run the suite's rules on it").expose(), key.expose());
}

#[expect(clippy::disallowed_methods, reason = "what KMS dates by")]
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(since.as_millis().try_into().unwrap())
}
