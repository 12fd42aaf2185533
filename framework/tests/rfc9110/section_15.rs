//! Section 15, Status Codes: interim answers.

use sunstar::http::{Event, Fields, HeaderValue, Length, Limits, StatusCode, header};

use crate::harness::{Session, get};

fn asked(request: &str) -> Session {
    let mut session = Session::new(&Limits::default());
    let input = session.pool.copy(request.as_bytes());
    session.connection.handle_input(input, session.now);
    assert!(matches!(
        session.connection.poll_event(),
        Some(Event::Request(_))
    ));
    session
}

/// Sends early hints and then the answer.
fn hint_and_answer(session: &mut Session) {
    let mut hints = Fields::new();
    hints.append(header::LINK, HeaderValue::from_static("</a.css>"));
    let none = Length::Known(0);
    session
        .connection
        .send_head(StatusCode::EARLY_HINTS, &hints, none, b"Server: s\r\n");
    session
        .connection
        .send_head(StatusCode::OK, &Fields::new(), none, b"Server: s\r\n");
    session.connection.send_end(session.now);
    session.run();
}

/// 15.2: an interim answer comes before the final one and has no content.
#[test]
fn an_interim_answer_comes_before_the_final_one() {
    let mut session = asked(&get(""));
    hint_and_answer(&mut session);
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(session.text(), interim.to_owned() + last);
    assert!(session.connection.is_idle());
}

/// 15.2: a server MUST NOT send a 1xx to an HTTP/1.0 client.
#[test]
fn http_1_0_gets_no_interim_answer() {
    let mut session = asked("GET / HTTP/1.0\r\n\r\n");
    hint_and_answer(&mut session);
    assert!(
        session.text().starts_with("HTTP/1.1 200 OK\r\n"),
        "{}",
        session.text()
    );
}
