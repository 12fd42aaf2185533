//! `ExactSum` against an oracle of big integers that computes no rounding of its own.
#![expect(clippy::float_cmp, reason = "sums are to be exact to the last bit")]

#[path = "oracle/big.rs"]
mod big;
#[path = "oracle/random.rs"]
mod random;

use app_1mrc::exact_sum::ExactSum;
use big::{Big, assert_nearest, exact};
use random::Random;

fn accumulated(values: &[f64]) -> ExactSum {
    let mut sum = ExactSum::new();
    for &value in values {
        sum.add(value);
    }
    sum
}

#[track_caller]
fn check(values: &[f64]) {
    let (sum, oracle) = (accumulated(values), exact(values));
    let count = values.len() as u64;
    assert_nearest(sum.sum(), oracle, 1);
    for count in [count, 1, 2, 3, 7, 1_000_000, u64::MAX, 1 << 63] {
        if count > 0 {
            assert_nearest(sum.quotient(count), oracle, count);
        }
    }
}

fn sum_of(values: &[f64]) -> f64 {
    accumulated(values).sum()
}

/// A double of a kind that is hard in its own way.
fn hard(random: &mut Random, kind: usize) -> f64 {
    let bits = random.bits();
    let sign = bits & (1 << 63);
    let fraction = bits & ((1 << 52) - 1);
    let exponent = match kind {
        0 => random.bits() % 0x7ff,     // any double
        1 => 0,                         // denormals
        2 => 0x7fe - random.bits() % 4, // the largest
        3 => 0x3ff + random.bits() % 3, // around one
        4 => 0x3ff - 60 + random.bits() % 120,
        _ => random.bits() % 64, // the smallest, on both sides of the denormals
    };
    // Few bits make ties likely.
    let fraction = if random.below(3) == 0 {
        fraction & (0b11 << 50)
    } else {
        fraction
    };
    f64::from_bits(sign | (exponent << 52) | fraction)
}

fn hard_values(random: &mut Random, len: usize) -> Vec<f64> {
    let kind = random.below(6);
    let mut values: Vec<f64> = (0..len).map(|_| hard(random, kind)).collect();
    for at in 0..len / 3 {
        if random.below(2) == 0 {
            values.push(-values[at]); // cancels
        }
    }
    values
}

fn shuffle(random: &mut Random, values: &mut [f64]) {
    for at in (1..values.len()).rev() {
        values.swap(at, random.below(at + 1));
    }
}

#[test]
fn the_examples_of_the_challenge_hold() {
    assert_eq!(sum_of(&vec![0.1; 1_000_000]), 100_000.0);
    assert_eq!(sum_of(&[1e16, 1.0, -1e16]), 1.0);
    assert_eq!(sum_of(&[1e308, 1e308, -1e308, -1e308]), 0.0);
    let official: Vec<f64> = (0..1_000_000)
        .map(|at| f64::from(at % 1000) + 0.5)
        .collect();
    assert_eq!(sum_of(&official), 500_000_000.0);
    assert_eq!(accumulated(&official).quotient(1_000_000), 500.0);
}

#[test]
fn zero_is_never_negative() {
    for values in [
        &[][..],
        &[-0.0],
        &[0.0, -0.0],
        &[-1.5, 1.5],
        &[5e-324, -5e-324],
    ] {
        assert_eq!(sum_of(values).to_bits(), 0);
        assert_eq!(accumulated(values).quotient(3).to_bits(), 0);
    }
    assert_eq!(accumulated(&[-5e-324]).quotient(3).to_bits(), 0);
    assert_eq!(accumulated(&[-1.0]).quotient(0).to_bits(), 0);
}

#[test]
fn a_sum_out_of_range_is_the_largest_double() {
    assert_eq!(sum_of(&[f64::MAX, f64::MAX]), f64::MAX);
    assert_eq!(sum_of(&[f64::MIN; 9]), f64::MIN);
    // Half a unit in the last place of MAX makes infinity by IEEE 754; less does not.
    let half = 2_f64.powi(970);
    assert_eq!(sum_of(&[f64::MAX, half]), f64::MAX);
    assert_eq!(sum_of(&[f64::MAX, half.next_down()]), f64::MAX);
    assert_eq!(sum_of(&vec![f64::MAX; 100_000]), f64::MAX);
    assert_eq!(
        accumulated(&vec![f64::MAX; 100_000]).quotient(100_000),
        f64::MAX
    );
    assert_eq!(accumulated(&[1e308; 4]).quotient(4), 1e308);
}

#[test]
fn ties_go_to_the_even_double() {
    let ulp = f64::EPSILON;
    assert_eq!(sum_of(&[1.0, ulp / 2.0]), 1.0);
    assert_eq!(sum_of(&[1.0 + ulp, ulp / 2.0]), 1.0 + 2.0 * ulp);
    assert_eq!(sum_of(&[1.0, ulp / 2.0, 5e-324]), 1.0 + ulp);
    assert_eq!(sum_of(&[1.0 + ulp, ulp / 2.0, -5e-324]), 1.0 + ulp);
    assert_eq!(sum_of(&[2.0 - ulp, ulp / 2.0]), 2.0);
    assert_eq!(accumulated(&[5e-324]).quotient(2), 0.0);
    assert_eq!(accumulated(&[1.5e-323]).quotient(2), 1e-323);
}

#[test]
fn one_double_is_its_own_sum() {
    let mut random = Random::new(1);
    for round in 0..100_000 {
        let value = hard(&mut random, round % 6);
        assert_eq!(sum_of(&[value]), value);
        assert_eq!(accumulated(&[value; 3]).quotient(3), value);
    }
}

#[test]
fn sums_and_quotients_are_the_nearest_doubles() {
    for seed in 0..1500 {
        let mut random = Random::new(seed);
        let len = random.below(24);
        check(&hard_values(&mut random, len));
    }
}

#[test]
fn long_runs_carry_without_loss() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        check(&hard_values(&mut random, 5000));
    }
    check(&vec![f64::MAX; 5000]);
    check(&vec![f64::MIN; 5000]);
    check(&vec![-f64::MIN_POSITIVE; 5000]);
}

#[test]
fn order_and_sharding_do_not_matter() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut values = hard_values(&mut random, 300);
        let expected = accumulated(&values);
        shuffle(&mut random, &mut values);
        let mut shards = vec![ExactSum::new(); 1 + random.below(9)];
        for &value in &values {
            let shard = random.below(shards.len());
            shards[shard].add(value);
        }
        let mut merged = shards.pop().expect("there is a shard");
        for shard in &shards {
            merged.merge(shard);
        }
        assert_eq!(merged.sum().to_bits(), expected.sum().to_bits());
        assert_eq!(merged.quotient(7).to_bits(), expected.quotient(7).to_bits());
        merged.add(1.0);
        values.push(1.0);
        assert_nearest(merged.sum(), exact(&values), 1);
    }
}

#[test]
fn merging_doubles_the_largest_sum_sixty_times() {
    // 2^60 times the largest double: what 2^60 events could make, and no bit of it is lost.
    let mut sum = accumulated(&[f64::MAX]);
    for _ in 0..60 {
        let copy = sum.clone();
        sum.merge(&copy);
    }
    assert_eq!(sum.sum(), f64::MAX);
    assert_eq!(sum.quotient(1 << 60), f64::MAX);
    sum.add(-1.0);
    assert_nearest(
        sum.quotient(1 << 60),
        Big::of(f64::MAX).times(1 << 60),
        1 << 60,
    );
}

#[test]
#[should_panic(expected = "only finite values")]
fn infinity_is_refused() {
    sum_of(&[f64::INFINITY]);
}
