//! [`Parser`]: an incremental parser of HTTP/1 responses, loadgen's own, so that sunstar's codec
//! never verifies itself.
//!
//! What must hold: however the bytes are cut, the same answers and errors come out; a response is
//! an answer only when its last byte has been seen; faults are values.

use crate::head::{self, Error, Framing, HEAD_LEN_MAX, Meaning};
use crate::learned::Learned;

/// How many interim (1xx) responses may come before one final response.
const INTERIM_COUNT_MAX: u8 = 16;
/// The longest line with the length of a chunk, extensions included.
const CHUNK_LINE_LEN_MAX: usize = 4096;

/// One whole final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code, 200 to 599.
    pub(crate) status: u16,
    /// Whether the connection may carry another request.
    pub(crate) persistent: bool,
    /// Whether it has the header fields that the user expects.
    pub(crate) as_expected: bool,
}

/// Where in a response the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Content { left: u64 },
    ChunkLine,
    Chunk { left: u64 },
    ChunkEnd,
    Trailer,
    UntilClose,
}

/// What only a response that comes in pieces needs.
#[derive(Default)]
struct Pieces {
    /// The start of a head or line that was cut between two inputs.
    partial: Vec<u8>,
    /// How long the trailer section has become.
    trailer_len: usize,
}

/// Reads the responses of one connection. Small, since there may be a million.
pub(crate) struct Parser {
    state: State,
    pieces: Option<Box<Pieces>>,
    /// What the head of the response being read has said.
    answer: Answer,
    interim_count: u8,
    /// Whether the request of the response being read is HEAD.
    to_head: bool,
}

impl Parser {
    /// A parser at the start of a connection; `to_head` says that all its requests are HEAD.
    pub(crate) fn new(to_head: bool) -> Parser {
        Parser {
            state: State::Head,
            pieces: None,
            answer: Answer {
                status: 0,
                persistent: true,
                as_expected: true,
            },
            interim_count: 0,
            to_head,
        }
    }

    /// Says whether the next responses are to HEAD; between two responses only.
    #[inline]
    pub(crate) fn expect_head(&mut self, to_head: bool) {
        self.to_head = to_head;
    }

    /// Reads `input` until one response is whole or nothing is left; gives the number of bytes
    /// read and the response. The bytes of its content go to `sink`.
    ///
    /// # Errors
    /// When the bytes are no proper response; nothing may be fed afterwards.
    #[inline]
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        learned: &mut Learned,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<(usize, Option<Answer>), Error> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            let (read, whole) = match self.state {
                State::Head => self.feed_head(rest, learned)?,
                State::Content { left } | State::Chunk { left } => {
                    let read =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    sink(&rest[..read]);
                    (read, self.content_read(left - read as u64))
                }
                State::UntilClose => {
                    sink(rest);
                    (rest.len(), false)
                }
                State::ChunkLine | State::ChunkEnd | State::Trailer => self.feed_line(rest)?,
            };
            at += read;
            if whole {
                self.state = State::Head;
                return Ok((at, Some(self.answer)));
            }
        }
        Ok((at, None))
    }

    /// Says that the peer has closed; gives the response that this ends, if one was under way.
    ///
    /// # Errors
    /// [`Error::Truncated`] in the middle of a response that has another end.
    pub(crate) fn feed_end(&mut self) -> Result<Option<Answer>, Error> {
        match self.state {
            State::UntilClose => Ok(Some(self.answer)),
            State::Head if self.is_between() => Ok(None),
            _ => Err(Error::Truncated),
        }
    }

    /// Whether the next byte is the first of a response.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Head && !self.has_partial() && self.interim_count == 0
    }

    #[inline]
    fn has_partial(&self) -> bool {
        let pieces = self.pieces.as_ref();
        pieces.is_some_and(|pieces| !pieces.partial.is_empty())
    }

    #[inline]
    fn feed_head(&mut self, input: &[u8], learned: &mut Learned) -> Result<(usize, bool), Error> {
        if !self.has_partial()
            && let Some((meaning, len)) = learned.recall(input)
        {
            return Ok((len, self.begin(meaning)?));
        }
        self.parse_head(input, learned)
    }

    #[cold]
    fn parse_head(&mut self, input: &[u8], learned: &mut Learned) -> Result<(usize, bool), Error> {
        if !self.has_partial()
            && let Some(end) = head::end_of_head(input, 0)?
        {
            let mut meaning = head::parse(&input[..end], self.to_head)?;
            meaning.as_expected = learned.meets_expectations(&input[..end]);
            if meaning.status >= 200 {
                learned.learn(&input[..end], meaning);
            }
            return Ok((end, self.begin(meaning)?));
        }
        let partial = &mut self.pieces.get_or_insert_default().partial;
        let scanned = partial.len();
        partial.extend_from_slice(input);
        let Some(end) = head::end_of_head(partial, scanned)? else {
            return Ok((input.len(), false));
        };
        let mut meaning = head::parse(&partial[..end], self.to_head)?;
        meaning.as_expected = learned.meets_expectations(&partial[..end]);
        self.pieces = None;
        Ok((end - scanned, self.begin(meaning)?))
    }

    /// Takes up what a head has said; whether the response is whole with it.
    #[inline]
    fn begin(&mut self, meaning: Meaning) -> Result<bool, Error> {
        if meaning.status < 200 {
            self.interim_count += 1;
            return match self.interim_count {
                0..=INTERIM_COUNT_MAX => Ok(false),
                _ => Err(Error::TooManyInterim),
            };
        }
        self.interim_count = 0;
        self.answer = Answer {
            status: meaning.status,
            persistent: meaning.persistent,
            as_expected: meaning.as_expected,
        };
        self.state = match meaning.framing {
            Framing::Empty | Framing::Length(0) => return Ok(true),
            Framing::Length(left) => State::Content { left },
            Framing::Chunked => State::ChunkLine,
            Framing::UntilClose => State::UntilClose,
        };
        Ok(false)
    }

    /// Notes that `left` bytes of the content or chunk are still to come; whether the response is
    /// whole.
    #[inline]
    fn content_read(&mut self, left: u64) -> bool {
        self.state = match (self.state, left) {
            (State::Content { .. }, 0) => return true,
            (State::Content { .. }, left) => State::Content { left },
            (_, 0) => State::ChunkEnd,
            (_, left) => State::Chunk { left },
        };
        false
    }

    /// Gathers one line of the chunked coding (RFC 9112 section 7.1) and takes it up when whole.
    fn feed_line(&mut self, input: &[u8]) -> Result<(usize, bool), Error> {
        let Pieces {
            partial,
            trailer_len,
        } = &mut **self.pieces.get_or_insert_default();
        let (len_max, too_long) = match self.state {
            State::ChunkEnd => (2, Error::ChunkEnd),
            State::ChunkLine => (CHUNK_LINE_LEN_MAX, Error::ChunkLine),
            _ => (HEAD_LEN_MAX - *trailer_len, Error::HeadTooLong),
        };
        let end = memchr::memchr(b'\n', input);
        let read = end.map_or(input.len(), |at| at + 1);
        if partial.len() + read > len_max {
            return Err(too_long);
        }
        partial.extend_from_slice(&input[..read]);
        if end.is_none() {
            return Ok((read, false));
        }
        let line = partial.strip_suffix(b"\r\n").ok_or(Error::BareLineFeed)?;
        let mut whole = false;
        self.state = match self.state {
            State::ChunkLine => match parse_chunk_line(line)? {
                0 => State::Trailer,
                left => State::Chunk { left },
            },
            State::Trailer if line.is_empty() => {
                whole = true;
                *trailer_len = 0;
                State::Head
            }
            State::Trailer => {
                head::parse_field(line, 0..line.len())?;
                *trailer_len += read;
                State::Trailer
            }
            _ if line.is_empty() => State::ChunkLine,
            _ => return Err(Error::ChunkEnd),
        };
        partial.clear();
        Ok((read, whole))
    }
}

/// The length of the chunk that this line (without CR LF) announces: hexadecimal digits, then
/// perhaps extensions, which are skipped.
fn parse_chunk_line(line: &[u8]) -> Result<u64, Error> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let extension = line[digits..].trim_ascii_start();
    let proper = (1..=16).contains(&digits)
        && (extension.first() == Some(&b';') || line.len() == digits)
        && extension.iter().all(|&byte| head::is_value_byte(byte));
    let text = std::str::from_utf8(&line[..digits]).expect("hexadecimal digits are ASCII");
    let length = u64::from_str_radix(text, 16).ok();
    length.filter(|_| proper).ok_or(Error::ChunkLine)
}

#[cfg(test)]
mod tests;
