//! The erasure journal: the port [`ErasureJournal`], an append-only log kept outside the key store, and its adapters.
//!
//! Imports `error`, `id`, `clock`, `bytes`, `crypto`, `envelope`, `keys`, and for the adapters `thread` and `disk`; knows no
//! other port.

mod entry;
pub(crate) mod file;
pub(crate) mod history;
mod memory;
pub(crate) mod verify;

use std::fmt::{self, Debug};

use async_trait::async_trait;
use auto_impl::auto_impl;

pub use crate::error::{JournalError, JournalErrorKind};
pub use entry::{ErasedLine, JournalEntry, JournalEvent};
pub use file::FileJournal;
pub use memory::MemoryJournal;

use crate::clock::Timestamp;
use crate::crypto::{mac, rng};
use crate::envelope::context;
use crate::error::Result;
use crate::id::TenantId;
use crate::keys::Tag;

/// An append-only, hash-chained log of what must outlive a restore of the key store. It changes by compare-and-swap on
/// its head.
///
/// It is kept outside the key store and outside the key store's backups: what is restored together can't notice that it
/// was. It names tenants and tags, never a subject.
#[async_trait]
#[auto_impl(Arc, Box)]
pub trait ErasureJournal: Debug + Send + Sync + 'static {
    /// Which journal it is. The key store is bound to it.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be reached.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn id(&self) -> Result<JournalId, JournalError>;

    /// Where the journal ends.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be reached or is damaged.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn head(&self) -> Result<Head, JournalError>;

    /// Appends an entry if the journal ends at `expected`; gives the new head, [`Head::advanced_by`] the entry. Durable when it
    /// returns.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Conflict`: nothing was appended. `Unavailable`, `Throttled`: it may have been.
    /// `Misconfigured`: nothing was appended, the entry breaks a bound of the format ([`JournalEntry::from_bytes`] wouldn't
    /// read it).
    ///
    /// # Cancel safety
    /// A call that is dropped may have appended.
    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError>;

    /// Reads at most `limit` of the entries behind position `from` (0 for all of them; the first entry has position 1), in
    /// order.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be reached or is damaged.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError>;

    /// Reads the entries about one subject; with no tag those about the tenant itself, with no tenant either those about the
    /// key store as a whole; as far as the head `up_to`, in order, and each with the head before it. An entry is authenticated
    /// at that head: with another one a vault passes it over.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be reached or is damaged.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError>;

    /// The moment by the journal's own clock; none if it has none, or that of this process's machine. What a vault destroys
    /// because its time has come goes by this one and the process's own, which must agree. Whoever wraps a journal passes it on.
    ///
    /// # Errors
    /// [`JournalError`] if the journal can't be reached.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn clock(&self) -> Result<Option<Timestamp>, JournalError> {
        Ok(None)
    }
}

/// An entry, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryAt {
    /// The head before it: what the journal's head was when it was appended.
    pub before: Head,
    /// The entry.
    pub entry: JournalEntry,
}

impl EntryAt {
    /// An entry behind this head.
    pub fn new(before: Head, entry: JournalEntry) -> Self {
        Self { before, entry }
    }
}

/// Names a journal: 16 random bytes, drawn when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JournalId([u8; Self::LEN]);

impl JournalId {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// A new journal's.
    ///
    /// # Errors
    /// [`Error::Entropy`](crate::Error::Entropy) if the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut id = [0; Self::LEN];
        rng::fill(&mut id)?;
        Ok(Self(id))
    }

    /// The id that these bytes are.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Where a journal ends, or ended: how many entries it has, and the hash of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Head {
    position: u64,
    hash: [u8; 32],
}

impl Head {
    /// The head of an empty journal.
    pub const EMPTY: Self = Self { position: 0, hash: [0; 32] };

    /// The head after `entry`: `hash = SHA-256(ENC("journal", hash before, entry))`.
    #[must_use]
    pub fn advanced_by(&self, entry: &JournalEntry) -> Self {
        let hash = mac::sha256(&[&context::encode("journal", &[&self.hash, &entry.to_bytes()])]);
        Self { position: self.position.saturating_add(1), hash }
    }

    /// The head of these parts, for a journal that stores it.
    pub const fn from_parts(position: u64, hash: [u8; 32]) -> Self {
        Self { position, hash }
    }

    /// How many entries: the position of the last one.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The hash of the chain.
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({})", self.position)
    }
}
