//! [`Said`]: the heads of usual answers as a shard sent them last, so that the next one is a copy.
//!
//! What must hold: a head is repeated only if all it was made of is the same now, so that writing
//! it anew could only come to the same bytes.

use std::cell::RefCell;

use super::encode;
use crate::http::FixedFields;
use crate::mem::BufMut;

/// How many heads are known at once. The length of the content chooses the slot.
const SLOTS: usize = 16;
/// How many other heads a slot writes before it takes note of one: answers that are all different
/// pay for a few comparisons only.
const PATIENCE: u8 = 8;

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
        encode::usual_head(out, fixed, content.len(), standing);
        self.others += 1;
        if self.others == PATIENCE {
            self.others = 0;
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
    fn answers_that_differ_do_not_drive_out_one_that_returns() {
        let said = Said::default();
        learn(&said, TEXT, b"hello", NOON);
        for _ in 1..PATIENCE {
            written(&said, HTML, b"other", NOON);
        }
        assert!(said.slots[5].borrow().holds(TEXT, 5, NOON));
        written(&said, HTML, b"other", NOON);
        assert!(said.slots[5].borrow().holds(HTML, 5, NOON));
    }
}
