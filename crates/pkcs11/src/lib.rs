//! [`Pkcs11`]: master keys in an HSM, or in whatever token a PKCS#11 module reaches.
//!
//! `options` is what it takes to open one, `token` finds the token and logs in, `workers` are
//! the threads that wait for it, `keys` is what is done in a session, `failure` what a refusal means.

mod failure;
mod keys;
mod options;
mod token;
mod workers;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use options::{Pin, Pkcs11Options};

use self::failure::Failure;
use self::keys::{HsmKeyId, KeyLabel, Sealed};
use self::token::Access;
use self::workers::Workers;
use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::{Destruction, MasterKeyProvider};
use fieldseal::provider::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};
use fieldseal::thread;

/// Master keys in a token that a PKCS#11 module reaches: an HSM. Tested against SoftHSM. Opened by [`Pkcs11Options`].
///
/// A master key is an AES key of 256 bits that never leaves the token (`CKA_SENSITIVE`, not `CKA_EXTRACTABLE`, looked at whenever
/// it is used), with an id (`CKA_ID`) of 16 random bytes by which it is known. Its label is `NAME-N`: of all keys with the
/// same name, the one of the highest number is the current one, for every process that uses the token.
/// [`add_key`](Self::add_key) makes the next; or an operator does, with the vendor's tool. `docs/master-keys.md` is the runbook.
///
/// Keys are wrapped by AES-GCM in the token, with the context as associated data and a random nonce.
///
/// A destroyed key leaves a trace: a data object that names its id. Without it nobody could tell a key that was destroyed
/// from one that this token never had. Where a token takes no data objects, no key is destroyed (`Misconfigured`).
///
/// All calls run on threads of its own, each with a session of its own; more calls than threads wait. A call that the module
/// does not come back from holds its thread for good. The module is initialized once a process and never finalized. A token
/// knows one login a process: whoever uses the same token in this process, through the same module, is logged in too. A clone
/// is another handle on the same threads, which end with the last: dropping it waits for calls that are under way, for two
/// seconds at most, because a module that is at work when the process exits may crash it.
///
/// # Security
/// A key passes in the clear between this process and the module; how it goes on from there is the vendor's. Our buffers are
/// wiped, the module's are not ours.
#[derive(Clone)]
pub struct Pkcs11 {
    workers: Arc<Workers>,
    name: KeyLabel,
}

impl Pkcs11 {
    /// Opens a token: what [`Pkcs11Options::open`] does.
    async fn open_with(options: Pkcs11Options) -> Result<Self, ProviderError> {
        let name = KeyLabel::new(&options.key)?;
        let sessions = options.sessions;
        let token = thread::run(move || options.into_token()).await.map_err(ProviderError::no_thread)??;
        let workers = Workers::start(token, sessions)?;
        workers.run(Access::Read, |_| Ok(())).await?;
        Ok(Self { workers: Arc::new(workers), name })
    }

    /// Makes a new master key in the token and the current one, and gives its id. What is wrapped under the others still unwraps.
    ///
    /// A key store's epoch has one master key: until the store's epoch advances to the new one, it refuses to make new tenants.
    /// So call [`Vault::advance_epoch`](fieldseal::Vault::advance_epoch) next. Back the token up first.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Denied` if the user may not make keys, `Misconfigured` if the token doesn't make such keys,
    /// `Unavailable` if it can't be reached or is full.
    ///
    /// # Cancel safety
    /// Once polled, the key is made also if the future is dropped: [`current`](MasterKeyProvider::current) tells.
    pub async fn add_key(&self) -> Result<MasterKeyId, ProviderError> {
        let (name, id) = (self.name.clone(), HsmKeyId::random()?);
        self.workers.run(Access::Write, move |session| keys::generate(session, &name, &id)).await?;
        id.to_master()
    }
}

#[async_trait]
impl MasterKeyProvider for Pkcs11 {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        let name = self.name.clone();
        self.workers.run(Access::Read, move |session| Ok(keys::current(session, &name)?.id)).await?.to_master()
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let key = KeyMaterial::from_slice(key.expose()).map_err(ProviderError::internal)?;
        let (name, context) = (self.name.clone(), context.encode());
        let wrap = move |session: &_| {
            let current = keys::current(session, &name)?;
            Ok((keys::seal(session, current.handle, key.expose(), &context)?, current.id))
        };
        let (sealed, id) = self.workers.run(Access::Read, wrap).await?;
        WrappedKey::new(id.to_master()?, sealed).map_err(ProviderError::internal)
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let id = HsmKeyId::of(wrapped.master())?;
        let sealed = Sealed::try_from(wrapped.as_bytes());
        let (name, context) = (self.name.clone(), context.encode());
        let unwrap = move |session: &_| {
            let Some(key) = keys::find(session, &name, &id)? else {
                return Err(Failure::Said(match keys::was_destroyed(session, &id)? {
                    true => ProviderError::new(ProviderErrorKind::KeyDestroyed),
                    false => ProviderError::new(ProviderErrorKind::UnknownKey),
                }));
            };
            let sealed = sealed.as_ref().map_err(|_| Failure::authentication())?;
            keys::open(session, key.fit()?, sealed, &context)
        };
        self.workers.run(Access::Read, unwrap).await
    }

    /// Leaves the trace, then destroys the key in the token.
    ///
    /// # Errors
    /// Those of the port. `Misconfigured`, too, if the token takes no data objects, `Denied` if the user may not destroy: the key
    /// is there then.
    ///
    /// # Cancel safety
    /// Once polled, the key is destroyed also if the future is dropped; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let (name, id) = (self.name.clone(), HsmKeyId::of(id)?);
        let destroy = move |session: &_| {
            if let Some(key) = keys::find(session, &name, &id)? {
                return keys::destroy(session, &name, &key);
            }
            if keys::was_destroyed(session, &id)? { Ok(()) } else { Err(Failure::unknown_key()) }
        };
        self.workers.run(Access::Write, destroy).await.map(|()| destroyed())
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let (name, id) = (self.name.clone(), HsmKeyId::of(id)?);
        let look = move |session: &_| match keys::find(session, &name, &id)? {
            Some(_) => Ok(None),
            None if keys::was_destroyed(session, &id)? => Ok(Some(destroyed())),
            None => Err(Failure::unknown_key()),
        };
        self.workers.run(Access::Read, look).await
    }
}

impl fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs11(..)")
    }
}

fn destroyed() -> Destruction {
    Destruction::DestroyedHere { copies: COPIES.to_vec() }
}

/// What may hold a copy of a key that is gone from the token.
const COPIES: [&str; 2] =
    ["backups and replicas of the HSM", "what the key was imported from, or copied to in the HSM, if it was"];
