//! [`Filling`]: a text with places that are filled in anew for every request.
//!
//! What must hold: the filling of request `index` depends on seed and index alone (but for
//! `{now}`); what is not a placeholder's name in braces is left as it is, so that JSON needs no
//! escapes.

use std::time::UNIX_EPOCH;

use crate::feed::Feed;
use crate::random::Random;

/// One part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// The same in every request.
    Fixed(Vec<u8>),
    /// A whole number from `low` on, `count` different ones.
    Rand {
        low: u64,
        count: u64,
        random: Random,
    },
    /// The number of the request, counted from this one.
    Seq(u64),
    /// A random UUID.
    Uuid(Random),
    /// A column of the feed, the rows in turn.
    Csv(usize),
    /// Milliseconds since 1970.
    Now,
}

/// A text with its placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filling {
    pieces: Vec<Piece>,
}

impl Filling {
    /// Reads `text`; `stream` is counted up for each placeholder that is random.
    ///
    /// # Errors
    /// One sentence for the user about the first placeholder with wrong arguments.
    pub(crate) fn parse(
        text: &[u8],
        feed: Option<&Feed>,
        seed: u64,
        stream: &mut u64,
    ) -> Result<Filling, String> {
        let (mut pieces, mut fixed, mut at) = (Vec::new(), Vec::new(), 0);
        while let Some(start) = memchr::memchr(b'{', &text[at..]).map(|found| at + found) {
            let end = memchr::memchr(b'}', &text[start..]).map(|found| start + found);
            let name = end.and_then(|end| std::str::from_utf8(&text[start + 1..end]).ok());
            let piece = match name {
                Some(name) => parse_piece(name, feed, || {
                    *stream += 1;
                    Random::new(seed, *stream)
                })?,
                None => None,
            };
            fixed.extend_from_slice(&text[at..start]);
            at = start + 1;
            if let (Some(piece), Some(end)) = (piece, end) {
                pieces.push(Piece::Fixed(std::mem::take(&mut fixed)));
                pieces.push(piece);
                at = end + 1;
            } else {
                fixed.push(b'{');
            }
        }
        fixed.extend_from_slice(&text[at..]);
        pieces.push(Piece::Fixed(fixed));
        Ok(Filling { pieces })
    }

    /// A text without placeholders, whatever stands in it.
    pub(crate) fn verbatim(bytes: Vec<u8>) -> Filling {
        Filling {
            pieces: vec![Piece::Fixed(bytes)],
        }
    }

    /// Whether every request has the same text.
    pub(crate) fn is_fixed(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Fixed(_)))
    }

    /// The columns of the feed that it uses.
    pub(crate) fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Csv(column) => Some(*column),
            _ => None,
        })
    }

    /// Appends the text of request `index` to `out`.
    pub(crate) fn write(&self, index: u64, feed: Option<&Feed>, out: &mut Vec<u8>) {
        let number = |number: u64, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        for piece in &self.pieces {
            match piece {
                Piece::Fixed(bytes) => out.extend_from_slice(bytes),
                Piece::Rand { low, count, random } => {
                    number(low + random.below(*count, index), out);
                }
                Piece::Seq(first) => number(first.wrapping_add(index), out),
                Piece::Uuid(random) => out.extend_from_slice(uuid(*random, index).as_bytes()),
                Piece::Csv(column) => {
                    let feed = feed.expect("a column was found in the feed");
                    out.extend_from_slice(feed.value(index, *column));
                }
                Piece::Now => number(milliseconds(), out),
            }
        }
    }
}

/// Reads what stands between braces; `None` when it is no placeholder.
fn parse_piece(
    name: &str,
    feed: Option<&Feed>,
    random: impl FnOnce() -> Random,
) -> Result<Option<Piece>, String> {
    let (word, arguments) = name.split_once(':').unwrap_or((name, ""));
    let digits = |text: &str| {
        let wrong = format!("{{{name}}}: '{text}' is not a whole number");
        text.parse::<u64>().map_err(|_| wrong)
    };
    Ok(Some(match word {
        "rand" => {
            let (low, high) = arguments
                .split_once(':')
                .ok_or_else(|| format!("{{{name}}}: it is {{rand:LOW:HIGH}}"))?;
            let (low, high) = (digits(low)?, digits(high)?);
            let count = high.checked_sub(low).and_then(|count| count.checked_add(1));
            let count = count.ok_or_else(|| format!("{{{name}}}: LOW is at most HIGH"))?;
            Piece::Rand {
                low,
                count,
                random: random(),
            }
        }
        "seq" if arguments.is_empty() => Piece::Seq(0),
        "seq" => Piece::Seq(digits(arguments)?),
        "uuid" if name == "uuid" => Piece::Uuid(random()),
        "now" if name == "now" => Piece::Now,
        "csv" => {
            let feed = feed.ok_or_else(|| format!("{{{name}}} needs a file (--csv FILE)"))?;
            Piece::Csv(feed.column(arguments)?)
        }
        _ => return Ok(None),
    }))
}

/// A random UUID (RFC 9562 section 5.4).
pub(crate) fn uuid(random: Random, index: u64) -> String {
    let (high, low) = (random.at(index * 2), random.at(index * 2 + 1));
    let hex = format!(
        "{:016x}{:016x}",
        high & !0xf000 | 0x4000,
        low & (u64::MAX >> 2) | 1 << 63
    );
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

fn milliseconds() -> u64 {
    let since = sunstar::runtime::wall_clock().duration_since(UNIX_EPOCH);
    since.map_or(0, |time| {
        u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Filling, String> {
        let feed = Feed::parse(b"name,n\nanna,1\nbo,2\n").unwrap();
        Filling::parse(text.as_bytes(), Some(&feed), 1, &mut 0)
    }

    fn filled(text: &str, index: u64) -> String {
        let feed = Feed::parse(b"name,n\nanna,1\nbo,2\n").unwrap();
        let mut out = Vec::new();
        parse(text).unwrap().write(index, Some(&feed), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_left_as_it_is() {
        for text in [
            "",
            "{",
            "}",
            r#"{"a":{"b":[1]}}"#,
            "{seq",
            "{sequence}",
            "{uuid:1}",
        ] {
            assert_eq!(filled(text, 7), text);
            assert!(parse(text).unwrap().is_fixed());
        }
        assert_eq!(
            filled(r#"{"id":{seq:10},"x":{}}"#, 7),
            r#"{"id":17,"x":{}}"#
        );
    }

    #[test]
    fn every_placeholder_is_filled_in() {
        assert_eq!(filled("{seq}/{csv:name}/{csv:n}", 3), "3/bo/2");
        let mut seen = std::collections::HashSet::new();
        for index in 0..200 {
            let number: u64 = filled("{rand:5:8}", index).parse().unwrap();
            assert!((5..=8).contains(&number));
            seen.insert(number);
        }
        assert_eq!(seen.len(), 4, "both ends come");
        let uuid = filled("{uuid}", 1);
        let dashes: Vec<_> = uuid.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(
            (uuid.len(), dashes, &uuid[14..15]),
            (36, vec![8, 13, 18, 23], "4")
        );
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        assert_ne!(
            filled("{rand:0:999999}{rand:0:999999}", 1).split_at(3).0,
            ""
        );
        assert!(filled("{now}", 0).parse::<u64>().unwrap() > 1_700_000_000_000);
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for (text, reason) in [
            ("{rand:1}", "LOW:HIGH"),
            ("{rand:2:1}", "at most HIGH"),
            ("{rand:a:1}", "whole number"),
            ("{seq:x}", "whole number"),
            ("{csv:other}", "other"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = Filling::parse(b"{csv:name}", None, 1, &mut 0).unwrap_err();
        assert!(error.contains("--csv"), "{error}");
    }
}
