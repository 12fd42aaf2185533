//! Section 9, Connection Management.

use crate::harness::{Session, exchange, exchange_and_end, get};
use sunstar::http::Limits;

fn http_1_0(lines: &str) -> String {
    format!("GET / HTTP/1.0\r\n{lines}\r\n")
}

/// 9.3: HTTP/1.1 connections persist unless `close` is there.
#[test]
fn a_connection_persists() {
    assert_eq!(
        exchange(get("").repeat(3)),
        "200 GET / | 200 GET / | 200 GET / | open"
    );
}

/// 9.3 and 9.6: `close` is case-insensitive and may stand anywhere among the options; a server MUST
/// NOT answer what comes behind a request with it.
#[test]
fn nothing_is_answered_behind_a_request_that_closes() {
    for lines in [
        "Connection: close\r\n",
        "connection: CLOSE\r\n",
        "Connection: x-foo , close\r\n",
        "Connection: keep-alive\r\nConnection: close\r\n",
        "Connection: keep-alive, close\r\n",
        "Connection: close, keep-alive\r\n",
        "Connection:close,\r\n",
    ] {
        assert_eq!(
            exchange(get(lines) + &get("")),
            "200 GET / | closed",
            "{lines:?}"
        );
    }
    let post = "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(
        exchange(post.to_owned() + &get("")),
        "200 POST / hi | closed"
    );
}

#[test]
fn other_options_do_not_close() {
    for lines in [
        "Connection: keep-alive\r\n",
        "Connection: closed\r\n",
        "Connection: x-close\r\n",
        "Connection:\r\n",
        "Connection: host, x\r\n",
        "Connection: \"close\"\r\n",
        "Connection: Upgrade\r\nUpgrade: foo/7\r\n",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Proxy-Connection: close\r\n",
        "Keep-Alive: timeout=5\r\n",
    ] {
        assert_eq!(
            exchange(get(lines) + &get("")),
            "200 GET / | 200 GET / | open",
            "{lines:?}"
        );
    }
}

/// 9.3: an HTTP/1.0 connection persists only with `keep-alive`.
#[test]
fn http_1_0_closes_unless_it_is_kept_alive() {
    assert_eq!(exchange(http_1_0("") + &http_1_0("")), "200 GET / | closed");
    let kept = http_1_0("Connection: Keep-Alive\r\n");
    assert_eq!(
        exchange(kept.clone() + &http_1_0("")),
        "200 GET / | 200 GET / | closed"
    );
    assert_eq!(
        exchange(http_1_0("Connection: keep-alive, close\r\n")),
        "200 GET / | closed"
    );
}

/// 9.6: a server that will close SHOULD send `close`; 9.3: what is kept alive for HTTP/1.0 must be
/// said.
#[test]
fn an_answer_says_whether_the_connection_stays() {
    let answer = |request: &str| {
        let mut session = Session::new(&Limits::default());
        session.feed(request);
        session.text()
    };
    assert!(!answer(&get("")).contains("Connection"));
    assert!(answer(&get("Connection: close\r\n")).contains("\r\nConnection: close\r\n"));
    assert!(answer(&http_1_0("")).contains("\r\nConnection: close\r\n"));
    let kept = http_1_0("Connection: keep-alive\r\n");
    assert!(answer(&kept).contains("\r\nConnection: keep-alive\r\n"));
    assert!(answer("GET / HTTP/1.1\r\n\r\n").contains("\r\nConnection: close\r\n"));
}

/// 9.3.2: a server MUST send its answers in the order of the requests.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let input = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n\
                 POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
                 POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\n\r\n\
                 HEAD /4 HTTP/1.1\r\nHost: h\r\n\r\n\
                 GET /5 HTTP/1.1\r\nHost: h\r\n\r\n";
    let wanted = "200 GET /1 | 200 POST /2 hello | 200 POST /3 hello | 200 | 200 GET /5 | open";
    assert_eq!(exchange(input), wanted);
    let hundred = exchange(get("").repeat(100));
    assert_eq!(hundred, "200 GET / | ".repeat(100) + "open");
}

/// 9.6: nothing is processed behind an error.
#[test]
fn nothing_is_answered_behind_an_error() {
    for (request, status) in [
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "501"),
        ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505"),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", "417"),
    ] {
        let found = exchange(request.to_owned() + &get(""));
        assert!(
            found.starts_with(status) && found.ends_with(" | closed"),
            "{found}"
        );
        assert_eq!(found.matches('|').count(), 1, "{found}");
    }
}

/// 9.6: a peer may end its side and still wait for answers.
#[test]
fn a_peer_that_ended_gets_its_answers() {
    assert_eq!(
        exchange_and_end(get("").repeat(2)),
        "200 GET / | 200 GET / | closed"
    );
}
