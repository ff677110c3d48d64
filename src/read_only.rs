//! [`ReadOnly`]: a port that an examination reads through, and writes nothing to.
//!
//! Imports `layer`, and what that names.

use futures_util::future::BoxFuture;

use crate::error::{PortError, PortErrorKind};
use crate::layer::{Attempt, Call, Layer};

/// A port of which only the calls are made that read. Any other answers that access is denied, and is not made.
#[derive(Debug)]
pub(crate) struct ReadOnly<P> {
    inner: P,
}

impl<P> ReadOnly<P> {
    pub(crate) fn new(inner: P) -> Self {
        Self { inner }
    }
}

impl<P: Sync> Layer for ReadOnly<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        // By the names of those that read: a method that a port gets later is denied until somebody has looked at it.
        if READS.contains(&call.method) {
            return work(Attempt::First).await;
        }
        Err(PortError::new(K::DENIED).with_hint("it is only looked at: nothing is written"))
    }
}

crate::layered! { ReadOnly: provider store journal }

/// Of a provider, a key store and a journal. To wrap a key changes nothing at a provider.
const READS: &[&str] =
    &["current", "wrap_key", "unwrap_key", "destruction", "load", "scan", "id", "head", "read", "read_of", "clock"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Timestamp;
    use crate::error::{JournalErrorKind, ProviderErrorKind, StoreErrorKind};
    use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent, MemoryJournal};
    use crate::provider::{LocalKeyring, MasterKeyProvider};
    use crate::store::{Epoch, Filter, KeyStore, MemoryStore, Scan};

    #[tokio::test]
    async fn what_reads_goes_through_and_what_writes_is_denied() {
        let store = ReadOnly::new(Arc::new(MemoryStore::new()));
        assert!(store.scan(&Scan::new(Filter::All)).await.unwrap().slots.is_empty());
        assert!(store.load(&[]).await.unwrap().is_empty() && store.clock().await.is_ok());
        let denied = [store.raise_floor(Epoch::FIRST).await.err(), store.scrub().await.err()];
        assert!(denied.into_iter().all(|e| e.unwrap().kind() == StoreErrorKind::Denied));

        let inner = Arc::new(MemoryJournal::new().unwrap());
        let journal = ReadOnly::new(inner.clone());
        let entry = JournalEntry::store_wide(Timestamp::from_millis(1), JournalEvent::RetentionResumed);
        let denied = journal.append(&entry, &Head::EMPTY).await.err();
        assert_eq!(denied.map(|e| e.kind()), Some(JournalErrorKind::Denied));
        assert_eq!(journal.head().await.unwrap(), Head::EMPTY);
        inner.append(&entry, &Head::EMPTY).await.unwrap();
        assert_eq!((journal.read(0, 9).await.unwrap().len(), journal.head().await.unwrap().position()), (1, 1));

        let provider = ReadOnly::new(LocalKeyring::ephemeral().unwrap());
        let denied = provider.destroy_key(&provider.current().await.unwrap()).await.err();
        assert_eq!(denied.map(|e| e.kind()), Some(ProviderErrorKind::Denied));
    }
}
