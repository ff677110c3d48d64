//! [`World`]: ports that several vaults share, as several processes would; on any [`Ground`], in memory or on a server.
//!
//! A test of an adapter says once how its ports are made, and its worlds stand on that:
//!
//! ```
//! use fieldseal::journal::MemoryJournal;
//! use fieldseal::vault::ErasureRequest;
//! use fieldseal::store::MemoryStore;
//! use fieldseal_testkit::customer;
//! use fieldseal_testkit::world::{Ground, Ports, World};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> fieldseal::Result<()> {
//! let ground = Ground::new(|| async {
//!     // Here an adapter connects twice to what it keeps keys in.
//!     let ports = Ports::new(MemoryStore::new(), MemoryJournal::new()?);
//!     Ok([ports.clone(), ports])
//! });
//! let world = World::on(&ground).await?;
//! let (one, other) = (world.tenant().await?, world.elsewhere().tenant().await?);
//! one.enroll(&customer("ada")).await?;
//! other.erase(&customer("ada"), &ErasureRequest::new()).await?;
//! world.pass_max_age();
//! assert!(one.keys(&customer("ada")).await.is_err());
//! # Ok(())
//! # }
//! ```
#![expect(clippy::missing_panics_doc, reason = "a test fails by a panic")]

use std::env;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::{ErasureJournal, JournalEntry, JournalEvent, MemoryJournal};
use fieldseal::provider::{LocalKeyring, MasterKeyProvider};
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, MemoryStore, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal::{Result, Tenant, Vault};

use crate::CUSTOMER;
use crate::clock::{Clocked, ManualClock};
use crate::faults::{Tap, Tapped};
use crate::scribe::Scribe;

/// Whether tests take the time to try everything: `FIELDSEAL_SOAK=1`.
pub fn is_soak() -> bool {
    env::var("FIELDSEAL_SOAK").is_ok_and(|soak| !matches!(&*soak, "" | "0"))
}

/// How many rounds a test runs that can be run any number of times: what `FIELDSEAL_ROUNDS` says, else `all` in a soak
/// ([`is_soak`]), else a `few`.
pub fn rounds(few: u64, all: u64) -> u64 {
    match env::var("FIELDSEAL_ROUNDS") {
        Ok(rounds) => rounds.parse().unwrap_or_else(|_| panic!("FIELDSEAL_ROUNDS is no number: {rounds}")),
        Err(_) if is_soak() => all,
        Err(_) => few,
    }
}

/// Whether a run tries the `n`-th entry of a table: one in `every`, others in each run; all of them in a soak ([`is_soak`]).
pub fn is_drawn(n: u64, every: u64) -> bool {
    static FIRST: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0) % 1000);
    is_soak() || (n + *FIRST).is_multiple_of(every)
}

type Made<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// What a world stands on: how a new key store and a new journal are made.
#[derive(Clone)]
pub struct Ground {
    make: Arc<dyn Fn() -> Made<[Ports; 2]> + Send + Sync>,
    is_memory: bool,
}

impl Ground {
    /// Ports in memory.
    pub fn memory() -> Self {
        Self { is_memory: true, ..Self::new(|| async { in_memory() }) }
    }

    /// Ports that `make` makes: a key store and a journal in which nothing is yet, each opened twice, as two processes do.
    /// These share what is stored, and no connection.
    pub fn new<F>(make: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<[Ports; 2]>> + Send + 'static,
    {
        Self { make: Arc::new(move || Box::pin(make())), is_memory: false }
    }

    /// New ports, as two processes have them.
    ///
    /// # Errors
    /// Those of whoever makes them.
    pub async fn ports(&self) -> Result<[Ports; 2]> {
        (self.make)().await
    }

    /// Whether these are the ports in memory. A call of them costs next to nothing, so a test tries everything; of a server
    /// it tries what that may answer differently.
    pub fn is_memory(&self) -> bool {
        self.is_memory
    }
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_memory { "Ground(memory)" } else { "Ground" })
    }
}

fn in_memory() -> Result<[Ports; 2]> {
    let ports = Ports::new(MemoryStore::new(), MemoryJournal::new()?);
    Ok([ports.clone(), ports])
}

/// A key store and a journal, as one process has them.
#[derive(Clone, Debug)]
pub struct Ports {
    store: Backup,
    journal: Arc<dyn ErasureJournal>,
}

impl Ports {
    /// A backup of this store is a copy of its slots, in memory.
    pub fn new(store: impl KeyStore + 'static, journal: impl ErasureJournal + 'static) -> Self {
        Self::with_backup(Backup::copied(Arc::new(store)), journal)
    }

    /// A key store of which backups are taken as its operators take them.
    pub fn with_backup(store: Backup, journal: impl ErasureJournal + 'static) -> Self {
        Self { store, journal: Arc::new(journal) }
    }
}

/// A key store, and how a backup of it is taken; the backup is such a one, too.
#[derive(Clone)]
pub struct Backup {
    store: Arc<dyn KeyStore>,
    take: Arc<dyn Fn() -> Made<Self> + Send + Sync>,
}

impl Backup {
    /// `take` gives a key store that was restored from a backup which was taken when it was called.
    pub fn new<F>(store: impl KeyStore + 'static, take: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Self>> + Send + 'static,
    {
        Self { store: Arc::new(store), take: Arc::new(move || Box::pin(take())) }
    }

    fn copied(store: Arc<dyn KeyStore>) -> Self {
        let from = store.clone();
        let take = move || {
            let from = from.clone();
            async move { Ok(Self::copied(Arc::new(copy(&*from).await?))) }
        };
        Self::new(store, take)
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backup").field(&self.store).finish()
    }
}

async fn copy(store: &dyn KeyStore) -> Result<MemoryStore> {
    let copy = MemoryStore::new();
    for slot in slots(store).await? {
        copy.put(&slot, Expected::Absent).await?;
    }
    Ok(copy)
}

/// A key store of which backups are taken, and one put in its place under whoever has it open. Clones are one.
#[derive(Clone, Debug)]
pub struct RestorableStore(Arc<Mutex<Backup>>);

impl RestorableStore {
    /// A store that is as the backup is.
    pub fn new(backup: Backup) -> Self {
        Self(Arc::new(Mutex::new(backup)))
    }

    /// What a restore gives of a backup that is taken now.
    ///
    /// # Errors
    /// Those of whoever takes it.
    pub async fn backup(&self) -> Result<Backup> {
        let now = self.now();
        (now.take)().await
    }

    /// From now on the store is what the backup is. What was written since it was taken is gone. A backup is restored once: its
    /// copy is what is written to then.
    pub fn restore(&self, backup: Backup) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = backup;
    }

    fn now(&self) -> Backup {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl KeyStore for RestorableStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.now().store.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.now().store.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.now().store.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.now().store.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.now().store.scrub().await
    }

    /// A server's shows the time of day, and a world's time is its own.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }
}

/// Ports that several vaults share, as several processes would, and the clock that all of them see.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct World {
    /// A keyring in memory.
    pub provider: LocalKeyring,
    /// What the ground made.
    pub store: RestorableStore,
    /// What the ground made.
    pub journal: Arc<dyn ErasureJournal>,
    /// Stands still unless a test sets it; vaults wait by it, too.
    pub clock: ManualClock,
    /// The key store's, for whoever builds on this world; none in a new one.
    pub store_clock: Option<ManualClock>,
    /// The journal's.
    pub journal_clock: Option<ManualClock>,
    /// Around the ports of [`tapped`](Self::tapped) vaults, where there is one.
    pub guard: Option<Guard>,
    purposes: Vec<String>,
    elsewhere: Ports,
}

impl World {
    /// A new one, without a guard and without purposes beside `default`, whose subjects are [customers](crate::customer()).
    ///
    /// # Errors
    /// Those of the ground.
    pub async fn on(ground: &Ground) -> Result<Self> {
        Self::of_ports(ground.ports().await?)
    }

    /// A new one on ports in memory.
    ///
    /// # Errors
    /// If there is no randomness.
    pub fn in_memory() -> Result<Self> {
        Self::of_ports(in_memory()?)
    }

    fn of_ports(ports: [Ports; 2]) -> Result<Self> {
        let timeless = |ports: Ports| Ports { journal: Arc::new(Clocked::new(ports.journal, None)), ..ports };
        let [Ports { store, journal }, elsewhere] = ports.map(timeless);
        Ok(Self {
            provider: LocalKeyring::ephemeral()?,
            store: RestorableStore::new(store),
            journal,
            clock: ManualClock::new(),
            store_clock: None,
            journal_clock: None,
            guard: None,
            purposes: Vec::new(),
            elsewhere,
        })
    }

    /// With these purposes in each vault, beside `default`.
    #[must_use]
    pub fn purposes<P: Into<String>>(self, purposes: impl IntoIterator<Item = P>) -> Self {
        Self { purposes: purposes.into_iter().map(Into::into).collect(), ..self }
    }

    /// With a guard around the ports of tapped vaults that doesn't pause, and never gives up on a port.
    #[must_use]
    pub fn guarded(self) -> Self {
        let guard = Guard::new().clock(self.clock.clone()).timer(self.clock.clone());
        let guard = guard.backoff(Duration::ZERO, Duration::ZERO).circuit(u32::MAX, Duration::ZERO);
        Self { guard: Some(guard), ..self }
    }

    /// On another provider.
    #[must_use]
    pub fn with_provider(self, provider: LocalKeyring) -> Self {
        Self { provider, ..self }
    }

    /// On another key store, of which a backup is a copy in memory.
    #[must_use]
    pub fn with_store(self, store: impl KeyStore + 'static) -> Self {
        self.with_backup(Backup::copied(Arc::new(store)))
    }

    /// On a key store that was restored from this backup. The other worlds on its store stay there.
    #[must_use]
    pub fn with_backup(self, backup: Backup) -> Self {
        Self { store: RestorableStore::new(backup), ..self }
    }

    /// On the key store of another world, by that one's connections.
    #[must_use]
    pub fn with_store_of(self, other: &Self) -> Self {
        let elsewhere = Ports { store: other.elsewhere.store.clone(), journal: self.elsewhere.journal.clone() };
        Self { store: other.store.clone(), elsewhere, ..self }
    }

    /// On another journal.
    #[must_use]
    pub fn with_journal(self, journal: impl ErasureJournal + 'static) -> Self {
        Self { journal: Arc::new(journal), ..self }
    }

    /// The same, by connections of its own.
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        let here = Ports { store: self.store.now(), journal: self.journal.clone() };
        let Ports { store, journal } = self.elsewhere.clone();
        Self { store: RestorableStore::new(store), journal, elsewhere: here, ..self.clone() }
    }

    /// On the ports themselves.
    pub fn builder(&self) -> VaultBuilder<Ready> {
        self.builder_with(self.provider.clone())
    }

    /// The same, with another provider.
    pub fn builder_with(&self, provider: impl MasterKeyProvider + 'static) -> VaultBuilder<Ready> {
        let (store, journal) = self.clocked();
        self.of(Vault::builder(provider, store).journal(journal))
    }

    /// On ports that ask `tap` before and after each call.
    pub fn tapped(&self, tap: &Tap) -> VaultBuilder<Ready> {
        let provider = Tapped::new(self.provider.clone(), tap);
        let (store, journal) = self.clocked();
        let (store, journal) = (Tapped::new(store, tap), Tapped::new(journal, tap));
        self.of(match &self.guard {
            None => Vault::builder(provider, store).journal(journal),
            Some(guard) => Vault::builder(Guarded::new(provider, guard), Guarded::new(store, guard))
                .journal(Guarded::new(journal, guard)),
        })
    }

    fn clocked(&self) -> (Clocked<RestorableStore>, Clocked<Arc<dyn ErasureJournal>>) {
        let store = Clocked::new(self.store.clone(), self.store_clock.clone());
        (store, Clocked::new(self.journal.clone(), self.journal_clock.clone()))
    }

    fn of(&self, builder: VaultBuilder<Ready>) -> VaultBuilder<Ready> {
        builder.clock(self.clock.clone()).timer(self.clock.clone()).kinds([CUSTOMER]).purposes(&self.purposes)
    }

    /// A process that starts now.
    ///
    /// # Errors
    /// Those of [`VaultBuilder::build`].
    pub async fn vault(&self) -> Result<Vault> {
        self.builder().build().await
    }

    /// A process that starts now, with another provider.
    ///
    /// # Errors
    /// Those of [`VaultBuilder::build`].
    pub async fn vault_with(&self, provider: impl MasterKeyProvider + 'static) -> Result<Vault> {
        self.builder_with(provider).build().await
    }

    /// The default tenant, in a process that starts now.
    ///
    /// # Errors
    /// Those of [`VaultBuilder::build`].
    pub async fn tenant(&self) -> Result<Tenant> {
        Ok(self.vault().await?.default_tenant())
    }

    /// So much later than it is.
    pub fn later(&self, by: Duration) -> Timestamp {
        self.clock.wall().plus(by)
    }

    /// Lets so much time pass that no process may use what it read before, where a key store was created with the usual age.
    pub fn pass_max_age(&self) {
        self.clock.advance(MAX_AGE + Duration::from_millis(1));
    }

    /// Lets so much time pass that nobody seals any more under keys that are destroyed now, by whichever clock.
    pub fn pass_old_keys(&self) {
        self.clock.advance(MAX_AGE + CLOCK_BOUND + Duration::from_millis(1));
    }

    /// Lets backups come to their end that are being made now, and processes start meanwhile: the next one that starts begins to
    /// check behind all that the journal tells.
    ///
    /// # Errors
    /// Those of [`VaultBuilder::build`].
    pub async fn settle(&self) -> Result<()> {
        for _ in 0..2 {
            self.vault().await?;
            self.clock.advance(BACKUP_WINDOW + Duration::from_millis(1));
        }
        self.vault().await.map(drop)
    }

    /// What enters in its journal what another process would.
    pub fn scribe(&self) -> Scribe<'_> {
        Scribe::new(&self.provider, &self.store, &self.journal)
    }

    /// All that the journal holds.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn entries(&self) -> Result<Vec<JournalEntry>> {
        Ok(self.journal.read(0, usize::MAX).await?)
    }

    /// What happened, in its order.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn events(&self) -> Result<Vec<JournalEvent>> {
        Ok(self.entries().await?.iter().map(|entry| entry.event().clone()).collect())
    }

    /// Every slot, as it is stored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn slots(&self) -> Result<Vec<StoredSlot>> {
        slots(&self.store).await
    }

    /// Every subject's slot, as it is stored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn subjects(&self) -> Result<Vec<StoredSlot>> {
        let is_subject = |slot: &StoredSlot| matches!(slot.id(), SlotId::Subject(..));
        Ok(self.slots().await?.into_iter().filter(is_subject).collect())
    }

    /// Holds that no slot is wrapped in this epoch or an earlier one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn assert_nothing_within(&self, epoch: Epoch) -> Result<()> {
        let is_within = |slot: &StoredSlot| slot.epoch().is_some_and(|own| own <= epoch);
        assert!(!self.slots().await?.iter().any(is_within), "a slot is under a destroyed key");
        Ok(())
    }
}

/// Every slot of a key store.
async fn slots(store: &dyn KeyStore) -> Result<Vec<StoredSlot>> {
    let (mut slots, mut scan) = (Vec::new(), Scan::new(Filter::All).limit(Scan::MAX_LIMIT));
    loop {
        let page = store.scan(&scan).await?;
        slots.extend(page.slots);
        match page.next {
            Some(next) => scan = scan.starting_after(next),
            None => return Ok(slots),
        }
    }
}

/// Moves all slots to the current epoch, a page of so many at a time; how many there were.
///
/// # Errors
/// Those of [`Vault::rewrap_page`].
pub async fn rewrap_all(vault: &Vault, page: usize) -> Result<u64> {
    let (mut next, mut moved) = (None, 0);
    loop {
        let page = vault.rewrap_page(next.as_ref(), page).await?;
        moved += page.moved;
        next = page.next;
        if next.is_none() {
            return Ok(moved);
        }
    }
}

/// What a key store is created with where nothing is said.
pub const MAX_AGE: Duration = Duration::from_secs(300);
/// How long the making of a backup takes at most, where nothing is said.
const BACKUP_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// How far clocks may be apart, where nothing is said.
const CLOCK_BOUND: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer;

    #[tokio::test]
    async fn a_restore_brings_back_what_was_backed_up() -> Result<()> {
        let world = World::in_memory()?.purposes(["billing"]);
        let customers = world.tenant().await?;
        customers.enroll(&customer("ada")).await?;
        let backup = world.store.backup().await?;
        customers.enroll(&customer("ben")).await?;
        assert_eq!(world.subjects().await?.len(), 2);
        world.store.restore(backup);
        assert_eq!(world.subjects().await?.len(), 1);
        assert!(world.tenant().await?.keys(&customer("ada")).await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn an_epoch_in_which_slots_are_left_is_told() -> Result<()> {
        let world = World::in_memory()?;
        let vault = world.vault().await?;
        vault.default_tenant().enroll(&customer("ada")).await?;
        world.provider.add_key().await?;
        vault.advance_epoch().await?;
        let told = async || {
            tokio::spawn({
                let world = world.clone();
                async move { world.assert_nothing_within(Epoch::FIRST).await }
            })
            .await
            .is_err()
        };
        assert!(told().await);
        rewrap_all(&vault, 1).await?;
        vault.retire_epoch(Epoch::FIRST).await?;
        assert!(!told().await);
        Ok(())
    }
}
