//! [`Histogram`]: how often something took how long; and [`Series`], what it shows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::layer::Port;

/// The upper bounds of the buckets, in microseconds: three a decade, from what memory takes to what a deadline allows.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    above: AtomicU64,
    nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn add(&self, took: Duration) {
        let bucket = BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| took <= Duration::from_micros(**bound));
        bucket.map_or(&self.above, |(_, bucket)| bucket).fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn series(&self, port: Port, method: &'static str, outcome: &'static str) -> Series {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Series {
            port,
            method,
            outcome,
            sum: Duration::from_nanos(of(&self.nanos)),
            buckets: self.buckets.each_ref().map(of),
            above: of(&self.above),
        }
    }
}

/// The calls of one method of a port that ended in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Series {
    /// Which port.
    pub port: Port,
    /// The method, as the trait names it.
    pub method: &'static str,
    /// How they ended: `ok`, `dropped`, or the kind of the error.
    pub outcome: &'static str,
    /// How long they took, all together.
    pub sum: Duration,
    buckets: [u64; BOUNDS.len()],
    above: u64,
}

impl Series {
    /// How many calls.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.above
    }

    /// For each of 16 bounds, from 100 us to 10 s, how many calls took at most so long.
    pub fn cumulative(&self) -> impl ExactSizeIterator<Item = (Duration, u64)> {
        let mut sum = 0;
        BOUNDS.iter().zip(&self.buckets).map(move |(bound, count)| {
            sum += count;
            (Duration::from_micros(*bound), sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_in_each_bucket_that_it_is_not_longer_than() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        let series = histogram.series(Port::Store, "load", "ok");
        let cumulative: Vec<_> = series.cumulative().collect();
        assert_eq!(cumulative[0], (Duration::from_micros(100), 2));
        assert_eq!(cumulative[1], (Duration::from_micros(250), 3));
        assert_eq!(cumulative[15], (Duration::from_secs(10), 4));
        assert_eq!((series.count(), series.sum), (5, Duration::from_micros(20_000_202)));
        assert!(BOUNDS.is_sorted());
    }
}
