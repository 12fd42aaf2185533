//! The head of a response: found, checked and reduced to what it means for the connection
//! (RFC 9112 sections 4 to 6).
//!
//! What must hold: a head with a fault is an error, never a guess; nothing is read past its end.

use std::fmt;
use std::ops::Range;

/// The longest head that is read, interim responses not counted together with the final one.
pub(crate) const HEAD_LEN_MAX: usize = 64 * 1024;

/// What a head says about the bytes behind it and about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// The status code, 100 to 599.
    pub(crate) status: u16,
    /// How the end of the content is found.
    pub(crate) framing: Framing,
    /// Whether the connection may carry another request afterwards (RFC 9112 section 9.3).
    pub(crate) persistent: bool,
    /// Whether it has the fields that the user expects; what no parser knows is true.
    pub(crate) as_expected: bool,
}

/// How the end of a response's content is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, whatever the fields say: 1xx, 204, 304, an answer to HEAD.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Everything until the peer closes.
    UntilClose,
}

/// What is wrong with the bytes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// The first bytes are not those of an HTTP/1.0 or HTTP/1.1 status line.
    NotHttp,
    /// A line ends with a line feed alone.
    BareLineFeed,
    /// The status line is not `HTTP/1.x SP code SP reason`.
    StatusLine,
    /// The status code is below 100 or above 599.
    StatusCode,
    /// A field line is folded, has no colon, or a wrong byte in its name.
    FieldName,
    /// A field value has a control character.
    FieldValue,
    /// `Content-Length` is not a number.
    ContentLength,
    /// `Content-Length` comes twice.
    TwoLengths,
    /// `Content-Length` and `Transfer-Encoding` come together.
    LengthAndEncoding,
    /// `Transfer-Encoding` is something else than `chunked`, or in a response of HTTP/1.0.
    TransferEncoding,
    /// The head is longer than [`HEAD_LEN_MAX`].
    HeadTooLong,
    /// More than 16 interim responses came in a row.
    TooManyInterim,
    /// 101, which was not asked for.
    Upgrade,
    /// A chunk does not start with its length.
    ChunkLine,
    /// A chunk is not followed by CR LF.
    ChunkEnd,
    /// The peer closed in the middle of a response.
    Truncated,
    /// Bytes came that no request had asked for.
    Surplus,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Error::NotHttp => "what came is not an HTTP/1 response",
            Error::BareLineFeed => "a line of the head ends with LF alone",
            Error::StatusLine => "the status line is malformed",
            Error::StatusCode => "the status code is not between 100 and 599",
            Error::FieldName => "a field line has no proper name",
            Error::FieldValue => "a field value has a control character in it",
            Error::ContentLength => "Content-Length is not a number",
            Error::TwoLengths => "Content-Length came twice",
            Error::LengthAndEncoding => "Content-Length and Transfer-Encoding came together",
            Error::TransferEncoding => "Transfer-Encoding is not chunked",
            Error::HeadTooLong => "the head is longer than 64 KiB",
            Error::TooManyInterim => "more than 16 interim responses came in a row",
            Error::Upgrade => "101 Switching Protocols came unasked",
            Error::ChunkLine => "a chunk does not start with its length",
            Error::ChunkEnd => "a chunk is longer than it said",
            Error::Truncated => "the connection was closed in the middle of a response",
            Error::Surplus => "bytes came that no request had asked for",
        })
    }
}

impl std::error::Error for Error {}

/// Finds the end of the head, the first index behind the empty line; `scanned` bytes were looked
/// at before.
///
/// # Errors
/// As soon as the bytes cannot become a head any more.
pub(crate) fn end_of_head(bytes: &[u8], scanned: usize) -> Result<Option<usize>, Error> {
    const START: &[u8] = b"HTTP/1.";
    if bytes
        .iter()
        .zip(START)
        .any(|(byte, expected)| byte != expected)
    {
        return Err(Error::NotHttp);
    }
    for at in memchr::memchr_iter(b'\n', &bytes[scanned..]).map(|at| scanned + at) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Error::BareLineFeed);
        }
        if bytes[..at].ends_with(b"\r\n\r") {
            return if at < HEAD_LEN_MAX {
                Ok(Some(at + 1))
            } else {
                Err(Error::HeadTooLong)
            };
        }
    }
    if bytes.len() > HEAD_LEN_MAX {
        return Err(Error::HeadTooLong);
    }
    Ok(None)
}

/// Reads a whole head, its empty line included. `to_head` says that the request was HEAD.
///
/// # Errors
/// When anything in it is not as RFC 9112 wants it.
pub(crate) fn parse(head: &[u8], to_head: bool) -> Result<Meaning, Error> {
    let line_end = memchr::memchr(b'\r', head).ok_or(Error::StatusLine)?;
    let (minor, status) = parse_status_line(&head[..line_end])?;
    let mut seen = Interpreted::default();
    for field in fields(head) {
        let (name, value) = field?;
        seen.take(&head[name], &head[value])?;
    }
    let framing = match status {
        101 => return Err(Error::Upgrade),
        100..200 | 204 | 304 => Framing::Empty,
        _ if to_head => Framing::Empty,
        _ => seen.framing(minor)?,
    };
    let named = if minor == 0 {
        seen.keep_alive && !seen.close
    } else {
        !seen.close
    };
    Ok(Meaning {
        status,
        framing,
        persistent: named && framing != Framing::UntilClose,
        as_expected: true,
    })
}

/// The field lines of a whole head: where each name and each value (without white space around
/// it) lies.
pub(crate) fn fields(
    head: &[u8],
) -> impl Iterator<Item = Result<(Range<usize>, Range<usize>), Error>> + '_ {
    let mut at = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    std::iter::from_fn(move || {
        let len = memchr::memchr(b'\n', &head[at..])?;
        let start = at;
        at += len + 1;
        match len {
            1 => None,
            _ => Some(parse_field(head, start..at - 2)),
        }
    })
}

/// Splits one field line (without CR LF) at `line` of `bytes` and checks each of its bytes.
pub(crate) fn parse_field(
    bytes: &[u8],
    line: Range<usize>,
) -> Result<(Range<usize>, Range<usize>), Error> {
    let colon = memchr::memchr(b':', &bytes[line.clone()]).ok_or(Error::FieldName)?;
    let name = line.start..line.start + colon;
    if name.is_empty() || !bytes[name.clone()].iter().all(|&byte| is_token(byte)) {
        return Err(Error::FieldName);
    }
    let mut value = name.end + 1..line.end;
    while !value.is_empty() && matches!(bytes[value.start], b' ' | b'\t') {
        value.start += 1;
    }
    while !value.is_empty() && matches!(bytes[value.end - 1], b' ' | b'\t') {
        value.end -= 1;
    }
    if bytes[value.clone()].iter().all(|&byte| is_value_byte(byte)) {
        Ok((name, value))
    } else {
        Err(Error::FieldValue)
    }
}

/// Whether the parser looks at the values of fields of this name.
pub(crate) fn is_interpreted(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding", b"connection"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a byte may stand in a field value (RFC 9110 section 5.5).
pub(crate) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Whether a byte may stand in a field name (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The minor version and the status code.
fn parse_status_line(line: &[u8]) -> Result<(u8, u16), Error> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(Error::NotHttp)?;
    let [minor @ (b'0' | b'1'), b' ', a, b, c, b' ', reason @ ..] = rest else {
        return Err(Error::StatusLine);
    };
    let digits = [*a, *b, *c];
    if !digits.iter().all(u8::is_ascii_digit) || !reason.iter().all(|&byte| is_value_byte(byte)) {
        return Err(Error::StatusLine);
    }
    let status = digits
        .iter()
        .fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match status {
        100..600 => Ok((minor - b'0', status)),
        _ => Err(Error::StatusCode),
    }
}

/// What the fields that matter have said so far.
#[derive(Default)]
struct Interpreted {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl Interpreted {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = parse_length(value).ok_or(Error::ContentLength)?;
            if self.length.replace(length).is_some() {
                return Err(Error::TwoLengths);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::TransferEncoding);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }

    fn framing(&self, minor: u8) -> Result<Framing, Error> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Error::LengthAndEncoding),
            (true, None) if minor == 0 => Err(Error::TransferEncoding),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

/// Digits only, no sign, no list, no overflow.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |length, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Result<Meaning, Error> {
        let end = end_of_head(head.as_bytes(), 0)?.expect("a whole head");
        assert_eq!(end, head.len(), "{head:?}");
        parse(head.as_bytes(), false)
    }

    fn meaning(status: u16, framing: Framing, persistent: bool) -> Meaning {
        Meaning {
            status,
            framing,
            persistent,
            as_expected: true,
        }
    }

    #[test]
    fn framing_follows_section_6_3() {
        use Framing::{Chunked, Empty, Length, UntilClose};
        let all = [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                200,
                Length(0),
            ),
            (
                "HTTP/1.1 200 \r\ncontent-length:\t 12 \t\r\n\r\n",
                200,
                Length(12),
            ),
            (
                "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: Chunked\r\n\r\n",
                404,
                Chunked,
            ),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 200, UntilClose),
            (
                "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
                204,
                Empty,
            ),
            (
                "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                304,
                Empty,
            ),
            ("HTTP/1.1 100 Continue\r\n\r\n", 100, Empty),
        ];
        for (head, status, framing) in all {
            assert_eq!(
                read(head),
                Ok(meaning(status, framing, framing != UntilClose)),
                "{head}"
            );
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(parse(head, true), Ok(meaning(200, Empty, true)));
    }

    #[test]
    fn persistence_follows_section_9_3() {
        let all = [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: close\r\n", false),
            ("HTTP/1.1", "connection: x, CLOSE\r\n", false),
            (
                "HTTP/1.1",
                "Connection: keep-alive\r\nConnection: close\r\n",
                false,
            ),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ];
        for (version, field, persistent) in all {
            let head = format!("{version} 200 OK\r\nContent-Length: 1\r\n{field}\r\n");
            assert_eq!(
                read(&head),
                Ok(meaning(200, Framing::Length(1), persistent)),
                "{head}"
            );
        }
    }

    #[test]
    fn a_faulty_head_is_an_error_of_its_kind() {
        let all = [
            ("HTTP/2.0 200 OK\r\n\r\n", Error::NotHttp),
            ("HTTP/1.2 200 OK\r\n\r\n", Error::StatusLine),
            ("HTTP/1.1 200\r\n\r\n", Error::StatusLine),
            ("HTTP/1.1  200 OK\r\n\r\n", Error::StatusLine),
            ("HTTP/1.1 20x OK\r\n\r\n", Error::StatusLine),
            ("HTTP/1.1 200 O\0K\r\n\r\n", Error::StatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", Error::StatusCode),
            ("HTTP/1.1 600 OK\r\n\r\n", Error::StatusCode),
            ("HTTP/1.1 101 Up\r\n\r\n", Error::Upgrade),
            ("HTTP/1.1 200 OK\nA: b\r\n\r\n", Error::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Error::BareLineFeed),
            ("HTTP/1.1 200 OK\r\nA b\r\n\r\n", Error::FieldName),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Error::FieldName),
            ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", Error::FieldName),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n", Error::FieldName),
            ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", Error::FieldValue),
            ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Error::FieldValue),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
                Error::ContentLength,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                Error::ContentLength,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
                Error::ContentLength,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                Error::ContentLength,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
                Error::ContentLength,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
                Error::TwoLengths,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                Error::LengthAndEncoding,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                Error::TransferEncoding,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                Error::TransferEncoding,
            ),
        ];
        for (head, error) in all {
            assert_eq!(read(head), Err(error), "{head:?}");
        }
    }

    #[test]
    fn what_cannot_become_a_head_is_refused_at_once() {
        assert_eq!(end_of_head(b"HTTQ", 0), Err(Error::NotHttp));
        assert_eq!(end_of_head(b"\r\n", 0), Err(Error::NotHttp));
        assert_eq!(
            end_of_head(b"HTTP/1.1 200 OK\n", 0),
            Err(Error::BareLineFeed)
        );
        let endless = [
            b"HTTP/1.1 200 OK\r\nA: ".as_slice(),
            &vec![b'a'; HEAD_LEN_MAX],
        ]
        .concat();
        assert_eq!(end_of_head(&endless, 0), Err(Error::HeadTooLong));
        assert_eq!(end_of_head(b"", 0), Ok(None));
        assert_eq!(end_of_head(b"HTT", 0), Ok(None));
    }

    #[test]
    fn any_number_of_fields_is_read() {
        let many = "X: y\r\n".repeat(1_000);
        let head = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 3\r\n\r\n");
        assert_eq!(read(&head), Ok(meaning(200, Framing::Length(3), true)));
    }
}
