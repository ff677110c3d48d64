//! [`ProviderUrl`]: where master keys are; and [`Provider`], opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use fieldseal::error::ProviderError;
use fieldseal::provider::{
    Destruction, KeyMaterial, KeyringOptions, LocalKeyring, MasterKeyId, MasterKeyProvider, Passphrase, WrapContext,
    WrappedKey,
};

use super::scheme::{Scheme, Schemes};
use super::{Trouble, exists, file, there};

/// Where master keys are.
#[derive(Clone, Debug)]
pub(crate) enum ProviderUrl {
    /// A keyring file.
    Keyring(PathBuf),
    #[cfg(feature = "aws")]
    AwsKms(super::aws::KmsUrl),
    #[cfg(feature = "openbao")]
    OpenBao(super::openbao::OpenBaoUrl),
    #[cfg(feature = "pkcs11")]
    Pkcs11(super::pkcs11::Pkcs11Url),
}

const SCHEMES: Schemes = Schemes {
    port: "provider",
    known: &[
        Scheme { name: "keyring", form: "keyring:FILE", feature: None },
        Scheme { name: "awskms", form: "awskms:KEY?region=REGION", feature: Some("aws") },
        Scheme { name: "openbao", form: "openbao:https://HOST:8200/transit/KEY", feature: Some("openbao") },
        Scheme { name: "pkcs11", form: "pkcs11:token=LABEL;object=LABEL?module-path=FILE", feature: Some("pkcs11") },
    ],
};

/// An opened provider, and what its kind can do beyond the port.
pub(crate) struct Provider {
    port: Arc<dyn MasterKeyProvider>,
    maker: Maker,
}

/// Who makes its master keys.
enum Maker {
    Keyring(LocalKeyring),
    #[cfg(feature = "pkcs11")]
    Pkcs11(fieldseal_pkcs11::Pkcs11),
    /// Whoever runs the provider, in this way.
    Operator(&'static str),
    /// Nobody: it could not be opened.
    Nobody(ProviderError),
}

/// A provider that could not be opened, in the place of one of several that could: each call says why.
#[derive(Debug)]
struct Shut(ProviderError);

impl ProviderUrl {
    /// Whether what it names is there, and can be used.
    pub(crate) async fn is_there(&self, folder: &Path) -> Result<bool, Trouble> {
        match self {
            Self::Keyring(path) => exists(&file(folder, path)),
            #[cfg(feature = "aws")]
            Self::AwsKms(url) => {
                url.is_named().await?;
                is_there(self.open(folder, None).await, url.missing()).await
            }
            #[cfg(feature = "openbao")]
            Self::OpenBao(url) => is_there(self.open(folder, None).await, url.missing()).await,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(url) => url.is_there(folder).await,
        }
    }

    /// Makes it, where the tool can.
    pub(crate) async fn make(&self, folder: &Path, passphrase: Option<Passphrase>) -> Result<(), Trouble> {
        match self {
            Self::Keyring(path) => protected(passphrase).generate(file(folder, path)).await.map(drop)?,
            #[cfg(feature = "aws")]
            Self::AwsKms(url) => return Err(url.missing()),
            #[cfg(feature = "openbao")]
            Self::OpenBao(url) => return Err(url.missing()),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(url) => url.make(folder).await?,
        }
        Ok(())
    }

    /// Opens it. A passphrase is a keyring's.
    pub(crate) async fn open(&self, folder: &Path, passphrase: Option<Passphrase>) -> Result<Provider, Trouble> {
        Ok(match self {
            Self::Keyring(path) => {
                let keyring = protected(passphrase).open(there("keyring", file(folder, path))?).await?;
                Provider { port: Arc::new(keyring.clone()), maker: Maker::Keyring(keyring) }
            }
            #[cfg(feature = "aws")]
            Self::AwsKms(url) => {
                let port = Arc::new(super::guarded(url.open().await?));
                Provider { port, maker: Maker::Operator(super::aws::NEXT_KEY) }
            }
            #[cfg(feature = "openbao")]
            Self::OpenBao(url) => {
                let port = Arc::new(super::guarded(url.open(folder).await?));
                Provider { port, maker: Maker::Operator(super::openbao::NEXT_KEY) }
            }
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(url) => {
                let token = url.open(folder).await?;
                Provider { port: Arc::new(super::guarded(token.clone())), maker: Maker::Pkcs11(token) }
            }
        })
    }

    /// What it is that [`make`](Self::make) makes.
    pub(crate) fn what(&self) -> &'static str {
        if self.is_keyring() { "keyring" } else { "master key" }
    }

    /// Where it is, for people.
    pub(crate) fn place(&self, folder: &Path) -> String {
        match self {
            Self::Keyring(path) => file(folder, path).display().to_string(),
            #[cfg(any(feature = "aws", feature = "openbao", feature = "pkcs11"))]
            remote => remote.to_string(),
        }
    }

    /// The file that it is, if it is one.
    pub(crate) fn as_file(&self) -> Option<&Path> {
        match self {
            Self::Keyring(path) => Some(path),
            #[cfg(any(feature = "aws", feature = "openbao", feature = "pkcs11"))]
            _ => None,
        }
    }

    /// Whether it is a file, of which a passphrase can be asked.
    pub(crate) fn is_keyring(&self) -> bool {
        self.as_file().is_some()
    }
}

impl Provider {
    /// In the place of one that could not be opened.
    pub(crate) fn shut(why: ProviderError) -> Self {
        Self { port: Arc::new(Shut(why.clone())), maker: Maker::Nobody(why) }
    }

    /// Why it could not be opened, if it is in the place of one that couldn't.
    pub(crate) fn why_shut(&self) -> Option<&ProviderError> {
        match &self.maker {
            Maker::Nobody(why) => Some(why),
            _ => None,
        }
    }

    pub(crate) fn port(&self) -> Arc<dyn MasterKeyProvider> {
        Arc::clone(&self.port)
    }

    pub(crate) async fn current(&self) -> Result<MasterKeyId, Trouble> {
        Ok(self.port.current().await?)
    }

    /// How a new master key is made, where that isn't for [`add_key`](Self::add_key).
    pub(crate) fn only_by_hand(&self) -> Option<&'static str> {
        match &self.maker {
            Maker::Operator(how) => Some(how),
            _ => None,
        }
    }

    /// Makes a new master key and the current one.
    pub(crate) async fn add_key(&self) -> Result<(), Trouble> {
        match &self.maker {
            Maker::Keyring(keyring) => keyring.add_key().await.map(drop)?,
            #[cfg(feature = "pkcs11")]
            Maker::Pkcs11(token) => super::pkcs11::add_key(token).await?,
            Maker::Operator(how) => return Err(Trouble::usage(*how)),
            Maker::Nobody(why) => return Err(why.clone().into()),
        }
        Ok(())
    }
}

#[async_trait]
impl MasterKeyProvider for Shut {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        Err(self.0.clone())
    }

    async fn wrap_key(&self, _: &KeyMaterial, _: &WrapContext) -> Result<WrappedKey, ProviderError> {
        Err(self.0.clone())
    }

    async fn unwrap_key(&self, _: &WrappedKey, _: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        Err(self.0.clone())
    }

    async fn destroy_key(&self, _: &MasterKeyId) -> Result<Destruction, ProviderError> {
        Err(self.0.clone())
    }

    async fn destruction(&self, _: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        Err(self.0.clone())
    }
}

/// Whether a provider's own master key is there.
#[cfg(any(feature = "aws", feature = "openbao"))]
async fn is_there(opened: Result<Provider, Trouble>, missing: Trouble) -> Result<bool, Trouble> {
    match opened?.port.current().await {
        Ok(_) => Ok(true),
        // Nothing can be made of it here: so that it is missing is an error.
        Err(e) if e.kind() == fieldseal::error::ProviderErrorKind::UnknownKey => Err(missing),
        Err(e) => Err(e.into()),
    }
}

fn protected(passphrase: Option<Passphrase>) -> KeyringOptions {
    match passphrase {
        Some(passphrase) => KeyringOptions::new().passphrase(passphrase),
        None => KeyringOptions::new(),
    }
}

impl FromStr for ProviderUrl {
    type Err = Trouble;

    fn from_str(text: &str) -> Result<Self, Trouble> {
        let (scheme, rest) = SCHEMES.split(text)?;
        match scheme {
            "keyring" => SCHEMES.path(scheme, rest).map(|path| Self::Keyring(path.into())),
            #[cfg(feature = "aws")]
            "awskms" => super::aws::KmsUrl::parse(rest).map(Self::AwsKms),
            #[cfg(feature = "openbao")]
            "openbao" => super::openbao::OpenBaoUrl::parse(rest).map(Self::OpenBao),
            #[cfg(feature = "pkcs11")]
            "pkcs11" => super::pkcs11::Pkcs11Url::parse(rest).map(Self::Pkcs11),
            _ => Err(SCHEMES.refuse(scheme)),
        }
    }
}

/// As it was written.
impl fmt::Display for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring(path) => write!(f, "keyring:{}", path.display()),
            #[cfg(feature = "aws")]
            Self::AwsKms(url) => write!(f, "awskms:{url}"),
            #[cfg(feature = "openbao")]
            Self::OpenBao(url) => write!(f, "openbao:{url}"),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(url) => write!(f, "pkcs11:{url}"),
        }
    }
}
