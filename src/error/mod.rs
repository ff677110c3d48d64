//! [`Error`]: what went wrong, sorted by what the caller does next; and the errors that ports give.
//!
//! Imports `clock` and `kind`. No variant or message carries a value, a key, an id or a ciphertext: what
//! programs and tables name (schema, field, column, kind of subject) is the most that a message tells.

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
use crate::kind::Kind;

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
    /// The bytes are no envelope, or what they hold is no value of its kind, or none that the type asked for can hold.
    Malformed,
    /// The bytes may be an envelope of a later version, of a suite or with a kind of value that this build doesn't know:
    /// upgrade.
    UnknownFormat,
    /// The value was sealed as another kind than the type asked for reads: open it as the type that sealed it.
    WrongType {
        /// What was sealed; [`Kind::None`] where there is no value, and an `Option` has to be asked for.
        found: Kind,
        /// The [`KIND`](crate::value::Plaintext::KIND) of the type asked for.
        expected: Kind,
    },
    /// The envelope names a key that these subject keys don't hold: `Tenant::refresh` them and try again.
    KeyNotHeld,
    /// No keys were ever made for this subject: `Tenant::enroll` it first. Of an erasure: neither key store nor journal knows
    /// it, or the tenant, and nothing was done (`ErasureRequest::even_if_unknown`).
    SubjectUnknown,
    /// The subject was erased: its data can't be opened again by anybody.
    SubjectErased {
        /// When it was erased.
        at: Timestamp,
    },
    /// The subject's data can't be opened now, and its keys are there: its retention period has ended, or its erasure is
    /// scheduled. Delete nothing on the strength of it. Until a sweep erases the subject, `Tenant::cancel_erasure` calls off what is
    /// scheduled, or what a sweep began, and `Enrollment::retain_until` prolongs the period.
    SubjectClosed {
        /// When its period ended, or when its keys are to be destroyed.
        due: Timestamp,
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
    /// The subject was erased so lately that another process may seal under the destroyed keys still, and what it sealed would be
    /// lost: enroll it again later.
    TooEarly {
        /// From when on.
        until: Timestamp,
    },
    /// The subject keys are older than `max_age`: ask the tenant for them again.
    KeysExpired,
    /// The row, or the subject that was named, is another person than the one whose keys these are.
    WrongSubject,
    /// The row, or the subject that was named, is of another kind than the one whose keys these are.
    WrongSubjectKind {
        /// The row's, or the one that was named.
        expected: Box<str>,
        /// The keys'.
        found: Box<str>,
    },
    /// The keys are another tenant's than the one that was asked: its subject of the same kind and id is another person.
    WrongTenant,
    /// The value was sealed for another purpose of the same subject: it was moved, or the field is held for another purpose
    /// than it was.
    WrongPurpose,
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
    /// Keys are still wrapped under the epoch, or may be: rewrap them before it can be retired. What can't be rewrapped because it
    /// is damaged is put back, or the subject erased as a whole.
    EpochInUse {
        /// How many slots are still under it, or may be.
        slots: u64,
        /// Those of them that may be: they are damaged, or of a tenant whose root can't be had, and so in any epoch.
        /// [`Vault::inventory_page`](crate::Vault::inventory_page) names them.
        unverified: u64,
    },
    /// The key store was made with a smaller `max_age` than the one asked for: ask for at most this one.
    MaxAgeTooLong {
        /// The key store's `max_age`.
        limit: Duration,
    },
    /// Two clocks are further apart than the vault's bound, so nothing was destroyed, or closed, because its time has come. Set
    /// right the one that is wrong. If it was this machine's, and neither key store nor journal has a clock, build the vault anew.
    ClocksDisagree {
        /// Which clock it is that differs from this process's time of day.
        whose: OtherClock,
        /// By how much.
        apart: Duration,
    },
    /// The journal's last entry is of a time to come, so somebody's clock is wrong, or was: nothing was destroyed, or closed, because
    /// its time has come. If this process's clock is right, say so: `Sweep::even_if_journal_is_ahead`.
    JournalAhead {
        /// What the entry is dated.
        at: Timestamp,
    },
    /// More subjects are due than a sweep may erase or close, so it did neither with any. If that is as it should be, say how many
    /// may go: `Sweep::at_most`.
    TooManyDue {
        /// How many are due.
        due: u64,
        /// How many may go.
        cap: u64,
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
    /// One field of a row failed, and with it the call. [`without_field`](Error::without_field) gives what to match on.
    Field {
        /// The schema of the record, as values are bound to it.
        schema: &'static str,
        /// The name of the field, as values are bound to it.
        field: &'static str,
        /// What went wrong; never another `Field`.
        error: Box<Error>,
    },
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
            Self::Entropy | Self::ClocksDisagree { .. } | Self::TooEarly { .. } => Retry::Later,
            Self::Provider(e) => e.retry(),
            Self::Store(e) => e.retry(),
            Self::Journal(e) => e.retry(),
            Self::Rows(e) => e.retry(),
            Self::Field { error, .. } => error.retry(),
            _ => Retry::Never,
        }
    }

    /// What went wrong, whichever field it was of: for a `match`.
    ///
    /// ```
    /// use fieldseal::{Error, SubjectKeys};
    /// # use fieldseal::{Record, Sealed};
    /// # #[derive(Record)]
    /// # #[record(schema = "customer")]
    /// # struct Customer { #[record(id, subject = "customer")] id: i64, email: Sealed<String> }
    ///
    /// fn is_damaged(row: &Customer, keys: &SubjectKeys) -> bool {
    ///     matches!(row.open(keys).map_err(Error::without_field), Err(Error::Authentication | Error::Malformed))
    /// }
    /// ```
    #[must_use]
    pub fn without_field(self) -> Self {
        match self {
            Self::Field { error, .. } => *error,
            other => other,
        }
    }

    /// The same, of a field of a record.
    pub(crate) fn in_field(self, schema: &'static str, field: &'static str) -> Self {
        Self::Field { schema, field, error: Box::new(self.without_field()) }
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
            Self::Malformed => f.write_str("not an envelope, or not of a value that this type can hold"),
            Self::UnknownFormat => {
                f.write_str("an envelope of a version, suite or kind of value that this build does not know: upgrade")
            }
            Self::WrongType { found: Kind::None, expected } => {
                write!(f, "no value was sealed here, and {expected} is asked for: ask for an `Option`")
            }
            Self::WrongType { found, expected } => write!(
                f,
                "{found} was sealed here, and {expected} is asked for: open it as the type that sealed it, or seal it anew"
            ),
            Self::KeyNotHeld => f.write_str("the envelope names a key that is not held: refresh the subject keys"),
            Self::SubjectUnknown => {
                f.write_str("no such subject: check its kind, its id and the tenant; if they are right, enroll it first")
            }
            Self::SubjectErased { at } => write!(f, "the subject was erased at {at}"),
            Self::SubjectClosed { due } => write!(
                f,
                "the subject is closed: it is due for erasure, as of {due}; call that off, or prolong its retention period"
            ),
            Self::TenantErased { at } => write!(f, "the tenant was erased at {at}"),
            Self::PurposeUnknown => f.write_str(
                "the subject has no keys for this purpose: declare it on the builder and enroll the subject again",
            ),
            Self::PurposeErased { at } => write!(f, "the subject's data for this purpose was erased at {at}"),
            Self::SubjectHeld => f.write_str("a hold stands on the subject: release it first"),
            Self::TooEarly { until } => {
                write!(f, "the subject was erased lately, and its old keys may be in use still: enroll it again at {until}")
            }
            Self::KeysExpired => f.write_str("the subject keys are older than max_age: ask the tenant for them again"),
            Self::WrongSubject => f.write_str("the keys are another subject's than the one named: ask the tenant for this one's"),
            Self::WrongSubjectKind { expected, found } => {
                write!(f, "the keys are those of a {found:?}, and a {expected:?} is named: ask the tenant for this one's")
            }
            Self::WrongTenant => f.write_str("the keys are another tenant's: ask that one"),
            Self::WrongPurpose => f.write_str(
                "the value was sealed for another purpose of the same subject: open it for that purpose, or restore the row",
            ),
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
            Self::EpochInUse { slots: 1, unverified: 0 } => {
                f.write_str("1 slot is still under this epoch: rewrap it first")
            }
            Self::EpochInUse { slots, unverified: 0 } => {
                write!(f, "{slots} slots are still under this epoch: rewrap them first")
            }
            Self::EpochInUse { slots, unverified } => write!(
                f,
                "of {slots} slots that are still under this epoch, or may be, {unverified} are damaged, or of a tenant whose root \
                 can't be had: put them back, or erase the subject as a whole"
            ),
            Self::MaxAgeTooLong { limit } => {
                write!(f, "the key store was made with a max_age of {limit:?}: ask for at most that")
            }
            Self::ClocksDisagree { whose: OtherClock::Monotonic, apart } => write!(
                f,
                "this machine's time of day jumped by {apart:?} since the vault was built (it was set, or the machine slept): \
                 make certain that it is right, and start the process again"
            ),
            Self::ClocksDisagree { whose, apart } => write!(
                f,
                "this machine's time of day and the clock of the {whose} are {apart:?} apart: set right the one that is wrong"
            ),
            Self::JournalAhead { at } => write!(
                f,
                "the journal's last entry is dated {at}, which is to come: if this machine's clock is right, sweep even if the \
                 journal is ahead"
            ),
            Self::TooManyDue { due, cap } => write!(
                f,
                "{due} subjects are due, and a sweep may erase or close {cap}: make certain that they are, and say how many may go"
            ),
            Self::Entropy => f.write_str("the operating system gave no random bytes"),
            Self::Provider(e) => write!(f, "master key provider: {e}"),
            Self::Store(e) => write!(f, "key store: {e}"),
            Self::Journal(e) => write!(f, "erasure journal: {e}"),
            Self::Rows(e) => write!(f, "application's table: {e}"),
            Self::Field { schema, field, error } => write!(f, "{schema}.{field}: {error}"),
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
            Self::Field { error, .. } => error.source(),
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

/// A clock that this process's time of day is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OtherClock {
    /// The key store's.
    Store,
    /// The journal's.
    Journal,
    /// This process's monotonic clock, by which the time of day should have moved since the vault was built. It decides where
    /// neither key store nor journal has a clock.
    Monotonic,
}

impl fmt::Display for OtherClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Store => "key store",
            Self::Journal => "erasure journal",
            Self::Monotonic => "process",
        })
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
        let (whose, apart) = (OtherClock::Store, Duration::from_secs(61));
        assert_eq!(Error::ClocksDisagree { whose, apart }.retry(), Retry::Later);
        assert_eq!(Error::Authentication.retry(), Retry::Never);
        let never = [
            Error::WrongType { found: Kind::Int, expected: Kind::Text },
            Error::WrongPurpose,
            Error::WrongTenant,
            Error::WrongSubject,
            Error::WrongSubjectKind { expected: "customer".into(), found: "employee".into() },
            Error::Journal(JournalError::newer_schema("an entry")),
        ];
        assert!(never.iter().all(|e| e.retry() == Retry::Never));
    }

    /// Whose keys they are, and what for, goes wrong in many ways: each is told as itself, and says what to do.
    #[test]
    fn each_wrong_owner_has_a_message_of_its_own() {
        let wrong = [
            (Error::SubjectUnknown, "check its kind, its id and the tenant"),
            (Error::WrongSubject, "ask the tenant for this one's"),
            (
                Error::WrongSubjectKind { expected: "customer".into(), found: "employee".into() },
                "those of a \"employee\"",
            ),
            (Error::WrongTenant, "ask that one"),
            (Error::WrongPurpose, "open it for that purpose"),
            (Error::PurposeUnknown, "declare it on the builder"),
            (Error::KeyNotHeld, "refresh the subject keys"),
            (Error::KeysExpired, "ask the tenant for them again"),
        ];
        let mut messages: Vec<_> = wrong.iter().map(|(e, _)| e.to_string()).collect();
        for ((e, advice), message) in wrong.iter().zip(&messages) {
            assert!(message.contains(advice), "{message}");
            let is_now = matches!(e, Error::KeyNotHeld | Error::KeysExpired);
            assert_eq!(e.retry() == Retry::Now, is_now, "{message}");
        }
        messages.sort();
        messages.dedup();
        assert_eq!(messages.len(), wrong.len());
    }

    /// Each is what a wrong clock looks like, and says what an operator does about it.
    #[test]
    fn what_a_sweep_refuses_says_what_to_do() {
        let (at, apart) = (Timestamp::from_millis(0), Duration::from_secs(61));
        for (error, advice) in [
            (Error::ClocksDisagree { whose: OtherClock::Store, apart }, "the clock of the key store are 61s apart"),
            (Error::ClocksDisagree { whose: OtherClock::Monotonic, apart }, "start the process again"),
            (Error::JournalAhead { at }, "sweep even if the journal is ahead"),
            (Error::TooManyDue { due: 1001, cap: 1000 }, "say how many may go"),
            (Error::SubjectClosed { due: at }, "call that off, or prolong"),
        ] {
            assert!(error.to_string().contains(advice), "{error}");
        }
    }

    #[test]
    fn a_wrong_type_says_both_kinds_and_what_to_do() {
        let says = |found, expected| Error::WrongType { found, expected }.to_string();
        assert_eq!(
            says(Kind::Int, Kind::Text),
            "an integer was sealed here, and text is asked for: open it as the type that sealed it, or seal it anew"
        );
        assert_eq!(
            says(Kind::None, Kind::Date),
            "no value was sealed here, and a date is asked for: ask for an `Option`"
        );
    }

    #[test]
    fn an_error_of_a_field_names_it_and_is_retried_as_it_would_be_without() {
        let error = Error::KeyNotHeld.in_field("customer", "email");
        assert_eq!(
            error.to_string(),
            "customer.email: the envelope names a key that is not held: refresh the subject keys"
        );
        assert_eq!(error.retry(), Retry::Now);
        let again = error.in_field("customer", "email");
        assert!(matches!(again.without_field(), Error::KeyNotHeld));
    }

    #[test]
    fn sources_survive() {
        let io = std::io::Error::other("disk");
        let error = Error::from(StoreError::unavailable(io));
        for error in [error.clone(), error.in_field("customer", "email")] {
            assert_eq!(std::error::Error::source(&error).map(ToString::to_string).as_deref(), Some("disk"));
        }
    }
}
