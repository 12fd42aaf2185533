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

/// Numbers of so many digits are worked out here: what the digits say is below 2^32.
const FEW_DIGITS: usize = 9;
/// What they are divided by for the digits behind the point. Both are exact doubles, so their
/// quotient is the nearest one.
const POWERS: [f64; FEW_DIGITS + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

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

    /// Reads a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number<'a>> {
        self.peek();
        let start = self.at;
        let is_negative = self.skip(b'-');
        let mut digits = Digits::default();
        if !self.skip(b'0') {
            digits = self.digits(digits)?;
        }
        let whole_count = digits.count;
        if self.skip(b'.') {
            digits = self.digits(digits)?;
        }
        if digits.count > FEW_DIGITS || matches!(self.byte(), Some(b'e' | b'E')) {
            return self.long_number(start);
        }
        let size = f64::from(digits.value) / POWERS[digits.count - whole_count];
        Ok(Number::Few(if is_negative { -size } else { size }))
    }

    /// Reads the rest of a number with many digits or an exponent.
    #[inline(never)]
    fn long_number(&mut self, start: usize) -> Result<Number<'a>> {
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            self.digits(Digits::default())?;
        }
        Ok(Number::Many(&self.text[start..self.at]))
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

    /// Reads digits, at least one, behind those that were read before.
    #[inline]
    fn digits(&mut self, before: Digits) -> Result<Digits> {
        let mut digits = before;
        while let Some(byte @ b'0'..=b'9') = self.byte() {
            self.at += 1;
            digits.push(byte);
        }
        if digits.count == before.count {
            Err(Fault::Syntax)
        } else {
            Ok(digits)
        }
    }

    /// The part of a string up to its next quote, escape, control character or the end.
    #[inline]
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        self.at += plain_len(&self.text.as_bytes()[start..]);
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

/// A number that was read, and worked out where that costs nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number<'a> {
    /// One of few digits.
    Few(f64),
    /// One of many, as written. To work one out may take 20 us, so only the one that counts is.
    Many(&'a str),
}

impl Number<'_> {
    /// The nearest double, which is infinite if the number is too large for one.
    #[inline]
    pub(crate) fn nearest(self) -> Result<f64> {
        match self {
            Number::Few(number) => Ok(number),
            // Every JSON number is a Rust float literal, and the parser of `core` rounds correctly.
            Number::Many(text) => text.parse().map_err(|_| Fault::Syntax),
        }
    }
}

/// Digits of a number.
#[derive(Clone, Copy, Default)]
struct Digits {
    count: usize,
    /// What they say, unless they are more than [`FEW_DIGITS`].
    value: u32,
}

impl Digits {
    #[inline]
    fn push(&mut self, digit: u8) {
        self.count += 1;
        let value = self.value.wrapping_mul(10);
        self.value = value.wrapping_add(u32::from(digit - b'0'));
    }
}

/// How many of the first bytes need no look: up to a quote, a backslash or a control character.
#[inline]
fn plain_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    while let Some(word) = bytes[len..].first_chunk() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return len + marks.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    let is_plain = |&byte: &u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    let rest = bytes[len..].iter();
    len + rest.take_while(|byte| is_plain(byte)).count()
}

/// Marks, of eight bytes, the first that is not plain, by its top bit. Bytes behind it may be
/// marked as well: to subtract from it borrows from them.
#[inline]
fn marks(word: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let below = |bytes: u64, bound: u8| bytes.wrapping_sub(EACH * u64::from(bound)) & !bytes;
    let equal = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (below(word, b' ') | equal(b'"') | equal(b'\\')) & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_bytes_end_at_a_quote_a_backslash_or_a_control_character_anywhere() {
        for byte in 0..=u8::MAX {
            let is_plain = byte >= b' ' && byte != b'"' && byte != b'\\';
            for len in 0..20 {
                for behind in 0..10 {
                    for neighbour in [b' ', b'!', b'#', b'[', 0x7f, 0x80, 0xa2, 0xff] {
                        let mut bytes = vec![neighbour; len + 1 + behind];
                        bytes[len] = byte;
                        let expected = if is_plain { bytes.len() } else { len };
                        assert_eq!(plain_len(&bytes), expected, "{byte} at {len} of {bytes:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_of_few_digits_are_what_the_standard_library_says() {
        let mut number = 0_u32;
        for _ in 0..200_000 {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // On both sides of nine digits, and of what 32 bits hold.
            let part = if number.is_multiple_of(2) { 100 } else { 1 };
            let digits = (u64::from(number) * 3 / part).to_string();
            for point in 1..digits.len() {
                let whole = digits[..point].trim_start_matches('0');
                let whole = if whole.is_empty() { "0" } else { whole };
                let text = format!("-{whole}.{}", &digits[point..]);
                let expected: f64 = text.parse().unwrap();
                let read = Reader::new(&text)
                    .number()
                    .and_then(Number::nearest)
                    .unwrap();
                assert_eq!(read.to_bits(), expected.to_bits(), "{text}");
            }
        }
    }
}
