//! Tenants with a master key of their own beside the store's.

use std::collections::HashMap;
use std::sync::Arc;

use fieldseal::TenantId;
use fieldseal::error::ProviderErrorKind;
use fieldseal::provider::{ByTenant, KeyMaterial, LocalKeyring, MasterKeyProvider, WrapContext, WrappedKey};
use fieldseal::store::Epoch;
use fieldseal_testkit::faults::{Act, Tap, Tapped};

use super::kind;
use crate::common::acme;

struct Scene {
    common: LocalKeyring,
    own: LocalKeyring,
    tap: Tap,
    provider: ByTenant,
}

fn scene() -> Scene {
    let [common, own] = [(); 2].map(|()| LocalKeyring::ephemeral().unwrap());
    let tap = Tap::open();
    let directory: HashMap<_, Arc<dyn MasterKeyProvider>> =
        HashMap::from([(acme(), Arc::new(Tapped::new(own.clone(), &tap)) as _)]);
    Scene { provider: ByTenant::new(common.clone(), directory), common, own, tap }
}

fn epoch_key(tenant: TenantId) -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::epoch_key(tenant, Epoch::FIRST, key.id());
    (key, context)
}

#[tokio::test]
async fn a_tenants_destroyed_master_key_ends_its_keys_not_its_root() {
    let Scene { own, provider, .. } = scene();
    let (key, context) = epoch_key(acme());
    let (root, of_root) = (KeyMaterial::generate().unwrap(), WrapContext::root(acme(), Epoch::FIRST, key.id()));
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let wrapped_root = provider.wrap_key(&root, &of_root).await.unwrap();
    let theirs = own.current().await.unwrap();
    own.add_key().await.unwrap();
    own.destroy_key(&theirs).await.unwrap();
    assert_eq!(kind(provider.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::KeyDestroyed));
    assert_eq!(provider.unwrap_key(&wrapped_root, &of_root).await.unwrap().expose(), root.expose());
}

#[tokio::test]
async fn a_tenant_whose_provider_is_down_waits_alone() {
    let Scene { tap, provider, .. } = scene();
    let (key, context) = epoch_key(acme());
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let (other, of_other) = epoch_key(TenantId::new("globex").unwrap());
    tap.set(|_| Act::Fail);
    assert_eq!(kind(provider.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::Unavailable));
    let wrapped = provider.wrap_key(&other, &of_other).await.unwrap();
    assert_eq!(provider.unwrap_key(&wrapped, &of_other).await.unwrap().expose(), other.expose());
}

#[tokio::test]
async fn what_somebody_changed_never_reaches_the_tenants_provider() {
    let Scene { tap, provider, .. } = scene();
    let (key, context) = epoch_key(acme());
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    tap.set(|_| panic!("it is asked"));
    for at in [MARK.len(), wrapped.as_bytes().len() / 2, wrapped.as_bytes().len() - 1] {
        let mut bytes = wrapped.as_bytes().to_vec();
        bytes[at] ^= 1;
        let changed = WrappedKey::new(wrapped.master().clone(), bytes).unwrap();
        assert_eq!(
            kind(provider.unwrap_key(&changed, &context).await),
            Some(ProviderErrorKind::Authentication),
            "{at}"
        );
    }
}

#[tokio::test]
async fn a_tenant_that_is_given_a_master_key_opens_what_it_had_before() {
    let Scene { common, provider, .. } = scene();
    let (key, context) = epoch_key(acme());
    let before = common.wrap_key(&key, &context).await.unwrap();
    assert_eq!(provider.unwrap_key(&before, &context).await.unwrap().expose(), key.expose());
}

#[tokio::test]
async fn a_tenant_that_is_missing_in_the_directory_is_told_of() {
    let Scene { common, provider, .. } = scene();
    let (key, context) = epoch_key(acme());
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let without = ByTenant::new(common, HashMap::new());
    let error = without.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    assert!(error.to_string().contains("name the tenant's provider"), "{error}");
}

/// What a key that is split begins with (`docs/format.md`, section 14).
const MARK: &[u8] = b"fieldseal halves 1";
