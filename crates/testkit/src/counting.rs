//! [`Counting`]: a port that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;

use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer, Port};

/// A key store, a master key provider or a journal that counts the calls it passes on.
///
/// ```
/// use fieldseal::store::MemoryStore;
/// use fieldseal_testkit::counting::Counting;
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
    /// Calls of [`KeyStore::load`](fieldseal::store::KeyStore::load).
    loads;
    /// Ids that [`KeyStore::load`](fieldseal::store::KeyStore::load) was asked for, repeats included.
    slots_loaded;
    /// Calls of [`KeyStore::put`](fieldseal::store::KeyStore::put).
    puts;
    /// Calls of [`KeyStore::scan`](fieldseal::store::KeyStore::scan).
    scans;
    /// Calls of [`KeyStore::raise_floor`](fieldseal::store::KeyStore::raise_floor).
    floors;
    /// Calls of [`KeyStore::scrub`](fieldseal::store::KeyStore::scrub).
    scrubs;
    /// Calls of [`MasterKeyProvider::current`](fieldseal::provider::MasterKeyProvider::current).
    currents;
    /// Calls of [`MasterKeyProvider::wrap_key`](fieldseal::provider::MasterKeyProvider::wrap_key).
    wraps;
    /// Calls of [`MasterKeyProvider::unwrap_key`](fieldseal::provider::MasterKeyProvider::unwrap_key).
    unwraps;
    /// Calls of [`MasterKeyProvider::destroy_key`](fieldseal::provider::MasterKeyProvider::destroy_key).
    destroys;
    /// Calls of [`MasterKeyProvider::destruction`](fieldseal::provider::MasterKeyProvider::destruction).
    destructions;
    /// Calls of [`ErasureJournal::id`](fieldseal::journal::ErasureJournal::id).
    ids;
    /// Calls of [`ErasureJournal::head`](fieldseal::journal::ErasureJournal::head).
    heads;
    /// Calls of [`ErasureJournal::append`](fieldseal::journal::ErasureJournal::append).
    appends;
    /// Calls of [`ErasureJournal::read`](fieldseal::journal::ErasureJournal::read) and [`ErasureJournal::read_of`](fieldseal::journal::ErasureJournal::read_of).
    reads;
    /// Calls of [`KeyStore::clock`](fieldseal::store::KeyStore::clock) and
    /// [`ErasureJournal::clock`](fieldseal::journal::ErasureJournal::clock).
    clocks;
}

impl<P: Sync> Layer for Counting<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        self.counts.count(&call);
        work(Attempt::First).await
    }
}

fieldseal::layered! { Counting: provider store journal }

impl Counts {
    fn count(&self, call: &Call<'_>) {
        let numbers = &self.0;
        let number = match (call.port, call.method) {
            (Port::Store, "load") => {
                numbers.slots_loaded.fetch_add(call.items as u64, Ordering::SeqCst);
                &numbers.loads
            }
            (Port::Store, "put") => &numbers.puts,
            (Port::Store, "scan") => &numbers.scans,
            (Port::Store, "raise_floor") => &numbers.floors,
            (Port::Store, "scrub") => &numbers.scrubs,
            (Port::Provider, "current") => &numbers.currents,
            (Port::Provider, "wrap_key") => &numbers.wraps,
            (Port::Provider, "unwrap_key") => &numbers.unwraps,
            (Port::Provider, "destroy_key") => &numbers.destroys,
            (Port::Provider, "destruction") => &numbers.destructions,
            (Port::Journal, "id") => &numbers.ids,
            (Port::Journal, "head") => &numbers.heads,
            (Port::Journal, "append") => &numbers.appends,
            (Port::Journal, "read" | "read_of") => &numbers.reads,
            (Port::Store | Port::Journal, "clock") => &numbers.clocks,
            (port, method) => unreachable!("{port:?} has no method {method} that is counted"),
        };
        number.fetch_add(1, Ordering::SeqCst);
    }
}
