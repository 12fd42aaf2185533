//! [`Expectation`]: what `/stats` must say after a run, by exact arithmetic.
//!
//! What must hold: no floating point is added up anywhere; a double appears only at the end, as
//! the one rounding that the challenge asks for.

use crate::number::{approximate, grouped};
use crate::payload::{Payload, VALUE_PERIOD};
use crate::stats::Stats;

/// The most events that are judged: their sum still is a double without rounding.
pub(crate) const EVENT_COUNT_MAX: u64 = 1_000_000_000_000;

/// What the server must have counted, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expectation {
    requests: u64,
    users: u64,
    /// Twice the sum of the values: a whole number.
    sum_halves: i128,
}

impl Expectation {
    /// What the events `0..count` of `payload` come to.
    ///
    /// # Panics
    /// If `count` is over [`EVENT_COUNT_MAX`].
    pub(crate) fn new(payload: Payload, count: u64) -> Expectation {
        assert!(count <= EVENT_COUNT_MAX, "{count} events");
        let (periods, rest) = (count / VALUE_PERIOD, count % VALUE_PERIOD);
        // The first k integers add up to k(k-1)/2; each event of most payloads has half on top.
        let first = |k: u64| i128::from(k) * (i128::from(k) - 1);
        let halves = if payload.has_halves() {
            i128::from(count)
        } else {
            0
        };
        Expectation {
            requests: count,
            users: payload.user_count(count),
            sum_halves: i128::from(periods) * first(VALUE_PERIOD) + first(rest) + halves,
        }
    }

    /// The sum as a double: exact, as it is below 2^52 in halves of one.
    #[expect(
        clippy::cast_precision_loss,
        reason = "`EVENT_COUNT_MAX` keeps it exact"
    )]
    pub(crate) fn sum(&self) -> f64 {
        self.sum_halves as f64 / 2.0
    }

    /// The correctly rounded quotient of sum and count; 0 without events.
    pub(crate) fn avg(&self) -> f64 {
        match self.requests {
            0 => 0.0,
            // Both operands are exact, so the one division rounds correctly.
            requests => self.sum() / approximate(requests),
        }
    }

    /// The four numbers for the verdict: `1,000,000 requests, 75,000 users, sum .., avg ..`.
    pub(crate) fn summary(&self) -> String {
        let (requests, users) = (grouped(self.requests), grouped(self.users));
        format!(
            "{requests} requests, {users} users, sum {}, avg {}",
            self.sum(),
            self.avg()
        )
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
        for (name, actual, expected) in [
            ("sum", stats.sum, self.sum()),
            ("avg", stats.avg, self.avg()),
        ] {
            if actual.to_bits() != expected.to_bits() {
                all.push(format!("{name} is {actual:?}, expected {expected:?}"));
            }
        }
        all
    }
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
            let mut halves = 0;
            for count in 0..3_500_u64 {
                assert_eq!(
                    Expectation::new(payload, count).sum_halves,
                    halves,
                    "{payload:?}"
                );
                halves += 2 * i128::from(count % 1_000) + i128::from(payload.has_halves());
            }
        }
    }

    #[test]
    fn the_sum_stays_exact_up_to_the_bound() {
        for payload in ALL {
            for count in [EVENT_COUNT_MAX, EVENT_COUNT_MAX - 1, EVENT_COUNT_MAX - 999] {
                let expectation = Expectation::new(payload, count);
                assert!(expectation.sum_halves < 1 << 52);
                let printed = format!("{:.0}", expectation.sum() * 2.0);
                assert_eq!(printed, expectation.sum_halves.to_string());
            }
        }
    }

    #[test]
    fn no_events_have_the_average_zero() {
        let nothing = Expectation::new(Payload::Go, 0);
        assert_eq!((nothing.sum().to_bits(), nothing.avg().to_bits()), (0, 0));
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
