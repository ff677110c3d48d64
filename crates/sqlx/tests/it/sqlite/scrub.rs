//! What is destroyed is in no file of an SQLite store once the call that destroyed it has returned: neither in the database
//! nor in its log, read as they are while the store is open. The twin of each test keeps the same slots in an ordinary
//! table, and finds them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use fieldseal::clock::Timestamp;
use fieldseal::error::StoreError;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, MemoryStore, Residue, Scan, ScanPage, SlotId, StoredSlot,
};
use fieldseal::vault::ErasureRequest;
use fieldseal::{Tenant, TenantId, Vault};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::customer;
use fleet_tests::harness::{Alone, Trial, name};
use futures_util::lock::Mutex;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;

pub(super) fn trials() -> Vec<Trial> {
    gone()
}

/// A vault whose key store is in a folder.
struct VaultInFolder {
    vault: Vault,
    keyring: LocalKeyring,
    store: Arc<dyn KeyStore>,
    folder: TempDir,
}

impl VaultInFolder {
    /// On [`SqliteStore`].
    async fn sound() -> Self {
        let folder = folder();
        let store = SqliteStore::open(path(&folder)).await.unwrap();
        Self::on(Arc::new(store), folder).await
    }

    /// On an [`OrdinaryTable`].
    async fn ordinary() -> Self {
        let folder = folder();
        let store = OrdinaryTable::new(&path(&folder)).await;
        Self::on(Arc::new(store), folder).await
    }

    async fn on(store: Arc<dyn KeyStore>, folder: TempDir) -> Self {
        let keyring = LocalKeyring::ephemeral().unwrap();
        let builder =
            Vault::builder(keyring.clone(), store.clone()).kinds(["customer"]).journal(MemoryJournal::new().unwrap());
        Self { vault: builder.build().await.unwrap(), keyring, store, folder }
    }

    fn customers(&self) -> Tenant {
        self.vault.default_tenant()
    }

    async fn slots(&self) -> Vec<StoredSlot> {
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        let mut slots = Vec::new();
        loop {
            let page = self.store.scan(&scan).await.unwrap();
            slots.extend(page.slots);
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return slots,
            }
        }
    }

    /// Moves everything to a new epoch.
    async fn advance(&self) {
        self.keyring.add_key().await.unwrap();
        self.vault.advance_epoch().await.unwrap();
        let mut from = None;
        loop {
            let page = self.vault.rewrap_page(from.as_ref(), 500).await.unwrap();
            from = page.next;
            if from.is_none() {
                return;
            }
        }
    }

    /// How many of the pieces of `before` that no slot has any more can be found in a file: pieces of 16 bytes, so that of a
    /// wrapped key (98 bytes) each part counts.
    async fn found(&self, before: &[StoredSlot]) -> usize {
        let mut dead: HashSet<[u8; PIECE]> = before.iter().flat_map(pieces).collect();
        for live in self.slots().await {
            for window in live.as_bytes().array_windows() {
                dead.remove(window);
            }
        }
        // Each slot that changed has a MAC and at least one wrapped key that it had before.
        assert!(dead.len() >= 7, "nothing was destroyed");
        let mut found = HashSet::new();
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let bytes = std::fs::read(with_suffix(&path(&self.folder), suffix)).unwrap_or_default();
            found.extend(bytes.array_windows().filter(|window| dead.contains(*window)).copied());
        }
        found.len()
    }
}

const PIECE: usize = 16;

/// A slot's bytes behind its first fields, which many slots have in common. Of the vault's the wrapped root alone: what
/// follows is no key, and it is written once more after the scrub, when the epoch is marked as retired.
fn pieces(slot: &StoredSlot) -> impl Iterator<Item = [u8; PIECE]> {
    let bytes = slot.as_bytes();
    // `docs/format.md`, section 10: head, epoch, key id, the keyring's id of its key, an envelope.
    let root_end = 15 + 4 + 24 + (2 + 22) + (2 + 98);
    let end = if *slot.id() == SlotId::Vault { root_end } else { bytes.len() };
    bytes[64..end].as_chunks().0.iter().copied()
}

/// In memory, where there is such a place: thousands of synced writes take their time on a disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("keys.db")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Slots in an ordinary table, with SQLite as it comes: no `secure_delete`, no checkpoint that is asked for. A store in
/// memory answers; the table is what it leaves.
struct OrdinaryTable {
    answers: MemoryStore,
    db: Mutex<SqliteConnection>,
}

impl OrdinaryTable {
    async fn new(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut db =
            options.journal_mode(SqliteJournalMode::Wal).pragma("secure_delete", "OFF").connect().await.unwrap();
        sqlx::query("CREATE TABLE slot (id BLOB PRIMARY KEY, bytes BLOB)").execute(&mut db).await.unwrap();
        Self { answers: MemoryStore::new(), db: Mutex::new(db) }
    }
}

impl fmt::Debug for OrdinaryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrdinaryTable(..)")
    }
}

#[async_trait]
impl KeyStore for OrdinaryTable {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.answers.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let mut db = self.db.lock().await;
        self.answers.put(slot, expected).await?;
        let mut transaction = db.begin().await.unwrap();
        sqlx::query("INSERT INTO slot VALUES (?1, ?2) ON CONFLICT DO UPDATE SET bytes = ?2")
            .bind(slot.id().to_bytes())
            .bind(slot.as_bytes())
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        Ok(())
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.answers.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.answers.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.answers.scrub().await
    }
}

/// A test that finds nothing, and its twin that finds something: the same jobs on both stores.
macro_rules! gone {
    ($($job:ident, $twin:ident;)*) => {
        fn gone() -> Vec<Trial> {
            vec![$(
                Alone::new().trial(name(module_path!(), &[stringify!($job)]), async || {
                    let world = VaultInFolder::sound().await;
                    let before = jobs::$job(&world).await;
                    assert_eq!(world.found(&before).await, 0);
                }),
                Alone::new().trial(name(module_path!(), &[stringify!($twin)]), async || {
                    let world = VaultInFolder::ordinary().await;
                    let before = jobs::$job(&world).await;
                    assert!(world.found(&before).await > 0, "this finds nothing even where something is left");
                }),
            )*]
        }
    };
}
gone! {
    keys_of_an_erased_subject_are_in_no_file, an_ordinary_table_would_keep_keys_of_an_erased_subject;
    keys_of_many_erased_subjects_are_in_no_file, an_ordinary_table_would_keep_keys_of_many_erased_subjects;
    keys_of_swept_subjects_are_in_no_file, an_ordinary_table_would_keep_keys_of_swept_subjects;
    wrappings_of_a_retired_epoch_are_in_no_file, an_ordinary_table_would_keep_wrappings_of_a_retired_epoch;
    keys_of_an_erased_tenant_are_in_no_file, an_ordinary_table_would_keep_keys_of_an_erased_tenant;
}

/// Each destroys something, and gives the slots as they were before.
mod jobs {
    use super::*;

    fn request() -> ErasureRequest {
        ErasureRequest::new()
    }

    pub(super) async fn keys_of_an_erased_subject_are_in_no_file(world: &VaultInFolder) -> Vec<StoredSlot> {
        let customers = world.customers();
        customers.enroll_all(&["ada", "ben"].map(customer)).await.unwrap();
        customers.rotate_now(&customer("ada")).await.unwrap();
        let before = world.slots().await;
        customers.erase(&customer("ada"), &request()).await.unwrap();
        before
    }

    /// So many that pages of the database split, and between others that stay.
    pub(super) async fn keys_of_many_erased_subjects_are_in_no_file(world: &VaultInFolder) -> Vec<StoredSlot> {
        let customers = world.customers();
        let subjects: Vec<_> = (1..=2000).map(customer).collect();
        for page in subjects.chunks(250) {
            customers.enroll_all(page).await.unwrap();
        }
        // Some outgrow the place that they have.
        for n in (1..=2000).step_by(20) {
            for _ in 0..3 {
                customers.rotate_now(&customer(n)).await.unwrap();
            }
        }
        let before = world.slots().await;
        let erased: Vec<_> = (1..=2000).step_by(10).map(customer).collect();
        for receipt in customers.erase_all(&erased, &request()).await.unwrap() {
            receipt.unwrap();
        }
        before
    }

    pub(super) async fn keys_of_swept_subjects_are_in_no_file(world: &VaultInFolder) -> Vec<StoredSlot> {
        let customers = world.customers();
        for subject in 1..=20i64 {
            customers.enroll(&customer(subject)).await.unwrap();
            customers.schedule_erasure(&customer(subject), Timestamp::from_millis(1)).await.unwrap();
        }
        customers.enroll(&customer("ada")).await.unwrap();
        let before = world.slots().await;
        assert_eq!(world.vault.erase_due().await.unwrap().receipts.len(), 20);
        before
    }

    /// The tenants' wrapped epoch keys too.
    pub(super) async fn wrappings_of_a_retired_epoch_are_in_no_file(world: &VaultInFolder) -> Vec<StoredSlot> {
        let subjects: Vec<_> = (1..=100).map(customer).collect();
        let acme = world.vault.tenant(&TenantId::new("acme").unwrap());
        acme.enroll_all(&subjects).await.unwrap();
        world.customers().enroll_all(&subjects).await.unwrap();
        world.customers().rotate(&customer(7i64)).await.unwrap();
        let before = world.slots().await;
        world.advance().await;
        world.vault.retire_epoch(Epoch::FIRST).await.unwrap();
        before
    }

    pub(super) async fn keys_of_an_erased_tenant_are_in_no_file(world: &VaultInFolder) -> Vec<StoredSlot> {
        let acme = TenantId::new("acme").unwrap();
        world.vault.tenant(&acme).enroll_all(&["ada", "ben", "cid"].map(customer)).await.unwrap();
        world.customers().enroll(&customer("ada")).await.unwrap();
        let before = world.slots().await;
        world.vault.erase_tenant(&acme, &request()).await.unwrap();
        before
    }
}
