//! Any bytes as a request head: what we accept `httparse` reads alike, and whatever it accepts and
//! we do not has a reason that can be seen in it.

use std::rc::Rc;

use sunstar::http::{Error, Limits, Version};

use crate::h1_head::{Accepted, Verdict, judge};

/// How many empty lines may stand before a request line.
const EMPTY_LINES_MAX: usize = 2;
/// As many as `httparse` is given room for.
const FIELD_COUNT_MAX: usize = 64;

/// What `httparse` makes of a head.
#[derive(Debug)]
enum Theirs {
    Incomplete,
    Refused,
    Accepted(Read),
}

/// What `httparse` has read.
#[derive(Debug, PartialEq)]
struct Read {
    len: usize,
    method: String,
    target: String,
    minor_version: u8,
    fields: Vec<(String, Vec<u8>)>,
}

/// Compares both.
pub(crate) fn run(input: &[u8]) {
    let limits = Rc::new(Limits {
        head_len_max: 1024,
        field_count_max: 16,
        field_len_max: 256,
        target_len_max: 128,
        ..Limits::default()
    });
    let ours = judge(&limits, &[input]);
    let shown = || input.escape_ascii().to_string();
    let (head, empty_lines) = without_empty_lines(input);
    let (head, is_later) = as_version_1_1(head);
    let theirs = read(&head);
    match (&ours, &theirs) {
        (Verdict::Accepted(ours), Theirs::Accepted(theirs)) => {
            assert_eq!(ours.bytes, &head[..theirs.len], "{}", shown());
            assert_eq!(as_read(ours, theirs.len), *theirs, "{}", shown());
            assert!(!is_later || ours.version == Version::Http11, "{}", shown());
        }
        (Verdict::Accepted(_), theirs) => panic!("accepted: {}: {theirs:?}", shown()),
        (Verdict::Incomplete, Theirs::Accepted(_)) => panic!("not accepted: {}", shown()),
        (Verdict::Incomplete, _) => {
            // They look into the line that is not complete yet, we do not.
            let lines = head.iter().rposition(|&byte| byte == b'\n');
            let lines = &head[..lines.map_or(0, |at| at + 1)];
            assert!(!matches!(read(lines), Theirs::Refused), "{}", shown());
        }
        (Verdict::Refused(_), Theirs::Refused) => {}
        (Verdict::Refused(error), theirs) => {
            let is_explained = is_over(*error, &head, &limits)
                || *error == Error::BadLineEnd && has_other_line_end(input)
                || *error == Error::BadRequestLine && empty_lines > EMPTY_LINES_MAX
                || explains(*error, &head, theirs);
            assert!(is_explained, "{error:?}: {}: {theirs:?}", shown());
        }
    }
}

/// The head behind the empty lines before it, and how many those are.
fn without_empty_lines(mut input: &[u8]) -> (&[u8], usize) {
    let mut lines = 0;
    while let Some(rest) = input.strip_prefix(b"\r\n") {
        (input, lines) = (rest, lines + 1);
    }
    (input, lines)
}

/// The head as one of version 1.1, if its version is 1.2 to 1.9; and whether it is.
fn as_version_1_1(head: &[u8]) -> (Vec<u8>, bool) {
    let mut head = head.to_vec();
    let line_end = head.iter().position(|&byte| byte == b'\r').unwrap_or(0);
    let is_later = line_end > 8
        && head[..line_end - 1].ends_with(b" HTTP/1.")
        && matches!(head[line_end - 1], b'2'..=b'9');
    if is_later {
        head[line_end - 1] = b'1';
    }
    (head, is_later)
}

fn read(head: &[u8]) -> Theirs {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_COUNT_MAX];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Err(_) => Theirs::Refused,
        Ok(httparse::Status::Partial) => Theirs::Incomplete,
        Ok(httparse::Status::Complete(len)) => Theirs::Accepted(Read {
            len,
            method: request.method.expect("a method").to_owned(),
            target: request.path.expect("a target").to_owned(),
            minor_version: request.version.expect("a version"),
            fields: request
                .headers
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
        }),
    }
}

/// What we have accepted, in their form.
fn as_read(head: &Accepted, len: usize) -> Read {
    Read {
        len,
        method: head.method.clone(),
        target: head.target.clone(),
        minor_version: u8::from(head.version == Version::Http11),
        fields: head.fields.clone(),
    }
}

/// Whether a limit is passed, of which they know nothing.
fn is_over(error: Error, head: &[u8], limits: &Limits) -> bool {
    let lines = || head.split(|&byte| byte == b'\n');
    let line_len = lines().next().map_or(0, <[u8]>::len);
    match error {
        Error::HeadTooLong => head.len() > limits.head_len_max,
        Error::TooManyFields => lines().count() - 2 > limits.field_count_max,
        Error::FieldTooLong => lines()
            .skip(1)
            .any(|line| line.len() > limits.field_len_max),
        // Which part of an endless line is too long shows only at its end.
        Error::TargetTooLong | Error::BadRequestLine | Error::UnknownMethod => {
            line_len > limits.target_len_max
        }
        _ => false,
    }
}

fn has_other_line_end(head: &[u8]) -> bool {
    let mut before = 0;
    head.iter().any(|&byte| {
        let is_bare = byte == b'\n' && before != b'\r';
        before = byte;
        is_bare
    })
}

/// Whether what they have read shows why we refuse it.
fn explains(error: Error, head: &[u8], theirs: &Theirs) -> bool {
    let mut parts = head.split(|&byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let (method, target) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
    match error {
        Error::UnknownMethod => !is_known(method),
        Error::BadTarget => method == b"CONNECT" || !is_plain_path(target),
        _ => matches!(theirs, Theirs::Accepted(read) if read.explains(error)),
    }
}

impl Read {
    fn explains(&self, error: Error) -> bool {
        let (lengths, codings) = (
            self.values("content-length"),
            self.values("transfer-encoding"),
        );
        let is_chunked = matches!(codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked"));
        match error {
            Error::BadHost => !matches!(self.values("host")[..], [host] if is_plain_host(host)),
            Error::BadContentLength => !matches!(lengths[..], [len] if is_number(len)),
            Error::AmbiguousLength => !lengths.is_empty() && !codings.is_empty(),
            Error::BadTransferEncoding => {
                !codings.is_empty() && (!is_chunked || self.minor_version == 0)
            }
            Error::UnknownCoding => !codings.is_empty() && !is_chunked,
            Error::UnknownExpectation => self
                .values("expect")
                .iter()
                .any(|value| !value.eq_ignore_ascii_case(b"100-continue")),
            _ => false,
        }
    }

    fn values(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter();
        fields
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
            .collect()
    }
}

fn is_known(method: &[u8]) -> bool {
    const KNOWN: [&[u8]; 10] = [
        b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE",
        b"QUERY",
    ];
    KNOWN.contains(&method)
}

/// Whether nobody can have anything against this target.
fn is_plain_path(target: &[u8]) -> bool {
    target.starts_with(b"/")
        && target
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(byte))
}

fn is_plain_host(host: &[u8]) -> bool {
    host.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte))
}

fn is_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
        && std::str::from_utf8(text).is_ok_and(|text| text.parse::<u64>().is_ok())
}
