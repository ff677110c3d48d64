//! Key stores: the port [`KeyStore`], a compare-and-swap map from slot id to bytes, and the one in memory.
//!
//! Imports `error`, `id`, `clock` and `keys`; knows no other port.

mod memory;

use std::fmt::Debug;

use async_trait::async_trait;
use auto_impl::auto_impl;

pub use crate::error::{StoreError, StoreErrorKind};
pub use crate::keys::{Epoch, RawColumns, Revision, SlotId, SlotState, StoredSlot, Tag, Token};
pub use memory::MemoryStore;

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::TenantId;

/// A [`KeyStore`] that may answer loads from a copy that is behind, by no more than it says: for
/// [`VaultBuilder::replica`](crate::vault::VaultBuilder::replica), which asks it for nothing else. It never misses what this
/// process put through the key store that it is a copy of.
pub trait Replica: KeyStore {
    /// By how much.
    fn bound(&self) -> Duration;
}

/// Keeps slots: small records (300 bytes to 256 KiB) that change by compare-and-swap only.
///
/// Strongly consistent: a `load` or `scan` that begins after a `put` returned sees it, from any process. Every method may
/// be called concurrently. An implementation passes `fieldseal_testkit::store_suite!`, and, where what it keeps can be
/// damaged, `damaged_store_suite!`.
///
/// **It answers slot by slot**: what is damaged in one's place is the answer for that one, and stands in no other's way.
/// [`Loaded::from_row`] and [`Loaded::from_bytes`] tell damage, [`Expected::is_met_by`] whether a put may be made.
#[async_trait]
#[auto_impl(Arc, Box)]
pub trait KeyStore: Debug + Send + Sync + 'static {
    /// Reads slots: one answer an id, in the order asked. Ids may repeat.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be reached, or is damaged beyond single slots.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError>;

    /// Writes a slot if what the store has is what the writer `expected`, and the slot's epoch (where it has one) is not
    /// below the floor. Both are checked in one step with the write. All columns are written, also those that were damaged.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Conflict` or `BelowFloor`: nothing was written. `Unavailable`, `Throttled`: it may have been.
    ///
    /// # Cancel safety
    /// A call that is dropped may have written.
    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError>;

    /// Reads slots page by page, in the order of their ids. A store that looks at many for a few may give a page that is not
    /// full, even an empty one, before it is at the end: only [`ScanPage::next`] says where that is.
    ///
    /// What is damaged is found by the columns that the scan goes by, if they are there: [`Filter::All`] over all tenants
    /// finds everything.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    ///
    /// # Cancel safety
    /// Reads only.
    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError>;

    /// Raises the floor to `epoch`; a lower one leaves it. Once it returns, no `put` of a slot with a lower epoch can
    /// land, also none that was under way.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be reached: it may have been raised.
    ///
    /// # Cancel safety
    /// A call that is dropped may have raised it.
    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError>;

    /// Physically drops what was overwritten or deleted, as far as the engine can, and says what may remain.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be reached.
    ///
    /// # Cancel safety
    /// May be called again.
    async fn scrub(&self) -> Result<Residue, StoreError>;

    /// The moment by the store's own clock; none if it has none, or that of this process's machine. What a vault destroys
    /// because its time has come goes by this one and the process's own, which must agree. Whoever wraps a store passes it on.
    ///
    /// # Errors
    /// [`StoreError`] if the store can't be reached.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}

/// What stands in a slot's place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every caller must match on all of them")]
pub enum Loaded {
    /// Nothing.
    Absent,
    /// A slot, as far as a store can tell: who has the key checks its MAC.
    Slot(StoredSlot),
    /// What is no slot, or whose columns say otherwise.
    Damaged(Token),
}

impl Loaded {
    /// What a store that keeps columns found in the place of a slot: its bytes, none if they are missing; its columns; and
    /// `more`, what the store keeps besides (a column for the tenant, a revision), where that is not what it should be, else
    /// empty.
    pub fn from_row(id: &SlotId, bytes: Option<Vec<u8>>, columns: RawColumns, more: &[u8]) -> Self {
        let bytes = match bytes {
            Some(bytes) if more.is_empty() => match StoredSlot::from_row(id, bytes, Some(columns)) {
                Ok(slot) => return Self::Slot(slot),
                Err(bytes) => Some(bytes),
            },
            bytes => bytes,
        };
        Self::Damaged(Token::of(id, bytes.as_deref(), columns, more))
    }

    /// What a store that keeps nothing but bytes found in the place of a slot.
    pub fn from_bytes(id: &SlotId, bytes: Vec<u8>) -> Self {
        match StoredSlot::from_row(id, bytes, None) {
            Ok(slot) => Self::Slot(slot),
            Err(bytes) => Self::Damaged(Token::of(id, Some(&bytes), RawColumns::default(), &[])),
        }
    }

    /// The slot, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Corrupt` for what is damaged.
    pub fn into_slot(self) -> Result<Option<StoredSlot>, StoreError> {
        match self {
            Self::Absent => Ok(None),
            Self::Slot(slot) => Ok(Some(slot)),
            Self::Damaged(_) => Err(StoreError::corrupt(DAMAGED)),
        }
    }
}

/// What a writer expects to find in the place of the slot that it puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a compare-and-swap has these cases")]
pub enum Expected {
    /// Nothing: neither a slot nor what is damaged.
    Absent,
    /// The slot of this revision. What is damaged has none.
    Revision(Revision),
    /// What this token stands for: of [`Loaded::Damaged`], or of a slot that the store takes for one and whose MAC doesn't
    /// verify ([`StoredSlot::token`]).
    Damaged(Token),
}

impl Expected {
    /// Whether this is what the writer expects. For a store that looks first, in the same step as it writes.
    pub fn is_met_by(&self, found: &Loaded) -> bool {
        match (self, found) {
            (Self::Absent, Loaded::Absent) => true,
            (Self::Revision(revision), Loaded::Slot(slot)) => slot.revision() == *revision,
            (Self::Damaged(token), Loaded::Slot(slot)) => slot.token() == *token,
            (Self::Damaged(token), Loaded::Damaged(found)) => found == token,
            _ => false,
        }
    }
}

/// Which slots to read, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    filter: Filter,
    tenant: Option<TenantId>,
    after: Option<SlotId>,
    limit: usize,
}

/// What a scan looks for. A store answers each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every store must match on all of them")]
pub enum Filter {
    /// Every slot.
    All,
    /// Slots that hold a key of a lower epoch than this.
    EpochBelow(Epoch),
    /// Slots for which something is due before this moment.
    DueBefore(Timestamp),
}

impl Scan {
    /// The most slots of a page.
    pub const MAX_LIMIT: usize = 1000;

    /// The first 100 slots that the filter finds, over all tenants and the vault's.
    pub fn new(filter: Filter) -> Self {
        Self { filter, tenant: None, after: None, limit: 100 }
    }

    /// One tenant's slots only.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Goes on after this id: the last page's [`ScanPage::next`].
    #[must_use]
    pub fn starting_after(mut self, id: SlotId) -> Self {
        self.after = Some(id);
        self
    }

    /// At most so many slots a page; 1 to [`Scan::MAX_LIMIT`].
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, Self::MAX_LIMIT);
        self
    }

    /// What is looked for.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The tenant it is restricted to.
    pub fn only_tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Where it goes on.
    pub fn cursor(&self) -> Option<&SlotId> {
        self.after.as_ref()
    }

    /// The size of a page.
    pub fn page_size(&self) -> usize {
        self.limit
    }
}

/// A page of slots.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "made by every adapter")]
pub struct ScanPage {
    /// The slots, in the order of their ids. With what is damaged they are no more than [`Scan::page_size`].
    pub slots: Vec<StoredSlot>,
    /// What was found in the place of slots and is none: in the order of their ids, each with what stands there.
    pub damaged: Vec<(SlotId, Token)>,
    /// What has no id, or another's: nobody can ask for it by [`KeyStore::load`]. Each is counted on one page, and by a scan
    /// over all tenants alone: it is of none.
    pub nameless: u64,
    /// Where the next page begins: whatever is found at this id or before it was read, and a slot with it needn't be there.
    /// None where this page is the last.
    pub next: Option<SlotId>,
}

impl ScanPage {
    /// Every id that was found, of slots and of what is damaged.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &SlotId> {
        self.slots.iter().map(StoredSlot::id).chain(self.damaged.iter().map(|(id, _)| id))
    }

    /// What is damaged, as what could not be dealt with.
    pub(crate) fn failed(&self) -> impl Iterator<Item = (SlotId, Error)> {
        self.damaged.iter().map(|(id, _)| (id.clone(), StoreError::corrupt(DAMAGED).into()))
    }
}

/// What a store that can tells other processes: that keys came to an end. It makes `max_age` shorter where it arrives and
/// changes no promise: one that is lost costs nothing but time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The keys of this slot can't be used any more: the subject, or one of its purposes, or the tenant was erased, or its
    /// erasure is scheduled.
    Ended(SlotId),
    /// Some may have been lost: the connection was cut off.
    Missed,
}

/// What of the overwritten bytes may still be there after a scrub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Residue {
    items: Vec<ResidueItem>,
}

/// One place where overwritten bytes may remain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by every adapter")]
pub struct ResidueItem {
    /// Where: `write-ahead log`, `backups`.
    pub place: &'static str,
    /// What ends it: `the next checkpoint without a reader`, `the backups' own retention`.
    pub ends_by: &'static str,
}

impl Residue {
    /// Nothing remains that the store knows of.
    pub fn none() -> Self {
        Self::default()
    }

    /// Bytes may remain in this place, until `ends_by`.
    #[must_use]
    pub fn may_remain_in(mut self, place: &'static str, ends_by: &'static str) -> Self {
        self.items.push(ResidueItem { place, ends_by });
        self
    }

    /// The places.
    pub fn items(&self) -> &[ResidueItem] {
        &self.items
    }
}

/// What is said of one that is damaged.
const DAMAGED: &str = "the bytes or the columns of a slot";

/// Whether a scan finds anything: what is damaged is something.
pub(crate) async fn finds_any(store: &dyn KeyStore, mut scan: Scan) -> Result<bool, StoreError> {
    scan = scan.limit(1);
    loop {
        let page = store.scan(&scan).await?;
        let found = !page.slots.is_empty() || !page.damaged.is_empty() || page.nameless > 0;
        match page.next {
            Some(next) if !found => scan = scan.starting_after(next),
            _ => return Ok(found),
        }
    }
}
