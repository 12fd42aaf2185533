//! Section 7, Transfer Codings.

use crate::harness::{chunked, exchange, get};

fn accepted(chunks: &str, content: &str) {
    let request = chunked(chunks) + &get("");
    let wanted = format!("200 POST / {content}").trim_end().to_owned();
    assert_eq!(
        exchange(request),
        wanted + " | 200 GET / | open",
        "{chunks:?}"
    );
}

fn refused(chunks: &str) {
    let request = chunked(chunks) + &get("");
    assert_eq!(
        exchange(request),
        "400 malformed chunk | closed",
        "{chunks:?}"
    );
}

/// 7.1: a recipient MUST be able to parse and decode chunks.
#[test]
fn chunks_are_put_together() {
    accepted("0\r\n\r\n", "");
    accepted("5\r\nhello\r\n0\r\n\r\n", "hello");
    accepted(
        "5\r\nhello\r\n1\r\n,\r\n6\r\n world\r\n0\r\n\r\n",
        "hello, world",
    );
    accepted(
        "a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n",
        "01234567890123456789",
    );
    accepted("10\r\n0123456789abcdef\r\n0\r\n\r\n", "0123456789abcdef");
    accepted("0000005\r\nhello\r\n0\r\n\r\n", "hello");
}

/// 7.1: sizes are hexadecimal digits; a recipient MUST anticipate large ones.
#[test]
fn a_malformed_size_is_refused() {
    for size in [
        "",
        "x",
        "0x5",
        "+5",
        "-5",
        " 5",
        "5 ",
        "5\t",
        "5,5",
        "0_5",
        "five",
        "5.",
        "5h",
        "\u{ff15}",
        "\0",
        "10000000000000005",
        "FFFFFFFFFFFFFFFFF",
        "5 5",
    ] {
        refused(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
    }
}

#[test]
fn a_size_over_the_limit_is_too_long() {
    for size in [
        "FFFFFFFFFFFFFFFF",
        "FFFFFFFFFFFFFFFE",
        "100001",
        "7FFFFFFFFFFFFFFF",
    ] {
        let request = chunked(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
        assert_eq!(
            exchange(request),
            "413 request content too long | closed",
            "{size}"
        );
    }
}

#[test]
fn every_line_of_a_chunk_ends_in_crlf() {
    for chunks in [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\rX\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        refused(chunks);
    }
    let request = chunked("5\r\nhello\r\n0\r\n\n") + &get("");
    assert_eq!(exchange(request), "400 line not ended by CRLF | closed");
}

/// 7.1.1: a recipient MUST ignore extensions that it does not know.
#[test]
fn extensions_are_ignored() {
    for extension in [
        ";a",
        ";a=b",
        ";a=b;c=d",
        " ; a = b",
        "\t;\ta",
        ";a=\"b c;\\\"\\\\\"",
        ";a=\"\"",
        ";a=\"\u{e9}\"",
    ] {
        accepted(
            &format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n"),
            "hello",
        );
    }
}

#[test]
fn a_malformed_extension_is_refused() {
    for extension in [
        ";",
        ";;a",
        ";=b",
        ";a=",
        ";a b",
        ";a=b c",
        ";a ",
        ";a=\"b",
        ";a=\"b\"c",
        ";a\0",
        ";a\u{e9}",
        ";a\nb",
        ";a=\"\nb\"",
        ";a\n",
        ";(",
        ";a=(",
        " a",
        ";a=\"\0\"",
    ] {
        refused(&format!("5{extension}\r\nhello\r\n0\r\n\r\n"));
    }
}

/// 7.1.1: a server ought to limit the length of extensions.
#[test]
fn extensions_that_outweigh_their_data_are_refused() {
    let one = format!("1;{}\r\nx\r\n", "a".repeat(200));
    refused(&(one.repeat(500) + "0\r\n\r\n"));
    refused(&format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20_000)));
    refused(&format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(100_000)));
}

/// 7.1.2: trailer fields MUST NOT be merged into the head unless their definition permits it.
#[test]
fn trailer_fields_are_read_and_kept_apart() {
    accepted("5\r\nhello\r\n0\r\nX: y\r\n\r\n", "hello");
    accepted(
        "5\r\nhello\r\n0\r\nContent-Length: 3\r\nTransfer-Encoding: x\r\nHost: i\r\n\r\n",
        "hello",
    );
    accepted("0\r\nConnection: close\r\n\r\n", "");
}

#[test]
fn a_malformed_trailer_is_refused() {
    for (lines, reason) in [
        ("X : y\r\n", "malformed field line"),
        (" X: y\r\n", "malformed field line"),
        ("X: y\r\n z\r\n", "malformed field line"),
        ("GET / HTTP/1.1\r\n", "malformed field line"),
        ("X: \0\r\n", "malformed field line"),
        ("X: y\n", "line not ended by CRLF"),
        ("\n", "line not ended by CRLF"),
    ] {
        let request = chunked(&format!("5\r\nhello\r\n0\r\n{lines}\r\n"));
        assert_eq!(
            exchange(request),
            format!("400 {reason} | closed"),
            "{lines:?}"
        );
    }
}

#[test]
fn a_trailer_section_is_bounded_like_a_head() {
    let many = |count| chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(count)));
    assert_eq!(exchange(many(100)), "200 POST / | open");
    assert_eq!(exchange(many(101)), "431 too many fields | closed");
    let long = chunked(&format!("0\r\nX: {}\r\n\r\n", "y".repeat(9000)));
    assert_eq!(exchange(long), "431 field line too long | closed");
    let lines = format!("X: {}\r\n", "y".repeat(8000)).repeat(3);
    let huge = chunked(&format!("0\r\n{lines}\r\n"));
    assert_eq!(exchange(huge), "431 field section too long | closed");
}

/// 7.1: what looks like a request inside a chunk is content.
#[test]
fn a_chunk_is_never_a_request() {
    accepted(
        "23\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n\r\n0\r\n\r\n",
        "GET /smuggled HTTP/1.1\r\nHost: h",
    );
}
