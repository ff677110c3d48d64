//! [`Guarded`]: a port whose every call ends in time, is made again where that may help, and isn't made while the port is
//! down.
//!
//! Imports `layer` and `timer`, and through them the ports without their adapters.

mod circuit;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};

pub use circuit::Circuit;

use crate::clock::{Clock, SystemClock};
use crate::crypto::rng;
use crate::error::{PortError, PortErrorKind, Retry};
use crate::layer::{Attempt, Call, Layer};
use crate::store::Replica;
use crate::timer::{ThreadTimer, Timer};
use circuit::Refused;

/// A master key provider, a key store, a journal or a source of rows behind a [`Guard`]: wraps a
/// remote port in deadlines, retries and a circuit breaker.
///
/// A call that fails with [`Retry::Later`] is made again. That is safe for each method: most ask, or may be done twice; a
/// `put` or an `append` of which nobody knows whether it landed is looked for where it should be, and is done if it is there.
/// (Another's that is the same, byte for byte, counts as it.) What the caller has to decide anew (`Conflict`, `BelowFloor`)
/// or to mend is passed on at once.
///
/// A [`swap`](crate::rows::RowSource::swap) of rows is made once: where it landed unseen, a second one would tell of rows that
/// somebody else has changed. It is waited for as long as a call is, and what found no answer is for the job's next run.
///
/// ```
/// use std::time::Duration;
/// use fieldseal::guard::{Guard, Guarded};
/// use fieldseal::journal::MemoryJournal;
/// use fieldseal::provider::LocalKeyring;
/// use fieldseal::store::MemoryStore;
/// use fieldseal::Vault;
///
/// # async fn example() -> fieldseal::Result<()> {
/// # let (kms, store, journal) = (LocalKeyring::ephemeral()?, MemoryStore::new(), MemoryJournal::new()?);
/// let guard = Guard::new().deadline(Duration::from_secs(3));
/// let kms = Guarded::new(kms, &guard);
/// let circuit = kms.circuit(); // to show in a metric
/// let vault = Vault::builder(kms, Guarded::new(store, &guard))
///     .journal(Guarded::new(journal, &guard))
///     .build()
///     .await?;
/// assert!(!circuit.is_open());
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// As that of the port. Nothing is spawned: a call that is dropped is not made again, and says nothing about the port. So an
/// application's own time limits should be longer than the guard's, or the circuit never opens.
#[derive(Debug)]
pub struct Guarded<P> {
    inner: P,
    guard: Guard,
    circuit: Circuit,
}

impl<P: Replica> Replica for Guarded<P> {
    fn bound(&self) -> Duration {
        self.inner.bound()
    }
}

impl<P> Guarded<P> {
    /// With a circuit of its own.
    pub fn new(inner: P, guard: &Guard) -> Self {
        Self { inner, guard: guard.clone(), circuit: Circuit::new(guard.failures, guard.pause) }
    }

    /// A handle to see by whether the port is down.
    pub fn circuit(&self) -> Circuit {
        self.circuit.clone()
    }

    /// The port itself: calls made to it are not guarded.
    pub fn inner(&self) -> &P {
        &self.inner
    }
}

/// What is asked of a port, how often, and how long it is waited for. Clones share their timer.
///
/// | | if nothing is said |
/// | --- | --- |
/// | one attempt | 2 s |
/// | a call, with all its attempts and pauses | 5 s |
/// | a `scrub`, a `raise_floor` or a `scan` (but one of any single slot), and each attempt of it | 10 min |
/// | a `count` of rows, or a `page` of those alone that hold something, and each attempt of it | 10 min |
/// | a `swap` of rows, which is attempted once | 5 s |
/// | attempts | 3 |
/// | pause before the second attempt | up to 50 ms, then twice that, up to 1 s |
/// | pause after `Throttled` | up to 1 s |
/// | unavailable in a row until the circuit opens | 5 attempts |
/// | until one call is let through | 10 s |
#[derive(Clone, Debug)]
#[must_use]
pub struct Guard {
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    attempt: Duration,
    call: Duration,
    long: Duration,
    attempts: u32,
    backoff: Duration,
    longest_backoff: Duration,
    failures: u32,
    pause: Duration,
}

impl Guard {
    /// The settings of the table.
    pub fn new() -> Self {
        Self {
            clock: Arc::new(SystemClock::new()),
            timer: Arc::new(ThreadTimer::new()),
            attempt: Duration::from_secs(2),
            call: Duration::from_secs(5),
            long: Duration::from_secs(600),
            attempts: 3,
            backoff: Duration::from_millis(50),
            longest_backoff: Duration::from_secs(1),
            failures: 5,
            pause: Duration::from_secs(10),
        }
    }

    /// How long a call is waited for, with all its attempts and the pauses between them.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.call = deadline;
        self
    }

    /// How long one attempt is waited for; at most the call's deadline. Shorter than that, it leaves time for another one
    /// where a connection has died in silence.
    pub fn attempt_deadline(mut self, deadline: Duration) -> Self {
        self.attempt = deadline;
        self
    }

    /// How long a [`scrub`](crate::store::KeyStore::scrub), a [`scan`](crate::store::KeyStore::scan) or a
    /// [`raise_floor`](crate::store::KeyStore::raise_floor) is waited for. A scrub rewrites what a store keeps, which takes as
    /// long as there is much of it; a floor may be kept many times. A scan for one slot, whichever, is waited for like any
    /// other call: a tenant's first enrollment asks whether there is one.
    ///
    /// As long is waited for a [`count`](crate::rows::RowSource::count) of rows, and for a page of those alone that hold
    /// something in a column ([`Page::only`](crate::rows::Page::only)): either may read the whole table.
    pub fn long_deadline(mut self, deadline: Duration) -> Self {
        self.long = deadline;
        self
    }

    /// How often a call is made at most; at least once.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The pause before the second attempt, which doubles with each further one up to `longest`. How much of it is waited is
    /// drawn anew each time, so that many who failed together don't come again together. After `Throttled` it is drawn from
    /// `longest` at once: what a port has too much of is calls.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = first;
        self.longest_backoff = longest;
        self
    }

    /// So many attempts in a row that found the port unavailable open the circuit (at least one); after each `pause` one call
    /// is let through. A port that says `Throttled` is there: that is waited for, and opens nothing.
    pub fn circuit(mut self, failures: u32, pause: Duration) -> Self {
        self.failures = failures.max(1);
        self.pause = pause;
        self
    }

    /// What waits; a thread of its own if nothing is said.
    pub fn timer(mut self, timer: impl Timer) -> Self {
        self.timer = Arc::new(timer);
        self
    }

    /// Where the time comes from; the system's clocks if nothing is said.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long the call, and an attempt of it, is waited for.
    fn limits(&self, call: &Call<'_>) -> (Duration, Duration) {
        match call {
            Call { is_long: true, .. } => (self.long, self.long),
            Call { is_once: true, .. } => (self.call, self.call), // there is nothing to leave time for
            _ => (self.call, self.attempt),
        }
    }

    /// The pause before this attempt, counted from 0: any part of what is the most.
    fn pause_before(&self, attempt: u32, is_throttled: bool) -> Duration {
        let Some(doublings) = attempt.checked_sub(1) else { return Duration::ZERO };
        let most = match is_throttled {
            true => self.longest_backoff,
            false => self.backoff.saturating_mul(2u32.saturating_pow(doublings)).min(self.longest_backoff),
        };
        let mut drawn = [0; 4];
        if rng::fill(&mut drawn).is_err() {
            return most; // there is nothing to draw from, but what is asked for may do without
        }
        let part = f64::from(u32::from_be_bytes(drawn)) / f64::from(u32::MAX);
        Duration::try_from_secs_f64(most.as_secs_f64() * part).unwrap_or(most) // else it is longer than any
    }
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Sync> Layer for Guarded<P> {
    async fn around<'a, T, K>(
        &'a self,
        call: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        let Guard { clock, timer, .. } = &self.guard;
        let (within, each) = self.guard.limits(&call);
        let end = clock.monotonic().saturating_add(within);
        let mut ask = Attempt::First;
        let mut last: Option<PortError<K>> = None;
        for attempt in 0..self.guard.attempts {
            let is_throttled = last.as_ref().is_some_and(|error| error.kind() == K::THROTTLED);
            let pause = self.guard.pause_before(attempt, is_throttled);
            if !pause.is_zero() {
                if clock.monotonic().saturating_add(pause) >= end {
                    break;
                }
                timer.sleep(pause).await;
            }
            let now = clock.monotonic();
            if last.is_some() && now >= end {
                break;
            }
            if let Err(refused) = self.circuit.enter(now) {
                return Err(last.unwrap_or_else(|| refused.error()));
            }
            let limit = each.min(end.saturating_sub(now));
            let answer = match (select(work(ask), timer.sleep(limit)).await, &last) {
                (Either::Left((answer, _)), _) => answer,
                // The call's time is up before an attempt's: it says less of the port than the answer that there was.
                (Either::Right(_), Some(last)) if limit < each && last.kind() == K::THROTTLED => break,
                (Either::Right(_), _) => Err(no_answer(limit)),
            };
            match &answer {
                Err(e) if e.is_of_one_tenant() => {} // says nothing of the port that all use
                Err(e) if e.kind() == K::UNAVAILABLE => self.circuit.failed(clock.monotonic()),
                _ => self.circuit.answered(),
            }
            match answer {
                // Throttled, too: an earlier attempt of the port's own client may have done it.
                Err(e) if e.retry() == Retry::Later && !call.is_once => last = Some(e),
                answer => return answer,
            }
            ask = Attempt::Again;
        }
        Err(last.unwrap_or_else(|| no_answer(within)))
    }
}

crate::layered! { Guarded: provider store journal rows }

fn no_answer<K: PortErrorKind>(limit: Duration) -> PortError<K> {
    let hint = format!("no answer within {limit:?}; what was to be changed may have been");
    PortError::new(K::UNAVAILABLE).with_hint(hint)
}

impl Refused {
    fn error<K: PortErrorKind>(&self) -> PortError<K> {
        let seconds = self.wait.as_millis().div_ceil(1000);
        let hint = format!(
            "not asked: it failed {} times in a row and is asked again in {seconds} s; what is cached goes on until its time \
             limit",
            self.failures
        );
        PortError::new(K::UNAVAILABLE).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_drawn() {
        let millis = Duration::from_millis;
        let guard = Guard::new().backoff(millis(100), millis(700));
        for (attempt, most) in [(0, 0), (1, 100), (2, 200), (3, 400), (4, 700), (5, 700), (u32::MAX, 700)] {
            let pauses: Vec<_> = (0..200).map(|_| guard.pause_before(attempt, false)).collect();
            assert!(pauses.iter().all(|pause| *pause <= millis(most)), "{attempt}");
            // That none of 200 is in the upper, or the lower, half is as likely as 2^-200.
            assert!(most == 0 || pauses.iter().any(|pause| *pause > millis(most / 2)), "{attempt}");
            assert!(most == 0 || pauses.iter().any(|pause| *pause < millis(most / 2)), "{attempt}");
        }
    }

    #[test]
    fn who_was_throttled_stays_away_for_longer() {
        let millis = Duration::from_millis;
        let guard = Guard::new().backoff(millis(1), millis(700));
        assert!(guard.pause_before(0, true).is_zero());
        for attempt in [1, 2, u32::MAX] {
            let pauses: Vec<_> = (0..200).map(|_| guard.pause_before(attempt, true)).collect();
            assert!(pauses.iter().all(|pause| *pause <= millis(700)), "{attempt}");
            assert!(pauses.iter().any(|pause| *pause > millis(350)), "{attempt}");
        }
    }

    #[test]
    fn settings_without_measure_are_settings() {
        let guard = Guard::new().backoff(Duration::MAX, Duration::MAX);
        for attempt in [1, 2, u32::MAX] {
            assert!((0..100).any(|_| guard.pause_before(attempt, false) > Duration::from_secs(1 << 40)));
        }
    }

    #[test]
    fn at_least_one_attempt_is_made_and_one_failure_needed() {
        let guard = Guard::new().attempts(0).circuit(0, Duration::ZERO);
        assert_eq!((guard.attempts, guard.failures), (1, 1));
    }
}
