//! [`Tapped`]: a port that asks a [`Tap`] what to do before and after each call; so tests make calls overlap, fail, stand
//! still, or end their process wherever they like.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_util::future::BoxFuture;

use super::slot::{GOLDEN, mix};
use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer};
use fieldseal::store::SlotId;

pub use fieldseal::layer::Port;

/// A key store, a master key provider, a journal or a source of rows whose every call passes a [`Tap`] twice: before it
/// does its work, and after.
///
/// ```
/// use fieldseal::store::{KeyStore as _, MemoryStore};
/// use fieldseal_testkit::faults::{Act, Tap, Tapped};
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

    /// # Errors
    /// If the call is to fail.
    async fn pass<K: PortErrorKind>(&self, point: CallPoint<'_>) -> Result<(), PortError<K>> {
        let decide = self.lock().clone();
        match decide(&point) {
            Act::Go => {}
            Act::Fail => return Err(PortError::new(K::UNAVAILABLE).with_source(SWITCHED_OFF)),
            Act::Throttle => return Err(PortError::new(K::THROTTLED).with_source(SWITCHED_OFF)),
            Act::Yield(turns) => {
                for _ in 0..turns {
                    turn().await;
                }
            }
            Act::Park(gate) => gate.pass().await,
        }
        Ok(())
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
    /// The same with the kind `Throttled`.
    Throttle,
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

impl<P: Sync> Layer for Tapped<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        let number = self.tap.begin();
        let Call { port, method, slot, .. } = call;
        let at = |moment| CallPoint { port, method, number, moment, slot };
        self.tap.pass(at(Moment::Before)).await?;
        let answer = work(Attempt::First).await;
        self.tap.pass(at(Moment::After)).await?;
        answer
    }
}

fieldseal::layered! { Tapped: provider store journal rows }
