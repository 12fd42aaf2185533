//! [`ExactSum`]: the exact sum of any number of doubles, independent of their order.
//!
//! A fixed-point number wide enough for every double: chunk `i` counts units of 2^(32 i - 1075).
//! An addition touches two chunks and leaves them unnormalised; carries run once in a thousand
//! additions. This is the idea of the small superaccumulator in R. M. Neal, "Fast exact summation
//! using small and large superaccumulators" (2015).
//!
//! What must hold: below the top, a chunk is off its normal range `0..2^32` by less than
//! `pending` times 2^52, so it never overflows; the top chunk is never normalised, and the sum of
//! fewer than 2^64 doubles leaves it below 2^51.

use std::fmt;

/// 2100 bits from the smallest double to the largest, 64 for the count, one for the sign.
pub const CHUNK_COUNT: usize = 67;
/// The top chunk stays below this either way: a sum of fewer than 2^64 doubles.
const TOP_END: u64 = 1 << 51;
/// The top chunk makes two limbs.
const LIMB_COUNT: usize = CHUNK_COUNT + 1;
/// How many additions a chunk can take between two carries.
const PENDING_MAX: u32 = 1 << 10;
const CHUNK_BITS: u32 = 32;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;
/// Stored bits of a double's significand; the leading one is implied.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const EXPONENT_MAX: u64 = 0x7ff;

/// An exact, mergeable accumulator of finite doubles.
///
/// Adding, merging and reading never allocate. Two accumulators that were given the same doubles,
/// in whatever order and through whatever merges, give the same [`sum`](ExactSum::sum).
#[derive(Clone)]
pub struct ExactSum {
    chunks: [i64; CHUNK_COUNT],
    /// How many additions since the last carry, at most.
    pending: u32,
}

impl ExactSum {
    /// The sum of nothing: zero.
    pub const fn new() -> ExactSum {
        ExactSum {
            chunks: [0; CHUNK_COUNT],
            pending: 0,
        }
    }

    /// Adds one finite double.
    ///
    /// # Panics
    /// If `value` is infinite or not a number.
    #[inline]
    pub fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let field = (bits >> FRACTION_BITS) & EXPONENT_MAX;
        assert!(field != EXPONENT_MAX, "only finite values can be added");
        // A denormal has the scale of the smallest normal number and no implied one.
        let normal = u64::from(field != 0);
        let scale = field | (normal ^ 1);
        let significand = (bits & ((1 << FRACTION_BITS) - 1)) | (normal << FRACTION_BITS);
        let (at, shift) = ((scale / 32) as usize, scale % 32);
        let low = (significand << shift) & CHUNK_MASK;
        let high = significand >> (u64::from(CHUNK_BITS) - shift);

        if self.pending >= PENDING_MAX {
            self.carry();
        }
        self.pending += 1;
        // All ones for a negative value: `(x ^ sign) - sign` is then -x, without a branch.
        let sign = bits.cast_signed() >> 63;
        self.chunks[at] += (low.cast_signed() ^ sign) - sign;
        self.chunks[at + 1] += (high.cast_signed() ^ sign) - sign;
    }

    /// Adds everything that `other` was given.
    pub fn merge(&mut self, other: &ExactSum) {
        if self.pending + other.pending >= PENDING_MAX {
            self.carry();
        }
        for (chunk, more) in self.chunks.iter_mut().zip(&other.chunks) {
            *chunk += more;
        }
        self.pending += other.pending + 1;
    }

    /// The double nearest to the exact sum; of two equally near, the even one.
    ///
    /// Zero is always `0.0`, never `-0.0`. A sum whose nearest double would be infinite is given
    /// as `f64::MAX` with its sign, so that it can be written as JSON.
    pub fn sum(&self) -> f64 {
        let (negative, limbs) = self.magnitude();
        signed(negative, nearest(&limbs, false))
    }

    /// The double nearest to the exact sum divided by `count`; of two equally near, the even one.
    ///
    /// It divides the exact sum, so it may be right where [`sum`](ExactSum::sum) is out of range.
    /// Zero for a `count` of zero; the rules for zero and for the largest doubles are those of
    /// the sum.
    pub fn quotient(&self, count: u64) -> f64 {
        if count == 0 {
            return 0.0;
        }
        let (negative, mut limbs) = self.magnitude();
        let mut remainder = 0;
        for limb in limbs.iter_mut().rev() {
            let dividend = (u128::from(remainder) << CHUNK_BITS) | u128::from(*limb);
            let (quotient, rest) = (dividend / u128::from(count), dividend % u128::from(count));
            *limb = u32::try_from(quotient).expect("the remainder is less than the divisor");
            remainder = u64::try_from(rest).expect("a remainder is less than its divisor");
        }
        signed(negative, nearest(&limbs, remainder != 0))
    }

    /// The sum as fixed-point chunks, each but the last in `0..2^32`, lowest first.
    pub fn chunks(&self) -> [i64; CHUNK_COUNT] {
        let mut sum = self.clone();
        sum.carry();
        sum.chunks
    }

    /// The sum that [`chunks`](ExactSum::chunks) gave; `None` if it cannot have been.
    pub fn from_chunks(chunks: [i64; CHUNK_COUNT]) -> Option<ExactSum> {
        let (top, rest) = chunks.split_last().expect("there are chunks");
        let normal = rest
            .iter()
            .all(|chunk| (0..1 << CHUNK_BITS).contains(chunk));
        (normal && top.unsigned_abs() < TOP_END).then_some(ExactSum { chunks, pending: 0 })
    }

    /// Brings every chunk but the top one into `0..2^32`.
    #[cold]
    fn carry(&mut self) {
        let mut carry = 0;
        let (top, chunks) = self.chunks.split_last_mut().expect("there are chunks");
        for chunk in chunks {
            *chunk += carry;
            carry = *chunk >> CHUNK_BITS;
            *chunk &= CHUNK_MASK.cast_signed();
        }
        *top += carry;
        self.pending = 0;
    }

    /// Whether the sum is negative, and its magnitude in units of 2^-1075, lowest limb first.
    fn magnitude(&self) -> (bool, [u32; LIMB_COUNT]) {
        let mut sum = self.clone();
        sum.carry();
        // The chunks below are not negative and less than one unit of the top together.
        let negative = sum.chunks[CHUNK_COUNT - 1] < 0;
        if negative {
            sum.chunks = sum.chunks.map(|chunk| -chunk);
            sum.carry();
        }
        let mut limbs = [0; LIMB_COUNT];
        for (limb, chunk) in limbs.iter_mut().zip(sum.chunks) {
            *limb = low_limb(chunk);
        }
        limbs[CHUNK_COUNT] = low_limb(sum.chunks[CHUNK_COUNT - 1] >> CHUNK_BITS);
        (negative, limbs)
    }
}

impl Default for ExactSum {
    fn default() -> ExactSum {
        ExactSum::new()
    }
}

impl fmt::Debug for ExactSum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ExactSum({:?})", self.sum())
    }
}

/// The low 32 bits of a chunk that is not negative.
fn low_limb(chunk: i64) -> u32 {
    u32::try_from(chunk & CHUNK_MASK.cast_signed()).expect("the mask keeps 32 bits")
}

fn signed(negative: bool, magnitude: f64) -> f64 {
    if negative && magnitude != 0.0 {
        -magnitude
    } else {
        magnitude
    }
}

/// The finite double nearest to `limbs` units of 2^-1075, plus less than a unit if `inexact`.
fn nearest(limbs: &[u32; LIMB_COUNT], inexact: bool) -> f64 {
    let Some(top) = limbs.iter().rposition(|&limb| limb != 0) else {
        return 0.0; // What is less than a unit is less than half of the smallest double.
    };
    let bit_count = CHUNK_BITS as usize * (top + 1) - limbs[top].leading_zeros() as usize;
    // The weight of the result's last bit: doubles end at 2^-1074, which is bit 1.
    let last = bit_count
        .saturating_sub(f64::MANTISSA_DIGITS as usize)
        .max(1);
    let mut significand = bits_from(limbs, last);
    let half = bits_from(limbs, last - 1) & 1 == 1;
    if half && (inexact || any_below(limbs, last - 1) || significand & 1 == 1) {
        significand += 1;
    }
    // Significands have their leading one added into the exponent field, which starts one lower:
    // that is right for denormals, for normal numbers, and when rounding up made one bit more.
    let bits = ((last as u64 - 1) << FRACTION_BITS) + significand;
    f64::from_bits(bits.min(f64::MAX.to_bits()))
}

/// The bits of `limbs` from bit `from` on, of which at most 54 are there.
fn bits_from(limbs: &[u32; LIMB_COUNT], from: usize) -> u64 {
    let at = from / CHUNK_BITS as usize;
    let window = (0..3).rev().fold(0_u128, |window, next| {
        let limb = limbs.get(at + next).copied().unwrap_or(0);
        (window << CHUNK_BITS) | u128::from(limb)
    });
    u64::try_from(window >> (from % CHUNK_BITS as usize)).expect("at most 54 bits are left")
}

/// Whether any bit of `limbs` below bit `end` is set.
fn any_below(limbs: &[u32; LIMB_COUNT], end: usize) -> bool {
    let at = end / CHUNK_BITS as usize;
    let partial = limbs[at] & ((1 << (end % CHUNK_BITS as usize)) - 1);
    partial != 0 || limbs[..at].iter().any(|&limb| limb != 0)
}
