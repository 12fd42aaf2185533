//! Connections that go on with another protocol: RFC 9110 sections 7.8 and 9.3.6.

use std::io::{Read, Write};

use sunstar::http::header;
use sunstar::service::{Body, Response, Upgrade, Upgraded, service_fn};
use sunstar::{Method, Router, StatusCode};

use crate::harness::{Running, config, start, start_with};

async fn send_back(mut connection: Upgraded) {
    while let Ok(Some(bytes)) = connection.recv().await {
        connection.stream().queue(bytes);
        if connection.stream().flush().await.is_err() {
            return;
        }
    }
}

fn echo(upgrade: Upgrade) -> Response {
    upgrade.to("echo", send_back)
}

/// Takes the offer up without a look at the content.
fn hasty(_body: Body, upgrade: Upgrade) -> Response {
    upgrade.to("echo", send_back)
}

async fn late(upgrade: Upgrade) -> Response {
    sunstar::runtime::yield_now().await;
    upgrade.to("echo", send_back)
}

fn panics(upgrade: Upgrade) -> Response {
    upgrade.to("echo", |_| async { panic!("the protocol panics") })
}

fn serve() -> Running {
    start(|_| {
        Router::new(())
            .get("/", || "hello")
            .get("/echo", echo)
            .post("/echo", echo)
            .get("/late", late)
            .post("/hasty", hasty)
            .get("/panics", panics)
    })
}

const OFFER: &str = "Host: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, echo\r\n";

fn offer(request_line: &str, rest: &str) -> String {
    format!("{request_line}\r\n{OFFER}{rest}")
}

#[test]
fn the_connection_is_the_protocols_after_a_101() {
    let server = serve();
    for target in ["/echo", "/late"] {
        let mut client = server.connect();
        client.send(offer(&format!("GET {target} HTTP/1.1"), "\r\n"));
        let answer = client.answer().unwrap();
        assert_eq!(
            (answer.status, answer.field("Connection")),
            (101, Some("upgrade"))
        );
        assert_eq!(answer.field("Upgrade"), Some("echo"));
        assert_eq!(answer.field("Content-Length"), None);
        for message in ["ping", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"] {
            client.send(message);
            assert_eq!(client.take(message.len()), message);
        }
    }
    assert_eq!(server.connect().get("/").content, "hello");
}

#[test]
fn what_comes_early_is_the_protocols_if_the_offer_is_taken_up() {
    let server = serve();
    for target in ["/echo", "/late"] {
        let early = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let client = server.connect();
        let request = offer(&format!("GET {target} HTTP/1.1"), "\r\n") + early;
        client.stream().write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        while !text.ends_with(early) {
            let mut piece = [0; 1000];
            let len = client.stream().read(&mut piece).unwrap();
            assert_ne!(len, 0, "{text}");
            text += std::str::from_utf8(&piece[..len]).unwrap();
        }
        assert!(
            text.starts_with("HTTP/1.1 101 ") && !text.contains("200 OK"),
            "{text}"
        );
    }
}

#[test]
fn what_follows_an_offer_that_is_not_taken_up_is_the_next_request() {
    let server = serve();
    let mut client = server.connect();
    let next = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    client.send(offer("GET / HTTP/1.1", "\r\n") + next);
    assert_eq!(client.answer().unwrap().content, "hello");
    assert_eq!(client.answer().unwrap().content, "hello");
    // The route would, but for another protocol.
    client.send("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    client.send(next);
    let refused = client.answer().unwrap();
    assert_eq!(
        (refused.status, refused.field("Upgrade")),
        (426, Some("echo"))
    );
    assert_eq!(refused.field("Connection"), Some("upgrade"));
    assert_eq!(client.answer().unwrap().content, "hello");
}

#[test]
fn an_old_peer_is_never_answered_with_101() {
    let server = serve();
    let mut client = server.connect();
    client.send(offer("GET /echo HTTP/1.0", "\r\n"));
    assert_eq!(client.answer().unwrap().status, 426);
}

#[test]
fn the_content_of_the_request_comes_before_the_other_protocol() {
    let server = serve();
    let mut client = server.connect();
    client.send(offer("POST /echo HTTP/1.1", "Content-Length: 5\r\n\r\nhe"));
    assert_eq!(server.connect().get("/").content, "hello");
    client.send("llo!");
    assert_eq!(client.answer().unwrap().status, 101);
    client.send("?");
    assert_eq!(client.take(2), "!?", "and nothing of the content");
}

#[test]
fn a_handler_that_leaves_content_unread_cannot_hand_the_connection_over() {
    let server = serve();
    let mut client = server.connect();
    client.send(offer("POST /hasty HTTP/1.1", "Content-Length: 5\r\n\r\nhe"));
    assert_eq!(client.answer().unwrap().status, 500);
    assert!(client.is_closed());
}

#[test]
fn nobody_is_switched_who_did_not_ask_for_it() {
    let switch = || Response::new(StatusCode::SWITCHING_PROTOCOLS).with_upgrade(send_back);
    let server = start(move |_| Router::new(()).get("/", switch));
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 500);
    assert!(client.is_closed());
}

#[test]
fn a_protocol_that_panics_costs_its_connection_only() {
    let server = serve();
    let mut client = server.connect();
    client.send(offer("GET /panics HTTP/1.1", "\r\n"));
    assert_eq!(client.answer().unwrap().status, 101);
    assert!(client.is_closed());
    assert_eq!(server.connect().get("/").content, "hello");
}

#[test]
fn a_success_to_connect_opens_a_tunnel_without_framing() {
    let make = |_| {
        service_fn(|request| match *request.method() {
            Method::CONNECT => Response::new(StatusCode::OK).with_upgrade(send_back),
            _ => Response::new(StatusCode::OK),
        })
    };
    let server = start_with(config(1), make);
    let client = server.connect();
    client
        .stream()
        .write_all(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nearly")
        .unwrap();
    let mut text = String::new();
    while !text.ends_with("\r\n\r\nearly") {
        let mut piece = [0; 1000];
        let len = client.stream().read(&mut piece).unwrap();
        assert_ne!(len, 0, "{text}");
        text += std::str::from_utf8(&piece[..len]).unwrap();
    }
    let lower = text.to_lowercase();
    for name in [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
    ] {
        assert!(!lower.contains(name.as_str()), "{text}");
    }
}

#[test]
fn a_stop_drops_another_protocol_when_its_time_is_over() {
    let server = serve();
    let mut client = server.connect();
    client.send(offer("GET /echo HTTP/1.1", "\r\n"));
    assert_eq!(client.answer().unwrap().status, 101);
    server.stopper.stop();
    server.stopper.stop();
    assert!(client.is_closed());
    server.join().unwrap();
}
