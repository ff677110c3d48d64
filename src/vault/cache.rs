//! [`KeyCache`]: subject keys by tag, bounded, wiped on removal; and [`Flight`]: concurrent loads of one thing are one.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use crate::caught::caught;
use crate::clock::{Clock, Stamp, Timestamp};
use crate::error::{Error, Result};
use crate::keys::Tag;
use crate::subject::SubjectKeys;

/// Bounds of the cache of subject keys.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct CacheLimits {
    subjects: usize,
}

impl CacheLimits {
    /// 10 000 subjects, about 5 MB.
    pub fn new() -> Self {
        Self { subjects: 10_000 }
    }

    /// At most so many subjects; at least 1. One with one key takes less than 512 bytes.
    pub fn subjects(mut self, subjects: usize) -> Self {
        self.subjects = subjects.max(1);
        self
    }
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// What a vault's cache of subject keys did since the vault was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Subjects whose keys it holds now.
    pub subjects: usize,
    /// Subjects that were answered from it.
    pub hits: u64,
    /// Subjects whose slot was read from the store.
    pub loads: u64,
    /// Data keys that were unwrapped.
    pub unwraps: u64,
}

/// What a read found of a subject.
#[derive(Clone, Debug)]
pub(super) enum SubjectLookup {
    Keys(SubjectKeys),
    Unknown,
    Erased {
        at: Timestamp,
    },
    /// Its keys are there, and can't be used.
    Closed {
        due: Timestamp,
    },
    /// Its slot does not verify; the others of the page are not concerned. (What a store itself refuses to hand out fails
    /// the whole read.)
    Failed(Error),
}

impl SubjectLookup {
    pub(super) fn into_keys(self) -> Result<SubjectKeys> {
        match self {
            Self::Keys(keys) => Ok(keys),
            Self::Unknown => Err(Error::SubjectUnknown),
            Self::Erased { at } => Err(Error::SubjectErased { at }),
            Self::Closed { due } => Err(Error::SubjectClosed { due }),
            Self::Failed(e) => Err(e),
        }
    }
}

pub(super) struct KeyCache {
    /// By tag: tags are derived from a root of their tenant's own, so those of two tenants don't meet.
    held: quick_cache::sync::Cache<Tag, SubjectKeys>,
    pub(super) flights: Flights,
    last_eviction: Mutex<Option<Stamp>>,
    /// Held while an entry is compared and replaced.
    turn: Mutex<()>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    loads: AtomicU64,
    unwraps: AtomicU64,
}

impl KeyCache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        Self {
            held: quick_cache::sync::Cache::new(limits.subjects),
            flights: Flights::default(),
            last_eviction: Mutex::new(None),
            turn: Mutex::new(()),
            counts: Counts::default(),
        }
    }

    /// Keys that are not past their age; ones that are go now.
    pub(super) fn get(&self, tag: &Tag) -> Option<SubjectKeys> {
        let keys = self.held.get(tag)?;
        if keys.expired() {
            self.held.remove_if(tag, |held| held.are(&keys));
            return None;
        }
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        Some(keys)
    }

    /// Keeps what a read found; unless a later read was faster.
    pub(super) fn put(&self, tag: Tag, keys: SubjectKeys) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.held.peek(&tag).is_none_or(|held| !keys.are_older_than(held.loaded())) {
            self.held.insert(tag, keys);
        }
    }

    /// Removes, and unless a caller still holds them wipes, the keys of a subject of which a read at `loaded` found none.
    pub(super) fn remove(&self, tag: &Tag, loaded: &Stamp) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.remove_if(tag, |held| held.are_older_than(loaded));
    }

    /// Removes the keys of a subject, whenever they were read.
    pub(super) fn forget(&self, tag: &Tag) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.remove(tag);
    }

    /// Removes every key.
    pub(super) fn clear(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.held.clear();
    }

    /// Wipes what is past its age, four times in each `max_age` at most: what nobody asks for again goes too. True if it did.
    pub(super) fn evict_expired(&self, clock: &dyn Clock, max_age: Duration) -> bool {
        let mut last = self.last_eviction.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_some_and(|at| at.elapsed(clock) < max_age / 4) {
            return false;
        }
        *last = Some(Stamp::now(clock));
        drop(last);
        self.held.retain(|_, keys| !keys.expired());
        true
    }

    pub(super) fn count_load(&self, subjects: usize, unwraps: usize) {
        self.counts.loads.fetch_add(subjects as u64, Ordering::Relaxed);
        self.counts.unwraps.fetch_add(unwraps as u64, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> CacheStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            subjects: self.held.len(),
            hits: read(&self.counts.hits),
            loads: read(&self.counts.loads),
            unwraps: read(&self.counts.unwraps),
        }
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache(..)")
    }
}

/// One load that all who want the same thing wait for. It runs while anybody waits: whoever is polled drives it, so that
/// dropping one waiter, the first included, stops nothing for the others.
pub(super) struct Flight<T: Clone + Send + Sync + 'static>(Mutex<Option<WeakLoad<T>>>);

pub(super) type Load<T> = Shared<BoxFuture<'static, Result<T>>>;
pub(super) type WeakLoad<T> = WeakShared<BoxFuture<'static, Result<T>>>;

/// Work that several wait for. A panic ends it with an error for each of them, and whoever comes next begins anew.
pub(super) fn shared<T: Clone + Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Load<T> {
    caught(work).boxed().shared()
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    pub(super) async fn join(&self, start: impl FnOnce() -> BoxFuture<'static, Result<T>>) -> Result<T> {
        let load = {
            let mut flight = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match running(flight.as_ref()) {
                Some(load) => load,
                None => {
                    let load = shared(start());
                    *flight = load.downgrade();
                    load
                }
            }
        };
        load.await
    }

    /// Whoever comes from now on shares no load that is under way.
    pub(super) fn leave(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<T: Clone + Send + Sync + 'static> Default for Flight<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// A load that somebody waits for and that has no answer yet.
fn running<T: Clone>(flight: Option<&WeakLoad<T>>) -> Option<Load<T>> {
    flight?.upgrade().filter(|load| load.peek().is_none())
}

/// What a batch of subjects came to.
pub(super) type Batch = Arc<HashMap<Tag, SubjectLookup>>;

/// The loads of subjects that are under way: a batch a store read. A page joins the batches that already fetch some of
/// its subjects, and starts one for the rest.
#[derive(Clone, Default)]
pub(super) struct Flights(Arc<Mutex<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    next: u64,
    by_tag: HashMap<Tag, (u64, WeakLoad<Batch>)>,
}

impl Flights {
    /// The loads that together bring every tag of `wanted`; `start` begins one for those that no load is under way for.
    pub(super) fn join<S>(
        &self,
        wanted: HashMap<Tag, S>,
        start: impl FnOnce(HashMap<Tag, S>) -> BoxFuture<'static, Result<Batch>>,
    ) -> Vec<Load<Batch>> {
        let mut under_way = self.lock();
        let (mut loads, mut joined, mut own) = (Vec::new(), Vec::new(), HashMap::new());
        for (tag, subject) in wanted {
            let running = under_way.by_tag.get(&tag).and_then(|(n, load)| Some((*n, running(Some(load))?)));
            match running {
                Some((n, _)) if joined.contains(&n) => {}
                Some((n, load)) => {
                    joined.push(n);
                    loads.push(load);
                }
                None => drop(own.insert(tag, subject)),
            }
        }
        if own.is_empty() {
            return loads;
        }
        let number = under_way.next;
        under_way.next += 1;
        let tags: Vec<Tag> = own.keys().copied().collect();
        let landing = Landing { flights: self.clone(), number, tags: tags.clone() };
        let load = start(own);
        let load = shared(async move {
            let _landing = landing;
            load.await
        });
        if let Some(weak) = load.downgrade() {
            under_way.by_tag.extend(tags.into_iter().map(|tag| (tag, (number, weak.clone()))));
        }
        loads.push(load);
        loads
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a load off the list when it is done, or when everybody who waited for it is gone.
struct Landing {
    flights: Flights,
    number: u64,
    tags: Vec<Tag>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut under_way = self.flights.lock();
        for tag in &self.tags {
            if under_way.by_tag.get(tag).is_some_and(|(number, _)| *number == self.number) {
                under_way.by_tag.remove(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use futures_util::future::join;

    use super::*;

    /// Nothing of a port: those are caught before.
    #[tokio::test]
    async fn a_panic_ends_everybodys_wait_and_the_next_load_begins_anew() {
        async fn panics() -> Result<u8> {
            tokio::task::yield_now().await;
            panic!("on purpose")
        }
        let flight = Flight::default();
        let both = join(flight.join(|| panics().boxed()), flight.join(|| Box::pin(async { Ok(1) })));
        let both = AssertUnwindSafe(both).catch_unwind().await;
        assert!(matches!(both, Ok((Err(Error::Bug(_)), Err(Error::Bug(_))))), "both wait for the one that panics");
        assert!(matches!(flight.join(|| Box::pin(async { Ok(2) })).await, Ok(2)));
    }

    #[tokio::test]
    async fn a_batch_that_panics_is_under_way_no_more() {
        let flights = Flights::default();
        let tag = Tag::from_bytes([1; 16]);
        let join = |panics: bool| {
            let mut loads = flights.join(HashMap::from([(tag, ())]), |_| {
                Box::pin(async move {
                    assert!(!panics, "on purpose");
                    Ok(Batch::default())
                })
            });
            loads.remove(0)
        };
        assert!(matches!(join(true).await, Err(Error::Bug(_))));
        assert!(flights.lock().by_tag.is_empty());
        assert!(join(false).await.is_ok());
    }
}
