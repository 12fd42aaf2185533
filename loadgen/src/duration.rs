//! Durations as people write them: `500us`, `10s`, `2m` in, `84µs`, `1.40ms` out.
//!
//! What must hold: a number without a unit is refused, so that nobody waits 10 hours for 10 s.

use std::time::Duration;

use crate::number::three_digits;

/// The units, longest name first, so that `ms` is not taken for `s`.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a duration: digits and one of `ns`, `us`, `ms`, `s`, `m`, `h`.
///
/// # Errors
/// One sentence for the user when `text` is anything else, zero, or over 584 years.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a duration is whole digits and a unit: 500us, 1500ms, 10s, 2m".into());
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(match unit {
            "" => format!("it needs a unit, one of ns us ms s m h: {digits}s"),
            _ => format!("'{unit}' is not a unit; they are ns us ms s m h: {digits}s"),
        });
    };
    let nanos = digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(*factor));
    match nanos {
        Some(0) => Err("it must be longer than nothing".into()),
        Some(nanos) => Ok(Duration::from_nanos(nanos)),
        None => Err("the duration is too long".into()),
    }
}

/// Shows a duration with three significant digits.
pub(crate) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_nanos() {
        nanos @ 0..1_000 => format!("{nanos}ns"),
        1_000..999_500 => three_digits(seconds * 1e6) + "µs",
        999_500..999_500_000 => three_digits(seconds * 1e3) + "ms",
        _ => three_digits(seconds) + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read() {
        let read = ["7ns", "7us", "7ms", "7s", "7m", "7h"].map(|text| parse(text).unwrap());
        let seconds = [7e-9, 7e-6, 7e-3, 7.0, 420.0, 25_200.0];
        assert_eq!(read, seconds.map(Duration::from_secs_f64));
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_a_hint() {
        assert_eq!(
            parse("10"),
            Err("it needs a unit, one of ns us ms s m h: 10s".into())
        );
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "1d",
            "1S",
            "1ss",
            "0s",
            "99999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_three_significant_digits() {
        let shown = [
            0,
            999,
            1_000,
            84_123,
            999_499,
            999_500,
            1_400_000,
            61_200_000_000,
        ]
        .map(|nanos| short(Duration::from_nanos(nanos)));
        let expected = [
            "0ns", "999ns", "1.00µs", "84.1µs", "999µs", "1.00ms", "1.40ms", "61.2s",
        ];
        assert_eq!(shown, expected);
    }
}
