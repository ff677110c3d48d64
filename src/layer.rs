//! Decorators that wrap a port and implement it: the guards and measures of this crate, the counters and taps of
//! `fieldseal-testkit`, and an application's own.
//!
//! A [`Layer`] says once what happens around any call. [`layered!`](crate::layered) implements the ports with it, one method
//! after the other.
//!
//! ```
//! use fieldseal::error::{PortError, PortErrorKind};
//! use fieldseal::layer::{Attempt, Call, Layer};
//! use futures_util::future::BoxFuture;
//!
//! /// Says on the standard error what is called, and how it ended.
//! #[derive(Debug)]
//! struct Printed<P> {
//!     inner: P,
//! }
//!
//! impl<P: Sync> Layer for Printed<P> {
//!     async fn around<'a, T, K>(
//!         &'a self,
//!         call: Call<'a>,
//!         work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
//!     ) -> Result<T, PortError<K>>
//!     where
//!         T: Send + 'a,
//!         K: PortErrorKind,
//!     {
//!         let answer = work(Attempt::First).await;
//!         let end = answer.as_ref().err().map_or("ok", |e| e.kind().name());
//!         eprintln!("{} {}: {end}", call.port.name(), call.method);
//!         answer
//!     }
//! }
//!
//! fieldseal::layered! { Printed: provider store journal rows }
//! ```
//!
//! Imports the ports without their adapters, and what they name.

use futures_util::future::BoxFuture;

#[doc(hidden)]
pub use async_trait::async_trait;

use crate::error::{JournalError, JournalErrorKind, PortError, PortErrorKind, StoreError, StoreErrorKind};
use crate::journal::{ErasureJournal, Head, JournalEntry};
use crate::keys::{SlotId, StoredSlot};
use crate::store::{Expected, KeyStore, Loaded};

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a vault has three, bulk work a fourth")]
pub enum Port {
    /// A [`MasterKeyProvider`](crate::provider::MasterKeyProvider).
    Provider,
    /// A [`KeyStore`].
    Store,
    /// An [`ErasureJournal`].
    Journal,
    /// A [`RowSource`](crate::rows::RowSource).
    Rows,
}

impl Port {
    /// It in one word, for a label: `provider`, `store`, `journal`, `rows`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Store => "store",
            Self::Journal => "journal",
            Self::Rows => "rows",
        }
    }
}

/// What is called.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The port.
    pub port: Port,
    /// As the trait names it.
    pub method: &'static str,
    /// How many things are asked for in one call; 1 where there is no list of them.
    pub items: usize,
    /// The slot that is put; none for other calls.
    pub slot: Option<&'a SlotId>,
    /// It takes as long as there is much in the port, and not only as long as much is asked for.
    pub is_long: bool,
    /// It is not to be made again where it may have done its work unseen: its answer would be another one.
    pub is_once: bool,
}

impl<'a> Call<'a> {
    #[doc(hidden)]
    pub fn of(port: Port, method: &'static str) -> Self {
        Self { port, method, items: 1, slot: None, is_long: false, is_once: false }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn items(self, items: usize) -> Self {
        Self { items, ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn slot(self, slot: &'a SlotId) -> Self {
        Self { slot: Some(slot), ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn long(self, is_long: bool) -> Self {
        Self { is_long, ..self }
    }

    #[doc(hidden)]
    #[must_use]
    pub fn once(self) -> Self {
        Self { is_once: true, ..self }
    }
}

/// How a [`Layer`] asks for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Attempt {
    /// Nothing of it is done yet.
    First,
    /// An earlier attempt may have done the work unseen: a write that finds itself done is no conflict.
    Again,
}

/// What happens around each call.
pub trait Layer: Sync {
    /// `work` makes the call. A layer may ask for it several times, unless the call is [`Call::is_once`].
    fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T, PortError<K>>> + Send
    where
        T: Send + 'a,
        K: PortErrorKind;
}

/// Puts a slot that may have been put before, by a call of the same writer of which nobody knows how it ended.
///
/// Putting it again is safe at any time: what is expected is gone once it has landed. So a lost race is looked into, and is
/// none if the slot that won is this one, which its revision, a MAC over all of it, tells. What is damaged is not what was put.
#[doc(hidden)]
pub async fn put_again(
    store: &(impl KeyStore + ?Sized),
    slot: &StoredSlot,
    expected: Expected,
) -> Result<(), StoreError> {
    let lost = match store.put(slot, expected).await {
        Err(e) if matches!(e.kind(), StoreErrorKind::Conflict | StoreErrorKind::BelowFloor) => e,
        put => return put,
    };
    let found = store.load(std::slice::from_ref(slot.id())).await?;
    let is_this_one = matches!(found.as_slice(), [Loaded::Slot(found)] if found.revision() == slot.revision());
    if is_this_one { Ok(()) } else { Err(lost) }
}

/// Appends an entry that may have been appended before, as [`put_again`] puts a slot: a lost race is none if the entry
/// behind `expected` is this one, and the chain goes on from it to the journal's head.
#[doc(hidden)]
pub async fn append_again(
    journal: &(impl ErasureJournal + ?Sized),
    entry: &JournalEntry,
    expected: &Head,
) -> Result<Head, JournalError> {
    let lost = match journal.append(entry, expected).await {
        Err(e) if e.kind() == JournalErrorKind::Conflict => e,
        appended => return appended,
    };
    let head = journal.head().await?;
    let since = journal.read(expected.position(), APPENDED_SINCE).await?;
    let Some((first, others)) = since.split_first().filter(|(first, _)| *first == entry) else {
        return Err(lost);
    };
    let after = expected.advanced_by(first);
    let behind = usize::try_from(head.position().saturating_sub(after.position())).unwrap_or(usize::MAX);
    let Some(others) = others.get(..behind) else {
        return Err(JournalError::unavailable("others append faster than it can be told whether this entry landed"));
    };
    let end = others.iter().fold(after, |head, entry| head.advanced_by(entry));
    if end == head { Ok(after) } else { Err(lost) }
}

/// The most entries that are looked through for the chain.
const APPENDED_SINCE: usize = 1000;

/// Implements the ports that are named (`provider`, `store`, `journal`, `rows`) for a [`Layer`] with a type parameter and a
/// field `inner`: each method passes [`Layer::around`].
#[macro_export]
macro_rules! layered {
    ($type:ident: $($port:ident)+) => {
        $($crate::layered! { @$port $type })+
    };
    (@provider $type:ident) => {
        #[$crate::layer::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: $crate::provider::MasterKeyProvider> $crate::provider::MasterKeyProvider for $type<P> {
            async fn current(&self) -> Result<$crate::provider::MasterKeyId, $crate::error::ProviderError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Provider, "current");
                $crate::layer::Layer::around(self, call, |_| self.inner.current()).await
            }

            async fn wrap_key(
                &self,
                key: &$crate::provider::KeyMaterial,
                context: &$crate::provider::WrapContext,
            ) -> Result<$crate::provider::WrappedKey, $crate::error::ProviderError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Provider, "wrap_key");
                $crate::layer::Layer::around(self, call, |_| self.inner.wrap_key(key, context)).await
            }

            async fn unwrap_key(
                &self,
                wrapped: &$crate::provider::WrappedKey,
                context: &$crate::provider::WrapContext,
            ) -> Result<$crate::provider::KeyMaterial, $crate::error::ProviderError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Provider, "unwrap_key");
                $crate::layer::Layer::around(self, call, |_| self.inner.unwrap_key(wrapped, context)).await
            }

            async fn destroy_key(
                &self,
                id: &$crate::provider::MasterKeyId,
            ) -> Result<$crate::provider::Destruction, $crate::error::ProviderError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Provider, "destroy_key");
                $crate::layer::Layer::around(self, call, |_| self.inner.destroy_key(id)).await
            }

            async fn destruction(
                &self,
                id: &$crate::provider::MasterKeyId,
            ) -> Result<Option<$crate::provider::Destruction>, $crate::error::ProviderError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Provider, "destruction");
                $crate::layer::Layer::around(self, call, |_| self.inner.destruction(id)).await
            }
        }
    };
    (@store $type:ident) => {
        #[$crate::layer::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: $crate::store::KeyStore> $crate::store::KeyStore for $type<P> {
            async fn load(
                &self,
                ids: &[$crate::store::SlotId],
            ) -> Result<Vec<$crate::store::Loaded>, $crate::error::StoreError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "load").items(ids.len());
                $crate::layer::Layer::around(self, call, |_| self.inner.load(ids)).await
            }

            async fn put(
                &self,
                slot: &$crate::store::StoredSlot,
                expected: $crate::store::Expected,
            ) -> Result<(), $crate::error::StoreError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "put").slot(slot.id());
                $crate::layer::Layer::around(self, call, |attempt| match attempt {
                    $crate::layer::Attempt::Again => Box::pin($crate::layer::put_again(&self.inner, slot, expected)),
                    $crate::layer::Attempt::First => self.inner.put(slot, expected),
                })
                .await
            }

            async fn scan(
                &self,
                scan: &$crate::store::Scan,
            ) -> Result<$crate::store::ScanPage, $crate::error::StoreError> {
                // Whether there is any slot at all is asked while somebody waits to be enrolled.
                let is_any = scan.page_size() == 1 && scan.filter() == $crate::store::Filter::All;
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "scan").long(!is_any);
                $crate::layer::Layer::around(self, call, |_| self.inner.scan(scan)).await
            }

            async fn raise_floor(&self, epoch: $crate::store::Epoch) -> Result<(), $crate::error::StoreError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "raise_floor").long(true);
                $crate::layer::Layer::around(self, call, |_| self.inner.raise_floor(epoch)).await
            }

            async fn scrub(&self) -> Result<$crate::store::Residue, $crate::error::StoreError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "scrub").long(true);
                $crate::layer::Layer::around(self, call, |_| self.inner.scrub()).await
            }

            async fn clock(&self) -> Result<Option<$crate::clock::Timestamp>, $crate::error::StoreError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Store, "clock");
                $crate::layer::Layer::around(self, call, |_| self.inner.clock()).await
            }
        }
    };
    (@journal $type:ident) => {
        #[$crate::layer::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: $crate::journal::ErasureJournal> $crate::journal::ErasureJournal for $type<P> {
            async fn id(&self) -> Result<$crate::journal::JournalId, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "id");
                $crate::layer::Layer::around(self, call, |_| self.inner.id()).await
            }

            async fn head(&self) -> Result<$crate::journal::Head, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "head");
                $crate::layer::Layer::around(self, call, |_| self.inner.head()).await
            }

            async fn append(
                &self,
                entry: &$crate::journal::JournalEntry,
                expected: &$crate::journal::Head,
            ) -> Result<$crate::journal::Head, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "append");
                $crate::layer::Layer::around(self, call, |attempt| match attempt {
                    $crate::layer::Attempt::Again => Box::pin($crate::layer::append_again(&self.inner, entry, expected)),
                    $crate::layer::Attempt::First => self.inner.append(entry, expected),
                })
                .await
            }

            async fn read(
                &self,
                from: u64,
                limit: usize,
            ) -> Result<Vec<$crate::journal::JournalEntry>, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "read");
                $crate::layer::Layer::around(self, call, |_| self.inner.read(from, limit)).await
            }

            async fn read_of(
                &self,
                tenant: Option<&$crate::id::TenantId>,
                tag: Option<&$crate::store::Tag>,
                up_to: &$crate::journal::Head,
            ) -> Result<Vec<$crate::journal::EntryAt>, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "read_of");
                $crate::layer::Layer::around(self, call, |_| self.inner.read_of(tenant, tag, up_to)).await
            }

            async fn clock(&self) -> Result<Option<$crate::clock::Timestamp>, $crate::error::JournalError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Journal, "clock");
                $crate::layer::Layer::around(self, call, |_| self.inner.clock()).await
            }
        }
    };
    (@rows $type:ident) => {
        #[$crate::layer::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: $crate::rows::RowSource> $crate::rows::RowSource for $type<P> {
            /// No call: it is a name that the source has in memory.
            fn columns(&self) -> &[String] {
                self.inner.columns()
            }

            async fn page(&self, page: &$crate::rows::Page) -> Result<Vec<$crate::rows::Row>, $crate::error::RowsError> {
                // One that leaves rows out reads them all where the column has no index.
                let call = $crate::layer::Call::of($crate::layer::Port::Rows, "page").long(page.only_where().is_some());
                $crate::layer::Layer::around(self, call, |_| self.inner.page(page)).await
            }

            async fn load(
                &self,
                keys: &[$crate::rows::RowKey],
            ) -> Result<Vec<Option<$crate::rows::Row>>, $crate::error::RowsError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Rows, "load").items(keys.len());
                $crate::layer::Layer::around(self, call, |_| self.inner.load(keys)).await
            }

            async fn swap(&self, swaps: &[$crate::rows::Swap]) -> Result<Vec<bool>, $crate::error::RowsError> {
                // What was swapped unseen would count as another's change.
                let call = $crate::layer::Call::of($crate::layer::Port::Rows, "swap").items(swaps.len()).once();
                $crate::layer::Layer::around(self, call, |_| self.inner.swap(swaps)).await
            }

            async fn count(&self) -> Result<u64, $crate::error::RowsError> {
                let call = $crate::layer::Call::of($crate::layer::Port::Rows, "count").long(true);
                $crate::layer::Layer::around(self, call, |_| self.inner.count()).await
            }
        }
    };
}
