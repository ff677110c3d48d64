//! [`Error`]: what went wrong, sorted by what the caller does next; and the errors that ports give.
//!
//! Imports nothing of the crate. No variant or message carries a value, a key, an id or a ciphertext: schema and field
//! names are the most that a message names.

mod port;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use port::{
    JournalError, JournalErrorKind, PortError, PortErrorKind, ProviderError, ProviderErrorKind, RowsError,
    RowsErrorKind, StoreError, StoreErrorKind,
};

use crate::clock::Timestamp;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed, sorted by what its caller does next.
///
/// [`Error::retry`] says whether the same call can succeed later. Sources are kept and reach the log through
/// [`std::error::Error::source`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The envelope doesn't open here: another key, another place, or a changed byte. Nothing tells these apart.
    Authentication,
    /// The bytes are no envelope, or what they hold is not a value of the type asked for.
    Malformed,
    /// The bytes may be an envelope of a later version or of a suite this build doesn't know: upgrade.
    UnknownFormat,
    /// The envelope names a key that these subject keys don't hold: `Tenant::refresh` them and try again.
    KeyNotHeld,
    /// No keys were ever made for this subject: `Tenant::enroll` it first.
    SubjectUnknown,
    /// The subject was erased: its data can't be opened again by anybody. Or its erasure is scheduled: its data can't be
    /// opened unless that is cancelled.
    SubjectErased {
        /// When it was erased, or will be.
        at: Timestamp,
    },
    /// The tenant was erased, with every subject that it had: it is never made anew.
    TenantErased {
        /// When it was erased.
        at: Timestamp,
    },
    /// The subject has no keys for this purpose: declare it on the builder and enroll the subject again.
    PurposeUnknown,
    /// The subject's data for this purpose was erased.
    PurposeErased {
        /// When it was erased.
        at: Timestamp,
    },
    /// A hold stands on the subject: release it before it can be erased.
    SubjectHeld,
    /// The subject keys are older than `max_age`: ask the tenant for them again.
    KeysExpired,
    /// The row belongs to another subject than the keys.
    WrongSubject,
    /// Somebody else changed the same thing at the same time, again and again: try once more.
    Conflict,
    /// The key store lacks what the journal says was done: it was restored from a backup. Replay the journal.
    StoreBehindJournal {
        /// How much of it was found missing: erasures, or entries where a running process saw the store go back. At least 1.
        missing: u64,
    },
    /// The journal lacks entries that the key store has seen: restore the journal.
    JournalTruncated,
    /// The key store is bound to another journal than the one given (or to one, and none was given).
    WrongJournal,
    /// Keys are still wrapped under the epoch: rewrap them before it can be retired.
    EpochInUse {
        /// How many slots are still under it.
        slots: u64,
    },
    /// The key store was made with a smaller `max_age` than the one asked for: ask for at most this one.
    MaxAgeTooLong {
        /// The key store's `max_age`.
        limit: Duration,
    },
    /// The operating system gave no random bytes.
    Entropy,
    /// The master key provider failed.
    Provider(ProviderError),
    /// The key store failed.
    Store(StoreError),
    /// The journal failed.
    Journal(JournalError),
    /// The application's table failed, in bulk work.
    Rows(RowsError),
    /// The call itself is wrong; the text says what to change.
    InvalidInput(Cow<'static, str>),
    /// A bug in this crate: please report it.
    Bug(&'static str),
}

impl Error {
    /// Whether, and when, the same call may succeed.
    pub fn retry(&self) -> Retry {
        match self {
            Self::KeysExpired | Self::KeyNotHeld | Self::Conflict => Retry::Now,
            Self::Entropy => Retry::Later,
            Self::Provider(e) => e.retry(),
            Self::Store(e) => e.retry(),
            Self::Journal(e) => e.retry(),
            Self::Rows(e) => e.retry(),
            _ => Retry::Never,
        }
    }

    /// An [`Error::InvalidInput`] that says what to change.
    pub(crate) fn invalid(what: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidInput(what.into())
    }
}

/// Reads what [`Timestamp`] displays as, and no other form: `2026-11-24T20:33:02.000Z`, years 1970 to 9999.
impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::read(text).ok_or(Error::InvalidInput(Cow::Borrowed("a moment is written as 2026-11-24T20:33:02.000Z")))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authentication => f.write_str("the envelope does not open here"),
            Self::Malformed => f.write_str("not an envelope, or not of a value of this type"),
            Self::UnknownFormat => f.write_str("an envelope of a version or suite that this build does not know"),
            Self::KeyNotHeld => f.write_str("the envelope names a key that is not held: refresh the subject keys"),
            Self::SubjectUnknown => f.write_str("the subject has no keys: enroll it first"),
            Self::SubjectErased { at } => write!(f, "the subject was erased at {at}"),
            Self::TenantErased { at } => write!(f, "the tenant was erased at {at}"),
            Self::PurposeUnknown => f.write_str(
                "the subject has no keys for this purpose: declare it on the builder and enroll the subject again",
            ),
            Self::PurposeErased { at } => write!(f, "the subject's data for this purpose was erased at {at}"),
            Self::SubjectHeld => f.write_str("a hold stands on the subject: release it first"),
            Self::KeysExpired => f.write_str("the subject keys are older than max_age: ask the tenant for them again"),
            Self::WrongSubject => f.write_str("the row belongs to another subject than the keys"),
            Self::Conflict => f.write_str("somebody else changed the same keys meanwhile: try again"),
            Self::StoreBehindJournal { missing } => {
                let s = if *missing == 1 { "" } else { "s" };
                write!(
                    f,
                    "the key store lacks {missing} journaled change{s} (it was restored from a backup): replay the journal"
                )
            }
            Self::JournalTruncated => {
                f.write_str("the journal lacks entries that the key store has seen: restore the journal")
            }
            Self::WrongJournal => f.write_str("the key store is bound to another journal than the one given"),
            Self::EpochInUse { slots: 1 } => f.write_str("1 slot is still under this epoch: rewrap it first"),
            Self::EpochInUse { slots } => write!(f, "{slots} slots are still under this epoch: rewrap them first"),
            Self::MaxAgeTooLong { limit } => {
                write!(f, "the key store was made with a max_age of {limit:?}: ask for at most that")
            }
            Self::Entropy => f.write_str("the operating system gave no random bytes"),
            Self::Provider(e) => write!(f, "master key provider: {e}"),
            Self::Store(e) => write!(f, "key store: {e}"),
            Self::Journal(e) => write!(f, "erasure journal: {e}"),
            Self::Rows(e) => write!(f, "application's table: {e}"),
            Self::InvalidInput(what) => f.write_str(what),
            Self::Bug(what) => write!(f, "bug in fieldseal, please report it: {what}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Provider(e) => e.source(),
            Self::Store(e) => e.source(),
            Self::Journal(e) => e.source(),
            Self::Rows(e) => e.source(),
            _ => None,
        }
    }
}

impl From<ProviderError> for Error {
    fn from(e: ProviderError) -> Self {
        Self::Provider(e)
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<JournalError> for Error {
    fn from(e: JournalError) -> Self {
        Self::Journal(e)
    }
}

impl From<RowsError> for Error {
    fn from(e: RowsError) -> Self {
        Self::Rows(e)
    }
}

/// Whether the call that failed may succeed when it is made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no fourth answer")]
pub enum Retry {
    /// Not without a change by the caller.
    Never,
    /// At once; after [`Error::KeysExpired`] and [`Error::KeyNotHeld`] with fresh keys.
    Now,
    /// After a pause: something outside is down or busy.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_tells_now_from_later_from_never() {
        assert_eq!(Error::Conflict.retry(), Retry::Now);
        assert_eq!(Error::Store(StoreError::unavailable("down")).retry(), Retry::Later);
        assert_eq!(Error::Authentication.retry(), Retry::Never);
    }

    #[test]
    fn sources_survive() {
        let io = std::io::Error::other("disk");
        let error = Error::from(StoreError::unavailable(io));
        assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("disk"));
    }
}
