//! Section 6, Message Body.

use crate::harness::{chunked, exchange, exchange_and_end, get};

fn post(lines: &str, content: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n{content}")
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";

/// 6: content is there if `Content-Length` or `Transfer-Encoding` says so, whatever the method.
#[test]
fn any_method_may_have_content() {
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "QUERY", "TRACE",
    ] {
        let request =
            format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\n{SMUGGLED:.35}");
        let found = exchange(&request);
        assert!(
            found.starts_with(&format!("200 {method} / GET /smuggled")),
            "{found}"
        );
        assert!(
            found.ends_with("| open") && !found.contains("200 GET /smuggled"),
            "{found}"
        );
    }
    let head = format!(
        "HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello{}",
        get("")
    );
    assert_eq!(exchange(head), "200 | 200 GET / | open");
}

#[test]
fn content_is_as_long_as_said() {
    assert_eq!(
        exchange(post("Content-Length: 5\r\n", "hello")),
        "200 POST / hello | open"
    );
    assert_eq!(
        exchange(post("Content-Length: 0\r\n", "")),
        "200 POST / | open"
    );
    let zeros = post("Content-Length: 0000000000000000000000005\r\n", "hello");
    assert_eq!(exchange(zeros), "200 POST / hello | open");
    let more = post("Content-Length: 5\r\n", "hello") + &get("");
    assert_eq!(exchange(more), "200 POST / hello | 200 GET / | open");
}

/// 6.3: without either field the content is empty.
#[test]
fn nothing_said_means_no_content() {
    assert_eq!(
        exchange(post("", SMUGGLED)),
        "200 POST / | 200 GET /smuggled | open"
    );
}

/// 6.3: an invalid `Content-Length` MUST be answered with 400 and the connection closed.
#[test]
fn a_malformed_content_length_is_refused() {
    let refused = "400 repeated or malformed Content-Length | closed";
    for value in [
        "+5",
        "-5",
        "-0",
        "0x5",
        "5e0",
        "5 5",
        "5x",
        "5;q=1",
        "5,",
        ",5",
        "5, 5",
        "5, 6",
        "",
        "five",
        "5.0",
        "0_5",
        "\"5\"",
        "\u{665}",
        "18446744073709551616",
        "18446744073709551621",
        "4294967296x",
        "99999999999999999999999999",
    ] {
        let request = post(&format!("Content-Length: {value}\r\n"), "hello") + SMUGGLED;
        assert_eq!(exchange(request), refused, "{value:?}");
    }
    let digits = format!("Content-Length: {}\r\n", "9".repeat(5000));
    assert_eq!(exchange(post(&digits, "hello")), refused);
}

/// 6.3: two different lengths MUST be refused; two equal ones may be.
#[test]
fn a_repeated_content_length_is_refused() {
    let refused = "400 repeated or malformed Content-Length | closed";
    for second in ["5", "6", "05", "0"] {
        let lines = format!("Content-Length: 5\r\nX: y\r\ncontent-length: {second}\r\n");
        assert_eq!(exchange(post(&lines, "hello!")), refused, "{second}");
    }
}

/// 6.1 and 11.2: both fields together ought to be handled as an error; close in any case.
#[test]
fn content_length_beside_transfer_encoding_is_refused() {
    let refused = "400 both Content-Length and Transfer-Encoding | closed";
    let content = format!("5\r\nhello\r\n0\r\n\r\n{SMUGGLED}");
    for lines in [
        "Content-Length: 15\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 15\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
    ] {
        assert_eq!(exchange(post(lines, &content)), refused, "{lines:?}");
    }
}

/// 6.1: coding names are case-insensitive.
#[test]
fn chunked_is_the_one_coding() {
    for lines in [
        "Transfer-Encoding: chunked\r\n",
        "TRANSFER-encoding: ChUnKeD\r\n",
        "Transfer-Encoding:chunked\r\n",
        "Transfer-Encoding: , chunked ,\r\n",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let request = post(lines, "5\r\nhello\r\n0\r\n\r\n");
        assert_eq!(exchange(request), "200 POST / hello | open", "{lines:?}");
    }
}

/// 6.1: a coding that is not understood SHOULD be answered with 501.
#[test]
fn an_unknown_coding_is_not_implemented() {
    for value in [
        "gzip",
        "foo",
        "foo, chunked",
        "xchunked",
        "chunkedx",
        "chunked.",
        "identity",
        "foo;a=b",
    ] {
        let request = post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n") + SMUGGLED;
        assert_eq!(
            exchange(request),
            "501 unknown transfer coding | closed",
            "{value:?}"
        );
    }
    let lines = "Transfer-encoding: cow\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(
        exchange(post(lines, "0\r\n\r\n")),
        "501 unknown transfer coding | closed"
    );
}

/// 6.3: if `chunked` is not the last coding the server MUST answer 400 and close; 7.1: `chunked`
/// MUST NOT be applied twice, and has no parameters.
#[test]
fn a_malformed_coding_is_refused() {
    let refused = "400 malformed or misplaced Transfer-Encoding | closed";
    for value in [
        "",
        ",",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "chunked;",
        "chunked;a",
        "\"chunked\"",
        "chunked chunked",
        "chunked\u{a0}",
        "chun\u{212a}ed",
        "[chunked]",
        "chunked, identity",
        "=chunked",
    ] {
        let request = post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n") + SMUGGLED;
        assert_eq!(exchange(request), refused, "{value:?}");
    }
    for second in ["chunked", "cow", "identity"] {
        let lines = format!("Transfer-Encoding: chunked\r\nTransfer-encoding: {second}\r\n");
        assert_eq!(exchange(post(&lines, "0\r\n\r\n")), refused, "{second}");
    }
    let request = post("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n");
    assert_eq!(exchange(request), "400 malformed field line | closed");
}

/// 6.1: `Transfer-Encoding` in HTTP/1.0 means faulty framing.
#[test]
fn http_1_0_has_no_transfer_coding() {
    for value in ["chunked", "foo", ""] {
        let request = format!(
            "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: {value}\r\n\r\n\
             0\r\n\r\n"
        );
        let refused = "400 malformed or misplaced Transfer-Encoding | closed";
        assert_eq!(exchange(request), refused, "{value:?}");
    }
}

/// RFC 9110 7.6.1: naming a framing field in `Connection` takes nothing away from it.
#[test]
fn connection_does_not_take_framing_away() {
    let sized = post(
        "Connection: content-length\r\nContent-Length: 5\r\n",
        "hello",
    );
    assert_eq!(exchange(sized), "200 POST / hello | open");
    let lines = "Connection: transfer-encoding, host\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(
        exchange(post(lines, "5\r\nhello\r\n0\r\n\r\n")),
        "200 POST / hello | open"
    );
}

/// 6.3 and 8: a request whose content is cut off is incomplete.
#[test]
fn content_that_is_cut_off_is_refused() {
    let refused = "400 message cut off | closed";
    assert_eq!(
        exchange_and_end(post("Content-Length: 6\r\n", "hello")),
        refused
    );
    for end in [
        "",
        "5",
        "5\r\n",
        "5\r\nhe",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "0\r\nX: y\r\n",
    ] {
        assert_eq!(exchange_and_end(chunked(end)), refused, "{end:?}");
    }
}
