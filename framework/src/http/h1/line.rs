//! The lines of a head or a trailer section, one at a time: the careful way, for heads that come in
//! pieces or that are refused.
//!
//! What must hold: whether and why a line is refused depends on its bytes and its place only, never
//! on how the input was cut; a byte that was looked at is not looked at again, except once when its
//! line is complete.

use super::grammar;
use super::parse;
use crate::http::Error;
use crate::http::limits::{EMPTY_LINES_MAX, Limits, METHOD_LEN_MAX};

/// What kind of section the lines belong to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request line and field lines.
    Head,
    /// Field lines behind the last chunk (RFC 9112 section 7.1.2).
    Trailer,
}

/// How far a section has been looked at.
#[derive(Clone, Copy, Default)]
pub(super) struct Scan {
    /// Before this there is no line end that was not seen.
    seen: usize,
    /// Where the line that is not complete yet begins.
    line: usize,
    /// Where the section begins: behind the empty lines before a request line.
    first: usize,
    /// How many lines are complete, the empty ones aside.
    lines: usize,
    /// How many empty lines stood before the request line.
    empty_lines: u8,
}

impl Scan {
    /// Where the section begins, behind empty lines.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// Whether empty lines were seen, and maybe forgotten.
    #[inline]
    pub(super) fn has_empty_lines(&self) -> bool {
        self.empty_lines > 0
    }

    /// Forgets the bytes seen so far, which were empty lines, but not how many there were.
    pub(super) fn forget_empty_lines(&mut self) {
        *self = Scan {
            empty_lines: self.empty_lines,
            ..Scan::default()
        };
    }

    /// Looks at what is new in `bytes`, which begin as they did before. Returns where the section
    /// ends once its empty line is there.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        kind: Kind,
        limits: &Limits,
    ) -> Result<Option<usize>, Error> {
        while let Some(len) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + len + 1;
            self.check_lens(bytes, end - 1, end, kind, limits)?;
            let line = bytes[self.line..end]
                .strip_suffix(b"\r\n")
                .ok_or(Error::BadLineEnd)?;
            self.seen = end;
            self.line = end;
            if !line.is_empty() {
                self.check_line(line, kind, limits)?;
                self.lines += 1;
            } else if kind == Kind::Trailer || self.lines > 0 {
                return Ok(Some(end));
            } else {
                self.skip_empty_line()?;
            }
        }
        self.seen = bytes.len();
        self.check_lens(bytes, bytes.len(), bytes.len(), kind, limits)?;
        Ok(None)
    }

    /// The one that is too many is where the section begins: what may come behind it is nobody's.
    fn skip_empty_line(&mut self) -> Result<(), Error> {
        if self.empty_lines == EMPTY_LINES_MAX {
            return Err(Error::BadRequestLine);
        }
        self.first = self.line;
        self.empty_lines += 1;
        Ok(())
    }

    /// Checks the lengths of the line up to `content`, where its LF stands or input ends, and of
    /// the section up to `end`.
    fn check_lens(
        &self,
        bytes: &[u8],
        content: usize,
        end: usize,
        kind: Kind,
        limits: &Limits,
    ) -> Result<(), Error> {
        let is_request_line = kind == Kind::Head && self.lines == 0;
        let line_max = if is_request_line {
            limits.request_line_len_max()
        } else {
            limits.field_len_max
        };
        // Each bound is passed at some byte; the one passed first is the one that speaks.
        let line_bound = self.line + line_max + "\r\n".len();
        let head_bound = self.first + limits.head_len_max + 1;
        let is_line_over = content >= line_bound;
        let is_head_over = end >= head_bound;
        match (is_line_over, is_head_over) {
            (false, false) => Ok(()),
            (true, is_head_over) if !is_head_over || line_bound <= head_bound => {
                Err(if is_request_line {
                    blame_request_line(&bytes[self.line..line_bound])
                } else {
                    Error::FieldTooLong
                })
            }
            _ => Err(Error::HeadTooLong),
        }
    }

    fn check_line(&self, line: &[u8], kind: Kind, limits: &Limits) -> Result<(), Error> {
        let field_lines = match kind {
            Kind::Head if self.lines == 0 => return check_request_line(line, limits),
            Kind::Head => self.lines,
            Kind::Trailer => self.lines + 1,
        };
        if field_lines > limits.field_count_max {
            return Err(Error::TooManyFields);
        }
        check_field_line(line)
    }
}

/// Whose fault it is that a request line is too long, by its beginning.
fn blame_request_line(line: &[u8]) -> Error {
    match memchr::memchr(b' ', line) {
        Some(len) if len <= METHOD_LEN_MAX => Error::TargetTooLong,
        _ if line
            .iter()
            .take(METHOD_LEN_MAX)
            .all(|&byte| grammar::is_tchar(byte)) =>
        {
            Error::UnknownMethod
        }
        _ => Error::BadRequestLine,
    }
}

/// Checks `method SP request-target SP HTTP-version` (RFC 9112 section 3).
fn check_request_line(line: &[u8], limits: &Limits) -> Result<(), Error> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::BadRequestLine);
    };
    if !grammar::is_token(method) || target.is_empty() {
        return Err(Error::BadRequestLine);
    }
    check_version(version)?;
    let method = parse::method(method).ok_or(Error::UnknownMethod)?;
    parse::path(method, target, limits).map(|_| ())
}

/// Checks `HTTP "/" DIGIT "." DIGIT`, which is case-sensitive (RFC 9112 section 2.3).
fn check_version(version: &[u8]) -> Result<(), Error> {
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            (*major == b'1')
                .then_some(())
                .ok_or(Error::UnsupportedVersion)
        }
        _ => Err(Error::BadRequestLine),
    }
}

/// Checks `field-name ":" OWS field-value OWS` (RFC 9112 section 5). A line that begins with white
/// space would be a folded one (section 5.2) and has no name.
fn check_field_line(line: &[u8]) -> Result<(), Error> {
    let colon = memchr::memchr(b':', line).ok_or(Error::BadField)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_good = grammar::is_token(name) && value.iter().all(|&b| grammar::is_value_byte(b));
    is_good.then_some(()).ok_or(Error::BadField)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(scan: &mut Scan, bytes: &[u8]) -> Result<Option<usize>, Error> {
        scan.advance(bytes, Kind::Head, &Limits::default())
    }

    #[test]
    fn a_partial_head_is_not_scanned_twice() {
        let mut scan = Scan::default();
        assert_eq!(
            advance(&mut scan, b"GET / HTTP/1.1\r\nA: b\r\nC: d"),
            Ok(None)
        );
        // What was looked at may be anything now; the line at hand is looked at when complete.
        let rest = b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nC: d\r\n\r\nrest";
        assert_eq!(advance(&mut scan, rest), Ok(Some(rest.len() - 4)));
    }

    #[test]
    fn a_line_without_end_is_not_scanned_twice() {
        let mut scan = Scan::default();
        assert_eq!(advance(&mut scan, b"GET / HTTP"), Ok(None));
        // The LF stands where no LF was, and is not found.
        assert_eq!(advance(&mut scan, b"GET /\nHTTP/1.1"), Ok(None));
    }

    #[test]
    fn the_bound_that_is_passed_first_speaks() {
        let limits = Limits {
            head_len_max: 40,
            field_len_max: 20,
            ..Limits::default()
        };
        let refuse = |bytes: &[u8]| Scan::default().advance(bytes, Kind::Head, &limits);
        let request_line = "GET / HTTP/1.1\r\n";
        let long = request_line.to_owned() + &"A".repeat(100);
        assert_eq!(refuse(long.as_bytes()), Err(Error::FieldTooLong));
        let late = request_line.to_owned() + "A: 1234567890\r\n" + &"A".repeat(100);
        assert_eq!(refuse(late.as_bytes()), Err(Error::HeadTooLong));
    }
}
