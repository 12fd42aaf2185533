//! The response parser against whole, cut and lying responses.

use super::*;

/// Everything that one stream of bytes gave: answers with their content, then how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    answers: Vec<(u16, bool, Vec<u8>)>,
    error: Option<Error>,
}

/// Feeds `pieces` and then the end, as a connection does; `learned` may know heads already.
fn feed_all<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    to_head: bool,
    learned: &mut Learned,
) -> Outcome {
    let mut parser = Parser::new(to_head);
    let mut outcome = Outcome {
        answers: Vec::new(),
        error: None,
    };
    let mut content = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match parser.feed(piece, learned, |bytes| content.extend_from_slice(bytes)) {
                Err(error) => {
                    return Outcome {
                        error: Some(error),
                        ..outcome
                    };
                }
                Ok((read, answer)) => {
                    assert!(read > 0 && (answer.is_some() || read == piece.len()));
                    piece = &piece[read..];
                    let answer =
                        answer.map(|a| (a.status, a.persistent, std::mem::take(&mut content)));
                    outcome.answers.extend(answer);
                }
            }
        }
    }
    match parser.feed_end() {
        Err(error) => outcome.error = Some(error),
        Ok(answer) => outcome
            .answers
            .extend(answer.map(|a| (a.status, a.persistent, content))),
    }
    outcome
}

/// Asserts that the bytes give the same, cut in two anywhere and byte by byte, with and without
/// a head learned before, and returns it.
fn outcome(bytes: &[u8], to_head: bool) -> Outcome {
    let mut learned = Learned::default();
    let whole = feed_all([bytes], to_head, &mut learned);
    assert_eq!(feed_all([bytes], to_head, &mut learned), whole, "learned");
    for cut in 0..=bytes.len() {
        let pieces = [&bytes[..cut], &bytes[cut..]];
        assert_eq!(
            feed_all(pieces, to_head, &mut Learned::default()),
            whole,
            "cut at {cut}"
        );
        assert_eq!(
            feed_all(pieces, to_head, &mut learned),
            whole,
            "learned, cut at {cut}"
        );
    }
    assert_eq!(
        feed_all(bytes.chunks(1), to_head, &mut Learned::default()),
        whole,
        "by bytes"
    );
    whole
}

fn answers(expected: &[(u16, bool, &str)]) -> Outcome {
    let owned = |&(status, persistent, content): &(u16, bool, &str)| {
        (status, persistent, content.as_bytes().to_vec())
    };
    Outcome {
        answers: expected.iter().map(owned).collect(),
        error: None,
    }
}

fn fault(bytes: &str) -> Error {
    outcome(bytes.as_bytes(), false)
        .error
        .unwrap_or_else(|| panic!("{bytes:?} is no fault"))
}

#[test]
fn pipelined_responses_are_told_apart_by_their_lengths() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
        HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nworld";
    let expected = [(200, true, "hello"), (404, true, ""), (200, true, "world")];
    assert_eq!(outcome(bytes, false), answers(&expected));
}

#[test]
fn chunks_are_put_together_and_trailers_checked() {
    let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n1;name=\"v\"\r\n,\r\n00A ;x\r\n0123456789\r\n0\r\nTrailer: v\r\nB: c\r\n\r\n\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let expected = [(200, true, "hello,0123456789"), (200, true, "")];
    assert_eq!(outcome(bytes, false), answers(&expected));
}

#[test]
fn interim_responses_are_skipped() {
    let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_eq!(outcome(bytes, false), answers(&[(200, true, "ok")]));
    let seventeen = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    assert_eq!(fault(&seventeen), Error::TooManyInterim);
}

#[test]
fn responses_without_content_end_with_their_head() {
    let bytes =
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n\
        HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n";
    let expected = [(204, true, ""), (304, true, ""), (204, true, "")];
    assert_eq!(outcome(bytes, false), answers(&expected));
}

#[test]
fn an_answer_to_head_has_no_content_whatever_it_says() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(
        outcome(bytes, true),
        answers(&[(200, true, ""), (200, true, "")])
    );
}

#[test]
fn content_without_a_length_ends_with_the_connection() {
    let bytes = b"HTTP/1.0 200 OK\r\n\r\nuntil the end";
    assert_eq!(
        outcome(bytes, false),
        answers(&[(200, false, "until the end")])
    );
    let bytes = b"HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(outcome(bytes, false), answers(&[(200, false, "")]));
}

#[test]
fn a_connection_that_ends_between_responses_is_no_fault() {
    assert_eq!(outcome(b"", false), answers(&[]));
    let bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(outcome(bytes, false), answers(&[(200, false, "x")]));
}

#[test]
fn every_proper_prefix_is_truncated() {
    let all = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    ];
    for bytes in all {
        for len in 1..bytes.len() {
            let outcome = feed_all([&bytes.as_bytes()[..len]], false, &mut Learned::default());
            assert_eq!(outcome.error, Some(Error::Truncated), "{:?}", &bytes[..len]);
        }
    }
}

#[test]
fn a_wrong_length_makes_the_next_response_a_fault() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(fault(short), Error::NotHttp);
    let long = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
    assert_eq!(fault(long), Error::Truncated);
}

#[test]
fn faulty_chunks_are_errors_of_their_kind() {
    let all = [
        ("x\r\n", Error::ChunkLine),
        ("\r\n", Error::ChunkLine),
        (" 5\r\nhello\r\n", Error::ChunkLine),
        ("-1\r\n", Error::ChunkLine),
        ("0x5\r\n", Error::ChunkLine),
        ("5 \r\nhello\r\n", Error::ChunkLine),
        ("5 x\r\nhello\r\n", Error::ChunkLine),
        ("5;\0\r\nhello\r\n", Error::ChunkLine),
        ("10000000000000000\r\n", Error::ChunkLine),
        ("5\nhello", Error::BareLineFeed),
        ("5\r\nhello!\r\n0\r\n\r\n", Error::ChunkEnd),
        ("5\r\nhello\n", Error::BareLineFeed),
        ("0\r\nno colon\r\n\r\n", Error::FieldName),
        ("0\r\nA: \0\r\n\r\n", Error::FieldValue),
    ];
    for (chunks, error) in all {
        let bytes = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_eq!(fault(&bytes), error, "{chunks:?}");
    }
}

#[test]
fn lines_without_an_end_are_bounded() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = [head, "5;", &"x".repeat(CHUNK_LINE_LEN_MAX)].concat();
    let mut learned = Learned::default();
    let error = |bytes: &str, learned: &mut _| feed_all([bytes.as_bytes()], false, learned).error;
    assert_eq!(error(&long, &mut learned), Some(Error::ChunkLine));
    let trailers = [head, "0\r\n", &"A: b\r\n".repeat(HEAD_LEN_MAX / 6 + 1)].concat();
    assert_eq!(error(&trailers, &mut learned), Some(Error::HeadTooLong));
}

#[test]
fn a_changing_head_is_parsed_again_and_again() {
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for round in 0..20_u16 {
        let status = 200 + round % 3;
        let content = "x".repeat(usize::from(round));
        let head = format!("HTTP/1.1 {status} S\r\nN: {round}\r\nContent-Length: {round}\r\n\r\n");
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(content.as_bytes());
        expected.push((status, true, content));
    }
    let expected: Vec<_> = expected
        .iter()
        .map(|(s, p, c)| (*s, *p, c.as_str()))
        .collect();
    assert_eq!(outcome(&bytes, false), answers(&expected));
}
