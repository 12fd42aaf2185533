//! [`Check`]: which whole answers count as ok; [`Seen`]: what one answer's content was like.
//!
//! What must hold: a content is compared while it comes, whatever its pieces, and never kept.

use crate::ledger::Outcome;

/// What is asked of an answer beside being a proper one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Check {
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

    /// What an answer with this status and content comes to.
    #[inline]
    pub(crate) fn judge(&self, status: u16, seen: Seen) -> Outcome {
        let good = match self.statuses.as_slice() {
            [] => status < 400,
            [only] => status == *only,
            several => several.contains(&status),
        };
        let len = self
            .body
            .as_ref()
            .map(|body| body.len() as u64)
            .or(self.len);
        match good {
            false => Outcome::BadStatus,
            true if seen.differs || len.is_some_and(|len| len != seen.len) => Outcome::BadBody,
            true => Outcome::Ok,
        }
    }
}

/// What has come of one content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    len: u64,
    differs: bool,
}

impl Seen {
    /// Takes up the next piece.
    pub(crate) fn take(&mut self, piece: &[u8], check: &Check) {
        if let Some(body) = &check.body {
            let start = usize::try_from(self.len)
                .unwrap_or(usize::MAX)
                .min(body.len());
            self.differs |= !body[start..].starts_with(piece);
        }
        self.len += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            |check: &Check| [200, 204, 399, 400].map(|status| check.judge(status, nothing));
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
                let judged = check.judge(200, seen(&[first, second], &check));
                assert_eq!(judged, expected, "{first}|{second}");
            }
        }
        assert_eq!(check.judge(500, seen(&["x"], &check)), Outcome::BadStatus);
    }

    #[test]
    fn a_length_is_checked_alone() {
        let check = Check {
            len: Some(3),
            ..Check::default()
        };
        assert_eq!(check.judge(200, seen(&["ab", "c"], &check)), Outcome::Ok);
        assert_eq!(check.judge(200, seen(&["ab"], &check)), Outcome::BadBody);
    }
}
