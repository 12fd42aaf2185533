//! The fast way to read a request head: `httparse` over the whole of it, then what it lets pass.
//!
//! What must hold: a head is accepted only if every line of it would pass the checks of
//! [`super::line`], so that a head which comes in one piece and one that comes in many are judged
//! alike. The reason of a refusal is the right one only when the lines are known to be good.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::grammar;
use super::terms::{Seen, Terms};
use crate::http::head::{Head, Span, Target, Version};
use crate::http::limits::{FIELD_COUNT_CAP, Limits};
use crate::http::{Error, Method};
use crate::mem::{Buf, Pool};

/// Reads the head at the front of `input` and moves it out; leaves `input` alone on refusal.
#[inline]
pub(super) fn parse(input: &mut Buf, terms: &mut Terms, limits: &Limits) -> Result<Head, Error> {
    if !input.first().is_some_and(u8::is_ascii_graphic) {
        // `httparse` would read over empty lines, however many and however they end.
        return Err(Error::BadRequestLine);
    }
    let mut table = [const { MaybeUninit::uninit() }; FIELD_COUNT_CAP];
    let mut request = httparse::Request::new(&mut []);
    let table = &mut table[..limits.field_count_max];
    let Ok(httparse::Status::Complete(len)) = request.parse_with_uninit_headers(input, table)
    else {
        return Err(Error::BadField);
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Error::BadRequestLine);
    };
    check_lens(input, len, request.headers, limits)?;
    let version = if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let method = self::method(method.as_bytes()).ok_or(Error::UnknownMethod)?;
    let path = path(method, target.as_bytes(), limits)?;
    let target = Target::new(span(input, target.as_bytes()), path);
    let place = |part: &[u8]| part.as_ptr().addr() - input.as_ptr().addr();
    let first = request
        .headers
        .first()
        .map(|field| place(field.name.as_bytes()));
    let mut seen = Seen::default();
    for field in request.headers {
        if input[place(field.name.as_bytes()) - 2] != b'\r' {
            return Err(Error::BadLineEnd);
        }
        seen.note(field.name.as_bytes(), field.value)?;
    }
    if !input[..len].ends_with(b"\r\n\r\n") {
        return Err(Error::BadLineEnd);
    }
    seen.conclude(version, terms)?;
    let fields_start = first.unwrap_or(len - "\r\n".len());
    let fields_start = u16::try_from(fields_start).expect("a head is at most 64 KiB");
    let bytes = split_off(input, len);
    Ok(Head::from_parts(
        bytes,
        method,
        version,
        target,
        fields_start,
    ))
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
pub(super) fn method(name: &[u8]) -> Option<&'static Method> {
    Some(match name {
        b"GET" => &Method::GET,
        b"POST" => &Method::POST,
        b"PUT" => &Method::PUT,
        b"DELETE" => &Method::DELETE,
        b"HEAD" => &Method::HEAD,
        b"OPTIONS" => &Method::OPTIONS,
        b"PATCH" => &Method::PATCH,
        b"CONNECT" => &Method::CONNECT,
        b"TRACE" => &Method::TRACE,
        b"QUERY" => &Method::QUERY,
        _ => return None,
    })
}

/// Where the path is in a target, if that has the form that its method calls for (RFC 9112 section
/// 3.2). The authority-form is its own path.
#[inline]
pub(super) fn path(method: &Method, target: &[u8], limits: &Limits) -> Result<Range<usize>, Error> {
    if target.len() > limits.target_len_max {
        return Err(Error::TargetTooLong);
    }
    if *method == Method::CONNECT {
        let is_good = grammar::is_host_and_port(target);
        return is_good.then_some(0..target.len()).ok_or(Error::BadTarget);
    }
    let start = match target {
        [b'/', ..] => 0,
        b"*" if *method == Method::OPTIONS => 0,
        _ => authority_end(target).ok_or(Error::BadTarget)?,
    };
    let len = grammar::path_len(&target[start..]).ok_or(Error::BadTarget)?;
    Ok(start..start + len)
}

/// Where path and query begin in an absolute-form, if it is one so far (RFC 9112 section 3.2.2).
fn authority_end(text: &[u8]) -> Option<usize> {
    let scheme = memchr::memchr(b':', text)?;
    let is_http = text[..scheme].eq_ignore_ascii_case(b"http")
        || text[..scheme].eq_ignore_ascii_case(b"https");
    let rest = text[scheme..].strip_prefix(b"://").filter(|_| is_http)?;
    let end = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    grammar::is_authority(&rest[..end]).then_some(text.len() - rest.len() + end)
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
