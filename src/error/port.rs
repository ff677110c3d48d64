//! The errors that ports give: a kind that says who is to blame, and the adapter's own error as source.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::{Error, Retry};

/// What the kinds of a port's errors have in common.
pub trait PortErrorKind: fmt::Debug + Copy + Eq + Send + Sync + 'static {
    /// The port could not be reached, or gave no answer: what was asked for may have been done.
    const UNAVAILABLE: Self;

    /// The port is there and has had too many calls. What was asked for may have been done, by an earlier attempt of the
    /// port's own client.
    const THROTTLED: Self;

    /// The port is there, and refuses this caller. Nothing was done.
    const DENIED: Self;

    /// It in one word, for a label of a metric: `unavailable`, `unknown_key`.
    fn name(self) -> &'static str;

    /// Whether a call that failed in this way may succeed later.
    fn retry(self) -> Retry;

    /// What it means, in words for the operator.
    fn describe(self) -> &'static str;
}

/// A port's error: its kind, what to do about it where there is something to add, and the source.
#[derive(Clone)]
pub struct PortError<K> {
    kind: K,
    hint: Option<Cow<'static, str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    is_of_one_tenant: bool,
}

/// A [`MasterKeyProvider`](crate::provider::MasterKeyProvider)'s error.
pub type ProviderError = PortError<ProviderErrorKind>;
/// A [`KeyStore`](crate::store::KeyStore)'s error.
pub type StoreError = PortError<StoreErrorKind>;
/// An [`ErasureJournal`](crate::journal::ErasureJournal)'s error.
pub type JournalError = PortError<JournalErrorKind>;
/// A [`RowSource`](crate::rows::RowSource)'s error.
pub type RowsError = PortError<RowsErrorKind>;

impl<K: PortErrorKind> PortError<K> {
    /// An error of this kind.
    pub fn new(kind: K) -> Self {
        Self { kind, hint: None, source: None, is_of_one_tenant: false }
    }

    /// Adds what the operator needs to know or do. No key, id or value belongs here.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the adapter's own error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Says that it is about one tenant, or one subject, alone: others can be worked on all the same, whatever its kind.
    #[must_use]
    pub(crate) fn of_one_tenant(mut self) -> Self {
        self.is_of_one_tenant = true;
        self
    }

    pub(crate) fn is_of_one_tenant(&self) -> bool {
        self.is_of_one_tenant
    }

    /// Who is to blame.
    pub fn kind(&self) -> K {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        self.kind.retry()
    }

    pub(super) fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}

impl<K: PortErrorKind> fmt::Display for PortError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.describe())?;
        match &self.hint {
            Some(hint) => write!(f, ": {hint}"),
            None => Ok(()),
        }
    }
}

impl<K: PortErrorKind> fmt::Debug for PortError<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortError")
            .field("kind", &self.kind)
            .field("hint", &self.hint)
            .field("source", &self.source)
            .finish()
    }
}

impl<K: PortErrorKind> std::error::Error for PortError<K> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Self::source(self)
    }
}

/// What can go wrong at a master key provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// The provider has no such master key.
    UnknownKey,
    /// The master key existed and was destroyed: nothing wrapped under it opens again.
    KeyDestroyed,
    /// The wrapped key was made for another context, under another key, or was changed.
    Authentication,
    /// The master key is switched off at its provider. Whoever runs that can switch it on again.
    Disabled,
    /// The master key is to be destroyed, and can't be used any more. Until then it can be called back at its provider.
    PendingDeletion,
    /// The provider refuses this caller.
    Denied,
    /// The provider has had too many calls: its quota is used up for the moment.
    Throttled,
    /// The provider could not be reached, or answered that it is busy.
    Unavailable,
    /// What the provider keeps, or answered, is damaged.
    Corrupt,
    /// The provider is set up wrongly, or was called wrongly.
    Misconfigured,
}

impl PortErrorKind for ProviderErrorKind {
    const UNAVAILABLE: Self = Self::Unavailable;
    const THROTTLED: Self = Self::Throttled;
    const DENIED: Self = Self::Denied;

    fn name(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::KeyDestroyed => "key_destroyed",
            Self::Authentication => "authentication",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending_deletion",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Misconfigured => "misconfigured",
        }
    }

    fn retry(self) -> Retry {
        match self {
            Self::Throttled | Self::Unavailable => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::UnknownKey => "no such master key",
            Self::KeyDestroyed => "the master key was destroyed",
            Self::Authentication => "the wrapped key does not open under this master key and context",
            Self::Disabled => "the master key is disabled",
            Self::PendingDeletion => "the master key is to be destroyed",
            Self::Denied => "access to the master key was denied",
            Self::Throttled => "too many calls",
            Self::Unavailable => "not available",
            Self::Corrupt => "damaged",
            Self::Misconfigured => "not set up as it must be",
        }
    }
}

impl ProviderError {
    /// What an adapter takes from this library, or gives it, was refused: the system gave no random bytes (`Unavailable`), or
    /// the adapter has a bug (`Corrupt`).
    pub fn internal(error: Error) -> Self {
        match error {
            Error::Entropy => Self::unavailable(error),
            error => Self::corrupt("a bug of the adapter or of fieldseal, please report it").with_source(error),
        }
    }

    /// The system gave no thread for work that blocks.
    pub fn no_thread(error: std::io::Error) -> Self {
        Self::unavailable(error).with_hint("can't run work on a thread")
    }

    /// The provider could not be reached: try later.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(ProviderErrorKind::Unavailable).with_source(source)
    }

    /// What the provider keeps is damaged; `what` says how.
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProviderErrorKind::Corrupt).with_hint(what)
    }

    /// The provider is set up wrongly; `what` says what to change.
    pub fn misconfigured(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ProviderErrorKind::Misconfigured).with_hint(what)
    }
}

/// What can go wrong at a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The slot is not what the writer expected: somebody else changed it. Nothing was written.
    Conflict,
    /// The slot's epoch is below the store's floor. Nothing was written.
    BelowFloor,
    /// The store has had too many calls, or too many writers of one slot: its capacity or a quota is used up for the moment.
    /// A write may or may not have landed, by an earlier attempt of the store's client.
    Throttled,
    /// The store could not be reached. A write that was under way may or may not have landed.
    Unavailable,
    /// What the store keeps is damaged.
    Corrupt,
    /// The store refuses this caller.
    Denied,
    /// The store was made by a later version of this crate: upgrade.
    NewerSchema,
    /// The store is set up wrongly, or was called wrongly.
    Misconfigured,
}

impl PortErrorKind for StoreErrorKind {
    const UNAVAILABLE: Self = Self::Unavailable;
    const THROTTLED: Self = Self::Throttled;
    const DENIED: Self = Self::Denied;

    fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::BelowFloor => "below_floor",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Denied => "denied",
            Self::NewerSchema => "newer_schema",
            Self::Misconfigured => "misconfigured",
        }
    }

    fn retry(self) -> Retry {
        match self {
            Self::Conflict | Self::BelowFloor => Retry::Now,
            Self::Throttled | Self::Unavailable => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Conflict => "somebody else changed the slot",
            Self::BelowFloor => "the slot's epoch is below the floor",
            Self::Throttled => "too much at once",
            Self::Unavailable => "not available",
            Self::Corrupt => "damaged",
            Self::Denied => "access to the store was denied",
            Self::NewerSchema => "made by a later version of fieldseal",
            Self::Misconfigured => "not set up as it must be",
        }
    }
}

impl StoreError {
    /// The slot is not what the writer expected. Nothing was written.
    pub fn conflict() -> Self {
        Self::new(StoreErrorKind::Conflict)
    }

    /// The slot's epoch is below the store's floor. Nothing was written.
    pub fn below_floor() -> Self {
        Self::new(StoreErrorKind::BelowFloor)
    }

    /// The store could not be reached; a write that was under way may have landed.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unavailable).with_source(source)
    }

    /// What the store keeps is damaged; `what` says how.
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StoreErrorKind::Corrupt).with_hint(what)
    }

    /// The store is set up wrongly; `what` says what to change.
    pub fn misconfigured(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StoreErrorKind::Misconfigured).with_hint(what)
    }
}

/// What can go wrong at a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JournalErrorKind {
    /// The journal's head is not what the writer expected: somebody else appended. Nothing was written.
    Conflict,
    /// The journal has had too many calls, or too many writers: its capacity or a quota is used up for the moment. An append
    /// may or may not have landed, by an earlier attempt of the journal's client.
    Throttled,
    /// The journal could not be reached. An append that was under way may or may not have landed.
    Unavailable,
    /// The journal is damaged.
    Corrupt,
    /// The journal refuses this caller.
    Denied,
    /// The journal, or what it says of this subject, tenant or key store, is of a later version of this crate: upgrade.
    NewerSchema,
    /// The journal is set up wrongly, or was called wrongly.
    Misconfigured,
}

impl PortErrorKind for JournalErrorKind {
    const UNAVAILABLE: Self = Self::Unavailable;
    const THROTTLED: Self = Self::Throttled;
    const DENIED: Self = Self::Denied;

    fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "corrupt",
            Self::Denied => "denied",
            Self::NewerSchema => "newer_schema",
            Self::Misconfigured => "misconfigured",
        }
    }

    fn retry(self) -> Retry {
        match self {
            Self::Conflict => Retry::Now,
            Self::Throttled | Self::Unavailable => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Conflict => "somebody else appended to the journal",
            Self::Throttled => "too much at once",
            Self::Unavailable => "not available",
            Self::Corrupt => "damaged",
            Self::Denied => "access to the journal was denied",
            Self::NewerSchema => "made by a later version of fieldseal",
            Self::Misconfigured => "not set up as it must be",
        }
    }
}

impl JournalError {
    /// The head is not what the writer expected. Nothing was written.
    pub fn conflict() -> Self {
        Self::new(JournalErrorKind::Conflict)
    }

    /// The journal could not be reached; an append that was under way may have landed.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(JournalErrorKind::Unavailable).with_source(source)
    }

    /// The journal is damaged; `what` says how and where.
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(JournalErrorKind::Corrupt).with_hint(what)
    }

    /// A later version made it; `what` says what.
    pub fn newer_schema(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(JournalErrorKind::NewerSchema).with_hint(what)
    }

    /// The journal is set up wrongly, or was called wrongly; `what` says what to change.
    pub fn misconfigured(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(JournalErrorKind::Misconfigured).with_hint(what)
    }
}

/// What can go wrong at a source of an application's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RowsErrorKind {
    /// The database has had too many calls, or somebody else holds the rows or the table for long. A write may or may not have
    /// landed, by an earlier attempt of the database's client.
    Throttled,
    /// The table could not be reached, or, in SQLite, was locked. A write that was under way may or may not have landed.
    Unavailable,
    /// The database refuses this caller.
    Denied,
    /// The table is not as it was said to be, or the source was called wrongly.
    Misconfigured,
    /// What the table holds is damaged.
    Corrupt,
}

impl PortErrorKind for RowsErrorKind {
    const UNAVAILABLE: Self = Self::Unavailable;
    const THROTTLED: Self = Self::Throttled;
    const DENIED: Self = Self::Denied;

    fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Denied => "denied",
            Self::Misconfigured => "misconfigured",
            Self::Corrupt => "corrupt",
        }
    }

    fn retry(self) -> Retry {
        match self {
            Self::Throttled | Self::Unavailable => Retry::Later,
            _ => Retry::Never,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Throttled => "too much at once",
            Self::Unavailable => "not available",
            Self::Denied => "access to the table was denied",
            Self::Misconfigured => "not set up as it must be",
            Self::Corrupt => "damaged",
        }
    }
}

impl RowsError {
    /// The table could not be reached; a write that was under way may have landed.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(RowsErrorKind::Unavailable).with_source(source)
    }

    /// The table is not as it was said to be, or the source was called wrongly; `what` says what to change.
    pub fn misconfigured(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RowsErrorKind::Misconfigured).with_hint(what)
    }

    /// What the table holds is damaged; `what` says how.
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(RowsErrorKind::Corrupt).with_hint(what)
    }

    /// The source has no column of this name.
    pub fn no_column(name: &str) -> Self {
        Self::misconfigured(format!("there is no column {name:?}"))
    }
}
