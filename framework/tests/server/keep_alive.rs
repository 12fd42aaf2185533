//! One connection, many requests.

use sunstar::{Router, ShardId};

use crate::harness::start;

fn echo_path(_: ShardId) -> Router<()> {
    fn path(request: &sunstar::Request) -> String {
        request.path().to_owned()
    }
    Router::new(()).fallback(path)
}

#[test]
fn one_connection_serves_many_requests() {
    let server = start(echo_path);
    let mut client = server.connect();
    for index in 0..100 {
        let answer = client.get(&format!("/{index}"));
        assert_eq!((answer.status, answer.content), (200, format!("/{index}")));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = start(echo_path);
    let mut client = server.connect();
    let request = |index| format!("GET /{index} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.send((0..500).map(request).collect::<String>());
    for index in 0..500 {
        assert_eq!(client.answer().unwrap().content, format!("/{index}"));
    }
}

#[test]
fn a_request_cut_into_single_bytes_is_understood() {
    let server = start(echo_path);
    let mut client = server.connect();
    for byte in b"POST /slow HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc" {
        client.send([*byte]);
    }
    assert_eq!(client.answer().unwrap().content, "/slow");
}

#[test]
fn a_connection_closes_when_its_client_asks_for_it() {
    let server = start(echo_path);
    let mut client = server.connect();
    client.send("GET /last HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.content.as_str(), answer.field("Connection")),
        ("/last", Some("close"))
    );
    assert!(client.is_closed());
}

#[test]
fn a_client_that_half_closes_still_gets_its_answers() {
    let server = start(echo_path);
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\nHost: t\r\n\r\nGET /b HTTP/1.1\r\nHost: t\r\n\r\n");
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().unwrap().content, "/a");
    assert_eq!(client.answer().unwrap().content, "/b");
    assert!(client.is_closed());
}

#[test]
fn a_wrong_request_is_told_so_before_the_close() {
    let server = start(echo_path);
    let mut client = server.connect();
    // Input that the server never reads must not turn into a reset that destroys the answer.
    client.send("GET / HTTP/1.1\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.status, answer.field("Connection")),
        (400, Some("close"))
    );
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
}
