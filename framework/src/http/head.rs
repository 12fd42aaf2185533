//! [`Head`]: the head of a request, as spans into the bytes that came from the wire.
//!
//! What must hold: every [`Span`] lies inside `bytes`; field names are tokens and field values hold
//! no CR, LF or NUL (the parser has checked both, RFC 9110 section 5).

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::fields::FieldLines;
use crate::mem::Buf;

/// A protocol version (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A range of a head's bytes. A head is at most 64 KiB, so 16 bits do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Where the range begins.
    pub start: u16,
    /// How many bytes it holds.
    pub len: u16,
}

impl Span {
    /// The bytes of `text` that this span names.
    #[inline]
    pub fn of(self, text: &[u8]) -> &[u8] {
        &text[usize::from(self.start)..][..usize::from(self.len)]
    }
}

/// One field line: its name and its value, without the white space around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldLine {
    /// The name, as sent: compare it without case.
    pub name: Span,
    /// The value, without leading and trailing white space.
    pub value: Span,
}

/// How many field lines fit without an allocation.
const INLINE_FIELDS: usize = 12;

/// The field lines of one head, most of which fit inline.
pub(crate) type FieldVec = SmallVec<[FieldLine; INLINE_FIELDS]>;

/// The head of a request: method, target, version and field lines.
///
/// It owns a counted slice of the bytes it was parsed from, so it is cheap to keep and to move.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Buf,
    method: Method,
    version: Version,
    target: Span,
    fields: FieldVec,
}

impl Head {
    /// Puts a head together. For parsers; the spans must lie inside `bytes` and hold what the
    /// module's invariants say.
    pub(crate) fn new(
        bytes: Buf,
        method: Method,
        version: Version,
        target: Span,
        fields: FieldVec,
    ) -> Head {
        Head {
            bytes,
            method,
            version,
            target,
            fields,
        }
    }

    /// The method, such as `GET`. Methods are case-sensitive (RFC 9110 section 9.1).
    #[inline]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The version that the request line names.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request target exactly as sent (RFC 9112 section 3.2).
    #[inline]
    pub fn target(&self) -> &str {
        // The parser admits only visible ASCII in a target, so this never falls back.
        std::str::from_utf8(self.target.of(&self.bytes)).unwrap_or("")
    }

    /// The path of the target: without scheme, authority and query, still percent-encoded.
    ///
    /// `*` for the asterisk-form; the whole target for the authority-form of CONNECT.
    #[inline]
    pub fn path(&self) -> &str {
        let target = self.origin();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The query of the target, without its `?`, still percent-encoded.
    #[inline]
    pub fn query(&self) -> Option<&str> {
        self.origin().split_once('?').map(|(_, query)| query)
    }

    /// The target from its path on: the origin-form of an absolute-form target.
    fn origin(&self) -> &str {
        let target = self.target();
        if target.starts_with('/') {
            return target;
        }
        let Some((_scheme, rest)) = target.split_once("://") else {
            return target;
        };
        rest.find(['/', '?']).map_or("/", |at| {
            if rest[at..].starts_with('/') {
                &rest[at..]
            } else {
                "/"
            }
        })
    }

    /// All field lines in the order in which they were sent.
    #[inline]
    pub fn fields(&self) -> FieldLines<'_> {
        FieldLines::new(&self.bytes, &self.fields)
    }

    /// The value of the first field line with this name, without case.
    #[inline]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut values = self.fields().named(name.as_str());
        values.next()
    }

    /// The bytes that the head was parsed from.
    #[inline]
    pub fn bytes(&self) -> &Buf {
        &self.bytes
    }
}
