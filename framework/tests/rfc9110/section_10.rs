//! Section 10.1.1, Expect.

use std::time::Duration;

use sunstar::http::{Event, Fields, Length, Limits, StatusCode};
use sunstar::mem::Buf;

use crate::harness::{Session, exchange, exchange_and_end, get};

const HEAD: &str =
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn session() -> Session {
    Session::new(&Limits::default())
}

/// Receives only a head that expects a 100, and polls it.
fn expecting() -> Session {
    let mut session = session();
    let input = session.pool.copy(HEAD.as_bytes());
    session.connection.handle_input(input, session.now);
    assert!(matches!(
        session.connection.poll_event(),
        Some(Event::Request(_))
    ));
    session
}

fn answer(session: &mut Session, status: StatusCode) {
    session
        .connection
        .send_head(status, &Fields::new(), Length::Known(2), b"");
    session.connection.send_data(Buf::from("ok"));
    session.connection.send_end(session.now);
    session.run();
}

/// A server MUST send a 100, or a final status, when the content is waited for.
#[test]
fn content_that_is_wanted_and_not_there_is_asked_for_once() {
    let mut session = session();
    session.feed(HEAD);
    assert_eq!(session.text(), CONTINUE);
    session.feed("he");
    session.feed("llo");
    assert_eq!(session.text().matches(CONTINUE).count(), 1);
    assert_eq!(session.brief(), "200 POST / hello | open");
}

#[test]
fn chunks_are_asked_for_too_and_case_does_not_matter() {
    let mut session = session();
    let field = "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n";
    session.feed(format!("POST / HTTP/1.1\r\nHost: h\r\n{field}\r\n"));
    assert_eq!(session.text(), CONTINUE);
    session.feed("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(session.brief(), "200 POST / hello | open");
}

/// A server MAY omit the 100 if content has arrived.
#[test]
fn content_that_is_there_is_not_asked_for() {
    let mut session = session();
    session.feed(HEAD.to_owned() + "h");
    session.feed("ello");
    assert!(!session.text().contains("100"));
    assert_eq!(session.brief(), "200 POST / hello | open");
}

/// A server MUST NOT send a 100 to HTTP/1.0.
#[test]
fn http_1_0_gets_no_100() {
    let mut session = session();
    session.feed(HEAD.replace("HTTP/1.1", "HTTP/1.0"));
    session.feed("hello");
    assert!(!session.text().contains("100"));
    assert_eq!(session.brief(), "200 POST / hello | closed");
}

#[test]
fn no_content_needs_no_100() {
    let mut session = session();
    session.feed(get("Expect: 100-continue\r\n"));
    session.feed(HEAD.replace("Content-Length: 5", "Content-Length: 0"));
    assert!(!session.text().contains("100"));
    assert_eq!(session.brief(), "200 GET / | 200 POST / | open");
}

/// A final status instead of a 100 says whether the connection closes: the peer may send the
/// content or not, so what follows cannot be told apart.
#[test]
fn a_final_status_instead_of_a_100_closes() {
    let mut session = expecting();
    answer(&mut session, StatusCode::FORBIDDEN);
    assert!(session.text().contains("\r\nConnection: close\r\n"));
    assert!(!session.text().contains("100 Continue"));
    assert!(session.connection.is_finished());
}

#[test]
fn content_that_is_not_wanted_is_not_asked_for() {
    let mut session = expecting();
    session.connection.discard_content();
    assert!(session.connection.poll_event().is_none());
    answer(&mut session, StatusCode::OK);
    assert!(!session.text().contains("100 Continue") && session.connection.is_finished());
}

#[test]
fn content_that_is_too_long_gets_its_413_and_no_100() {
    let request = HEAD.replace("Content-Length: 5", "Content-Length: 1099511627776");
    let mut session = session();
    session.feed(&request);
    assert!(!session.text().contains("100 Continue"));
    assert_eq!(session.brief(), "413 request content too long | closed");
    assert_eq!(exchange(request), "413 request content too long | closed");
}

#[test]
fn content_that_was_asked_for_and_does_not_come_is_a_timeout() {
    let mut session = session();
    session.feed(HEAD);
    session.wait(Duration::from_secs(30));
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

/// A server that cannot meet another expectation MAY answer 417.
#[test]
fn another_expectation_fails() {
    for value in ["x", "100-continue, x", "100-continue; q=1", "200-ok", "100"] {
        let request = HEAD.replace("100-continue", value) + "hello";
        assert_eq!(
            exchange(request),
            "417 unknown expectation | closed",
            "{value}"
        );
    }
}

#[test]
fn a_repeated_expectation_is_one() {
    let twice = HEAD.replace("100-continue", "100-continue\r\nExpect: 100-continue") + "hello";
    assert_eq!(exchange(twice), "200 POST / hello | open");
    let list = HEAD.replace("100-continue", "100-continue, 100-continue") + "hello";
    assert_eq!(exchange(list), "200 POST / hello | open");
}

#[test]
fn a_peer_that_ends_instead_of_sending_is_cut_off() {
    assert_eq!(exchange_and_end(HEAD), "400 message cut off | closed");
}
