//! [`OpenBaoUrl`]: a key of a transit engine.
//!
//! The token is in `BAO_TOKEN`, else in `VAULT_TOKEN`, or in the file that `token-file` names: never in the URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fieldseal_openbao::{OpenBao, Token};
use rustls::{ClientConfig, RootCertStore};

use super::tls::Flaw;
use super::url::{Query, encoded, is_address};
use super::{Kind, Trouble, file};

/// `https://host:8200/transit/KEY`
#[derive(Clone, Debug)]
pub(crate) struct OpenBaoUrl {
    address: String,
    mount: String,
    key: String,
    namespace: Option<String>,
    token_file: Option<PathBuf>,
}

impl OpenBaoUrl {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || {
            Trouble::usage(
                "an OpenBao key is openbao:https://HOST:8200/MOUNT/KEY, without a user: the token is in BAO_TOKEN, or in the file \
                 that `token-file` names",
            )
        };
        let (place, mut query) = Query::split(text)?;
        let host = place.find("://").map_or(0, |at| at + 3);
        let path = place.get(host..).and_then(|rest| rest.find('/')).map(|at| host + at).ok_or_else(wrong)?;
        let (address, path) = place.split_at(path);
        let (mount, key) = path.trim_start_matches('/').rsplit_once('/').ok_or_else(wrong)?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !is_address(address) || mount.is_empty() || key.is_empty() || !path.chars().all(fits) {
            return Err(wrong());
        }
        let (namespace, token_file) = (query.take("namespace")?, query.take("token-file")?);
        query.end(&["namespace", "token-file"])?;
        let (address, mount, key) = (address.to_owned(), mount.to_owned(), key.to_owned());
        Ok(Self { address, mount, key, namespace, token_file: token_file.map(PathBuf::from) })
    }

    pub(super) async fn open(&self, folder: &Path) -> Result<OpenBao, Trouble> {
        // Each attempt's end is the guard's.
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls(self.has_tls())?);
        // No redirect takes the token out of TLS.
        let client = client.https_only(self.has_tls());
        // A proxy tunnels what has TLS; of anything else it would have token and keys.
        let client = if self.has_tls() { client } else { client.no_proxy() }.build();
        let client = client.map_err(|e| Trouble::unavailable("no HTTP client").because(e))?;
        let bao = OpenBao::new(client.clone(), &self.address, &self.key, self.token(folder)?)?.mount(&self.mount)?;
        let bao = match &self.namespace {
            Some(namespace) => bao.namespace(namespace)?,
            None => bao,
        };
        self.is_reached(&client).await?;
        Ok(bao)
    }

    fn has_tls(&self) -> bool {
        self.address.starts_with("https:")
    }

    /// That the server is who it is said to be, and speaks what the URL says: to the adapter it is one that doesn't answer.
    /// What is asked is for everybody; the token is not sent yet.
    async fn is_reached(&self, client: &reqwest::Client) -> Result<(), Trouble> {
        let health = client.get(format!("{}/v1/sys/health", self.address)).timeout(PATIENCE);
        let wrong = match health.send().await {
            Err(e) => match Flaw::of(&e) {
                Some(flaw) => because_of(flaw),
                // What else is wrong, the adapter tells.
                None => return Ok(()),
            },
            Ok(mut answer) if !self.has_tls() && answer.status() == reqwest::StatusCode::BAD_REQUEST => {
                let said = answer.chunk().await.ok().flatten().unwrap_or_default();
                if !String::from_utf8_lossy(&said).contains("HTTPS") {
                    return Ok(());
                }
                "it speaks TLS: write https:// instead of http:// in its URL"
            }
            Ok(_) => return Ok(()),
        };
        Err(Trouble::usage(format!("OpenBao at {}: {wrong}", self.address)))
    }

    fn token(&self, folder: &Path) -> Result<Token, Trouble> {
        let mut text = match &self.token_file {
            Some(path) => {
                let path = file(folder, path);
                let failed = format!("can't read the token's file {}", path.display());
                std::fs::read_to_string(&path).map_err(|e| Trouble::usage(failed).because(e))?
            }
            None => {
                ["BAO_TOKEN", "VAULT_TOKEN"].into_iter().find_map(|name| std::env::var(name).ok()).ok_or_else(|| {
                    Trouble::usage("no token for OpenBao: set BAO_TOKEN, or name a file that has it with `token-file`")
                })?
            }
        };
        while text.ends_with(['\n', '\r']) {
            text.pop();
        }
        Ok(Token::new(text)?)
    }

    /// The key is the operator's to make.
    pub(super) fn missing(&self) -> Trouble {
        let what = format!(
            "the transit engine has no key {key}: make it, `bao write -f {mount}/keys/{key}`, with a name that was never used",
            key = self.key,
            mount = self.mount
        );
        Trouble::new(Kind::Operators, what)
    }
}

/// reqwest's TLS comes without cryptography of its own. Authorities are looked for where TLS is used alone.
fn tls(is_used: bool) -> Result<ClientConfig, Trouble> {
    let authorities = if is_used { authorities()? } else { RootCertStore::empty() };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions();
    let config = config.map_err(|e| Trouble::unavailable("no TLS").because(e))?;
    Ok(config.with_root_certificates(authorities).with_no_client_auth())
}

fn authorities() -> Result<RootCertStore, Trouble> {
    let mut authorities = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    authorities.add_parsable_certificates(found.certs);
    if !authorities.is_empty() {
        return Ok(authorities);
    }
    let none = Trouble::usage(
        "no authority for TLS is trusted here: name a file with its certificate (PEM) in SSL_CERT_FILE, or install the \
         system's (`ca-certificates`)",
    );
    Err(match found.errors.into_iter().next() {
        Some(e) => none.because(e),
        None => none,
    })
}

/// What is to be done about TLS that doesn't come about.
fn because_of(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Untrusted => {
            "nobody who is trusted here has signed its certificate: name a file with the authority's (PEM) in SSL_CERT_FILE"
        }
        Flaw::OtherHost => "its certificate is another host's: name it in the URL as the certificate does",
        Flaw::Outdated => "its certificate is past its time, or not valid yet: renew it there, or set the clock here",
        Flaw::NoCertificate => "its certificate is not one of a server: make it a new one, signed by an authority",
        Flaw::NoTls => "it speaks no TLS: turn it on there, or write http:// where it is an agent on this machine",
        Flaw::Refused => "it refuses TLS as this tool has it (1.2 and 1.3, without a certificate of its own)",
    }
}

impl fmt::Display for OpenBaoUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = Vec::new();
        query.extend(self.namespace.iter().map(|namespace| format!("namespace={}", encoded(namespace))));
        query.extend(self.token_file.iter().map(|file| format!("token-file={}", encoded(&file.display().to_string()))));
        write!(f, "{}/{}/{}", self.address, self.mount, self.key)?;
        if query.is_empty() { Ok(()) } else { write!(f, "?{}", query.join("&")) }
    }
}

/// How long it is waited for before the adapter asks, which waits for longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a new master key becomes the current one.
pub(super) const NEXT_KEY: &str = "a new master key is made in the transit engine, under a name that was never used \
                                   (`bao write -f transit/keys/NAME`); then name it in the URL. What is wrapped under the \
                                   one before still unwraps";
