//! A vault in memory, and what was overheard of its keys.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fieldseal::error::ProviderError;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::{
    Destruction, KeyMaterial, LocalKeyring, MasterKeyId, MasterKeyProvider, WrapContext, WrapRole, WrappedKey,
};
use fieldseal::store::{Filter, KeyStore as _, MemoryStore, Scan, SlotId, StoredSlot};
use fieldseal::{Plain, SubjectId, Suite, Tenant, Vault};

use crate::format::for_each_data_key;
use crate::needles::{Masked, Needles, in_private};

/// A keyring that tells which keys it wraps and unwraps, masked.
#[derive(Debug)]
pub(crate) struct Overhearing {
    pub(crate) keyring: LocalKeyring,
    heard: Mutex<Vec<Heard>>,
}

/// A root or an epoch key.
#[derive(Clone)]
pub(crate) struct Heard {
    pub(crate) context: WrapContext,
    pub(crate) key: Masked,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.context.fmt(f)
    }
}

impl Overhearing {
    fn hear(&self, key: &KeyMaterial, context: &WrapContext) {
        let heard = Heard { context: context.clone(), key: Masked::new(key.expose()) };
        self.heard.lock().unwrap().push(heard);
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

#[async_trait]
impl MasterKeyProvider for Overhearing {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        self.keyring.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        self.hear(key, context);
        self.keyring.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        let key = self.keyring.unwrap_key(wrapped, context).await?;
        self.hear(&key, context);
        Ok(key)
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        self.keyring.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        self.keyring.destruction(id).await
    }
}

pub(crate) struct Overheard {
    pub(crate) provider: Arc<Overhearing>,
    store: Arc<MemoryStore>,
    journal: Arc<MemoryJournal>,
    pub(crate) vault: Vault,
}

impl Overheard {
    pub(crate) async fn new() -> Self {
        Self::on(LocalKeyring::ephemeral().unwrap()).await
    }

    pub(crate) async fn on(keyring: LocalKeyring) -> Self {
        let provider = Arc::new(Overhearing { keyring, heard: Mutex::default() });
        let (store, journal) = (Arc::new(MemoryStore::new()), Arc::new(MemoryJournal::new().unwrap()));
        let vault = Vault::builder(provider.clone(), store.clone())
            .kinds(["customer"])
            .journal(journal.clone())
            .build()
            .await
            .unwrap();
        Self { provider, store, journal, vault }
    }

    /// Another vault on the same store: it knows nobody yet.
    pub(crate) async fn again(&self, suite: Suite) -> Vault {
        let builder =
            Vault::builder(self.provider.clone(), self.store.clone()).kinds(["customer"]).journal(self.journal.clone());
        builder.suite(suite).build().await.unwrap()
    }

    pub(crate) fn customers(&self) -> Tenant {
        self.vault.default_tenant()
    }

    /// What was overheard of a role, each once.
    pub(crate) fn heard(&self, role: WrapRole) -> Vec<Heard> {
        let mut heard: Vec<Heard> = Vec::new();
        for one in self.provider.heard().into_iter().filter(|heard| heard.context.role() == role) {
            if heard.iter().all(|other| other.context.key_id().as_bytes() != one.context.key_id().as_bytes()) {
                heard.push(one);
            }
        }
        heard
    }

    /// The data keys of every subject in the store, as they are wrapped now, with their wrappings.
    pub(crate) async fn data_keys(&self) -> Vec<(Masked, Vec<u8>)> {
        let slots = self.store.scan(&Scan::new(Filter::All)).await.unwrap().slots;
        slots
            .iter()
            .filter(|slot| matches!(slot.id(), SlotId::Subject(..)))
            .flat_map(|slot| self.unwrapped(slot))
            .collect()
    }

    fn unwrapped(&self, slot: &StoredSlot) -> Vec<(Masked, Vec<u8>)> {
        let mut found = Vec::new();
        for kek in self.heard(WrapRole::EpochKey) {
            in_private(|| {
                for_each_data_key(slot, &kek.key.reveal(), |key, wrapped| {
                    found.push((Masked::new(key), wrapped.to_vec()));
                });
            });
        }
        found
    }

    /// The keys of every subject in the store, and the cipher states that wrapping them took.
    pub(crate) async fn needles_of_data_keys(&self) -> Needles {
        let mut needles = Needles::default();
        let keks = self.heard(WrapRole::EpochKey);
        for (key, wrapped) in self.data_keys().await {
            needles.add_key("data key", &key);
            let kek = keks.iter().find(|kek| kek.context.key_id().as_bytes()[..] == wrapped[1..25]).unwrap();
            needles.add_record_key("key of a wrapping", &kek.key, &wrapped);
        }
        needles
    }
}

pub(crate) fn ada() -> SubjectId {
    SubjectId::new("customer", "ada").unwrap()
}

/// A value that stands nowhere else, and its needle. Filled in place: no copy is left by making it.
pub(crate) fn value() -> (Plain<String>, Masked) {
    let seed = KeyMaterial::generate().unwrap();
    let mut text = String::with_capacity(64);
    for byte in seed.expose() {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b'a' + nibble));
        }
    }
    let masked = Masked::new(text.as_bytes());
    (Plain::new(text), masked)
}
