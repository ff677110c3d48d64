//! Which keys wrap, and what becomes of those that are destroyed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::object::{Attribute, ObjectClass};
use fieldseal::provider::{Destruction, MasterKeyId, MasterKeyProvider as _, ProviderErrorKind as Kind, WrappedKey};
use fieldseal_pkcs11::{Pin, Pkcs11Options};
use fieldseal_testkit::provider::ProviderFixture as _;

use crate::world::{Admin, PIN, SHARED, bytes_of, empty_family, family, key, module, name, options, refused, wrapped};
use fleet_tests::life::whole_life;

pub(crate) async fn a_whole_life() {
    let family = family().await;
    let copies =
        ["backups and replicas of the HSM", "what the key was imported from, or copied to in the HSM, if it was"];
    whole_life(family.provider.clone(), &family, &copies).await;
}

pub(crate) async fn a_key_that_can_leave_the_token_is_refused() {
    let family = family().await;
    let (wrapped, context) = wrapped(&family.provider).await;
    let admin = Admin::of(SHARED);
    for (number, different) in [(2, Attribute::Extractable(true)), (3, Attribute::Sensitive(false))] {
        let id = [number; 16];
        admin.make_key(&format!("{}-{number}", family.name), &id, &[different]);
        let (key, other) = key();
        let refusal = refused(family.provider.wrap_key(&key, &other).await, Kind::Misconfigured);
        assert!(refusal.to_string().contains("extractable"));
        refused(family.provider.current().await, Kind::Misconfigured);
        let relabeled = WrappedKey::new(master(id), wrapped.as_bytes()).unwrap();
        refused(family.provider.unwrap_key(&relabeled, &context).await, Kind::Misconfigured);
    }
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
    family.rotate().await;
    family.provider.current().await.unwrap();
    // It can be destroyed as any.
    family.provider.destroy_key(&master([2; 16])).await.unwrap();
}

pub(crate) async fn a_key_that_is_too_short_is_refused() {
    let family = empty_family().await;
    refused(family.provider.current().await, Kind::UnknownKey);
    Admin::of(SHARED).make_key(&format!("{}-1", family.name), &[16; 16], &[Attribute::ValueLen(16.into())]);
    refused(family.provider.current().await, Kind::Misconfigured);
}

pub(crate) async fn a_key_without_an_id_of_its_own_is_refused() {
    let family = empty_family().await;
    let admin = Admin::of(SHARED);
    admin.make_key(&format!("{}-1", family.name), &[1], &[]);
    refused(family.provider.current().await, Kind::Misconfigured);
    let id = family.provider.add_key().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    admin.make_key(&format!("{}-3", family.name), &bytes_of(&id), &[]);
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::Misconfigured);
    refused(family.provider.destroy_key(&id).await, Kind::Misconfigured);
}

pub(crate) async fn the_key_of_the_highest_number_is_current() {
    let family = family().await;
    let admin = Admin::of(SHARED);
    // As numbers, not as text; and whoever made it.
    for number in [10, 9] {
        admin.make_key(&format!("{}-{number}", family.name), &[number; 16], &[]);
    }
    assert_eq!(family.provider.current().await.unwrap(), master([10; 16]));
    let next = family.provider.add_key().await.unwrap();
    assert_eq!(admin.keys(&format!("{}-11", family.name)).len(), 1);
    let elsewhere = options(SHARED, &family.name).open().await.unwrap();
    assert_eq!(elsewhere.current().await.unwrap(), next);
    // Two of one number: one of them, and always the same.
    admin.make_key(&format!("{}-11", family.name), &[0xff; 16], &[]);
    assert_eq!(family.provider.current().await.unwrap(), master([0xff; 16]));
}

pub(crate) async fn a_key_of_another_name_is_not_ours() {
    let (ours, theirs) = (family().await, family().await);
    let their_id = theirs.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&theirs.provider).await;
    theirs.rotate().await;
    refused(ours.provider.unwrap_key(&wrapped, &context).await, Kind::UnknownKey);
    refused(ours.provider.destruction(&their_id).await, Kind::UnknownKey);
    refused(ours.provider.destroy_key(&their_id).await, Kind::UnknownKey);
    theirs.provider.unwrap_key(&wrapped, &context).await.unwrap();
    refused(options(SHARED, "").open().await.map(drop), Kind::Misconfigured);
}

pub(crate) async fn a_trace_counts_only_where_the_key_is_gone() {
    let family = family().await;
    let id = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    family.rotate().await;
    // As a crash between the trace and the destruction leaves it.
    let hex = id.as_str().strip_prefix("pkcs11:").unwrap();
    let trace = [
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Label(format!("fieldseal: destroyed {hex}").into_bytes()),
    ];
    Admin::of(SHARED).session().create_object(&trace).unwrap();
    assert_eq!(family.provider.destruction(&id).await.unwrap(), None);
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
    family.provider.destroy_key(&id).await.unwrap();
    assert!(matches!(family.provider.destruction(&id).await.unwrap(), Some(Destruction::DestroyedHere { .. })));
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::KeyDestroyed);
    assert!(Admin::of(SHARED).keys(&format!("{}-1", family.name)).is_empty(), "the key is in the token");
}

pub(crate) async fn a_key_that_is_gone_without_a_trace_is_unknown() {
    let family = family().await;
    let id = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    family.rotate().await;
    let admin = Admin::of(SHARED);
    let session = admin.session();
    for handle in admin.keys(&format!("{}-1", family.name)) {
        session.destroy_object(handle).unwrap();
    }
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::UnknownKey);
    refused(family.provider.destruction(&id).await, Kind::UnknownKey);
    refused(family.provider.destroy_key(&id).await, Kind::UnknownKey);
}

/// SoftHSM says the same of a wrong context as of many a failure: only a key that works is believed.
pub(crate) async fn a_key_that_may_not_decrypt_is_not_a_wrong_context() {
    let family = empty_family().await;
    Admin::of(SHARED).make_key(&format!("{}-1", family.name), &[1; 16], &[Attribute::Decrypt(false)]);
    let (wrapped, context) = wrapped(&family.provider).await;
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::Misconfigured);
}

/// What asks for the PIN is the application's code.
pub(crate) async fn as_many_panics_as_threads_leave_the_token_usable() {
    let panics = Arc::new(AtomicBool::new(false));
    let asked = panics.clone();
    let pin = move || {
        assert!(!asked.load(Ordering::SeqCst), "on purpose");
        Ok(Pin::new(PIN))
    };
    let options = Pkcs11Options::new(module().unwrap(), "logged-out", name(), pin).sessions(THREADS);
    let provider = options.open().await.unwrap();
    let id = provider.add_key().await.unwrap();
    Admin::of("logged-out").session().logout().unwrap();
    panics.store(true, Ordering::SeqCst);
    for n in 0..2 * THREADS {
        let refusal = refused(provider.current().await, Kind::Unavailable);
        assert!(refusal.to_string().contains("panicked"), "call {n}: {refusal}");
    }
    panics.store(false, Ordering::SeqCst);
    assert_eq!(provider.current().await.unwrap(), id);
}

const THREADS: usize = 3;

fn master(id: [u8; 16]) -> MasterKeyId {
    MasterKeyId::new(format!("pkcs11:{:032x}", u128::from_be_bytes(id))).unwrap()
}
