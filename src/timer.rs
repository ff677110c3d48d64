//! Waiting for time to pass, passed in: [`Timer`], and one with a thread, which needs no runtime. Imports `clock`.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use auto_impl::auto_impl;

use crate::clock::{Clock as _, SystemClock};

/// Waits. The library chooses no runtime, and so no runtime's timer; where none is passed in, a thread of its own waits.
///
/// With tokio's:
///
/// ```
/// use std::{pin::Pin, time::Duration};
///
/// #[derive(Debug)]
/// struct Tokio;
///
/// impl fieldseal::timer::Timer for Tokio {
///     fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
///         Box::pin(tokio::time::sleep(duration))
///     }
/// }
/// ```
#[auto_impl(Arc, Box)]
pub trait Timer: fmt::Debug + Send + Sync + 'static {
    /// Is ready once so much time has passed since this call. Dropped, it waits no more.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// A timer with a thread of its own, which is started by the first that sleeps, and sleeps itself until the next one is
/// due. It ends when nobody has slept for a while, or with the last clone of the timer.
///
/// Where the system gives no thread, nothing can be waited for: a sleep is over at once.
#[derive(Clone)]
pub(crate) struct ThreadTimer {
    sleepers: Arc<Sleepers>,
    /// Dropped with the last clone.
    _handle: Arc<Handle>,
}

struct Sleepers {
    clock: SystemClock,
    idle: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By when they are due, and then by number. None was polled yet where there is no waker.
    due: BTreeMap<Due, Option<Waker>>,
    last: u64,
    is_running: bool,
    is_closed: bool,
}

type Due = (Duration, u64);

/// After so long without a sleeper the thread ends.
const IDLE: Duration = Duration::from_secs(10);

impl ThreadTimer {
    /// No thread yet.
    pub(crate) fn new() -> Self {
        Self::ending_after(IDLE)
    }

    fn ending_after(idle: Duration) -> Self {
        let sleepers =
            Arc::new(Sleepers { clock: SystemClock::new(), idle, state: Mutex::default(), changed: Condvar::new() });
        Self { _handle: Arc::new(Handle(sleepers.clone())), sleepers }
    }
}

impl fmt::Debug for ThreadTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadTimer({} asleep)", self.sleepers.lock().due.len())
    }
}

impl Timer for ThreadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let sleeper = Sleepers::add(&self.sleepers, duration);
        Box::pin(poll_fn(move |context| sleeper.poll(context.waker())))
    }
}

impl Sleepers {
    fn add(self: &Arc<Self>, duration: Duration) -> Sleeper {
        let mut state = self.lock();
        state.last += 1;
        let due = (self.clock.monotonic().saturating_add(duration), state.last);
        state.due.insert(due, None);
        if !state.is_running {
            let sleepers = self.clone();
            let started = thread::Builder::new().name("fieldseal timer".into()).spawn(move || sleepers.run());
            match started {
                Ok(_) => state.is_running = true,
                Err(_) => drop(state.due.remove(&due)),
            }
        } else if state.due.first_key_value().is_some_and(|(first, _)| *first == due) {
            self.changed.notify_one();
        }
        drop(state);
        Sleeper { sleepers: self.clone(), due }
    }

    /// The thread: wakes who is due, waits for the next, ends.
    fn run(&self) {
        let mut state = self.lock();
        loop {
            let now = self.clock.monotonic();
            match state.due.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let waker = first.remove();
                    drop(state);
                    // Whoever panics as it is woken takes nobody's timer along.
                    let _ = catch_unwind(AssertUnwindSafe(|| waker.map(Waker::wake)));
                    state = self.lock();
                }
                Some(first) => {
                    let wait = first.key().0.saturating_sub(now);
                    state = self.wait(state, wait);
                }
                None => {
                    if !state.is_closed {
                        state = self.wait(state, self.idle);
                    }
                    if state.due.is_empty() {
                        state.is_running = false;
                        return;
                    }
                }
            }
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, duration: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, duration).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that sleeps.
struct Sleeper {
    sleepers: Arc<Sleepers>,
    due: Due,
}

impl Sleeper {
    /// It is over when it isn't among the sleepers any more.
    fn poll(&self, waker: &Waker) -> Poll<()> {
        let waker = Some(waker.clone());
        // A waker may be anybody's, and is dropped outside the lock.
        let replaced = self.sleepers.lock().due.get_mut(&self.due).map(|place| std::mem::replace(place, waker));
        if replaced.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let waker = self.sleepers.lock().due.remove(&self.due);
        drop(waker); // outside the lock, too
    }
}

/// Ends the thread when nobody sleeps any more.
struct Handle(Arc<Sleepers>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::select;
    use std::task::Context;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(5);

    /// Until the thread has ended; for ever if it doesn't.
    fn ended(sleepers: &Sleepers) {
        while sleepers.lock().is_running {
            thread::yield_now();
        }
    }

    /// A waker that does this.
    struct Does<F>(F);

    impl<F: Fn() + Send + Sync + 'static> std::task::Wake for Does<F> {
        fn wake(self: Arc<Self>) {
            (self.0)();
        }
    }

    fn poll_with(sleep: &mut Pin<Box<dyn Future<Output = ()> + Send>>, wake: impl Fn() + Send + Sync + 'static) {
        let waker = Waker::from(Arc::new(Does(wake)));
        let _ = sleep.as_mut().poll(&mut Context::from_waker(&waker));
    }

    #[tokio::test]
    async fn sleepers_wake_in_the_order_in_which_they_are_due() {
        let timer = ThreadTimer::new();
        let now = || timer.sleepers.clock.monotonic();
        // Once more if the machine was busy elsewhere: one may be due before it was polled, or before the next one began.
        let (woken, _sleeps) = loop {
            let begun = now();
            let woken = Arc::new(Mutex::new(Vec::new()));
            let mut sleeps = [300, 100, 200].map(|millis| timer.sleep(Duration::from_millis(millis)));
            for (sleep, place) in sleeps.iter_mut().zip(["last", "first", "second"]) {
                let woken = woken.clone();
                poll_with(sleep, move || woken.lock().unwrap().push(place));
            }
            if now().saturating_sub(begun) < Duration::from_millis(100) {
                break (woken, sleeps);
            }
        };
        while woken.lock().unwrap().len() < 3 {
            timer.sleep(SHORT).await;
        }
        assert_eq!(*woken.lock().unwrap(), ["first", "second", "last"]);
        assert_eq!(format!("{timer:?}"), "ThreadTimer(0 asleep)");
    }

    #[tokio::test]
    async fn one_that_sleeps_long_keeps_nobody_from_waking() {
        let timer = ThreadTimer::new();
        let long = timer.sleep(LONG);
        let (_, long) = select(timer.sleep(SHORT), long).await.factor_first();
        assert_eq!(format!("{timer:?}"), "ThreadTimer(1 asleep)");
        drop(long);
        assert_eq!(format!("{timer:?}"), "ThreadTimer(0 asleep)");
    }

    #[tokio::test]
    async fn a_sleep_counts_from_the_call_and_not_from_the_first_poll() {
        let timer = ThreadTimer::new();
        let first = timer.sleep(SHORT);
        timer.sleep(SHORT * 2).await;
        assert!(first.now_or_never().is_some());
    }

    #[tokio::test]
    async fn the_thread_ends_when_nobody_sleeps_and_comes_back() {
        let timer = ThreadTimer::ending_after(SHORT);
        for _ in 0..2 {
            timer.sleep(SHORT).await;
            ended(&timer.sleepers);
        }
    }

    #[tokio::test]
    async fn the_thread_ends_with_the_last_clone_and_sleeper() {
        let timer = ThreadTimer::ending_after(LONG);
        let (clone, sleepers) = (timer.clone(), timer.sleepers.clone());
        drop(timer);
        let last = clone.sleep(SHORT);
        drop(clone);
        last.await;
        ended(&sleepers);
    }

    #[tokio::test]
    async fn a_waker_that_panics_stops_nobody_else() {
        let timer = ThreadTimer::new();
        let mut bad = timer.sleep(SHORT);
        poll_with(&mut bad, || panic!("on purpose"));
        timer.sleep(SHORT * 2).await;
    }
}
