//! Every known way to make two readers of one connection disagree about where a request ends:
//! each is refused with 400 (or 501, 505) and the connection closed, and what hides behind is not
//! served.
//!
//! Each row goes through the protocol whole, byte by byte and cut in two at every place.

#[path = "rfc9112/harness.rs"]
#[expect(
    dead_code,
    reason = "the harness of another test, of which this one needs a part"
)]
mod harness;

use harness::exchange;

/// What hides behind the request.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

/// Asserts that a request whose lines behind `Host` are `lines`, and `content`, is refused.
fn refused(status: &str, lines: &str, content: &str) {
    let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n{content}{HIDDEN}");
    let answers = exchange(&request);
    let is_one = answers.matches(" | ").count() == 1 && answers.ends_with(" | closed");
    let is_refused = answers.starts_with(status) && !answers.contains("hidden");
    assert!(
        is_one && is_refused,
        "{}: {answers}",
        request.escape_debug()
    );
}

#[test]
fn two_lengths_are_refused() {
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "content-length: 5\r\nTRANSFER-ENCODING: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: ,5\r\n",
    ] {
        refused("400", lines, "0\r\n\r\n");
    }
}

#[test]
fn a_length_that_is_no_number_is_refused() {
    for length in [
        "",
        " ",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5 5",
        "5;",
        "5.0",
        "1e1",
        "0b1",
        "5_0",
        "٥",
        "\"5\"",
        "18446744073709551616",
        "99999999999999999999999",
        "five",
        "5\u{b}",
        "5\u{c}",
    ] {
        refused("400", &format!("Content-Length: {length}\r\n"), "hello");
    }
}

#[test]
fn a_coding_that_is_not_just_chunked_is_refused() {
    for (status, coding) in [
        ("400", ""),
        ("400", "chunked, chunked"),
        ("400", "chunked, identity"),
        ("400", "chunked;a=b"),
        ("400", "\"chunked\""),
        ("400", "chunked\u{b}"),
        ("400", "\u{b}chunked"),
        ("400", "chunked\u{0}"),
        ("400", "chun ked"),
        ("501", "xchunked"),
        ("501", "identity"),
        ("501", "gzip, chunked"),
        ("501", "identity, chunked"),
        ("501", "chunke"),
    ] {
        refused(
            status,
            &format!("Transfer-Encoding: {coding}\r\n"),
            "0\r\n\r\n",
        );
    }
    refused(
        "400",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "0\r\n\r\n",
    );
}

#[test]
fn a_field_name_that_only_looks_like_one_is_refused() {
    for name in [
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        " Transfer-Encoding",
        "\tTransfer-Encoding",
        "Transfer-Encoding\u{0}",
        "Transfer-Encoding\u{b}",
        "Transfer Encoding",
        "Transfer-Encoding:",
        "\u{feff}Transfer-Encoding",
        "Transfer-Encoding\r",
        "(Transfer-Encoding)",
        "",
    ] {
        let line = format!("{name}: chunked\r\n");
        if name.ends_with(':') {
            // The value begins with a colon, so the coding is none.
            refused("400", &line, "0\r\n\r\n");
        } else {
            refused("400", &format!("Content-Length: 5\r\n{line}"), "0\r\n\r\n");
        }
    }
    refused("400", "Content-Length : 5\r\n", "hello");
    refused("400", "Content-Length\r\n", "hello");
}

#[test]
fn a_line_that_does_not_end_in_crlf_is_refused() {
    for lines in [
        "A: b\nTransfer-Encoding: chunked\r\n",
        "A: b\rTransfer-Encoding: chunked\r\n",
        "A: b\n\r\n",
        "A: b\r\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "A: b\r\n Transfer-Encoding: chunked\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\u{0}\r\n",
    ] {
        refused("400", lines, "0\r\n\r\n");
    }
    for head in [
        "POST / HTTP/1.1\nHost: h\n\n",
        "POST / HTTP/1.1\r\nHost: h\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\n\n",
        "POST / HTTP/1.1\rHost: h\r\n\r\n",
    ] {
        let answers = exchange(format!("{head}{HIDDEN}"));
        assert!(
            answers.starts_with("400"),
            "{}: {answers}",
            head.escape_debug()
        );
        assert!(
            answers.ends_with("closed") && !answers.contains("hidden"),
            "{answers}"
        );
    }
}

#[test]
fn a_chunk_that_two_could_read_differently_is_refused() {
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\t5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\u{0}\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFF5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
    ] {
        refused("400", "Transfer-Encoding: chunked\r\n", chunks);
    }
}

#[test]
fn an_old_version_has_no_chunks() {
    for version in [
        "HTTP/1.0",
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/1.1 ",
        "http/1.1",
        "HTTP/1",
    ] {
        let head = format!("POST / {version}\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answers = exchange(format!("{head}0\r\n\r\n{HIDDEN}"));
        assert!(
            !answers.starts_with('2') && answers.ends_with("closed"),
            "{version}: {answers}"
        );
        assert!(!answers.contains("hidden"), "{version}: {answers}");
    }
}

#[test]
fn what_hides_in_content_is_content() {
    let len = HIDDEN.len();
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT"] {
        let sized =
            format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n{HIDDEN}");
        let answers = exchange(sized);
        assert_eq!(answers.matches(" | ").count(), 1, "{method}: {answers}");
        let chunked = format!(
            "{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
             {len:x}\r\n{HIDDEN}\r\n0\r\n\r\n"
        );
        let answers = exchange(chunked);
        assert_eq!(answers.matches(" | ").count(), 1, "{method}: {answers}");
    }
}

#[test]
fn two_hosts_are_refused() {
    for lines in ["Host: a\r\n", "host: h\r\n", "Host : a\r\n"] {
        refused("400", lines, "");
    }
    for host in ["", "a b", "a/b", "a@b", "a:b", "a:80:80", "[::1", "a\u{0}"] {
        let answers = exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n{HIDDEN}"));
        let is_refused = answers.starts_with("400") && !answers.contains("hidden");
        // An empty host is one: it means that the target has no authority.
        assert!(is_refused || host.is_empty(), "{host:?}: {answers}");
    }
}

#[test]
fn nothing_follows_a_request_that_closes_or_connects() {
    for head in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
        "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n",
    ] {
        let answers = exchange(format!("{head}{HIDDEN}"));
        assert_eq!(answers.matches(" | ").count(), 1, "{head}: {answers}");
        assert!(
            answers.ends_with("closed") && !answers.contains("hidden"),
            "{answers}"
        );
    }
}
