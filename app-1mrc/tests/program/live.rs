//! The stream of the live page, as a browser reads it.

use serde_json::Value;

use crate::harness::{Client, Server, request};

/// How many events may pass until something that is about to happen has happened.
const EVENT_MAX: usize = 10;

/// Listens, and gives back the head of the answer as well.
fn listen(mut client: Client) -> (Client, String) {
    assert!(client.try_send(&request("GET", "/live", b"")));
    let head = client.until("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let hint = client.until("\n\n").expect("the first chunk");
    assert!(hint.ends_with("retry: 2000\n\n"), "{hint}");
    (client, head.to_lowercase())
}

/// The figures of the next event.
fn event(client: &mut Client) -> Value {
    let text = client.until("\n\n").expect("an event");
    let (_, data) = text.rsplit_once("data: ").expect(&text);
    serde_json::from_str(data).unwrap()
}

#[test]
fn an_event_has_the_figures_of_all_shards() {
    let server = Server::start(&["--smp", "2"]);
    let [mut one, mut other] = server.connect_to_both_shards();
    let body = |user| format!(r#"{{"userId":"{user}","value":0.1}}"#);
    assert_eq!(one.post(&body("a")), 200);
    assert_eq!([other.post(&body("b")), other.post(&body("a"))], [200; 2]);
    assert_eq!(other.post("[]"), 400);
    let (mut listener, head) = listen(one);
    for field in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "transfer-encoding: chunked",
    ] {
        assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
    }
    let seen = event(&mut listener);
    let stats: Value = serde_json::from_str(&other.stats()).unwrap();
    assert_eq!(seen["stats"], stats);
    assert_eq!(seen["rejects"], 1);
    let events = |figures: &Value| {
        let shards = figures["shards"].as_array().unwrap();
        let counts = shards.iter().map(|shard| shard["events"].as_u64().unwrap());
        counts.collect::<Vec<_>>()
    };
    assert_eq!(events(&seen), [1, 2]);
    assert_eq!(other.post(&body("c")), 200);
    let later = (0..EVENT_MAX).map(|_| event(&mut listener));
    let later = later.map(|seen| events(&seen)).find(|it| *it == [1, 3]);
    assert!(later.is_some(), "the event that came meanwhile is shown");
}

#[test]
fn listeners_of_both_shards_get_the_same_events() {
    let server = Server::start(&["--smp", "2"]);
    let both = server.connect_to_both_shards();
    let [mut one, mut other] = both.map(|client| listen(client).0);
    assert_eq!(server.connect().metric("live_listeners"), 2.0);
    let ones: Vec<_> = (0..4).map(|_| event(&mut one)).collect();
    let others: Vec<_> = (0..4).map(|_| event(&mut other)).collect();
    // Each has its time on it, to the nanosecond. One of them may have come in later.
    let shared = ones.iter().filter(|event| others.contains(event)).count();
    assert!(shared >= 3, "{ones:?}\n{others:?}");
}

#[test]
fn a_listener_that_has_gone_is_not_served_any_more() {
    let server = Server::start(&["--smp", "2"]);
    let (mut stays, _) = listen(server.connect());
    let (goes, _) = listen(server.connect());
    let mut operator = server.connect();
    assert_eq!(operator.metric("live_listeners"), 2.0);
    drop(goes);
    let is_alone = (0..EVENT_MAX).any(|_| {
        event(&mut stays);
        operator.metric("live_listeners") == 1.0
    });
    assert!(is_alone);
}

#[test]
fn a_stop_ends_the_streams_of_all_shards() {
    let server = Server::start(&["--smp", "2"]);
    let listeners = server.connect_to_both_shards();
    let mut listeners = listeners.map(|client| listen(client).0);
    event(&mut listeners[0]);
    // Waits for nobody: the connections are open until the program has ended.
    assert!(server.stop().is_some());
    for mut listener in listeners {
        while let Some(text) = listener.until("\r\n") {
            if text == "0\r\n" {
                break;
            }
        }
        // The last chunk: the server has ended the answer and not cut it off.
        assert_eq!(listener.until("\r\n").as_deref(), Some("\r\n"));
        assert_eq!(listener.until("\r\n"), None);
    }
}

#[test]
fn whoever_asks_for_the_head_of_the_stream_gets_it_and_no_event() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    assert!(client.try_send(&request("HEAD", "/live", b"")));
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.contains("text/event-stream"), "{head}");
    assert_eq!(client.metric("live_listeners"), 0.0);
}
