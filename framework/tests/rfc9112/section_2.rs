//! Section 2, Message.

use crate::harness::{exchange, exchange_and_end, get};

/// 2.2: a server SHOULD ignore at least one empty line before the request line.
#[test]
fn empty_lines_before_a_request_line_are_ignored() {
    let request = get("");
    assert_eq!(exchange(format!("\r\n{request}")), "200 GET / | open");
    assert_eq!(exchange(format!("\r\n\r\n{request}")), "200 GET / | open");
    let between = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx\r\n{request}");
    assert_eq!(exchange(between), "200 POST / x | 200 GET / | open");
}

#[test]
fn more_than_two_empty_lines_are_refused() {
    let refused = "400 malformed request line | closed";
    assert_eq!(exchange(format!("\r\n\r\n\r\n{}", get(""))), refused);
    assert_eq!(exchange("\r\n".repeat(2000)), refused);
    // What stands behind them is not looked at, whether it is here or not: no HEAD is answered.
    let head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(exchange(format!("\r\n\r\n\r\n{head}")), refused);
}

#[test]
fn the_count_of_empty_lines_begins_anew_with_each_request() {
    let request = format!("\r\n\r\n{}", get(""));
    assert_eq!(exchange(request.repeat(2)), "200 GET / | 200 GET / | open");
}

#[test]
fn nothing_but_empty_lines_gets_no_answer() {
    assert_eq!(exchange_and_end("\r\n\r\n"), "closed");
    assert_eq!(exchange_and_end(""), "closed");
}

/// 2.2: a recipient MAY accept a bare LF as line end. We do not: another one may not.
#[test]
fn a_bare_lf_ends_no_line() {
    let refused = "400 line not ended by CRLF | closed";
    for request in [
        "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA:\nB: c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\n",
        "GET / HTTP/1.1\r\nHost: h\n\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(exchange(request), refused, "{request:?}");
    }
}

/// 2.2: a recipient of a bare CR MUST consider that element invalid (or replace it by SP).
#[test]
fn a_bare_cr_is_invalid_everywhere() {
    for (request, reason) in [
        (
            "GET /\rX HTTP/1.1\r\nHost: h\r\n\r\n",
            "malformed request target",
        ),
        (
            "GET / HTTP/1.1\rX: y\r\nHost: h\r\n\r\n",
            "malformed request line",
        ),
        (
            "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n",
            "malformed request line",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\r\n\r\n",
            "malformed field line",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\rC: d\r\n\r\n",
            "malformed field line",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nA\r: b\r\n\r\n",
            "malformed field line",
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n",
            "malformed field line",
        ),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nA: b\rContent-Length: 5\r\n\r\nhello",
            "malformed field line",
        ),
    ] {
        assert_eq!(
            exchange(request),
            format!("400 {reason} | closed"),
            "{request:?}"
        );
    }
}

/// 2.2: a recipient that receives white space between the request line and the first field MUST
/// reject the message or drop that line.
#[test]
fn white_space_before_the_first_field_is_refused() {
    for request in [
        "GET / HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n\tX: y\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\n \r\nHost: h\r\n\r\n",
    ] {
        assert_eq!(
            exchange(request),
            "400 malformed field line | closed",
            "{request:?}"
        );
    }
}

/// 2.2: what does not match the grammar SHOULD be answered with 400.
#[test]
fn what_is_not_http_is_refused_as_soon_as_a_line_is_there() {
    let refused = "400 malformed request line | closed";
    assert_eq!(exchange("SSH-2.0-OpenSSH_9.2\r\n"), refused);
    assert_eq!(exchange("\x01\x02\x03\x04 garbage\r\n\r\n"), refused);
    assert_eq!(exchange("EHLO example.org\r\n"), refused);
}

#[test]
fn what_is_not_http_and_ends_without_a_line_is_refused() {
    let hello = b"\x16\x03\x01\x00\x2e\x01\x00\x00\x2a\x03\x03\x11\x11\x11\x11";
    assert_eq!(exchange_and_end(hello), "400 message cut off | closed");
}

/// 2.3: `HTTP-version` is case-sensitive and has two digits.
#[test]
fn a_malformed_version_is_refused() {
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1,1",
        "HTTP 1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/1.x",
        "HTTP/\u{661}.1",
        "HTTP-1.1",
        "HTTPS/1.1",
        "HTTP/1.1x",
        "HTTP/-1.1",
        "XTTP/1.1",
        "",
        "1.1",
    ] {
        let request = format!("GET / {version}\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            "400 malformed request line | closed",
            "{version:?}"
        );
    }
}
