//! [`ByTenant`]: tenants with master keys of their own.
//!
//! Imports `error`, `id`, `keys`, `parts` and the port.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::parts::{self, Parts};
use super::{Destruction, MasterKeyProvider};
use crate::error::{Error, ProviderError, ProviderErrorKind};
use crate::id::TenantId;
use crate::keys::{KeyMaterial, MasterKeyId, WrapContext, WrapRole, WrappedKey};

/// Tenants whose keys need a master key of their own beside the store's: in the tenant's region (residency), or in the tenant's
/// own account, who can revoke it (bring your own key). Who has none has the store's alone.
///
/// ```
/// # use fieldseal::journal::MemoryJournal;
/// # use fieldseal::provider::{ByTenant, LocalKeyring, MasterKeyProvider};
/// # use fieldseal::store::MemoryStore;
/// # use fieldseal::{SubjectId, TenantId, Vault};
/// # use std::collections::HashMap;
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> fieldseal::Result<()> {
/// # let (ours, theirs) = (LocalKeyring::ephemeral()?, LocalKeyring::ephemeral()?);
/// let acme = TenantId::new("acme")?;
/// let own: HashMap<TenantId, Arc<dyn MasterKeyProvider>> = HashMap::from([(acme.clone(), Arc::new(theirs) as _)]);
/// let provider = ByTenant::new(ours, own);
/// let builder = Vault::builder(provider, MemoryStore::new()).journal(MemoryJournal::new()?);
/// # let builder = builder.kinds(["customer"]);
/// let vault = builder.build().await?;
/// # vault.tenant(&acme).enroll(&SubjectId::new("customer", &17)?).await?;
/// # Ok(())
/// # }
/// ```
///
/// **Such a key is split in two**: a random half, and the key xor that half. The store's master key wraps the one, the tenant's
/// own the other; neither half says anything without the other. So the tenant's data can't be read without the tenant's
/// master key; and when the store retires an epoch and its master key is destroyed, what was wrapped in the epoch is dead
/// whatever the tenant does with theirs. Receipts are final as they are without this.
///
/// It concerns the keys that data hangs on (wrapping keys and index keys). The tenant's **root** is the store's: it names
/// subjects and guards slots, and opens no data. So a tenant whose own master key is revoked, disabled or gone can still be
/// erased, subject by subject or whole.
///
/// A tenant that gets a master key of its own, or another one, has it from the next epoch on: advance, rewrap, retire. Until
/// then the directory must give a provider that knows the former one too ([`Succession`](super::Succession)).
///
/// While a tenant's own provider is down, refuses or is named nowhere, only that tenant waits, and can be erased all the same:
/// [`Vault::advance_epoch`](crate::Vault::advance_epoch) moves the others and then says so; a rewrap, `erase_due` and the like tell
/// of its slots beside those that they did. Give each such provider a [`Guarded`](crate::guard::Guarded) of its own, whose
/// circuit opens: else each of the tenant's slots waits for it anew. And the store's one of its own, not one around the whole:
/// that could not tell whose silence it waited for, and one tenant's would be everybody's.
///
/// # Security
/// What a process has unwrapped it uses until `max_age`: a revocation takes that long.
#[derive(Clone, Debug)]
pub struct ByTenant {
    common: Arc<dyn MasterKeyProvider>,
    own: Arc<dyn TenantProviders>,
}

/// Where [`ByTenant`] looks up a tenant's own provider: a map, or something that makes them on demand.
#[async_trait]
pub trait TenantProviders: Debug + Send + Sync + 'static {
    /// The tenant's own provider; none if it has only the store's. It is asked for each key that is wrapped or unwrapped, so
    /// it gives the same one again, not one made anew.
    ///
    /// # Errors
    /// [`ProviderError`] if it can't say. A tenant that has one is never said to have none: its keys would be wrapped by the
    /// store's alone.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn provider_of(&self, tenant: &TenantId) -> Result<Option<Arc<dyn MasterKeyProvider>>, ProviderError>;
}

#[async_trait]
impl TenantProviders for HashMap<TenantId, Arc<dyn MasterKeyProvider>> {
    async fn provider_of(&self, tenant: &TenantId) -> Result<Option<Arc<dyn MasterKeyProvider>>, ProviderError> {
        Ok(self.get(tenant).cloned())
    }
}

impl ByTenant {
    /// The store's provider, and those that tenants have beside it.
    pub fn new(common: impl MasterKeyProvider, own: impl TenantProviders) -> Self {
        Self { common: Arc::new(common), own: Arc::new(own) }
    }

    /// What goes wrong here, or at the provider, stops this tenant and no other.
    async fn own_of(&self, context: &WrapContext) -> Result<Option<Arc<dyn MasterKeyProvider>>, ProviderError> {
        match (context.role(), context.tenant()) {
            (WrapRole::EpochKey | WrapRole::IndexKey, Some(tenant)) => {
                self.own.provider_of(tenant).await.map_err(ProviderError::of_one_tenant)
            }
            _ => Ok(None),
        }
    }
}

#[async_trait]
impl MasterKeyProvider for ByTenant {
    /// The store's.
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.common.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let Some(own) = self.own_of(context).await? else { return self.common.wrap_key(key, context).await };
        let half = KeyMaterial::generate().map_err(no_key)?;
        let common = self.common.wrap_key(&half, context).await?;
        let own = own.wrap_key(&xor(key, &half)?, context).await.map_err(ProviderError::of_one_tenant)?;
        let parts = [common.as_bytes(), own.master().as_str().as_bytes(), own.as_bytes()];
        let bytes = [MARK, &parts::join(LABEL, common.master().as_str().as_bytes(), &parts, &half)].concat();
        WrappedKey::new(common.master().clone(), bytes).map_err(|_| {
            ProviderError::misconfigured("what both providers make of a key has more than 4096 bytes together")
                .of_one_tenant()
        })
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let changed = || ProviderError::new(ProviderErrorKind::Authentication);
        let Some(bytes) = wrapped.as_bytes().strip_prefix(MARK) else {
            return self.common.unwrap_key(wrapped, context).await;
        };
        let parts = Parts::read(bytes, 3).ok_or_else(changed)?;
        let common = WrappedKey::new(wrapped.master().clone(), parts.get(0)).map_err(|_| changed())?;
        let half = self.common.unwrap_key(&common, context).await?;
        // Before the tenant's provider is asked for anything that somebody else may have written.
        if !parts.hold_together(LABEL, wrapped.master().as_str().as_bytes(), &half) {
            return Err(changed());
        }
        let own = self.own_of(context).await?.ok_or_else(|| {
            ProviderError::misconfigured("the tenant's keys need a master key of its own: name the tenant's provider")
                .of_one_tenant()
        })?;
        let master = std::str::from_utf8(parts.get(1)).ok().and_then(|id| MasterKeyId::new(id).ok());
        let other = WrappedKey::new(master.ok_or_else(changed)?, parts.get(2)).map_err(|_| changed())?;
        xor(&own.unwrap_key(&other, context).await.map_err(ProviderError::of_one_tenant)?, &half)
    }

    /// The store's. A tenant's own is the tenant's to destroy.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.common.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.common.destruction(id).await
    }
}

fn xor(one: &KeyMaterial, other: &KeyMaterial) -> Result<KeyMaterial, ProviderError> {
    let mut mixed = Zeroizing::new(*one.expose());
    mixed.iter_mut().zip(other.expose()).for_each(|(byte, other)| *byte ^= other);
    KeyMaterial::from_slice(mixed.as_slice()).map_err(no_key)
}

fn no_key(e: Error) -> ProviderError {
    ProviderError::unavailable(e)
}

/// What a key that is split begins with: no provider's own bytes do.
const MARK: &[u8] = b"fieldseal halves 1";
const LABEL: &str = "halves";

#[cfg(test)]
mod tests;
