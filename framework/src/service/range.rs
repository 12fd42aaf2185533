//! [`Ranges`]: which parts of a content a request asks for (RFC 9110 section 14).
//!
//! What must hold: a `Range` that is malformed, or asks for more than there is, or for parts so
//! many that they cost more than the whole, is no `Range`; parts lie inside the content.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use super::{Content, Request, Response, Validators};
use crate::http::{HeaderValue, Method, StatusCode, header};
use crate::mem::{Buf, Pool};

/// The most parts of a response; a request for more is answered with the whole content.
const RANGES_MAX: usize = 16;

/// Which parts of a content to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// All of it, with 200.
    Whole,
    /// These parts, in the order in which they were asked for, with 206. None is empty.
    Parts(SmallVec<[Range<u64>; 1]>),
    /// Nothing: none of the parts is there. 416.
    Unsatisfiable,
}

impl Ranges {
    /// What a request asks for of a content that is `len` bytes long.
    ///
    /// `Range` counts for GET only (section 14.2), if it is in bytes, and if `If-Range` permits it.
    /// At most 16 parts are sent, and never more bytes in all than the content has.
    pub fn requested(request: &Request, validators: &Validators, len: u64) -> Ranges {
        let mut lines = request.fields().named(header::RANGE.as_str());
        let (first, second) = (lines.next(), lines.next());
        match (first, second) {
            (Some(line), None)
                if request.method() == Method::GET && validators.allows_range(request) =>
            {
                parse(line, len).unwrap_or(Ranges::Whole)
            }
            _ => Ranges::Whole,
        }
    }
}

/// Reads the value of `Range`; `None` if it is to be ignored.
fn parse(value: &[u8], len: u64) -> Option<Ranges> {
    let (unit, set) = str::from_utf8(value).ok()?.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs = set
        .split(',')
        .map(str::trim)
        .filter(|spec| !spec.is_empty());
    let (mut parts, mut count): (SmallVec<[Range<u64>; 1]>, _) = (SmallVec::new(), 0);
    for spec in specs {
        count += 1;
        if count > RANGES_MAX {
            return None;
        }
        let range = range(spec, len)?;
        // A suffix of nothing can be asked for, but there is no way to send it in parts.
        if len == 0 && spec.starts_with('-') && !spec.bytes().skip(1).all(|digit| digit == b'0') {
            return None;
        }
        if !range.is_empty() {
            parts.push(range);
        }
    }
    let total: u64 = parts.iter().map(|range| range.end - range.start).sum();
    match parts.len() {
        0 if count == 0 => None,
        0 => Some(Ranges::Unsatisfiable),
        1 => Some(Ranges::Parts(parts)),
        _ if total > len => None,
        _ => Some(Ranges::Parts(parts)),
    }
}

/// One range (section 14.1.2), cut to what is there; empty if nothing is. `None` if malformed.
fn range(spec: &str, len: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = position(last)?;
        return Some(len.saturating_sub(suffix)..len);
    }
    let first = position(first)?;
    let end = match last {
        "" => len,
        last => position(last)
            .filter(|&last| last >= first)?
            .saturating_add(1)
            .min(len),
    };
    Some(first.min(end)..end)
}

/// Reads a position. One that no number holds is past every end.
fn position(digits: &str) -> Option<u64> {
    let numeric = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    numeric.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A piece of a response: bytes of our own, then a part of the content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) head: Buf,
    pub(super) range: Range<u64>,
}

/// Makes `response`, which stands for a content of `len` bytes, one of its parts: sets status and
/// fields, and tells what to send. Nothing for 416.
pub(super) fn plan(response: &mut Response, ranges: Ranges, len: u64) -> SmallVec<[Piece; 1]> {
    let fields = &mut response.fields;
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match ranges {
        Ranges::Whole => smallvec![Piece {
            head: Buf::new(),
            range: 0..len
        }],
        Ranges::Unsatisfiable => {
            response.status = StatusCode::RANGE_NOT_SATISFIABLE;
            fields.insert(header::CONTENT_RANGE, value(format!("bytes */{len}")));
            // What is sent has no content, let alone the whole one's type.
            fields.remove(&header::CONTENT_TYPE);
            fields.remove(&header::CONTENT_ENCODING);
            SmallVec::new()
        }
        Ranges::Parts(parts) => {
            response.status = StatusCode::PARTIAL_CONTENT;
            match &parts[..] {
                [only] => {
                    fields.insert(header::CONTENT_RANGE, value(content_range(only, len)));
                    smallvec![Piece {
                        head: Buf::new(),
                        range: only.clone()
                    }]
                }
                many => plan_many(response, many, len),
            }
        }
    }
}

/// As above, for several parts: `multipart/byteranges` (section 14.6).
fn plan_many(response: &mut Response, parts: &[Range<u64>], len: u64) -> SmallVec<[Piece; 1]> {
    // Chosen at random, so that no content holds it unless by the worst of luck.
    let boundary = format!("{:016x}", RandomState::new().build_hasher().finish());
    let media_type = response
        .fields
        .get(&header::CONTENT_TYPE)
        .map(<[u8]>::to_vec);
    let mut line_end = "";
    let mut pieces = SmallVec::with_capacity(parts.len() + 1);
    for range in parts {
        let mut head = format!("{line_end}--{boundary}\r\n").into_bytes();
        if let Some(media_type) = &media_type {
            for part in [b"Content-Type: ", &media_type[..], b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        let place = format!("Content-Range: {}\r\n\r\n", content_range(range, len));
        head.extend_from_slice(place.as_bytes());
        pieces.push(Piece {
            head: head.into(),
            range: range.clone(),
        });
        line_end = "\r\n";
    }
    let head = Buf::from(format!("\r\n--{boundary}--\r\n"));
    pieces.push(Piece { head, range: 0..0 });
    let media_type = value(format!("multipart/byteranges; boundary={boundary}"));
    response.fields.insert(header::CONTENT_TYPE, media_type);
    pieces
}

fn content_range(range: &Range<u64>, len: u64) -> String {
    format!("bytes {}-{}/{len}", range.start, range.end - 1)
}

fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and ASCII")
}

impl Response {
    /// The parts of this response that the request asks for: 206, or 416 if none of them is there.
    /// One that is not a 200 stays as it is.
    ///
    /// One part shares the content; several are copied into one buffer.
    ///
    /// # Examples
    /// ```
    /// use sunstar::http::header;
    /// use sunstar::service::{ETag, IntoResponse, Request, Response, Validators};
    ///
    /// fn log(request: &Request) -> Response {
    ///     let validators = Validators::new(ETag::strong("v7"));
    ///     let whole = || "0123456789".into_response(request.pool());
    ///     validators.answer(request, || whole().with_ranges(request, &validators))
    /// }
    ///
    /// let request = Request::get("/log").with_field(header::RANGE, "bytes=-3");
    /// assert_eq!(log(&request).content.as_bytes(), b"789");
    /// ```
    #[must_use]
    pub fn with_ranges(mut self, request: &Request, validators: &Validators) -> Response {
        if self.status != StatusCode::OK {
            return self;
        }
        let content = match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Buf(content) => content,
            Content::Empty => Buf::new(),
            // What is not here as a whole is sent as a whole.
            other => {
                self.content = other;
                return self;
            }
        };
        let len = u64::try_from(content.len()).expect("a length has 64 bits");
        let pieces = plan(&mut self, Ranges::requested(request, validators, len), len);
        self.content = match &pieces[..] {
            [] => Content::Empty,
            [only] => Content::Buf(content.slice(places(&only.range))),
            many => Content::Buf(gathered(&content, many, request.pool())),
        };
        self
    }
}

fn gathered(content: &Buf, pieces: &[Piece], pool: &Pool) -> Buf {
    let mut all = pool.buffer(content.len() + pieces.len() * 128);
    for piece in pieces {
        all.extend_from_slice(&piece.head);
        all.extend_from_slice(&content[places(&piece.range)]);
    }
    all.freeze()
}

/// A part of a content that is in memory.
fn places(range: &Range<u64>) -> Range<usize> {
    let place = |at: u64| usize::try_from(at).expect("it lies inside what is in memory");
    place(range.start)..place(range.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ETag;

    fn asked(value: &str, len: u64) -> Ranges {
        let request = Request::get("/").with_field(header::RANGE, value);
        Ranges::requested(&request, &Validators::none(), len)
    }

    fn part(range: Range<u64>) -> Ranges {
        Ranges::Parts(smallvec![range])
    }

    fn whole() -> Response {
        Response::new(StatusCode::OK)
            .with_field(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .with_content("0123456789")
    }

    fn text(response: &Response) -> String {
        String::from_utf8(response.content.as_bytes().to_vec()).unwrap()
    }

    fn field<'a>(response: &'a Response, name: &crate::http::HeaderName) -> Option<&'a str> {
        response
            .fields
            .get(name)
            .map(|value| str::from_utf8(value).unwrap())
    }

    /// Section 14.1.2.
    #[test]
    fn a_range_is_cut_to_what_is_there() {
        for (value, range) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-4", 2..5),
            ("bytes=9-", 9..10),
            ("bytes=9-9", 9..10),
            ("bytes=5-99999999999999999999999", 5..10),
            ("bytes=0-18446744073709551615", 0..10),
            ("bytes=-3", 7..10),
            ("bytes=-10", 0..10),
            ("bytes=-99999999999999999999999", 0..10),
            ("Bytes = 1-2", 1..3),
            ("bytes=,1-2,", 1..3),
        ] {
            assert_eq!(asked(value, 10), part(range), "{value}");
        }
    }

    #[test]
    fn what_is_not_there_is_unsatisfiable() {
        for value in [
            "bytes=10-",
            "bytes=10-11",
            "bytes=-0",
            "bytes=10-,99-",
            "bytes=-00",
        ] {
            assert_eq!(asked(value, 10), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(asked("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(asked("bytes=-5", 0), Ranges::Whole, "all of nothing");
        assert_eq!(
            asked("bytes=10-,0-0", 10),
            part(0..1),
            "one of them is there"
        );
    }

    /// Section 14.2: a malformed range is ignored.
    #[test]
    fn what_is_malformed_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=1",
            "bytes=0x1-2",
            "lines=1-2",
            "bytes=0-1,x",
        ] {
            assert_eq!(asked(value, 10), Ranges::Whole, "{value}");
        }
        let twice = Request::get("/")
            .with_field(header::RANGE, "bytes=0-1")
            .with_field(header::RANGE, "bytes=2-3");
        assert_eq!(
            Ranges::requested(&twice, &Validators::none(), 10),
            Ranges::Whole
        );
    }

    #[test]
    fn a_range_counts_for_get_alone_and_only_if_the_state_is_the_same() {
        let request = || Request::get("/").with_field(header::RANGE, "bytes=0-1");
        for method in [Method::HEAD, Method::POST] {
            let ranges = request().with_method(method);
            assert_eq!(
                Ranges::requested(&ranges, &Validators::none(), 10),
                Ranges::Whole
            );
        }
        let validators = Validators::new(ETag::strong("a"));
        let same = request().with_field(header::IF_RANGE, "\"a\"");
        assert_eq!(Ranges::requested(&same, &validators, 10), part(0..2));
        let other = request().with_field(header::IF_RANGE, "\"b\"");
        assert_eq!(Ranges::requested(&other, &validators, 10), Ranges::Whole);
    }

    #[test]
    fn as_many_ranges_as_allowed_are_sent_and_one_more_is_the_whole() {
        let list = |count: usize| {
            let specs: Vec<_> = (0..count).map(|at| format!("{at}-{at}")).collect();
            format!("bytes={}", specs.join(","))
        };
        let Ranges::Parts(most) = asked(&list(RANGES_MAX), 100) else {
            panic!("taken")
        };
        assert_eq!(most.len(), RANGES_MAX);
        assert_eq!(asked(&list(RANGES_MAX + 1), 100), Ranges::Whole);
    }

    #[test]
    fn ranges_that_ask_for_more_than_the_whole_get_the_whole() {
        assert_eq!(
            asked("bytes=0-4,5-9", 10),
            Ranges::Parts(smallvec![0..5, 5..10])
        );
        assert_eq!(asked("bytes=0-5,5-9", 10), Ranges::Whole);
        assert_eq!(asked("bytes=0-,0-,0-,0-", 10), Ranges::Whole);
    }

    #[test]
    fn one_part_shares_the_content_and_says_where_it_lies() {
        let request = Request::get("/").with_field(header::RANGE, "bytes=2-4");
        let response = whole().with_ranges(&request, &Validators::none());
        assert_eq!((response.status.as_u16(), &*text(&response)), (206, "234"));
        assert_eq!(
            field(&response, &header::CONTENT_RANGE),
            Some("bytes 2-4/10")
        );
        assert_eq!(field(&response, &header::CONTENT_TYPE), Some("text/plain"));
        assert_eq!(field(&response, &header::ACCEPT_RANGES), Some("bytes"));
    }

    /// Section 14.6.
    #[test]
    fn several_parts_are_a_multipart_content() {
        let request = Request::get("/").with_field(header::RANGE, "bytes=8-, 0-1");
        let response = whole().with_ranges(&request, &Validators::none());
        assert_eq!(response.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(field(&response, &header::CONTENT_RANGE), None);
        let media_type = field(&response, &header::CONTENT_TYPE).unwrap();
        let boundary = media_type
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
             --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n\
             --{boundary}--\r\n"
        );
        assert_eq!(text(&response), expected);
    }

    /// Section 15.5.17.
    #[test]
    fn an_unsatisfiable_range_is_416_with_the_length() {
        let request = Request::get("/").with_field(header::RANGE, "bytes=10-");
        let response = whole().with_ranges(&request, &Validators::none());
        assert_eq!((response.status.as_u16(), &*text(&response)), (416, ""));
        assert_eq!(field(&response, &header::CONTENT_RANGE), Some("bytes */10"));
    }

    #[test]
    fn without_a_range_ranges_are_offered_and_other_answers_left_alone() {
        let response = whole().with_ranges(&Request::get("/"), &Validators::none());
        assert_eq!(
            (response.status.as_u16(), &*text(&response)),
            (200, "0123456789")
        );
        assert_eq!(field(&response, &header::ACCEPT_RANGES), Some("bytes"));
        let request = Request::get("/").with_field(header::RANGE, "bytes=0-0");
        let missing = Response::new(StatusCode::NOT_FOUND).with_content("0123");
        let missing = missing.with_ranges(&request, &Validators::none());
        assert_eq!((missing.status.as_u16(), &*text(&missing)), (404, "0123"));
    }
}
