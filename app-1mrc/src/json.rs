//! [`Reader`]: reads one JSON text (RFC 8259) from front to back, strictly and without copying.
//!
//! What must hold: `at` lies on a character boundary between two steps; containers nest at most
//! [`DEPTH_MAX`] deep, so recursion is bounded. Strings are checked also where they are skipped:
//! their escapes must make Unicode text, so a lone surrogate is an error (section 8.2).

use std::borrow::Cow;

/// How many objects and arrays may be open at once.
pub(crate) const DEPTH_MAX: usize = 128;

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It breaks the grammar.
    Syntax,
    /// It nests more than [`DEPTH_MAX`] deep.
    TooDeep,
}

type Result<T> = std::result::Result<T, Fault>;

/// A place in a JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Begins to read `text`.
    #[inline]
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The next byte that is not white space, which is left to be read.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Reads an object, and calls `member` with each key to read the value behind it.
    #[inline]
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<()>,
    ) -> Result<()> {
        self.open(b'{')?;
        if self.peek() != Some(b'}') {
            loop {
                let key = self.string()?;
                self.expect(b':')?;
                member(self, key)?;
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.close(b'}')
    }

    /// Reads a string and decodes its escapes; one without escapes is borrowed.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.expect(b'"')?;
        let plain = self.plain();
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        self.escaped(plain).map(Cow::Owned)
    }

    /// Reads a number and returns it as written.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads a value of any kind and forgets it.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{') => self.object(|reader, _key| reader.skip_value()),
            Some(b'[') => self.skip_array(),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number().map(drop),
        }
    }

    /// Checks that nothing but white space is left.
    #[inline]
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    fn skip_array(&mut self) -> Result<()> {
        self.open(b'[')?;
        if self.peek() != Some(b']') {
            loop {
                self.skip_value()?;
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.close(b']')
    }

    #[inline]
    fn open(&mut self, bracket: u8) -> Result<()> {
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(Fault::TooDeep)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn close(&mut self, bracket: u8) -> Result<()> {
        self.depth -= 1;
        self.expect(bracket)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips `byte` if it is next, white space apart.
    #[inline]
    fn expect(&mut self, byte: u8) -> Result<()> {
        self.peek();
        if self.skip(byte) {
            Ok(())
        } else {
            Err(Fault::Syntax)
        }
    }

    /// Whether `byte` is the very next one, which is skipped then.
    #[inline]
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start {
            Err(Fault::Syntax)
        } else {
            Ok(())
        }
    }

    /// The part of a string up to its next quote, escape, control character or the end.
    #[inline]
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        while self
            .byte()
            .is_some_and(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')
        {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// Reads the rest of a string that begins with `plain` and goes on with an escape.
    #[cold]
    fn escaped(&mut self, plain: &str) -> Result<String> {
        let mut decoded = String::from(plain);
        while self.skip(b'\\') {
            decoded.push(self.escape()?);
            decoded.push_str(self.plain());
        }
        if self.skip(b'"') {
            Ok(decoded)
        } else {
            Err(Fault::Syntax)
        }
    }

    /// Reads what stands behind a backslash (RFC 8259 section 7).
    fn escape(&mut self) -> Result<char> {
        let byte = self.byte().ok_or(Fault::Syntax)?;
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Fault::Syntax),
        };
        self.at += 1;
        Ok(character)
    }

    /// Reads `uXXXX`, and the low surrogate that must follow a high one.
    fn unicode_escape(&mut self) -> Result<char> {
        let high = self.code_unit()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or(Fault::Syntax); // A lone low surrogate is no char.
        }
        if !self.skip(b'\\') {
            return Err(Fault::Syntax);
        }
        let low = self.code_unit()?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(Fault::Syntax);
        }
        let point = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        char::from_u32(point).ok_or(Fault::Syntax)
    }

    fn code_unit(&mut self) -> Result<u32> {
        if !self.skip(b'u') {
            return Err(Fault::Syntax);
        }
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            unit = unit * 16 + digit.ok_or(Fault::Syntax)?;
            self.at += 1;
        }
        Ok(unit)
    }
}
