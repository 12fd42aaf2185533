//! Statistics of repeated measurements: medians, ratios with intervals, rank tests, trends.
//!
//! What must hold: the unit is one run; nothing assumes that runs are normally distributed; the
//! same seed gives the same interval.

use crate::number::approximate;
use crate::random::Random;

/// How often the bootstrap draws.
const DRAWS: u64 = 4_000;
/// Up to so many runs on both sides together the rank test counts all orders.
const EXACT_MAX: usize = 40;

/// The middle value; `None` without values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    middle(&sorted)
}

fn middle(sorted: &[f64]) -> Option<f64> {
    let (half, odd) = (sorted.len() / 2, sorted.len() % 2 == 1);
    match sorted.len() {
        0 => None,
        _ if odd => Some(sorted[half]),
        _ => Some(f64::midpoint(sorted[half - 1], sorted[half])),
    }
}

/// The ratio `b / a` as Hodges and Lehmann estimate a shift: the median of all pairs' ratios.
pub(crate) fn ratio(a: &[f64], b: &[f64]) -> Option<f64> {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| b / a));
    median(&pairs.collect::<Vec<_>>())
}

/// The interval in which the ratio lies with a confidence of 95 %: bootstrap of both sides.
pub(crate) fn ratio_interval(a: &[f64], b: &[f64], seed: u64) -> Option<(f64, f64)> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let random = Random::new(seed, 0);
    let mut at = 0;
    let mut draw = |from: &[f64]| -> Vec<f64> {
        let mut sample = Vec::with_capacity(from.len());
        for _ in from {
            let index = random.below(from.len() as u64, at);
            sample.push(from[usize::try_from(index).expect("less than a length")]);
            at += 1;
        }
        sample
    };
    let mut ratios: Vec<f64> = Vec::new();
    for _ in 0..DRAWS {
        let (a, b) = (draw(a), draw(b));
        ratios.extend(ratio(&a, &b));
    }
    ratios.sort_by(f64::total_cmp);
    let last = ratios.len() - 1;
    Some((ratios[last * 25 / 1_000], ratios[last * 975 / 1_000]))
}

/// How probable it is that two sides without a difference look at least so different: the rank
/// test of Mann and Whitney, two-sided. Exact without ties up to 40 values.
pub(crate) fn rank_test(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let won = |one: &f64, other: &f64| match one.total_cmp(other) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let wins: f64 = a
        .iter()
        .flat_map(|one| b.iter().map(move |other| won(one, other)))
        .sum();
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    all.sort_by(f64::total_cmp);
    let tied = all
        .windows(2)
        .any(|pair| pair[0].to_bits() == pair[1].to_bits());
    if !tied && all.len() <= EXACT_MAX {
        return Some(exact_p(wins, a.len(), b.len()));
    }
    let pairs = approximate(a.len() as u64) * approximate(b.len() as u64);
    let count = approximate(all.len() as u64);
    let deviation = (pairs / 12.0 * (count + 1.0 - tie_term(&all)))
        .max(0.0)
        .sqrt();
    if deviation == 0.0 {
        return Some(1.0);
    }
    let z = ((wins - pairs / 2.0).abs() - 0.5).max(0.0) / deviation;
    Some(2.0 * upper_tail(z))
}

/// What ties take from the variance.
fn tie_term(sorted: &[f64]) -> f64 {
    let count = approximate(sorted.len() as u64);
    let groups = sorted.chunk_by(|a, b| a.to_bits() == b.to_bits());
    let ties: f64 = groups
        .map(|group| approximate(group.len() as u64))
        .map(|t| t.powi(3) - t)
        .sum();
    ties / (count * (count - 1.0))
}

/// The two-sided probability by counting all orders of `n` and `m` values.
fn exact_p(u: f64, n: usize, m: usize) -> f64 {
    // ways[i][s]: in how many orders the first i of a come to s wins, built up over b.
    let most = n * m;
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    // Count partitions of s into at most n parts, each at most m.
    for part in 1..=m {
        for used in 1..=n {
            for sum in part..=most {
                ways[used][sum] += ways[used - 1][sum - part];
            }
        }
    }
    let mut of_sum = vec![0.0; most + 1];
    for used in &ways {
        for (sum, count) in used.iter().enumerate() {
            of_sum[sum] += count;
        }
    }
    let total: f64 = of_sum.iter().sum();
    let far = (u - approximate(most as u64) / 2.0).abs();
    let extreme = of_sum.iter().enumerate().filter(|(sum, _)| {
        (approximate(*sum as u64) - approximate(most as u64) / 2.0).abs() >= far - 1e-9
    });
    (extreme.map(|(_, count)| count).sum::<f64>() / total).min(1.0)
}

/// The probability of a normal variable above `z` (Abramowitz and Stegun 26.2.17).
pub(crate) fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let factors = [
        0.319_381_530,
        -0.356_563_782,
        1.781_477_937,
        -1.821_255_978,
        1.330_274_429,
    ];
    let sum = factors
        .iter()
        .rev()
        .fold(0.0, |sum, factor| (sum + factor) * t);
    (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

/// Whether a series goes up or down: the test of Mann and Kendall at 1 %, and a change of at least
/// `share` of the median from end to end (Sen's slope).
pub(crate) fn has_trend(series: &[f64], share: f64) -> bool {
    let count = series.len();
    let Some(middle) = median(series).filter(|middle| count >= 8 && *middle > 0.0) else {
        return false;
    };
    let (mut sum, mut slopes) = (0.0, Vec::new());
    for (at, early) in series.iter().enumerate() {
        for (later, late) in series.iter().enumerate().skip(at + 1) {
            sum += (late - early)
                .partial_cmp(&0.0)
                .map_or(0.0, |order| f64::from(order as i8));
            slopes.push((late - early) / approximate((later - at) as u64));
        }
    }
    let n = approximate(count as u64);
    let deviation = (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt();
    let p = 2.0 * upper_tail((sum.abs() - 1.0).max(0.0) / deviation);
    let change = median(&slopes).unwrap_or(0.0).abs() * (n - 1.0);
    p < 0.01 && change > share * middle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seed: u64, count: u64, mean: f64) -> Vec<f64> {
        let random = Random::new(seed, 1);
        (0..count)
            .map(|at| mean * (1.0 + 0.1 * (random.fraction(at) - 0.5)))
            .collect()
    }

    #[test]
    fn medians_and_ratios() {
        assert_eq!((median(&[]), median(&[3.0, 1.0, 2.0])), (None, Some(2.0)));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(ratio(&[1.0, 2.0, 4.0], &[2.0, 4.0, 8.0]), Some(2.0));
        assert_eq!(ratio_interval(&[], &[1.0], 1), None);
    }

    #[test]
    fn the_exact_test_agrees_with_the_tables() {
        // Three against three with nothing in common: 2 of 20 orders.
        let p = rank_test(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert!((p - 0.1).abs() < 1e-12, "{p}");
        // Four against four, U = 1: 2 * 2 / 70.
        let p = rank_test(&[1.0, 2.0, 3.0, 5.0], &[4.0, 6.0, 7.0, 8.0]).unwrap();
        assert!((p - 4.0 / 70.0).abs() < 1e-12, "{p}");
        assert_eq!(rank_test(&[1.0, 1.0], &[1.0, 1.0]), Some(1.0));
        let tied = rank_test(&[1.0, 2.0, 2.0, 3.0], &[2.0, 4.0, 5.0, 6.0]).unwrap();
        assert!((0.05..0.2).contains(&tied), "{tied}");
    }

    #[test]
    fn the_normal_tail_agrees_with_the_tables() {
        for (z, p) in [
            (0.0, 0.5),
            (1.0, 0.158_655),
            (1.96, 0.024_998),
            (3.0, 0.001_350),
        ] {
            assert!((upper_tail(z) - p).abs() < 1e-5, "{z}");
        }
    }

    #[test]
    fn a_real_difference_is_shown_and_its_ratio_lies_in_the_interval() {
        let (a, b) = (sample(1, 12, 100.0), sample(2, 12, 110.0));
        let (low, high) = ratio_interval(&a, &b, 1).unwrap();
        assert!(
            low > 1.02 && low < 1.1 && high > 1.1 && high < 1.2,
            "{low} {high}"
        );
        assert!(rank_test(&a, &b).unwrap() < 0.01);
    }

    /// Of a thousand comparisons without a difference about fifty may raise an alarm at 5 %.
    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let alarms = (0..1_000)
            .filter(|&seed| {
                let (a, b) = (sample(seed, 10, 100.0), sample(seed + 5_000, 10, 100.0));
                rank_test(&a, &b).unwrap() < 0.05
            })
            .count();
        assert!(alarms <= 65, "{alarms} of 1,000");
    }

    #[test]
    fn a_trend_is_told_from_noise() {
        let noise = sample(3, 40, 100.0);
        assert!(!has_trend(&noise, 0.05));
        let rising: Vec<_> = noise
            .iter()
            .zip(0_u32..)
            .map(|(value, at)| value + f64::from(at) / 2.0)
            .collect();
        assert!(has_trend(&rising, 0.05), "20 % from end to end");
        assert!(!has_trend(&rising, 0.5), "and not half");
        assert!(
            !has_trend(&rising[..7], 0.0) && !has_trend(&[], 0.0),
            "too few to say"
        );
    }
}
