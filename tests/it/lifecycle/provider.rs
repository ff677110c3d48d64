//! Providers that fail for a moment, or answer what isn't so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fieldseal::provider::{Destruction, KeyMaterial, MasterKeyId, ProviderError, WrapContext, WrapRole, WrappedKey};

use super::*;

tests![
    a_refusal_that_passes_is_not_remembered
    a_wrapped_key_that_does_not_open_is_not_stored
    a_tenant_whose_root_is_refused_stops_no_build_and_is_compared_later
];

type ProviderResult<T> = std::result::Result<T, ProviderError>;

/// A keyring whose answers can be made to be odd.
#[derive(Debug)]
struct Odd {
    keyring: LocalKeyring,
    /// Answers before the first wrapped key that is damaged; `usize::MAX` if none is.
    whole: AtomicUsize,
    /// How often unwrapping an epoch key is refused.
    refusals: AtomicUsize,
}

impl Odd {
    fn new(world: &World) -> Arc<Self> {
        let (whole, refusals) = (AtomicUsize::new(usize::MAX), AtomicUsize::new(0));
        Arc::new(Self { keyring: world.provider.clone(), whole, refusals })
    }

    fn damages_after(&self, whole: usize) {
        self.whole.store(whole, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl MasterKeyProvider for Odd {
    async fn current(&self) -> ProviderResult<MasterKeyId> {
        self.keyring.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> ProviderResult<WrappedKey> {
        let wrapped = self.keyring.wrap_key(key, context).await?;
        let left = |whole: usize| if whole == usize::MAX { None } else { whole.checked_sub(1) };
        let before = self.whole.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left);
        if before != Err(0) {
            return Ok(wrapped);
        }
        let mut bytes = wrapped.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        Ok(WrappedKey::new(wrapped.master().clone(), bytes).unwrap())
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> ProviderResult<KeyMaterial> {
        let less = |left: usize| left.checked_sub(1);
        if context.role() == WrapRole::EpochKey
            && self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
        {
            return Err(ProviderError::new(ProviderErrorKind::Denied));
        }
        self.keyring.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> ProviderResult<Destruction> {
        self.keyring.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> ProviderResult<Option<Destruction>> {
        self.keyring.destruction(id).await
    }
}

/// Credentials that are renewed at this moment: the tenant's other keys came out.
async fn a_refusal_that_passes_is_not_remembered(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let odd = Odd::new(&world);
    let customers = world.vault_with(odd.clone()).await?.default_tenant();
    // Once when the subject's tag is asked for, once for its keys.
    odd.refusals.store(2, Ordering::SeqCst);
    assert!(is_of_kind(&customers.keys(&customer("ada")).await, ProviderErrorKind::Denied));
    assert!(open(&customers.keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}

/// It would take the place of the one that opens.
async fn a_wrapped_key_that_does_not_open_is_not_stored(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let odd = Odd::new(&world);
    let vault = world.vault_with(odd.clone()).await?;
    odd.damages_after(0);
    assert!(
        is_of_kind(&vault.tenant(&acme()).enroll(&customer("ada")).await, ProviderErrorKind::Corrupt),
        "a new tenant's"
    );
    world.provider.add_key().await?;
    assert!(is_of_kind(&all_moved(vault.advance_epoch().await), ProviderErrorKind::Corrupt), "the vault's root");
    odd.damages_after(1);
    assert!(is_of_kind(&all_moved(vault.advance_epoch().await), ProviderErrorKind::Corrupt), "a tenant's keys");
    odd.damages_after(1); // behind the new epoch key
    assert!(is_of_kind(&all_moved(vault.advance_epoch().await), ProviderErrorKind::Corrupt), "a tenant's root");
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &sealed)?);

    odd.damages_after(usize::MAX);
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &sealed)?);
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    Ok(())
}

/// A keyring that refuses one tenant, for as long as it is told to.
#[derive(Debug)]
struct Denies {
    keyring: LocalKeyring,
    tenant: TenantId,
    is_on: AtomicBool,
}

#[async_trait::async_trait]
impl MasterKeyProvider for Denies {
    async fn current(&self) -> ProviderResult<MasterKeyId> {
        self.keyring.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> ProviderResult<WrappedKey> {
        self.keyring.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> ProviderResult<KeyMaterial> {
        if self.is_on.load(Ordering::SeqCst) && context.tenant() == Some(&self.tenant) {
            return Err(ProviderError::new(ProviderErrorKind::Denied));
        }
        self.keyring.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> ProviderResult<Destruction> {
        self.keyring.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> ProviderResult<Option<Destruction>> {
        self.keyring.destruction(id).await
    }
}

/// What was erased in it may be back: it hands out nothing before somebody has looked.
async fn a_tenant_whose_root_is_refused_stops_no_build_and_is_compared_later(on: &Ground) -> Result {
    for is_back in [false, true] {
        let world = world_on(on).await?;
        let vault = world.vault().await?;
        vault.default_tenant().enroll(&customer("ben")).await?;
        vault.tenant(&acme()).enroll(&customer("cy")).await?;
        let before = world.subjects().await?;
        vault.tenant(&acme()).enroll(&customer("ada")).await?;
        let live = world.subjects().await?.into_iter().find(|slot| !before.contains(slot)).unwrap();
        vault.tenant(&acme()).erase(&customer("ada"), &whole()).await?;
        if is_back {
            let gone = world.subjects().await?.into_iter().find(|slot| slot.id() == live.id()).unwrap();
            world.store.put(&live, Expected::Revision(gone.revision())).await?;
        }
        let keyring = world.provider.clone();
        let denies = Arc::new(Denies { keyring, tenant: acme(), is_on: AtomicBool::new(true) });
        let vault = world.vault_with(denies.clone()).await?;
        vault.default_tenant().keys(&customer("ben")).await?;
        let theirs = vault.tenant(&acme());
        assert!(is_of_kind(&theirs.keys(&customer("cy")).await, ProviderErrorKind::Denied));
        denies.is_on.store(false, Ordering::SeqCst);
        assert!(is_of_kind(&theirs.keys(&customer("cy")).await, ProviderErrorKind::Denied), "nobody has looked yet");
        world.pass_max_age();
        let keys = theirs.keys(&customer("cy")).await;
        assert_eq!(matches!(keys, Err(Error::StoreBehindJournal { .. })), is_back, "{keys:?}");
        assert_eq!(keys.is_ok(), !is_back);
    }
    Ok(())
}
