//! [`Turn`]: decisions of one process come one after the other, but none waits for long for one that stands still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::lock::OwnedMutexGuard;

use crate::timer::Timer;

/// Lets one go first. Nothing needs it to be right: the journal's head is compared, and what lost is decided again. It spares a
/// process the race with itself.
///
/// A future that has its turn, or waits for it, may be polled no more: an application has put it into a stream that it is
/// not reading. So whoever has waited for [`LONGEST_WAIT`] leaves the queue, and those who come later stand behind it in another
/// one.
pub(super) struct Turn {
    timer: Arc<dyn Timer>,
    queue: Mutex<Queue>,
}

type Queue = Arc<futures_util::lock::Mutex<()>>;

impl Turn {
    pub(super) fn new(timer: Arc<dyn Timer>) -> Self {
        Self { timer, queue: Mutex::default() }
    }

    /// Waits for its turn, which lasts until what this gives is dropped.
    pub(super) async fn enter(&self) -> OwnedMutexGuard<()> {
        loop {
            let queue = self.queue().clone();
            // Where nobody is before it there is nothing to wait for, and no timer that would start a thread.
            if let Some(turn) = queue.clone().try_lock_owned() {
                return turn;
            }
            match select(queue.clone().lock_owned(), self.timer.sleep(LONGEST_WAIT)).await {
                Either::Left((turn, _)) => return turn,
                // One of those who waited in vain puts a new queue in the place of the old one, for all of them. Were each to
                // go on alone, a thousand would race for one head.
                Either::Right(_) => {
                    let mut current = self.queue();
                    if Arc::ptr_eq(&current, &queue) {
                        *current = Queue::default();
                    }
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Longer than a decision takes on a journal near by, and short enough for whoever waits behind one that stands still.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use futures_util::FutureExt as _;

    use super::*;

    /// Whoever sleeps wakes when time passes: by hand, once for all who sleep by then.
    #[derive(Clone, Debug, Default)]
    struct Time {
        passed: Arc<AtomicUsize>,
        sleeps: Arc<AtomicUsize>,
    }

    impl Timer for Time {
        fn sleep(&self, _: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
            self.sleeps.fetch_add(1, Ordering::SeqCst);
            let (passed, begun) = (self.passed.clone(), self.passed.load(Ordering::SeqCst));
            Box::pin(poll_fn(move |_| match passed.load(Ordering::SeqCst) > begun {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }))
        }
    }

    #[test]
    fn one_goes_at_a_time_and_no_timer_is_asked_where_nobody_waits() {
        let time = Time::default();
        let turn = Turn::new(Arc::new(time.clone()));
        let first = turn.enter().now_or_never().expect("nobody is before it");
        assert_eq!(time.sleeps.load(Ordering::SeqCst), 0);
        let mut second = Box::pin(turn.enter());
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().is_some());
    }

    #[test]
    fn those_who_waited_in_vain_go_one_behind_the_other() {
        let time = Time::default();
        let turn = Turn::new(Arc::new(time.clone()));
        let _abandoned = turn.enter().now_or_never().expect("nobody is before it");
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let call = async || {
            let _turn = turn.enter().await;
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        let mut calls: Vec<_> = (0..100).map(|_| Box::pin(call())).collect();
        calls.retain_mut(|call| call.as_mut().now_or_never().is_none());
        assert_eq!((calls.len(), most.load(Ordering::SeqCst)), (100, 0), "all wait for one that stands still");
        time.passed.fetch_add(1, Ordering::SeqCst);
        for _ in 0..1000 {
            calls.retain_mut(|call| call.as_mut().now_or_never().is_none());
        }
        assert_eq!(
            (calls.len(), most.load(Ordering::SeqCst)),
            (0, 1),
            "they went on without it, and none beside another"
        );
    }
}
