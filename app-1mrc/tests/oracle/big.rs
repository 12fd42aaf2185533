//! [`Big`]: exact sums by integers, which round nothing: [`assert_nearest`] checks that the exact
//! value lies between the midpoints to the neighbours of the double it is given.
#![expect(
    clippy::large_types_passed_by_value,
    reason = "big integers read like numbers"
)]

use std::cmp::Ordering;

/// A signed integer of 2560 bits in two's complement, lowest word first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Big([u64; 40]);

impl Big {
    pub(crate) const ZERO: Big = Big([0; 40]);

    /// A finite double in units of half the smallest one.
    pub(crate) fn of(value: f64) -> Big {
        let bits = value.abs().to_bits();
        let (exponent, fraction) = ((bits >> 52) as usize, bits & ((1 << 52) - 1));
        let (shift, significand) = match exponent {
            0 => (1, fraction),
            _ => (exponent, fraction + (1 << 52)),
        };
        let mut big = Big::ZERO;
        for bit in (0..53).filter(|bit| significand >> bit & 1 == 1) {
            big.0[(bit + shift) / 64] |= 1 << ((bit + shift) % 64);
        }
        if value.is_sign_negative() {
            big.negated()
        } else {
            big
        }
    }

    pub(crate) fn plus(self, other: Big) -> Big {
        let mut carry = false;
        let mut sum = Big::ZERO;
        for (at, word) in sum.0.iter_mut().enumerate() {
            let (partial, first) = self.0[at].overflowing_add(other.0[at]);
            let (total, second) = partial.overflowing_add(u64::from(carry));
            (*word, carry) = (total, first || second);
        }
        sum
    }

    fn negated(self) -> Big {
        let mut one = Big::ZERO;
        one.0[0] = 1;
        Big(self.0.map(|word| !word)).plus(one)
    }

    pub(crate) fn times(self, factor: u64) -> Big {
        let mut product = Big::ZERO;
        for bit in (0..64).rev() {
            product = product.plus(product);
            if factor >> bit & 1 == 1 {
                product = product.plus(self);
            }
        }
        product
    }

    fn compare(self, other: Big) -> Ordering {
        let difference = self.plus(other.negated());
        if difference == Big::ZERO {
            Ordering::Equal
        } else if difference.0[39] >> 63 == 1 {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }
}

/// Asserts that `rounded` is `exact / count`, rounded to the nearest double, ties to even.
#[track_caller]
pub(crate) fn assert_nearest(rounded: f64, exact: Big, count: u64) {
    assert!(rounded.is_finite());
    assert!(
        rounded != 0.0 || rounded.is_sign_positive(),
        "negative zero"
    );
    let even = rounded.to_bits().is_multiple_of(2);
    let twice = exact.plus(exact);
    // The neighbour of the largest double is 2^1024, which no double holds: any sum beyond is MAX.
    if rounded < f64::MAX {
        let midpoint = Big::of(rounded)
            .plus(Big::of(rounded.next_up()))
            .times(count);
        let order = twice.compare(midpoint);
        assert!(
            order == Ordering::Less || (even && order == Ordering::Equal),
            "{rounded:e}"
        );
    }
    if rounded > f64::MIN {
        let midpoint = Big::of(rounded)
            .plus(Big::of(rounded.next_down()))
            .times(count);
        let order = twice.compare(midpoint);
        assert!(
            order == Ordering::Greater || (even && order == Ordering::Equal),
            "{rounded:e}"
        );
    }
}

/// The exact sum of all values.
pub(crate) fn exact(values: &[f64]) -> Big {
    values
        .iter()
        .fold(Big::ZERO, |sum, &value| sum.plus(Big::of(value)))
}
