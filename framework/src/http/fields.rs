//! [`FieldLines`]: the fields of a received head; [`Fields`]: the fields of a head to send.

use std::fmt;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue};

/// The field lines of a received head, in order. Iterates over `(name, value)`.
///
/// The lines were checked when the head was read; here they are only cut at their colons and ends.
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    /// From the beginning of the next line on; an empty line is behind the last, or nothing.
    rest: &'a [u8],
    /// The lines behind those.
    then: &'a [u8],
}

impl<'a> FieldLines<'a> {
    #[inline]
    pub(crate) fn new(lines: &'a [u8]) -> FieldLines<'a> {
        FieldLines {
            rest: lines,
            then: &[],
        }
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
        if self.rest.is_empty() {
            self.rest = std::mem::take(&mut self.then);
        }
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

/// Fields that are known when the program is built, as the lines that will be sent. They are
/// checked once, by the compiler, and not copied before they are sent.
///
/// # Examples
/// ```
/// use sunstar::http::{FixedFields, StatusCode};
/// use sunstar::service::Response;
///
/// const HTML: FixedFields =
///     FixedFields::new("content-type: text/html\r\ncache-control: no-cache\r\n");
///
/// let response = Response::new(StatusCode::OK).with_fixed_fields(HTML);
/// assert_eq!(response.fields.len(), 2);
/// ```
/// A line that is none does not compile:
/// ```compile_fail,E0080
/// # use sunstar::http::FixedFields;
/// const WRONG: FixedFields = FixedFields::new("content-type = text/html\r\n");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedFields {
    lines: &'static str,
}

impl FixedFields {
    /// Takes `lines`. Each is a name of lower-case letters, digits, `-` and `_`, a colon, a space,
    /// a value of visible ASCII and spaces, and CRLF.
    ///
    /// # Panics
    /// If a line is not of that form, or its name is one of those that the protocol writes by
    /// itself or has to know of (`connection`, `content-length`, `transfer-encoding`, `upgrade`).
    /// In a constant that is an error of the compiler.
    pub const fn new(lines: &'static str) -> FixedFields {
        let mut rest = lines.as_bytes();
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(fixed_line_len(rest));
            assert!(
                !starts_with(line, b"connection: ")
                    && !starts_with(line, b"content-length: ")
                    && !starts_with(line, b"transfer-encoding: ")
                    && !starts_with(line, b"upgrade: "),
                "the protocol writes this field by itself, or has to know of it"
            );
            rest = behind;
        }
        FixedFields { lines }
    }

    /// The lines as they are sent, each with its CRLF.
    #[inline]
    pub(crate) fn as_bytes(self) -> &'static [u8] {
        self.lines.as_bytes()
    }

    /// Whether these are the same bytes of the program, and so the same fields. Equal fields in two
    /// places are not found to be the same, which costs less than to compare them.
    #[inline]
    pub(crate) fn is_same_place(self, other: FixedFields) -> bool {
        std::ptr::eq(self.lines, other.lines)
    }
}

/// How long the first line of `bytes` is, its end included.
const fn fixed_line_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() && matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
        at += 1;
    }
    let name_len = at;
    assert!(
        name_len > 0 && at + 2 <= bytes.len() && bytes[at] == b':' && bytes[at + 1] == b' ',
        "a line is a name in lower case, a colon, a space and a value"
    );
    at += 2;
    while at < bytes.len() && matches!(bytes[at], b' '..=b'~') {
        at += 1;
    }
    assert!(
        at + 2 <= bytes.len() && bytes[at] == b'\r' && bytes[at + 1] == b'\n',
        "a line ends with CRLF, and its value is visible ASCII and spaces"
    );
    at + 2
}

const fn starts_with(bytes: &[u8], front: &[u8]) -> bool {
    let mut at = 0;
    while at < front.len() {
        if at == bytes.len() || bytes[at] != front[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// How many bytes of field lines fit into a response without an allocation.
const INLINE_LEN: usize = 54;

/// The fields of a head to send, in order. A name may stand more than once (`Set-Cookie`).
///
/// They are kept as the lines that will be sent: a field is written once, where its name and value
/// are known, and a response moves as one small piece. Up to 54 bytes of lines (each is its name,
/// its value and four bytes more) allocate nothing.
#[derive(Clone)]
pub struct Fields {
    /// The first ones, if they were known before the program ran.
    fixed: FixedFields,
    here: [u8; INLINE_LEN],
    here_len: u8,
    /// Whether a name is among those that the protocol writes by itself.
    has_framing: bool,
    /// All lines, once they do not fit in here.
    #[expect(
        clippy::box_collection,
        reason = "one word in a response instead of three"
    )]
    away: Option<Box<Vec<u8>>>,
}

impl Fields {
    /// Makes an empty list. Allocates nothing.
    #[inline]
    pub fn new() -> Fields {
        Fields {
            fixed: FixedFields { lines: "" },
            here: [0; INLINE_LEN],
            here_len: 0,
            has_framing: false,
            away: None,
        }
    }

    /// Sets `name` to `value`, replacing every field of that name.
    #[inline]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as `http::HeaderMap::insert`"
    )]
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if !self.is_empty() {
            self.remove(&name);
        }
        self.write(&name, &value);
    }

    /// Adds a field behind those that are there.
    #[inline]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "as `http::HeaderMap::append`"
    )]
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.write(&name, &value);
    }

    /// Adds fields behind those that are there. Costs nothing if there are none.
    #[inline]
    pub fn append_fixed(&mut self, fixed: FixedFields) {
        if self.is_empty() {
            self.fixed = fixed;
        } else {
            self.append_fixed_behind(fixed);
        }
    }

    #[cold]
    fn append_fixed_behind(&mut self, fixed: FixedFields) {
        for (name, value) in FieldLines::new(fixed.lines.as_bytes()) {
            self.write_line(name.as_bytes(), value);
        }
    }

    /// Removes every field of that name.
    pub fn remove(&mut self, name: &HeaderName) {
        if self.contains(name) {
            let before = std::mem::take(self);
            self.has_framing = before.has_framing;
            for (known, value) in &before {
                if known != name.as_str() {
                    self.write_line(known.as_bytes(), value);
                }
            }
        }
    }

    /// The first value of that name.
    pub fn get(&self, name: &HeaderName) -> Option<&[u8]> {
        self.iter()
            .find(|(known, _)| *known == name.as_str())
            .map(|(_, value)| value)
    }

    /// Whether a field of that name is there.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// All fields in order, as `(name, value)`; names are in lower case.
    pub fn iter(&self) -> FieldLines<'_> {
        let [rest, then] = self.lines();
        FieldLines { rest, then }
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no field.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.fixed.lines.is_empty() && self.here_len == 0 && self.away.is_none()
    }

    /// The lines as they are sent, each with its CRLF, in two pieces.
    #[inline]
    pub(crate) fn lines(&self) -> [&[u8]; 2] {
        let others = match &self.away {
            None => &self.here[..usize::from(self.here_len)],
            Some(lines) => lines,
        };
        [self.fixed.lines.as_bytes(), others]
    }

    /// Whether there is memory of its own for them.
    #[inline]
    pub(crate) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// The fields, if they were all known before the program ran.
    #[inline]
    pub(crate) fn all_fixed(&self) -> Option<FixedFields> {
        (self.here_len == 0 && self.away.is_none()).then_some(self.fixed)
    }

    /// Whether a field about framing or connection may be among them.
    #[inline]
    pub(crate) fn has_framing(&self) -> bool {
        self.has_framing
    }

    #[inline]
    fn write(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.has_framing |= matches!(
            *name,
            CONTENT_LENGTH | TRANSFER_ENCODING | CONNECTION | UPGRADE
        );
        self.write_line(name.as_str().as_bytes(), value.as_bytes());
    }

    #[inline]
    fn write_line(&mut self, name: &[u8], value: &[u8]) {
        let (start, len) = (usize::from(self.here_len), name.len() + value.len() + 4);
        match self.here.get_mut(start..start + len) {
            Some(line) if self.away.is_none() => {
                let (name_at, rest) = line.split_at_mut(name.len());
                let (colon, rest) = rest.split_at_mut(2);
                let (value_at, end) = rest.split_at_mut(value.len());
                name_at.copy_from_slice(name);
                colon.copy_from_slice(b": ");
                value_at.copy_from_slice(value);
                end.copy_from_slice(b"\r\n");
                self.here_len += u8::try_from(len).expect("it fits into `here`");
            }
            _ => self.write_away(name, value),
        }
    }

    /// Writes a line that does not fit in here.
    #[cold]
    fn write_away(&mut self, name: &[u8], value: &[u8]) {
        let away = self.away.get_or_insert_with(|| {
            let here = &self.here[..usize::from(self.here_len)];
            let mut lines = Vec::with_capacity(4 * INLINE_LEN + name.len() + value.len());
            lines.extend_from_slice(here);
            Box::new(lines)
        });
        for part in [name, b": ", value, b"\r\n"] {
            away.extend_from_slice(part);
        }
    }
}

impl Default for Fields {
    fn default() -> Fields {
        Fields::new()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |(name, value): (_, &[u8])| (name, value.escape_ascii().to_string());
        out.debug_map().entries(self.iter().map(text)).finish()
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = FieldLines<'a>;

    fn into_iter(self) -> FieldLines<'a> {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ALLOW, CONTENT_TYPE, SET_COOKIE};

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn fields_stand_as_the_lines_that_are_sent() {
        let mut fields = Fields::new();
        assert!(fields.is_empty() && fields.get(&ALLOW).is_none());
        fields.append(SET_COOKIE, value("a=b"));
        fields.append(CONTENT_TYPE, value("text/plain"));
        fields.append(SET_COOKIE, value(""));
        let lines = b"set-cookie: a=b\r\ncontent-type: text/plain\r\nset-cookie: \r\n";
        assert_eq!(fields.lines().concat(), lines);
        assert_eq!((fields.len(), fields.has_framing()), (3, false));
        assert_eq!(fields.get(&SET_COOKIE), Some(&b"a=b"[..]));
    }

    #[test]
    fn a_field_that_is_set_replaces_all_of_its_name() {
        let mut fields = Fields::new();
        fields.append(SET_COOKIE, value("a=b"));
        fields.append(ALLOW, value("GET"));
        fields.append(SET_COOKIE, value("c=d"));
        fields.insert(SET_COOKIE, value("e=f"));
        assert_eq!(
            fields.lines().concat(),
            b"allow: GET\r\nset-cookie: e=f\r\n"
        );
        fields.remove(&ALLOW);
        fields.remove(&ALLOW);
        assert_eq!(fields.lines().concat(), b"set-cookie: e=f\r\n");
    }

    #[test]
    fn fixed_fields_are_fields_like_others_and_keep_their_place() {
        const HTML: FixedFields = FixedFields::new("content-type: text/html\r\nallow: GET\r\n");
        let mut fields = Fields::new();
        fields.append_fixed(HTML);
        fields.append(SET_COOKIE, value("a=b"));
        fields.append_fixed(FixedFields::new("x-last: 1\r\n"));
        let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["content-type", "allow", "set-cookie", "x-last"]);
        assert_eq!(fields.get(&CONTENT_TYPE), Some(&b"text/html"[..]));
        fields.insert(CONTENT_TYPE, value("text/plain"));
        let lines = b"allow: GET\r\nset-cookie: a=b\r\nx-last: 1\r\ncontent-type: text/plain\r\n";
        assert_eq!(fields.lines().concat(), lines);
    }

    #[test]
    fn what_is_no_line_is_not_fixed() {
        let wrong = [
            "a",
            "a:b\r\n",
            "A: b\r\n",
            ": b\r\n",
            "a: b",
            "a: b\r",
            "a: b\n",
            "a: b\rc: d\r\n",
            "a: \u{e9}\r\n",
            "a: b\r\n\r\n",
            "a : b\r\n",
            "a: b\r\ncontent-length: 1\r\n",
            "connection: close\r\n",
            "transfer-encoding: chunked\r\n",
            "upgrade: websocket\r\n",
        ];
        for lines in wrong {
            let made = std::panic::catch_unwind(|| FixedFields::new(lines));
            assert!(made.is_err(), "{lines:?}");
        }
        FixedFields::new("connection-x: 1\r\n");
        FixedFields::new("");
    }

    #[test]
    fn more_lines_than_fit_inline_are_kept_all_the_same() {
        let mut fields = Fields::new();
        let long = HeaderValue::from_bytes(&[b'x'; INLINE_LEN]).unwrap();
        fields.append(ALLOW, long.clone());
        fields.append(CONNECTION, value("close"));
        let all: Vec<_> = fields.iter().collect();
        assert_eq!(all, [("allow", long.as_bytes()), ("connection", b"close")]);
        assert!(fields.has_framing());
    }
}
