//! Counts as people write them: `500`, `64k`, `1M` in, `1,000,000` out.
//!
//! What must hold: what is not exactly a count is refused, never rounded.

/// Parses a count: digits, with `k` for a thousand or `M` for a million behind them.
///
/// # Errors
/// One sentence for the user when `text` is anything else or over 2^64 - 1.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => match text.strip_suffix('M') {
            Some(digits) => (digits, 1_000_000),
            None => (text, 1),
        },
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a count is digits, with k or M behind them if you like: 500, 64k, 1M".into());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| "the count is too large".into())
}

/// Parses a count that may not be zero.
///
/// # Errors
/// As [`parse`], and for zero.
pub(crate) fn parse_positive(text: &str) -> Result<u64, String> {
    match parse(text)? {
        0 => Err("it must be at least 1".into()),
        count => Ok(count),
    }
}

/// Shows a count with a comma before every third digit.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Shows a rate per second: a small one with a digit behind the point.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second < 99.95 && per_second.fract() != 0.0 {
        return format!("{per_second:.1}");
    }
    grouped(rounded(per_second))
}

/// Shows a number of bytes with three significant digits in decimal units.
pub(crate) fn bytes(count: u64) -> String {
    let exact = approximate(count);
    match count {
        0..1_000 => format!("{count} B"),
        1_000..999_500 => format!("{} kB", three_digits(exact / 1e3)),
        999_500..999_500_000 => format!("{} MB", three_digits(exact / 1e6)),
        999_500_000..999_500_000_000 => format!("{} GB", three_digits(exact / 1e9)),
        _ => format!("{} TB", three_digits(exact / 1e12)),
    }
}

/// Shows a number from 1 up to 1,000 with three significant digits.
pub(crate) fn three_digits(number: f64) -> String {
    let decimals = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

/// A count as a double, for what is shown with a few digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "nobody reads the sixteenth digit of a rate"
)]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}

/// A rate as a whole number, to be shown.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^64"
)]
pub(crate) fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_rate_has_a_digit_behind_its_point() {
        let shown = [0.04, 9.96, 10.0, 99.94, 99.96, 1234.5].map(rate);
        assert_eq!(shown, ["0.0", "10.0", "10", "99.9", "100", "1,235"]);
    }

    #[test]
    fn a_count_takes_k_and_m() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("500"), Ok(500));
        assert_eq!(parse("64k"), Ok(64_000));
        assert_eq!(parse("1M"), Ok(1_000_000));
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn what_is_not_a_count_is_refused() {
        for text in [
            "", "k", "M", "-1", "+1", "1.5k", "1 k", "1m", "1kk", "0x10", "ten", "1,000",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("18446744073709551616").is_err());
        assert!(parse("18446744073709551615k").is_err());
        assert!(parse_positive("0").is_err() && parse_positive("1") == Ok(1));
    }

    #[test]
    fn digits_are_grouped_by_three() {
        let shown = [0, 999, 1_000, 12_345, 1_000_000].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345", "1,000,000"]);
    }

    #[test]
    fn bytes_have_three_significant_digits() {
        let shown = [0, 999, 1_000, 20_140, 999_499, 999_500, 2_100_000_000].map(bytes);
        let expected = [
            "0 B", "999 B", "1.00 kB", "20.1 kB", "999 kB", "1.00 MB", "2.10 GB",
        ];
        assert_eq!(shown, expected);
    }
}
