//! [`Learned`]: the head that this server sends, so that the next one like it needs no parsing.
//!
//! What must hold: a head is recalled only where [`head::parse`] would give the same meaning. All
//! bytes that carry meaning (status line, field names, interpreted values, line ends) are compared;
//! the values that nobody looks at (`Date`, a request id) may differ, as long as no byte of them
//! could end a line.

use std::ops::Range;
use std::sync::Arc;

use crate::check::Field;
use crate::head::{self, HEAD_LEN_MAX, Meaning};

/// The last head that was parsed in full, and what it meant.
#[derive(Default)]
pub(crate) struct Learned {
    bytes: Vec<u8>,
    /// The parts of `bytes` that may differ, in order.
    free: Vec<Range<usize>>,
    meaning: Option<Meaning>,
    /// What every head must say.
    expected: Arc<[Field]>,
}

impl Learned {
    /// Nothing yet, of a server whose heads must have all of these fields.
    pub(crate) fn new(expected: Arc<[Field]>) -> Learned {
        Learned {
            expected,
            ..Learned::default()
        }
    }

    /// Whether a whole head has all the fields that it must have.
    pub(crate) fn meets_expectations(&self, head: &[u8]) -> bool {
        self.expected.iter().all(|field| field.is_in(head))
    }

    /// The meaning and length of the head that `input` starts with, if it is known.
    #[inline]
    pub(crate) fn recall(&mut self, input: &[u8]) -> Option<(Meaning, usize)> {
        let meaning = self.meaning?;
        let head = input.get(..self.bytes.len())?;
        if head != self.bytes {
            if !self.differs_only_where_free(head) {
                return None;
            }
            self.bytes.copy_from_slice(head);
        }
        Some((meaning, head.len()))
    }

    /// Remembers a whole head that was parsed without an error.
    pub(crate) fn learn(&mut self, head: &[u8], meaning: Meaning) {
        debug_assert!(head.len() <= HEAD_LEN_MAX);
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        let mut free = std::mem::take(&mut self.free);
        free.clear();
        let values = head::fields(head)
            .filter_map(Result::ok)
            .filter(|(name, _)| !self.is_looked_at(&head[name.clone()]));
        free.extend(values.map(|(_, value)| value));
        self.free = free;
        self.meaning = Some(meaning);
    }

    /// Whether anybody looks at the values of fields of this name.
    fn is_looked_at(&self, name: &[u8]) -> bool {
        head::is_interpreted(name) || self.expected.iter().any(|field| field.has_name(name))
    }

    #[cold]
    fn differs_only_where_free(&self, head: &[u8]) -> bool {
        let mut at = 0;
        for free in &self.free {
            let fixed = at..free.start;
            if head[fixed.clone()] != self.bytes[fixed]
                || !head[free.clone()]
                    .iter()
                    .all(|&byte| head::is_value_byte(byte))
            {
                return false;
            }
            at = free.end;
        }
        head[at..] == self.bytes[at..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: s\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n\
        Connection: keep-alive\r\nContent-Length: 12\r\nX-Id: abc\r\n\r\n";

    fn learned() -> Learned {
        let mut learned = Learned::default();
        learned.learn(HEAD, head::parse(HEAD, false).unwrap());
        learned
    }

    #[test]
    fn nothing_is_recalled_before_something_was_learned() {
        assert_eq!(Learned::default().recall(HEAD), None);
        assert_eq!(Learned::default().recall(b""), None);
    }

    #[test]
    fn the_same_head_is_recalled_from_the_start_of_the_input() {
        let input = [HEAD, b"Hello, World", HEAD].concat();
        let expected = (head::parse(HEAD, false).unwrap(), HEAD.len());
        assert_eq!(learned().recall(&input), Some(expected));
        assert_eq!(learned().recall(&HEAD[..HEAD.len() - 1]), None);
    }

    #[test]
    fn a_new_date_and_a_new_id_are_recalled() {
        let text = String::from_utf8(HEAD.to_vec()).unwrap();
        let later = text.replace("12:00:00", "12:00:01").replace("abc", "x\tz");
        let mut learned = learned();
        assert!(learned.recall(later.as_bytes()).is_some());
        assert!(learned.recall(later.as_bytes()).is_some());
    }

    #[test]
    fn a_value_that_is_expected_is_compared() {
        let expected = ["x-id: abc", "Date"].map(|text| Field::parse(text).unwrap());
        let mut learned = Learned::new(expected.into());
        assert!(learned.meets_expectations(HEAD));
        learned.learn(HEAD, head::parse(HEAD, false).unwrap());
        let other = String::from_utf8(HEAD.to_vec()).unwrap();
        for changed in [other.replace("abc", "abd"), other.replace("X-Id", "X-It")] {
            assert_eq!(learned.recall(changed.as_bytes()), None, "{changed}");
            assert!(!learned.meets_expectations(changed.as_bytes()), "{changed}");
        }
        assert!(learned.recall(HEAD).is_some());
    }

    /// The theorem of this module: every single changed byte is either recalled with the very
    /// meaning that the full parser finds, or left to the full parser.
    #[test]
    fn no_changed_byte_is_recalled_with_a_wrong_meaning() {
        let mut recalled = 0;
        for at in 0..HEAD.len() {
            for byte in 0..=u8::MAX {
                let mut changed = HEAD.to_vec();
                changed[at] = byte;
                let Some((meaning, len)) = learned().recall(&changed) else {
                    continue;
                };
                recalled += 1;
                assert_eq!(head::end_of_head(&changed, 0), Ok(Some(len)), "{at} {byte}");
                assert_eq!(head::parse(&changed, false), Ok(meaning), "{at} {byte}");
            }
        }
        assert!(
            recalled > HEAD.len(),
            "the values that may differ are recalled: {recalled}"
        );
    }
}
