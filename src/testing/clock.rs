//! [`ManualClock`]: a clock that a test sets.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// A clock that stands still until it is told. Clones show the same time.
///
/// Its monotonic and its wall time are independent, so that a test can set the wall clock back, or let a machine sleep.
///
/// ```
/// use std::time::Duration;
/// use fieldseal::clock::{Clock, Timestamp};
/// use fieldseal::testing::clock::ManualClock;
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
}

impl ManualClock {
    /// A clock that shows 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Now { monotonic: Duration::ZERO, wall: Timestamp::from_millis(1_767_225_600_000) })))
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, duration: Duration) {
        let mut now = self.now();
        now.monotonic += duration;
        now.wall = now.wall.plus(duration);
    }

    /// Lets time pass on the monotonic clock alone.
    pub fn advance_monotonic(&self, duration: Duration) {
        self.now().monotonic += duration;
    }

    /// Sets the time of day, forth or back. The monotonic clock doesn't notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.now().wall = wall;
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

#[cfg(test)]
mod tests {
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
}
