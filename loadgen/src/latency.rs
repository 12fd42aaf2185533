//! [`Latency`]: the times that answers took, in a histogram with three significant digits.
//!
//! What must hold: histograms are added, percentiles never averaged; a percentile is shown only
//! when at least [`BEYOND_MIN`] answers lie beyond it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

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

/// What most of the answers took at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Which percentile it is.
    pub(crate) name: &'static str,
    pub(crate) time: Duration,
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

    /// Enters `count` answers that took so many nanoseconds.
    #[inline]
    pub(crate) fn record(&mut self, nanos: u64, count: u64) {
        self.histogram.saturating_record_n(nanos, count);
    }

    /// Adds another shard's answers.
    pub(crate) fn merge(&mut self, other: &Latency) {
        let added = self.histogram.add(&other.histogram);
        added.expect("all histograms have the same bounds");
    }

    /// The counts as the libraries of `HdrHistogram` exchange them: version 2, deflated, base64.
    pub(crate) fn to_hdr(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.histogram, &mut bytes)
            .expect("a histogram of these bounds fits the format, and a Vec takes every byte");
        STANDARD.encode(bytes)
    }

    /// Reads what [`to_hdr`](Latency::to_hdr) has written.
    ///
    /// # Errors
    /// One sentence when `text` is not a histogram.
    pub(crate) fn from_hdr(text: &str) -> Result<Latency, String> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("no base64: {error}"))?;
        let read: Result<Histogram<u64>, _> = Deserializer::new().deserialize(&mut &bytes[..]);
        let read = read.map_err(|error| format!("no histogram: {error}"))?;
        let mut latency = Latency::new();
        let added = latency.histogram.add(&read);
        added.map_err(|error| format!("another kind of histogram: {error}"))?;
        Ok(latency)
    }

    /// The points of the curve: quantile, time in ns, and answers up to it, densest at the end.
    pub(crate) fn curve(&self) -> impl Iterator<Item = (f64, u64, u64)> + '_ {
        let mut seen = 0;
        self.histogram.iter_quantiles(5).map(move |point| {
            seen += point.count_since_last_iteration();
            (point.quantile(), point.value_iterated_to(), seen)
        })
    }

    /// How many answers there were.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The mean; zero without answers.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.histogram.mean() / 1e9)
    }

    /// The mean in nanoseconds; zero without answers.
    pub(crate) fn mean_nanos(&self) -> f64 {
        self.histogram.mean()
    }

    /// The standard deviation in nanoseconds: of no use for tails.
    pub(crate) fn deviation_nanos(&self) -> f64 {
        self.histogram.stdev()
    }

    /// The shortest; zero without answers.
    pub(crate) fn min(&self) -> Duration {
        Duration::from_nanos(self.histogram.min())
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// The longest in nanoseconds.
    pub(crate) fn max_nanos(&self) -> u64 {
        self.histogram.max()
    }

    /// How many took no longer than so many nanoseconds, to three digits.
    pub(crate) fn count_up_to(&self, nanos: u64) -> u64 {
        self.histogram.count_between(0, nanos)
    }

    /// The time below which this percentile of the answers lies, unless too few lie beyond it to
    /// say so.
    pub(crate) fn at(&self, percentile: Percentile) -> Option<Duration> {
        let quantile = f64::from(percentile.per_100_000) / 100_000.0;
        let enough = percentile.beyond(self.count()) >= BEYOND_MIN;
        enough.then(|| Duration::from_nanos(self.histogram.value_at_quantile(quantile)))
    }

    /// The 99th percentile, or of few answers the highest that can be told: it is no greater.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let [p50, p90, p99, ..] = PERCENTILES;
        let mut falling = [p99, p90, p50].into_iter();
        falling.find_map(|percentile| {
            let time = self.at(percentile)?;
            let name = percentile.name;
            Some(Tail { name, time })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u64) -> Latency {
        let mut latency = Latency::new();
        (1..=count).for_each(|micros| latency.record(micros * 1_000, 1));
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
    fn the_tail_of_few_answers_is_the_highest_percentile_that_can_be_told() {
        let name = |count| filled(count).tail().map(|tail| tail.name);
        assert_eq!(name(19), None);
        assert_eq!([name(20), name(99)], [Some("p50"); 2]);
        assert_eq!([name(100), name(999)], [Some("p90"); 2]);
        assert_eq!([name(1_000), name(100_000)], [Some("p99"); 2]);
        let time = filled(100).tail().map(|tail| tail.time);
        assert_eq!(time, filled(100).at(PERCENTILES[1]));
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
    fn the_export_brings_back_every_count() {
        let latency = filled(100_000);
        let again = Latency::from_hdr(&latency.to_hdr()).unwrap();
        assert_eq!(again.histogram, latency.histogram);
        assert!(Latency::from_hdr("!").is_err() && Latency::from_hdr("AAAA").is_err());
        let empty = Latency::from_hdr(&Latency::new().to_hdr()).unwrap();
        assert_eq!(empty.count(), 0);
    }

    #[test]
    fn the_curve_ends_with_all_answers() {
        let latency = filled(1_000);
        let curve: Vec<_> = latency.curve().collect();
        let &(quantile, nanos, seen) = curve.last().unwrap();
        assert!(
            quantile >= 1.0 && seen == 1_000 && nanos >= 1_000_000,
            "{quantile} {nanos}"
        );
        assert!(curve.iter().map(|point| point.1).is_sorted());
    }

    #[test]
    fn shards_are_merged_and_not_averaged() {
        let (mut all, mut slow) = (filled(1_000), Latency::new());
        slow.record(7_200_000_000_000, 1_000);
        all.merge(&slow);
        assert_eq!(all.count(), 2_000);
        assert!(all.at(PERCENTILES[0]).unwrap() <= Duration::from_micros(1_001));
        assert!(
            all.at(PERCENTILES[1]).unwrap() >= Duration::from_secs(3_590),
            "clamped to 1 h"
        );
    }
}
