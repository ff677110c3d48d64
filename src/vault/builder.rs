//! [`VaultBuilder`]: what a vault is made of; and building one on a new or existing key store.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::applied::{CheckMode, ReplayReport};
use super::cache::{CacheLimits, Flight, KeyCache};
use super::clocks::Clocks;
use super::examine::Examination;
use super::issued::IssuedKeys;
use super::scrub::Scrubs;
use super::unclear::Unclear;
use super::verified::VerifiedJournal;
use super::{Vault, VaultInner, root};
use crate::caught::Caught;
use crate::clock::{Clock, SystemClock};
use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::id::{Purpose, SubjectKind};
use crate::journal::ErasureJournal;
use crate::keys::slot::MAX_PURPOSES;
use crate::provider::MasterKeyProvider;
use crate::read_only::ReadOnly;
use crate::store::{KeyStore, Replica};
use crate::timer::{ThreadTimer, Timer};

/// Settings of a [`Vault`]. The journal (or that there is none) is said before it can be built.
#[must_use]
pub struct VaultBuilder<Step> {
    settings: Settings,
    step: Step,
}

/// The builder needs to know the journal first.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a step of the builder")]
pub struct WantsJournal;

/// The builder can build.
#[derive(Debug)]
pub struct Ready(Option<Arc<dyn ErasureJournal>>);

struct Settings {
    provider: Arc<dyn MasterKeyProvider>,
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    clock_bound: Duration,
    backup_window: Duration,
    most_due: u64,
    suite: Suite,
    max_age: Option<Duration>,
    purposes: Result<Vec<Purpose>>,
    kinds: Result<Vec<SubjectKind>>,
    limits: CacheLimits,
    replica: Option<Arc<dyn Replica>>,
    timer: Arc<dyn Timer>,
}

impl VaultBuilder<WantsJournal> {
    /// On ports whose panics are errors.
    pub(super) fn new(provider: impl MasterKeyProvider, store: impl KeyStore) -> Self {
        let settings = Settings {
            provider: Arc::new(Caught::new(provider)),
            store: Arc::new(Caught::new(store)),
            clock: Arc::new(SystemClock::new()),
            clock_bound: Clocks::BOUND,
            backup_window: BACKUP_WINDOW,
            most_due: MOST_DUE,
            suite: Suite::default(),
            max_age: None,
            purposes: Ok(Vec::new()),
            kinds: Ok(Vec::new()),
            limits: CacheLimits::default(),
            replica: None,
            timer: Arc::new(ThreadTimer::new()),
        };
        Self { settings, step: WantsJournal }
    }

    /// Enters erasures in this journal. The key store is bound to it for good: another, or none, is refused later. It must
    /// be readable twice in each `max_age`: a process that can't see whether the store was restored under it hands out no keys.
    pub fn journal(self, journal: impl ErasureJournal) -> VaultBuilder<Ready> {
        VaultBuilder { settings: self.settings, step: Ready(Some(Arc::new(Caught::new(journal)))) }
    }

    /// Keeps no journal: a restored backup of the key store would bring erased keys back, so `erase` is refused. A journal
    /// can be added later, once, while no other process has the store open: one that goes on without it is refused its next
    /// use of a tenant ([`Error::WrongJournal`]).
    pub fn without_journal(self) -> VaultBuilder<Ready> {
        VaultBuilder { settings: self.settings, step: Ready(None) }
    }
}

impl<Step> VaultBuilder<Step> {
    /// Purposes that enrolled subjects get keys for, beside `default` and those that were named before: at most 15 in all.
    /// [`record`](Self::record) names those of a record type.
    pub fn purposes<P: AsRef<str>>(mut self, purposes: impl IntoIterator<Item = P>) -> Self {
        self.settings.purposes = and(self.settings.purposes, purposes.into_iter().map(Purpose::new));
        self
    }

    /// Kinds of subjects, beside those that were named before: a subject of any other is refused, for it may be one whose kind
    /// is misspelled, and would be a new person. [`record`](Self::record) names that of a record type.
    pub fn kinds<K: AsRef<str>>(mut self, kinds: impl IntoIterator<Item = K>) -> Self {
        self.settings.kinds = and(self.settings.kinds, kinds.into_iter().map(SubjectKind::new));
        self
    }

    /// How long keys that were read may be used: 1 second to 1 day. A key store is created with this value, 5 minutes
    /// if nothing is said; later vaults may ask for less.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.settings.max_age = Some(max_age);
        self
    }

    /// Bounds the cache of subject keys.
    pub fn cache(mut self, limits: CacheLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Looks up subjects that are not cached in this replica of the key store, which may be behind: by at most half of
    /// `max_age`. Whatever decides something (making, rotating and erasing keys, [`refresh`](crate::Tenant::refresh), jobs, the
    /// comparison with the journal) reads the key store itself, and so do tenants' keys.
    ///
    /// What was read from it counts as read by its bound earlier, so an erasure in another process takes effect within
    /// `max_age` all the same; and keys are good for that much less. But a notice ([`Vault::heed`]) may come before the
    /// replica knows what it tells of: keys that it ended may be read again there, for as long as without it.
    ///
    /// While the replica can't be asked ([`Retry::Later`](crate::error::Retry)), the key store is, after as long as the
    /// replica is waited for.
    pub fn replica(mut self, replica: impl Replica) -> Self {
        self.settings.replica = Some(Arc::new(Caught::new(replica)));
        self
    }

    /// What new values are sealed, and new keys wrapped, with. Every suite is opened whatever this says.
    pub fn suite(mut self, suite: Suite) -> Self {
        self.settings.suite = suite;
        self
    }

    /// Where the time comes from; the system's clocks if nothing is said.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// How far clocks may be apart that are to agree: 5 seconds to 1 hour, 1 minute if nothing is said. Where they are further
    /// apart, what is due is not destroyed ([`Error::ClocksDisagree`]).
    pub fn clock_bound(mut self, bound: Duration) -> Self {
        self.settings.clock_bound = bound;
        self
    }

    /// How long the making of a backup of the key store takes at most, if it is not of one moment: 24 hours if nothing is said.
    /// What was erased in this time before a backup's end is looked for again when a vault is built on it. Give every process
    /// the same: the shortest decides.
    ///
    /// # Security
    /// Where a backup takes longer, a store that is restored from it may open who was erased meanwhile, unless it is
    /// [replayed](VaultBuilder::replay), as every restored store should be.
    pub fn backup_window(mut self, window: Duration) -> Self {
        self.settings.backup_window = window;
        self
    }

    /// How many subjects one [`Vault::erase_due`] may erase or close: 1000 if nothing is said. Where more are due, it does neither
    /// with any ([`Error::TooManyDue`]), because so many at once may be a mistake: it is no throttle, so make it several times
    /// what is due between two sweeps.
    pub fn most_due(mut self, subjects: u64) -> Self {
        self.settings.most_due = subjects;
        self
    }

    /// What waits; a thread of its own if nothing is said, which is started when it is first needed: where one call waits for
    /// another of this process that decides something, and that may stand still because nobody polls it.
    pub fn timer(mut self, timer: impl Timer) -> Self {
        self.settings.timer = Arc::new(timer);
        self
    }
}

impl VaultBuilder<Ready> {
    /// Opens the key store, or creates what an empty one needs: one provider call. Then checks that what the journal tells
    /// is in the store, and finishes erasures that a crash left half done.
    ///
    /// # Errors
    /// [`Error::WrongJournal`] if the store is bound to another journal than this one; [`Error::MaxAgeTooLong`];
    /// [`Error::StoreBehindJournal`] if the store was restored from a backup ([`replay`](Self::replay) it),
    /// [`Error::JournalTruncated`] if the journal was;
    /// [`Error::InvalidInput`] for a setting out of bounds; those of the ports.
    ///
    /// # Cancel safety
    /// Can be called again with the same settings.
    pub async fn build(self) -> Result<Vault> {
        let vault = self.open().await?;
        vault.0.clone().check_now(CheckMode::OnBuild).await?;
        Ok(vault)
    }

    /// Like [`build`](Self::build), on a key store that was restored from a backup: puts holds and schedules back, and
    /// destroys again what the journal says was destroyed. Every other process must be stopped: one that runs across a
    /// restore can lose what it writes.
    ///
    /// Keys that were made after the backup are lost with the store; the journal can't know them.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), but for [`Error::StoreBehindJournal`]; [`Error::InvalidInput`] without a journal.
    ///
    /// # Cancel safety
    /// Can be called again with the same settings.
    pub async fn replay(self) -> Result<(Vault, ReplayReport)> {
        let vault = self.open().await?;
        let replayed = vault.replay(true).await?;
        vault.0.clone().check_now(CheckMode::OnBuild).await?;
        Ok((vault, replayed))
    }

    /// Opens the key store, the journal and the master keys to look at them, whatever state they are in, and writes nothing: also a
    /// store that was restored from a backup, or of which a crash left something half done.
    ///
    /// # Errors
    /// [`Error::WrongJournal`], [`Error::JournalTruncated`], [`Error::MaxAgeTooLong`]; [`Error::InvalidInput`] for a setting out of
    /// bounds; those of the ports, of kind `Denied` where the store is empty, so that something would have to be written first.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn examine(mut self) -> Result<Examination> {
        let Settings { provider, store, .. } = &mut self.settings;
        *provider = Arc::new(ReadOnly::new(provider.clone()));
        *store = Arc::new(ReadOnly::new(store.clone()));
        self.settings.replica = None;
        self.step.0 = self.step.0.map(|journal| Arc::new(ReadOnly::new(journal)) as Arc<dyn ErasureJournal>);
        self.open().await.map(Examination::of)
    }

    async fn open(self) -> Result<Vault> {
        let Settings {
            provider,
            store,
            clock,
            clock_bound,
            backup_window,
            most_due,
            suite,
            max_age,
            purposes,
            kinds,
            limits,
            replica,
            timer,
        } = self.settings;
        let clocks = Clocks::new(clock_bound, &clock)?;
        let mut purposes = purposes?;
        purposes.push(Purpose::new(Purpose::DEFAULT)?);
        purposes.sort();
        purposes.dedup();
        if purposes.len() > MAX_PURPOSES {
            return Err(Error::invalid("a vault has at most 16 purposes, `default` included"));
        }
        let mut kinds = kinds?;
        kinds.sort();
        kinds.dedup();
        let asked = max_age.map(checked_max_age).transpose()?;
        let port = self.step.0;
        let (root, slot, verifier) = root::open_or_create(&*provider, &*store, port.as_deref(), &clock, asked).await?;
        let journal = match port.zip(verifier) {
            Some((port, verifier)) => {
                let id = port.id().await?;
                Some(VerifiedJournal::new(port, id, verifier, timer))
            }
            None => None,
        };
        if asked.is_some_and(|asked| asked > slot.max_age) {
            return Err(Error::MaxAgeTooLong { limit: slot.max_age });
        }
        let max_age = asked.unwrap_or(slot.max_age);
        if replica.as_ref().is_some_and(|replica| replica.bound() > max_age / 2) {
            return Err(Error::invalid("a replica of the key store is at most half of max_age behind"));
        }
        Ok(Vault(Arc::new(VaultInner {
            provider,
            store,
            journal,
            clock,
            clocks,
            backup_window,
            most_due,
            suite,
            max_age,
            replica,
            longest_age: AtomicU64::new(u64::try_from(slot.max_age.as_millis()).unwrap_or(u64::MAX)),
            store_told: AtomicU64::new(slot.told),
            purposes: purposes.into(),
            kinds: kinds.into(),
            root,
            cache: KeyCache::new(limits),
            issued: IssuedKeys::default(),
            tenants: Mutex::new(HashMap::new()),
            last_checked: Arc::default(),
            check: Flight::default(),
            applied_seen: AtomicU64::new(0),
            met: Mutex::default(),
            unclear: Unclear::default(),
            first_read: Mutex::default(),
            scrubs: Scrubs::default(),
        })))
    }
}

impl<Step> fmt::Debug for VaultBuilder<Step> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultBuilder").finish_non_exhaustive()
    }
}

const MOST_DUE: u64 = 1000;

/// These and those that were named before.
fn and<T>(named: Result<Vec<T>>, more: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut all = named?;
    for one in more {
        all.push(one?);
    }
    Ok(all)
}

const BACKUP_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// 1 second to 1 day, in whole milliseconds: it is kept so.
pub(super) fn checked_max_age(max_age: Duration) -> Result<Duration> {
    if max_age < Duration::from_secs(1) || max_age > Duration::from_secs(24 * 3600) {
        return Err(Error::invalid("max_age is between 1 second and 1 day"));
    }
    let millis = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
    Ok(Duration::from_millis(millis))
}
