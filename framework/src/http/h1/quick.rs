//! The way that nearly every request head is read: in one pass over its bytes, each looked at once.
//!
//! What must hold: a head is taken only if [`super::line`] would take every line of it and
//! [`super::parse`] would come to the same parts, so that how a head is cut never decides how it is
//! judged. Whatever is not here as a whole, not in the usual form (`GET /path`) or not good is left
//! to them: here nothing is refused, and no reason found.

use super::grammar;
use super::parse;
use super::terms::{Seen, Terms};
use crate::http::Method;
use crate::http::head::{Span, Target, Version};
use crate::http::limits::Limits;

/// What a head says, and where.
pub(super) struct Found {
    /// How long the head is, its empty line included.
    pub(super) len: usize,
    pub(super) method: &'static Method,
    pub(super) target: Target,
    pub(super) fields_start: u16,
    pub(super) version: Version,
}

/// Reads the head at the front of `input`, and what it says of its message.
#[inline]
pub(super) fn read(input: &[u8], terms: &mut Terms, limits: &Limits) -> Option<Found> {
    let (method, target_at) = method(input)?;
    let target_len = grammar::find(&input[target_at..], b' ')?;
    let target = &input[target_at..][..target_len];
    let path_len = grammar::path_len(target).filter(|_| target.starts_with(b"/"))?;
    let (version, fields_at) = version(input, target_at + target_len)?;
    let mut seen = Seen::default();
    let end = fields(input, fields_at, &mut seen, limits)?;
    let len = end + "\r\n".len();
    if target_len > limits.target_len_max || len > limits.head_len_max {
        return None;
    }
    seen.conclude(version, terms).ok()?;
    let narrow = |at| u16::try_from(at).expect("a head is at most 64 KiB");
    let target = Span {
        start: narrow(target_at),
        len: narrow(target_len),
    };
    Some(Found {
        len,
        method,
        target: Target::new(target, 0..path_len),
        fields_start: narrow(fields_at),
        version,
    })
}

/// The method, and where the target begins. CONNECT has a form of its own.
#[inline]
fn method(input: &[u8]) -> Option<(&'static Method, usize)> {
    if input.starts_with(b"GET ") {
        return Some((&Method::GET, "GET ".len()));
    }
    if input.starts_with(b"POST ") {
        return Some((&Method::POST, "POST ".len()));
    }
    let len = input
        .iter()
        .take("CONNECT ".len())
        .position(|&byte| byte == b' ')?;
    let method = parse::method(&input[..len])?;
    (*method != Method::CONNECT).then_some((method, len + 1))
}

/// The version that stands at `at`, and where its line ends.
#[inline]
fn version(input: &[u8], at: usize) -> Option<(Version, usize)> {
    const NEW: &[u8; 11] = b" HTTP/1.1\r\n";
    const OLD: &[u8; 11] = b" HTTP/1.0\r\n";
    match input[at..].first_chunk()? {
        NEW => Some((Version::Http11, at + NEW.len())),
        OLD => Some((Version::Http10, at + OLD.len())),
        _ => None,
    }
}

/// Takes note of the field lines from `at` on, and returns where the empty line behind them begins.
#[inline]
fn fields(input: &[u8], mut at: usize, seen: &mut Seen, limits: &Limits) -> Option<usize> {
    let mut lines_left = limits.field_count_max;
    loop {
        let line = &input[at..];
        if line.starts_with(b"\r\n") {
            return Some(at);
        }
        lines_left = lines_left.checked_sub(1)?;
        let (name, value) = line.split_at(grammar::find(line, b':')?);
        let value_len = grammar::value_len(&value[":".len()..]);
        let (value, end) = value[":".len()..].split_at(value_len);
        let len = name.len() + ":".len() + value.len();
        if !grammar::is_token(name) || !end.starts_with(b"\r\n") || len > limits.field_len_max {
            return None;
        }
        seen.note(name, value).ok()?;
        at += len + "\r\n".len();
    }
}
