//! A stop answers what was read, closes what is idle, and ends.

use std::sync::mpsc;
use std::time::Duration;

use sunstar::server::Config;
use sunstar::{Router, ShardId, Sharded};

use crate::harness::{Running, config, start, start_with};

#[test]
fn idle_connections_are_closed_and_the_server_ends() {
    let server = start(|_| Router::new(()).get("/", || "hello"));
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").content, "hello");
    }
    server.stopper.stop();
    for client in &mut clients {
        assert!(client.is_closed());
    }
    drop(clients);
    server.join().unwrap();
}

/// A server on one shard, whose `/wait` answers when it is told to.
fn start_gated() -> (mpsc::Sender<()>, Running) {
    let (told, tell) = mpsc::channel();
    #[expect(
        clippy::disallowed_methods,
        reason = "the test signals from its own thread"
    )]
    let gate = std::sync::Arc::new(std::sync::Mutex::new(tell));
    let make = move |_: ShardId| {
        let gate = std::sync::Arc::clone(&gate);
        let wait = move |_: Sharded<()>| {
            let gate = std::sync::Arc::clone(&gate);
            async move {
                while gate.lock().unwrap().try_recv().is_err() {
                    sunstar::runtime::sleep(Duration::from_micros(100)).await;
                }
                "at last"
            }
        };
        Router::new(()).get("/wait", wait).get("/", || "hello")
    };
    (told, start_with(config(1), make))
}

/// Requests of later connections are answered: by then those sent before them were read.
fn answer_later_ones(server: &Running) {
    for _ in 0..10 {
        assert_eq!(server.connect().get("/").content, "hello");
    }
}

#[test]
fn a_request_under_way_is_answered_and_told_that_it_was_the_last() {
    let (told, server) = start_gated();
    let (mut waiting, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.get("/").content, "hello");
    waiting.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
    answer_later_ones(&server);
    server.stopper.stop();
    assert!(idle.is_closed());
    told.send(()).unwrap();
    let answer = waiting.answer().unwrap();
    assert_eq!(
        (answer.content.as_str(), answer.field("Connection")),
        ("at last", Some("close"))
    );
    assert!(waiting.is_closed());
    drop((waiting, idle));
    server.join().unwrap();
}

#[test]
fn requests_that_were_read_before_the_stop_are_all_answered() {
    let (told, server) = start_gated();
    let (mut client, mut idle) = (server.connect(), server.connect());
    assert_eq!(idle.get("/").content, "hello");
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.send(["/wait", "/", "/"].map(request).concat());
    answer_later_ones(&server);
    server.stopper.stop();
    assert!(idle.is_closed());
    told.send(()).unwrap();
    let answers: Vec<_> = std::iter::from_fn(|| client.answer()).collect();
    let contents: Vec<_> = answers
        .iter()
        .map(|answer| answer.content.as_str())
        .collect();
    assert_eq!(contents, ["at last", "hello", "hello"]);
    assert_eq!(answers[2].field("Connection"), Some("close"));
    drop((client, idle));
    server.join().unwrap();
}

#[test]
fn after_the_grace_time_what_is_left_is_dropped() {
    async fn never() -> &'static str {
        std::future::pending().await
    }
    let config = Config {
        grace: Duration::from_millis(10),
        ..config(2)
    };
    let server = start_with(config, |_| {
        Router::new(()).get("/never", never).get("/", || "hello")
    });
    let mut client = server.connect();
    client.send("GET /never HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(server.connect().get("/").content, "hello");
    server.stopper.stop();
    assert_eq!(client.answer(), None);
    server.join().unwrap();
}

#[test]
fn a_second_stop_does_not_wait() {
    async fn never() -> &'static str {
        std::future::pending().await
    }
    let server = start(|_| Router::new(()).get("/never", never));
    let mut client = server.connect();
    client.send("GET /never HTTP/1.1\r\nHost: test\r\n\r\n");
    server.stopper.stop();
    server.stopper.stop();
    assert_eq!(client.answer(), None);
    server.join().unwrap();
}
