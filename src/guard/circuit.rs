//! [`Circuit`]: stops asking a port that is down, and finds out when it is back.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether a guarded port is asked at all. A handle: clones show the same one, also once the port has been given away.
///
/// It opens when so many calls in a row found the port unavailable; then nothing is asked, and every call fails at once.
/// After a pause one call is let through, and one more after each further pause. The first that is answered closes it. What
/// is refused, or isn't there, is an answer too: only the port's silence counts.
#[derive(Clone)]
pub struct Circuit(Arc<Shared>);

struct Shared {
    /// So many failures in a row open it.
    failures: u32,
    pause: Duration,
    state: Mutex<State>,
}

struct State {
    /// In a row, up to now.
    failures: u32,
    /// Not asked before this moment, by the monotonic clock; none while it is closed.
    until: Option<Duration>,
}

/// Why nothing was asked.
pub(super) struct Refused {
    pub(super) failures: u32,
    pub(super) wait: Duration,
}

impl Circuit {
    pub(super) fn new(failures: u32, pause: Duration) -> Self {
        let state = Mutex::new(State { failures: 0, until: None });
        Self(Arc::new(Shared { failures, pause, state }))
    }

    /// Whether the port was down when it was last asked: true from when calls fail at once until one is answered. For a metric.
    ///
    /// Nothing to decide by whether to call. Only a call finds out whether the port is back, and the pause doesn't end this by
    /// itself: who makes none while it is open never sees it close. A call costs nothing before its time: it fails at once.
    pub fn is_open(&self) -> bool {
        self.lock().until.is_some()
    }

    /// Lets a call through, or not.
    pub(super) fn enter(&self, now: Duration) -> Result<(), Refused> {
        let mut state = self.lock();
        match state.until {
            Some(until) if now < until => Err(Refused { failures: state.failures, wait: until - now }),
            Some(_) => {
                // Whatever becomes of this one, also if it is dropped, the next may try after a further pause.
                state.until = Some(now.saturating_add(self.0.pause));
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn answered(&self) {
        *self.lock() = State { failures: 0, until: None };
    }

    pub(super) fn failed(&self, now: Duration) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.0.failures {
            state.until = Some(now.saturating_add(self.0.pause));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_open() { "Circuit(open)" } else { "Circuit(closed)" })
    }
}
