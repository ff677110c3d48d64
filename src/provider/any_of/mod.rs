//! [`AnyOf`]: several providers, each of which opens what all of them wrapped.
//!
//! Imports `error`, `keys`, `parts`, `several` and the port.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use super::parts::{self, Parts};
use super::several::{only_keeper, refusal_to_report, slower, slower_if_both_end, slowest_destruction, unknown_key};
use super::{Destruction, MasterKeyProvider, wrap_proven};
use crate::error::{Error, ProviderError, ProviderErrorKind};
use crate::keys::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};

/// A master key that exists several times: in two regions or clouds, or in a KMS and, as an availability key, in an HSM.
/// Each key is wrapped by all of the providers and unwrapped by any that answers.
///
/// ```
/// # use fieldseal::journal::MemoryJournal;
/// # use fieldseal::provider::{AnyOf, LocalKeyring};
/// # use fieldseal::store::MemoryStore;
/// # use fieldseal::{SubjectId, Vault};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> fieldseal::Result<()> {
/// # let (frankfurt, dublin) = (LocalKeyring::ephemeral()?, LocalKeyring::ephemeral()?);
/// let provider = AnyOf::new(frankfurt).member(dublin);
/// let builder = Vault::builder(provider, MemoryStore::new()).journal(MemoryJournal::new()?);
/// # let builder = builder.kinds(["customer"]);
/// let vault = builder.build().await?;
/// # vault.default_tenant().enroll(&SubjectId::new("customer", &17)?).await?;
/// # Ok(())
/// # }
/// ```
///
/// **Wrapping needs all of them**: an epoch, or a tenant, that only some of them could open would be worth less than was
/// asked for. So each unwraps what it wrapped before the set is said to have wrapped it. It is rare: a new tenant, a new
/// epoch. Unwrapping asks them in turn and takes the first answer; give each a deadline, so that one that is down costs
/// little.
///
/// **The set is one master key**, named by all its members' ids, in whatever order they are asked ([`MasterKeyId::any_of`]: at
/// most 1024 bytes together). Where
/// a member has a new current key, or the set has another member, the set is another master key, and wants a new epoch
/// ([`Vault::advance_epoch`](crate::Vault::advance_epoch)). So a provider is added or removed: build the vault with the new
/// set, advance, rewrap, retire the old epoch. An epoch shares no member's key with an earlier one, because retiring that
/// would destroy it: **where a provider stays, make a new master key there first.** To retire the old set, all its members
/// are needed once more: `Succession::to(new set).from(old set)`.
///
/// What one of the providers wrapped alone, before there was a set, unwraps too.
///
/// # Security
/// Whoever may use any one of the providers, and read the key store, reads everything. A member's key is dead only when the
/// set's is: [`destruction`](MasterKeyProvider::destruction) tells the slowest.
#[derive(Clone, Debug)]
pub struct AnyOf(Vec<Arc<dyn MasterKeyProvider>>);

impl AnyOf {
    /// The provider that is asked first to unwrap. Alone it is what it is: a set has at least two.
    pub fn new(first: impl MasterKeyProvider) -> Self {
        Self(vec![Arc::new(first)])
    }

    /// Another member of the set, asked after those before it.
    #[must_use]
    pub fn member(mut self, next: impl MasterKeyProvider) -> Self {
        self.0.push(Arc::new(next));
        self
    }

    /// The wrapped forms that `wrapped` is made of, with the master keys; and what holds them together.
    fn parts<'a>(wrapped: &'a WrappedKey) -> Result<(Vec<WrappedKey>, Option<Parts<'a>>), ProviderError> {
        let Some(members) = wrapped.master().members() else { return Ok((vec![wrapped.clone()], None)) };
        let parts = Parts::read(wrapped.as_bytes(), members.len()).ok_or_else(changed)?;
        let each = members.into_iter().enumerate().map(|(n, member)| WrappedKey::new(member, parts.get(n)));
        Ok((each.collect::<Result<_, _>>().map_err(|_| changed())?, Some(parts)))
    }

    /// Any provider's answer: each in turn is asked for the parts. One that wrapped none of them mostly knows by the names.
    async fn unwrap_any(&self, parts: &[WrappedKey], context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let mut refused = None;
        for provider in &self.0 {
            for part in parts {
                match provider.unwrap_key(part, context).await {
                    Ok(key) => return Ok(key),
                    Err(e) if e.kind() == ProviderErrorKind::UnknownKey => {}
                    // Whoever comes next may open it: what holds the parts together is looked at behind that.
                    Err(e) => refused = Some(refusal_to_report(refused, e)),
                }
            }
        }
        Err(refused.unwrap_or_else(unknown_key))
    }
}

#[async_trait]
impl MasterKeyProvider for AnyOf {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        set(&try_join_all(self.0.iter().map(|provider| provider.current())).await?)
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        if let [alone] = self.0.as_slice() {
            return alone.wrap_key(key, context).await;
        }
        // Each by itself: whoever unwraps what the set made asks one of them, and the others' parts are for a bad day.
        let mut wrapped = try_join_all(self.0.iter().map(|provider| wrap_proven(&**provider, key, context))).await?;
        wrapped.sort_unstable_by(|one, other| one.master().as_str().cmp(other.master().as_str())); // as in the name
        let master = set(&wrapped.iter().map(|part| part.master().clone()).collect::<Vec<_>>())?;
        let parts: Vec<&[u8]> = wrapped.iter().map(WrappedKey::as_bytes).collect();
        let bytes = parts::join(LABEL, master.as_str().as_bytes(), &parts, key);
        WrappedKey::new(master, bytes).map_err(|_| {
            ProviderError::misconfigured(
                "what the providers make of a key has more than 4096 bytes together: leave one out",
            )
        })
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let (each, parts) = Self::parts(wrapped)?;
        let key = self.unwrap_any(&each, context).await?;
        match parts {
            Some(parts) if !parts.hold_together(LABEL, wrapped.master().as_str().as_bytes(), &key) => Err(changed()),
            _ => Ok(key),
        }
    }

    /// Destroys each member's, once it is clear that every member is known to one provider and to one alone, and that none is
    /// current. Gives the slowest destruction. One that refuses keeps none of the others.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let members = id.members().unwrap_or_else(|| vec![id.clone()]);
        let mut keepers = Vec::with_capacity(members.len());
        for member in &members {
            let provider = only_keeper(self.0.iter(), member).await?;
            if provider.current().await? == *member {
                return Err(ProviderError::misconfigured(
                    "one of its providers still wraps with this master key: make another one current there first",
                ));
            }
            keepers.push((provider, member));
        }
        let mut slowest = Ok(Destruction::Destroyed);
        for (provider, member) in keepers {
            let destruction = provider.destroy_key(member).await;
            slowest = slowest.and_then(|slowest| Ok(slower(slowest, destruction?)));
        }
        slowest
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let mut slowest = Some(Destruction::Destroyed);
        for member in id.members().unwrap_or_else(|| vec![id.clone()]) {
            // All are asked: one that nobody knows makes the set unknown.
            slowest = slower_if_both_end(slowest, slowest_destruction(self.0.iter(), &member).await?);
        }
        Ok(slowest)
    }
}

/// The one master key that some are.
fn set(members: &[MasterKeyId]) -> Result<MasterKeyId, ProviderError> {
    match members {
        [alone] => Ok(alone.clone()),
        _ => MasterKeyId::any_of(members).map_err(|e| match e {
            Error::InvalidInput(why) => ProviderError::misconfigured(why),
            e => ProviderError::new(ProviderErrorKind::Misconfigured).with_source(e),
        }),
    }
}

fn changed() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Authentication)
}

const LABEL: &str = "any of";

#[cfg(test)]
mod tests;
