//! [`Exact`]: a sum of doubles without any rounding, and its quotient, each rounded once.
//!
//! What must hold: every finite double goes in as the whole number of units of 2^-1074 that it is;
//! nothing is rounded before [`Exact::to_double`] or [`Exact::quotient`].

/// The lowest bit of the smallest double.
const EXPONENT_MIN: i32 = -1074;
/// Places of 32 bits: 2,098 bits for the largest double, and room for a trillion of them.
const PLACES: usize = 70;

/// An exact sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    /// Each place may hold more than its 32 bits until it is read.
    places: [i128; PLACES],
}

impl Exact {
    /// Zero.
    pub(crate) fn new() -> Exact {
        Exact {
            places: [0; PLACES],
        }
    }

    /// Adds a finite double.
    ///
    /// # Panics
    /// If it is not finite.
    pub(crate) fn add(&mut self, value: f64) {
        assert!(value.is_finite(), "{value}");
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        let (mantissa, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << 52, exponent - 1),
        };
        let place = usize::try_from(shift / 32).expect("below 64");
        let part = i128::from(mantissa) << (shift % 32);
        self.places[place] += if value.is_sign_negative() {
            -part
        } else {
            part
        };
    }

    /// The sum, correctly rounded to nearest, ties to even; infinite when it is too large.
    pub(crate) fn to_double(&self) -> f64 {
        self.quotient(1)
    }

    /// The sum by `count`, correctly rounded.
    ///
    /// # Panics
    /// If `count` is 0.
    pub(crate) fn quotient(&self, count: u64) -> f64 {
        let (negative, limbs) = self.magnitude();
        // 128 more bits below keep the quotient exact enough; the remainder decides ties.
        let mut wide = vec![0_u32; 4];
        wide.extend(limbs);
        let mut rest = 0_u128;
        for limb in wide.iter_mut().rev() {
            let whole = rest << 32 | u128::from(*limb);
            *limb = u32::try_from(whole / u128::from(count)).expect("the rest is below count");
            rest = whole % u128::from(count);
        }
        let value = round(&wide, EXPONENT_MIN - 128, rest != 0);
        if negative { -value } else { value }
    }

    /// The sign, and the digits to the base 2^32, lowest first.
    fn magnitude(&self) -> (bool, Vec<u32>) {
        let mut limbs = self.carried(1);
        let negative = limbs.last().is_some_and(|top| top >> 31 == 1);
        if negative {
            limbs = self.carried(-1);
        }
        (negative, limbs)
    }

    /// The digits of the sum times `sign`, in two's complement.
    fn carried(&self, sign: i128) -> Vec<u32> {
        let mut carry = 0_i128;
        let digits = self.places.iter().map(|place| {
            let sum = place * sign + carry;
            carry = sum >> 32;
            u32::try_from(sum & 0xffff_ffff).expect("32 bits")
        });
        digits.collect()
    }
}

/// The double next to `limbs * 2^exponent`, and a little more if `sticky`.
fn round(limbs: &[u32], exponent: i32, sticky: bool) -> f64 {
    let Some(top) = limbs.iter().rposition(|&limb| limb != 0) else {
        return 0.0;
    };
    let bit = |at: usize| limbs[at / 32] >> (at % 32) & 1 == 1;
    let high = top * 32 + 31 - limbs[top].leading_zeros() as usize;
    let low_min = usize::try_from(EXPONENT_MIN - exponent).expect("there are bits below");
    // The lowest bit that a double keeps: 53 from the top, or where denormals end.
    let low = (high + 1).saturating_sub(53).max(low_min);
    let mut mantissa = (low..=high)
        .rev()
        .fold(0_u64, |sum, at| sum << 1 | u64::from(bit(at)));
    let half = low > 0 && bit(low - 1);
    let below = sticky || (0..low.saturating_sub(1)).any(bit);
    if half && (below || mantissa & 1 == 1) {
        mantissa += 1;
    }
    let power = i32::try_from(low).expect("a few thousand bits") + exponent;
    scale(mantissa, power)
}

/// `mantissa * 2^power`, which a double holds unless it is too large.
fn scale(mantissa: u64, power: i32) -> f64 {
    let mantissa = crate::number::approximate(mantissa);
    // In two steps, since 2^power alone may be no double; each is exact.
    let half = power / 2;
    mantissa * 2_f64.powi(half) * 2_f64.powi(power - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Exact {
        let mut exact = Exact::new();
        for &value in values {
            exact.add(value);
        }
        exact
    }

    #[test]
    fn what_doubles_lose_is_kept() {
        assert_eq!(sum(&[]).to_double().to_bits(), 0);
        let tenth = sum(&vec![0.1; 1_000_000]).to_double();
        assert_eq!(tenth.to_bits(), 100_000.0_f64.to_bits(), "{tenth}");
        assert_eq!(
            sum(&[1e16, 1.0, -1e16]).to_double().to_bits(),
            1.0_f64.to_bits()
        );
        assert_eq!(
            sum(&[1e308, 1e308, -1e308, -1e308]).to_double().to_bits(),
            0
        );
        assert!(sum(&[f64::MAX, f64::MAX]).to_double().is_infinite());
        assert_eq!(sum(&[-5e-324, 5e-324, 5e-324]).to_double().to_bits(), 1);
    }

    /// The figures are those of Python's `math.fsum`.
    #[test]
    fn ties_go_to_even_and_a_little_more_goes_up() {
        let two_53 = 9_007_199_254_740_992.0;
        let cases: [(&[f64], f64); 4] = [
            (&[two_53, 1.0], two_53),
            (&[two_53, 1.0, 1e-300], two_53 + 2.0),
            (&[two_53 + 2.0, 1.0], two_53 + 4.0),
            (&[-two_53, -1.0, -1e-300], -two_53 - 2.0),
        ];
        for (values, expected) in cases {
            assert_eq!(
                sum(values).to_double().to_bits(),
                expected.to_bits(),
                "{values:?}"
            );
        }
    }

    #[test]
    fn every_double_comes_back() {
        let random = crate::random::Random::new(1, 0);
        for index in 0..100_000 {
            let value = f64::from_bits(random.at(index));
            if value.is_finite() && value != 0.0 {
                assert_eq!(
                    sum(&[value]).to_double().to_bits(),
                    value.to_bits(),
                    "{value:e}"
                );
            }
        }
    }

    #[test]
    fn the_quotient_is_rounded_once() {
        let third = sum(&[1.0]).quotient(3);
        assert_eq!(third.to_bits(), (1.0_f64 / 3.0).to_bits());
        let random = crate::random::Random::new(2, 0);
        for index in 0..10_000 {
            // Both are exact doubles, so that one division rounds correctly too.
            let (a, b) = (
                random.at(2 * index) >> 12,
                random.below(1 << 40, 2 * index + 1) + 1,
            );
            let a = crate::number::approximate(a);
            let expected = a / crate::number::approximate(b);
            assert_eq!(
                sum(&[a]).quotient(b).to_bits(),
                expected.to_bits(),
                "{a} / {b}"
            );
        }
    }
}
