//! [`Stats`]: the answer to `GET /stats`, read as strictly as the challenge's strictest client.
//!
//! What must hold: exactly four keys, each once; the counts are integer literals; the numbers are
//! rounded once, correctly.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The four numbers of the challenge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stats {
    /// How many events were counted.
    pub(crate) total_requests: u64,
    /// How many different users they had.
    pub(crate) unique_users: u64,
    /// The sum of their values.
    pub(crate) sum: f64,
    /// `sum / total_requests`.
    pub(crate) avg: f64,
}

/// The literals as they were written: serde's own doubles may be off by one unit in the last
/// place.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Literals<'a> {
    #[serde(borrow)]
    total_requests: &'a RawValue,
    #[serde(borrow)]
    unique_users: &'a RawValue,
    #[serde(borrow)]
    sum: &'a RawValue,
    #[serde(borrow)]
    avg: &'a RawValue,
}

impl Stats {
    /// Reads the content of an answer.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub(crate) fn parse(content: &[u8]) -> Result<Stats, String> {
        let literals: Literals<'_> = serde_json::from_slice(content)
            .map_err(|error| format!("{error} in {}", excerpt(content)))?;
        Ok(Stats {
            total_requests: count("totalRequests", literals.total_requests)?,
            unique_users: count("uniqueUsers", literals.unique_users)?,
            sum: number("sum", literals.sum)?,
            avg: number("avg", literals.avg)?,
        })
    }

    /// Whether nothing was counted yet.
    pub(crate) fn is_zero(&self) -> bool {
        self.total_requests == 0 && self.unique_users == 0 && self.sum == 0.0 && self.avg == 0.0
    }
}

/// An integer literal: JSON allows no sign but minus and no leading zeros, so digits are enough.
fn count(name: &str, literal: &RawValue) -> Result<u64, String> {
    let text = literal.get();
    text.parse()
        .map_err(|_| format!("{name} is {text}, which is not an integer literal"))
}

/// A number literal, rounded to the nearest double by the standard library.
fn number(name: &str, literal: &RawValue) -> Result<f64, String> {
    let text = literal.get();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && !text.starts_with('"') => Ok(number),
        _ => Err(format!("{name} is {text}, which is not a number")),
    }
}

/// The start of what came, on one line.
fn excerpt(content: &[u8]) -> String {
    let end = content.len().min(120);
    let more = if end < content.len() { "..." } else { "" };
    format!("{}{more}", content[..end].escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(text: &str) -> Result<Stats, String> {
        Stats::parse(text.as_bytes())
    }

    #[test]
    fn the_four_numbers_are_read_in_any_order_and_spelling() {
        let expected = Stats {
            total_requests: 2,
            unique_users: 1,
            sum: 3.0,
            avg: 1.5,
        };
        let compact = r#"{"totalRequests":2,"uniqueUsers":1,"sum":3.0,"avg":1.5}"#;
        let loose = " {\n\"avg\" : 15e-1, \"sum\":3, \"uniqueUsers\":1,\"totalRequests\":2 }\n";
        assert_eq!(stats(compact), Ok(expected));
        assert_eq!(stats(loose), Ok(expected));
        assert!(!expected.is_zero());
        let zeros = r#"{"totalRequests":0,"uniqueUsers":0,"sum":0.0,"avg":0}"#;
        assert!(stats(zeros).unwrap().is_zero());
    }

    #[test]
    fn doubles_are_rounded_correctly() {
        // Literals on which parsers that multiply by powers of ten are off by one bit.
        for text in [
            "1.7976931348623157e308",
            "499.50000000000006",
            "8.41e21",
            "9007199254740993",
        ] {
            let json =
                format!(r#"{{"totalRequests":1,"uniqueUsers":1,"sum":{text},"avg":{text}}}"#);
            let read = stats(&json).unwrap();
            let expected: f64 = text.parse().unwrap();
            assert_eq!(
                (read.sum.to_bits(), read.avg.to_bits()),
                (expected.to_bits(), expected.to_bits())
            );
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        let all = [
            ("", "EOF"),
            ("[]", "invalid"),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":3.0}"#,
                "missing field `avg`",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":3,"avg":1.5,"min":1}"#,
                "unknown field",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":3,"avg":1.5,"sum":3}"#,
                "duplicate field",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":3,"avg":1.5} x"#,
                "trailing",
            ),
            (
                r#"{"totalRequests":2.0,"uniqueUsers":1,"sum":3,"avg":1.5}"#,
                "totalRequests is 2.0",
            ),
            (
                r#"{"totalRequests":1e6,"uniqueUsers":1,"sum":3,"avg":1.5}"#,
                "totalRequests is 1e6",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":-0,"sum":3,"avg":1.5}"#,
                "uniqueUsers is -0",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":"1","sum":3,"avg":1.5}"#,
                "uniqueUsers is \"1\"",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":"3","avg":1.5}"#,
                "sum is \"3\"",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":null,"avg":1.5}"#,
                "sum is null",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":1e999,"avg":1.5}"#,
                "sum is 1e999",
            ),
            (
                r#"{"totalRequests":2,"uniqueUsers":1,"sum":3,"avg":NaN}"#,
                "expected",
            ),
        ];
        for (text, reason) in all {
            let error = stats(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
