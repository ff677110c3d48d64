//! [`OpenBao`]: master keys in a transit engine.
//!
//! `token` is what a caller shows, `server` is one request and what its answer means, `keys`
//! are the engine's keys and the names of ours, `wire` the bodies of requests and answers.

mod keys;
mod server;
mod token;
mod wire;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use reqwest::{Client, Method};

pub use token::{Token, TokenSource};

use self::keys::{BaoKey, BaoKeyId, KeyName};
use self::server::Server;
use self::wire::{Ciphertext, Opened, Sealed};
use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::{Destruction, MasterKeyProvider};
use fieldseal::provider::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey};

/// Master keys in the transit engine of an OpenBao server. Tested against OpenBao.
///
/// A key of the engine is a master key. The operator makes it, with a name that was never used
/// (`bao write -f transit/keys/customers-1`), and the application is told the name; for the next epoch the operator makes
/// another (`customers-2`), and the configuration changes, or [`use_key`](Self::use_key) is called. A rotation by the engine
/// adds a version to the same master key and is no new one; it may be left off, since epochs do its work. `docs/master-keys.md`
/// is the runbook, with the policy.
///
/// The id of a master key names the engine (by its unique id, whatever its address and path), the key, and when the key was
/// made. So a key that was deleted and made again under its name is another one, and one that another server doesn't have is
/// not taken for destroyed. Keys are told apart by the second in which they were made.
///
/// Keys are `aes256-gcm96`, `chacha20-poly1305` or `xchacha20-poly1305`, `derived` or not. A key that can leave the engine
/// (`exportable`, `allow_plaintext_backup`), one that is `convergent`, and one whose first version is shut off, is refused with
/// `Misconfigured` when it is to wrap.
///
/// The client is the application's, with its TLS, proxy and pool; give it a timeout: nothing here has one. Where a standby
/// node redirects, the client must follow, and sends the token to where it is led. To unwrap is one request, to wrap three.
/// A clone is another handle with the same current key.
///
/// ```no_run
/// # use fieldseal_openbao::{OpenBao, Token};
/// # fn f(tls: reqwest::Client, text: String) -> Result<OpenBao, fieldseal::provider::ProviderError> {
/// let token = Token::new(text)?;
/// OpenBao::new(tls, "https://bao.internal:8200", "customers-1", token)?.mount("transit")?.namespace("shop")
/// # }
/// ```
///
/// # Security
/// A key passes in the clear, in base64, between this process and the server: use TLS. Buffers of our own are wiped; what the
/// HTTP client and its TLS copy of a request or an answer is not.
#[derive(Clone)]
pub struct OpenBao {
    server: Server,
    current: Arc<RwLock<KeyName>>,
}

impl OpenBao {
    /// The transit engine at `transit`, and the key that wraps. The address is `https://host:port`, with a path before `/v1` if
    /// there is one. Asks the server nothing.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if the address is not that of a server, or holds a user or password; or if the
    /// engine can't have a key of this name.
    ///
    /// # Security
    /// The token needs what `docs/master-keys.md` says and no more. With `http://`, whoever is on the way has token and keys:
    /// a proxy, too, which reqwest takes from `HTTP_PROXY` for `http://127.0.0.1` as well, so build such a client with
    /// `no_proxy()`.
    pub fn new(
        client: Client,
        address: &str,
        key: &str,
        token: impl TokenSource + 'static,
    ) -> Result<Self, ProviderError> {
        let server = Server::new(client, address, Arc::new(token))?;
        Ok(Self { server, current: Arc::new(RwLock::new(KeyName::new(key)?)) })
    }

    /// The path that the engine is mounted at, if it isn't `transit`.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if it can't be one.
    pub fn mount(mut self, path: &str) -> Result<Self, ProviderError> {
        self.server.set_mount(path)?;
        Ok(self)
    }

    /// The namespace that the engine is in, if it isn't the root.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if it can't be one.
    pub fn namespace(mut self, path: &str) -> Result<Self, ProviderError> {
        self.server.set_namespace(path)?;
        Ok(self)
    }

    /// Makes another key of the engine the current one, for this handle and its clones, and gives its id. It must be there. What
    /// is wrapped under the others still unwraps.
    ///
    /// Other processes have their own configuration. A key store's epoch has one master key: until the store's epoch advances to
    /// the new one, it refuses to make new tenants. So call [`Vault::advance_epoch`](fieldseal::Vault::advance_epoch) next.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `UnknownKey` if it isn't there, `Misconfigured` if it isn't fit; and where the server refuses or
    /// can't be reached. The current key stays.
    ///
    /// # Cancel safety
    /// A call that is dropped changes nothing.
    pub async fn use_key(&self, name: &str) -> Result<MasterKeyId, ProviderError> {
        let name = KeyName::new(name)?;
        let id = self.usable(&name).await?.to_master()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = name;
        Ok(id)
    }

    fn current_name(&self) -> KeyName {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A key that is there and may wrap.
    async fn usable(&self, name: &KeyName) -> Result<BaoKeyId, ProviderError> {
        let seen = self.server.look(name).await?;
        let Some(key) = seen.key else {
            return Err(ProviderError::new(ProviderErrorKind::UnknownKey)
                .with_hint("make it in the transit engine, or name one that is there"));
        };
        Ok(BaoKeyId { engine: seen.engine, name: name.clone(), made: key.fit_to_wrap()? })
    }

    /// What the engine has of a master key now; none if it is gone.
    async fn find(&self, id: &BaoKeyId) -> Result<Option<BaoKey>, ProviderError> {
        let seen = self.server.look(&id.name).await?;
        if seen.engine != id.engine {
            return Err(ProviderError::new(ProviderErrorKind::UnknownKey)
                .with_hint("it is another transit engine's, or was one's that is not there any more"));
        }
        match seen.key {
            None => Ok(None),
            Some(key) => match key.made() {
                Some(made) if made == id.made => Ok(Some(key)),
                Some(_) => Ok(None), // another one, of the same name
                None => Err(keys::first_version_is_shut_off()),
            },
        }
    }

    async fn encrypt(&self, id: &BaoKeyId, key: &KeyMaterial, context: &[u8]) -> Result<Ciphertext, ProviderError> {
        let body = wire::encrypt(key, context)?;
        let answer = self.server.call(Method::POST, &["encrypt", id.name.as_str()], Some(body)).await?;
        Ciphertext::parse(wire::data::<Sealed<'_>>(&answer)?.ciphertext)
    }

    async fn decrypt(
        &self,
        id: &BaoKeyId,
        ciphertext: &Ciphertext,
        context: &[u8],
    ) -> Result<KeyMaterial, ProviderError> {
        let body = wire::decrypt(ciphertext, context)?;
        let answer = self.server.call(Method::POST, &["decrypt", id.name.as_str()], Some(body)).await?;
        wire::key_material(wire::data::<Opened<'_>>(&answer)?.plaintext)
    }
}

#[async_trait]
impl MasterKeyProvider for OpenBao {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.usable(&self.current_name()).await?.to_master()
    }

    /// Bound to `ENC("openbao", master key id, context)`: as associated data, and as the context of a key that is `derived`.
    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        let id = self.usable(&self.current_name()).await?;
        let master = id.to_master()?;
        let wrapped = self.encrypt(&id, key, &bound(&master, context)).await?;
        WrappedKey::new(master, wrapped.to_bytes()).map_err(ProviderError::internal)
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let id = BaoKeyId::of(wrapped.master())?;
        let ciphertext = Ciphertext::from_bytes(wrapped.as_bytes())?;
        match self.decrypt(&id, &ciphertext, &bound(wrapped.master(), context)).await {
            // Under a key of the same name, or of another engine, it does not open either.
            Err(refused) if is_about_the_key(&refused) => match self.find(&id).await? {
                None => Err(ProviderError::new(ProviderErrorKind::KeyDestroyed)),
                Some(_) => Err(refused),
            },
            answer => answer,
        }
    }

    /// Allows the key to be deleted, and deletes it, with all its versions.
    ///
    /// # Errors
    /// Those of the port. `UnknownKey`, too, if the id is another engine's; `Misconfigured` if the key's first version is shut
    /// off, so that it can't be told from another one of the name.
    ///
    /// # Cancel safety
    /// A call that is dropped may have destroyed the key; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let id = BaoKeyId::of(id)?;
        if self.find(&id).await?.is_none() {
            return Ok(destroyed());
        }
        if self.current_name() == id.name {
            return Err(ProviderError::misconfigured(
                "the current master key is not destroyed: make another one, and let `OpenBao` use it",
            ));
        }
        let path = ["keys", id.name.as_str()];
        let allow = self.server.call(Method::POST, &[path[0], path[1], "config"], Some(wire::allow_deletion())).await;
        if gone(allow)? {
            return Ok(destroyed()); // somebody else was faster
        }
        gone(self.server.call(Method::DELETE, &path, None).await)?;
        Ok(destroyed())
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        let found = self.find(&BaoKeyId::of(id)?).await?;
        Ok(if found.is_none() { Some(destroyed()) } else { None })
    }
}

impl fmt::Debug for OpenBao {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenBao").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The master key's id too: else a wrapped key could be said to be another key's of the same name.
fn bound(master: &MasterKeyId, context: &WrapContext) -> Vec<u8> {
    context.encode_under("openbao", master)
}

/// Refused for a reason that a deleted key can have, too.
fn is_about_the_key(refused: &ProviderError) -> bool {
    matches!(refused.kind(), ProviderErrorKind::Authentication | ProviderErrorKind::UnknownKey)
}

/// Whether the key was not there any more.
fn gone<T>(answer: Result<T, ProviderError>) -> Result<bool, ProviderError> {
    match answer {
        Err(e) if e.kind() == ProviderErrorKind::UnknownKey => Ok(true),
        answer => answer.map(|_| false),
    }
}

fn destroyed() -> Destruction {
    Destruction::DestroyedHere { copies: COPIES.to_vec() }
}

/// What may hold a copy of a key that is gone from the engine.
const COPIES: [&str; 2] =
    ["backups and snapshots of OpenBao's storage", "what the key was imported from or exported to, if it was"];
