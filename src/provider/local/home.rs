//! The file of a keyring, understood: opened with its passphrase, checked, changed. Blocking, like `disk`.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::{self, Contents, Stamp};
use super::format::{KeyLine, KeyringFile, LineState, Parsed, Protection, StoredKey, Unreadable};
use super::held::Held;
use super::passphrase::{Passphrase, PassphraseKey};
use super::random_id;
use crate::clock::Clock;
use crate::crypto::mac;
use crate::crypto::password::Cost;
use crate::disk::{FilePaths, Lock};
use crate::error::ProviderError;
use crate::keys::{KeyMaterial, MasterKeyId};

/// The file, and what it takes to read and write it.
#[derive(Debug)]
pub(super) struct Home {
    paths: FilePaths,
    passphrase: Option<PassphraseKey>,
    /// Held from reading the file until what it holds is installed, so that no older state is installed over a newer.
    turn: Mutex<()>,
}

impl Home {
    /// Makes the file, with one key.
    pub(super) fn generate(
        paths: FilePaths,
        passphrase: Option<Passphrase>,
        cost: Cost,
        clock: &dyn Clock,
    ) -> Result<(Self, Held), ProviderError> {
        paths.must_be_free()?;
        let passphrase = passphrase.map(|p| PassphraseKey::create(&p, cost)).transpose()?;
        let home = Self { paths, passphrase, turn: Mutex::new(()) };
        let mut file = KeyringFile { protection: home.protection(), keys: Vec::new() };
        home.put_new(&mut file, clock)?;
        home.paths.create(&file.encode(|body| home.check(body)), &home.paths.lock()?)?;
        let (_, held) = home.load()?;
        Ok((home, held))
    }

    /// Opens the file.
    pub(super) fn open(paths: FilePaths, passphrase: Option<Passphrase>) -> Result<(Self, Held), ProviderError> {
        let contents = disk::read(&paths)?;
        let parsed = KeyringFile::parse(contents.bytes.as_slice()).map_err(|e| unreadable(e, paths.file()))?;
        let passphrase = match (parsed.file.protection, passphrase) {
            (Protection::None, None) => None,
            (Protection::Passphrase(params), Some(p)) => Some(PassphraseKey::open(&p, &params)?),
            (Protection::None, Some(_)) => {
                return Err(ProviderError::misconfigured(
                    "a passphrase is given for a keyring that has none: open it without, or check the path",
                ));
            }
            (Protection::Passphrase(_), None) => {
                return Err(ProviderError::misconfigured(
                    "the keyring is protected by a passphrase: open it with `KeyringOptions::passphrase`",
                ));
            }
        };
        let home = Self { paths, passphrase, turn: Mutex::new(()) };
        let held = home.accept(&contents, &parsed)?;
        Ok((home, held))
    }

    /// Reads the file and makes its keys ready.
    pub(super) fn load(&self) -> Result<(KeyringFile, Held), ProviderError> {
        let contents = disk::read(&self.paths)?;
        let parsed = KeyringFile::parse(contents.bytes.as_slice()).map_err(|e| unreadable(e, self.paths.file()))?;
        let held = self.accept(&contents, &parsed)?;
        Ok((parsed.file, held))
    }

    fn accept(&self, contents: &Contents, parsed: &Parsed<'_>) -> Result<Held, ProviderError> {
        if parsed.file.protection != self.protection() {
            return Err(ProviderError::misconfigured(
                "the keyring file is protected in another way than when it was opened: open it anew",
            ));
        }
        if !mac::equal(&self.check(parsed.checked), &parsed.check) {
            let damaged = Unreadable::Damaged("the check line is not that of the lines before it");
            return Err(unreadable(damaged, self.paths.file()));
        }
        let held = Held::of_file(&parsed.file, self.passphrase.as_ref(), contents.stamp)?;
        // A key must not be used before it is stored.
        self.paths.confirm(&contents.file)?;
        Ok(held)
    }

    /// Writes the file, under the lock under which it was read.
    pub(super) fn replace(&self, file: &KeyringFile, lock: &Lock) -> Result<(), ProviderError> {
        Ok(self.paths.replace(&file.encode(|body| self.check(body)), lock)?)
    }

    /// Appends a new key, the current one.
    pub(super) fn put_new(&self, file: &mut KeyringFile, clock: &dyn Clock) -> Result<MasterKeyId, ProviderError> {
        let (id, key) = (random_id()?, KeyMaterial::generate().map_err(ProviderError::internal)?);
        let stored = match &self.passphrase {
            Some(passphrase) => StoredKey::Wrapped(passphrase.wrap(&id, &key)?),
            None => StoredKey::Clear(key),
        };
        file.push(KeyLine { id: id.clone(), created: clock.wall(), state: LineState::Current(stored) });
        Ok(id)
    }

    pub(super) fn lock(&self) -> Result<Lock, ProviderError> {
        Ok(self.paths.lock()?)
    }

    pub(super) fn stamp(&self) -> Result<Stamp, ProviderError> {
        disk::stamp(&self.paths)
    }

    pub(super) fn path(&self) -> &Path {
        self.paths.file()
    }

    pub(super) fn has_passphrase(&self) -> bool {
        self.passphrase.is_some()
    }

    fn protection(&self) -> Protection {
        self.passphrase.as_ref().map_or(Protection::None, |p| Protection::Passphrase(*p.params()))
    }

    /// Without a passphrase `SHA-256(body)`, which finds damage and no malice; with one a MAC.
    fn check(&self, body: &[u8]) -> [u8; 32] {
        self.passphrase.as_ref().map_or_else(|| mac::sha256(&[body]), |p| p.mac(body))
    }

    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unreadable(e: Unreadable, path: &Path) -> ProviderError {
    match e {
        Unreadable::Foreign => ProviderError::misconfigured(format!("{path:?} is not a keyring file: check the path")),
        Unreadable::Newer => ProviderError::misconfigured(format!(
            "{path:?} was made by a later version of fieldseal: upgrade this program"
        )),
        Unreadable::Damaged(what) => ProviderError::corrupt(format!(
            "the keyring file {path:?} was edited or is damaged ({what}): restore it from a backup"
        )),
    }
}
