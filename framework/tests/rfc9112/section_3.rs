//! Section 3, Request Line.

use crate::harness::{exchange, exchange_and_end};

/// 3: the parts are separated by single spaces; a recipient of anything else SHOULD answer 400.
#[test]
fn the_parts_of_a_request_line_are_separated_by_one_space() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET\u{b}/ HTTP/1.1",
        "GET /\u{c}HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET / HTTP/1.1\t",
        "GET",
        "GET HTTP/1.1",
        "/ HTTP/1.1",
    ] {
        let request = format!("{line}\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            "400 malformed request line | closed",
            "{line:?}"
        );
    }
}

/// HTTP/0.9 had no version; there is no such request any more.
#[test]
fn a_request_line_without_a_version_is_refused() {
    let refused = "400 malformed request line | closed";
    assert_eq!(exchange("GET /\r\n"), refused);
    assert_eq!(exchange("GET /\r\nHost: h\r\n\r\n"), refused);
}

/// 3.1: the method is a token, and case-sensitive.
#[test]
fn a_method_that_is_no_token_is_refused() {
    for method in [
        "GE(T", "GE/T", "G\u{e9}T", "GE\0T", "GE,T", "{GET}", "GET:", "\"GET\"",
    ] {
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            "400 malformed request line | closed",
            "{method:?}"
        );
    }
}

/// 3: a server that receives a method longer than any it implements SHOULD answer 501.
#[test]
fn a_method_longer_than_any_is_unknown() {
    let request = format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(20_000));
    assert_eq!(exchange(request), "501 unknown method | closed");
}

/// 3.2: no white space is allowed in the target, nor any other byte that no URI has.
#[test]
fn a_target_with_a_byte_that_no_uri_has_is_refused() {
    for target in [
        "/a\0b",
        "/a#frag",
        "/a\u{1}",
        "/a\u{7f}",
        "/caf\u{e9}",
        "/a\tb",
        "/\"",
        "/<x>",
        "/a\\b",
        "/?#",
        "/%",
        "/%4",
        "/%zz",
        "/?%g0",
        "/{a}",
        "/^",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            "400 malformed request target | closed",
            "{target:?}"
        );
    }
    let request = b"GET /\xff\xfe HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(exchange(request), "400 malformed request target | closed");
}

/// 3.2.1: the origin-form.
#[test]
fn the_origin_form_is_accepted_as_it_was_sent() {
    for target in [
        "/",
        "/a/b.c",
        "/a?b=c&d",
        "/?",
        "/a%2fb",
        "/%2e%2e/%2E",
        "//x",
        "/a;b=c",
        "/a:b@c!$&'()*+,;=~",
        "/a?b[]={x}|^`",
        "/../..",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            format!("200 GET {target} | open"),
            "{target:?}"
        );
    }
}

/// 3.2.2: a server MUST accept the absolute-form.
#[test]
fn the_absolute_form_is_accepted() {
    for target in [
        "http://h/",
        "http://h",
        "HTTP://H/",
        "http://h:80/a?b",
        "https://h/",
        "http://other/x",
        "http://[::1]:8080/",
        "http://h?q",
        "http://h:/",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            format!("200 GET {target} | open"),
            "{target:?}"
        );
    }
}

/// RFC 9110 4.2.1 and 4.2.4: an empty host is invalid, and user information SHOULD be an error.
#[test]
fn an_absolute_form_that_is_no_http_uri_is_refused() {
    for target in [
        "http:///x",
        "http://",
        "http://:80/",
        "http://u@h/",
        "http://u:p@h/",
        "ftp://h/x",
        "http:/h/x",
        "http:h",
        "://h/",
        "ws://h/",
        "http://h/#f",
        "http://h\\x/",
        "http://[zz]/",
        "http://h:x/",
        "a",
        "h:80",
        "javascript:alert",
        "http//h",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            exchange(request),
            "400 malformed request target | closed",
            "{target:?}"
        );
    }
}

/// 3.2.3: the authority-form is for CONNECT only, and CONNECT has no other.
#[test]
fn the_authority_form_belongs_to_connect() {
    let connect = |target| exchange(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    // What is behind a CONNECT may be meant for a tunnel, so its answer is the last.
    assert_eq!(connect("h:443"), "200 | closed");
    for target in [
        "/x",
        "h",
        "h:",
        ":443",
        "http://h:443/",
        "*",
        "u@h:443",
        "h:443/x",
        "h:99999",
    ] {
        assert_eq!(
            connect(target),
            "400 malformed request target | closed",
            "{target:?}"
        );
    }
}

/// 3.2.4: the asterisk-form is for OPTIONS only.
#[test]
fn the_asterisk_form_belongs_to_options() {
    let ask = |method| exchange(format!("{method} * HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(ask("OPTIONS"), "200 OPTIONS * | open");
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "TRACE"] {
        let found = ask(method);
        let reason = if method == "HEAD" {
            "400"
        } else {
            "400 malformed request target"
        };
        assert_eq!(found, format!("{reason} | closed"), "{method}");
    }
    let options = "OPTIONS *x HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(exchange(options), "400 malformed request target | closed");
}

/// 3.2: an HTTP/1.1 request without `Host`, with two, or with one that is invalid MUST be answered
/// with 400; so is any request with two.
#[test]
fn a_request_has_exactly_one_good_host() {
    let refused = "400 missing, repeated or malformed Host | closed";
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nhOST: i\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nHost: i\r\n\r\n",
        "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        assert_eq!(exchange(request), refused, "{request:?}");
    }
    for host in [
        "a b",
        "h/evil",
        "h\\x",
        "[zz]",
        "\"h\"",
        "u@h",
        "h:8a",
        "h:80:80",
        "[::1",
        "h#f",
        "h?q",
        "caf\u{e9}",
        "h:65536",
        "<h>",
        "h, i j",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(exchange(request), refused, "{host:?}");
    }
    for host in [
        "h",
        "h:",
        "h:8080",
        "[::1]:8080",
        "127.0.0.1",
        "a,b",
        "",
        "H.example.",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(exchange(request), "200 GET / | open", "{host:?}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    assert_eq!(exchange("GET / HTTP/1.0\r\n\r\n"), "200 GET / | closed");
}

#[test]
fn a_head_request_that_is_refused_gets_no_content() {
    assert_eq!(exchange("HEAD / HTTP/1.1\r\n\r\n"), "400 | closed");
    assert_eq!(
        exchange("HEAD /# HTTP/1.1\r\nHost: h\r\n\r\n"),
        "400 | closed"
    );
    assert_eq!(exchange("\r\nHEAD / HTTP/2.0\r\n\r\n"), "505 | closed");
    assert_eq!(exchange_and_end("HEAD / HTTP/1.1\r\nHo"), "400 | closed");
}
