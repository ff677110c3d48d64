//! [`LocalKeyring`]: master keys in a file, or in memory. The file is that of `docs/format.md`, section 12.
//!
//! Imports what `provider` does. `format` is bytes, `disk` is the file, `home` joins the two under a
//! passphrase, `held` is what calls answer from.

mod disk;
pub(crate) mod format;
mod held;
mod home;
mod options;
mod passphrase;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

pub use held::{MasterKeyInfo, MasterKeyState};
pub use options::KeyringOptions;
pub use passphrase::Passphrase;

use self::disk::{KEYRING, Stamp};
use self::format::{ID_PREFIX, KeyringFile, LineState, MAX_KEYS};
use self::held::Held;
use self::home::Home;
use super::{Destruction, MasterKeyProvider};
use crate::clock::Clock;
use crate::crypto::{Suite, rng};
use crate::disk::FilePaths;
use crate::error::{ProviderError, ProviderErrorKind};
use crate::keys::{KeyMaterial, MasterKeyId, WrapContext, WrappedKey, unwrap_in_envelope, wrap_in_envelope};
use crate::thread;

/// Master keys in a file of mode 0600, with or without a passphrase; or in memory, for tests.
///
/// It holds several keys, one of them current: [`add_key`](Self::add_key) makes a new current one, and
/// [`destroy_key`](MasterKeyProvider::destroy_key) ends an old one. A clone is another handle on the same keyring.
///
/// Any number of processes may have the file open and change it. Each call looks whether the file was replaced (one
/// `stat`), so that a key added or destroyed by another process counts from the next call on; a key is used only once its
/// file is certain to survive a crash. Where the file can't be read any more, keys that are held still unwrap; nothing is
/// wrapped. All work on files runs on a thread of its own.
///
/// A change replaces the file; beside `keyring` there may be `keyring.new` meanwhile, and `keyring.lock` stays for good.
///
/// # Security
/// Whoever can read the file without a passphrase, or the process's memory, has the keys. Whoever can write to the
/// file's directory can put an older copy of the file in its place: a process that has the newer one open refuses it, a
/// process that starts does not notice. Keep the file apart from the database and its backups: who has both has the data.
#[derive(Clone)]
pub struct LocalKeyring(Arc<Keyring>);

struct Keyring {
    clock: Arc<dyn Clock>,
    home: Option<Home>,
    held: Mutex<Arc<Held>>,
}

impl LocalKeyring {
    /// Makes a keyring file with one master key, of mode 0600 and without a passphrase (for one:
    /// [`KeyringOptions::passphrase`]). Never replaces a file.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if something has this name already or the directory is not there, `Denied`
    /// if the process may not write there, `Unavailable` if the system fails.
    ///
    /// # Cancel safety
    /// Once polled, the file is made also if the future is dropped.
    ///
    /// # Security
    /// Anything that can read the file has the keys.
    pub async fn generate(path: impl Into<PathBuf> + Send) -> Result<Self, ProviderError> {
        KeyringOptions::new().generate(path).await
    }

    /// Opens a keyring file that has no passphrase. A symbolic link is followed once, now: changes replace the file it
    /// leads to.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if there is no such file, it is something else, is of a later version,
    /// needs a passphrase, or may be used by others than its owner; `Corrupt` if it is damaged; `Denied` if the process may
    /// not read it or its directory; `Unavailable` if the system fails. The file is never changed.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn open(path: impl Into<PathBuf> + Send) -> Result<Self, ProviderError> {
        KeyringOptions::new().open(path).await
    }

    /// A keyring with one master key that dies with the process, for tests.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Unavailable` if the operating system gives no random bytes.
    ///
    /// # Security
    /// What is wrapped under it is lost when the process ends.
    pub fn ephemeral() -> Result<Self, ProviderError> {
        let clock = KeyringOptions::new().clock;
        let held = Held::first(random_id()?, clock.wall(), &KeyMaterial::generate().map_err(ProviderError::internal)?);
        Ok(Self(Arc::new(Keyring { clock, home: None, held: Mutex::new(Arc::new(held)) })))
    }

    /// Makes a new master key and the current one, and gives its id. What is wrapped under the others still unwraps.
    ///
    /// A key store's epoch has one master key: until the store's epoch advances to the new one, it refuses to make new
    /// tenants. So call [`Vault::advance_epoch`](crate::Vault::advance_epoch) next.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if there are 1024 keys already; `Corrupt` if the file is damaged, or lacks
    /// what it held before; `Denied` if the file is another user's; `Unavailable` if the file can't be written, or is locked for half a minute: then
    /// [`keys`](Self::keys) tells whether the key was added. A file that can't be read is never replaced.
    ///
    /// # Cancel safety
    /// Once polled, the key is added also if the future is dropped: [`keys`](Self::keys) tells.
    pub async fn add_key(&self) -> Result<MasterKeyId, ProviderError> {
        self.on_thread(Keyring::add_key).await
    }

    /// Every master key with its state, oldest first.
    ///
    /// # Errors
    /// [`ProviderError`] if the file was replaced and can't be read.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn keys(&self) -> Result<Vec<MasterKeyInfo>, ProviderError> {
        self.reload(Reload::IfReplaced).await?;
        Ok(self.0.held().infos())
    }

    async fn generate_with(options: KeyringOptions, path: PathBuf) -> Result<Self, ProviderError> {
        thread::run(move || Keyring::generate(options, &path)).await.map_err(ProviderError::no_thread)?.map(Self)
    }

    async fn open_with(options: KeyringOptions, path: PathBuf) -> Result<Self, ProviderError> {
        thread::run(move || Keyring::open(options, &path)).await.map_err(ProviderError::no_thread)?.map(Self)
    }

    async fn reload(&self, when: Reload) -> Result<(), ProviderError> {
        match self.0.home {
            Some(_) => self.on_thread(move |keyring| keyring.reload(when)).await,
            None => Ok(()),
        }
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Keyring) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let keyring = Arc::clone(&self.0);
        thread::run(move || work(&keyring)).await.map_err(ProviderError::no_thread)?
    }
}

#[async_trait]
impl MasterKeyProvider for LocalKeyring {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.reload(Reload::IfReplaced).await?;
        Ok(self.0.held().current()?.0.clone())
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.reload(Reload::IfReplaced).await?;
        let held = self.0.held();
        let (id, master) = held.current()?;
        let wrapped =
            wrap_in_envelope(master, Suite::default(), &context.encode(), key).map_err(ProviderError::internal)?;
        WrappedKey::new(id.clone(), wrapped).map_err(ProviderError::internal)
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        // A keyring whose file is out of reach goes on opening what it can.
        let reloaded = self.reload(Reload::IfReplaced).await;
        if !self.0.held().knows(wrapped.master()) {
            reloaded?;
            self.reload(Reload::Anyway).await?;
        }
        let held = self.0.held();
        let master = held.usable(wrapped.master())?;
        unwrap_in_envelope(master, &context.encode(), wrapped.as_bytes())
            .map_err(|_| ProviderError::new(ProviderErrorKind::Authentication))
    }

    /// Takes the key out of the file, or out of memory.
    ///
    /// # Errors
    /// `UnknownKey` if there never was one of this id, `Misconfigured` if it is the current one (add a key first), and those
    /// of [`LocalKeyring::add_key`].
    ///
    /// # Cancel safety
    /// Once polled, the key is destroyed also if the future is dropped; calling again tells.
    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        let id = id.clone();
        self.on_thread(move |keyring| keyring.destroy_key(&id)).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.reload(Reload::IfReplaced).await?;
        if !self.0.held().knows(id) {
            self.reload(Reload::Anyway).await?;
        }
        Ok(if self.0.held().is_destroyed(id)? { Some(self.0.destroyed()) } else { None })
    }
}

/// When to read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reload {
    IfReplaced,
    Anyway,
}

/// Everything here may wait for a disk, so it runs on a thread of its own.
impl Keyring {
    fn generate(options: KeyringOptions, path: &Path) -> Result<Arc<Self>, ProviderError> {
        let KeyringOptions { passphrase, cost, clock } = options;
        let (home, held) = Home::generate(FilePaths::of_new(path, &KEYRING)?, passphrase, cost, &*clock)?;
        Ok(Arc::new(Self { clock, home: Some(home), held: Mutex::new(Arc::new(held)) }))
    }

    fn open(options: KeyringOptions, path: &Path) -> Result<Arc<Self>, ProviderError> {
        let KeyringOptions { passphrase, clock, .. } = options;
        let (home, held) = Home::open(FilePaths::of_existing(path, &KEYRING)?, passphrase)?;
        Ok(Arc::new(Self { clock, home: Some(home), held: Mutex::new(Arc::new(held)) }))
    }

    fn reload(&self, when: Reload) -> Result<(), ProviderError> {
        let Some(home) = &self.home else { return Ok(()) };
        // Asked twice: another call may have read the file while this one waited for its turn.
        if when == Reload::IfReplaced && self.is(home.stamp()?) {
            return Ok(());
        }
        let _turn = home.turn();
        if when == Reload::IfReplaced && self.is(home.stamp()?) {
            return Ok(());
        }
        self.install(home.load()?.1)
    }

    fn add_key(&self) -> Result<MasterKeyId, ProviderError> {
        match &self.home {
            Some(home) => self.change(home, |file, _| {
                if file.keys.len() >= MAX_KEYS {
                    return Err(full());
                }
                home.put_new(file, &*self.clock).map(Changed::Yes)
            }),
            None => {
                let (id, key) = (random_id()?, KeyMaterial::generate().map_err(ProviderError::internal)?);
                let mut held = self.held_mut();
                if held.len() >= MAX_KEYS {
                    return Err(full());
                }
                *held = Arc::new(held.with(id.clone(), self.clock.wall(), &key));
                Ok(id)
            }
        }
    }

    fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        match &self.home {
            Some(home) => {
                self.change(home, |file, held| {
                    if !held.to_destroy(id)? {
                        return Ok(Changed::No(()));
                    }
                    for line in file.keys.iter_mut().filter(|line| line.id == *id) {
                        line.state = LineState::Destroyed(self.clock.wall());
                    }
                    Ok(Changed::Yes(()))
                })?;
            }
            None => {
                let mut held = self.held_mut();
                if held.to_destroy(id)? {
                    *held = Arc::new(held.without(id, self.clock.wall()));
                }
            }
        }
        Ok(self.destroyed())
    }

    /// How far a destruction goes here.
    fn destroyed(&self) -> Destruction {
        match self.home {
            Some(_) => Destruction::DestroyedHere { copies: COPIES.to_vec() },
            None => Destruction::Destroyed,
        }
    }

    /// One change of the file: locked, read, replaced, and read again, so that what is used from now on is what is stored.
    fn change<T>(
        &self,
        home: &Home,
        edit: impl FnOnce(&mut KeyringFile, &Held) -> Result<Changed<T>, ProviderError>,
    ) -> Result<T, ProviderError> {
        let _turn = home.turn();
        let lock = home.lock()?;
        let (mut file, held) = home.load()?;
        self.check_follows(&held)?;
        match edit(&mut file, &held)? {
            Changed::No(answer) => {
                self.install(held)?;
                Ok(answer)
            }
            Changed::Yes(answer) => {
                home.replace(&file, &lock)?;
                self.install(home.load()?.1)?;
                Ok(answer)
            }
        }
    }

    fn install(&self, next: Held) -> Result<(), ProviderError> {
        self.check_follows(&next)?;
        *self.held_mut() = Arc::new(next);
        Ok(())
    }

    fn check_follows(&self, next: &Held) -> Result<(), ProviderError> {
        if next.follows(&self.held()) {
            return Ok(());
        }
        Err(ProviderError::corrupt(
            "the keyring file lacks keys that it held before, or holds destroyed ones again: an older or another file was \
             put in its place. Nothing was changed; put the newest file back",
        ))
    }

    fn is(&self, stamp: Stamp) -> bool {
        self.held().stamp() == Some(stamp)
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held_mut())
    }

    fn held_mut(&self) -> MutexGuard<'_, Arc<Held>> {
        // Only ever replaced as a whole, so a poisoned lock guards a sound state.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file is to be written.
enum Changed<T> {
    Yes(T),
    No(T),
}

impl fmt::Debug for LocalKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LocalKeyring");
        match &self.0.home {
            Some(home) => out.field("file", &home.path()).field("passphrase", &home.has_passphrase()),
            None => out.field("file", &None::<PathBuf>),
        };
        out.finish_non_exhaustive()
    }
}

/// `local-` and 64 random bits in hexadecimal: a name, of which nothing leads to the key.
fn random_id() -> Result<MasterKeyId, ProviderError> {
    let mut bytes = [0; 8];
    rng::fill(&mut bytes).map_err(ProviderError::internal)?;
    MasterKeyId::new(format!("{ID_PREFIX}{:016x}", u64::from_be_bytes(bytes))).map_err(ProviderError::internal)
}

fn full() -> ProviderError {
    ProviderError::misconfigured("a keyring holds at most 1024 keys, destroyed ones included: start another")
}

/// What may hold a copy of a key that is gone from the file.
const COPIES: [&str; 3] = [
    "backups, copies and snapshots of the keyring file",
    "disk blocks freed when the keyring file was replaced, until they are used again",
    "memory of other processes that have the keyring open, until they next use it",
];
