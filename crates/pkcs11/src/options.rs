//! What it takes to open a token.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::Pkcs11;
use super::token::Token;
use fieldseal::error::ProviderError;

/// A user's PIN. Wiped on drop; neither `Clone` nor printable.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN, as it is: the newline at the end of a file is the caller's to take off.
    ///
    /// # Security
    /// A `String` is moved and wiped; a borrowed one is copied, and the caller wipes the original.
    pub fn new(pin: impl Into<String>) -> Self {
        Self(Zeroizing::new(pin.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// Gives the PIN.
pub(super) type AskPin = Box<dyn Fn() -> Result<Pin, ProviderError> + Send + Sync>;

/// How to open a [`Pkcs11`] token.
///
/// ```no_run
/// use fieldseal::provider::ProviderError;
/// use fieldseal_pkcs11::{Pin, Pkcs11, Pkcs11Options};
///
/// # async fn f() -> Result<Pkcs11, ProviderError> {
/// let pin = || {
///     let pin = std::fs::read_to_string("/run/secrets/hsm-pin").map_err(ProviderError::unavailable)?;
///     Ok(Pin::new(pin.trim_end()))
/// };
/// Pkcs11Options::new("/usr/lib/softhsm/libsofthsm2.so", "fieldseal", "customers", pin).open().await
/// # }
/// ```
#[must_use]
pub struct Pkcs11Options {
    pub(super) module: PathBuf,
    pub(super) label: String,
    pub(super) serial: Option<String>,
    pub(super) key: String,
    pub(super) sessions: usize,
    pub(super) pin: AskPin,
}

impl Pkcs11Options {
    /// The most sessions.
    pub const MAX_SESSIONS: usize = 64;

    /// The token with this label, reached by the module at this path; and the name of its master keys, whose labels are
    /// `NAME-1`, `NAME-2` and so on: 1 to 128 bytes.
    ///
    /// The PIN is asked for whenever somebody has to log in: at the beginning, and again after the token was lost or the process
    /// logged out. It is called on a thread where it may wait.
    ///
    /// # Security
    /// A module is code that this process runs: name it by a path that nobody else can write to.
    pub fn new(
        module: impl Into<PathBuf>,
        token: impl Into<String>,
        key: impl Into<String>,
        pin: impl Fn() -> Result<Pin, ProviderError> + Send + Sync + 'static,
    ) -> Self {
        let (module, label, key) = (module.into(), token.into(), key.into());
        Self { module, label, serial: None, key, sessions: 4, pin: Box::new(pin) }
    }

    /// The token's serial number, where several have its label.
    pub fn serial(mut self, serial: impl Into<String>) -> Self {
        self.serial = Some(serial.into());
        self
    }

    /// How many calls the token gets at once: as many threads with a session each. 4 if nothing is said, from 1 to
    /// [`Pkcs11Options::MAX_SESSIONS`].
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Loads the module and logs in. A key need not be there yet: [`Pkcs11::add_key`] makes one.
    ///
    /// **A wrong PIN is tried once**, because a token locks after a few: from then on the handle is `Denied` without asking the
    /// token, and so it is where the token says that one more wrong PIN locks it.
    ///
    /// # Errors
    /// [`ProviderError`] of kind `Misconfigured` if the module can't be loaded, several tokens have the label, or an option is out
    /// of bounds; `Denied` if the PIN is wrong or locked; `Unavailable` if no such token is there; and what the PIN's callback says.
    ///
    /// # Cancel safety
    /// Once polled, it may have logged in also if the future is dropped.
    pub async fn open(self) -> Result<Pkcs11, ProviderError> {
        if !(1..=Self::MAX_SESSIONS).contains(&self.sessions) {
            return Err(ProviderError::misconfigured("a token has 1 to 64 sessions"));
        }
        Pkcs11::open_with(self).await
    }

    pub(super) fn into_token(self) -> Result<Token, ProviderError> {
        Token::new(&self.module, self.label, self.serial, self.pin)
    }
}

impl fmt::Debug for Pkcs11Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Options").field("module", &self.module).finish_non_exhaustive()
    }
}
