//! Time, passed in: [`Clock`], [`SystemClock`] and [`Timestamp`]. Imports nothing of the crate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use auto_impl::auto_impl;

/// Where the crate reads the time.
#[auto_impl(Arc)]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since an arbitrary fixed moment; never goes back while the process runs.
    fn monotonic(&self) -> Duration;

    /// The time of day.
    fn wall(&self) -> Timestamp;
}

/// The operating system's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn wall(&self) -> Timestamp {
        // A clock set before 1970 reads as 1970: every snapshot taken by it then expires at once when it is set right.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Displays as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment this many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This moment, so much later; the last representable one if that is past the end.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, millis) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (seconds, millis) = (millis / 1000, millis % 1000);
        let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{millis:03}Z")
    }
}

impl Timestamp {
    /// Reads what it displays as, and no other form.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| -> Option<u64> {
            let part = text.get(range)?;
            if part.bytes().all(|c| c.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let moment = || {
            let year = digits(0..4).filter(|year| *year >= 1970)?;
            let (month, day) = (digits(5..7)?, digits(8..10)?);
            let of_day = (digits(11..13)? * 3600 + digits(14..16)? * 60 + digits(17..19)?) * 1000 + digits(20..23)?;
            Some(Self(days_from_civil(year, month, day) * 86_400_000 + of_day))
        };
        // Whatever is not a date, or is written otherwise, doesn't display as itself.
        moment().filter(|moment| moment.to_string() == text)
    }
}

/// The number of days from 1970-01-01 to a date not before it, for a month of 1 to 12; else some other date's.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, yoe) = (year / 400, year % 400);
    let doy = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day.saturating_sub(1);
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146_097 + doe).saturating_sub(719_468)
}

/// The proleptic Gregorian date of a number of days after 1970-01-01, counted in 400-year cycles from a March 1st.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

/// A moment on both clocks, by which the age of what was read then is bounded: of a snapshot of keys, the moment before the read
/// was sent.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    monotonic: Duration,
    wall: Timestamp,
}

impl Stamp {
    /// This moment.
    pub fn now(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.wall() }
    }

    /// As if it had been taken so much earlier.
    pub(crate) fn earlier(self, by: Duration) -> Self {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let wall = Timestamp::from_millis(self.wall.as_millis().saturating_sub(millis));
        Self { monotonic: self.monotonic.saturating_sub(by), wall }
    }

    /// Whether it is longer ago than `max_age`, by the greater of both clocks (a suspended machine stops the monotonic one on
    /// some systems), or the wall clock went back by more than 2 seconds since: by such a clock everything is as old as can be.
    pub fn expired(&self, clock: &dyn Clock, max_age: Duration) -> bool {
        self.expired_at(&Self::now(clock), max_age)
    }

    /// [`Self::expired`] at a moment that was read already.
    pub fn expired_at(&self, now: &Self, max_age: Duration) -> bool {
        self.elapsed_at(now) > max_age
    }

    /// Whether it was taken before `other`, by the monotonic clock: an order of moments, and no age.
    pub fn is_before(&self, other: &Self) -> bool {
        self.monotonic < other.monotonic
    }

    pub(crate) fn wall(&self) -> Timestamp {
        self.wall
    }

    pub(crate) fn monotonic(&self) -> Duration {
        self.monotonic
    }

    /// How long ago, as [`expired`](Self::expired) measures it.
    pub(crate) fn elapsed(&self, clock: &dyn Clock) -> Duration {
        self.elapsed_at(&Self::now(clock))
    }

    fn elapsed_at(&self, now: &Self) -> Duration {
        if self.wall.since(now.wall) > WALL_SLACK {
            return Duration::MAX;
        }
        now.monotonic.saturating_sub(self.monotonic).max(now.wall.since(self.wall))
    }
}

/// The last of some moments, shared by many who ask how long ago it was.
#[derive(Debug, Default)]
pub(crate) struct SharedStamp {
    /// One more than the nanoseconds; 0 before the first.
    monotonic: AtomicU64,
    wall: AtomicU64,
}

impl SharedStamp {
    pub(crate) fn set(&self, stamp: &Stamp) {
        let nanos = u64::try_from(stamp.monotonic.as_nanos()).unwrap_or(u64::MAX - 1);
        self.wall.store(stamp.wall.as_millis(), Ordering::SeqCst);
        self.monotonic.store(nanos + 1, Ordering::SeqCst);
    }

    /// [`Stamp::expired_at`], or there was none yet.
    pub(crate) fn expired_at(&self, now: &Stamp, max_age: Duration) -> bool {
        // Two that were set at the same time may be mixed up: both were true a moment ago.
        let Some(nanos) = self.monotonic.load(Ordering::SeqCst).checked_sub(1) else { return true };
        let wall = Timestamp::from_millis(self.wall.load(Ordering::SeqCst));
        Stamp { monotonic: Duration::from_nanos(nanos), wall }.expired_at(now, max_age)
    }
}

/// Corrections by a time daemon stay below this; a clock set back by more is not to be trusted with an age.
const WALL_SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug)]
    struct Fake(Mutex<(u64, u64)>);

    impl Clock for Fake {
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.lock().unwrap().0)
        }

        fn wall(&self) -> Timestamp {
            Timestamp::from_millis(self.0.lock().unwrap().1 * 1000)
        }
    }

    #[test]
    fn a_snapshot_expires_by_the_greater_of_both_clocks() {
        let max_age = Duration::from_secs(60);
        for (monotonic, wall, expired) in
            [(160, 1060, false), (161, 1000, true), (100, 1061, true), (100, 998, false), (100, 997, true)]
        {
            let clock = Fake(Mutex::new((100, 1000)));
            let stamp = Stamp::now(&clock);
            *clock.0.lock().unwrap() = (monotonic, wall);
            assert_eq!(stamp.expired(&clock, max_age), expired, "{monotonic} {wall}");
            assert_eq!(stamp.elapsed(&clock) > max_age, expired, "{monotonic} {wall}");
        }
    }

    #[test]
    fn a_shared_moment_ages_by_either_clock_and_before_it_is_set() {
        let (shared, age) = (SharedStamp::default(), Duration::from_secs(60));
        let clock = Fake(Mutex::new((0, 1000)));
        assert!(shared.expired_at(&Stamp::now(&clock), age));
        shared.set(&Stamp::now(&clock));
        for (monotonic, wall, expired) in [(60, 1060, false), (61, 1000, true), (0, 1061, true), (0, 997, true)] {
            *clock.0.lock().unwrap() = (monotonic, wall);
            assert_eq!(shared.expired_at(&Stamp::now(&clock), age), expired, "{monotonic} {wall}");
        }
    }

    #[test]
    fn timestamps_display_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
            assert_eq!(text.parse::<Timestamp>().unwrap().as_millis(), millis);
        }
        for text in [
            "",
            "2026-02-29T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "2026-01-01T00:00:60.000Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01 00:00:00.000Z",
            "2026-01-01T00:00:00.000z",
            "1969-12-31T23:59:59.999Z",
            "+026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:00.000Zé",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        let _ = Timestamp::from_millis(u64::MAX).to_string();
    }
}
