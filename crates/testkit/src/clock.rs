//! [`ManualClock`]: a clock, and a timer, that a test sets; [`Clocked`]: a key store or a journal that tells the time by one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::{Clock, SystemClock, Timestamp};
use fieldseal::error::{JournalError, PortError, PortErrorKind, StoreError};
use fieldseal::id::TenantId;
use fieldseal::journal::{EntryAt, ErasureJournal, Head, JournalEntry, JournalId};
use fieldseal::store::{Epoch, Expected, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoredSlot, Tag};
use fieldseal::timer::Timer;

/// A clock that stands still until it is told, and a timer whose sleepers wake when it is. Clones show the same time.
///
/// Its monotonic and its wall time are independent, so that a test can set the wall clock back, or let a machine sleep.
///
/// ```
/// use std::time::Duration;
/// use fieldseal::clock::{Clock, Timestamp};
/// use fieldseal_testkit::clock::ManualClock;
///
/// let clock = ManualClock::new();
/// let before = clock.wall();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.wall(), before.plus(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Now>>);

#[derive(Debug)]
struct Now {
    monotonic: Duration,
    wall: Timestamp,
    /// Until when somebody sleeps, and whom to wake then.
    sleepers: Vec<(u64, Duration, Option<Waker>)>,
    last: u64,
}

impl ManualClock {
    /// A clock that shows 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        let wall = Timestamp::from_millis(1_767_225_600_000);
        Self(Arc::new(Mutex::new(Now { monotonic: Duration::ZERO, wall, sleepers: Vec::new(), last: 0 })))
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        self.change(|now| {
            now.monotonic += duration;
            now.wall = now.wall.plus(duration);
        });
    }

    /// Lets time pass on the monotonic clock alone, by which sleepers wake.
    pub fn advance_monotonic(&self, duration: Duration) {
        self.change(|now| now.monotonic += duration);
    }

    /// Sets the time of day, forth or back. The monotonic clock doesn't notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.now().wall = wall;
    }

    /// How long it is until the next sleeper wakes; none if nobody sleeps.
    pub fn next_sleeper(&self) -> Option<Duration> {
        let now = self.now();
        now.sleepers.iter().map(|(_, until, _)| until.saturating_sub(now.monotonic)).min()
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        let wakers: Vec<Waker> = {
            let mut now = self.now();
            change(&mut now);
            let monotonic = now.monotonic;
            now.sleepers.extract_if(.., |(_, until, _)| *until <= monotonic).filter_map(|(.., waker)| waker).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.now().monotonic
    }

    fn wall(&self) -> Timestamp {
        self.now().wall
    }
}

impl Timer for ManualClock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let mut now = self.now();
        now.last += 1;
        let sleeper = Sleeper { clock: self.clone(), number: now.last };
        if !duration.is_zero() {
            let until = now.monotonic.saturating_add(duration);
            now.sleepers.push((sleeper.number, until, None));
        }
        drop(now);
        Box::pin(poll_fn(move |context| sleeper.poll(context.waker())))
    }
}

struct Sleeper {
    clock: ManualClock,
    number: u64,
}

impl Sleeper {
    fn poll(&self, waker: &Waker) -> Poll<()> {
        match self.clock.now().sleepers.iter_mut().find(|(number, ..)| *number == self.number) {
            Some((.., place)) => {
                *place = Some(waker.clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.clock.now().sleepers.retain(|(number, ..)| *number != self.number);
    }
}

/// A key store or a journal that tells the time by a clock that a test sets, or has none: whatever it says by itself.
#[derive(Clone, Debug)]
pub struct Clocked<P> {
    inner: P,
    clock: Option<ManualClock>,
}

impl<P> Clocked<P> {
    /// Tells what this clock shows.
    pub fn new(inner: P, clock: Option<ManualClock>) -> Self {
        Self { inner, clock }
    }

    fn told(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(Clock::wall)
    }
}

#[async_trait]
impl<P: KeyStore> KeyStore for Clocked<P> {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.inner.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.inner.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.inner.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.inner.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.inner.scrub().await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.told())
    }
}

#[async_trait]
impl<P: ErasureJournal> ErasureJournal for Clocked<P> {
    async fn id(&self) -> Result<JournalId, JournalError> {
        self.inner.id().await
    }

    async fn head(&self) -> Result<Head, JournalError> {
        self.inner.head().await
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        self.inner.append(entry, expected).await
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.inner.read(from, limit).await
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        self.inner.read_of(tenant, tag, up_to).await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, JournalError> {
        Ok(self.told())
    }
}

/// Holds that a port's clock, if it has one, is as right as this machine's.
pub(crate) async fn assert_within_bound<K: PortErrorKind>(
    ask: impl Future<Output = Result<Option<Timestamp>, PortError<K>>> + Send,
) {
    let clock = SystemClock::new();
    let before = clock.wall();
    let told = ask.await.expect("clock");
    let (earliest, latest) = (before.as_millis().saturating_sub(BOUND_MILLIS), clock.wall().as_millis() + BOUND_MILLIS);
    if let Some(at) = told {
        assert!((earliest..=latest).contains(&at.as_millis()), "it tells {at}, and this machine {before}");
    }
}

/// How far clocks may be apart for a vault that is told nothing else.
const BOUND_MILLIS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn the_clocks_are_independent_and_shared_by_clones() {
        let clock = ManualClock::new();
        let other = clock.clone();
        assert_eq!(clock.wall().to_string(), "2026-01-01T00:00:00.000Z");
        clock.advance(Duration::from_secs(2));
        clock.set_wall(Timestamp::from_millis(5));
        clock.advance_monotonic(Duration::from_secs(1));
        assert_eq!((other.monotonic(), other.wall()), (Duration::from_secs(3), Timestamp::from_millis(5)));
    }

    #[tokio::test]
    async fn sleepers_wake_when_they_are_told() {
        let clock = ManualClock::new();
        let second = Duration::from_secs(1);
        let (mut short, long) = (clock.sleep(second), clock.sleep(2 * second));
        assert!((&mut short).now_or_never().is_none());
        assert_eq!(clock.next_sleeper(), Some(second));
        clock.advance_monotonic(second);
        assert!(short.now_or_never().is_some());
        assert_eq!(clock.next_sleeper(), Some(second));
        drop(long);
        assert_eq!(clock.next_sleeper(), None);
        clock.sleep(Duration::ZERO).await;
    }
}
