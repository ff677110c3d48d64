//! Which keys wrap, and how one is told from another.

use std::time::Duration;

use fieldseal::provider::{Destruction, MasterKeyId, MasterKeyProvider as _, ProviderErrorKind as Kind, WrappedKey};
use fieldseal_testkit::provider::ProviderFixture as _;
use reqwest::Method;
use serde_json::json;

use crate::world::{Bao, key, refused, wrapped};
use fleet_tests::life::whole_life;

pub(crate) async fn a_whole_life(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let copies =
        ["backups and snapshots of OpenBao's storage", "what the key was imported from or exported to, if it was"];
    whole_life(family.provider.clone(), &family, &copies).await;
}

pub(crate) async fn the_policies_of_the_runbook_suffice(bao: &Bao) {
    let runbook = include_str!("../../../../docs/master-keys.md");
    let mut policies = runbook.split("```hcl\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (application, retire) = (policies.next().unwrap(), policies.next().unwrap());
    let family = bao.family(json!({})).await;
    let old = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;

    let next = bao.name();
    bao.make_key(&next, &json!({})).await;
    let served = bao.provider_with(&next, &bao.token(&[("fieldseal", application)]).await);
    served.unwrap_key(&wrapped, &context).await.unwrap();
    let (key, context) = key();
    served.wrap_key(&key, &context).await.unwrap();
    assert_eq!(served.destruction(&old).await.unwrap(), None);
    refused(served.destroy_key(&old).await, Kind::Denied);

    let both = [("fieldseal", application), ("fieldseal-retire", retire)];
    let retires = bao.provider_with(&next, &bao.token(&both).await);
    retires.destroy_key(&old).await.unwrap();
    assert!(matches!(served.destruction(&old).await.unwrap(), Some(Destruction::DestroyedHere { .. })));
    // Nobody else's keys, and none is made.
    bao.make_key("shop", &json!({})).await;
    refused(bao.provider_with("shop", &bao.token(&both).await).current().await, Kind::Denied);
    refused(
        bao.provider_with("customers-none", &bao.token(&both).await).wrap_key(&key, &context).await,
        Kind::UnknownKey,
    );
}

/// Under its own name, and at another second.
async fn make_again(bao: &Bao, name: &str) {
    bao.delete_key(name).await;
    tokio::time::sleep(Duration::from_millis(1100)).await; // the engine tells keys apart by the second
    bao.make_key(name, &json!({})).await;
}

pub(crate) async fn a_key_that_is_made_again_is_another_one(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let old = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    make_again(bao, &family.name).await;
    let new = family.provider.current().await.unwrap();
    assert_ne!(old, new);
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::KeyDestroyed);
    assert!(family.provider.destruction(&old).await.unwrap().is_some());
    // To destroy the old one again is not to destroy the new one.
    family.rotate().await;
    family.provider.destroy_key(&old).await.unwrap();
    assert_eq!(family.provider.destruction(&new).await.unwrap(), None);
}

pub(crate) async fn a_wrapped_key_is_not_another_keys_of_the_same_name(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let old = family.provider.current().await.unwrap();
    make_again(bao, &family.name).await;
    let (wrapped, context) = wrapped(&family.provider).await;
    let relabeled = WrappedKey::new(old, wrapped.as_bytes()).unwrap();
    refused(family.provider.unwrap_key(&relabeled, &context).await, Kind::KeyDestroyed);
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
}

pub(crate) async fn a_key_that_was_deleted_is_not_made_by_wrapping(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let (key, context) = key();
    bao.delete_key(&family.name).await;
    refused(family.provider.wrap_key(&key, &context).await, Kind::UnknownKey);
    refused(family.provider.current().await, Kind::UnknownKey);
    refused(family.provider.use_key(&family.name).await, Kind::UnknownKey);
}

pub(crate) async fn a_key_of_another_engine_is_unknown(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let id = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    let mount = format!("elsewhere/{}", family.name);
    bao.admin(Method::POST, &format!("sys/mounts/{mount}"), json!({"type": "transit"})).await;
    bao.admin(Method::POST, &format!("{mount}/keys/{}", family.name), json!({})).await;
    let elsewhere = bao.provider(&family.name).mount(&mount).unwrap();
    assert_ne!(elsewhere.current().await.unwrap(), id);
    // A key of the same name is there, and then none.
    for _ in 0..2 {
        refused(elsewhere.unwrap_key(&wrapped, &context).await, Kind::UnknownKey);
        refused(elsewhere.destruction(&id).await, Kind::UnknownKey);
        refused(elsewhere.destroy_key(&id).await, Kind::UnknownKey);
        bao.admin(Method::POST, &format!("{mount}/keys/{}/config", family.name), json!({"deletion_allowed": true}))
            .await;
        bao.admin(Method::DELETE, &format!("{mount}/keys/{}", family.name), json!({})).await;
        bao.admin(Method::POST, &format!("{mount}/keys/{}", family.name), json!({})).await;
    }
    // An engine that is mounted anew at its path is another one.
    let there = elsewhere.current().await.unwrap();
    bao.admin(Method::DELETE, &format!("sys/mounts/{mount}"), json!({})).await;
    bao.admin(Method::POST, &format!("sys/mounts/{mount}"), json!({"type": "transit"})).await;
    refused(elsewhere.destruction(&there).await, Kind::UnknownKey);
    refused(elsewhere.destruction(&MasterKeyId::new("openbao:e:a:01").unwrap()).await, Kind::UnknownKey);
}

pub(crate) async fn a_key_that_can_leave_the_engine_is_refused(bao: &Bao) {
    for settings in [json!({"exportable": true}), json!({"allow_plaintext_backup": true})] {
        let family = bao.family(settings.clone()).await;
        let (key, context) = key();
        let refusal = refused(family.provider.wrap_key(&key, &context).await, Kind::Misconfigured);
        assert!(refusal.to_string().contains("exportable"));
        refused(family.provider.current().await, Kind::Misconfigured);
        refused(family.provider.use_key(&family.name).await, Kind::Misconfigured);
    }
    // Later, too: what is wrapped unwraps, nothing more is wrapped.
    let family = bao.family(json!({})).await;
    let (wrapped, context) = wrapped(&family.provider).await;
    bao.admin(Method::POST, &format!("transit/keys/{}/config", family.name), json!({"exportable": true})).await;
    let (key, _) = key();
    refused(family.provider.wrap_key(&key, &context).await, Kind::Misconfigured);
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
}

pub(crate) async fn a_key_that_wraps_badly_is_refused(bao: &Bao) {
    for settings in [
        json!({"derived": true, "convergent_encryption": true}),
        json!({"type": "aes128-gcm96"}),
        json!({"type": "rsa-2048"}),
        json!({"type": "ed25519"}),
        json!({"type": "hmac", "key_size": 32}),
    ] {
        let family = bao.family(settings.clone()).await;
        let (key, context) = key();
        refused(family.provider.wrap_key(&key, &context).await, Kind::Misconfigured);
    }
}

pub(crate) async fn a_soft_deleted_key_is_disabled(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let id = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    let path = format!("transit/keys/{}", family.name);
    bao.admin(Method::DELETE, &format!("{path}/soft-delete"), json!({})).await;
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::Disabled);
    refused(family.provider.current().await, Kind::Disabled);
    assert_eq!(family.provider.destruction(&id).await.unwrap(), None, "it can be restored");
    bao.admin(Method::POST, &format!("{path}/soft-delete-restore"), json!({})).await;
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
    // And it is destroyed like any.
    bao.admin(Method::DELETE, &format!("{path}/soft-delete"), json!({})).await;
    family.rotate().await;
    family.provider.destroy_key(&id).await.unwrap();
    assert!(family.provider.destruction(&id).await.unwrap().is_some());
}

pub(crate) async fn a_version_that_is_shut_off_is_disabled(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let id = family.provider.current().await.unwrap();
    let (wrapped, context) = wrapped(&family.provider).await;
    let path = format!("transit/keys/{}", family.name);
    bao.admin(Method::POST, &format!("{path}/rotate"), json!({})).await;
    bao.admin(Method::POST, &format!("{path}/config"), json!({"min_decryption_version": 2})).await;
    refused(family.provider.unwrap_key(&wrapped, &context).await, Kind::Disabled);
    // Which key it is can't be told, so nothing is said of it, and nothing destroyed.
    refused(family.provider.current().await, Kind::Misconfigured);
    refused(family.provider.destruction(&id).await, Kind::Misconfigured);
    family.rotate().await;
    refused(family.provider.destroy_key(&id).await, Kind::Misconfigured);
    bao.admin(Method::POST, &format!("{path}/config"), json!({"min_decryption_version": 1})).await;
    family.provider.unwrap_key(&wrapped, &context).await.unwrap();
}

pub(crate) async fn versions_of_a_key_are_one_master_key(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let id = family.provider.current().await.unwrap();
    let (first, first_context) = wrapped(&family.provider).await;
    bao.admin(Method::POST, &format!("transit/keys/{}/rotate", family.name), json!({})).await;
    assert_eq!(family.provider.current().await.unwrap(), id);
    let (second, second_context) = wrapped(&family.provider).await;
    family.provider.unwrap_key(&first, &first_context).await.unwrap();
    family.provider.unwrap_key(&second, &second_context).await.unwrap();
    family.rotate().await;
    family.provider.destroy_key(&id).await.unwrap();
    refused(family.provider.unwrap_key(&first, &first_context).await, Kind::KeyDestroyed);
    refused(family.provider.unwrap_key(&second, &second_context).await, Kind::KeyDestroyed);
}

pub(crate) async fn a_clone_uses_the_same_key(bao: &Bao) {
    let family = bao.family(json!({})).await;
    let clone = family.provider.clone();
    family.rotate().await;
    assert_eq!(clone.current().await.unwrap(), family.provider.current().await.unwrap());
    let other = bao.provider(&family.name);
    assert_ne!(other.current().await.unwrap(), clone.current().await.unwrap());
}

pub(crate) async fn a_namespace_is_asked_for(bao: &Bao) {
    let name = bao.name();
    bao.admin(Method::POST, "sys/namespaces/shop", json!({})).await;
    bao.admin(Method::POST, "shop/sys/mounts/transit", json!({"type": "transit"})).await;
    bao.admin(Method::POST, &format!("shop/transit/keys/{name}"), json!({})).await;
    refused(bao.provider(&name).current().await, Kind::UnknownKey);
    let inside = bao.provider(&name).namespace("/shop/").unwrap();
    let (wrapped, context) = wrapped(&inside).await;
    inside.unwrap_key(&wrapped, &context).await.unwrap();
    refused(bao.provider(&name).namespace("a b").map(drop), Kind::Misconfigured);
}
