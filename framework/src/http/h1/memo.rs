//! [`Memo`]: the heads that a shard has read lately, so that the same bytes are not judged twice,
//! and those that it has sent (`said`).
//!
//! Most clients that keep a connection send the same head again and again. What must hold: a head
//! is recalled only if the input begins with exactly its bytes, up to and with the empty line, so
//! that reading it could only come to the same result; a memo holds at most `SLOTS` heads of at
//! most `HEAD_LEN_MAX` bytes, in blocks of their own; nothing of it belongs to any connection.

use std::cell::{Cell, RefCell};

use super::said::Said;
use super::terms::Terms;
use crate::http::Head;
use crate::http::head::Last;
use crate::mem::{Buf, Pool};

/// How many heads of requests, and of answers, are known at once. The length of the input, or of
/// the answer's content, chooses the slot: a client whose requests differ in the length of their
/// content has a slot for each.
pub(super) const SLOTS: usize = 16;
/// The longest head that is worth keeping.
pub(super) const HEAD_LEN_MAX: usize = 1024;
/// How many strange heads a slot sees before it learns one: traffic without repetition costs no
/// more than a comparison that fails in its first bytes.
pub(super) const PATIENCE: u8 = 8;

/// The heads that the connections of one shard have read and sent lately.
#[derive(Default)]
pub struct Memo {
    slots: [Slot; SLOTS],
    said: Said,
}

/// A place for one head.
#[derive(Default)]
pub(super) struct Slot {
    known: RefCell<Last>,
    terms: Cell<Terms>,
    strange: Cell<u8>,
}

impl Memo {
    /// Makes a memo that knows nothing.
    pub fn new() -> Memo {
        Memo::default()
    }

    /// The heads of answers.
    #[inline]
    pub(super) fn said(&self) -> &Said {
        &self.said
    }

    /// The place for a head that this input begins with.
    #[inline]
    pub(super) fn slot(&self, input: &[u8]) -> &Slot {
        &self.slots[input.len() % SLOTS]
    }
}

impl Slot {
    /// Takes the head that `input` begins with, and its terms, if it is known.
    #[inline]
    pub(super) fn recall(&self, input: &mut Buf, terms: &mut Terms) -> Option<Head> {
        let known = self.known.borrow();
        let head = known.head()?;
        if !input.starts_with(head.bytes()) {
            return None;
        }
        input.advance(head.bytes().len());
        *terms = self.terms.get();
        Some(head.clone())
    }

    /// Takes note of a head that was read and found good.
    #[inline]
    pub(super) fn learn(&self, head: &Head, terms: Terms, pool: &Pool) {
        let strange = self.strange.get() + 1;
        self.strange.set(strange % PATIENCE);
        if strange == PATIENCE && head.bytes().len() <= HEAD_LEN_MAX {
            self.known.borrow_mut().renew(head.detached(pool));
            self.terms.set(terms);
        }
    }
}
