//! [`Said`]: the heads of usual answers that a shard sends again and again, so that one is a copy.
//!
//! What must hold: a head is repeated only if all it was made of is the same now, so that writing
//! it anew could only come to the same bytes; at most `SLOTS` heads of at most `HEAD_LEN_MAX` bytes
//! are kept.

use std::cell::RefCell;

use super::encode;
use super::memo::{HEAD_LEN_MAX, PATIENCE, SLOTS};
use crate::http::FixedFields;
use crate::mem::BufMut;

/// The heads of usual answers: 200, fields that are fixed, content that is at hand, and the
/// connection stays.
#[derive(Default)]
pub(super) struct Said {
    slots: [RefCell<Slot>; SLOTS],
}

#[derive(Default)]
struct Slot {
    /// Status line, standing lines, fixed lines, length and the empty line; empty if none is known.
    head: Vec<u8>,
    standing_len: usize,
    fixed: FixedFields,
    content_len: usize,
    /// How many others were written since one was noted: answers that are all different pay for a
    /// few comparisons only.
    others: u8,
}

impl Said {
    /// Appends a usual answer.
    #[inline]
    pub(super) fn write(
        &self,
        out: &mut BufMut,
        fixed: FixedFields,
        content: &[u8],
        standing: &[u8],
    ) {
        let mut slot = self.slots[content.len() % SLOTS].borrow_mut();
        if slot.holds(fixed, content.len(), standing) {
            out.extend_from_parts([&slot.head, content]);
        } else {
            slot.write_other(out, fixed, content, standing);
        }
    }
}

impl Slot {
    /// Whether the head for this is the one that is known.
    #[inline]
    fn holds(&self, fixed: FixedFields, content_len: usize, standing: &[u8]) -> bool {
        self.content_len == content_len
            && self.fixed.is_same_place(fixed)
            && self.standing_len == standing.len()
            && self
                .head
                .get(encode::OK_LINE.len()..)
                .is_some_and(|behind| behind.starts_with(standing))
    }

    #[inline(never)]
    fn write_other(
        &mut self,
        out: &mut BufMut,
        fixed: FixedFields,
        content: &[u8],
        standing: &[u8],
    ) {
        let start = out.len();
        let fields = [fixed.as_bytes(), b""];
        encode::usual_head(out, fields, content.len(), standing);
        self.others = (self.others + 1) % PATIENCE;
        if self.others == 0 && out.len() - start <= HEAD_LEN_MAX {
            self.head.clear();
            self.head.extend_from_slice(&out[start..]);
            self.standing_len = standing.len();
            self.fixed = fixed;
            self.content_len = content.len();
        }
        out.extend_from_slice(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Pool;

    const NONE: FixedFields = FixedFields::new("");
    const TEXT: FixedFields = FixedFields::new("content-type: text/plain\r\n");
    const HTML: FixedFields = FixedFields::new("content-type: text/html\r\nvary: accept\r\n");
    const NOON: &[u8] = b"Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n";
    const LATER: &[u8] = b"Date: Fri, 20 Nov 2026 12:00:01 GMT\r\n";
    /// Begins as `NOON`, and goes on as fields could.
    const NAMED: &[u8] = b"Date: Fri, 20 Nov 2026 12:00:00 GMT\r\nServer: s\r\n";

    fn written(said: &Said, fixed: FixedFields, content: &[u8], standing: &[u8]) -> Vec<u8> {
        let mut out = Pool::new().buffer(64);
        out.extend_from_slice(b"before");
        said.write(&mut out, fixed, content, standing);
        out.to_vec()
    }

    fn anew(fixed: FixedFields, content: &[u8], standing: &[u8]) -> Vec<u8> {
        let (standing, fixed) = (str::from_utf8(standing), str::from_utf8(fixed.as_bytes()));
        let (standing, fixed) = (standing.unwrap(), fixed.unwrap());
        let head = format!(
            "beforeHTTP/1.1 200 OK\r\n{standing}{fixed}Content-Length: {}\r\n\r\n",
            content.len()
        );
        [head.as_bytes(), content].concat()
    }

    /// Writes the same answer until its head is known.
    fn learn(said: &Said, fixed: FixedFields, content: &[u8], standing: &[u8]) {
        for _ in 0..PATIENCE {
            written(said, fixed, content, standing);
        }
        let slot = said.slots[content.len() % SLOTS].borrow();
        assert!(slot.holds(fixed, content.len(), standing));
    }

    #[test]
    fn an_answer_behind_any_other_is_as_if_written_anew() {
        // Contents of the same slot, of the same length, and of others.
        let contents: [&[u8]; 5] = [b"", b"a", b"b", b"sixteen and one.!", b"seven.."];
        let all = [NONE, TEXT, HTML].into_iter().flat_map(|fixed| {
            let standing = [b"", NOON, LATER, NAMED].into_iter();
            standing.flat_map(move |lines| contents.map(|content| (fixed, content, lines)))
        });
        let all: Vec<_> = all.collect();
        for &(known_fixed, known_content, known_lines) in &all {
            for &(fixed, content, lines) in &all {
                let said = Said::default();
                learn(&said, known_fixed, known_content, known_lines);
                let got = written(&said, fixed, content, lines);
                assert_eq!(got, anew(fixed, content, lines));
            }
        }
    }

    #[test]
    fn a_head_is_driven_out_by_the_eighth_other_one() {
        let said = Said::default();
        learn(&said, TEXT, b"hello", NOON);
        for _ in 1..PATIENCE {
            written(&said, HTML, b"other", NOON);
        }
        assert!(said.slots[5].borrow().holds(TEXT, 5, NOON));
        written(&said, HTML, b"other", NOON);
        assert!(said.slots[5].borrow().holds(HTML, 5, NOON));
    }

    #[test]
    fn a_head_that_is_too_long_is_not_kept() {
        let said = Said::default();
        let empty_len = anew(NONE, b"", b"").len() - "before".len();
        let standing = [b'x'; HEAD_LEN_MAX + 1];
        let (most, over) = (&standing[empty_len + 1..], &standing[empty_len..]);
        for lines in [over, most] {
            for _ in 0..PATIENCE {
                assert_eq!(written(&said, NONE, b"", lines), anew(NONE, b"", lines));
            }
            let is_kept = said.slots[0].borrow().holds(NONE, 0, lines);
            assert_eq!(is_kept, lines.len() == most.len());
        }
    }
}
