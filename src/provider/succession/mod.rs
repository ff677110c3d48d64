//! [`Succession`]: one provider takes over from another, without a data key being touched.
//!
//! Imports `error`, `keys`, `several` and the port.

use std::sync::Arc;

use async_trait::async_trait;

use super::several::{only_keeper, refusal_to_report, slowest_destruction, unknown_key};
use super::{Destruction, MasterKeyProvider};
use crate::error::{ProviderError, ProviderErrorKind};
use crate::keys::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};

/// A provider that takes over from earlier ones: what is wrapped from now on is wrapped by it, and what they wrapped still
/// unwraps. For moving from a keyring file to another one or to a KMS, or from one KMS to the next.
///
/// The move is a new epoch: a vault that is built with a succession advances to it, rewraps, and retires the epoch before,
/// which destroys the earlier provider's master key. Data keys and rows stay as they are. `docs/providers.md` is the runbook.
///
/// ```
/// # use fieldseal::journal::MemoryJournal;
/// # use fieldseal::provider::{LocalKeyring, Succession};
/// # use fieldseal::store::MemoryStore;
/// # use fieldseal::{SubjectId, Vault};
/// # use std::sync::Arc;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> fieldseal::Result<()> {
/// # let (old, new) = (LocalKeyring::ephemeral()?, LocalKeyring::ephemeral()?);
/// # let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new()?));
/// # let before = Vault::builder(old.clone(), store.clone()).kinds(["customer"]).journal(journal.clone()).build().await?;
/// # before.default_tenant().enroll(&SubjectId::new("customer", &17)?).await?;
/// let provider = Succession::to(new).from(old.clone());
/// let vault = Vault::builder(provider, store).journal(journal).kinds(["customer"]).build().await?;
/// let before = vault.current_epoch().await?;
/// vault.advance_epoch().await?; // under the new provider's master key
/// let mut next = None;
/// loop {
///     next = vault.rewrap_page(next.as_ref(), 100).await?.next;
///     if next.is_none() {
///         break;
///     }
/// }
/// old.add_key().await?; // no provider destroys its current master key: another takes its place
/// vault.retire_epoch(before).await?;
/// # Ok(())
/// # }
/// ```
///
/// To unwrap, each provider is asked in turn, the newest first, until one does. If none does, the answer is
/// [`ProviderErrorKind::UnknownKey`] only where all of them say so: one that can't be reached is not taken for one that has no
/// such key.
///
/// **Destroying asks all of them first**, because a master key is known by its id alone. Exactly one must know the id: where
/// two do (a keyring file that was copied has the same keys; two providers may also name different keys alike), nothing is
/// destroyed, and where one can't answer, neither. So the wrong key is never destroyed, and no key is reported as destroyed
/// while another provider still has it.
///
/// **Nor does the earlier provider destroy its current master key**, as no provider does: make another one current there
/// first. It will wrap nothing.
///
/// When the last epoch of the earlier provider is retired the new one does alone. But whether its master keys are destroyed
/// is asked of the provider, by each `erasure_status` anew: without it, receipts from before the move are not final
/// ([`KeyEnd::Unconfirmed`](crate::vault::KeyEnd::Unconfirmed)). So leave it in the succession for as long as receipts
/// are to be looked at: it holds nothing that opens anything.
///
/// # Security
/// While the succession lasts, whoever may use either of the providers, and read the key store, reads what is in its epochs.
#[derive(Clone, Debug)]
pub struct Succession {
    /// The newest first; never empty.
    newest: Arc<dyn MasterKeyProvider>,
    earlier: Vec<Arc<dyn MasterKeyProvider>>,
}

impl Succession {
    /// The provider that wraps from now on.
    pub fn to(current: impl MasterKeyProvider) -> Self {
        Self { newest: Arc::new(current), earlier: Vec::new() }
    }

    /// An earlier provider, whose master keys still live. If there are several, name the latest first: the order matters for
    /// speed alone.
    #[must_use]
    pub fn from(mut self, earlier: impl MasterKeyProvider) -> Self {
        self.earlier.push(Arc::new(earlier));
        self
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn MasterKeyProvider>> {
        std::iter::once(&self.newest).chain(&self.earlier)
    }
}

#[async_trait]
impl MasterKeyProvider for Succession {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.newest.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.newest.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let mut refused = None;
        for provider in self.all() {
            match provider.unwrap_key(wrapped, context).await {
                // The wrapping is authenticated: whoever unwraps it wrapped it.
                Ok(key) => return Ok(key),
                Err(e) if e.kind() == ProviderErrorKind::UnknownKey => {}
                Err(e) => refused = Some(refusal_to_report(refused, e)),
            }
        }
        Err(refused.unwrap_or_else(unknown_key))
    }

    /// At the one provider that knows it.
    ///
    /// # Errors
    /// Those of the port; `Misconfigured`, too, if more than one provider knows a master key of this id: nothing was
    /// destroyed. And that of any provider that can't say whether it knows it.
    ///
    /// # Cancel safety
    /// A call that is dropped may have destroyed the key; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        only_keeper(self.all(), id).await?.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        slowest_destruction(self.all(), id).await
    }
}

#[cfg(test)]
mod tests;
