//! Timeouts: RFC 9110 section 15.5.9 and RFC 9112 section 9.5.

use std::time::Duration;

use sunstar::http::{Fields, Length, Limits, StatusCode};
use sunstar::mem::Buf;

use crate::harness::{Session, get};

const SECOND: Duration = Duration::from_secs(1);
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";

fn session() -> Session {
    Session::new(&Limits::default())
}

/// Waits until just before and then until the deadline.
fn wait_for(session: &mut Session, timeout: Duration) {
    assert_eq!(
        session.connection.poll_deadline(),
        Some(session.now + timeout)
    );
    let before = session.brief();
    let moment = Duration::from_nanos(1);
    session.wait(timeout.saturating_sub(moment));
    assert_eq!(session.brief(), before);
    session.wait(moment);
}

#[test]
fn a_new_connection_without_a_request_closes_in_silence() {
    let mut session = session();
    wait_for(&mut session, Duration::from_secs(90));
    assert_eq!(session.brief(), "closed");
}

#[test]
fn an_idle_connection_closes_in_silence() {
    let mut session = session();
    session.feed(get(""));
    wait_for(&mut session, Duration::from_secs(90));
    assert_eq!(session.brief(), "200 GET / | closed");
}

#[test]
fn a_head_has_its_time_from_its_first_byte_on() {
    let mut session = session();
    session.feed(get(""));
    session.wait(80 * SECOND);
    session.feed("GET / HTTP/1.1\r\nHos");
    session.wait(5 * SECOND);
    session.feed("t: h\r\n");
    wait_for(&mut session, Duration::from_secs(5));
    assert_eq!(
        session.brief(),
        "200 GET / | 408 request head took too long | closed"
    );
}

#[test]
fn a_head_that_drips_gets_no_more_time() {
    let mut session = session();
    for byte in get("A: b\r\n").chars() {
        session.feed(byte.to_string());
        session.wait(SECOND);
    }
    assert_eq!(session.brief(), "408 request head took too long | closed");
}

#[test]
fn an_empty_line_does_not_start_a_head() {
    let mut session = session();
    session.feed(get(""));
    session.feed("\r\n");
    assert!(session.connection.is_idle());
    wait_for(&mut session, Duration::from_secs(90));
    assert_eq!(session.brief(), "200 GET / | closed");
}

/// A session whose peer may be as slow as it likes, within the time for the whole.
fn patient() -> Session {
    Session::new(&Limits {
        content_rate_min: 0,
        ..Limits::default()
    })
}

#[test]
fn content_has_its_time_from_its_head_on() {
    let mut session = patient();
    session.feed(POST);
    session.wait(20 * SECOND);
    session.feed("hell");
    wait_for(&mut session, Duration::from_secs(10));
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

#[test]
fn chunks_have_their_time_too() {
    let mut session = session();
    session.feed("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    wait_for(&mut session, 5 * SECOND);
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

/// A request of much content, of which `per_second` bytes come every second.
fn drip(session: &mut Session, per_second: usize, seconds: usize) {
    for _ in 0..seconds {
        session.wait(SECOND);
        session.feed(vec![b'x'; per_second]);
    }
}

const LARGE: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";

#[test]
fn content_that_does_not_come_has_five_seconds() {
    let mut session = session();
    session.feed(LARGE);
    wait_for(&mut session, 5 * SECOND);
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

#[test]
fn content_at_the_lowest_rate_is_waited_for_and_slower_content_is_not() {
    let mut enough = session();
    enough.feed(LARGE);
    drip(&mut enough, 500, 29);
    assert_eq!(enough.brief(), "open");
    let mut slow = session();
    slow.feed(LARGE);
    drip(&mut slow, 400, 20);
    assert_eq!(slow.brief(), "open");
    // 5 s and 2 ms for each byte that came.
    drip(&mut slow, 400, 2);
    assert_eq!(slow.brief(), "408 request content took too long | closed");
}

#[test]
fn content_that_is_streamed_takes_as_long_as_it_needs() {
    let mut session = session();
    session.feed(LARGE);
    session.connection.stream_content();
    drip(&mut session, 500, 300);
    assert_eq!(session.brief(), "open");
    wait_for(&mut session, 5 * SECOND);
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

#[test]
fn a_fast_peer_may_pause_for_the_content_timeout_and_no_longer() {
    let mut session = session();
    session.feed(LARGE);
    session.connection.stream_content();
    session.wait(SECOND);
    session.feed(vec![b'x'; 500_000]);
    wait_for(&mut session, 30 * SECOND);
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

#[test]
fn time_that_our_side_takes_is_not_the_peers() {
    let mut session = session();
    session.feed(LARGE);
    session.now += 1000 * SECOND;
    session.connection.handle_pause(1000 * SECOND);
    wait_for(&mut session, 5 * SECOND);
    assert_eq!(
        session.brief(),
        "408 request content took too long | closed"
    );
}

#[test]
fn the_next_request_has_its_own_time() {
    let mut session = patient();
    session.feed(POST);
    session.wait(29 * SECOND);
    session.feed("hello");
    session.feed(POST);
    session.wait(29 * SECOND);
    session.feed("hello");
    assert_eq!(
        session.brief(),
        "200 POST / hello | 200 POST / hello | open"
    );
}

#[test]
fn nothing_is_due_while_a_request_is_being_answered() {
    let mut session = session();
    let input = session.pool.copy(get("").as_bytes());
    session.connection.handle_input(input, session.now);
    assert!(session.connection.poll_event().is_some());
    assert_eq!(session.connection.poll_deadline(), None);
    session
        .connection
        .handle_deadline(session.now + 1000 * SECOND);
    assert!(!session.connection.is_finished());
}

/// A peer that does not read its answers is not one that does not send its requests.
#[test]
fn nothing_is_due_while_a_request_waits_for_output_to_be_taken() {
    let mut session = session();
    let input = session.pool.copy(get("").repeat(2).as_bytes());
    session.connection.handle_input(input, session.now);
    assert!(session.connection.poll_event().is_some());
    let len = Limits::default().output_len_max;
    session.connection.send_head(
        StatusCode::OK,
        &Fields::new(),
        Length::Known(len as u64),
        b"",
    );
    session.connection.send_data(Buf::from(vec![0; len]));
    session.connection.send_end(session.now);
    assert!(session.connection.poll_event().is_none());
    assert_eq!(session.connection.poll_deadline(), None);
}

#[test]
fn a_head_that_waited_behind_an_answer_is_timed_from_the_end_of_the_answer() {
    let mut session = session();
    let input = session.pool.copy(format!("{}GET / HT", get("")).as_bytes());
    session.connection.handle_input(input, session.now);
    assert!(session.connection.poll_event().is_some());
    session.now += 60 * SECOND;
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), Length::Known(0), b"");
    session.connection.send_end(session.now);
    session.run();
    let deadline = session.now + 10 * SECOND;
    assert_eq!(session.connection.poll_deadline(), Some(deadline));
    session.wait(10 * SECOND);
    assert!(session.text().contains("408 Request Timeout"));
}

#[test]
fn a_deadline_that_has_not_come_does_nothing() {
    let mut session = session();
    session.wait(9 * SECOND);
    session.feed(get(""));
    assert_eq!(session.brief(), "200 GET / | open");
}

#[test]
fn a_finished_connection_waits_for_nothing() {
    let mut session = session();
    session.feed("x\r\n");
    assert_eq!(session.connection.poll_deadline(), None);
}

#[test]
fn a_timeout_without_end_is_none() {
    let mut session = Session::new(&Limits {
        idle_timeout: Duration::MAX,
        ..Limits::default()
    });
    assert_eq!(session.connection.poll_deadline(), None);
    session.wait(1000 * SECOND);
    assert_eq!(session.brief(), "open");
}
