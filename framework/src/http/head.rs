//! [`Head`]: the head of a request, as the bytes that came from the wire.
//!
//! What must hold: every [`Span`] lies inside `bytes`; every line ends with CRLF;
//! field names are tokens and field values hold no CR, LF or NUL (the parser has checked all of
//! it, RFC 9110 section 5).

use std::borrow::Cow;
use std::cell::Cell;
use std::num::NonZeroU32;
use std::ops::Range;
use std::rc::Rc;

use http::{HeaderName, HeaderValue, Method};

use super::fields::FieldLines;
use crate::mem::{Buf, Pool};

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

    /// A part of this span.
    ///
    /// # Panics
    /// If the part does not lie inside the span.
    #[inline]
    fn part(self, part: Range<usize>) -> Span {
        assert!(part.start <= part.end && part.end <= usize::from(self.len));
        let narrow = |at: usize| u16::try_from(at).expect("a part is no longer than its span");
        Span {
            start: self.start + narrow(part.start),
            len: narrow(part.end - part.start),
        }
    }
}

/// Where a request target stands, and its path in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The target as sent.
    whole: Span,
    /// Its path; empty for an absolute-form without one. What is behind it is `?` and the query.
    path: Span,
}

impl Target {
    /// The target at `whole`, whose path is at `path` from there on.
    ///
    /// # Panics
    /// If the path does not lie inside the target.
    #[inline]
    pub(crate) fn new(whole: Span, path: Range<usize>) -> Target {
        Target {
            whole,
            path: whole.part(path),
        }
    }

    /// Finds the path of a target (RFC 9112 section 3.2). What is not in absolute-form is its own.
    fn split(bytes: &[u8], whole: Span) -> Target {
        let text = whole.of(bytes);
        let start = if text.starts_with(b"/") {
            0
        } else {
            authority_end(text)
        };
        let len = memchr::memchr(b'?', &text[start..]);
        Target::new(whole, start..len.map_or(text.len(), |len| start + len))
    }

    /// The target in the bytes of its head.
    #[cfg(test)]
    pub(crate) fn whole_of(self, bytes: &[u8]) -> &[u8] {
        self.whole.of(bytes)
    }

    /// The query, without its `?`.
    #[inline]
    fn query(self) -> Option<Span> {
        let path_end = usize::from(self.path.start - self.whole.start + self.path.len);
        let len = usize::from(self.whole.len);
        (path_end < len).then(|| self.whole.part(path_end + 1..len))
    }
}

/// Where the authority of an absolute-form ends; 0 for any other form.
fn authority_end(target: &[u8]) -> usize {
    memchr::memmem::find(target, b"://").map_or(0, |scheme| {
        let authority = scheme + "://".len();
        let end = memchr::memchr2(b'/', b'?', &target[authority..]);
        end.map_or(target.len(), |len| authority + len)
    })
}

/// The head of a request: method, target, version and field lines.
///
/// It is a count on what was read, with a counted slice of the bytes it was read from: one word, so
/// that it costs nothing to keep and to move.
#[derive(Clone, Debug)]
pub struct Head {
    parts: Rc<Parts>,
}

/// What a head says, and where.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) bytes: Buf,
    /// Borrowed where it can be, as a `Method` is costly to move.
    pub(crate) method: Cow<'static, Method>,
    pub(crate) target: Target,
    /// Where the field lines begin. They are found anew when they are asked for, which few handlers
    /// do: so reading a head keeps no table.
    pub(crate) fields_start: u16,
    pub(crate) version: Version,
    /// Where a router found the handler, for when this head comes again.
    pub(crate) found: Cell<Found>,
}

/// Where a router has the handler for a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which router has found it, if one has.
    pub(crate) router: Option<NonZeroU32>,
    pub(crate) route: u16,
    pub(crate) method: u8,
}

/// The place of a head, which the next one takes over if nobody else keeps it: so that heads cost
/// no allocation.
#[derive(Default)]
pub(crate) struct Last {
    head: Option<Head>,
}

impl Last {
    /// Makes a head of its parts.
    #[inline]
    pub(crate) fn renew(&mut self, parts: Parts) -> Head {
        match self
            .head
            .as_mut()
            .and_then(|head| Rc::get_mut(&mut head.parts))
        {
            Some(place) => *place = parts,
            None => self.head = Some(Head::from(parts)),
        }
        self.head.clone().expect("it was set just now")
    }

    /// The head.
    #[inline]
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Lets go of the bytes of the last head.
    #[inline]
    pub(crate) fn release(&mut self) {
        let Some(head) = &mut self.head else { return };
        match Rc::get_mut(&mut head.parts) {
            Some(place) => place.bytes = Buf::new(),
            None => self.head = None,
        }
    }
}

impl From<Parts> for Head {
    fn from(parts: Parts) -> Head {
        Head {
            parts: Rc::new(parts),
        }
    }
}

impl Head {
    /// Puts a head together of `bytes` that are a head up to and with the empty line, with `target`
    /// inside it and the field lines from `fields_start` on, and hold what the module's invariants
    /// say.
    pub(crate) fn new(
        bytes: Buf,
        method: Method,
        version: Version,
        target: Span,
        fields_start: u16,
    ) -> Head {
        Head::from(Parts {
            target: Target::split(&bytes, target),
            bytes,
            method: Cow::Owned(method),
            fields_start,
            version,
            found: Cell::default(),
        })
    }

    /// The method, such as `GET`. Methods are case-sensitive (RFC 9110 section 9.1).
    #[inline]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The version that the request line names.
    #[inline]
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The request target exactly as sent (RFC 9112 section 3.2).
    #[inline]
    pub fn target(&self) -> &str {
        self.text(self.parts.target.whole)
    }

    /// The path of the target: without scheme, authority and query, still percent-encoded.
    ///
    /// `*` for the asterisk-form; the whole target for the authority-form of CONNECT.
    #[inline]
    pub fn path(&self) -> &str {
        match self.text(self.parts.target.path) {
            "" => "/",
            path => path,
        }
    }

    /// As [`path`](Head::path), as bytes.
    #[inline]
    pub(crate) fn path_bytes(&self) -> &[u8] {
        match self.parts.target.path.of(&self.parts.bytes) {
            b"" => b"/",
            path => path,
        }
    }

    /// The query of the target, without its `?`, still percent-encoded.
    #[inline]
    pub fn query(&self) -> Option<&str> {
        self.parts.target.query().map(|query| self.text(query))
    }

    /// The host, and its port if there is one, that the request is for: the authority of an
    /// absolute-form target, otherwise the value of `Host` (RFC 9112 section 3.2.2).
    pub fn host(&self) -> Option<&str> {
        if let Some((_scheme, rest)) = self.target().split_once("://")
            && !self.target().starts_with('/')
        {
            return rest.split(['/', '?']).next();
        }
        let value = self.field(&http::header::HOST)?;
        std::str::from_utf8(value).ok()
    }

    /// All field lines in the order in which they were sent.
    #[inline]
    pub fn fields(&self) -> FieldLines<'_> {
        FieldLines::new(&self.parts.bytes[usize::from(self.parts.fields_start)..])
    }

    /// The value of the first field line with this name, without case.
    #[inline]
    pub fn field(&self, name: &HeaderName) -> Option<&[u8]> {
        let mut values = self.fields().named(name.as_str());
        values.next()
    }

    /// Where a router has found the handler, if one has that could note it. The same head has the
    /// same path and method, so that router need not look again.
    #[inline]
    pub(crate) fn found(&self) -> &Cell<Found> {
        &self.parts.found
    }

    /// The bytes that the head was parsed from.
    #[inline]
    pub fn bytes(&self) -> &Buf {
        &self.parts.bytes
    }

    /// Moves the head's bytes into memory of its own, so that the buffer they came in can go back
    /// to its ring. For a head that is kept beyond the turn in which it came.
    pub fn detach(&mut self, pool: &Pool) {
        *self = Head::from(self.detached(pool));
    }

    /// What the head says, with bytes of its own.
    pub(crate) fn detached(&self, pool: &Pool) -> Parts {
        Parts {
            bytes: pool.copy(self.bytes()),
            ..Parts::clone(&self.parts)
        }
    }

    /// The same head with one more field line, before all others, written to a buffer of `pool`.
    /// `None` if the head would grow over 64 KiB.
    pub(crate) fn with_first_field(
        &self,
        pool: &Pool,
        name: &HeaderName,
        value: &HeaderValue,
    ) -> Option<Head> {
        let Parts {
            bytes,
            fields_start,
            ..
        } = &*self.parts;
        let (line, rest) = bytes.split_at(usize::from(*fields_start));
        let parts = [
            line,
            name.as_str().as_bytes(),
            b": ",
            value.as_bytes(),
            b"\r\n",
            rest,
        ];
        let len = parts.iter().map(|part| part.len()).sum();
        u16::try_from(len).ok()?;
        let mut bytes = pool.buffer(len);
        bytes.extend_from_parts(parts);
        Some(Head::from(Parts {
            bytes: bytes.freeze(),
            ..Parts::clone(&self.parts)
        }))
    }

    /// The text of a span of the target.
    fn text(&self, span: Span) -> &str {
        // The parser admits only visible ASCII in a target, so this never falls back.
        std::str::from_utf8(span.of(&self.parts.bytes)).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &'static str) -> (String, Option<String>) {
        let whole = Span {
            start: 0,
            len: u16::try_from(target.len()).unwrap(),
        };
        let bytes = Buf::from(target);
        let head = Head::new(bytes, Method::GET, Version::Http11, whole, whole.len);
        (head.path().to_owned(), head.query().map(str::to_owned))
    }

    #[test]
    fn a_target_is_split_into_path_and_query() {
        let cases = [
            ("/", "/", None),
            ("/a/b", "/a/b", None),
            ("/a?", "/a", Some("")),
            ("/a?b=c?d", "/a", Some("b=c?d")),
            ("/a?u=http://x/y", "/a", Some("u=http://x/y")),
            ("*", "*", None),
            ("example.com:443", "example.com:443", None),
            ("http://h", "/", None),
            ("http://h?q", "/", Some("q")),
            ("http://h:80/p?q", "/p", Some("q")),
        ];
        for (target, path, query) in cases {
            let found = parts(target);
            assert_eq!(
                (&found.0[..], found.1.as_deref()),
                (path, query),
                "{target}"
            );
        }
    }
}
