//! The module, the token that it reaches, and the login.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Function, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, SessionState, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;

use super::failure::{self, Failure};
use super::options::AskPin;
use fieldseal::error::{ProviderError, ProviderErrorKind};

/// Modules by their path: a process initializes one once. Never finalized, since others in the process may use it.
static MODULES: Mutex<Option<HashMap<PathBuf, Module>>> = Mutex::new(None);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A token, and how to log in to it.
pub(super) struct Token {
    module: Module,
    label: String,
    serial: Option<String>,
    pin: AskPin,
    login: Mutex<Login>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    Open,
    /// The PIN was wrong. It is not tried again: the token would lock.
    Refused,
}

impl Token {
    pub(super) fn new(path: &Path, label: String, serial: Option<String>, pin: AskPin) -> Result<Self, ProviderError> {
        Ok(Self { module: load(path)?, label, serial, pin, login: Mutex::new(Login::Open) })
    }

    /// A session that is logged in.
    pub(super) fn session(&self, access: Access) -> Result<Live, Failure> {
        let (slot, info) = self.find()?;
        let session = match access {
            Access::Read => self.module.open_ro_session(slot)?,
            Access::Write => self.module.open_rw_session(slot)?,
        };
        let live = Live { session, needs_login: info.login_required() };
        if !live.is_logged_in()? {
            self.log_in(&live, slot)?;
        }
        Ok(live)
    }

    fn find(&self) -> Result<(Slot, TokenInfo), Failure> {
        let mut found = None;
        for slot in self.module.get_slots_with_token()? {
            // Another token that has failed is none of ours.
            let Ok(info) = self.module.get_token_info(slot) else { continue };
            let is_serial = self.serial.as_ref().is_none_or(|serial| info.serial_number() == serial);
            if !info.token_initialized() || info.label() != self.label || !is_serial {
                continue;
            }
            if found.replace((slot, info)).is_some() {
                return Err(Failure::Said(ProviderError::misconfigured(
                    "several tokens have this label: say the serial number",
                )));
            }
        }
        found.ok_or_else(|| {
            Failure::Said(
                ProviderError::new(ProviderErrorKind::Unavailable)
                    .with_hint("no token of this label (and serial number) is there, or it has failed"),
            )
        })
    }

    /// One at a time, and never again with a PIN that was wrong.
    fn log_in(&self, live: &Live, slot: Slot) -> Result<(), Failure> {
        let mut login: MutexGuard<'_, Login> = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if *login == Login::Refused {
            return Err(denied("the PIN was refused, and is not tried again: open the token anew with the right one"));
        }
        if live.is_logged_in()? {
            return Ok(()); // another thread was faster
        }
        let info = self.module.get_token_info(slot)?;
        if info.user_pin_locked() {
            return Err(denied("the token's PIN is locked"));
        }
        if info.user_pin_final_try() {
            return Err(denied("one more wrong PIN would lock the token: log in by the vendor's tool first"));
        }
        let pin = (self.pin)().map_err(Failure::Said)?;
        match live.session.login(UserType::User, Some(&AuthPin::from(pin.expose()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(e) => {
                if failure::is_about_pin(&e) {
                    *login = Login::Refused;
                }
                Err(e.into())
            }
        }
    }
}

fn denied(why: &'static str) -> Failure {
    Failure::Said(ProviderError::new(ProviderErrorKind::Denied).with_hint(why))
}

/// A session, logged in where the token wants that.
pub(super) struct Live {
    pub(super) session: Session,
    needs_login: bool,
}

impl Live {
    fn is_logged_in(&self) -> Result<bool, Error> {
        let is_user = |state| matches!(state, SessionState::RoUser | SessionState::RwUser);
        Ok(!self.needs_login || is_user(self.session.get_session_info()?.session_state()))
    }

    /// The login is the process's: anybody in it can end it. Then keys are not refused, but not found.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_logged_in()? {
            return Ok(());
        }
        Err(Error::Pkcs11(RvError::UserNotLoggedIn, Function::GetSessionInfo)) // as a token that notices
    }
}

fn load(path: &Path) -> Result<Module, ProviderError> {
    let wrong = |e: Error| ProviderError::misconfigured("the PKCS#11 module can't be loaded").with_source(e);
    // The same file by another path is the same module.
    let path = path.canonicalize().map_err(|e| {
        ProviderError::misconfigured("the PKCS#11 module is not there, or can't be reached").with_source(e)
    })?;
    let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = modules.get_or_insert_default();
    if let Some(module) = modules.get(&path) {
        return Ok(module.clone());
    }
    let module = Module::new(&path).map_err(wrong)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // The application uses it too.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(e) => return Err(wrong(e)),
    }
    modules.insert(path, module.clone());
    Ok(module)
}
