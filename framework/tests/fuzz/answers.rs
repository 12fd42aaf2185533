//! Reads what a connection has sent as a client would, with `httparse`: whether it is a row of
//! whole answers, each to its request, the last of which may have been cut short.

use sunstar::http::{Head, Method};

/// What an answer is to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    /// No request that was understood.
    Nothing,
    Head,
    Connect,
    Other,
}

impl Asked {
    pub(crate) fn by(head: &Head) -> Asked {
        match *head.method() {
            Method::HEAD => Asked::Head,
            Method::CONNECT => Asked::Connect,
            _ => Asked::Other,
        }
    }
}

/// How the content of an answer ends.
#[derive(Debug, PartialEq)]
enum Framing {
    Sized(usize),
    Chunked,
    Close,
}

/// Checks all of `output`; `shown` says what it was in answer to. Returns it without the requests
/// for content (100), which depend on what has come when somebody looks.
pub(crate) fn check(output: &[u8], asked: &[Asked], shown: &impl Fn() -> String) -> Vec<u8> {
    let (mut rest, mut answered) = (output, 0);
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut fields);
        let parsed = answer.parse(rest);
        let Ok(httparse::Status::Complete(len)) = parsed else {
            panic!("{parsed:?}: {}: {}", rest.escape_ascii(), shown());
        };
        let whole = rest;
        rest = &rest[len..];
        let status = answer.code.expect("a status");
        if status != 100 {
            kept.extend_from_slice(&whole[..len]);
        }
        if status < 200 && status != 101 {
            continue;
        }
        assert!(answered < asked.len(), "an answer unasked: {}", shown());
        let framing = framing(status, answer.headers, asked[answered]);
        answered += 1;
        let content = rest;
        let is_whole = take_content(&mut rest, &framing);
        kept.extend_from_slice(&content[..content.len() - rest.len()]);
        if !is_whole || framing == Framing::Close {
            assert!(rest.is_empty(), "{}: {}", output.escape_ascii(), shown());
        }
    }
    kept
}

fn framing(status: u16, fields: &[httparse::Header<'_>], asked: Asked) -> Framing {
    let value = |name: &str| {
        let mut fields = fields
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        let value = fields.next().map(|field| field.value);
        assert!(fields.next().is_none(), "{name} twice");
        value
    };
    let (len, coding) = (value("Content-Length"), value("Transfer-Encoding"));
    assert!(len.is_none() || coding.is_none(), "two lengths");
    if asked == Asked::Head || matches!(status, 101 | 204 | 304) {
        assert!(
            len.is_none() || !matches!(status, 101 | 204),
            "a length with {status}"
        );
        return Framing::Sized(0);
    }
    if asked == Asked::Connect && status < 300 && len.is_none() && coding.is_none() {
        return Framing::Close;
    }
    match (len, coding) {
        (Some(len), _) => {
            let len = std::str::from_utf8(len).expect("digits");
            Framing::Sized(len.parse().expect("a number"))
        }
        (None, Some(coding)) => {
            assert_eq!(coding, b"chunked");
            Framing::Chunked
        }
        (None, None) => Framing::Close,
    }
}

/// Takes the content off the front; whether it is there as a whole.
fn take_content(rest: &mut &[u8], framing: &Framing) -> bool {
    match framing {
        Framing::Sized(len) => {
            let here = rest.len().min(*len);
            *rest = &rest[here..];
            here == *len
        }
        Framing::Close => {
            *rest = &[];
            true
        }
        Framing::Chunked => match crate::grammar::chunked_body(rest) {
            Ok(body) => {
                *rest = body.rest;
                true
            }
            Err(crate::grammar::Refusal::Incomplete(_)) => {
                *rest = &[];
                false
            }
            Err(refusal) => panic!("{refusal:?}: {}", rest.escape_ascii()),
        },
    }
}
