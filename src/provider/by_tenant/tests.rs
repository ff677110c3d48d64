use super::*;
use crate::keys::Epoch;
use crate::provider::LocalKeyring;
use crate::testing::faults::{Act, Tap, Tapped};

struct World {
    common: LocalKeyring,
    own: LocalKeyring,
    tap: Tap,
    provider: ByTenant,
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn world() -> World {
    let [common, own] = [(); 2].map(|()| LocalKeyring::ephemeral().unwrap());
    let tap = Tap::open();
    let directory: HashMap<_, Arc<dyn MasterKeyProvider>> =
        HashMap::from([(acme(), Arc::new(Tapped::new(own.clone(), &tap)) as _)]);
    World { provider: ByTenant::new(common.clone(), directory), common, own, tap }
}

fn kind<T>(answer: Result<T, ProviderError>) -> Option<ProviderErrorKind> {
    answer.err().map(|e| e.kind())
}

fn epoch_key(tenant: TenantId) -> (KeyMaterial, WrapContext) {
    let key = KeyMaterial::generate().unwrap();
    let context = WrapContext::epoch_key(tenant, Epoch::FIRST, key.id());
    (key, context)
}

#[tokio::test]
async fn neither_master_key_alone_opens_a_tenants_key() {
    let World { common, own, provider, .. } = world();
    let (key, context) = epoch_key(acme());
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    assert_eq!(wrapped.master(), &common.current().await.unwrap(), "the epoch's is the store's");
    assert_eq!(provider.unwrap_key(&wrapped, &context).await.unwrap().expose(), key.expose());
    let parts = Parts::read(wrapped.as_bytes().strip_prefix(MARK).unwrap(), 3).unwrap();
    let half = WrappedKey::new(common.current().await.unwrap(), parts.get(0)).unwrap();
    let other = WrappedKey::new(own.current().await.unwrap(), parts.get(2)).unwrap();
    for half in [common.unwrap_key(&half, &context).await, own.unwrap_key(&other, &context).await] {
        assert_ne!(half.unwrap().expose(), key.expose());
    }
    common.add_key().await.unwrap();
    provider.destroy_key(wrapped.master()).await.unwrap();
    assert_eq!(kind(provider.unwrap_key(&wrapped, &context).await), Some(ProviderErrorKind::KeyDestroyed));
}

#[tokio::test]
async fn a_tenants_own_destroyed_master_key_ends_its_keys_and_not_its_root() {
    let World { own, provider, .. } = world();
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
    let World { tap, provider, .. } = world();
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
    let World { tap, provider, .. } = world();
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
    let World { common, provider, .. } = world();
    let (key, context) = epoch_key(acme());
    let before = common.wrap_key(&key, &context).await.unwrap();
    assert_eq!(provider.unwrap_key(&before, &context).await.unwrap().expose(), key.expose());
}

#[tokio::test]
async fn a_tenant_that_is_missing_in_the_directory_is_told_of() {
    let World { common, provider, .. } = world();
    let (key, context) = epoch_key(acme());
    let wrapped = provider.wrap_key(&key, &context).await.unwrap();
    let without = ByTenant::new(common, HashMap::new());
    let error = without.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Misconfigured);
    assert!(error.to_string().contains("name the tenant's provider"), "{error}");
}
