//! Every wait ends; whoever keeps going is never cut off.
#![expect(
    clippy::disallowed_methods,
    reason = "these tests are about time that passes"
)]

use std::io::Read;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use sunstar::http::Limits;
use sunstar::server::{Config, Counters, End};
use sunstar::service::{Bytes, Upgrade};
use sunstar::{Router, Server};

use crate::harness::{config, run, start_with};

const SHORT: Duration = Duration::from_millis(30);

/// More than the smallest receive buffer has room for, and less than the usual one: whoever reads
/// a little late has taken it all the same.
const ANSWER_LEN: usize = 30_000;

#[test]
fn a_busy_connection_outlives_every_timeout() {
    let limits = Limits {
        header_timeout: SHORT,
        content_timeout: SHORT,
        idle_timeout: SHORT,
        ..Limits::default()
    };
    let config = Config {
        limits,
        write_timeout: SHORT,
        ..config(1)
    };
    let server = start_with(config, |_| Router::new(()).get("/", || "hello"));
    let mut client = server.connect();
    let begun = Instant::now();
    while begun.elapsed() < 10 * SHORT {
        assert_eq!(client.get("/").content, "hello");
    }
}

#[test]
fn a_timeout_may_be_as_long_as_one_likes() {
    let ever = Duration::MAX;
    let limits = Limits {
        header_timeout: ever,
        content_timeout: ever,
        content_grace: ever,
        idle_timeout: ever,
        ..Limits::default()
    };
    let config = Config {
        limits,
        write_timeout: ever,
        linger: ever,
        grace: ever,
        ..config(1)
    };
    let make = |_| Router::new(()).post("/", |Bytes(content): Bytes| content);
    let server = start_with(config, make);
    let mut client = server.connect();
    assert_eq!(client.post("/", "here").content, "here");
    // The content is waited for, and then the peer's close.
    let last = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\n";
    client.send(last);
    client.send("there");
    assert_eq!(client.answer().unwrap().content, "ther");
    assert!(client.is_closed());
}

#[test]
fn the_time_to_take_an_answer_begins_with_the_answer() {
    async fn slow() -> String {
        sunstar::runtime::sleep(3 * SHORT).await;
        "x".repeat(ANSWER_LEN)
    }
    let config = Config {
        write_timeout: SHORT,
        ..config(1)
    };
    let make = |_| {
        Router::new(())
            .get("/large", || "x".repeat(ANSWER_LEN))
            .get("/slow", slow)
    };
    let server = start_with(config, make);
    let (mut idle, mut busy) = (server.connect(), server.connect());
    assert_eq!(idle.get("/large").content.len(), ANSWER_LEN);
    let begun = Instant::now();
    while begun.elapsed() < 3 * SHORT {
        busy.get("/large");
    }
    assert_eq!(idle.get("/large").content.len(), ANSWER_LEN);
    assert_eq!(idle.get("/slow").content.len(), ANSWER_LEN);
    assert_eq!(idle.get("/large").content.len(), ANSWER_LEN);
}

#[test]
fn a_peer_that_takes_nothing_is_cut_off() {
    let large = "x".repeat(1 << 20);
    let make = move |_| {
        let large = large.clone();
        Router::new(())
            .get("/large", move || large.clone())
            .get("/open", open)
    };
    let config = Config {
        write_timeout: SHORT,
        ..config(1)
    };
    let server = start_with(config, make);
    let mut client = server.connect();
    client.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n".repeat(64));
    // The server counts the session as ended before the client has read a single byte.
    let mut watcher = server.connect();
    while server_has_one_connection_more(&mut watcher) {}
    let mut all = Vec::new();
    let ended = client.stream().read_to_end(&mut all);
    assert!(
        ended.is_err() || all.len() < 64 << 20,
        "{} bytes",
        all.len()
    );
}

#[test]
fn a_peer_that_reads_nothing_of_what_the_kernel_has_taken_is_cut_off() {
    let make = move |_| {
        Router::new(())
            .get("/large", || "x".repeat(ANSWER_LEN))
            .get("/open", open)
            .get("/timed-out", timed_out)
    };
    let limits = Limits {
        idle_timeout: Duration::from_hours(1),
        ..Limits::default()
    };
    let config = Config {
        limits,
        write_timeout: SHORT,
        ..config(1)
    };
    let server = Server::bind_with(config, "127.0.0.1:0").expect("a free port");
    let address = server.addresses()[0];
    let early = ask_and_never_read(address);
    let server = run(server, make);
    let mut watcher = server.connect();
    while watcher.get("/timed-out").content != "1" {}
    let late = ask_and_never_read(address);
    while watcher.get("/timed-out").content != "2" {}
    assert_eq!(watcher.get("/open").content, "1");
    drop((early, late));
}

#[test]
fn a_peer_that_reads_nothing_of_another_protocol_is_that_protocols_affair() {
    let tunnel = |upgrade: Upgrade| {
        upgrade.to("x", |mut connection| async move {
            connection
                .stream()
                .queue("x".repeat(ANSWER_LEN).into_bytes());
            while let Ok(Some(_)) = connection.recv().await {}
        })
    };
    let make = move |_| {
        Router::new(())
            .get("/tunnel", tunnel)
            .get("/large", || "x".repeat(ANSWER_LEN))
            .get("/timed-out", timed_out)
    };
    let config = Config {
        write_timeout: SHORT,
        ..config(1)
    };
    let server = start_with(config, make);
    let offer = "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let mut stalled = send_and_never_read(server.address, offer);
    // Whoever stalls behind it is cut off before it would be read again.
    let other = ask_and_never_read(server.address);
    let mut watcher = server.connect();
    while watcher.get("/timed-out").content == "0" {}
    drop(other);
    stalled.shutdown(Shutdown::Write).expect("a connection");
    let mut all = String::new();
    stalled.read_to_string(&mut all).expect("no reset");
    assert!(
        all.ends_with(&"x".repeat(ANSWER_LEN)),
        "{} bytes",
        all.len()
    );
}

fn ask_and_never_read(address: SocketAddr) -> Socket {
    send_and_never_read(address, "GET /large HTTP/1.1\r\nHost: t\r\n\r\n")
}

/// A client whose window is the smallest one.
fn send_and_never_read(address: SocketAddr, request: &str) -> Socket {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    client.set_recv_buffer_size(1).expect("the smallest window");
    client.connect(&address.into()).expect("a connection");
    let sent = client.send(request.as_bytes()).expect("sent");
    assert_eq!(sent, request.len());
    client
}

async fn timed_out() -> String {
    let counters = Counters::of_all_shards();
    let ended = counters.map(|counters| counters.ended(End::TimedOut)).await;
    ended[0].to_string()
}

async fn open() -> String {
    let counters = Counters::of_all_shards();
    let open = counters.map(|counters| counters.open()).await;
    open[0].to_string()
}

/// Asks until only the asking connection is open.
fn server_has_one_connection_more(watcher: &mut crate::harness::Client) -> bool {
    watcher.get("/open").content != "1"
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let limits = Limits {
        idle_timeout: SHORT,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..config(1)
    };
    let server = start_with(config, |_| Router::new(()).get("/", || "hello"));
    let mut client = server.connect();
    assert_eq!(client.get("/").content, "hello");
    assert!(client.is_closed());
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let limits = Limits {
        header_timeout: SHORT,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..config(1)
    };
    let server = start_with(config, |_| Router::new(()).get("/", || "hello"));
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost:");
    let answer = client.answer().unwrap();
    assert_eq!(
        (answer.status, answer.field("Connection")),
        (408, Some("close"))
    );
}
