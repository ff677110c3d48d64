//! [`Tool`]: the configuration, and what it names opened: master keys, key store, journal, vault. Nothing that is missing is
//! made here: `init` does.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fieldseal::Vault;
use fieldseal::clock::{Clock as _, SystemClock, Timestamp};
use fieldseal::journal::ErasureJournal;
use fieldseal::provider::Passphrase;
use fieldseal::store::KeyStore;
use fieldseal::vault::{Ready, VaultBuilder};

use crate::config::{Config, PassphraseSource};
use crate::exit::{Exit, Failure};
use crate::masters::Providers;
use crate::output::Output;

/// What every command is run with.
pub(crate) struct Tool {
    pub(crate) config: Config,
    pub(crate) output: Output,
}

/// The ports, opened.
pub(crate) struct Ports {
    pub(crate) provider: Providers,
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) journal: Arc<dyn ErasureJournal>,
}

impl Tool {
    /// Opens the ports; one that is missing is an error.
    pub(crate) async fn ports(&self) -> Result<Ports, Failure> {
        self.ports_with(self.providers().await?).await
    }

    /// Opens the ports, with these providers.
    pub(crate) async fn ports_with(&self, provider: Providers) -> Result<Ports, Failure> {
        Ok(Ports { provider, store: self.store().await?, journal: self.journal().await? })
    }

    /// Opens the vault. As at each start of an application, what a crash left half done is finished.
    pub(crate) async fn vault(&self) -> Result<Vault, Failure> {
        self.ports().await?.vault(self).await
    }

    pub(crate) async fn store(&self) -> Result<Arc<dyn KeyStore>, Failure> {
        Ok(self.config.store.open(self.config.folder()).await?)
    }

    pub(crate) async fn journal(&self) -> Result<Arc<dyn ErasureJournal>, Failure> {
        Ok(self.config.journal.open(self.config.folder()).await?)
    }

    /// What protects a keyring, read from where it is.
    pub(crate) fn passphrase(&self, source: Option<&PassphraseSource>) -> Result<Option<Passphrase>, Failure> {
        let text = match source {
            None => return Ok(None),
            Some(PassphraseSource::Env(name)) => env::var(name).map_err(|_| {
                let what =
                    format!("the passphrase is to be in the environment variable {name}, which is not set, or no text: export it");
                Failure::new(Exit::Usage, "passphrase_missing", what)
            })?,
            Some(PassphraseSource::File(path)) => {
                let path = self.config.path(path);
                let mut text =
                    fs::read_to_string(&path).map_err(|e| Failure::of_file("read the passphrase's file", &path, &e))?;
                while text.ends_with(['\n', '\r']) {
                    text.pop();
                }
                text
            }
        };
        Ok(Some(Passphrase::new(text)?))
    }
}

impl Ports {
    /// What a vault is built with.
    pub(crate) fn builder(&self, tool: &Tool) -> VaultBuilder<Ready> {
        let builder = Vault::builder(self.provider.port(), self.store.clone())
            .kinds(&tool.config.kinds)
            .purposes(&tool.config.purposes);
        let builder = match tool.config.max_age() {
            Some(max_age) => builder.max_age(max_age),
            None => builder,
        };
        builder.journal(self.journal.clone())
    }

    pub(crate) async fn vault(&self, tool: &Tool) -> Result<Vault, Failure> {
        Ok(self.builder(tool).build().await?)
    }
}

/// Whether something has this name.
pub(crate) fn exists(file: &Path) -> Result<bool, Failure> {
    file.try_exists().map_err(|e| Failure::of_file("look for", file, &e))
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    SystemClock::new().wall()
}
