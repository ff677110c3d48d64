//! [`OpenBaoUrl`]: a key of a transit engine.
//!
//! The token is in `BAO_TOKEN`, else in `VAULT_TOKEN`, or in the file that `token-file` names: never in the URL.

use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};

use fieldseal::provider::{OpenBao, Token};

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
        let client =
            reqwest::Client::builder().build().map_err(|e| Trouble::unavailable("no HTTP client").because(e))?;
        if self.address.starts_with("https:") && !has_tls(&client).await {
            return Err(Trouble::usage(
                "this build has no TLS for HTTP: give `reqwest` its feature `rustls` in Cargo.toml, or name an agent on this \
                 machine (`bao agent`) by http://",
            ));
        }
        let bao = OpenBao::new(client, &self.address, &self.key, self.token(folder)?)?.mount(&self.mount)?;
        match &self.namespace {
            Some(namespace) => Ok(bao.namespace(namespace)?),
            None => Ok(bao),
        }
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

/// Whether this build's HTTP client speaks TLS. Without it, it refuses before it connects; with it, nobody listens there.
async fn has_tls(client: &reqwest::Client) -> bool {
    let Err(refused) = client.head("https://127.0.0.1:1/").send().await else { return true };
    let mut source = refused.source();
    while let Some(e) = source {
        if e.to_string().contains("scheme is not http") {
            return false;
        }
        source = e.source();
    }
    true
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

/// How a new master key becomes the current one.
pub(super) const NEXT_KEY: &str = "a new master key is made in the transit engine, under a name that was never used \
                                   (`bao write -f transit/keys/NAME`); then name it in the URL. What is wrapped under the \
                                   one before still unwraps";
