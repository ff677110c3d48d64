//! [`Tapped`]: a port that asks a [`Tap`] what to do before and after each call; so tests make calls overlap, fail, stand
//! still, or end their process wherever they like.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;

use super::slot::{GOLDEN, mix};
use crate::error::{JournalError, ProviderError, RowsError, StoreError};
use crate::id::TenantId;
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalId};
use crate::keys::{Epoch, KeyMaterial, MasterKeyId, SlotId, StoredSlot, Tag, WrapContext, WrappedKey};
use crate::provider::{Destruction, MasterKeyProvider};
use crate::rows::{Page, Row, RowKey, RowSource, Swap};
use crate::store::{Expected, KeyStore, Residue, Scan, ScanPage};

/// A key store, a master key provider, a journal or a source of rows whose every call passes a [`Tap`] twice: before it
/// does its work, and after.
///
/// ```
/// use fieldseal::store::{KeyStore as _, MemoryStore};
/// use fieldseal::testing::faults::{Act, Tap, Tapped};
///
/// # async fn example() {
/// // The first call does its work, and then says that it may not have: nobody knows whether it landed.
/// let tap = Tap::new(|call| if call.number == 0 && call.is_over() { Act::Fail } else { Act::Go });
/// let store = Tapped::new(MemoryStore::new(), &tap);
/// assert!(store.load(&[]).await.is_err());
/// assert!(store.load(&[]).await.is_ok());
/// # }
/// ```
#[derive(Debug)]
pub struct Tapped<P> {
    inner: P,
    tap: Tap,
}

impl<P> Tapped<P> {
    /// Asks `tap`. Ports that are to be numbered in one row share one.
    pub fn new(inner: P, tap: &Tap) -> Self {
        Self { inner, tap: tap.clone() }
    }

    /// The port itself: calls made to it pass no tap.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

/// What decides at each [`CallPoint`]. Clones are one: a test keeps one, to change its mind.
#[derive(Clone)]
pub struct Tap(Arc<Shared>);

struct Shared {
    calls: AtomicU64,
    decide: Mutex<Arc<Decide>>,
}

type Decide = dyn Fn(&CallPoint<'_>) -> Act + Send + Sync;

impl Tap {
    /// Asks `decide`, on the thread of whoever calls the port. A test that stops its process at a call does it there.
    pub fn new(decide: impl Fn(&CallPoint<'_>) -> Act + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { calls: AtomicU64::new(0), decide: Mutex::new(Arc::new(decide)) }))
    }

    /// Lets every call pass.
    pub fn open() -> Self {
        Self::new(|_| Act::Go)
    }

    /// Gives the executor a turn before and after the work of each call: a future that is polled `k` times has come to the
    /// `k`-th such point, so that it can be dropped at each.
    pub fn yielding() -> Self {
        Self::new(|_| Act::Yield(1))
    }

    /// Gives the executor 0 to `most` turns before and after the work of each call. How many is drawn from `seed`, so that
    /// futures of one task overlap in the same way when they are run again; those of several threads roughly so.
    pub fn random(seed: u64, most: u32) -> Self {
        let state = AtomicU64::new(seed);
        Self::new(move |_| {
            let drawn = mix(state.fetch_add(GOLDEN, Ordering::SeqCst));
            Act::Yield(u32::try_from(drawn % (u64::from(most) + 1)).unwrap_or(most))
        })
    }

    /// Decides anew from now on, and numbers calls from 0 again.
    pub fn set(&self, decide: impl Fn(&CallPoint<'_>) -> Act + Send + Sync + 'static) {
        *self.lock() = Arc::new(decide);
        self.0.calls.store(0, Ordering::SeqCst);
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    fn begin(&self) -> u64 {
        self.0.calls.fetch_add(1, Ordering::SeqCst)
    }

    /// True if the call is to fail.
    async fn pass(&self, point: CallPoint<'_>) -> bool {
        let decide = self.lock().clone();
        match decide(&point) {
            Act::Go => return false,
            Act::Fail => return true,
            Act::Yield(turns) => {
                for _ in 0..turns {
                    turn().await;
                }
            }
            Act::Park(gate) => gate.pass().await,
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Decide>> {
        self.0.decide.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tap({} calls)", self.calls())
    }
}

/// A moment of a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CallPoint<'a> {
    /// What is called.
    pub port: Port,
    /// Its method, as the trait names it.
    pub method: &'static str,
    /// Which call it is, counted from 0 over every port that shares the tap; the same before and after the work.
    pub number: u64,
    /// Before or after the work.
    pub moment: Moment,
    /// The slot that is put; none for other calls.
    pub slot: Option<&'a SlotId>,
}

impl CallPoint<'_> {
    /// Whether the work is done.
    pub fn is_over(&self) -> bool {
        self.moment == Moment::After
    }

    /// Whether a subject's slot is put.
    pub fn puts_a_subject(&self) -> bool {
        matches!(self.slot, Some(SlotId::Subject(..)))
    }
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a vault has three, bulk work a fourth")]
pub enum Port {
    /// A [`MasterKeyProvider`].
    Provider,
    /// A [`KeyStore`].
    Store,
    /// An [`ErasureJournal`].
    Journal,
    /// A [`RowSource`].
    Rows,
}

/// On which side of its work a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Moment {
    /// Nothing was done.
    Before,
    /// It is done; the caller does not know yet.
    After,
}

/// What becomes of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Act {
    /// It goes on.
    Go,
    /// It goes on after the executor was given so many turns.
    Yield(u32),
    /// It fails with the kind `Unavailable`: before its work, so that nothing is done, or after, so that it was done.
    Fail,
    /// It goes on once the gate is open.
    Park(Gate),
}

/// Where calls stand until they are let go. Clones are one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    is_open: bool,
    has_been_reached: bool,
    wakers: Vec<Waker>,
}

impl Gate {
    /// A closed one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets go whoever stands before it, and whoever comes.
    pub fn open(&self) {
        self.change(|state| state.is_open = true);
    }

    /// Returns once a call has come to it.
    pub async fn reached(&self) {
        self.until(|state| state.has_been_reached).await;
    }

    async fn pass(&self) {
        self.change(|state| state.has_been_reached = true);
        self.until(|state| state.is_open).await;
    }

    fn change(&self, change: impl FnOnce(&mut GateState)) {
        let wakers = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn until(&self, holds: fn(&GateState) -> bool) {
        poll_fn(|context| {
            let mut state = self.lock();
            if holds(&state) {
                return Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls a future `polls` times at most, then drops it. True if it was ready by then.
pub async fn drop_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await {
            return true;
        }
    }
    false
}

/// Pending once, whatever the runtime.
async fn turn() {
    let mut had = false;
    poll_fn(|context| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

const SWITCHED_OFF: &str = "a tap let the call fail";

/// A call between its two points.
macro_rules! tapped {
    ($self:ident, $port:ident, $error:ident, $method:literal, $slot:expr, $call:expr) => {{
        let number = $self.tap.begin();
        let at = |moment| CallPoint { port: Port::$port, method: $method, number, moment, slot: $slot };
        if $self.tap.pass(at(Moment::Before)).await {
            return Err($error::unavailable(SWITCHED_OFF));
        }
        let answer = $call.await;
        if $self.tap.pass(at(Moment::After)).await {
            return Err($error::unavailable(SWITCHED_OFF));
        }
        answer
    }};
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: KeyStore> KeyStore for Tapped<S> {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Option<StoredSlot>>, StoreError> {
        tapped!(self, Store, StoreError, "load", None, self.inner.load(ids))
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        tapped!(self, Store, StoreError, "put", Some(slot.id()), self.inner.put(slot, expected))
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        tapped!(self, Store, StoreError, "scan", None, self.inner.scan(scan))
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        tapped!(self, Store, StoreError, "raise_floor", None, self.inner.raise_floor(epoch))
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        tapped!(self, Store, StoreError, "scrub", None, self.inner.scrub())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<P: MasterKeyProvider> MasterKeyProvider for Tapped<P> {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        tapped!(self, Provider, ProviderError, "current", None, self.inner.current())
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> Result<WrappedKey, ProviderError> {
        tapped!(self, Provider, ProviderError, "wrap_key", None, self.inner.wrap_key(key, context))
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        tapped!(self, Provider, ProviderError, "unwrap_key", None, self.inner.unwrap_key(wrapped, context))
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> Result<Destruction, ProviderError> {
        tapped!(self, Provider, ProviderError, "destroy_key", None, self.inner.destroy_key(id))
    }

    async fn destruction(&self, id: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        tapped!(self, Provider, ProviderError, "destruction", None, self.inner.destruction(id))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<J: ErasureJournal> ErasureJournal for Tapped<J> {
    async fn id(&self) -> Result<JournalId, JournalError> {
        tapped!(self, Journal, JournalError, "id", None, self.inner.id())
    }

    async fn head(&self) -> Result<Head, JournalError> {
        tapped!(self, Journal, JournalError, "head", None, self.inner.head())
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        tapped!(self, Journal, JournalError, "append", None, self.inner.append(entry, expected))
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        tapped!(self, Journal, JournalError, "read", None, self.inner.read(from, limit))
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<JournalEntry>, JournalError> {
        tapped!(self, Journal, JournalError, "read_of", None, self.inner.read_of(tenant, tag, up_to))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: RowSource> RowSource for Tapped<S> {
    /// No call: it is a name that the source has in memory.
    fn columns(&self) -> &[String] {
        self.inner.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        tapped!(self, Rows, RowsError, "page", None, self.inner.page(page))
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        tapped!(self, Rows, RowsError, "load", None, self.inner.load(keys))
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        tapped!(self, Rows, RowsError, "swap", None, self.inner.swap(swaps))
    }

    async fn count(&self) -> Result<u64, RowsError> {
        tapped!(self, Rows, RowsError, "count", None, self.inner.count())
    }
}
