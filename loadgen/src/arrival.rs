//! [`Arrival`]: how the requests of an open loop are spread over time; [`Process`]: one shard's
//! part of them.
//!
//! What must hold: arrivals are counted, not timed: one arrival per unit on average, whatever the
//! rate is then made of; they never go backwards; the same seed gives the same arrivals.

use crate::number::{approximate, parse_positive};
use crate::random::Random;

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// At equal distances.
    Constant,
    /// Independent of one another: exponential distances.
    Poisson,
    /// At equal distances, each moved by up to half a distance either way.
    Uniform,
    /// So many at once, at equal distances.
    Burst(u64),
}

impl Arrival {
    /// Reads `constant`, `poisson`, `uniform` or `burst:N`.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Arrival, String> {
        match (text, text.strip_prefix("burst:")) {
            ("constant", _) => Ok(Arrival::Constant),
            ("poisson", _) => Ok(Arrival::Poisson),
            ("uniform", _) => Ok(Arrival::Uniform),
            (_, Some(count)) => parse_positive(count).map(Arrival::Burst),
            _ => Err("arrivals are constant, poisson, uniform or burst:N".into()),
        }
    }
}

impl std::fmt::Display for Arrival {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Arrival::Constant => out.write_str("constant"),
            Arrival::Poisson => out.write_str("poisson"),
            Arrival::Uniform => out.write_str("uniform"),
            Arrival::Burst(count) => write!(out, "burst:{count}"),
        }
    }
}

/// The arrivals of one shard out of `shards`, in units of one arrival of the whole run.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    arrival: Arrival,
    random: Random,
    shard: u64,
    shards: u64,
    next: u64,
    /// Where the last Poisson arrival was.
    last: f64,
}

impl Process {
    /// The arrivals of `shard`.
    pub(crate) fn new(arrival: Arrival, seed: u64, shard: usize, shards: usize) -> Process {
        Process {
            arrival,
            random: Random::new(seed, shard as u64),
            shard: shard as u64,
            shards: shards as u64,
            next: 0,
            last: 0.0,
        }
    }
}

/// Never ends.
impl Iterator for Process {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let index = self.next;
        self.next += 1;
        let whole = index * self.shards + self.shard;
        Some(match self.arrival {
            Arrival::Constant => approximate(whole),
            // Shifted by half, so that none comes before the start.
            Arrival::Uniform => approximate(whole) + self.random.fraction(index),
            Arrival::Burst(count) => {
                let burst = index / count * self.shards + self.shard;
                approximate(burst) * approximate(count)
            }
            Arrival::Poisson => {
                // The shards' independent processes add up to one of the whole rate.
                self.last += self.random.exponential(index) * approximate(self.shards);
                self.last
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Arrival; 4] = [
        Arrival::Constant,
        Arrival::Poisson,
        Arrival::Uniform,
        Arrival::Burst(10),
    ];

    /// The arrivals of all shards, in order.
    fn merged(arrival: Arrival, shards: usize, each: usize) -> Vec<f64> {
        let process = |shard| Process::new(arrival, 1, shard, shards).take(each);
        let mut all: Vec<_> = (0..shards).flat_map(process).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The largest distance between the distribution of `gaps` and what it should be, which the
    /// test of Kolmogorov and Smirnov holds against `1.63 / sqrt(n)` for an error of 1 %.
    fn distance(mut gaps: Vec<f64>, expected: impl Fn(f64) -> f64) -> f64 {
        gaps.sort_by(f64::total_cmp);
        let count = approximate(gaps.len() as u64);
        let rank = |at: usize| approximate(at as u64) / count;
        let both = |(at, &gap): (usize, &f64)| {
            let expected = expected(gap);
            (expected - rank(at))
                .abs()
                .max((rank(at + 1) - expected).abs())
        };
        gaps.iter().enumerate().map(both).fold(0.0, f64::max)
    }

    #[test]
    fn one_arrival_comes_per_unit_on_average_and_none_goes_backwards() {
        for arrival in ALL {
            for shards in [1, 3] {
                let all = merged(arrival, shards, 30_000);
                assert!(all.is_sorted() && all[0] >= 0.0, "{arrival}");
                let mean = all[all.len() - 1] / approximate(all.len() as u64);
                assert!((mean - 1.0).abs() < 0.02, "{arrival} {shards}: {mean}");
            }
            let own: Vec<_> = Process::new(arrival, 1, 1, 3).take(1_000).collect();
            assert!(own.is_sorted(), "{arrival}: a shard's own");
        }
    }

    #[test]
    fn the_gaps_of_poisson_are_exponential_also_over_several_shards() {
        for shards in [1, 4] {
            let all = merged(Arrival::Poisson, shards, 10_000);
            // The tail of the merged run holds only the shards that are behind.
            let gaps = all[..9_000]
                .windows(2)
                .map(|pair| pair[1] - pair[0])
                .collect();
            let distance = distance(gaps, |gap| 1.0 - (-gap).exp());
            assert!(distance < 1.63 / 9_000_f64.sqrt(), "{shards}: {distance}");
        }
    }

    #[test]
    fn uniform_arrivals_are_uniform_within_their_place() {
        let all = merged(Arrival::Uniform, 2, 5_000);
        let offsets = all.iter().map(|at| at.fract()).collect();
        let distance = distance(offsets, |offset| offset);
        assert!(distance < 1.63 / 10_000_f64.sqrt(), "{distance}");
    }

    #[test]
    fn constant_and_burst_are_exact() {
        assert_eq!(
            merged(Arrival::Constant, 2, 3),
            [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        );
        let burst = merged(Arrival::Burst(3), 2, 4);
        assert_eq!(burst, [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 9.0]);
    }

    #[test]
    fn names_are_read_and_written() {
        for text in ["constant", "poisson", "uniform", "burst:100"] {
            assert_eq!(Arrival::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "burst", "burst:", "burst:0", "pareto"] {
            assert!(Arrival::parse(text).is_err(), "{text}");
        }
    }
}
