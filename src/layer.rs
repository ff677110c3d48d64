//! What stands around a port and is that port itself: one shape for guards, measures, and what tests count and break.
//!
//! A [`Layer`] says once what happens around any call; [`layered!`] makes ports of it, one method after the other.
//!
//! Imports the ports without their adapters, and what they name.

use futures_util::future::BoxFuture;

use crate::error::{JournalError, JournalErrorKind, PortError, PortErrorKind, StoreError, StoreErrorKind};
use crate::journal::{ErasureJournal, Head, JournalEntry};
use crate::keys::{SlotId, StoredSlot};
use crate::store::{Expected, KeyStore};

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
#[cfg_attr(not(any(test, feature = "test-util")), expect(dead_code, reason = "tests look at all of it"))]
pub(crate) struct Call<'a> {
    pub(crate) port: Port,
    /// As the trait names it.
    pub(crate) method: &'static str,
    /// How many things are asked for in one call; 1 where there is no list of them.
    pub(crate) items: usize,
    /// The slot that is put; none for other calls.
    pub(crate) slot: Option<&'a SlotId>,
    /// It takes as long as there is much in the port, and not only as long as much is asked for.
    pub(crate) is_long: bool,
    /// It is not to be made again where it may have done its work unseen: its answer would be another one.
    pub(crate) is_once: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn of(port: Port, method: &'static str) -> Self {
        Self { port, method, items: 1, slot: None, is_long: false, is_once: false }
    }

    pub(crate) fn items(self, items: usize) -> Self {
        Self { items, ..self }
    }

    pub(crate) fn slot(self, slot: &'a SlotId) -> Self {
        Self { slot: Some(slot), ..self }
    }

    pub(crate) fn long(self, is_long: bool) -> Self {
        Self { is_long, ..self }
    }

    pub(crate) fn once(self) -> Self {
        Self { is_once: true, ..self }
    }
}

/// What happens around each call.
pub(crate) trait Layer: Sync {
    /// `work` makes the call, and may be asked for it again, unless it is [`Call::is_once`]. It is told so (`true`) where
    /// the last time may have done its work unseen: then a write that finds itself done is no conflict.
    fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(bool) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> impl Future<Output = Result<T, PortError<K>>> + Send
    where
        T: Send + 'a,
        K: PortErrorKind;
}

/// Puts a slot that may have been put before, by a call of the same writer of which nobody knows how it ended.
///
/// Putting it again is safe at any time: what is expected is gone once it has landed. So a lost race is looked into, and is
/// none if the slot that won is this one, which its revision, a MAC over all of it, tells.
pub(crate) async fn put_again(
    store: &(impl KeyStore + ?Sized),
    slot: &StoredSlot,
    expected: Expected,
) -> Result<(), StoreError> {
    let lost = match store.put(slot, expected).await {
        Err(e) if matches!(e.kind(), StoreErrorKind::Conflict | StoreErrorKind::BelowFloor) => e,
        put => return put,
    };
    let found = store.load(std::slice::from_ref(slot.id())).await?;
    let is_this_one = matches!(found.as_slice(), [Some(found)] if found.revision() == slot.revision());
    if is_this_one { Ok(()) } else { Err(lost) }
}

/// Appends an entry that may have been appended before, as [`put_again`] puts a slot: a lost race is none if the entry
/// behind `expected` is this one, and the chain goes on from it to the journal's head.
pub(crate) async fn append_again(
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
    let after = expected.after(first);
    let behind = usize::try_from(head.position().saturating_sub(after.position())).unwrap_or(usize::MAX);
    let Some(others) = others.get(..behind) else {
        return Err(JournalError::unavailable("others append faster than it can be told whether this entry landed"));
    };
    let end = others.iter().fold(after, |head, entry| head.after(entry));
    if end == head { Ok(after) } else { Err(lost) }
}

/// The most entries that are looked through for the chain.
const APPENDED_SINCE: usize = 1000;

/// Makes a [`Layer`] with a field `inner` the ports that are named: each method passes [`Layer::around`].
macro_rules! layered {
    ($type:ident: $($port:ident)+) => {
        $($crate::layer::layered! { @$port $type })+
    };
    (@provider $type:ident) => {
        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: crate::provider::MasterKeyProvider> crate::provider::MasterKeyProvider for $type<P> {
            async fn current(&self) -> Result<crate::keys::MasterKeyId, crate::error::ProviderError> {
                let call = Call::of(Port::Provider, "current");
                self.around(call, |_| self.inner.current()).await
            }

            async fn wrap_key(
                &self,
                key: &crate::keys::KeyMaterial,
                context: &crate::keys::WrapContext,
            ) -> Result<crate::keys::WrappedKey, crate::error::ProviderError> {
                let call = Call::of(Port::Provider, "wrap_key");
                self.around(call, |_| self.inner.wrap_key(key, context)).await
            }

            async fn unwrap_key(
                &self,
                wrapped: &crate::keys::WrappedKey,
                context: &crate::keys::WrapContext,
            ) -> Result<crate::keys::KeyMaterial, crate::error::ProviderError> {
                let call = Call::of(Port::Provider, "unwrap_key");
                self.around(call, |_| self.inner.unwrap_key(wrapped, context)).await
            }

            async fn destroy_key(
                &self,
                id: &crate::keys::MasterKeyId,
            ) -> Result<crate::provider::Destruction, crate::error::ProviderError> {
                let call = Call::of(Port::Provider, "destroy_key");
                self.around(call, |_| self.inner.destroy_key(id)).await
            }

            async fn destruction(
                &self,
                id: &crate::keys::MasterKeyId,
            ) -> Result<Option<crate::provider::Destruction>, crate::error::ProviderError> {
                let call = Call::of(Port::Provider, "destruction");
                self.around(call, |_| self.inner.destruction(id)).await
            }
        }
    };
    (@store $type:ident) => {
        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: crate::store::KeyStore> crate::store::KeyStore for $type<P> {
            async fn load(
                &self,
                ids: &[crate::keys::SlotId],
            ) -> Result<Vec<Option<crate::keys::StoredSlot>>, crate::error::StoreError> {
                let call = Call::of(Port::Store, "load").items(ids.len());
                self.around(call, |_| self.inner.load(ids)).await
            }

            async fn put(
                &self,
                slot: &crate::keys::StoredSlot,
                expected: crate::store::Expected,
            ) -> Result<(), crate::error::StoreError> {
                let call = Call::of(Port::Store, "put").slot(slot.id());
                self.around(call, |again| match again {
                    true => Box::pin(crate::layer::put_again(&self.inner, slot, expected)),
                    false => self.inner.put(slot, expected),
                })
                .await
            }

            async fn scan(
                &self,
                scan: &crate::store::Scan,
            ) -> Result<crate::store::ScanPage, crate::error::StoreError> {
                // Whether there is any slot at all is asked while somebody waits to be enrolled.
                let is_any = scan.page_size() == 1 && scan.filter() == crate::store::Filter::All;
                let call = Call::of(Port::Store, "scan").long(!is_any);
                self.around(call, |_| self.inner.scan(scan)).await
            }

            async fn raise_floor(&self, epoch: crate::keys::Epoch) -> Result<(), crate::error::StoreError> {
                let call = Call::of(Port::Store, "raise_floor").long(true);
                self.around(call, |_| self.inner.raise_floor(epoch)).await
            }

            async fn scrub(&self) -> Result<crate::store::Residue, crate::error::StoreError> {
                let call = Call::of(Port::Store, "scrub").long(true);
                self.around(call, |_| self.inner.scrub()).await
            }
        }
    };
    (@journal $type:ident) => {
        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: crate::journal::ErasureJournal> crate::journal::ErasureJournal for $type<P> {
            async fn id(&self) -> Result<crate::journal::JournalId, crate::error::JournalError> {
                let call = Call::of(Port::Journal, "id");
                self.around(call, |_| self.inner.id()).await
            }

            async fn head(&self) -> Result<crate::journal::Head, crate::error::JournalError> {
                let call = Call::of(Port::Journal, "head");
                self.around(call, |_| self.inner.head()).await
            }

            async fn append(
                &self,
                entry: &crate::journal::JournalEntry,
                expected: &crate::journal::Head,
            ) -> Result<crate::journal::Head, crate::error::JournalError> {
                let call = Call::of(Port::Journal, "append");
                self.around(call, |again| match again {
                    true => Box::pin(crate::layer::append_again(&self.inner, entry, expected)),
                    false => self.inner.append(entry, expected),
                })
                .await
            }

            async fn read(
                &self,
                from: u64,
                limit: usize,
            ) -> Result<Vec<crate::journal::JournalEntry>, crate::error::JournalError> {
                let call = Call::of(Port::Journal, "read");
                self.around(call, |_| self.inner.read(from, limit)).await
            }

            async fn read_of(
                &self,
                tenant: Option<&crate::id::TenantId>,
                tag: Option<&crate::keys::Tag>,
                up_to: &crate::journal::Head,
            ) -> Result<Vec<crate::journal::JournalEntry>, crate::error::JournalError> {
                let call = Call::of(Port::Journal, "read_of");
                self.around(call, |_| self.inner.read_of(tenant, tag, up_to)).await
            }
        }
    };
    (@rows $type:ident) => {
        #[async_trait::async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<P: crate::rows::RowSource> crate::rows::RowSource for $type<P> {
            /// No call: it is a name that the source has in memory.
            fn columns(&self) -> &[String] {
                self.inner.columns()
            }

            async fn page(&self, page: &crate::rows::Page) -> Result<Vec<crate::rows::Row>, crate::error::RowsError> {
                // One that leaves rows out reads them all where the column has no index.
                let call = Call::of(Port::Rows, "page").long(page.only.is_some());
                self.around(call, |_| self.inner.page(page)).await
            }

            async fn load(
                &self,
                keys: &[crate::rows::RowKey],
            ) -> Result<Vec<Option<crate::rows::Row>>, crate::error::RowsError> {
                let call = Call::of(Port::Rows, "load").items(keys.len());
                self.around(call, |_| self.inner.load(keys)).await
            }

            async fn swap(&self, swaps: &[crate::rows::Swap]) -> Result<Vec<bool>, crate::error::RowsError> {
                // What was swapped unseen would count as another's change.
                let call = Call::of(Port::Rows, "swap").items(swaps.len()).once();
                self.around(call, |_| self.inner.swap(swaps)).await
            }

            async fn count(&self) -> Result<u64, crate::error::RowsError> {
                let call = Call::of(Port::Rows, "count").long(true);
                self.around(call, |_| self.inner.count()).await
            }
        }
    };
}
pub(crate) use layered;
