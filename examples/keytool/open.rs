//! [`Tool`]: the configuration, and what it names opened: master keys, key store, journal, vault. Nothing that is missing is
//! made here: `init` does.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldseal::Vault;
use fieldseal::clock::{Clock as _, SystemClock, Timestamp};
use fieldseal::journal::{ErasureJournal, FileJournal};
use fieldseal::provider::{KeyringOptions, LocalKeyring, MasterKeyId, MasterKeyProvider, Passphrase, Succession};
use fieldseal::store::{KeyStore, SqliteStore};
use fieldseal::vault::{Ready, VaultBuilder};

use crate::config::{Config, JournalSpec, PassphraseSource, ProviderSpec, StoreSpec, shown};
use crate::exit::{Exit, Failure};
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

/// The master keys: the provider that wraps, and those from which it took over.
pub(crate) struct Providers {
    pub(crate) current: Provider,
    previous: Vec<Provider>,
}

/// A variant for each scheme, because making a new master key is different for each.
pub(crate) enum Provider {
    Keyring(LocalKeyring),
}

impl Providers {
    pub(crate) fn port(&self) -> Arc<dyn MasterKeyProvider> {
        match self.previous.as_slice() {
            [] => self.current.port(),
            previous => {
                let current = Succession::new(self.current.port());
                Arc::new(previous.iter().map(Provider::port).fold(current, Succession::after))
            }
        }
    }

    /// Makes a previous provider ready to destroy a master key: none destroys its current one, so another takes its place,
    /// under which nothing is ever wrapped.
    pub(crate) async fn let_go(&self, master: &MasterKeyId) -> Result<(), Failure> {
        for Provider::Keyring(keyring) in &self.previous {
            if keyring.current().await? == *master {
                keyring.add_key().await?;
            }
        }
        Ok(())
    }
}

impl Provider {
    fn port(&self) -> Arc<dyn MasterKeyProvider> {
        match self {
            Self::Keyring(keyring) => Arc::new(keyring.clone()),
        }
    }
}

impl Tool {
    /// Opens the ports; a file that is missing is an error.
    pub(crate) async fn ports(&self) -> Result<Ports, Failure> {
        Ok(Ports { provider: self.provider().await?, store: self.store().await?, journal: self.journal().await? })
    }

    /// Opens the vault. As at each start of an application, what a crash left half done is finished.
    pub(crate) async fn vault(&self) -> Result<Vault, Failure> {
        self.ports().await?.vault(self).await
    }

    pub(crate) async fn provider(&self) -> Result<Providers, Failure> {
        let current = self.open_provider(&self.config.provider, self.config.passphrase.as_ref()).await?;
        Ok(Providers { current, previous: self.previous().await? })
    }

    /// The ports without the provider that wraps: as they were before it took over. None if it took over from nobody.
    pub(crate) async fn ports_before(&self) -> Result<Option<Ports>, Failure> {
        let mut previous = self.previous().await?;
        if previous.is_empty() {
            return Ok(None);
        }
        let provider = Providers { current: previous.remove(0), previous };
        Ok(Some(Ports { provider, store: self.store().await?, journal: self.journal().await? }))
    }

    async fn previous(&self) -> Result<Vec<Provider>, Failure> {
        let mut previous = Vec::new();
        for config in &self.config.previous {
            previous.push(self.open_provider(&config.provider, config.passphrase.as_ref()).await?);
        }
        Ok(previous)
    }

    async fn open_provider(&self, spec: &ProviderSpec, from: Option<&PassphraseSource>) -> Result<Provider, Failure> {
        let ProviderSpec::Keyring(path) = spec;
        let file = self.there("keyring", self.config.path(path))?;
        Ok(Provider::Keyring(self.protected(from)?.open(file).await?))
    }

    pub(crate) async fn store(&self) -> Result<Arc<dyn KeyStore>, Failure> {
        Ok(Arc::new(SqliteStore::open(self.there("key store", self.store_file())?).await?))
    }

    pub(crate) async fn journal(&self) -> Result<Arc<dyn ErasureJournal>, Failure> {
        Ok(Arc::new(FileJournal::open(self.there("journal", self.journal_file())?).await?))
    }

    pub(crate) fn keyring_file(&self) -> PathBuf {
        let ProviderSpec::Keyring(path) = &self.config.provider;
        self.config.path(path)
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        let StoreSpec::Sqlite(path) = &self.config.store;
        self.config.path(path)
    }

    pub(crate) fn journal_file(&self) -> PathBuf {
        let JournalSpec::File(path) = &self.config.journal;
        self.config.path(path)
    }

    /// How the keyring is protected.
    pub(crate) fn keyring_options(&self) -> Result<KeyringOptions, Failure> {
        self.protected(self.config.passphrase.as_ref())
    }

    fn protected(&self, from: Option<&PassphraseSource>) -> Result<KeyringOptions, Failure> {
        let options = KeyringOptions::new();
        match from {
            None => Ok(options),
            Some(source) => Ok(options.passphrase(self.passphrase(source)?)),
        }
    }

    fn passphrase(&self, source: &PassphraseSource) -> Result<Passphrase, Failure> {
        let text = match source {
            PassphraseSource::Env(name) => env::var(name).map_err(|_| {
                let what =
                    format!("the passphrase is to be in the environment variable {name}, which is not set, or no text: export it");
                Failure::new(Exit::Usage, "passphrase_missing", what)
            })?,
            PassphraseSource::File(path) => {
                let path = self.config.path(path);
                let mut text =
                    fs::read_to_string(&path).map_err(|e| Failure::of_file("read the passphrase's file", &path, &e))?;
                while text.ends_with(['\n', '\r']) {
                    text.pop();
                }
                text
            }
        };
        Ok(Passphrase::new(text)?)
    }

    /// A file that must be there: to open it would make it, and an empty key store in the place of one that was mistyped, or
    /// lost, helps nobody.
    fn there(&self, what: &str, file: PathBuf) -> Result<PathBuf, Failure> {
        match exists(&file)? {
            true => Ok(file),
            false => Err(Failure::not_found(format!(
                "there is no {what} at {}: correct the configuration, restore the file, or run `keytool init` for a new one",
                shown(&file)
            ))),
        }
    }
}

impl Ports {
    /// What a vault is built with.
    pub(crate) fn builder(&self, tool: &Tool) -> VaultBuilder<Ready> {
        let builder = Vault::builder(self.provider.port(), self.store.clone()).purposes(&tool.config.purposes);
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
