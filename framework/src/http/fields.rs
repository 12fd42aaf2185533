//! [`FieldLines`]: the fields of a received head; [`Fields`]: the fields of a head to send.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::head::FieldLine;

/// The field lines of a received head, in order. Iterates over `(name, value)`.
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    bytes: &'a [u8],
    lines: std::slice::Iter<'a, FieldLine>,
}

impl<'a> FieldLines<'a> {
    pub(crate) fn new(bytes: &'a [u8], lines: &'a [FieldLine]) -> FieldLines<'a> {
        FieldLines {
            bytes,
            lines: lines.iter(),
        }
    }

    /// The values of all lines whose name is `name`, without case.
    pub fn named<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let FieldLines { bytes, lines } = self;
        let name = name.as_bytes();
        lines
            .filter(move |line| line.name.of(bytes).eq_ignore_ascii_case(name))
            .map(|line| line.value.of(bytes))
    }
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        // The parser admits only tokens as names, so this never falls back.
        let name = std::str::from_utf8(line.name.of(self.bytes)).unwrap_or("");
        Some((name, line.value.of(self.bytes)))
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
