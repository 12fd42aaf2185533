//! [`FieldLines`]: the fields of a received head; [`Fields`]: the fields of a head to send.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

/// The field lines of a received head, in order. Iterates over `(name, value)`.
///
/// The lines were checked when the head was read; here they are only cut at their colons and ends.
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    /// From the beginning of the next line on; an empty line is behind the last.
    rest: &'a [u8],
}

impl<'a> FieldLines<'a> {
    #[inline]
    pub(crate) fn new(lines: &'a [u8]) -> FieldLines<'a> {
        FieldLines { rest: lines }
    }

    /// The values of all lines whose name is `name`, without case.
    pub fn named<'n>(mut self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        std::iter::from_fn(move || {
            loop {
                let (known, value) = self.next_line()?;
                if known.eq_ignore_ascii_case(name.as_bytes()) {
                    return Some(value);
                }
            }
        })
    }

    /// The next line's name and value, as bytes.
    #[inline]
    fn next_line(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        let colon = memchr::memchr(b':', line)?;
        self.rest = rest;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    }
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.next_line()?;
        // The parser admits only tokens as names, so this never falls back.
        Some((std::str::from_utf8(name).unwrap_or(""), value))
    }
}

/// How many fields fit into a response without an allocation.
const INLINE_FIELDS: usize = 2;

/// The fields of a head to send, in order. A name may stand more than once (`Set-Cookie`).
#[derive(Clone, Debug, Default)]
pub struct Fields {
    entries: SmallVec<[(HeaderName, HeaderValue); INLINE_FIELDS]>,
}

impl Fields {
    /// Makes an empty list. Allocates nothing.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Sets `name` to `value`, replacing every field of that name.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.entries.is_empty() {
            self.remove(&name);
        }
        self.append(name, value);
    }

    /// Adds a field behind those that are there.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.entries.push((name, value));
    }

    /// Removes every field of that name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.entries.retain(|(entry, _)| entry != name);
    }

    /// The first value of that name.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.iter()
            .find(|(entry, _)| *entry == name)
            .map(|(_, value)| value)
    }

    /// Whether a field of that name is there.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.entries.iter().map(|(name, value)| (name, value))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
