//! [`Section`]: gathers the bytes of a head or a trailer section until its empty line.
//!
//! What must hold: bytes are copied only when the section did not come in one piece, into one block
//! that grows and never holds more than the section's bound and one byte; between two sections
//! there is no block.

use super::line::{Kind, Scan};
use super::parse::split_off;
use crate::http::{Error, Limits};
use crate::mem::{Buf, BufMut, Pool};

/// The bytes of a section that has begun.
#[derive(Default)]
pub(super) struct Section {
    block: Option<BufMut>,
    scan: Scan,
}

impl Section {
    /// Whether nothing was seen of the section, not even an empty line before it.
    #[inline]
    pub(super) fn is_untouched(&self) -> bool {
        self.block.is_none() && !self.scan.has_empty_lines()
    }

    /// Whether bytes of a section are here, waiting for the rest.
    pub(super) fn has_begun(&self) -> bool {
        self.block.is_some()
    }

    /// Takes bytes out of `input` up to the end of the section, which it returns when complete.
    /// Otherwise `input` is empty afterwards.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        input: &mut Buf,
        pool: &Pool,
        limits: &Limits,
    ) -> Result<Option<Buf>, Error> {
        let section = if self.has_begun() {
            self.take_behind(kind, input, limits)?
        } else {
            self.take_in_place(kind, input, pool, limits)?
        };
        if section.is_some() {
            self.scan = Scan::default();
        }
        Ok(section)
    }

    /// As [`Section::take`], when nothing is here yet.
    fn take_in_place(
        &mut self,
        kind: Kind,
        input: &mut Buf,
        pool: &Pool,
        limits: &Limits,
    ) -> Result<Option<Buf>, Error> {
        if let Some(end) = self.scan.advance(input, kind, limits)? {
            input.advance(self.scan.first());
            return Ok(Some(split_off(input, end - self.scan.first())));
        }
        let input = std::mem::take(input);
        if self.scan.first() == input.len() {
            self.scan.forget_empty_lines();
        } else {
            let mut block = pool.buffer(input.len());
            block.extend_from_slice(&input);
            self.block = Some(block);
        }
        Ok(None)
    }

    /// As [`Section::take`], when the block holds the beginning.
    fn take_behind(
        &mut self,
        kind: Kind,
        input: &mut Buf,
        limits: &Limits,
    ) -> Result<Option<Buf>, Error> {
        let block = self.block.as_mut().expect("the section has begun");
        let before = block.len();
        // The scan refuses a section that fills this room, so there is always some.
        let room = self.scan.first() + limits.head_len_max + 1 - before;
        let taken = input.len().min(room);
        block.extend_from_slice(&input[..taken]);
        let end = self.scan.advance(block, kind, limits)?;
        input.advance(end.map_or(taken, |end| end - before));
        if end.is_none() && self.scan.first() < block.len() {
            return Ok(None);
        }
        let bytes = self.block.take().map(BufMut::freeze).unwrap_or_default();
        if end.is_none() {
            self.scan.forget_empty_lines();
        }
        Ok(end.map(|end| bytes.slice(self.scan.first()..end)))
    }

    /// The first bytes that are here: of the section, or of `input` if it begins there.
    pub(super) fn beginning<'a>(&'a self, input: &'a Buf) -> &'a [u8] {
        let bytes = self.block.as_deref().unwrap_or(input);
        &bytes[self.scan.first().min(bytes.len())..]
    }
}
