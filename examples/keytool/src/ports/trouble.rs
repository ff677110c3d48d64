//! [`Trouble`]: why a URL is none, or can't be opened.

use std::error::Error as StdError;
use std::fmt;

use fieldseal::Error;
use fieldseal::error::{JournalError, ProviderError, StoreError};

/// What is wrong, and what to do about it.
#[derive(Debug)]
pub(crate) struct Trouble {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Whose turn it is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Whoever wrote the URL, or set up the environment.
    Usage,
    /// What is named is not there, and can be made.
    Missing,
    /// What is named is not there: whoever runs the provider makes it.
    Operators,
    /// Nobody answers: later.
    Unavailable,
    /// What is there is damaged.
    Damaged,
    /// The library says it.
    Library(Error),
}

impl Trouble {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(Kind::Missing, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whose turn it is.
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Library(e) => e.fmt(f),
            _ => f.write_str(&self.message),
        }
    }
}

impl StdError for Trouble {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            Kind::Library(e) => e.source(),
            _ => self.source.as_ref().map(|source| &**source as _),
        }
    }
}

macro_rules! of_the_library {
    ($($error:ident)*) => {$(
        impl From<$error> for Trouble {
            fn from(e: $error) -> Self {
                Self::new(Kind::Library(e.into()), "")
            }
        }
    )*};
}
of_the_library!(Error ProviderError StoreError JournalError);
