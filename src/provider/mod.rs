//! Master keys: the port [`MasterKeyProvider`], and its adapters.
//!
//! Imports `error`, `id`, `clock`, `thread`, `disk`, `crypto`, `envelope` and `keys`; knows no other port.

mod any_of;
mod by_tenant;
pub(crate) mod local;
mod parts;
mod several;
mod succession;

use std::fmt::Debug;

use async_trait::async_trait;
use auto_impl::auto_impl;

pub use crate::error::{ProviderError, ProviderErrorKind};
pub use crate::keys::{KeyMaterial, MasterKeyId, WrapContext, WrapRole, WrappedKey};
pub use any_of::AnyOf;
pub use by_tenant::{ByTenant, TenantProviders};
pub use local::{KeyringOptions, LocalKeyring, MasterKeyInfo, MasterKeyState, Passphrase};
pub use succession::Succession;

use crate::clock::Timestamp;

/// Guards master keys and wraps keys with them: a local keyring, a cloud KMS, an HSM.
///
/// A master key never leaves its provider. Every method may be called concurrently. An implementation passes
/// `fieldseal_testkit::provider_suite!`.
#[async_trait]
#[auto_impl(Arc, Box)]
pub trait MasterKeyProvider: Debug + Send + Sync + 'static {
    /// The master key that [`wrap_key`](Self::wrap_key) uses now.
    ///
    /// # Errors
    /// [`ProviderError`] if the provider can't say.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn current(&self) -> Result<MasterKeyId, ProviderError>;

    /// Wraps a key under the current master key and says which one that was.
    ///
    /// # Errors
    /// [`ProviderError`] if the provider can't be reached, refuses, or has no master key.
    ///
    /// # Cancel safety
    /// Changes nothing at the provider.
    ///
    /// # Security
    /// The wrapping must be authenticated and bound to the whole `context` ([`WrapContext::encode`]).
    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError>;

    /// Unwraps a key that was wrapped under any master key which isn't destroyed.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Authentication` if it was wrapped under another context or changed, `UnknownKey` or
    /// `KeyDestroyed` if the master key is not there (any more).
    ///
    /// # Cancel safety
    /// Changes nothing at the provider.
    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError>;

    /// Destroys a master key. What is wrapped under it can't be unwrapped again. Idempotent.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `UnknownKey` if there never was one of this id, `Misconfigured` if it is the current one.
    ///
    /// # Cancel safety
    /// A call that is dropped may have destroyed the key; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError>;

    /// How far the destruction of a master key has gone; none if it is usable. Asks, and changes nothing: a destruction
    /// that was called back at the provider is not ordered again.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `UnknownKey` if there never was one of this id.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError>;
}

/// How far the destruction of a master key went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destruction {
    /// No copy is left anywhere.
    Destroyed,
    /// The provider destroys it later; until then it can be called back.
    Scheduled {
        /// When.
        at: Timestamp,
    },
    /// It is gone from where the provider keeps it; the operator answers for what else may hold a copy.
    DestroyedHere {
        /// What may hold a copy.
        copies: Vec<&'static str>,
    },
}

/// Wraps a key, and makes certain that it opens again. What is wrapped takes the place of what was wrapped before, or is all
/// that there is of a key: were it damaged, nothing under it would open any more.
pub(crate) async fn wrap_proven(
    provider: &dyn MasterKeyProvider,
    key: &KeyMaterial,
    context: &WrapContext,
) -> Result<WrappedKey, ProviderError> {
    let wrapped = provider.wrap_key(key, context).await?;
    match provider.unwrap_key(&wrapped, context).await {
        Ok(unwrapped) if unwrapped.id().is(&key.id()) => Ok(wrapped),
        Err(e) if e.kind() != ProviderErrorKind::Authentication => Err(e),
        _ => Err(ProviderError::corrupt("the provider wrapped a key so that it does not open: nothing was stored")),
    }
}
