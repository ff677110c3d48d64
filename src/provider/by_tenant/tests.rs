//! What needs the halves themselves; the rest is in `tests/it/providers`.

use super::*;
use crate::keys::Epoch;
use crate::provider::LocalKeyring;

#[tokio::test]
async fn neither_master_key_alone_opens_a_tenants_key() {
    let [common, own] = [(); 2].map(|()| LocalKeyring::ephemeral().unwrap());
    let (acme, key) = (TenantId::new("acme").unwrap(), KeyMaterial::generate().unwrap());
    let context = WrapContext::epoch_key(acme.clone(), Epoch::FIRST, key.id());
    let directory: HashMap<_, Arc<dyn MasterKeyProvider>> = HashMap::from([(acme, Arc::new(own.clone()) as _)]);
    let provider = ByTenant::new(common.clone(), directory);
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
    let refused = provider.unwrap_key(&wrapped, &context).await.unwrap_err();
    assert_eq!(refused.kind(), ProviderErrorKind::KeyDestroyed);
}
