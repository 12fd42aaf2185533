//! Any bytes as a request head: understood alike however they are cut, and what is accepted is
//! what the grammar produces.

use std::rc::Rc;
use std::time::{Duration, Instant};

use sunstar::http::h1::Connection;
use sunstar::http::{Error, Event, Head, Limits, Version};
use sunstar::mem::Pool;

use crate::cuts::agreed;

/// What is made of a request head.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    /// More is to come.
    Incomplete,
    Refused(Error),
    Accepted(Accepted),
}

/// What an accepted head says.
#[derive(Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) bytes: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: Version,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    path: String,
    query: Option<String>,
    host: Option<String>,
    /// `None` if the content is chunked.
    content_len: Option<u64>,
}

/// Limits that a short input can run into.
pub(crate) fn tight_limits() -> Limits {
    Limits {
        head_len_max: 200,
        field_count_max: 4,
        field_len_max: 60,
        target_len_max: 40,
        ..Limits::default()
    }
}

/// Reads one head.
pub(crate) fn run(input: &[u8]) {
    for limits in [Limits::default(), tight_limits()] {
        let limits = Rc::new(limits);
        if let Verdict::Accepted(head) = agreed(input, |pieces| judge(&limits, pieces)) {
            check_is_within(&head, &limits);
            check_is_well_formed(&head);
        }
    }
}

/// What is made of the head that the pieces are.
pub(crate) fn judge(limits: &Rc<Limits>, pieces: &[&[u8]]) -> Verdict {
    let pool = Pool::new();
    let mut connection = Connection::new(pool.clone(), limits.clone(), start());
    for piece in pieces {
        connection.handle_input(pool.copy(piece), start());
        match connection.poll_event() {
            None => {}
            Some(Event::Error(error)) => return Verdict::Refused(error),
            Some(Event::Request(head)) => {
                let content_len = connection.content_len();
                return Verdict::Accepted(Accepted::new(&head, content_len));
            }
            Some(event) => panic!("no head came before {event:?}"),
        }
    }
    Verdict::Incomplete
}

/// The time at which everything happens.
pub(crate) fn start() -> Instant {
    thread_local! {
        #[expect(
            clippy::disallowed_methods,
            reason = "where a test's time begins is no matter"
        )]
        static START: Instant = Instant::now() + Duration::from_secs(1);
    }
    START.with(|start| *start)
}

impl Accepted {
    fn new(head: &Head, content_len: Option<u64>) -> Accepted {
        let fields = head.fields();
        Accepted {
            bytes: head.bytes().to_vec(),
            method: head.method().to_string(),
            target: head.target().to_owned(),
            version: head.version(),
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
            path: head.path().to_owned(),
            query: head.query().map(str::to_owned),
            host: head.host().map(str::to_owned),
            content_len,
        }
    }

    /// The values of all fields of that name.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let fields = self.fields.iter();
        fields
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
            .collect()
    }
}

fn check_is_within(head: &Accepted, limits: &Limits) {
    assert!(head.bytes.len() <= limits.head_len_max, "{head:?}");
    assert!(head.target.len() <= limits.target_len_max, "{head:?}");
    assert!(head.fields.len() <= limits.field_count_max, "{head:?}");
    let lines = head.bytes.split(|&byte| byte == b'\n').skip(1);
    for line in lines {
        assert!(line.len() <= limits.field_len_max + 1, "{head:?}");
    }
}

fn check_is_well_formed(head: &Accepted) {
    assert!(head.bytes.ends_with(b"\r\n\r\n"), "{head:?}");
    let lines = head.bytes.split(|&byte| byte == b'\n');
    let (ends, field_lines) = (lines.clone().count() - 1, head.fields.len());
    assert_eq!(ends, field_lines + 2, "each line is a field: {head:?}");
    for line in lines.take(ends) {
        let line = line.strip_suffix(b"\r").expect("lines end with CRLF");
        assert!(
            line.iter()
                .all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f),
            "{head:?}"
        );
    }
    for (name, value) in &head.fields {
        let is_token = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        assert!(is_token && !name.is_empty(), "{head:?}");
        assert_eq!(value.trim_ascii(), value, "{head:?}");
    }
    assert!(
        head.target.bytes().all(|byte| byte.is_ascii_graphic()),
        "{head:?}"
    );
    let query = head.query.as_ref().map(|query| format!("?{query}"));
    let tail = head.path.clone() + query.as_deref().unwrap_or_default();
    let is_bare = head.path == "/" && !head.target.ends_with(&tail);
    assert!(
        head.target
            .ends_with(if is_bare { &tail[1..] } else { &tail[..] }),
        "{head:?}"
    );
    assert!(
        head.host.is_some() || head.version == Version::Http10,
        "{head:?}"
    );
    let (lengths, codings) = (
        head.values("content-length"),
        head.values("transfer-encoding"),
    );
    match head.content_len {
        None => assert!(lengths.is_empty() && !codings.is_empty(), "{head:?}"),
        Some(0) if lengths.is_empty() => assert!(codings.is_empty(), "{head:?}"),
        Some(len) => {
            assert!(lengths.len() == 1 && codings.is_empty(), "{head:?}");
            let text = std::str::from_utf8(lengths[0]).expect("digits");
            assert_eq!(text.parse(), Ok(len), "{head:?}");
        }
    }
}
