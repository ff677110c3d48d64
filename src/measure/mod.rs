//! [`Measured`]: a port whose calls are counted and timed, and shown to `tracing` where that feature is on.
//!
//! Imports `layer`, and through it the ports without their adapters. What is measured is called what it is in the code: no
//! key, id, tenant or tag gets here.

mod histogram;
#[cfg_attr(not(feature = "tracing"), path = "no_span.rs")]
mod span;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;

pub use crate::layer::Port;
pub use histogram::Series;

use crate::clock::{Clock, SystemClock};
use crate::error::{PortError, PortErrorKind};
use crate::layer::{Attempt, Call, Layer};
use crate::store::Replica;
use histogram::Histogram;
use span::Span;

/// A master key provider, a key store, a journal or a source of rows whose calls are counted.
///
/// Around a [`Guarded`](crate::guard::Guarded) port it measures what a vault waits for, calls that the circuit refused
/// included; within one, each attempt that reaches the port. Both are worth having: give each its own [`Counters`].
///
/// With the feature `tracing` each call runs in a span `fieldseal.port` (level `debug`, target `fieldseal`) with the fields
/// `port`, `method` and `outcome`, and ends with an event that has these and `micros`: level `debug`, or `warn` where the
/// port was unavailable or throttled.
///
/// ```
/// use fieldseal::measure::{Counters, Measured};
/// use fieldseal::store::{KeyStore as _, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), fieldseal::store::StoreError> {
/// let counters = Counters::new();
/// let store = Measured::new(MemoryStore::new(), &counters);
/// store.load(&[]).await?;
///
/// let measured = counters.snapshot();
/// let loads = measured.first().expect("there was one call");
/// assert_eq!((loads.port.name(), loads.method, loads.outcome, loads.count()), ("store", "load", "ok", 1));
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// As that of the port. A call that is dropped is counted, with the outcome `dropped`.
#[derive(Debug)]
pub struct Measured<P> {
    inner: P,
    counters: Counters,
}

impl<P: Replica> Replica for Measured<P> {
    fn bound(&self) -> Duration {
        self.inner.bound()
    }
}

impl<P> Measured<P> {
    /// Counts in `counters`. Ports of several kinds can share them.
    pub fn new(inner: P, counters: &Counters) -> Self {
        Self { inner, counters: counters.clone() }
    }

    /// The port itself: calls made to it are not measured.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

/// Where calls are counted: for each port, method and outcome how many there were, and how long they took. Clones are one.
///
/// The outcomes are `ok`, `dropped` (whoever asked didn't wait for the answer), and the kinds of the port's errors, in lower
/// case: `unavailable`, `throttled`, `conflict`. All are names from this crate's code: at most some dozens of them.
#[derive(Clone)]
pub struct Counters(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    histograms: RwLock<BTreeMap<Key, Histogram>>,
}

/// Port, method, outcome.
type Key = (Port, &'static str, &'static str);

impl Counters {
    /// Counts from zero, and times by the system's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock::new())
    }

    /// Times by this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self(Arc::new(Shared { clock: Arc::new(clock), histograms: RwLock::default() }))
    }

    /// What was counted since the beginning, sorted by port, method and outcome; only what there was.
    pub fn snapshot(&self) -> Vec<Series> {
        let histograms = self.0.histograms.read().unwrap_or_else(PoisonError::into_inner);
        histograms.iter().map(|((port, method, outcome), h)| h.series(*port, method, outcome)).collect()
    }

    fn add(&self, key: Key, took: Duration) {
        if let Some(histogram) = self.0.histograms.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return histogram.add(took);
        }
        self.0.histograms.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().add(took);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.snapshot().iter().map(Series::count).sum();
        write!(f, "Counters({calls} calls)")
    }
}

impl<P: Sync> Layer for Measured<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        let mut running = Running::new(&self.counters, &call);
        let answer = running.span.around(work(Attempt::First)).await;
        let outcome = answer.as_ref().err().map(PortError::kind);
        running.outcome = outcome.map_or(OK, K::name);
        running.is_trouble = outcome == Some(K::UNAVAILABLE) || outcome == Some(K::THROTTLED);
        answer
    }
}

crate::layered! { Measured: provider store journal rows }

/// A call that is counted when it is dropped: when it is over, or when nobody waits for it any more.
struct Running<'a> {
    counters: &'a Counters,
    port: Port,
    method: &'static str,
    begin: Duration,
    outcome: &'static str,
    /// The port is down, or has too much to do: what an operator is to see.
    is_trouble: bool,
    span: Span,
}

impl<'a> Running<'a> {
    fn new(counters: &'a Counters, call: &Call<'_>) -> Self {
        let Call { port, method, .. } = *call;
        let begin = counters.0.clock.monotonic();
        let span = Span::new(port, method);
        Self { counters, port, method, begin, outcome: DROPPED, is_trouble: false, span }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let took = self.counters.0.clock.monotonic().saturating_sub(self.begin);
        self.counters.add((self.port, self.method, self.outcome), took);
        self.span.end((self.port, self.method, self.outcome), took, self.is_trouble);
    }
}

const OK: &str = "ok";
const DROPPED: &str = "dropped";
