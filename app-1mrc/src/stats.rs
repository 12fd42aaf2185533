//! [`Stats`]: the four figures of `GET /stats`, and their exact JSON.
//!
//! What must hold: both doubles are finite and never `-0.0`, as [`ExactSum`] gives them.
//!
//! [`ExactSum`]: crate::exact_sum::ExactSum

use std::fmt;

/// What is known of one set of events. Displayed as JSON on one line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// How many events there are.
    pub total_requests: u64,
    /// How many different users sent them.
    pub unique_users: u64,
    /// The double nearest to the exact sum of their values, at most `f64::MAX` either way.
    pub sum: f64,
    /// The double nearest to the exact sum divided by the count; zero without events.
    pub avg: f64,
}

impl fmt::Display for Stats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            r#"{{"totalRequests":{},"uniqueUsers":{},"sum":{},"avg":{}}}"#,
            self.total_requests,
            self.unique_users,
            Number(self.sum),
            Number(self.avg)
        )
    }
}

/// A finite double as a JSON number, with the fewest digits that read back as the same double.
///
/// As in JavaScript, numbers from 1e-6 up to 1e21 are written without an exponent, so a whole
/// number is an integer literal that every client's parser takes.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.abs();
        if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
            write!(out, "{}", self.0)
        } else {
            write!(out, "{:e}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> String {
        Number(value).to_string()
    }

    #[test]
    fn no_events_are_four_zeros() {
        let expected = r#"{"totalRequests":0,"uniqueUsers":0,"sum":0,"avg":0}"#;
        assert_eq!(Stats::default().to_string(), expected);
    }

    #[test]
    fn the_official_run_is_written_in_whole_numbers() {
        let stats = Stats {
            total_requests: 1_000_000,
            unique_users: 75_000,
            sum: 499_500_000.0,
            avg: 499.5,
        };
        let expected =
            r#"{"totalRequests":1000000,"uniqueUsers":75000,"sum":499500000,"avg":499.5}"#;
        assert_eq!(stats.to_string(), expected);
    }

    #[test]
    fn numbers_read_back_as_the_same_double() {
        let values = [
            0.1,
            1.0 / 3.0,
            123_456.789,
            9_007_199_254_740_993.0,
            1e20,
            1e21,
            1.5e300,
            1e-6,
            9.9e-7,
            5e-324,
            f64::MIN_POSITIVE,
            f64::MAX,
        ];
        for value in values.into_iter().flat_map(|value| [value, -value]) {
            let text = number(value);
            assert_eq!(
                text.parse::<f64>().unwrap().to_bits(),
                value.to_bits(),
                "{text}"
            );
            assert_eq!(
                serde_json::from_str::<f64>(&text).unwrap().to_bits(),
                value.to_bits()
            );
        }
    }

    #[test]
    fn exponents_appear_only_where_digits_would_run_long() {
        assert_eq!(number(100_000.0), "100000");
        assert_eq!(number(1e20), "100000000000000000000");
        assert_eq!(number(1e21), "1e21");
        assert_eq!(number(0.000_001), "0.000001");
        assert_eq!(number(1e-7), "1e-7");
        assert_eq!(number(f64::MAX), "1.7976931348623157e308");
        assert_eq!(number(-2.5), "-2.5");
    }
}
