//! [`Random`]: numbers that look random and come again with the same seed.
//!
//! What must hold: the number with an index depends on nothing but seed and index, so that what
//! was sent can be computed again afterwards.

use crate::number::approximate;

/// A sequence of numbers, each found from its index alone (`SplitMix64`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Random {
    seed: u64,
}

impl Random {
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The sequence of a seed; `stream` keeps several of one seed apart.
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random {
            seed: mix(seed.wrapping_add(mix(stream.wrapping_mul(Random::GAMMA)))),
        }
    }

    /// The number with this index.
    #[inline]
    pub(crate) fn at(self, index: u64) -> u64 {
        mix(self.seed.wrapping_add(index.wrapping_mul(Random::GAMMA)))
    }

    /// The same within `0..bound`, for bounds far below 2^64.
    #[inline]
    pub(crate) fn below(self, bound: u64, index: u64) -> u64 {
        let product = u128::from(self.at(index)) * u128::from(bound);
        u64::try_from(product >> 64).expect("the upper half")
    }

    /// The same as a fraction within `0..1`, never 0 and never 1.
    #[inline]
    pub(crate) fn fraction(self, index: u64) -> f64 {
        (approximate(self.at(index) >> 11) + 0.5) / approximate(1 << 53)
    }

    /// The same with the exponential distribution of mean 1.
    #[inline]
    pub(crate) fn exponential(self, index: u64) -> f64 {
        -self.fraction(index).ln()
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_again_with_their_seed_and_only_with_it() {
        let numbers = |seed, stream| (0..4).map(move |at| Random::new(seed, stream).at(at));
        assert!(numbers(1, 0).eq(numbers(1, 0)));
        assert!(!numbers(1, 0).eq(numbers(2, 0)) && !numbers(1, 0).eq(numbers(1, 1)));
    }

    #[test]
    fn bounds_and_means_are_kept() {
        let random = Random::new(7, 0);
        let mut seen = [0_u32; 10];
        let mut sum = 0.0;
        for index in 0..100_000 {
            seen[usize::try_from(random.below(10, index)).unwrap()] += 1;
            assert!((f64::MIN_POSITIVE..1.0).contains(&random.fraction(index)));
            sum += random.exponential(index);
        }
        assert!(
            seen.iter().all(|count| (9_500..10_500).contains(count)),
            "{seen:?}"
        );
        assert!((sum / 100_000.0 - 1.0).abs() < 0.02, "{sum}");
    }
}
