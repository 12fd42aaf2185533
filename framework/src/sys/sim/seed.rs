//! [`Seed`]: the one source of every choice that a simulation makes.
//!
//! What must hold: the same number, or the same bytes, give the same choices on every machine.

/// A stream of choices: from a number (`SplitMix64`), or from bytes that a fuzzer has chosen and,
/// after them, from a number that follows from them.
///
/// # Examples
/// ```
/// use sunstar::testing::Seed;
///
/// let (mut one, mut other) = (Seed::new(7), Seed::new(7));
/// assert_eq!(one.below(100), other.below(100));
/// ```
#[derive(Clone, Debug)]
pub struct Seed {
    state: u64,
    /// What is left of a fuzzer's bytes, last first.
    bytes: Vec<u8>,
}

impl Seed {
    /// The choices that follow from a number.
    pub fn new(number: u64) -> Seed {
        Seed {
            state: number,
            bytes: Vec::new(),
        }
    }

    /// The choices that bytes spell out: one byte for a choice among up to 256, more for others.
    pub fn from_bytes(bytes: &[u8]) -> Seed {
        let fold =
            |state: u64, &byte: &u8| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Seed {
            state: bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold),
            bytes: bytes.iter().rev().copied().collect(),
        }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0: there is no such number.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        let mut spelled = None;
        let mut reach = 1_u64;
        while reach < bound
            && let Some(byte) = self.bytes.pop()
        {
            spelled = Some(spelled.unwrap_or(0) << 8 | u64::from(byte));
            reach = reach.saturating_mul(256);
        }
        // The bias of a remainder does not matter here.
        spelled.unwrap_or_else(|| self.number()) % bound
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "no number from {low} to {high}");
        low + self.below((high - low).saturating_add(1))
    }

    /// A length from `low` to `high`, both included.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn len(&mut self, low: usize, high: usize) -> usize {
        let len = self.between(low as u64, high as u64);
        usize::try_from(len).expect("at most `high`")
    }

    /// True once in `count` times; never for 0.
    pub fn one_in(&mut self, count: u64) -> bool {
        count > 0 && self.below(count) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.len(0, choices.len() - 1)]
    }

    /// Another stream, which follows from this one and disturbs it no further.
    #[must_use]
    pub fn fork(&mut self) -> Seed {
        Seed::new(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // From the reference implementation (prng.di.unimi.it), seed 1234567.
        let mut seed = Seed::new(1_234_567);
        assert_eq!(seed.number(), 6_457_827_717_110_365_317);
        assert_eq!(seed.number(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn bytes_are_choices_until_they_are_used_up() {
        let mut seed = Seed::from_bytes(&[5, 0, 1, 2]);
        assert_eq!(seed.below(10), 5);
        assert!(seed.one_in(100));
        assert_eq!(seed.below(1000), 0x0102);
        let mut other = Seed::from_bytes(&[5, 0, 1, 2]);
        other.bytes.clear();
        assert_eq!(seed.below(1000), other.below(1000));
    }

    #[test]
    fn every_choice_is_within_its_bounds() {
        let mut seed = Seed::new(1);
        for _ in 0..1000 {
            assert!((3..=5).contains(&seed.between(3, 5)));
            assert_eq!(seed.below(1), 0);
            assert!(!seed.one_in(0));
        }
    }
}
