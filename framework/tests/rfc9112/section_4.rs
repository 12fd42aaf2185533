//! Section 4, Status Line.

use std::rc::Rc;

use expect_test::expect;
use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Fields, FixedFields, HeaderValue, Length, Limits, StatusCode, header};
use sunstar::mem::Buf;

use crate::harness::Session;

fn answer(
    request: &str,
    status: StatusCode,
    fields: &Fields,
    length: Length,
    data: &str,
) -> String {
    let mut session = Session::new(&Limits::default());
    let input = session.pool.copy(request.as_bytes());
    session.connection.handle_input(input, session.now);
    session.connection.poll_event().expect("a request");
    session
        .connection
        .send_head(status, fields, length, b"Server: s\r\n");
    session.connection.send_data(Buf::from(data.to_owned()));
    session.connection.send_end(session.now);
    session.run();
    session.text()
        + if session.connection.is_finished() {
            "[closed]"
        } else {
            "[open]"
        }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// 4: `HTTP-version SP status-code SP [ reason-phrase ]`; the second SP MUST be there even when
/// the reason is not.
#[test]
fn a_status_line_has_version_code_and_reason() {
    for (status, line) in [
        (200, "HTTP/1.1 200 OK\r\n"),
        (404, "HTTP/1.1 404 Not Found\r\n"),
        (500, "HTTP/1.1 500 Internal Server Error\r\n"),
        (599, "HTTP/1.1 599 \r\n"),
        (999, "HTTP/1.1 999 \r\n"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let found = answer(GET, status, &Fields::new(), Length::Known(0), "");
        assert!(found.starts_with(line), "{found}");
    }
}

#[test]
fn an_answer_is_status_line_standing_block_fields_length_and_content() {
    let mut fields = Fields::new();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    fields.append(header::SET_COOKIE, HeaderValue::from_static("a=b"));
    fields.append(header::SET_COOKIE, HeaderValue::from_static("c=d"));
    let found = answer(GET, StatusCode::OK, &fields, Length::Known(5), "hello");
    expect![[r"
        HTTP/1.1 200 OK
        Server: s
        content-type: text/plain
        set-cookie: a=b
        set-cookie: c=d
        Content-Length: 5

        hello[open]"]]
    .assert_eq(&found.replace('\r', ""));
}

#[test]
fn what_a_handler_says_about_framing_is_left_out() {
    let mut fields = Fields::new();
    fields.append(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
    fields.append(header::TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
    fields.append(header::CONNECTION, HeaderValue::from_static("x-foo, CLOSE"));
    let found = answer(GET, StatusCode::OK, &fields, Length::Known(5), "hello");
    expect![[r"
        HTTP/1.1 200 OK
        Server: s
        Content-Length: 5
        Connection: close

        hello[closed]"]]
    .assert_eq(&found.replace('\r', ""));
}

/// 6.1 and RFC 9110 6.4.1: no content, and no framing fields, in 1xx and 204.
#[test]
fn no_content_has_no_framing() {
    let found = answer(
        GET,
        StatusCode::NO_CONTENT,
        &Fields::new(),
        Length::Known(2),
        "no",
    );
    assert_eq!(found, "HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n[open]");
    let found = answer(
        GET,
        StatusCode::NO_CONTENT,
        &Fields::new(),
        Length::Unknown,
        "no",
    );
    assert_eq!(found, "HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n[open]");
}

/// RFC 9110 8.6 and 15.4.5: a 304 has no content; its `Content-Length` is that of what a 200 would
/// have had, or absent.
#[test]
fn not_modified_has_no_content() {
    let mut fields = Fields::new();
    let found = answer(
        GET,
        StatusCode::NOT_MODIFIED,
        &fields,
        Length::Known(2),
        "no",
    );
    assert_eq!(
        found,
        "HTTP/1.1 304 Not Modified\r\nServer: s\r\n\r\n[open]"
    );
    fields.append(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
    let found = answer(GET, StatusCode::NOT_MODIFIED, &fields, Length::Known(0), "");
    assert_eq!(
        found,
        "HTTP/1.1 304 Not Modified\r\nServer: s\r\ncontent-length: 7\r\n\r\n[open]"
    );
}

/// RFC 9110 15.3.6: a server MUST NOT generate content in a 205.
#[test]
fn reset_content_is_empty() {
    let found = answer(
        GET,
        StatusCode::RESET_CONTENT,
        &Fields::new(),
        Length::Known(2),
        "no",
    );
    assert_eq!(
        found,
        "HTTP/1.1 205 Reset Content\r\nServer: s\r\nContent-Length: 0\r\n\r\n[open]"
    );
}

/// RFC 9110 9.3.2: the answer to HEAD has the head of that to GET and no content.
#[test]
fn the_answer_to_head_has_a_length_and_no_content() {
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    let found = answer(
        head,
        StatusCode::OK,
        &Fields::new(),
        Length::Known(5),
        "hello",
    );
    assert_eq!(
        found,
        "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 5\r\n\r\n[open]"
    );
    let found = answer(
        head,
        StatusCode::OK,
        &Fields::new(),
        Length::Unknown,
        "hello",
    );
    assert_eq!(
        found,
        "HTTP/1.1 200 OK\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n[open]"
    );
    let mut fields = Fields::new();
    fields.append(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
    let found = answer(head, StatusCode::OK, &fields, Length::Known(0), "");
    assert_eq!(
        found,
        "HTTP/1.1 200 OK\r\nServer: s\r\ncontent-length: 7\r\n\r\n[open]"
    );
}

/// RFC 9110 9.3.6: no content and no framing in a 2xx answer to CONNECT.
#[test]
fn success_of_a_connect_has_no_framing() {
    let connect = "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n";
    let found = answer(
        connect,
        StatusCode::OK,
        &Fields::new(),
        Length::Known(5),
        "hello",
    );
    assert_eq!(
        found,
        "HTTP/1.1 200 OK\r\nServer: s\r\nConnection: close\r\n\r\n[closed]"
    );
    let found = answer(
        connect,
        StatusCode::NOT_FOUND,
        &Fields::new(),
        Length::Known(2),
        "no",
    );
    assert!(found.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\nno[closed]"));
}

#[test]
fn the_standard_error_answer_says_why_and_closes() {
    let mut session = Session::new(&Limits::default());
    session.feed("GET / HTTP/1.1\r\n\r\n");
    expect![[r"
        HTTP/1.1 400 Bad Request
        content-type: text/plain
        Content-Length: 35
        Connection: close

        missing, repeated or malformed Host"]]
    .assert_eq(&session.text().replace('\r', ""));
    assert!(session.connection.is_finished());
}

/// What a server sends behind one request after another, with a memo or without.
fn whole_answers(memo: Option<Rc<Memo>>) -> String {
    const TEXT: FixedFields = FixedFields::new("content-type: text/plain\r\n");
    let mut session = Session::new(&Limits::default());
    let pool = session.pool.clone();
    let limits = Rc::new(Limits::default());
    let connection = Connection::new(pool, limits, session.now);
    session.connection = match memo {
        Some(memo) => connection.with_memo(memo),
        None => connection,
    };
    let mut fixed = Fields::new();
    fixed.append_fixed(TEXT);
    let mut made = fixed.clone();
    made.append(header::ETAG, HeaderValue::from_static("\"e\""));
    let none = Fields::new();
    let requests = [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for second in 0..3 {
        let standing = format!("Date: Fri, 20 Nov 2026 12:00:0{second} GMT\r\n");
        for turn in 0..60 {
            let fields = [&fixed, &fixed, &fixed, &made, &none][turn % 5];
            let request = requests[usize::from(turn % 7 == 6)];
            session
                .connection
                .handle_input(session.pool.copy(request.as_bytes()), session.now);
            session.connection.poll_event().expect("a request");
            assert!(session.connection.poll_whole().is_some());
            let content = Buf::from(["hello", "other"][turn % 2]);
            let (status, lines) = (StatusCode::OK, standing.as_bytes());
            session
                .connection
                .send_whole(status, fields, content, lines, session.now);
            session.run();
        }
    }
    session.text()
}

/// Heads of answers that come again are repeated, and nobody can tell.
#[test]
fn an_answer_that_comes_again_has_the_same_bytes() {
    let plain = whole_answers(None);
    assert_eq!(plain.matches("HTTP/1.1 200 OK\r\nDate: ").count(), 180);
    let memo = Rc::new(Memo::new());
    for _ in 0..3 {
        assert_eq!(whole_answers(Some(Rc::clone(&memo))), plain);
    }
}
