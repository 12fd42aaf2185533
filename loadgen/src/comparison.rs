//! [`Comparison`]: what repeated runs of two servers say about their difference.
//!
//! What must hold: the unit is one run; a difference is shown only when the rank test and the
//! interval of the ratio agree; when none is shown, it says how large one could have been missed.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::record::Record;
use crate::statistics::{median, rank_test, ratio, ratio_interval};

/// How improbable a difference must be by chance before it is shown. Several quantities are
/// compared at once, so that 5 % would be too much.
const P_MAX: f64 = 0.01;
/// The fewest runs on each side.
pub(crate) const RUNS_MIN: usize = 5;

/// What is compared, and whether more of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// How it is called.
    pub(crate) name: &'static str,
    more_is_better: bool,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    PerSecond,
    Nanoseconds,
    Microseconds,
}

/// Everything that is compared; the first one decides the exit code of a closed loop, the second
/// that of an open one.
pub(crate) const QUANTITIES: [Quantity; 4] = [
    Quantity {
        name: "rate",
        more_is_better: true,
        unit: Unit::PerSecond,
    },
    Quantity {
        name: "p99",
        more_is_better: false,
        unit: Unit::Nanoseconds,
    },
    Quantity {
        name: "p50",
        more_is_better: false,
        unit: Unit::Nanoseconds,
    },
    Quantity {
        name: "server CPU",
        more_is_better: false,
        unit: Unit::Microseconds,
    },
];

impl Quantity {
    /// What it is in one run, if that is known.
    pub(crate) fn of(self, record: &Record) -> Option<f64> {
        let at = |name| {
            record
                .latency
                .response
                .at(name)
                .map(crate::number::approximate)
        };
        match self.name {
            "rate" => Some(record.rate.ok),
            "p99" => at("99"),
            "p50" => at("50"),
            _ => record.server.as_ref()?.cpu_us_per_request,
        }
    }

    fn show(self, value: f64) -> String {
        match self.unit {
            Unit::PerSecond => format!(
                "{}/s",
                crate::number::grouped(crate::number::rounded(value))
            ),
            Unit::Nanoseconds => {
                crate::duration::short(std::time::Duration::from_secs_f64(value / 1e9))
            }
            Unit::Microseconds => format!("{value:.2} µs"),
        }
    }
}

/// What is said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Judgement {
    /// B is better.
    Better,
    /// B is worse.
    Worse,
    /// None is shown.
    NoChangeShown,
}

/// One quantity of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// Which.
    pub(crate) metric: String,
    /// The middle of each side.
    pub(crate) median_a: f64,
    /// See `median_a`.
    pub(crate) median_b: f64,
    /// B by A, as Hodges and Lehmann estimate it.
    pub(crate) ratio: f64,
    /// Where it lies with 95 %.
    pub(crate) ci95: [f64; 2],
    /// Two-sided, Mann and Whitney.
    pub(crate) p: f64,
    /// How many runs there are.
    pub(crate) n_a: usize,
    /// See `n_a`.
    pub(crate) n_b: usize,
    /// What difference these runs would have shown, as a share.
    pub(crate) minimal_detectable: f64,
    /// What is said of it.
    pub(crate) verdict: Judgement,
}

impl Comparison {
    /// Compares one quantity; nothing when it is not known of enough runs.
    pub(crate) fn of(quantity: Quantity, a: &[Record], b: &[Record]) -> Option<Comparison> {
        let values = |side: &[Record]| -> Vec<f64> {
            side.iter()
                .filter_map(|record| quantity.of(record))
                .collect()
        };
        Comparison::of_values(quantity, &values(a), &values(b))
    }

    /// The same from the values.
    pub(crate) fn of_values(quantity: Quantity, a: &[f64], b: &[f64]) -> Option<Comparison> {
        if a.len().min(b.len()) < RUNS_MIN || median(a)? <= 0.0 {
            return None;
        }
        let (ratio, p) = (ratio(a, b)?, rank_test(a, b)?);
        let (low, high) = ratio_interval(a, b, 1)?;
        let shown = p < P_MAX && !(low..=high).contains(&1.0);
        let verdict = match (shown, (ratio > 1.0) == quantity.more_is_better) {
            (false, _) => Judgement::NoChangeShown,
            (true, true) => Judgement::Better,
            (true, false) => Judgement::Worse,
        };
        Some(Comparison {
            metric: quantity.name.into(),
            median_a: median(a)?,
            median_b: median(b)?,
            ratio,
            ci95: [low, high],
            p,
            n_a: a.len(),
            n_b: b.len(),
            minimal_detectable: (high - ratio).max(ratio - low),
            verdict,
        })
    }
}

/// Compares everything that is known of both sides.
pub(crate) fn all(a: &[Record], b: &[Record]) -> Vec<Comparison> {
    QUANTITIES
        .iter()
        .filter_map(|&quantity| Comparison::of(quantity, a, b))
        .collect()
}

/// Writes the table.
///
/// # Errors
/// As `out`.
pub(crate) fn write(out: &mut dyn Write, comparisons: &[Comparison]) -> io::Result<()> {
    writeln!(
        out,
        "{:<12}{:>14}{:>14}{:>8}  {:<16}{:>8}",
        "", "A median", "B median", "B/A", "95% CI", "p"
    )?;
    for one in comparisons {
        let known = QUANTITIES
            .into_iter()
            .find(|quantity| quantity.name == one.metric);
        let show = |value| known.map_or_else(|| value_of(value), |quantity| quantity.show(value));
        let [low, high] = one.ci95;
        let said = match one.verdict {
            Judgement::Better => "B better".to_owned(),
            Judgement::Worse => "B worse".to_owned(),
            Judgement::NoChangeShown => {
                format!(
                    "no change shown (could see {:.1} %)",
                    one.minimal_detectable * 100.0
                )
            }
        };
        writeln!(
            out,
            "{:<12}{:>14}{:>14}{:>8.3}  {:<16}{:>8.4}   {said}",
            one.metric,
            show(one.median_a),
            show(one.median_b),
            one.ratio,
            format!("[{low:.3}, {high:.3}]"),
            one.p
        )?;
    }
    Ok(())
}

fn value_of(value: f64) -> String {
    format!("{value:.3}")
}

/// Whether B is shown to be worse in what counts most: the rate, or the times of an open loop.
pub(crate) fn is_worse(comparisons: &[Comparison], open: bool) -> bool {
    let main = QUANTITIES[usize::from(open)].name;
    let mut rows = comparisons.iter();
    rows.any(|one| one.metric == main && one.verdict == Judgement::Worse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn sample(seed: u64, mean: f64) -> Vec<f64> {
        let random = Random::new(seed, 3);
        (0..10)
            .map(|at| mean * (1.0 + 0.04 * (random.fraction(at) - 0.5)))
            .collect()
    }

    fn judged(quantity: Quantity, b: f64) -> Judgement {
        let (a, b) = (sample(1, 100.0), sample(2, b));
        Comparison::of_values(quantity, &a, &b).unwrap().verdict
    }

    #[test]
    fn better_is_more_of_the_rate_and_less_of_the_times() {
        let [rate, p99, ..] = QUANTITIES;
        assert_eq!(
            (judged(rate, 110.0), judged(rate, 90.0)),
            (Judgement::Better, Judgement::Worse)
        );
        assert_eq!(
            (judged(p99, 110.0), judged(p99, 90.0)),
            (Judgement::Worse, Judgement::Better)
        );
        assert_eq!(judged(rate, 100.0), Judgement::NoChangeShown);
    }

    #[test]
    fn four_runs_are_not_enough() {
        let few = &sample(1, 1.0)[..4];
        assert!(Comparison::of_values(QUANTITIES[0], few, &sample(2, 9.0)).is_none());
    }

    /// A server against itself: at most three of fifty may look different, and of a thousand far
    /// fewer than 1 %, since two tests must agree.
    #[test]
    fn a_server_is_seldom_different_from_itself() {
        let alarms = |count: u64| {
            let differs = |&seed: &u64| {
                let (a, b) = (sample(seed, 100.0), sample(seed + 9_999, 100.0));
                let one = Comparison::of_values(QUANTITIES[0], &a, &b).unwrap();
                one.verdict != Judgement::NoChangeShown
            };
            (0..count).filter(differs).count()
        };
        assert!(alarms(50) <= 3);
    }

    #[test]
    fn the_table_says_what_could_have_been_seen() {
        let one = Comparison::of_values(QUANTITIES[0], &sample(1, 1e5), &sample(2, 1e5)).unwrap();
        let mut text = Vec::new();
        write(&mut text, std::slice::from_ref(&one)).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.contains("no change shown (could see") && text.contains("/s"),
            "{text}"
        );
        assert!(!is_worse(&[one], false));
    }
}
