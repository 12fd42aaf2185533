//! The head of an answer as bytes (RFC 9112 section 4).
//!
//! What must hold: framing and connection fields are written here and nowhere else, so that an
//! answer cannot say two things about its length.

use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, HOST, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::http::{Fields, StatusCode};
use crate::mem::BufMut;

/// What the head says about the length of the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LengthField {
    /// Nothing: there is no content, or the close ends it.
    Omitted,
    /// What the handler says of a representation that is not sent (HEAD, 304), or else nothing.
    AsGiven,
    /// `Content-Length`.
    Known(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What the head says about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionField {
    /// Nothing: it stays, as is usual in HTTP/1.1.
    Omitted,
    /// `Connection: keep-alive`, for HTTP/1.0.
    KeepAlive,
    /// `Connection: close`.
    Close,
    /// `Connection: upgrade`, with 101.
    Upgrade,
}

/// The status line of most answers.
pub(super) const OK_LINE: &[u8] = b"HTTP/1.1 200 OK\r\n";

/// Appends a complete head.
#[inline]
pub(super) fn head(
    out: &mut BufMut,
    status: StatusCode,
    fields: &Fields,
    length: LengthField,
    connection: ConnectionField,
    standing: &[u8],
) {
    status_line(out, status);
    out.extend_from_slice(standing);
    if fields.has_framing() {
        other_fields(out, fields, length);
        if connection != ConnectionField::Upgrade && fields.contains(&UPGRADE) {
            // An intermediary must not pass it on (RFC 9110 section 7.8).
            out.extend_from_slice(b"Connection: upgrade\r\n");
        }
    } else {
        out.extend_from_parts(fields.lines());
    }
    match length {
        LengthField::Omitted | LengthField::AsGiven => {}
        LengthField::Known(len) => {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(len).as_bytes();
            out.extend_from_parts([b"Content-Length: ", digits, b"\r\n"]);
        }
        LengthField::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
    match connection {
        ConnectionField::Omitted => out.extend_from_slice(b"\r\n"),
        ConnectionField::KeepAlive => out.extend_from_slice(b"Connection: keep-alive\r\n\r\n"),
        ConnectionField::Close => out.extend_from_slice(b"Connection: close\r\n\r\n"),
        ConnectionField::Upgrade => out.extend_from_slice(b"Connection: upgrade\r\n\r\n"),
    }
}

/// Appends the head of an answer of the most usual kind in one go: 200, content of a known length,
/// and the connection stays. `fields` are lines in two pieces, and none of them is about framing.
pub(super) fn usual_head(
    out: &mut BufMut,
    [fixed, others]: [&[u8]; 2],
    content_len: usize,
    standing: &[u8],
) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_parts([
        OK_LINE,
        standing,
        fixed,
        others,
        b"Content-Length: ",
        digits.format(content_len).as_bytes(),
        b"\r\n\r\n",
    ]);
}

/// Appends the handler's fields but those that are ours to write.
#[cold]
fn other_fields(out: &mut BufMut, fields: &Fields, length: LengthField) {
    for (name, value) in fields {
        if !is_ours(name, length) {
            out.extend_from_parts([name.as_bytes(), b": ", value, b"\r\n"]);
        }
    }
}

/// Appends the size line of a chunk (RFC 9112 section 7.1).
pub(super) fn chunk_size(out: &mut BufMut, len: usize) {
    let mut digits = [0; 2 * size_of::<usize>()];
    let mut start = digits.len();
    let mut rest = len;
    while rest > 0 || start == digits.len() {
        start -= 1;
        digits[start] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
    }
    out.extend_from_slice(&digits[start..]);
    out.extend_from_slice(b"\r\n");
}

/// What no trailer may say, since it comes too late or concerns the message itself (RFC 9110
/// section 6.5.1).
const NOT_IN_TRAILERS: [http::HeaderName; 12] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// Appends the last chunk and the trailer section (RFC 9112 section 7.1.2).
pub(super) fn last_chunk(out: &mut BufMut, trailers: &Fields) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        if !NOT_IN_TRAILERS.iter().any(|banned| banned == name) {
            out.extend_from_parts([name.as_bytes(), b": ", value, b"\r\n"]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field of the handler's is left out because it is ours to write.
fn is_ours(name: &str, length: LengthField) -> bool {
    name == CONTENT_LENGTH && length != LengthField::AsGiven
        || name == TRANSFER_ENCODING
        || name == CONNECTION
}

#[inline]
fn status_line(out: &mut BufMut, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(OK_LINE);
    } else {
        other_status_line(out, status);
    }
}

fn other_status_line(out: &mut BufMut, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
}
