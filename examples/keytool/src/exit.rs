//! [`Exit`] and [`Failure`]: how a command ends, and the one place that says which error is which exit code.

use std::error::Error as StdError;
use std::path::Path;
use std::{fmt, io};

use fieldseal::error::{
    JournalError, JournalErrorKind, ProviderError, ProviderErrorKind, RowsError, RowsErrorKind, StoreError,
    StoreErrorKind,
};
use fieldseal::{Error, Retry};

use crate::ports::{Kind, Trouble};

/// How a command ends: the process's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Unforeseen = 1,
    Usage = 2,
    Refused = 3,
    NotFound = 4,
    Unfit = 5,
    Unavailable = 6,
    Partly = 7,
    Unverified = 8,
}

impl Exit {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }
}

/// What `--help` and `docs/keytool.md` say of them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a bug, or anything unforeseen
  2  wrong arguments or configuration; a passphrase or permission that is missing
  3  refused: on hold, erased, epoch in use, not confirmed, there already, clocks, too many due
  4  not found: no such subject, purpose, epoch or file
  5  key store, journal and master keys don't fit together: docs/restore.md
  6  something outside is not available (database busy, disk full, file locked): try later
  7  done in part: the rest is listed
  8  what was read doesn't hold: a receipt is undone, a file damaged, a key lost, a value another";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    kind: &'static str,
    message: String,
    sources: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self { exit, kind, message: message.into(), sources: Vec::new() }
    }

    /// Wrong arguments.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// The command may not do this now.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, "refused", message)
    }

    /// What is asked about is not there.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, "not_found", message)
    }

    /// A file of the tool's own could not be read or written.
    pub(crate) fn of_file(what: &str, file: &Path, e: &io::Error) -> Self {
        let (exit, kind) = match e.kind() {
            io::ErrorKind::NotFound => (Exit::NotFound, "file_missing"),
            io::ErrorKind::AlreadyExists => (Exit::Refused, "file_exists"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
                (Exit::Usage, "file_unusable")
            }
            io::ErrorKind::InvalidData => (Exit::Unverified, "file_damaged"),
            _ => (Exit::Unavailable, "file_unavailable"),
        };
        Self::new(exit, kind, format!("can't {what} {}", file.display())).because(e)
    }

    /// Adds why. What an error says of its source already is not said twice.
    pub(crate) fn because(mut self, e: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(e);
        while let Some(e) = next {
            let source = e.to_string();
            next = e.source();
            if !self.sources.last().is_some_and(|said| said.contains(&source)) {
                self.sources.push(source);
            }
        }
        self
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// `{"kind": .., "exit": .., "message": .., "sources": [..]}`
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.kind,
            "exit": self.exit.code(),
            "message": self.message,
            "sources": self.sources,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.sources.iter().try_for_each(|source| write!(f, ": {source}"))
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        let (exit, kind) = sorted(&e);
        let failure = Self::new(exit, kind, e.to_string());
        match e.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

macro_rules! of_ports {
    ($($error:ident)*) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Error::from(e).into()
            }
        }
    )*};
}
of_ports!(ProviderError StoreError JournalError RowsError);

/// What a URL names can't be had.
impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let (exit, kind, more) = match trouble.kind() {
            Kind::Usage => (Exit::Usage, "configuration", ""),
            Kind::Missing => (
                Exit::NotFound,
                "not_found",
                ": correct the configuration, restore it, or run `keytool init` for a new one",
            ),
            Kind::Operators => (Exit::NotFound, "not_found", ""),
            Kind::Unavailable => (Exit::Unavailable, "unavailable", ""),
            Kind::Damaged => (Exit::Unverified, "damaged", ""),
            Kind::Library(e) => return e.clone().into(),
        };
        let failure = Self::new(exit, kind, format!("{trouble}{more}"));
        match trouble.source() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

/// Which exit code, and which word for a program, an error of the library is.
fn sorted(e: &Error) -> (Exit, &'static str) {
    match e {
        Error::SubjectUnknown => (Exit::NotFound, "subject_unknown"),
        Error::PurposeUnknown => (Exit::NotFound, "purpose_unknown"),
        Error::SubjectErased { .. } => (Exit::Refused, "subject_erased"),
        Error::SubjectClosed { .. } => (Exit::Refused, "subject_closed"),
        Error::PurposeErased { .. } => (Exit::Refused, "purpose_erased"),
        Error::TenantErased { .. } => (Exit::Refused, "tenant_erased"),
        Error::SubjectHeld => (Exit::Refused, "subject_held"),
        Error::EpochInUse { .. } => (Exit::Refused, "epoch_in_use"),
        Error::ClocksDisagree { .. } => (Exit::Refused, "clocks_disagree"),
        Error::JournalAhead { .. } => (Exit::Refused, "journal_ahead"),
        Error::TooManyDue { .. } => (Exit::Refused, "too_many_due"),
        Error::StoreBehindJournal { .. } => (Exit::Unfit, "store_behind_journal"),
        Error::JournalTruncated => (Exit::Unfit, "journal_truncated"),
        Error::WrongJournal => (Exit::Unfit, "wrong_journal"),
        Error::MaxAgeTooLong { .. } => (Exit::Usage, "max_age_too_long"),
        Error::InvalidInput(_) => (Exit::Usage, "invalid_input"),
        Error::Authentication => (Exit::Unverified, "authentication"),
        Error::Malformed => (Exit::Unverified, "malformed"),
        Error::WrongSubject => (Exit::Unverified, "wrong_subject"),
        Error::WrongSubjectKind { .. } => (Exit::Unverified, "wrong_subject_kind"),
        Error::WrongTenant => (Exit::Usage, "wrong_tenant"),
        Error::WrongPurpose => (Exit::Unverified, "wrong_purpose"),
        Error::WrongType { .. } => (Exit::Unverified, "wrong_type"),
        Error::UnknownFormat => (Exit::Usage, "unknown_format"),
        Error::KeyNotHeld => (Exit::Unavailable, "key_not_held"),
        Error::KeysExpired => (Exit::Unavailable, "keys_expired"),
        Error::Conflict => (Exit::Unavailable, "conflict"),
        Error::Entropy => (Exit::Unavailable, "entropy"),
        Error::Provider(e) => match e.kind() {
            // Not these master keys, or not this backup.
            ProviderErrorKind::UnknownKey => (Exit::Unfit, "master_key_unknown"),
            ProviderErrorKind::KeyDestroyed => (Exit::Unfit, "master_key_destroyed"),
            ProviderErrorKind::PendingDeletion => (Exit::Unfit, "master_key_pending_deletion"),
            ProviderErrorKind::Disabled => (Exit::Usage, "master_key_disabled"),
            ProviderErrorKind::Authentication => (Exit::Unverified, "provider_authentication"),
            ProviderErrorKind::Denied => (Exit::Usage, "provider_denied"),
            ProviderErrorKind::Unavailable | ProviderErrorKind::Throttled => {
                (Exit::Unavailable, "provider_unavailable")
            }
            ProviderErrorKind::Corrupt => (Exit::Unverified, "provider_corrupt"),
            ProviderErrorKind::Misconfigured => (Exit::Usage, "provider_misconfigured"),
            _ => (by_retry(e.retry()), "provider"),
        },
        Error::Store(e) => match e.kind() {
            StoreErrorKind::Conflict | StoreErrorKind::BelowFloor => (Exit::Unavailable, "store_conflict"),
            StoreErrorKind::Unavailable | StoreErrorKind::Throttled => (Exit::Unavailable, "store_unavailable"),
            StoreErrorKind::Corrupt => (Exit::Unverified, "store_corrupt"),
            StoreErrorKind::Denied => (Exit::Usage, "store_denied"),
            StoreErrorKind::NewerSchema => (Exit::Usage, "store_newer_schema"),
            StoreErrorKind::Misconfigured => (Exit::Usage, "store_misconfigured"),
            _ => (by_retry(e.retry()), "store"),
        },
        Error::Journal(e) => match e.kind() {
            JournalErrorKind::Conflict => (Exit::Unavailable, "journal_conflict"),
            JournalErrorKind::Unavailable | JournalErrorKind::Throttled => (Exit::Unavailable, "journal_unavailable"),
            JournalErrorKind::Corrupt => (Exit::Unverified, "journal_corrupt"),
            JournalErrorKind::Denied => (Exit::Usage, "journal_denied"),
            JournalErrorKind::NewerSchema => (Exit::Usage, "journal_newer_schema"),
            JournalErrorKind::Misconfigured => (Exit::Usage, "journal_misconfigured"),
            _ => (by_retry(e.retry()), "journal"),
        },
        Error::Rows(e) => match e.kind() {
            RowsErrorKind::Unavailable | RowsErrorKind::Throttled => (Exit::Unavailable, "table_unavailable"),
            RowsErrorKind::Denied => (Exit::Usage, "table_denied"),
            RowsErrorKind::Misconfigured => (Exit::Usage, "table_misconfigured"),
            RowsErrorKind::Corrupt => (Exit::Unverified, "table_corrupt"),
            _ => (by_retry(e.retry()), "table"),
        },
        Error::Field { error, .. } => sorted(error),
        Error::Bug(_) => (Exit::Unforeseen, "bug"),
        _ => (by_retry(e.retry()), "unforeseen"),
    }
}

/// For what a later version of the library tells.
fn by_retry(retry: Retry) -> Exit {
    match retry {
        Retry::Never => Exit::Unforeseen,
        Retry::Now | Retry::Later => Exit::Unavailable,
    }
}
