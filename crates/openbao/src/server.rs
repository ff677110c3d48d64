//! One request to the server, and what its answer means.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Response, StatusCode, Url};
use zeroize::Zeroizing;

use super::keys::{self, BaoKey, KeyName};
use super::token::TokenSource;
use super::wire::{self, Body, Mount, Refusal};
use fieldseal::error::{ProviderError, ProviderErrorKind};

/// A server, and where on it the engine is.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    address: Url,
    mount: String,
    namespace: Option<HeaderValue>,
    token: Arc<dyn TokenSource>,
}

/// What stands under a name in the engine.
pub(super) struct Seen {
    /// The engine's unique id.
    pub(super) engine: String,
    pub(super) key: Option<BaoKey>,
}

impl Server {
    pub(super) fn new(client: Client, address: &str, token: Arc<dyn TokenSource>) -> Result<Self, ProviderError> {
        let wrong = || ProviderError::misconfigured("the server's address is not of the form https://host:port");
        let address = Url::parse(address).map_err(|_| wrong())?;
        let bare = address.query().is_none() && address.fragment().is_none();
        if !matches!(address.scheme(), "http" | "https") || !address.has_host() || !bare {
            return Err(wrong());
        }
        if !address.username().is_empty() || address.password().is_some() {
            return Err(ProviderError::misconfigured(
                "the server's address holds a user or a password: it goes by a token",
            ));
        }
        Ok(Self { client, address, mount: "transit".to_owned(), namespace: None, token })
    }

    pub(super) fn set_mount(&mut self, path: &str) -> Result<(), ProviderError> {
        self.mount = checked_path(path)?;
        Ok(())
    }

    pub(super) fn set_namespace(&mut self, path: &str) -> Result<(), ProviderError> {
        let path = checked_path(path)?;
        self.namespace = Some(HeaderValue::try_from(path).map_err(|_| wrong_path())?);
        Ok(())
    }

    /// What the engine has under this name. The engine is asked for first: only its own answer that it has no such key means
    /// that there is none.
    pub(super) async fn look(&self, name: &KeyName) -> Result<Seen, ProviderError> {
        let url = self.url(["sys", "internal", "ui", "mounts"].into_iter().chain(self.mount.split('/')));
        let mount: Mount = wire::data(&self.send(Method::GET, url, None).await?)?;
        if mount.kind != "transit" || !keys::is_engine(&mount.uuid) {
            return Err(ProviderError::misconfigured("what is mounted at the path is no transit engine"));
        }
        let key = match self.call(Method::GET, &["keys", name.as_str()], None).await {
            Ok(answer) => Some(wire::key(&answer)?),
            Err(e) if e.kind() == ProviderErrorKind::UnknownKey => None,
            Err(e) => return Err(e),
        };
        Ok(Seen { engine: mount.uuid, key })
    }

    /// A request to the engine.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Body>,
    ) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.send(method, self.url(self.mount.split('/').chain(path.iter().copied())), body).await
    }

    fn url<'a>(&'a self, path: impl Iterator<Item = &'a str>) -> Url {
        let mut url = self.address.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn send(&self, method: Method, url: Url, body: Option<Body>) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert("x-vault-token", self.token.token().header());
        headers.insert("x-vault-request", HeaderValue::from_static("true")); // an agent may ask for it
        if let Some(namespace) = &self.namespace {
            headers.insert("x-vault-namespace", namespace.clone());
        }
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(Bytes::from_owner(body).into());
        }
        let response = self.client.execute(request).await.map_err(not_sent)?;
        let status = response.status();
        if status.is_success() {
            return read(response).await;
        }
        // A proxy may say anything: its status has to do.
        let said = read(response).await.ok().and_then(|said| serde_json::from_slice::<Refusal>(&said).ok());
        Err(refused(status, said.as_ref().map(|said| said.errors.as_slice())))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.mount, self.address)
    }
}

/// A path without slashes at its ends.
fn checked_path(path: &str) -> Result<String, ProviderError> {
    let path = path.trim_matches('/');
    let is_segment = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(keys::is_of_name);
    if path.len() <= 1024 && path.split('/').all(is_segment) { Ok(path.to_owned()) } else { Err(wrong_path()) }
}

fn wrong_path() -> ProviderError {
    ProviderError::misconfigured("a mount or namespace is letters, digits, `_`, `.` and `-`, with `/` in between")
}

/// An answer's body, as long as it may be.
async fn read(mut response: Response) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
    // So large that it doesn't grow, which would leave copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    while let Some(chunk) = response.chunk().await.map_err(not_sent)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(ProviderError::corrupt("the answer is longer than one of a transit engine"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Why there is no answer. The source names no URL.
fn not_sent(e: reqwest::Error) -> ProviderError {
    let e = e.without_url();
    if e.is_builder() || e.is_redirect() {
        return ProviderError::misconfigured("the request can't be sent").with_source(e);
    }
    let hint = if e.is_timeout() {
        "it did not answer in time"
    } else if e.is_connect() {
        "it can't be reached"
    } else {
        "the connection was lost"
    };
    ProviderError::unavailable(e).with_hint(hint)
}

/// What a refusal means; `said` is none if it wasn't in the server's words. No word of it is passed on: it may name keys.
fn refused(status: StatusCode, said: Option<&[String]>) -> ProviderError {
    use ProviderErrorKind as Kind;
    let (kind, hint) = match (status.as_u16(), said) {
        (400, Some(said)) => return refused_request(said),
        (401 | 403, _) => (
            Kind::Denied,
            "the token is not valid any more (renewing it is the application's), or its policy lacks a right, or there is no \
             such mount",
        ),
        (404, Some([])) => return ProviderError::new(Kind::UnknownKey),
        (404, _) => (Kind::Misconfigured, "there is no transit engine at this address and path"),
        (408, _) => (Kind::Unavailable, "it timed out"),
        (429, _) => (Kind::Throttled, "its quota is used up"),
        (412 | 472 | 473, _) | (300..=399, _) => {
            (Kind::Unavailable, "a standby node answered: name the active one, or let the client follow redirects")
        }
        (503, _) => (Kind::Unavailable, "it is sealed, or in maintenance"),
        (500..=599, _) => (Kind::Unavailable, "the server failed"),
        _ => (Kind::Misconfigured, "the server takes no such request: is it one of OpenBao?"),
    };
    ProviderError::new(kind).with_hint(hint)
}

/// Status 400 says nothing, the words do.
fn refused_request(said: &[String]) -> ProviderError {
    use ProviderErrorKind as Kind;
    let says = |words: &str| said.iter().any(|said| said.contains(words));
    if says("message authentication failed") || says("invalid ciphertext") {
        ProviderError::new(Kind::Authentication)
    } else if says("encryption key not found")
        || says("no existing key named")
        || says("could not delete key; not found")
    {
        ProviderError::new(Kind::UnknownKey)
    } else if says("unknown key type must-exist") {
        ProviderError::new(Kind::UnknownKey).with_hint("it was deleted at this moment")
    } else if says("soft-deleted") {
        keys::soft_deleted()
    } else if says("disallowed by policy (too old)") {
        ProviderError::new(Kind::Disabled)
            .with_hint("the version of the key that wrapped is below its min_decryption_version, or was trimmed")
    } else {
        ProviderError::misconfigured("the engine refuses the request: look at the key's type and settings")
    }
}

/// Bytes of an answer: a key with thousands of versions.
const MAX_ANSWER: usize = 64 * 1024;
