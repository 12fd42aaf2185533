//! Any bytes as chunked content: taken apart alike however they are cut, and as a decoder that
//! reads the grammar word by word takes them apart.

use std::rc::Rc;

use sunstar::http::h1::Connection;
use sunstar::http::{Error, Event, Fields, HeaderValue, Limits, StatusCode};
use sunstar::mem::Pool;

use crate::cuts::agreed;
use crate::grammar::{self, Refusal};
use crate::h1_head::start;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

/// What is made of chunked content.
#[derive(Debug, PartialEq)]
enum Decoded {
    Incomplete {
        content: Vec<u8>,
    },
    Refused(Error),
    Whole {
        content: Vec<u8>,
        trailers: Vec<(String, Vec<u8>)>,
        rest: Vec<u8>,
    },
}

/// Decodes the content, within wide limits and within tight ones.
pub(crate) fn run(input: &[u8]) {
    let tight = Rc::new(Limits {
        head_len_max: 120,
        field_count_max: 4,
        field_len_max: 30,
        content_len_max: 40,
        chunk_overhead_max: 50,
        ..Limits::default()
    });
    let within = agreed(input, |pieces| decode(&tight, pieces));
    let wide = Rc::new(Limits::default());
    let decoded = agreed(input, |pieces| decode(&wide, pieces));
    check_is_within(&within, &decoded, &tight);
    if is_within(input, &wide) {
        compare(input, &decoded);
    }
}

/// Whether an input of so many bytes and lines cannot pass one of the limits, but that of the
/// content.
fn is_within(input: &[u8], limits: &Limits) -> bool {
    let lines = input.split(|&byte| byte == b'\n').count();
    input.len() < limits.field_len_max.min(limits.chunk_overhead_max)
        && lines <= limits.field_count_max
}

fn decode(limits: &Rc<Limits>, pieces: &[&[u8]]) -> Decoded {
    let pool = Pool::new();
    let mut connection = Connection::new(pool.clone(), limits.clone(), start());
    connection.handle_input(pool.copy(HEAD), start());
    let head = connection.poll_event();
    assert!(matches!(head, Some(Event::Request(_))), "{head:?}");
    let mut content = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        connection.handle_input(pool.copy(piece), start());
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Content(data) => {
                    assert!(!data.is_empty());
                    content.extend_from_slice(&data);
                }
                Event::Error(error) => return Decoded::Refused(error),
                Event::End => {
                    let trailers = connection.take_trailers();
                    let trailers = trailers.fields();
                    let trailers = trailers.map(|(name, value)| (name.to_owned(), value.to_vec()));
                    let trailers = trailers.collect();
                    let rest = hand_over(&mut connection, &pieces[at + 1..]);
                    return Decoded::Whole {
                        content,
                        trailers,
                        rest,
                    };
                }
                Event::Request(head) => panic!("another request: {head:?}"),
            }
        }
    }
    Decoded::Incomplete { content }
}

/// What is behind the content: the connection has it, and `pieces` follow.
fn hand_over(connection: &mut Connection, pieces: &[&[u8]]) -> Vec<u8> {
    let mut fields = Fields::new();
    fields.append(
        sunstar::http::header::UPGRADE,
        HeaderValue::from_static("x"),
    );
    let status = StatusCode::SWITCHING_PROTOCOLS;
    let rest = connection.send_upgrade(status, &fields, b"");
    let mut rest = rest.expect("the request is here as a whole").to_vec();
    rest.extend(pieces.concat());
    rest
}

/// What is decoded within limits is what is decoded without, or the limit is passed.
fn check_is_within(within: &Decoded, without: &Decoded, limits: &Limits) {
    match within {
        Decoded::Refused(
            Error::ContentTooLong
            | Error::BadChunk
            | Error::HeadTooLong
            | Error::TooManyFields
            | Error::FieldTooLong,
        ) => {}
        Decoded::Refused(_) => assert_eq!(within, without),
        Decoded::Incomplete { content } | Decoded::Whole { content, .. } => {
            assert_eq!(within, without);
            assert!(content.len() as u64 <= limits.content_len_max, "{within:?}");
        }
    }
}

/// Compares with what the grammar says.
fn compare(input: &[u8], decoded: &Decoded) {
    let shown = || format!("{}: {decoded:?}", input.escape_ascii());
    match (decoded, grammar::chunked_body(input)) {
        (
            Decoded::Whole {
                content,
                trailers,
                rest,
            },
            Ok(body),
        ) => {
            assert_eq!(*content, body.content, "{}", shown());
            assert_eq!(*trailers, body.trailers, "{}", shown());
            assert_eq!(&rest[..], body.rest, "{}", shown());
        }
        (Decoded::Incomplete { content }, Err(Refusal::Incomplete(theirs))) => {
            assert_eq!(*content, theirs, "{}", shown());
        }
        (Decoded::Refused(Error::ContentTooLong), Ok(body)) => {
            panic!("{} bytes are not too long: {}", body.content.len(), shown());
        }
        (Decoded::Refused(Error::ContentTooLong), Err(_)) => {
            assert!(grammar::announces_over(input, 1024 * 1024), "{}", shown());
        }
        (Decoded::Refused(_), Err(Refusal::Malformed)) => {}
        (_, theirs) => panic!("{}: the grammar says {theirs:?}", shown()),
    }
}
