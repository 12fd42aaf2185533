//! Section 2, Conformance.

use crate::harness::{chunked, exchange};

fn ask(version: &str) -> String {
    exchange(format!("GET / {version}\r\nHost: h\r\n\r\n"))
}

/// 2.5: a minor version higher than ours is processed as our highest.
#[test]
fn a_later_minor_version_is_answered() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        assert_eq!(ask(version), "200 GET / | open", "{version}");
    }
    let chunked = chunked("5\r\nhello\r\n0\r\n\r\n").replace("1.1", "1.9");
    assert_eq!(exchange(chunked), "200 POST / hello | open");
}

/// 15.6.6: a major version that we do not speak is answered with 505.
#[test]
fn another_major_version_is_not_supported() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9", "HTTP/2.1"] {
        assert_eq!(
            ask(version),
            "505 unsupported HTTP version | closed",
            "{version}"
        );
    }
}

/// RFC 9113 3.4: the preface of HTTP/2, to a server that speaks only HTTP/1.1.
#[test]
fn the_preface_of_http_2_is_not_supported() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(exchange(preface), "505 unsupported HTTP version | closed");
}
