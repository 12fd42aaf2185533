//! What a session relies on beyond the RFC: copies, back-pressure, early answers, graceful ends.

use sunstar::http::{Error, Event, Fields, Head, Length, Limits, StatusCode, Version, header};
use sunstar::mem::Buf;

use crate::harness::{Session, chunked, get};

fn session() -> Session {
    Session::new(&Limits::default())
}

/// Gives bytes to the connection without handling events.
fn receive(session: &mut Session, bytes: impl AsRef<[u8]>) {
    let input = session.pool.copy(bytes.as_ref());
    session.connection.handle_input(input, session.now);
}

fn next_request(session: &mut Session) -> Head {
    match session.connection.poll_event() {
        Some(Event::Request(head)) => head,
        other => panic!("no request: {other:?}"),
    }
}

fn next_content(session: &mut Session) -> Buf {
    match session.connection.poll_event() {
        Some(Event::Content(data)) => data,
        other => panic!("no content: {other:?}"),
    }
}

fn answer(session: &mut Session, content: &'static str) {
    let length = Length::Known(content.len() as u64);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), length, b"");
    session.connection.send_data(Buf::from(content));
    session.connection.send_end(session.now);
}

fn post(len: usize, content: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{content}")
}

#[test]
fn a_head_tells_its_parts() {
    let mut session = session();
    receive(
        &mut session,
        "PUT http://h:8/a/b?c=d HTTP/1.1\r\nHOST: i\r\nX-A:  1 \r\nx-a: 2\r\n\r\n",
    );
    let head = next_request(&mut session);
    assert_eq!(
        (head.method().as_str(), head.version()),
        ("PUT", Version::Http11)
    );
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d")));
    assert_eq!(
        (head.target(), head.host()),
        ("http://h:8/a/b?c=d", Some("h:8"))
    );
    assert_eq!(head.field(&header::HOST), Some(&b"i"[..]));
    let all: Vec<_> = head.fields().named("x-A").collect();
    assert_eq!(all, [b"1", b"2"]);
    let names: Vec<_> = head.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["HOST", "X-A", "x-a"]);
}

#[test]
fn a_head_of_many_fields_keeps_them_all() {
    let mut session = session();
    let lines: Vec<_> = (0..99).map(|n| format!("X-{n}: {n}\r\n")).collect();
    receive(&mut session, get(&lines.concat()));
    let head = next_request(&mut session);
    assert_eq!(head.fields().count(), 100);
    assert_eq!(head.fields().last(), Some(("X-98", &b"98"[..])));
}

/// A head that somebody keeps is not changed by the next one.
#[test]
fn a_kept_head_outlives_its_request() {
    let mut session = session();
    receive(&mut session, get("A: 1\r\n") + &get("B: 2\r\nC: 3\r\n"));
    let first = next_request(&mut session);
    answer(&mut session, "");
    let second = next_request(&mut session);
    assert_eq!(first.fields().last(), Some(("A", &b"1"[..])));
    assert_eq!(second.fields().last(), Some(("C", &b"3"[..])));
}

/// A minor version that we do not know is spoken to as 1.1 (RFC 9110 section 2.5).
#[test]
fn a_later_minor_version_is_1_1() {
    let mut session = session();
    receive(&mut session, "GET /x HTTP/1.9\r\nHost: h\r\n\r\n");
    let head = next_request(&mut session);
    assert_eq!((head.version(), head.target()), (Version::Http11, "/x"));
}

#[test]
fn head_and_content_that_came_in_one_piece_are_not_copied() {
    let mut session = session();
    let input = session.pool.copy((post(5, "hello") + &get("")).as_bytes());
    let start = input.as_ptr().addr();
    session.connection.handle_input(input, session.now);
    let head = next_request(&mut session);
    assert_eq!(head.bytes().as_ptr().addr(), start);
    let content = next_content(&mut session);
    assert_eq!(content.as_ptr().addr(), start + head.bytes().len());
    assert_eq!(session.pool.outstanding(), 1);
}

#[test]
fn chunks_that_came_in_one_piece_are_not_copied() {
    let mut session = session();
    receive(&mut session, chunked("5\r\nhello\r\n0\r\n\r\n"));
    let head = next_request(&mut session);
    let content = next_content(&mut session);
    assert_eq!(
        content.as_ptr().addr(),
        head.bytes().as_ptr().addr() + head.bytes().len() + 3
    );
}

#[test]
fn an_idle_connection_holds_no_buffer() {
    let mut session = session();
    for _ in 0..3 {
        session.feed(get("A: b\r\n"));
        session.feed("GET / HTTP/1.1\r\nHo");
        assert!(!session.connection.is_idle());
        session.feed("st: h\r\n\r\n");
        session.feed(post(5, "hel"));
        session.feed("lo");
        session.feed(chunked("5\r\nhello\r\n"));
        session.feed("0\r\nX: y\r");
        session.feed("\n\r\n\r\n");
        assert!(session.connection.is_idle());
        assert_eq!(session.pool.outstanding(), 0);
    }
}

#[test]
fn a_finished_connection_holds_no_buffer() {
    let mut session = session();
    session.feed("GET / HTTP/1.1\r\nHost: h\r\n bad\r\nand so on");
    session.feed("more");
    assert!(session.connection.is_finished());
    assert_eq!(session.pool.outstanding(), 0);
}

/// The block of a partial head grows with it, and is not as large as the limit from the start.
#[test]
fn a_partial_head_takes_as_much_memory_as_it_needs() {
    let mut session = session();
    session.feed("GET / HTTP/1.1\r\n");
    assert_eq!(session.pool.outstanding(), 1);
    for _ in 0..50 {
        session.feed(format!("X: {}\r\n", "y".repeat(200)));
        assert_eq!(session.pool.outstanding(), 1);
    }
    session.feed("Host: h\r\n\r\n");
    assert_eq!(
        (session.brief().as_str(), session.pool.outstanding()),
        ("200 GET / | open", 0)
    );
}

#[test]
fn what_is_held_can_be_moved_out_of_the_buffer_it_came_in() {
    let mut session = session();
    let input = session.pool.copy((get("") + &post(5, "he")).as_bytes());
    let start = input.as_ptr().addr();
    session.connection.handle_input(input, session.now);
    let mut head = next_request(&mut session);
    head.detach(&session.pool);
    session.connection.detach();
    assert_ne!(head.bytes().as_ptr().addr(), start);
    // The block that everything came in is free again.
    assert_eq!(session.pool.outstanding(), 2);
    receive(&mut session, "llo");
    receive(&mut session, get(""));
    session.connection.detach();
    answer(&mut session, "");
    assert_eq!(next_request(&mut session).method().as_str(), "POST");
    assert_eq!(&next_content(&mut session)[..], b"hello");
    assert!(matches!(session.connection.poll_event(), Some(Event::End)));
    answer(&mut session, "");
    assert_eq!(next_request(&mut session).method().as_str(), "GET");
}

#[test]
fn requests_wait_for_the_answer_to_the_one_before() {
    let mut session = session();
    receive(&mut session, get("").repeat(2));
    next_request(&mut session);
    assert!(matches!(session.connection.poll_event(), Some(Event::End)));
    assert!(session.connection.poll_event().is_none());
    answer(&mut session, "1");
    next_request(&mut session);
}

/// A session may answer a request without content at once, and need not ask for its end.
#[test]
fn the_end_of_content_need_not_be_polled() {
    let mut session = session();
    receive(&mut session, get("").repeat(3));
    for _ in 0..3 {
        next_request(&mut session);
        assert_eq!(session.connection.content_len(), Some(0));
        answer(&mut session, "ok");
    }
    assert!(session.connection.poll_event().is_none() && session.connection.is_idle());
}

#[test]
fn the_length_of_content_is_known_ahead_unless_it_is_chunked() {
    let mut session = session();
    receive(&mut session, post(5, "hello") + &chunked(""));
    next_request(&mut session);
    assert_eq!(session.connection.content_len(), Some(5));
    answer(&mut session, "");
    next_request(&mut session);
    assert_eq!(session.connection.content_len(), None);
}

#[test]
fn input_is_unwanted_while_enough_of_it_waits() {
    let mut session = session();
    receive(&mut session, get(""));
    next_request(&mut session);
    receive(&mut session, "x".repeat(16 * 1024 - 1));
    assert!(session.connection.wants_input());
    receive(&mut session, "x");
    assert!(!session.connection.wants_input());
}

#[test]
fn content_that_nobody_takes_stops_the_input() {
    let mut session = session();
    receive(&mut session, post(100_000, ""));
    next_request(&mut session);
    receive(&mut session, "x".repeat(20_000));
    assert!(!session.connection.wants_input());
    assert_eq!(next_content(&mut session).len(), 20_000);
    assert!(session.connection.wants_input());
}

#[test]
fn a_slow_reader_gets_no_further_requests_taken_up() {
    let mut session = session();
    receive(&mut session, get("").repeat(3));
    next_request(&mut session);
    let large = Length::Known(256 * 1024);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), large, b"");
    session.connection.send_data(Buf::from(vec![0; 256 * 1024]));
    session.connection.send_end(session.now);
    assert!(session.connection.output_len() > 256 * 1024 && !session.connection.wants_input());
    assert!(session.connection.poll_event().is_none());
    while session.connection.poll_output().is_some() {}
    next_request(&mut session);
}

#[test]
fn content_behind_an_early_answer_is_drained_if_it_is_short() {
    let mut session = session();
    receive(&mut session, post(64 * 1024, "some"));
    next_request(&mut session);
    answer(&mut session, "early");
    session.feed("x".repeat(64 * 1024 - 4));
    session.feed(get(""));
    assert!(
        session.text().ends_with("\r\n\r\nGET / "),
        "{}",
        session.text()
    );
    assert!(!session.connection.is_finished());
}

#[test]
fn content_behind_an_early_answer_ends_the_connection_if_it_is_long() {
    let mut session = session();
    receive(&mut session, post(64 * 1024 + 1, ""));
    next_request(&mut session);
    answer(&mut session, "early");
    assert!(session.connection.is_finished() && !session.connection.wants_input());
}

#[test]
fn chunks_behind_an_early_answer_are_drained_up_to_the_bound() {
    let mut session = session();
    receive(&mut session, chunked(""));
    next_request(&mut session);
    answer(&mut session, "early");
    session.feed(format!("10000\r\n{}\r\n", "x".repeat(65_536)));
    assert!(!session.connection.is_finished());
    session.feed("1\r\nx");
    assert!(session.connection.is_finished());
    assert!(session.text().ends_with("early"));
}

#[test]
fn an_error_in_drained_content_closes_in_silence() {
    let mut session = session();
    receive(&mut session, chunked(""));
    next_request(&mut session);
    answer(&mut session, "early");
    session.feed("what");
    assert!(session.connection.is_finished() && session.text().ends_with("early"));
}

/// Who says beforehand that content is not wanted can have the close announced.
#[test]
fn discarded_content_that_is_long_announces_the_close() {
    let mut session = session();
    receive(&mut session, post(100_000, "some"));
    next_request(&mut session);
    session.connection.discard_content();
    assert!(session.connection.poll_event().is_none());
    answer(&mut session, "no");
    session.run();
    assert!(session.text().contains("\r\nConnection: close\r\n"));
    assert!(session.connection.is_finished());
}

#[test]
fn discarded_content_that_is_short_keeps_the_connection() {
    let mut session = session();
    receive(&mut session, post(4, "so"));
    next_request(&mut session);
    session.connection.discard_content();
    receive(&mut session, "me");
    assert!(session.connection.poll_event().is_none());
    answer(&mut session, "no");
    session.feed(get(""));
    assert!(!session.text().contains("Connection"));
    assert!(session.text().ends_with("GET / "), "{}", session.text());
}

/// An answer may begin while content is still coming in.
#[test]
fn content_may_be_streamed_back_as_it_comes() {
    let mut session = session();
    receive(&mut session, post(200_000, ""));
    next_request(&mut session);
    let length = Length::Unknown;
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), length, b"");
    for _ in 0..100 {
        receive(&mut session, "x".repeat(2000));
        let content = next_content(&mut session);
        session.connection.send_data(content);
    }
    assert!(matches!(session.connection.poll_event(), Some(Event::End)));
    session.connection.send_end(session.now);
    session.run();
    assert!(session.text().ends_with("\r\n0\r\n\r\n") && session.connection.is_idle());
}

#[test]
fn an_answer_of_unknown_length_is_chunked() {
    let mut session = session();
    receive(&mut session, get(""));
    next_request(&mut session);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Unknown, b"");
    for piece in ["hello", "", ", wonderful world"] {
        session.connection.send_data(Buf::from(piece));
    }
    session.connection.send_data(Buf::from(vec![b'x'; 5000]));
    session.connection.send_end(session.now);
    session.run();
    let x = "x".repeat(5000);
    let chunks = format!("5\r\nhello\r\n11\r\n, wonderful world\r\n1388\r\n{x}\r\n0\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(session.text(), head.to_owned() + &chunks);
    assert!(session.connection.is_idle());
}

/// 6.1: a server MUST NOT send chunks to a client of HTTP/1.0.
#[test]
fn an_answer_of_unknown_length_to_http_1_0_ends_with_the_connection() {
    let mut session = session();
    receive(
        &mut session,
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    );
    next_request(&mut session);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Unknown, b"");
    session.connection.send_data(Buf::from("hello"));
    session.connection.send_end(session.now);
    session.run();
    assert_eq!(
        session.text(),
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello"
    );
    assert!(session.connection.is_finished());
}

#[test]
fn content_beyond_its_length_is_not_sent() {
    let mut session = session();
    receive(&mut session, get(""));
    next_request(&mut session);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Known(5), b"");
    session.connection.send_data(Buf::from("hel"));
    session.connection.send_data(Buf::from("lo, world"));
    session.connection.send_data(Buf::from("!"));
    session.connection.send_end(session.now);
    session.run();
    assert!(session.text().ends_with("\r\n\r\nhello") && session.connection.is_idle());
}

/// A peer that counts sees that something is missing only if the connection closes.
#[test]
fn an_answer_shorter_than_its_length_ends_the_connection() {
    let mut session = session();
    receive(&mut session, get("").repeat(2));
    next_request(&mut session);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Known(5), b"");
    session.connection.send_data(Buf::from("hell"));
    session.connection.send_end(session.now);
    assert!(session.connection.poll_event().is_none() && session.connection.is_finished());
}

#[test]
fn an_error_under_an_answer_cuts_it_short() {
    let mut session = session();
    receive(&mut session, chunked("5\r\nhello\r\nX"));
    next_request(&mut session);
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Known(9), b"");
    next_content(&mut session);
    let event = session.connection.poll_event();
    assert!(
        matches!(event, Some(Event::Error(Error::BadChunk))),
        "{event:?}"
    );
    assert!(session.connection.is_finished());
    session.connection.send_data(Buf::from("late"));
    session.connection.send_error(Error::BadChunk, b"");
    session.connection.send_end(session.now);
    session.run();
    assert_eq!(
        session.text(),
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    );
}

#[test]
fn an_error_may_be_answered_in_the_handlers_own_words() {
    let mut session = session();
    receive(&mut session, "GET / HTTP/1.1\r\n\r\n");
    let Some(Event::Error(error)) = session.connection.poll_event() else {
        panic!("no error");
    };
    assert!(!session.connection.is_finished());
    session
        .connection
        .send_head(error.status(), &Fields::new(), Length::Known(3), b"");
    session.connection.send_data(Buf::from("no!"));
    session.connection.send_end(session.now);
    session.run();
    let wanted = "HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!";
    assert_eq!(session.text(), wanted);
    assert!(session.connection.is_finished());
}

#[test]
fn an_idle_connection_that_is_to_end_is_finished() {
    let mut session = session();
    session.feed(get(""));
    session.connection.send_close();
    assert!(session.connection.is_finished());
}

#[test]
fn a_connection_that_is_to_end_answers_what_was_read() {
    let mut session = session();
    receive(&mut session, get("") + &get(""));
    next_request(&mut session);
    session.connection.send_close();
    answer(&mut session, "last");
    session.run();
    assert!(session.text().contains("\r\nConnection: close\r\n"));
    assert!(session.text().ends_with("last") && session.connection.is_finished());
}

#[test]
fn a_connection_that_is_to_end_waits_for_the_rest_of_a_head() {
    let mut session = session();
    session.feed("GET / HTTP/1.1\r\n");
    session.connection.send_close();
    assert!(!session.connection.is_finished());
    session.feed("Host: h\r\n\r\n");
    assert!(session.text().contains("\r\nConnection: close\r\n"));
    assert_eq!(session.brief(), "200 GET / | closed");
}

/// RFC 9110 15.2.2: there is nothing to switch to; what follows is not HTTP any more.
#[test]
fn switching_protocols_ends_the_connection() {
    let mut session = session();
    receive(&mut session, get("").repeat(2));
    next_request(&mut session);
    let status = StatusCode::SWITCHING_PROTOCOLS;
    session
        .connection
        .send_head(status, &Fields::new(), Length::Known(0), b"");
    session.connection.send_end(session.now);
    session.run();
    assert!(
        session
            .text()
            .starts_with("HTTP/1.1 101 Switching Protocols\r\n")
    );
    assert!(session.connection.is_finished());
}

#[test]
#[should_panic(expected = "an answer without a request that waits for one")]
fn an_answer_that_nobody_asked_for_panics() {
    answer(&mut session(), "what?");
}
