//! [`Latency`]: the times that answers took, in a histogram with three significant digits.
//!
//! What must hold: histograms are added, percentiles never averaged; a percentile is shown only
//! when at least [`BEYOND_MIN`] answers lie beyond it.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How many answers must have taken longer for a percentile to mean anything.
pub(crate) const BEYOND_MIN: u64 = 10;
/// The longest time that is told apart: one hour.
const NANOS_MAX: u64 = 3_600_000_000_000;

/// A percentile as a fraction that is exact: `99.9` is 99,900 of 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Percentile {
    /// How it is written.
    pub(crate) name: &'static str,
    per_100_000: u32,
}

/// The percentiles of a report.
pub(crate) const PERCENTILES: [Percentile; 6] = [
    Percentile {
        name: "p50",
        per_100_000: 50_000,
    },
    Percentile {
        name: "p90",
        per_100_000: 90_000,
    },
    Percentile {
        name: "p99",
        per_100_000: 99_000,
    },
    Percentile {
        name: "p99.9",
        per_100_000: 99_900,
    },
    Percentile {
        name: "p99.99",
        per_100_000: 99_990,
    },
    Percentile {
        name: "p99.999",
        per_100_000: 99_999,
    },
];

impl Percentile {
    /// How many of `count` answers lie beyond it.
    pub(crate) fn beyond(self, count: u64) -> u64 {
        let all = u128::from(count) * u128::from(100_000 - self.per_100_000) / 100_000;
        u64::try_from(all).expect("a part of the count is no more than the count")
    }
}

/// The times that answers took, from 1 ns to 1 h.
#[derive(Clone)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
}

impl Latency {
    /// An empty histogram of about 270 KiB, however long the run.
    pub(crate) fn new() -> Latency {
        let histogram = Histogram::new_with_bounds(1, NANOS_MAX, 3);
        Latency {
            histogram: histogram.expect("the bounds are in order and 3 digits are allowed"),
        }
    }

    /// Enters one answer.
    #[inline]
    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(nanos);
    }

    /// Adds another shard's answers.
    pub(crate) fn merge(&mut self, other: &Latency) {
        let added = self.histogram.add(&other.histogram);
        added.expect("all histograms have the same bounds");
    }

    /// How many answers there were.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The mean; zero without answers.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.histogram.mean() / 1e9)
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// The time below which this percentile of the answers lies, unless too few lie beyond it to
    /// say so.
    pub(crate) fn at(&self, percentile: Percentile) -> Option<Duration> {
        let quantile = f64::from(percentile.per_100_000) / 100_000.0;
        let enough = percentile.beyond(self.count()) >= BEYOND_MIN;
        enough.then(|| Duration::from_nanos(self.histogram.value_at_quantile(quantile)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Latency {
        let mut latency = Latency::new();
        (1..=count).for_each(|micros| latency.record(Duration::from_micros(micros)));
        latency
    }

    #[test]
    fn a_percentile_needs_ten_answers_beyond_it() {
        let shown = |count| PERCENTILES.map(|p| filled(count).at(p).is_some());
        assert_eq!(shown(0), [false; 6]);
        assert_eq!(shown(19), [false; 6]);
        assert_eq!(shown(20), [true, false, false, false, false, false]);
        assert_eq!(shown(999), [true, true, false, false, false, false]);
        assert_eq!(shown(1_000), [true, true, true, false, false, false]);
        assert_eq!(shown(10_000), [true, true, true, true, false, false]);
        assert_eq!(PERCENTILES[5].beyond(u64::MAX), u64::MAX / 100_000);
    }

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let latency = filled(10_000);
        for (percentile, micros) in PERCENTILES
            .into_iter()
            .zip([5_000.0, 9_000.0, 9_900.0, 9_990.0])
        {
            let actual = latency.at(percentile).unwrap().as_secs_f64() * 1e6;
            assert!(
                (actual / micros - 1.0).abs() < 1e-3,
                "{}: {actual}",
                percentile.name
            );
        }
        assert!((latency.mean().as_secs_f64() / 5_000.5e-6 - 1.0).abs() < 1e-3);
        assert!((latency.max().as_secs_f64() / 1e-2 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn shards_are_merged_and_not_averaged() {
        let (mut all, mut slow) = (filled(1_000), Latency::new());
        (0..1_000).for_each(|_| slow.record(Duration::from_hours(2)));
        all.merge(&slow);
        assert_eq!(all.count(), 2_000);
        assert!(all.at(PERCENTILES[0]).unwrap() <= Duration::from_micros(1_001));
        assert!(
            all.at(PERCENTILES[1]).unwrap() >= Duration::from_secs(3_590),
            "clamped to 1 h"
        );
    }
}
