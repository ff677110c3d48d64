//! [`KeyringOptions`]: how a keyring file is protected, said before it is made or opened.

use std::path::PathBuf;
use std::sync::Arc;

use super::LocalKeyring;
use super::format::{self, LANES, MEMORY_KIB, PASSES};
use super::passphrase::Passphrase;
use crate::clock::{Clock, SystemClock};
use crate::crypto::password::Cost;
use crate::error::ProviderError;

/// How a keyring file is made or opened. Without a passphrase, its mode is all that protects it.
///
/// ```no_run
/// use fieldseal::provider::{KeyringOptions, Passphrase};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let passphrase = std::env::var("KEYRING_PASSPHRASE")?;
/// let keyring = KeyringOptions::new().passphrase(Passphrase::new(passphrase)?).open("/etc/app/keyring").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct KeyringOptions {
    pub(super) passphrase: Option<Passphrase>,
    pub(super) cost: Cost,
    pub(super) clock: Arc<dyn Clock>,
}

impl KeyringOptions {
    /// No passphrase; if one is set, Argon2id with 64 MiB, 3 passes and 1 lane, which costs a tenth of a second or so.
    pub fn new() -> Self {
        Self {
            passphrase: None,
            cost: Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 },
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The keys in the file are wrapped under a key made of this passphrase.
    pub fn passphrase(mut self, passphrase: Passphrase) -> Self {
        self.passphrase = Some(passphrase);
        self
    }

    /// Argon2's memory in KiB: 8192 to 1048576. Matters when a file with a passphrase is generated; a file that is opened
    /// says its own.
    pub fn argon2_memory_kib(mut self, kib: u32) -> Self {
        self.cost.memory_kib = kib;
        self
    }

    /// Argon2's passes over its memory: 1 to 16. Like [`argon2_memory_kib`](Self::argon2_memory_kib), for new files.
    pub fn argon2_passes(mut self, passes: u32) -> Self {
        self.cost.passes = passes;
        self
    }

    /// Argon2's lanes: 1 to 16. They are computed one after the other here, so more than one helps those who guess with
    /// several processors, and nobody else.
    pub fn argon2_lanes(mut self, lanes: u32) -> Self {
        self.cost.lanes = lanes;
        self
    }

    /// Where the times of making and destroying a key are read.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes a keyring file with one master key, of mode 0600. See [`LocalKeyring::generate`].
    ///
    /// # Errors
    /// Those of [`LocalKeyring::generate`]; and `Misconfigured` if a cost of Argon2 is out of bounds.
    ///
    /// # Cancel safety
    /// Once polled, the file is made also if the future is dropped.
    pub async fn generate(self, path: impl Into<PathBuf> + Send) -> Result<LocalKeyring, ProviderError> {
        if !format::in_bounds(&self.cost) {
            return Err(ProviderError::misconfigured(format!(
                "Argon2 takes {MEMORY_KIB:?} KiB of memory, {PASSES:?} passes and {LANES:?} lanes here"
            )));
        }
        LocalKeyring::generate_with(self, path.into()).await
    }

    /// Opens a keyring file. See [`LocalKeyring::open`].
    ///
    /// # Errors
    /// Those of [`LocalKeyring::open`]; and `Denied` if the passphrase is wrong.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn open(self, path: impl Into<PathBuf> + Send) -> Result<LocalKeyring, ProviderError> {
        LocalKeyring::open_with(self, path.into()).await
    }
}

impl Default for KeyringOptions {
    fn default() -> Self {
        Self::new()
    }
}
