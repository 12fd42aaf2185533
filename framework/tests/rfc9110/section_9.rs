//! Section 9, Methods.

use crate::harness::{exchange, exchange_within};
use sunstar::http::Limits;

fn ask(method: &str) -> String {
    exchange(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"))
}

/// 9.1: all registered methods that the framework knows reach the handler.
#[test]
fn known_methods_are_requests() {
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY",
    ] {
        assert_eq!(ask(method), format!("200 {method} / | open"));
    }
    assert_eq!(ask("HEAD"), "200 | open");
}

/// 9.1: a method that is not recognised or not implemented SHOULD be answered with 501; methods are
/// case-sensitive.
#[test]
fn an_unknown_method_is_not_implemented() {
    for method in [
        "BREW",
        "get",
        "Get",
        "GETX",
        "PROPFIND",
        "G",
        "!#$%&'*+-.^_`|~",
    ] {
        assert_eq!(ask(method), "501 unknown method | closed", "{method}");
    }
}

/// 9.3.6: CONNECT has no content; what follows is for the tunnel, and never a request.
#[test]
fn nothing_behind_a_connect_is_a_request() {
    let content = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let connect = format!("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n{content}");
    assert_eq!(exchange(&connect), "200 | closed");
    let sized = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\nContent-Length: 27\r\n\r\n".to_owned();
    assert_eq!(
        exchange_within(&Limits::default(), sized + content),
        "200 | closed"
    );
}
