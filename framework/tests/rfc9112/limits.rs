//! Every limit, at its value and one over.

use sunstar::http::Limits;

use crate::harness::{chunked, exchange, exchange_within, get};

fn small() -> Limits {
    Limits {
        head_len_max: 200,
        field_count_max: 4,
        field_len_max: 60,
        target_len_max: 40,
        content_len_max: 10,
        ..Limits::default()
    }
}

fn target(limits: &Limits, len: usize) -> String {
    let target = format!("/{}", "a".repeat(len - 1));
    let found = exchange_within(limits, format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    found.replace(&target, "TARGET")
}

#[test]
fn a_target_has_a_longest() {
    let over = "414 request target too long | closed";
    assert_eq!(target(&small(), 40), "200 GET TARGET | open");
    assert_eq!(target(&small(), 41), over);
    assert_eq!(target(&small(), 5000), over);
    assert_eq!(target(&Limits::default(), 8192), "200 GET TARGET | open");
    assert_eq!(target(&Limits::default(), 8193), over);
    assert_eq!(target(&Limits::default(), 70_000), over);
    let query = format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", "a=b&".repeat(3000));
    assert_eq!(exchange(query), over);
}

/// Section 3: request lines of 8000 octets at least SHOULD be supported.
#[test]
fn a_request_line_of_8000_octets_is_supported() {
    assert_eq!(target(&Limits::default(), 8000), "200 GET TARGET | open");
}

#[test]
fn a_field_line_has_a_longest() {
    let over = "431 field line too long | closed";
    let line = |len: usize| get(&format!("X: {}\r\n", "y".repeat(len - 3)));
    assert_eq!(exchange_within(&small(), line(60)), "200 GET / | open");
    assert_eq!(exchange_within(&small(), line(61)), over);
    assert_eq!(exchange(line(8192)), "200 GET / | open");
    assert_eq!(exchange(line(8193)), over);
    assert_eq!(exchange(line(131_072)), over);
    assert_eq!(
        exchange(get(&format!("{}: y\r\n", "X".repeat(70_000)))),
        over
    );
    let folded = get(&format!("X: {}\r\n", " ".repeat(9000)));
    assert_eq!(exchange(folded), over);
}

#[test]
fn fields_have_a_highest_count() {
    let over = "431 too many fields | closed";
    let count = |count: usize| get(&"X: y\r\n".repeat(count - 1));
    assert_eq!(exchange_within(&small(), count(4)), "200 GET / | open");
    assert_eq!(exchange_within(&small(), count(5)), over);
    assert_eq!(exchange(count(100)), "200 GET / | open");
    assert_eq!(exchange(count(101)), over);
    assert_eq!(exchange(count(5000)), over);
}

#[test]
fn a_head_has_a_longest() {
    let over = "431 field section too long | closed";
    let head = |limits: &Limits, len: usize| {
        let line = |len: usize| format!("X: {}\r\n", "y".repeat(len - 5));
        let longest = limits.field_len_max + "\r\n".len();
        let room = len - get("").len();
        let lines = line(longest).repeat(room / longest) + &line(room % longest);
        assert_eq!(get(&lines).len(), len);
        exchange_within(limits, get(&lines))
    };
    assert_eq!(head(&small(), 200), "200 GET / | open");
    assert_eq!(head(&small(), 201), over);
    assert_eq!(head(&Limits::default(), 16_384), "200 GET / | open");
    assert_eq!(head(&Limits::default(), 16_385), over);
}

/// The empty lines before a head are not part of it.
#[test]
fn a_longest_head_may_follow_empty_lines() {
    let limits = Limits {
        head_len_max: get("").len(),
        ..Limits::default()
    };
    assert_eq!(
        exchange_within(&limits, format!("\r\n\r\n{}", get(""))),
        "200 GET / | open"
    );
}

#[test]
fn content_has_a_longest() {
    let over = "413 request content too long | closed";
    let sized = |len: u64, content: &str| {
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n");
        exchange_within(&small(), head + content)
    };
    assert_eq!(sized(10, "0123456789"), "200 POST / 0123456789 | open");
    assert_eq!(sized(11, "0123456789a"), over);
    assert_eq!(sized(u64::MAX, ""), over);
    let coded = |chunks: &str| exchange_within(&small(), chunked(chunks));
    assert_eq!(
        coded("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"),
        "200 POST / hellohello | open"
    );
    assert_eq!(coded("5\r\nhello\r\n6\r\nhello!\r\n0\r\n\r\n"), over);
    assert_eq!(coded("b\r\n"), over);
}

#[test]
fn chunk_headers_may_outweigh_their_data_by_so_much() {
    let limits = Limits {
        chunk_overhead_max: 64,
        ..Limits::default()
    };
    let coded = |len: usize| {
        let chunk = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(len));
        exchange_within(&limits, chunked(&chunk))
    };
    assert_eq!(coded(61), "200 POST / x | open");
    assert_eq!(coded(62), "400 malformed chunk | closed");
}

#[test]
#[should_panic(expected = "limit head_len_max is 65536: it must be 16 to 65535")]
fn a_head_cannot_be_allowed_to_be_longer_than_64_kib() {
    let limits = Limits {
        head_len_max: 65_536,
        ..Limits::default()
    };
    exchange_within(&limits, "");
}

#[test]
#[should_panic(expected = "limit field_count_max is 129: it must be 1 to 128")]
fn fields_cannot_be_allowed_to_be_more_than_128() {
    let limits = Limits {
        field_count_max: 129,
        ..Limits::default()
    };
    exchange_within(&limits, "");
}

#[test]
fn a_connection_may_send_so_many_requests_and_no_more() {
    let limits = Limits {
        request_count_max: 2,
        ..Limits::default()
    };
    assert_eq!(exchange_within(&limits, get("")), "200 GET / | open");
    let two = "200 GET / | 200 GET / | closed";
    assert_eq!(exchange_within(&limits, get("").repeat(2)), two);
    assert_eq!(exchange_within(&limits, get("").repeat(3)), two);
}

#[test]
#[should_panic(expected = "limit request_count_max is 0: it must be 1 to")]
fn a_connection_cannot_be_allowed_no_request() {
    let limits = Limits {
        request_count_max: 0,
        ..Limits::default()
    };
    exchange_within(&limits, "");
}
