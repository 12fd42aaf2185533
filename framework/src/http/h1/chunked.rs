//! [`Decoder`]: takes content out of its chunks (RFC 9112 section 7.1).
//!
//! What must hold: nothing is accepted that the grammar does not produce, not even white space or a
//! bare LF; a size that does not fit is an error; what the chunk headers weigh is bounded by what
//! they frame.

use super::grammar::{is_tchar, is_value_byte};
use super::parse::split_off;
use crate::http::{Error, Limits};
use crate::mem::Buf;

/// What a decoder has to say about its input.
pub(super) enum Step {
    /// The next bytes of the content: never empty.
    Data(Buf),
    /// The last chunk is read; the trailer section follows.
    Last,
    /// The input is used up.
    Empty,
}

/// Takes content out of its chunks, wherever the input is cut.
#[derive(Default)]
pub(super) struct Decoder {
    state: State,
    /// The size of the chunk as far as it is read, then how much of it is to come.
    left: u64,
    /// How long the content is up to the end of the chunk at hand.
    content_len: u64,
    /// How long the chunk header is so far.
    header_len: usize,
    /// By how much the chunk headers outweigh their data so far.
    overhead: usize,
}

/// Where in the chunk the decoder stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of the size.
    #[default]
    Start,
    /// Behind a digit of the size.
    Size,
    /// In white space that only a `;` may end.
    SpaceBeforeExtension,
    /// Behind `;`, before the name of the extension.
    ExtensionStart,
    /// In the name of an extension.
    Name,
    /// In white space behind the name.
    SpaceAfterName,
    /// Behind `=`, before the value.
    ValueStart,
    /// In a value that is a token.
    Token,
    /// In a value that is a quoted string.
    Quoted,
    /// Behind a backslash in a quoted string.
    Escaped,
    /// Behind the quoted string.
    QuotedEnd,
    /// Behind the CR of the chunk header.
    HeaderLf,
    /// In the data.
    Data,
    /// Behind the data.
    DataCr,
    /// Behind the CR that follows the data.
    DataLf,
}

impl Decoder {
    /// Takes the next step through `input`.
    pub(super) fn advance(
        &mut self,
        input: &mut Buf,
        content_max: u64,
        limits: &Limits,
    ) -> Result<Step, Error> {
        while let Some(&byte) = input.first() {
            if self.state == State::Data {
                return Ok(Step::Data(self.take_data(input)));
            }
            input.advance(1);
            match self.state {
                State::HeaderLf if byte == b'\n' => {
                    if self.end_header(content_max)? {
                        return Ok(Step::Last);
                    }
                }
                State::DataCr if byte == b'\r' => self.state = State::DataLf,
                State::DataLf if byte == b'\n' => self.state = State::Start,
                _ => self.read_header(byte, limits)?,
            }
        }
        Ok(Step::Empty)
    }

    /// How long the content is at least, by the chunks that have begun.
    pub(super) fn announced_len(&self) -> u64 {
        self.content_len
    }

    fn take_data(&mut self, input: &mut Buf) -> Buf {
        let here = u64::try_from(input.len()).expect("a length fits 64 bits");
        let data = match usize::try_from(self.left) {
            Ok(left) if self.left < here => split_off(input, left),
            _ => std::mem::take(input),
        };
        self.left -= here.min(self.left);
        if self.left == 0 {
            self.state = State::DataCr;
        }
        data
    }

    /// Takes one byte of a chunk header.
    fn read_header(&mut self, byte: u8, limits: &Limits) -> Result<(), Error> {
        self.header_len += 1;
        if self.overhead + self.header_len > limits.chunk_overhead_max {
            return Err(Error::BadChunk);
        }
        if matches!(self.state, State::Start | State::Size)
            && let Some(digit) = char::from(byte).to_digit(16)
        {
            self.state = State::Size;
            self.left = self.left.checked_mul(16).ok_or(Error::BadChunk)? | u64::from(digit);
        } else {
            self.state = self.state.after(byte).ok_or(Error::BadChunk)?;
        }
        Ok(())
    }

    /// Draws the balance of a chunk header; says whether it was that of the last chunk.
    fn end_header(&mut self, content_max: u64) -> Result<bool, Error> {
        self.content_len = self.content_len.saturating_add(self.left);
        if self.content_len > content_max {
            return Err(Error::ContentTooLong);
        }
        // A header may cost twice its data and 16 bytes; only what is over that counts.
        let allowed = usize::try_from(self.left).unwrap_or(usize::MAX);
        let allowed = allowed.saturating_mul(2).saturating_add(16);
        self.overhead = (self.overhead + self.header_len).saturating_sub(allowed);
        self.header_len = 0;
        self.state = State::Data;
        Ok(self.left == 0)
    }
}

impl State {
    /// The state behind `byte` of a chunk header; `None` if it must not stand there. The digits of
    /// the size are not its business.
    fn after(self, byte: u8) -> Option<State> {
        use State::{
            Escaped, ExtensionStart, HeaderLf, Name, Quoted, QuotedEnd, Size, SpaceAfterName,
            SpaceBeforeExtension, Token, ValueStart,
        };
        Some(match (self, byte) {
            (Size | Name | Token | QuotedEnd, b'\r') => HeaderLf,
            (Size | SpaceBeforeExtension | Name | SpaceAfterName | Token | QuotedEnd, b';') => {
                ExtensionStart
            }
            (Size | SpaceBeforeExtension | Token | QuotedEnd, b' ' | b'\t') => SpaceBeforeExtension,
            (ExtensionStart | ValueStart, b' ' | b'\t') => self,
            (Name | SpaceAfterName, b' ' | b'\t') => SpaceAfterName,
            (Name | SpaceAfterName, b'=') => ValueStart,
            (ExtensionStart | Name, _) if is_tchar(byte) => Name,
            (ValueStart | Token, _) if is_tchar(byte) => Token,
            (ValueStart, b'"') => Quoted,
            (Quoted, b'"') => QuotedEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, _) if is_value_byte(byte) => Quoted,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes input that comes in pieces of `step` bytes: the content, and what is left.
    fn decode(input: &[u8], step: usize, limits: &Limits) -> Result<(String, usize), Error> {
        let (mut decoder, mut content) = (Decoder::default(), Vec::new());
        let mut left = input.len();
        for piece in input.chunks(step) {
            let mut piece = Buf::from(piece.to_vec());
            left -= piece.len();
            loop {
                match decoder.advance(&mut piece, limits.content_len_max, limits)? {
                    Step::Data(data) => content.extend_from_slice(&data),
                    Step::Last => {
                        left += piece.len();
                        return Ok((String::from_utf8(content).unwrap(), left));
                    }
                    Step::Empty => break,
                }
            }
        }
        Err(Error::Truncated)
    }

    fn assert_decodes(input: &str, content: &str) {
        for step in 1..=input.len() {
            let found = decode(input.as_bytes(), step, &Limits::default());
            assert_eq!(found, Ok((content.to_owned(), 2)), "{input:?} by {step}");
        }
    }

    fn assert_refused(input: &str, error: Error) {
        for step in 1..=input.len() {
            let found = decode(input.as_bytes(), step, &Limits::default());
            assert_eq!(found, Err(error), "{input:?} by {step}");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        assert_decodes("0\r\n\r\n", "");
        assert_decodes("5\r\nhello\r\n0\r\n\r\n", "hello");
        assert_decodes("1\r\na\r\nA\r\n0123456789\r\n000\r\n\r\n", "a0123456789");
        assert_decodes("00000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
    }

    #[test]
    fn extensions_are_read_over() {
        for header in [
            "5;a",
            "5;a=b",
            "5 ; a = b",
            "5;a;b=c",
            "5;a=\"x; \\\" \\\\\" ;b",
        ] {
            assert_decodes(&format!("{header}\r\nhello\r\n0;z\r\n\r\n"), "hello");
        }
    }

    #[test]
    fn whatever_the_grammar_does_not_produce_is_refused() {
        for bad in [
            "\r\n",
            "x\r\n",
            "0x5\r\n",
            "5\n",
            "5\rX",
            "5\r\r",
            "-5\r\n",
            "+5\r\n",
            " 5\r\n",
            "5 \r\n",
            "5\t\r\n",
            "5 5\r\n",
            "5,5\r\n",
            "0_5\r\n",
            "5;\r\n",
            "5;;a\r\n",
            "5;a=\r\n",
            "5;a =\r\n",
            "5;a \r\n",
            "5;=b\r\n",
            "5;a=b c\r\n",
            "5;a\nb\r\n",
            "5;a\n",
            "5;a=\"b\r\n",
            "5;a=\"b\"c\r\n",
            "5;a=\"\\\r\n",
            "5;a\0\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhello\n0",
            "5\r\nhello\r0",
            "5\r\nhello\r\n\r\n",
            "5\r\nhello!\r\n",
            "\u{ff15}\r\n",
        ] {
            assert_refused(bad, Error::BadChunk);
        }
    }

    #[test]
    fn a_size_over_64_bits_is_refused_and_one_over_the_limit_is_too_long() {
        assert_refused("10000000000000005\r\n", Error::BadChunk);
        assert_refused("FFFFFFFFFFFFFFFF0\r\n", Error::BadChunk);
        assert_refused("FFFFFFFFFFFFFFFF\r\n", Error::ContentTooLong);
        assert_refused("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n", Error::ContentTooLong);
    }

    #[test]
    fn content_is_bounded_over_all_chunks() {
        let limits = Limits {
            content_len_max: 6,
            ..Limits::default()
        };
        let at = decode(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", 1, &limits);
        assert_eq!(at, Ok(("abcdef".to_owned(), 2)));
        let over = decode(b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n", 1, &limits);
        assert_eq!(over, Err(Error::ContentTooLong));
    }

    #[test]
    fn headers_may_not_outweigh_their_data_by_more_than_the_limit() {
        let limits = Limits {
            chunk_overhead_max: 64,
            ..Limits::default()
        };
        // 3 + 61 bytes with the CR; the LF ends the header and does not count.
        let header = |len| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(len));
        assert!(decode(header(61).as_bytes(), 1, &limits).is_ok());
        assert_eq!(
            decode(header(62).as_bytes(), 1, &limits),
            Err(Error::BadChunk)
        );
        // Small chunks with small headers are never too many.
        let small = "1;x\r\na\r\n".repeat(10_000) + "0\r\n\r\n";
        assert!(decode(small.as_bytes(), 4096, &limits).is_ok());
        // Each of these costs 30 bytes for one and may cost 18.
        let costly = format!("1;{}\r\na\r\n", "x".repeat(27)).repeat(4) + "0\r\n\r\n";
        assert_eq!(decode(costly.as_bytes(), 7, &limits), Err(Error::BadChunk));
    }
}
