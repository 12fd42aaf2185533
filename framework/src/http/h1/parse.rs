//! The fast way to read a request head: `httparse` over the whole of it, then what it lets pass.
//!
//! What must hold: a head is accepted only if every line of it would pass the checks of
//! [`super::line`], so that a head which comes in one piece and one that comes in many are judged
//! alike. The reason of a refusal is the right one only when the lines are known to be good.

use std::mem::MaybeUninit;

use super::super::head::{FieldLine, FieldVec, Head, Span, Version};
use super::super::limits::{FIELD_COUNT_CAP, Limits};
use super::super::{Error, Method};
use super::grammar;
use super::terms::{Seen, Terms};
use crate::mem::{Buf, Pool};

/// A request head and what it says about its message.
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) terms: Terms,
}

/// Reads the head at the front of `input` and moves it out; leaves `input` alone on refusal.
#[inline]
pub(super) fn parse(input: &mut Buf, limits: &Limits) -> Result<Request, Error> {
    let mut table = [const { MaybeUninit::uninit() }; FIELD_COUNT_CAP];
    let mut request = httparse::Request::new(&mut []);
    let table = &mut table[..limits.field_count_max];
    let httparse::Status::Complete(len) = request
        .parse_with_uninit_headers(input, table)
        .map_err(|_| Error::BadField)?
    else {
        return Err(Error::Truncated);
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Error::BadRequestLine);
    };
    check_lens(input, len, request.headers, limits)?;
    let version = [Version::Http10, Version::Http11][usize::from(minor)];
    let method = self::method(method.as_bytes()).ok_or(Error::UnknownMethod)?;
    check_target(&method, target.as_bytes(), limits)?;
    let target = span(input, target.as_bytes());
    let mut seen = Seen::default();
    let mut fields = FieldVec::new();
    for field in request.headers {
        let name = span(input, field.name.as_bytes());
        if input[usize::from(name.start) - 2] != b'\r' {
            return Err(Error::BadLineEnd);
        }
        seen.note(field.name.as_bytes(), field.value)?;
        let value = span(input, field.value);
        fields.push(FieldLine { name, value });
    }
    if !input[..len].ends_with(b"\r\n\r\n") {
        return Err(Error::BadLineEnd);
    }
    let terms = seen.conclude(version)?;
    let bytes = split_off(input, len);
    let head = Head::new(bytes, method, version, target, fields);
    Ok(Request { head, terms })
}

/// Takes the first `len` bytes out of `input`; all of them without touching the count.
#[inline]
pub(super) fn split_off(input: &mut Buf, len: usize) -> Buf {
    if len == input.len() {
        std::mem::take(input)
    } else {
        input.split_to(len)
    }
}

/// The head as if it named the highest version that we speak: whoever names a later minor version
/// understands our answers, and is understood (RFC 9110 section 2.5). The lines must be good.
pub(super) fn as_version_we_speak(head: Buf, pool: &Pool) -> Buf {
    let line_end = memchr::memchr(b'\r', &head).unwrap_or(0);
    let minor = line_end.saturating_sub(1);
    if !matches!(head.get(minor), Some(b'2'..=b'9')) {
        return head;
    }
    let mut rewritten = pool.buffer(head.len());
    rewritten.extend_from_slice(&head[..minor]);
    rewritten.extend_from_slice(b"1");
    rewritten.extend_from_slice(&head[line_end..]);
    rewritten.freeze()
}

/// The method with this name, if it is one that we know (RFC 9110 section 9.1).
#[inline]
pub(super) fn method(name: &[u8]) -> Option<Method> {
    Some(match name {
        b"GET" => Method::GET,
        b"POST" => Method::POST,
        b"PUT" => Method::PUT,
        b"DELETE" => Method::DELETE,
        b"HEAD" => Method::HEAD,
        b"OPTIONS" => Method::OPTIONS,
        b"PATCH" => Method::PATCH,
        b"CONNECT" => Method::CONNECT,
        b"TRACE" => Method::TRACE,
        b"QUERY" => Method::QUERY,
        _ => return None,
    })
}

/// Checks that a target has the form that its method calls for (RFC 9112 section 3.2).
#[inline]
pub(super) fn check_target(method: &Method, target: &[u8], limits: &Limits) -> Result<(), Error> {
    if target.len() > limits.target_len_max {
        return Err(Error::TargetTooLong);
    }
    let is_good = match target {
        _ if *method == Method::CONNECT => grammar::is_host_and_port(target),
        [b'/', ..] => grammar::is_path_and_query(target),
        b"*" => *method == Method::OPTIONS,
        _ => is_absolute(target),
    };
    is_good.then_some(()).ok_or(Error::BadTarget)
}

/// Whether a target is an `http` or `https` URI (RFC 9112 section 3.2.2).
fn is_absolute(target: &[u8]) -> bool {
    let scheme = memchr::memchr(b':', target).unwrap_or(0);
    let is_http = target[..scheme].eq_ignore_ascii_case(b"http")
        || target[..scheme].eq_ignore_ascii_case(b"https");
    target[scheme..].strip_prefix(b"://").is_some_and(|rest| {
        let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        is_http && grammar::is_authority(authority) && grammar::is_path_and_query(path)
    })
}

/// Checks the lengths that `httparse` does not know of.
#[inline]
fn check_lens(
    input: &[u8],
    len: usize,
    fields: &[httparse::Header<'_>],
    limits: &Limits,
) -> Result<(), Error> {
    if len > limits.head_len_max {
        return Err(Error::HeadTooLong);
    }
    if len > limits.field_len_max {
        let mut end = len - "\r\n".len();
        for field in fields.iter().rev() {
            let start = field.name.as_ptr().addr() - input.as_ptr().addr();
            if end - start > limits.field_len_max + "\r\n".len() {
                return Err(Error::FieldTooLong);
            }
            end = start;
        }
    }
    Ok(())
}

/// Where `part` stands in `bytes`, of which it is a slice.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a head is at most 64 KiB: `check_lens` has seen to it"
)]
fn span(bytes: &[u8], part: &[u8]) -> Span {
    Span {
        start: (part.as_ptr().addr() - bytes.as_ptr().addr()) as u16,
        len: part.len() as u16,
    }
}
