//! Section 5, Field Syntax.

use crate::harness::{exchange, get};

const REFUSED: &str = "400 malformed field line | closed";

/// 5: a field line is a token, a colon and a value.
#[test]
fn a_field_name_is_a_token() {
    for line in [
        "X(A: b",
        "X\0A: b",
        "X\u{1}A: b",
        "X{A}: b",
        "X,A: b",
        "X/A: b",
        "\"X\": b",
        ": b",
        ":",
        "X",
        "X A: b",
        "X@A: b",
        "X\u{7f}: b",
        "X\u{e9}: b",
        "=: b",
        "[X]: b",
    ] {
        assert_eq!(exchange(get(&format!("{line}\r\n"))), REFUSED, "{line:?}");
    }
    assert_eq!(
        exchange(get("!#$%&'*+-.^_`|~09azAZ: b\r\n")),
        "200 GET / | open"
    );
}

/// 5.1: white space between name and colon MUST be answered with 400.
#[test]
fn white_space_before_the_colon_is_refused() {
    for line in [
        "X : b",
        "X\t: b",
        "Content-Length : 5",
        "Transfer-Encoding : chunked",
        "Host : h",
        "X\u{b}: b",
    ] {
        assert_eq!(exchange(get(&format!("{line}\r\n"))), REFUSED, "{line:?}");
    }
}

/// 5.2: a server that receives obs-fold MUST answer 400 (or replace it by spaces).
#[test]
fn a_folded_line_is_refused() {
    for lines in [
        "X: b\r\n c\r\n",
        "X: b\r\n\tc\r\n",
        "X:\r\n b\r\n",
        "X: b\r\n \r\n",
        "X: b\r\n\t\r\n",
        "Content-Length:\r\n 5\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding: chunked,\r\n identity\r\n",
    ] {
        assert_eq!(exchange(get(lines)), REFUSED, "{lines:?}");
    }
    assert_eq!(exchange("GET / HTTP/1.1\r\nHost:\r\n h\r\n\r\n"), REFUSED);
}

/// RFC 9110 5.5: CR, LF and NUL are dangerous, and other controls are invalid.
#[test]
fn a_control_in_a_value_is_refused() {
    for control in (0..0x20)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        let request = get(&format!("X: a{}b\r\n", char::from(control)));
        assert_eq!(exchange(request), REFUSED, "{control}");
        let request = get(&format!("X: {}\r\n", char::from(control)));
        assert_eq!(exchange(request), REFUSED, "{control}");
    }
}

/// RFC 9110 5.5: obs-text is opaque data.
#[test]
fn values_may_be_empty_and_hold_tabs_and_obs_text() {
    for lines in [
        "X:\r\nY: \r\nZ: \t \r\n",
        "X: a\tb\r\n",
        "X:a\r\n",
        "X: a:b\r\n",
        "X: a\r\nX: b\r\n",
    ] {
        assert_eq!(exchange(get(lines)), "200 GET / | open", "{lines:?}");
    }
    let obs_text = b"GET / HTTP/1.1\r\nHost: h\r\nX: caf\xe9 \xff\x80\r\n\r\n";
    assert_eq!(exchange(obs_text), "200 GET / | open");
}

/// 5.1: the value is without the white space around it.
#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    let post = "POST / HTTP/1.1\r\nHost:\t h \t\r\ncOnTeNt-LeNgTh: \t 2 \t\r\n\r\nhi";
    assert_eq!(exchange(post), "200 POST / hi | open");
}
