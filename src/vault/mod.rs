//! [`Vault`] and [`Tenant`]: join the ports into keys of subjects. What an application calls is in one file a job,
//! `docs/lifecycle.md` describes the whole; what those files share is private to this module.
//!
//! Imports `subject` and below, the three ports without their adapters, `caught`, which stands around each, `read_only`, and `timer`;
//! knows no typed layer.

// What the jobs share.
mod applied;
mod builder;
mod cache;
mod cached_tenant;
mod clocks;
mod compare;
mod decide;
mod destroy;
mod issued;
mod key_page;
mod masters;
mod mend;
mod receipt;
#[cfg(feature = "serde")]
mod receipt_json;
mod retention;
mod root;
mod scrub;
mod shard;
mod slots;
mod tenant;
mod turn;
mod unclear;
mod verified;

// The jobs.
mod audit;
mod enroll;
mod epoch;
mod erase;
mod erase_due;
mod erase_tenant;
mod erasures;
mod examine;
mod hold;
mod inventory;
mod retire_versions;
mod rewrap;
mod rotate;
mod rotate_page;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use applied::ReplayReport;
pub use audit::JournalAudit;
pub use builder::{Ready, VaultBuilder, WantsJournal};
pub use cache::{CacheLimits, CacheStats};
pub use enroll::Enrollment;
pub use epoch::{AdvancedEpoch, RetiredEpoch};
pub use erase::ErasureRequest;
pub use erase_due::{EraseDueReport, Sweep};
pub use erasures::ErasureRecord;
pub use examine::{Comparison, Examination, ExaminedSlots, ExaminedSubject};
pub use inventory::{
    EpochInfo, EpochStatus, InventoryPage, PurposeInfo, SubjectInfo, SubjectState, VersionInfo, VersionState,
};
pub use key_page::KeyPage;
pub use receipt::{
    ErasedPurpose, ErasureReceipt, ErasureStatus, IndexEnd, IndexKeyEnd, KeyEnd, MasterKeyEnd, ReceiptResidue,
    UndoneReason,
};
pub use retire_versions::{RetireVersionsPage, Unnamed};
pub use rewrap::RewrapPage;
pub use rotate_page::{RotatePage, Rotation};
pub use shard::Shard;
pub(crate) use slots::is_of_one_slot;
pub use tenant::Tenant;
pub use verified::PassedOver;

use futures_util::FutureExt as _;
use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;

use applied::{CheckMode, Met, SkippedSlots};
use cache::{Flight, KeyCache};
use cached_tenant::CachedTenant;
use clocks::Clocks;
use issued::IssuedKeys;
use scrub::Scrubs;
use unclear::Unclear;
use verified::VerifiedJournal;

use crate::clock::{Clock, SharedStamp, Stamp, Timestamp};
use crate::crypto::Suite;
use crate::error::{Error, Result, Retry, StoreError, StoreErrorKind};
use crate::id::{Purpose, SubjectId, SubjectKind, TenantId};
use crate::journal::JournalEvent;
use crate::keys::{RootKey, SlotId, StoredSlot, Tag};
use crate::provider::MasterKeyProvider;
use crate::store::{Expected, KeyStore, Loaded, Notice, Replica};
use crate::subject::Policy;

/// A key store, its master keys and its journal: what an application has one of. `Clone` shares it.
///
/// [`Vault::tenant`] gives the part that handlers need.
#[derive(Clone)]
pub struct Vault(Arc<VaultInner>);

struct VaultInner {
    provider: Arc<dyn MasterKeyProvider>,
    store: Arc<dyn KeyStore>,
    /// Where subjects are looked up of whom nothing is decided.
    replica: Option<Arc<dyn Replica>>,
    /// What the store must be bound to; none if to none.
    journal: Option<VerifiedJournal>,
    clock: Arc<dyn Clock>,
    clocks: Clocks,
    backup_window: Duration,
    /// How many subjects one sweep may erase or close.
    most_due: u64,
    suite: Suite,
    max_age: Duration,
    /// The store's `max_age` when it was last read, in milliseconds: nobody's is longer.
    longest_age: AtomicU64,
    /// The highest position of the journal that the vault's slot was seen to name.
    store_told: AtomicU64,
    /// In ascending order, `default` among them.
    purposes: Box<[Purpose]>,
    /// In ascending order: subjects of no other kind.
    kinds: Box<[SubjectKind]>,
    /// Made once for the store; a later read must find the same.
    root: RootKey,
    cache: KeyCache,
    issued: IssuedKeys,
    tenants: Mutex<HashMap<TenantId, Arc<CachedTenant>>>,
    /// When the store was last compared with the journal.
    last_checked: Arc<SharedStamp>,
    check: Flight<()>,
    /// The highest `applied` that was seen: it never falls but by a restore.
    applied_seen: AtomicU64,
    met: Mutex<Met>,
    unclear: Unclear,
    /// When this process first read completions that are dated in a time to come, by their positions.
    first_read: Mutex<HashMap<u64, Timestamp>>,
    scrubs: Scrubs,
}

impl Vault {
    /// Starts a vault on a master key provider and a key store. What comes next is the journal: erasures are entered there,
    /// so that a restored backup of the store can't undo them.
    ///
    /// ```
    /// use fieldseal::journal::MemoryJournal;
    /// use fieldseal::provider::LocalKeyring;
    /// use fieldseal::store::MemoryStore;
    /// use fieldseal::Vault;
    ///
    /// # async fn example() -> fieldseal::Result<()> {
    /// let vault = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new())
    ///     .journal(MemoryJournal::new()?)
    ///     .kinds(["customer"]) // or `.record::<Customer>()`, which names purposes, too
    ///     .purposes(["billing"])
    ///     .build()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(provider: impl MasterKeyProvider, store: impl KeyStore) -> VaultBuilder<WantsJournal> {
        VaultBuilder::new(provider, store)
    }

    /// A tenant: an isolation boundary with wrapping keys of its own, made when its first subject is enrolled.
    pub fn tenant(&self, id: &TenantId) -> Tenant {
        Tenant::new(self.clone(), self.0.cached_tenant(id))
    }

    /// The tenant of an application that has only one.
    pub fn default_tenant(&self) -> Tenant {
        self.tenant(&TenantId::default_tenant())
    }

    /// How long a snapshot of keys may be used in this process: the bound within which an erasure or rotation by another
    /// process takes effect here.
    pub fn max_age(&self) -> Duration {
        self.0.max_age
    }

    /// Raises the key store's `max_age`: vaults that are built from now on may ask for as much. This one keeps its own.
    ///
    /// It is entered in the journal first, because receipts of erasures count on it.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it would fall, or is above a day; those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have raised it.
    pub async fn set_max_age(&self, max_age: Duration) -> Result<()> {
        let max_age = builder::checked_max_age(max_age)?;
        for _ in 0..ATTEMPTS {
            let (stored, mut slot) = root::reload(&self.0).await?;
            if max_age <= slot.max_age {
                return if max_age == slot.max_age {
                    Ok(())
                } else {
                    Err(Error::invalid("max_age can only be raised"))
                };
            }
            let millis = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
            let raised = JournalEvent::MaxAgeRaised { millis };
            let told = self.0.append(&SlotId::Vault, self.0.store_told(), &raised).await?;
            slot.max_age = max_age;
            slot.tell(told);
            match self.0.store.put(&slot.seal(&self.0.root)?, Expected::Revision(stored.revision())).await {
                Err(e) if e.kind() == StoreErrorKind::Conflict => continue,
                put => return Ok(put?),
            }
        }
        Err(Error::Conflict)
    }

    /// Does everything again that the journal tells and the key store lacks, from the journal's first entry on: after single
    /// slots were restored by hand. (After a restore of the whole store, a vault does not build:
    /// [`VaultBuilder::replay`].)
    ///
    /// Where something is back, other slots may be, with old retention periods: retention is suspended then, until
    /// [`resume_retention`](Self::resume_retention).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a journal, [`Error::JournalTruncated`]; those of the ports.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn replay_journal(&self) -> Result<ReplayReport> {
        self.replay(false).await
    }

    async fn replay(&self, is_restored: bool) -> Result<ReplayReport> {
        self.0.journal()?;
        self.0.revoke_all();
        applied::replay(&self.0, is_restored).await
    }

    /// Drops at once what a store's [`Notice`] says has ended: cached keys, and those that callers hold, which answer
    /// [`Error::KeysExpired`]. Asking the tenant again gives the erasure as an error. Without notices that takes up to
    /// `max_age`; that bound is what an erasure's receipt counts on either way.
    pub fn heed(&self, notice: &Notice) {
        match notice {
            Notice::Ended(SlotId::Subject(tenant, tag)) => self.tenant(tenant).revoke_keys(tag, None),
            Notice::Ended(_) | Notice::Missed => self.0.revoke_all(),
        }
    }

    /// The time of day by the vault's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.0.now().wall()
    }

    /// What the cache of subject keys did so far.
    pub fn cache_stats(&self) -> CacheStats {
        self.0.cache.stats()
    }
}

impl VaultInner {
    fn now(&self) -> Stamp {
        Stamp::now(&self.clock)
    }

    /// The journal.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there is none: what is destroyed without one would come back with a backup.
    fn journal(&self) -> Result<&VerifiedJournal> {
        self.journal.as_ref().ok_or_else(|| {
            Error::invalid("this vault keeps no journal, which erasures, holds and schedules need: build it with one")
        })
    }

    /// That a subject is of a kind that was declared.
    ///
    /// # Errors
    /// [`Error::InvalidInput`]: what is misspelled would be a new person.
    fn check_kind(&self, subject: &SubjectId) -> Result<()> {
        if self.kinds.binary_search_by(|kind| kind.as_str().cmp(subject.kind())).is_ok() {
            return Ok(());
        }
        let known = self.kinds.iter().map(|kind| format!("`{}`", kind.as_str())).collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none" } else { &known };
        Err(Error::invalid(format!(
            "the subject is of a kind that the vault doesn't know (it knows {known}): correct it, or declare it on the \
             builder with `.kinds([..])` or `.record::<..>()`"
        )))
    }

    /// The longest that any process may use keys that it read.
    fn longest_age(&self) -> Duration {
        Duration::from_millis(self.longest_age.load(Ordering::SeqCst)).max(self.max_age)
    }

    /// The last moment that anybody whose clock is right may have dated something by now.
    fn horizon(&self, now: Timestamp) -> Timestamp {
        self.clocks.horizon(now, self.longest_age())
    }

    /// The position of the last journal entry about the key store that its slot names, as far as this process has read it.
    fn store_told(&self) -> u64 {
        self.store_told.load(Ordering::SeqCst)
    }

    /// Twice in each `max_age`: that the store was not restored from a backup under this process. Keys are good for
    /// `max_age` after the last check, so what is read now is good for half of that at least.
    async fn check(self: &Arc<Self>) -> Result<()> {
        if self.journal.is_none() || !self.last_checked.expired_at(&self.now(), self.max_age / 2) {
            return Ok(());
        }
        let vault = self.clone();
        self.check.join(|| vault.check_now(CheckMode::Periodic).map_ok(drop).boxed()).await
    }

    /// Nothing that was read before counts any more if the store turns out to be another than it was.
    fn check_now(self: Arc<Self>, mode: CheckMode) -> BoxFuture<'static, Result<SkippedSlots>> {
        Box::pin(async move {
            let now = self.now();
            match applied::verify(&self, mode).await {
                Ok((_, skipped)) => {
                    self.last_checked.set(&now);
                    Ok(skipped)
                }
                Err(e @ (Error::StoreBehindJournal { .. } | Error::JournalTruncated | Error::WrongJournal)) => {
                    self.revoke_all();
                    Err(e)
                }
                Err(e) => Err(e),
            }
        })
    }

    /// Has a subject's keys read again when they are next asked for; those that are out stay.
    fn forget(&self, tag: &Tag) {
        self.cache.forget(tag);
    }

    /// Drops every key that was read, and ends those that are out.
    fn revoke_all(&self) {
        // Tenants first: whoever takes a ticket after the end wraps under no key from before it.
        for tenant in self.tenants.lock().unwrap_or_else(PoisonError::into_inner).values() {
            tenant.forget();
        }
        self.issued.revoke_all();
        self.cache.clear();
    }

    /// Reads slots, and holds the store to what was asked: an answer in another's place would be taken for it.
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>> {
        Self::fitting(ids, self.store.load(ids).await?)
    }

    /// Reads one slot.
    ///
    /// # Errors
    /// `Corrupt`, of this one, if it is damaged; those of the store.
    async fn load_one(&self, id: SlotId) -> Result<Option<StoredSlot>> {
        Ok(self.load(&[id]).await?.pop().unwrap_or(Loaded::Absent).into_slot()?)
    }

    /// Reads slots of which nothing is decided, as of the moment that is given.
    async fn look_up(&self, ids: &[SlotId]) -> Result<(Vec<Loaded>, Stamp)> {
        if let Some(replica) = &self.replica {
            let now = self.now();
            match replica.load(ids).await {
                // It is down, or not asked for a while: the key store needn't be.
                Err(e) if e.retry() == Retry::Later => {}
                answer => return Ok((Self::fitting(ids, answer?)?, now.earlier(replica.bound()))),
            }
        }
        let now = self.now();
        Ok((self.load(ids).await?, now))
    }

    fn fitting(ids: &[SlotId], found: Vec<Loaded>) -> Result<Vec<Loaded>> {
        let fits = |(id, found): (&SlotId, &Loaded)| match found {
            Loaded::Slot(slot) => slot.id() == id,
            Loaded::Absent | Loaded::Damaged(_) => true,
        };
        if found.len() != ids.len() || !ids.iter().zip(&found).all(fits) {
            return Err(StoreError::corrupt("the store answered with other slots than it was asked for").into());
        }
        Ok(found)
    }

    /// Wipes what is past its age, tenants' keys included: nobody may ask for it again.
    fn evict_expired(&self) {
        if self.cache.evict_expired(&self.clock, self.max_age) {
            self.issued.evict_expired(&self.clock, self.max_age);
            let tenants: Vec<_> =
                self.tenants.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            for tenant in tenants {
                tenant.evict_expired();
            }
        }
    }

    fn cached_tenant(&self, id: &TenantId) -> Arc<CachedTenant> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenants.get(id) {
            return tenant.clone();
        }
        // Tenants that nobody holds and whose keys are past their age go when a new one comes.
        tenants.retain(|_, tenant| Arc::strong_count(tenant) > 1 || tenant.is_warm());
        let policy = Policy {
            tenant: id.clone(),
            suite: self.suite,
            max_age: self.max_age,
            clock: self.clock.clone(),
            last_checked: self.journal.is_some().then(|| self.last_checked.clone()),
        };
        let tenant = Arc::new(CachedTenant::new(Arc::new(policy)));
        tenants.insert(id.clone(), tenant.clone());
        tenant
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("provider", &self.0.provider)
            .field("store", &self.0.store)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

/// How often a compare-and-swap that loses is tried again before the caller hears of it.
pub(crate) const ATTEMPTS: usize = 16;

/// How many slots of a page are written at a time.
const WRITES_AT_ONCE: usize = 8;
