//! [`Expectation`]: what `/stats` must say after a run, by exact arithmetic.
//!
//! What must hold: sums are exact until the end, where one rounding makes the double that the
//! challenge asks for.

use crate::exact::Exact;
use crate::number::{approximate, grouped};
use crate::payload::{Payload, VALUE_PERIOD};
use crate::stats::Stats;

/// The most events that are judged: their sum still is a double without rounding.
pub(crate) const EVENT_COUNT_MAX: u64 = 1_000_000_000_000;

/// What the server must have counted, exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expectation {
    requests: u64,
    users: u64,
    sum: f64,
    avg: f64,
}

impl Expectation {
    /// What the events `0..count` of `payload` come to.
    ///
    /// # Panics
    /// If `count` is over [`EVENT_COUNT_MAX`].
    pub(crate) fn new(payload: Payload, count: u64) -> Expectation {
        assert!(count <= EVENT_COUNT_MAX, "{count} events");
        let (sum, avg) = if let Some(halves) = payload.halves() {
            let sum = sum_of_halves(count, halves);
            // Both operands are exact, so the one division rounds correctly.
            (sum, sum / approximate(count.max(1)))
        } else {
            let mut exact = Exact::new();
            (0..count).for_each(|index| exact.add(payload.value(index)));
            (exact.to_double(), exact.quotient(count.max(1)))
        };
        Expectation {
            requests: count,
            users: payload.user_count(count),
            sum,
            avg,
        }
    }

    /// The four numbers for the verdict: `1,000,000 requests, 75,000 users, sum .., avg ..`.
    pub(crate) fn summary(&self) -> String {
        let (requests, users) = (grouped(self.requests), grouped(self.users));
        format!(
            "{requests} requests, {users} users, sum {}, avg {}",
            self.sum, self.avg
        )
    }

    /// Whether `avg` is right: the exact sum's quotient rounded once, or, as the challenge also
    /// permits, the quotient of the sum that was rounded before.
    fn is_average(&self, avg: f64) -> bool {
        let twice = if self.requests == 0 {
            0.0
        } else {
            self.sum / approximate(self.requests)
        };
        [self.avg, twice]
            .iter()
            .any(|right| right.to_bits() == avg.to_bits())
    }

    /// What differs between this and what the server says; nothing when it is exact.
    pub(crate) fn differences(&self, stats: &Stats) -> Vec<String> {
        let mut all = Vec::new();
        for (name, actual, expected) in [
            ("totalRequests", stats.total_requests, self.requests),
            ("uniqueUsers", stats.unique_users, self.users),
        ] {
            if actual != expected {
                let by = grouped(actual.abs_diff(expected));
                let side = if actual < expected {
                    "too few"
                } else {
                    "too many"
                };
                let (actual, expected) = (grouped(actual), grouped(expected));
                all.push(format!(
                    "{name} is {actual}, expected {expected} ({by} {side})"
                ));
            }
        }
        if stats.sum.to_bits() != self.sum.to_bits() {
            all.push(format!("sum is {:?}, expected {:?}", stats.sum, self.sum));
        }
        if !self.is_average(stats.avg) {
            all.push(format!("avg is {:?}, expected {:?}", stats.avg, self.avg));
        }
        all
    }
}

/// The sum of the values `i mod 1000` of the first events, each with so many halves on top: exact,
/// as it is below 2^52 in halves of one.
fn sum_of_halves(count: u64, halves: u64) -> f64 {
    let (periods, rest) = (count / VALUE_PERIOD, count % VALUE_PERIOD);
    // The first k integers add up to k(k-1)/2.
    let first = |k: u64| k * k.saturating_sub(1);
    let all = periods * first(VALUE_PERIOD) + first(rest) + count * halves;
    approximate(all) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Payload; 3] = [Payload::Go, Payload::Java, Payload::Aiohttp];

    #[test]
    fn the_challenges_own_numbers_come_out() {
        let summary = |payload| Expectation::new(payload, 1_000_000).summary();
        let go = "1,000,000 requests, 75,000 users, sum 500000000, avg 500";
        let java = "1,000,000 requests, 1,000,000 users, sum 500000000, avg 500";
        let aiohttp = "1,000,000 requests, 75,000 users, sum 499500000, avg 499.5";
        assert_eq!(ALL.map(summary), [go, java, aiohttp]);
    }

    #[test]
    fn the_closed_form_is_the_sum_one_by_one() {
        for payload in ALL {
            let mut exact = Exact::new();
            for count in 0..2_100_u64 {
                let sum = Expectation::new(payload, count).sum;
                assert_eq!(sum.to_bits(), exact.to_double().to_bits(), "{payload:?}");
                exact.add(payload.value(count));
            }
        }
    }

    #[test]
    fn the_sum_stays_exact_up_to_the_bound() {
        for payload in ALL {
            for count in [EVENT_COUNT_MAX, EVENT_COUNT_MAX - 1, EVENT_COUNT_MAX - 999] {
                assert!(Expectation::new(payload, count).sum * 2.0 < approximate(1 << 52));
            }
        }
    }

    /// What a server that adds up doubles in order says is not what is right.
    #[test]
    fn the_hard_payloads_tell_exact_sums_from_others() {
        for payload in [Payload::Random, Payload::Decimals, Payload::Cancel] {
            let expected = Expectation::new(payload, 100_000);
            let naive: f64 = (0..100_000).map(|index| payload.value(index)).sum();
            assert_ne!(naive.to_bits(), expected.sum.to_bits(), "{payload:?}");
        }
        let cancel = Expectation::new(Payload::Cancel, 8).summary();
        assert_eq!(cancel, "8 requests, 8 users, sum 1.001, avg 0.125125");
        let decimals = Expectation::new(Payload::Decimals, 1_000_000).summary();
        assert!(
            decimals.contains("75,000 users, sum 100000, avg 0.1"),
            "{decimals}"
        );
    }

    #[test]
    fn both_ways_to_round_an_average_are_right() {
        let expectation = Expectation {
            requests: 3,
            users: 3,
            sum: 1.0,
            avg: 0.25,
        };
        assert!(expectation.is_average(0.25) && expectation.is_average(1.0 / 3.0));
        assert!(!expectation.is_average(0.3));
    }

    #[test]
    fn no_events_have_the_average_zero() {
        let nothing = Expectation::new(Payload::Go, 0);
        assert_eq!((nothing.sum.to_bits(), nothing.avg.to_bits()), (0, 0));
        assert_eq!(nothing.summary(), "0 requests, 0 users, sum 0, avg 0");
    }

    #[test]
    fn every_difference_is_named() {
        let expectation = Expectation::new(Payload::Go, 1_000);
        let right = Stats {
            total_requests: 1_000,
            unique_users: 1_000,
            sum: 500_000.0,
            avg: 500.0,
        };
        assert_eq!(expectation.differences(&right), Vec::<String>::new());
        let wrong = Stats {
            total_requests: 999,
            unique_users: 1_001,
            sum: 499_999.5,
            avg: 500.5,
        };
        let expected = [
            "totalRequests is 999, expected 1,000 (1 too few)",
            "uniqueUsers is 1,001, expected 1,000 (1 too many)",
            "sum is 499999.5, expected 500000.0",
            "avg is 500.5, expected 500.0",
        ];
        assert_eq!(expectation.differences(&wrong), expected);
        let nearly = Stats {
            avg: 500.000_000_000_000_06,
            ..right
        };
        assert_eq!(
            expectation.differences(&nearly).len(),
            1,
            "one unit in the last place"
        );
    }
}
