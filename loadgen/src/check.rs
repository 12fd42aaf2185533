//! [`Check`]: which whole answers count as ok; [`Seen`]: what one answer's content was like.
//!
//! What must hold: a content is compared while it comes, whatever its pieces, and never kept.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::codec::Answer;
use crate::head;
use crate::ledger::Outcome;

/// What is asked of an answer beside being a proper one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
    /// The header fields that must come.
    pub(crate) fields: Arc<[Field]>,
    /// Of so many contents one is looked at; of 0 or 1 every one.
    pub(crate) one_of: u64,
    /// The status codes that count as ok; empty: all from 200 to 399.
    pub(crate) statuses: Vec<u16>,
    /// The content that must come.
    pub(crate) body: Option<Vec<u8>>,
    /// How long the content must be.
    pub(crate) len: Option<u64>,
}

impl Check {
    /// Only this status counts as ok.
    pub(crate) fn only(status: u16) -> Check {
        Check {
            statuses: vec![status],
            ..Check::default()
        }
    }

    /// Whether anybody looks at the content.
    #[inline]
    pub(crate) fn reads_content(&self) -> bool {
        self.body.is_some() || self.len.is_some()
    }

    fn expected_len(&self) -> Option<u64> {
        let body = self.body.as_ref();
        body.map(|body| body.len() as u64).or(self.len)
    }

    /// What an answer with this status and content comes to.
    #[inline]
    pub(crate) fn judge(&self, answer: Answer, seen: Seen) -> Outcome {
        let status = answer.status;
        let good = match self.statuses.as_slice() {
            [] => status < 400,
            [only] => status == *only,
            several => several.contains(&status),
        };
        let len = self.expected_len();
        match good {
            false => Outcome::BadStatus,
            true if !answer.as_expected => Outcome::BadHeader,
            true if seen.skipped => Outcome::Ok,
            true if seen.first_difference.is_some() || len.is_some_and(|len| len != seen.len) => {
                Outcome::BadBody
            }
            true => Outcome::Ok,
        }
    }
}

/// What has come of one content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    len: u64,
    /// Behind which byte it differs from what is expected first, up to 4 GiB: each connection has
    /// one of these.
    first_difference: Option<NonZeroU32>,
    /// Nobody looks at it.
    skipped: bool,
}

/// A header field that an answer must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    name: String,
    /// `None`: any.
    value: Option<String>,
}

impl Field {
    /// Reads `Name` or `Name: value`.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Field, String> {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (text, None),
        };
        if name.is_empty() || !name.bytes().all(head::is_token) {
            return Err(format!("'{text}' is neither 'Name' nor 'Name: value'"));
        }
        let name = name.to_owned();
        Ok(Field { name, value })
    }

    /// Whether a field of an answer has this name.
    pub(crate) fn has_name(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(self.name.as_bytes())
    }

    /// Whether a whole head has this field: one line of this name with this value.
    pub(crate) fn is_in(&self, head: &[u8]) -> bool {
        head::fields(head)
            .filter_map(Result::ok)
            .any(|(name, value)| {
                let expected = self.value.as_ref().map(String::as_bytes);
                self.has_name(&head[name])
                    && expected.is_none_or(|expected| expected == &head[value])
            })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(out, "{}: {value}", self.name),
            None => out.write_str(&self.name),
        }
    }
}

impl Seen {
    /// How the content was another than `check` wants.
    #[cold]
    pub(crate) fn describe(self, check: &Check) -> String {
        let len = check.expected_len();
        let came = self.len;
        match (self.first_difference, len) {
            (Some(behind), Some(len)) => format!(
                "an answer had another content: {came} bytes of {len}, other ones from byte {} on",
                behind.get() - 1
            ),
            (None, Some(len)) => format!("an answer had {came} bytes of content instead of {len}"),
            (_, None) => "an answer had another content".into(),
        }
    }

    /// What has been seen before anything came of answer `number`.
    #[inline]
    pub(crate) fn of_answer(number: u64, check: &Check) -> Seen {
        Seen {
            skipped: check.one_of > 1 && !number.is_multiple_of(check.one_of),
            ..Seen::default()
        }
    }

    /// Takes up the next piece.
    pub(crate) fn take(&mut self, piece: &[u8], check: &Check) {
        if self.skipped {
            return;
        }
        if let Some(body) = &check.body {
            let start = usize::try_from(self.len)
                .unwrap_or(usize::MAX)
                .min(body.len());
            let expected = &body[start..];
            if self.first_difference.is_none() && !expected.starts_with(piece) {
                let same = expected.iter().zip(piece).take_while(|(a, b)| a == b);
                let behind = self.len + same.count() as u64 + 1;
                let behind = u32::try_from(behind).unwrap_or(u32::MAX);
                self.first_difference = NonZeroU32::new(behind);
            }
        }
        self.len += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            persistent: true,
            as_expected: true,
        }
    }

    fn seen(pieces: &[&str], check: &Check) -> Seen {
        let mut seen = Seen::default();
        for piece in pieces {
            seen.take(piece.as_bytes(), check);
        }
        seen
    }

    #[test]
    fn success_is_below_400_unless_told_otherwise() {
        use Outcome::{BadStatus, Ok};
        let nothing = Seen::default();
        let judged =
            |check: &Check| [200, 204, 399, 400].map(|status| check.judge(answer(status), nothing));
        assert_eq!(judged(&Check::default()), [Ok, Ok, Ok, BadStatus]);
        assert_eq!(
            judged(&Check::only(204)),
            [BadStatus, Ok, BadStatus, BadStatus]
        );
        let two = Check {
            statuses: vec![200, 400],
            ..Check::default()
        };
        assert_eq!(judged(&two), [Ok, BadStatus, BadStatus, Ok]);
    }

    #[test]
    fn every_wrong_content_is_found_however_it_is_cut() {
        let check = Check {
            body: Some(b"hello".to_vec()),
            ..Check::default()
        };
        for text in ["hello", "hellp", "hell", "hello!", "", "jello"] {
            let expected = if text == "hello" {
                Outcome::Ok
            } else {
                Outcome::BadBody
            };
            for at in 0..=text.len() {
                let (first, second) = text.split_at(at);
                let judged = check.judge(answer(200), seen(&[first, second], &check));
                assert_eq!(judged, expected, "{first}|{second}");
            }
        }
        assert_eq!(
            check.judge(answer(500), seen(&["x"], &check)),
            Outcome::BadStatus
        );
    }

    #[test]
    fn what_each_connection_has_of_it_is_small() {
        assert!(size_of::<Seen>() <= 16);
    }

    #[test]
    fn it_is_told_where_a_content_begins_to_differ() {
        let check = Check {
            body: Some(b"hello".to_vec()),
            ..Check::default()
        };
        for (pieces, expected) in [
            (
                &["he", "lp!"][..],
                "5 bytes of 5, other ones from byte 3 on",
            ),
            (
                &["hello", "!"][..],
                "6 bytes of 5, other ones from byte 5 on",
            ),
            (&["hel"][..], "3 bytes of content instead of 5"),
        ] {
            let told = seen(pieces, &check).describe(&check);
            assert!(told.contains(expected), "{pieces:?}: {told}");
        }
        let check = Check {
            len: Some(2),
            ..Check::default()
        };
        let told = seen(&["abc"], &check).describe(&check);
        assert_eq!(told, "an answer had 3 bytes of content instead of 2");
    }

    #[test]
    fn a_length_is_checked_alone() {
        let check = Check {
            len: Some(3),
            ..Check::default()
        };
        assert_eq!(
            check.judge(answer(200), seen(&["ab", "c"], &check)),
            Outcome::Ok
        );
        assert_eq!(
            check.judge(answer(200), seen(&["ab"], &check)),
            Outcome::BadBody
        );
    }

    #[test]
    fn an_answer_without_an_expected_field_is_bad_unless_its_status_is() {
        let lacking = |status| Answer {
            as_expected: false,
            ..answer(status)
        };
        let judged = |status| Check::default().judge(lacking(status), Seen::default());
        assert_eq!(judged(200), Outcome::BadHeader);
        assert_eq!(judged(500), Outcome::BadStatus);
    }

    #[test]
    fn a_field_is_expected_by_its_name_in_any_case_and_its_whole_value() {
        let head = b"HTTP/1.1 200 OK\r\nVia: a\r\nvia:  b \r\nEmpty:\r\n\r\n";
        let is_in = |text: &str| Field::parse(text).unwrap().is_in(head);
        for there in ["Via", "VIA: a", "via:b", "empty", "Empty:", "Empty: "] {
            assert!(is_in(there), "{there}");
        }
        for missing in ["Vi", "Via: ab", "via: B", "Via:", "a", "HTTP/1.1 200 OK"] {
            let read = Field::parse(missing);
            assert!(!read.is_ok_and(|field| field.is_in(head)), "{missing}");
        }
        for wrong in ["", ": a", "a b: c"] {
            Field::parse(wrong).unwrap_err();
        }
    }

    #[test]
    fn one_content_of_so_many_is_looked_at() {
        let check = Check {
            body: Some(b"right".to_vec()),
            one_of: 3,
            ..Check::default()
        };
        let judged = |number| {
            let mut seen = Seen::of_answer(number, &check);
            seen.take(b"wrong", &check);
            check.judge(answer(200), seen)
        };
        assert_eq!(
            [0, 1, 2, 3].map(judged),
            [Outcome::BadBody, Outcome::Ok, Outcome::Ok, Outcome::BadBody]
        );
    }
}
