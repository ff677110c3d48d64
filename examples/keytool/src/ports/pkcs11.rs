//! [`Pkcs11Url`]: the keys of a name in a token, as RFC 7512 spells it.
//!
//! The PIN is in `PKCS11_PIN`, or in the file that `pin-source` names: never in the URL.

use std::fmt;
use std::path::{Path, PathBuf};

use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::MasterKeyProvider as _;
use fieldseal_pkcs11::{Pin, Pkcs11, Pkcs11Options};

use super::url::{Query, decoded, encoded};
use super::{ATTEMPT, Trouble, file};

/// `token=LABEL;object=NAME?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/secrets/pin`
#[derive(Clone, Debug)]
pub(crate) struct Pkcs11Url {
    token: String,
    serial: Option<String>,
    /// The master keys are labeled `NAME-1`, `NAME-2` and so on.
    object: String,
    module: PathBuf,
    pin_file: Option<PathBuf>,
}

impl Pkcs11Url {
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let (path, mut query) = Query::split(text)?;
        let (mut token, mut serial, mut object) = (None, None, None);
        for attribute in path.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let place = match name {
                "token" => &mut token,
                "serial" => &mut serial,
                "object" => &mut object,
                _ => return Err(Trouble::usage(FORM)),
            };
            if value.is_empty() || place.replace(decoded(value)?).is_some() {
                return Err(Trouble::usage(FORM));
            }
        }
        if !query.take_all("pin-value").is_empty() {
            return Err(Trouble::usage(
                "a PIN doesn't belong into a URL: put it into PKCS11_PIN, or into a file that `pin-source` names",
            ));
        }
        let (module, pin_source) = (query.take("module-path")?, query.take("pin-source")?);
        query.end(&["module-path", "pin-source"])?;
        let (Some(token), Some(object), Some(module)) = (token, object, module) else {
            return Err(Trouble::usage(FORM));
        };
        let path = |source: String| PathBuf::from(source.strip_prefix("file:").unwrap_or(&source));
        Ok(Self { token, serial, object, module: module.into(), pin_file: pin_source.map(path) })
    }

    pub(super) async fn open(&self, folder: &Path) -> Result<Pkcs11, Trouble> {
        let pin_file = self.pin_file.as_ref().map(|path| file(folder, path));
        let options =
            Pkcs11Options::new(self.module(folder)?, &self.token, &self.object, move || pin(pin_file.as_deref()));
        let options = match &self.serial {
            Some(serial) => options.serial(serial),
            None => options,
        };
        in_time(options.open()).await
    }

    /// Absolute: the system looks for a bare name where its own libraries are.
    fn module(&self, folder: &Path) -> Result<PathBuf, Trouble> {
        let module = file(folder, &self.module);
        std::path::absolute(&module).map_err(|e| Trouble::usage(format!("no path: {}", module.display())).because(e))
    }

    /// Whether the token has a key of this name.
    pub(super) async fn is_there(&self, folder: &Path) -> Result<bool, Trouble> {
        let token = self.open(folder).await?;
        let has_key = async {
            match token.current().await {
                Err(e) if e.kind() == ProviderErrorKind::UnknownKey => Ok(false),
                current => current.map(|_| true),
            }
        };
        in_time(has_key).await
    }

    /// Makes the first key.
    pub(super) async fn make(&self, folder: &Path) -> Result<(), Trouble> {
        add_key(&self.open(folder).await?).await
    }
}

/// Makes a new master key and the current one.
pub(super) async fn add_key(token: &Pkcs11) -> Result<(), Trouble> {
    in_time(token.add_key()).await.map(drop)
}

/// What no guard is around: a module that hangs is not waited for.
async fn in_time<T>(work: impl Future<Output = Result<T, ProviderError>>) -> Result<T, Trouble> {
    match tokio::time::timeout(ATTEMPT, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Trouble::unavailable("the token does not answer")),
    }
}

fn pin(file: Option<&Path>) -> Result<Pin, ProviderError> {
    let refused = |why| ProviderError::new(ProviderErrorKind::Denied).with_hint(why);
    let mut text = match file {
        Some(path) => {
            let failed = format!("can't read the PIN's file {}", path.display());
            std::fs::read_to_string(path).map_err(|e| refused(failed).with_source(e))?
        }
        None => std::env::var("PKCS11_PIN").map_err(|_| {
            refused("no PIN for the token: set PKCS11_PIN, or name a file with `pin-source`".to_owned())
        })?,
    };
    while text.ends_with(['\n', '\r']) {
        text.pop();
    }
    Ok(Pin::new(text))
}

impl fmt::Display for Pkcs11Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token={}", encoded(&self.token))?;
        self.serial.iter().try_for_each(|serial| write!(f, ";serial={}", encoded(serial)))?;
        write!(f, ";object={}?module-path={}", encoded(&self.object), encoded_path(&self.module))?;
        self.pin_file.iter().try_for_each(|file| write!(f, "&pin-source=file:{}", encoded_path(file)))
    }
}

fn encoded_path(path: &Path) -> String {
    path.display().to_string().split('/').map(encoded).collect::<Vec<_>>().join("/")
}

const FORM: &str = "a key of a token is pkcs11:token=LABEL;object=NAME?module-path=FILE (and serial=.. where two tokens have the \
                    label)";
