//! [`Counting`]: a port that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::id::TenantId;
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalError, JournalId};
use crate::keys::{Epoch, KeyMaterial, MasterKeyId, SlotId, StoredSlot, Tag, WrapContext, WrappedKey};
use crate::provider::{Destruction, MasterKeyProvider, ProviderError};
use crate::store::{Expected, KeyStore, Residue, Scan, ScanPage, StoreError};

/// A key store, a master key provider or a journal that counts the calls it passes on.
///
/// ```
/// use fieldseal::store::MemoryStore;
/// use fieldseal::testing::counting::Counting;
///
/// let store = Counting::new(MemoryStore::new());
/// let counts = store.counts();
/// assert_eq!(counts.loads(), 0);
/// ```
#[derive(Debug)]
pub struct Counting<P> {
    inner: P,
    counts: Counts,
}

impl<P> Counting<P> {
    /// Counts from zero.
    pub fn new(inner: P) -> Self {
        Self { inner, counts: Counts::default() }
    }

    /// A handle to read the counts by, also once the port has been given away.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// The port itself: calls made to it are not counted.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// How often what was called. A call counts when it begins, whatever becomes of it.
        #[derive(Clone, Debug, Default)]
        pub struct Counts(Arc<Numbers>);

        #[derive(Debug, Default)]
        struct Numbers {
            $($name: AtomicU64,)*
        }

        impl Counts {
            $($(#[$doc])* pub fn $name(&self) -> u64 {
                self.0.$name.load(Ordering::SeqCst)
            })*

            /// Counts from zero again.
            pub fn reset(&self) {
                $(self.0.$name.store(0, Ordering::SeqCst);)*
            }
        }
    };
}
counts! {
    /// Calls of [`KeyStore::load`].
    loads;
    /// Ids that [`KeyStore::load`] was asked for, repeats included.
    slots_loaded;
    /// Calls of [`KeyStore::put`].
    puts;
    /// Calls of [`KeyStore::scan`].
    scans;
    /// Calls of [`KeyStore::raise_floor`].
    floors;
    /// Calls of [`KeyStore::scrub`].
    scrubs;
    /// Calls of [`MasterKeyProvider::current`].
    currents;
    /// Calls of [`MasterKeyProvider::wrap_key`].
    wraps;
    /// Calls of [`MasterKeyProvider::unwrap_key`].
    unwraps;
    /// Calls of [`MasterKeyProvider::destroy_key`].
    destroys;
    /// Calls of [`MasterKeyProvider::destruction`].
    destructions;
    /// Calls of [`ErasureJournal::id`].
    ids;
    /// Calls of [`ErasureJournal::head`].
    heads;
    /// Calls of [`ErasureJournal::append`].
    appends;
    /// Calls of [`ErasureJournal::read`] and [`ErasureJournal::read_of`].
    reads;
}

fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::SeqCst);
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: KeyStore> KeyStore for Counting<S> {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Option<StoredSlot>>, StoreError> {
        count(&self.counts.0.loads);
        self.counts.0.slots_loaded.fetch_add(ids.len() as u64, Ordering::SeqCst);
        self.inner.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        count(&self.counts.0.puts);
        self.inner.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        count(&self.counts.0.scans);
        self.inner.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        count(&self.counts.0.floors);
        self.inner.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        count(&self.counts.0.scrubs);
        self.inner.scrub().await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: MasterKeyProvider> MasterKeyProvider for Counting<P> {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        count(&self.counts.0.currents);
        self.inner.current().await
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        count(&self.counts.0.wraps);
        self.inner.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        count(&self.counts.0.unwraps);
        self.inner.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        count(&self.counts.0.destroys);
        self.inner.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        count(&self.counts.0.destructions);
        self.inner.destruction(id).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<J: ErasureJournal> ErasureJournal for Counting<J> {
    async fn id(&self) -> Result<JournalId, JournalError> {
        count(&self.counts.0.ids);
        self.inner.id().await
    }

    async fn head(&self) -> Result<Head, JournalError> {
        count(&self.counts.0.heads);
        self.inner.head().await
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        count(&self.counts.0.appends);
        self.inner.append(entry, expected).await
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        count(&self.counts.0.reads);
        self.inner.read(from, limit).await
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<JournalEntry>, JournalError> {
        count(&self.counts.0.reads);
        self.inner.read_of(tenant, tag, up_to).await
    }
}
