//! [`Trailers`]: the fields that came behind the content of a request.
//!
//! What must hold: they are never taken for fields of the head (RFC 9110 section 6.5.1): who wants
//! them asks for them here.

use std::fmt;

use http::HeaderName;

use super::FieldLines;
use crate::mem::Buf;

/// The trailer section of a request: fields that were sent behind chunked content (RFC 9112 section
/// 7.1.2). Mostly empty.
///
/// They are no more than hints of the peer: nothing about framing, routing or authentication may be
/// concluded from them.
#[derive(Clone, Default)]
pub struct Trailers {
    /// The field lines and the empty line behind them, or nothing.
    lines: Buf,
}

impl Trailers {
    /// Takes lines that were checked, up to and with the empty line.
    pub(crate) fn new(lines: Buf) -> Trailers {
        Trailers { lines }
    }

    #[inline]
    pub(crate) fn holds_lines(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields().next().is_none()
    }

    /// All field lines in the order in which they were sent.
    pub fn fields(&self) -> FieldLines<'_> {
        FieldLines::new(&self.lines)
    }

    /// The value of the first field line with this name, without case.
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut values = self.fields().named(name.as_str());
        values.next()
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): (_, &[u8])| (name, value.escape_ascii().to_string());
        out.debug_map().entries(self.fields().map(text)).finish()
    }
}
