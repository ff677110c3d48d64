//! [`Queue`]: calls of one pool, driven by whoever waits for any of them.
//!
//! A call that was polled and then abandoned would keep the connection that it has, and SQLite has one writer at a time; so it is
//! finished by whoever calls next. Writes come one after the other: to wait here is fair and free, to wait for a busy database is
//! neither.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use fieldseal::error::{PortError, PortErrorKind};
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, Either, Shared, WeakShared, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use sqlx::SqlitePool;

/// Clones are one.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<State>>);

struct State {
    writes: Lane,
    reads: Lane,
    /// Carries out what waits. It is there as long as anybody waits for any of it.
    driver: Option<WeakShared<Job>>,
    /// Has it look again for what waits.
    waker: Option<Waker>,
}

type Job = BoxFuture<'static, ()>;

struct Lane {
    waiting: VecDeque<Job>,
    running: usize,
    /// How many run at a time.
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Queue {
    /// As many reads at a time as the pool has connections.
    pub(super) fn of(pool: &SqlitePool) -> Self {
        Self::new(usize::try_from(pool.options().get_max_connections()).unwrap_or(1))
    }

    fn new(reads: usize) -> Self {
        let lane = |width| Lane { waiting: VecDeque::new(), running: 0, width };
        let state = State { writes: lane(1), reads: lane(reads.max(1)), driver: None, waker: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Carries a call out when it is its turn.
    ///
    /// # Errors
    /// Those of the call; of kind `Unavailable` if it panics.
    ///
    /// # Cancel safety
    /// A call that is dropped before it has begun does nothing. One that has begun is finished if another one waits; else it
    /// is dropped where it stands, and so must undo what it has done.
    pub(super) async fn run<T, K>(
        &self,
        access: Access,
        call: impl Future<Output = Result<T, PortError<K>>> + Send + 'static,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'static,
        K: PortErrorKind,
    {
        let (done, answer) = oneshot::channel();
        let job = async move {
            // Nobody listens any more if the call was dropped.
            if !done.is_canceled()
                && let Ok(answer) = AssertUnwindSafe(call).catch_unwind().await
            {
                let _ = done.send(answer);
            }
        };
        let driver = self.add(access, job.boxed());
        let answer = match select(answer, driver).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), answer)) => answer.await, // it is there
        };
        answer.unwrap_or_else(|_| Err(PortError::new(K::UNAVAILABLE).with_hint("a call of SQLite panicked")))
    }

    /// Gives what drives it.
    fn add(&self, access: Access, job: Job) -> Shared<Job> {
        let mut state = self.lock();
        state.lane(access).waiting.push_back(job);
        if let Some(driver) = state.driver.as_ref().and_then(WeakShared::upgrade) {
            let waker = state.waker.take();
            drop(state);
            // Another thread may have polled it just before.
            waker.into_iter().for_each(Waker::wake);
            return driver;
        }
        // What an earlier one ran was dropped with it.
        (state.writes.running, state.reads.running) = (0, 0);
        let driver = self.driver().shared();
        state.driver = driver.downgrade();
        driver
    }

    fn driver(&self) -> Job {
        let (queue, mut running) = (self.clone(), FuturesUnordered::new());
        let drive = poll_fn(move |context| {
            loop {
                queue.begin(&mut running, context.waker());
                match running.poll_next_unpin(context) {
                    Poll::Ready(Some(access)) => queue.lock().lane(access).running -= 1,
                    Poll::Ready(None) if queue.is_over() => return Poll::Ready(()),
                    Poll::Ready(None) => {} // somebody came meanwhile
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        drive.boxed()
    }

    /// Begins what may run now.
    fn begin(&self, running: &mut FuturesUnordered<BoxFuture<'static, Access>>, waker: &Waker) {
        let mut state = self.lock();
        state.waker = Some(waker.clone());
        for access in [Access::Write, Access::Read] {
            let lane = state.lane(access);
            while lane.running < lane.width
                && let Some(job) = lane.waiting.pop_front()
            {
                lane.running += 1;
                running.push(job.map(move |()| access).boxed());
            }
        }
    }

    /// Whether nobody waits any more. Then whoever comes makes another driver.
    fn is_over(&self) -> bool {
        let mut state = self.lock();
        let is_over = state.writes.waiting.is_empty() && state.reads.waiting.is_empty();
        if is_over {
            (state.driver, state.waker) = (None, None);
        }
        is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue(..)")
    }
}

impl State {
    fn lane(&mut self, access: Access) -> &mut Lane {
        match access {
            Access::Read => &mut self.reads,
            Access::Write => &mut self.writes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use fieldseal::error::{StoreError, StoreErrorKind};
    use futures_util::future::{join, join_all};

    use super::Access::{Read, Write};
    use super::*;

    /// Calls that stand still on the way as long as they are shut; how many were begun, are over, and were at work at a time.
    #[derive(Clone, Default)]
    struct Calls(Arc<(AtomicBool, [AtomicUsize; 3])>);

    impl Calls {
        async fn call(self) -> Result<usize, StoreError> {
            let (is_shut, [begun, over, most]) = &*self.0;
            let n = begun.fetch_add(1, Ordering::SeqCst);
            most.fetch_max(n + 1 - over.load(Ordering::SeqCst), Ordering::SeqCst);
            tokio::task::yield_now().await;
            poll_fn(|_| if is_shut.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) }).await;
            over.fetch_add(1, Ordering::SeqCst);
            Ok(n)
        }

        fn shut(&self, is_shut: bool) {
            self.0.0.store(is_shut, Ordering::SeqCst);
        }

        fn counts(&self) -> [usize; 3] {
            self.0.1.each_ref().map(|count| count.load(Ordering::SeqCst))
        }
    }

    #[tokio::test]
    async fn writes_come_one_after_the_other_and_reads_side_by_side() {
        for (access, at_a_time) in [(Write, 1), (Read, 4)] {
            let (queue, calls) = (Queue::new(4), Calls::default());
            let answers = join_all((0..1000).map(|_| queue.run(access, calls.clone().call()))).await;
            assert!(answers.into_iter().map(Result::unwrap).eq(0..1000), "in their order");
            assert_eq!(calls.counts(), [1000, 1000, at_a_time]);
        }
    }

    #[tokio::test]
    async fn what_was_abandoned_is_finished_by_the_next() {
        let (queue, calls) = (Queue::new(1), Calls::default());
        calls.shut(true);
        let call = |access| Box::pin(queue.run(access, calls.clone().call()));
        let mut abandoned = [call(Write), call(Read), call(Write), call(Read)];
        assert!(abandoned.iter_mut().all(|call| call.now_or_never().is_none()));
        assert_eq!(calls.counts()[..2], [2, 0], "a write and a read are on their way, the others wait");
        calls.shut(false);
        call(Write).await.unwrap();
        call(Read).await.unwrap();
        assert_eq!(calls.counts()[..2], [6, 6]);
        for call in abandoned {
            call.await.unwrap(); // whoever polls again hears of it
        }
    }

    #[tokio::test]
    async fn what_was_dropped_before_it_began_is_not_done() {
        let (queue, calls) = (Queue::new(1), Calls::default());
        calls.shut(true);
        let call = || Box::pin(queue.run(Write, calls.clone().call()));
        let (mut begun, mut dropped) = (call(), call());
        assert!((&mut begun).now_or_never().is_none() && (&mut dropped).now_or_never().is_none());
        drop(dropped);
        calls.shut(false);
        call().await.unwrap();
        assert_eq!(calls.counts(), [2, 2, 1]);
    }

    #[tokio::test]
    async fn what_was_dropped_with_nobody_behind_it_stops_where_it_is() {
        let (queue, calls) = (Queue::new(1), Calls::default());
        let call = || Box::pin(queue.run(Write, calls.clone().call()));
        let mut begun = call();
        assert!((&mut begun).now_or_never().is_none());
        drop(begun);
        call().await.unwrap();
        assert_eq!(calls.counts()[..2], [2, 1], "the first was not polled again");
    }

    #[tokio::test]
    async fn a_call_that_panics_fails_alone() {
        async fn panics() -> Result<(), StoreError> {
            panic!("on purpose")
        }
        let (queue, calls) = (Queue::new(1), Calls::default());
        let (panicked, other) = join(queue.run(Write, panics()), queue.run(Write, calls.clone().call())).await;
        assert_eq!(panicked.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert_eq!(other.unwrap(), 0);
        assert_eq!(queue.run(Write, calls.call()).await.unwrap(), 1);
    }
}
