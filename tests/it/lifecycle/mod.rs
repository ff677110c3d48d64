//! The life and death of keys, over ports in memory and in PostgreSQL. Several vaults on the same ports are several processes.
//!
//! `docs/lifecycle.md` names the rules without which the protocol fails; each is held by one of these, or by the tests of
//! races, faults and crashes beside them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[cfg(feature = "store-postgres")]
#[path = "../support/cluster.rs"]
mod cluster;
#[path = "../support/ground.rs"]
mod ground;
#[cfg(feature = "store-postgres")]
#[path = "../support/postgres.rs"]
mod postgres;

mod corners;
mod damage;
mod epochs;
mod erasure;
mod inventory;
mod provider;
mod restore;
mod rotate_page;
mod rotation;
mod runbook;
mod several;
mod succession;

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::error::ProviderErrorKind;
use fieldseal::id::Purpose;
use fieldseal::journal::{ErasureJournal, JournalEntry, JournalEvent, MemoryJournal};
use fieldseal::lifecycle::{ErasureRequest, Part};
use fieldseal::provider::{LocalKeyring, MasterKeyProvider};
use fieldseal::store::{Epoch, Expected, Filter, KeyStore, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot};
use fieldseal::testing::clock::ManualClock;
use fieldseal::testing::faults::{Act, Tap, Tapped};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal::{Error, FieldContext, SubjectKeys, Tenant, TenantId, Vault};
use ground::{Ground, Kept, Ports, Servers, tests};

type Result<T = ()> = fieldseal::Result<T>;

fn main() -> ExitCode {
    let modules = [
        corners::tests(),
        damage::tests(),
        epochs::tests(),
        erasure::tests(),
        inventory::tests(),
        provider::tests(),
        restore::tests(),
        rotate_page::tests(),
        rotation::tests(),
        runbook::tests(),
        several::tests(),
        succession::tests(),
    ];
    ground::run(&modules.into_iter().flatten().collect::<Vec<_>>(), Servers::Newest)
}

/// Ports that several vaults share.
struct World {
    provider: Arc<LocalKeyring>,
    store: Arc<Restorable>,
    journal: Arc<dyn ErasureJournal>,
    clock: ManualClock,
}

impl World {
    async fn on(ground: &Ground) -> Result<Self> {
        let [Ports { store, journal }, _] = ground.ports().await?;
        Ok(Self {
            provider: Arc::new(LocalKeyring::ephemeral()?),
            store: Arc::new(Restorable(Mutex::new(store))),
            journal,
            clock: ManualClock::new(),
        })
    }

    fn builder(&self) -> VaultBuilder<Ready> {
        let builder = Vault::builder(self.provider.clone(), self.store.clone()).clock(self.clock.clone());
        builder.journal(self.journal.clone()).purposes(["billing"])
    }

    /// A process whose every call of a port passes the tap.
    fn tapped(&self, tap: &Tap) -> VaultBuilder<Ready> {
        let (provider, store) = (Tapped::new(self.provider.clone(), tap), Tapped::new(self.store.clone(), tap));
        let builder = Vault::builder(provider, store).clock(self.clock.clone());
        builder.journal(Tapped::new(self.journal.clone(), tap)).purposes(["billing"])
    }

    async fn vault(&self) -> Result<Vault> {
        self.builder().build().await
    }

    async fn vault_with(&self, provider: impl MasterKeyProvider) -> Result<Vault> {
        let builder = Vault::builder(provider, self.store.clone()).clock(self.clock.clone());
        builder.journal(self.journal.clone()).purposes(["billing"]).build().await
    }

    /// The customers, in a process of their own.
    async fn customers(&self) -> Result<Tenant> {
        Ok(self.vault().await?.default_tenant())
    }

    /// As long as any process may use keys that it read.
    fn pass_max_age(&self) {
        self.clock.advance(MAX_AGE + Duration::from_millis(1));
    }

    async fn events(&self) -> Result<Vec<JournalEvent>> {
        Ok(self.entries().await?.iter().map(|entry| entry.event().clone()).collect())
    }

    async fn entries(&self) -> Result<Vec<JournalEntry>> {
        Ok(self.journal.read(0, 10_000).await?)
    }

    /// Every subject's slot, without its tenant.
    async fn subjects(&self) -> Result<Vec<StoredSlot>> {
        let slots = self.store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
        Ok(slots.into_iter().filter(|slot| matches!(slot.id(), SlotId::Subject(..))).collect())
    }

    /// Everything moves to the current epoch.
    async fn rewrap_all(&self, vault: &Vault) -> Result<u64> {
        let (mut next, mut moved) = (None, 0);
        loop {
            let page = vault.rewrap_page(next.as_ref(), 3).await?;
            moved += page.moved;
            next = page.next;
            if next.is_none() {
                return Ok(moved);
            }
        }
    }
}

/// Opens the next epoch under a new master key.
async fn advance(world: &World, vault: &Vault) -> Result<Epoch> {
    world.provider.add_key().await?;
    vault.advance_epoch().await
}

/// What a vault is created with where nothing is said.
const MAX_AGE: Duration = Duration::from_secs(300);

fn context(purpose: &'static str) -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap().purpose(purpose)
}

fn seal(keys: &SubjectKeys) -> Result<Vec<u8>> {
    seal_for(keys, "default")
}

fn seal_for(keys: &SubjectKeys, purpose: &'static str) -> Result<Vec<u8>> {
    keys.seal_bytes(b"ada@example.com", &context(purpose))
}

fn open(keys: &SubjectKeys, envelope: &[u8]) -> Result<bool> {
    open_for(keys, envelope, "default")
}

fn open_for(keys: &SubjectKeys, envelope: &[u8], purpose: &'static str) -> Result<bool> {
    Ok(keys.open_bytes(envelope, &context(purpose))?.as_deref().is_some_and(|value| value == b"ada@example.com"))
}

fn whole() -> ErasureRequest {
    ErasureRequest::new()
}

fn only(purpose: &str) -> ErasureRequest {
    ErasureRequest::new().purpose(Purpose::new(purpose).unwrap())
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn epoch(n: u32) -> Epoch {
    Epoch::new(n).unwrap()
}

fn is_erased<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::SubjectErased { .. }))
}

fn is_of_kind<T>(answer: &Result<T>, kind: ProviderErrorKind) -> bool {
    matches!(answer, Err(Error::Provider(e)) if e.kind() == kind)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn later(clock: &ManualClock, by: Duration) -> Timestamp {
    use fieldseal::clock::Clock as _;
    clock.wall().plus(by)
}

/// A store of which backups are taken, and put in its place again under those who have it open.
#[derive(Debug)]
struct Restorable(Mutex<Kept>);

impl Restorable {
    fn kept(&self) -> Kept {
        self.0.lock().unwrap().clone()
    }

    fn now(&self) -> Arc<dyn KeyStore> {
        self.kept().store
    }

    async fn backup(&self) -> Result<Kept> {
        self.kept().backup().await
    }

    fn restore(&self, backup: Kept) {
        *self.0.lock().unwrap() = backup;
    }
}

#[async_trait::async_trait]
impl KeyStore for Restorable {
    async fn load(&self, ids: &[SlotId]) -> std::result::Result<Vec<Option<StoredSlot>>, StoreError> {
        self.now().load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> std::result::Result<(), StoreError> {
        self.now().put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> std::result::Result<ScanPage, StoreError> {
        self.now().scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> std::result::Result<(), StoreError> {
        self.now().raise_floor(epoch).await
    }

    async fn scrub(&self) -> std::result::Result<Residue, StoreError> {
        self.now().scrub().await
    }
}
