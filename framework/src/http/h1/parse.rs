//! Reads a request head that is here as a whole: the usual ones by [`super::quick`], all others by
//! `httparse` and what it lets pass.
//!
//! What must hold: a head is accepted only if every line of it would pass the checks of
//! [`super::line`], so that a head which comes in one piece and one that comes in many are judged
//! alike. The reason of a refusal is the right one only when the lines are known to be good.

use std::borrow::Cow;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::grammar;
use super::quick::{self, Found};
use super::sender::Asked;
use super::terms::{Seen, Terms};
use crate::http::head::{Parts, Span, Target, Version};
use crate::http::limits::{FIELD_COUNT_CAP, Limits};
use crate::http::{Error, Method};
use crate::mem::{Buf, Pool};

/// Reads the head at the front of `input` and moves it out; leaves `input` alone on refusal.
#[inline]
pub(super) fn parse(input: &mut Buf, terms: &mut Terms, limits: &Limits) -> Result<Parts, Error> {
    let found = match quick::read(input, terms, limits) {
        Some(found) => found,
        None => read(input, terms, limits)?,
    };
    terms.asked = Asked::by(found.method, found.version);
    Ok(Parts {
        bytes: split_off(input, found.len),
        method: Cow::Borrowed(found.method),
        target: found.target,
        fields_start: found.fields_start,
        version: found.version,
        found: Cell::default(),
    })
}

/// Reads a head in whatever form.
#[cold]
fn read(input: &[u8], terms: &mut Terms, limits: &Limits) -> Result<Found, Error> {
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
    Ok(Found {
        len,
        method,
        target: Target::new(span(input, target.as_bytes()), path),
        fields_start: u16::try_from(fields_start).expect("a head is at most 64 KiB"),
        version,
    })
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

#[cfg(test)]
mod tests {
    use super::super::line::{Kind, Scan};
    use super::*;

    /// Heads of every form, from which wrong ones are made by changing a byte.
    const HEADS: [&str; 8] = [
        "GET /a/b?c=d HTTP/1.1\r\nHost: h:80\r\n\r\n",
        "POST /%41 HTTP/1.1\r\nhost:h\r\nContent-Length: 12 \r\n\r\nrest",
        "PATCH / HTTP/1.1\r\nHost:\t h\t\r\nTransfer-Encoding: chunked\r\n\
         Expect: 100-continue\r\n\r\n",
        "DELETE /x HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\nCookie: a=\"b\"; caf\u{e9}\t=x\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost:\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n",
        "GET http://h/a?b HTTP/1.1\r\nHost: h\r\nX: 0123456789abcdef0123456789\r\n\r\n",
        "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
    ];

    type Parts = (usize, &'static Method, Target, u16, Version, Terms);

    fn parts(found: Option<Found>, terms: Terms) -> Option<Parts> {
        let found = found?;
        let (len, method) = (found.len, found.method);
        Some((
            len,
            method,
            found.target,
            found.fields_start,
            found.version,
            terms,
        ))
    }

    /// What both ways make of `head`.
    fn both(head: &[u8], limits: &Limits) -> [Option<Parts>; 2] {
        let (mut by_quick, mut by_read) = (Terms::default(), Terms::default());
        let quick = quick::read(head, &mut by_quick, limits);
        let read = read(head, &mut by_read, limits).ok();
        [parts(quick, by_quick), parts(read, by_read)]
    }

    /// Checks one head, and tells whether the quick way took it.
    fn check(head: &[u8], limits: &Limits) -> bool {
        let [quick, read] = both(head, limits);
        let shown = head.escape_ascii();
        if quick.is_some() {
            assert_eq!(quick, read, "{shown}");
            let end = Scan::default().advance(head, Kind::Head, limits);
            assert_eq!(end, Ok(quick.map(|parts| parts.0)), "{shown}");
        } else if let Some((_, method, target, ..)) = read {
            let is_usual = target.whole_of(head).starts_with(b"/") && *method != Method::CONNECT;
            assert!(!is_usual, "not taken: {shown}");
        }
        quick.is_some()
    }

    #[test]
    fn what_the_quick_way_takes_the_others_read_alike_and_it_takes_all_usual_heads() {
        let limits = Limits::default();
        let mut taken = 0;
        for head in HEADS {
            taken += usize::from(check(head.as_bytes(), &limits));
            for at in 0..head.len() {
                check(&head.as_bytes()[..at], &limits);
                let mut changed = head.as_bytes().to_vec();
                for byte in 0..=u8::MAX {
                    changed[at] = byte;
                    check(&changed, &limits);
                }
                let mut longer = head.as_bytes().to_vec();
                for byte in *b"\r\n \t:,/?%a0\0\x7f\xff" {
                    longer.insert(at, byte);
                    check(&longer, &limits);
                    longer.remove(at);
                }
            }
        }
        assert_eq!(taken, 5, "of the heads as they stand");
    }

    #[test]
    fn both_ways_have_the_same_limits() {
        let head = HEADS[1].as_bytes();
        for bound in 1..=head.len() {
            for limits in [
                Limits {
                    head_len_max: bound,
                    ..Limits::default()
                },
                Limits {
                    field_len_max: bound,
                    ..Limits::default()
                },
                Limits {
                    target_len_max: bound,
                    ..Limits::default()
                },
                Limits {
                    field_count_max: bound.min(FIELD_COUNT_CAP),
                    ..Limits::default()
                },
            ] {
                check(head, &limits);
            }
        }
        let two = Limits {
            field_count_max: 2,
            ..Limits::default()
        };
        let one = Limits {
            field_count_max: 1,
            ..Limits::default()
        };
        assert!(check(head, &two) && !check(head, &one));
    }
}
