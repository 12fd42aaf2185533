//! Which shard serves a connection.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use sunstar::Router;
use sunstar::runtime::{Idle, current_shard};
use sunstar::server::{Accept, Config};

use super::harness::{Client, Running, config, start_with};

fn which() -> String {
    current_shard().to_string()
}

fn balanced(accept: Accept) -> Running {
    let config = Config {
        accept,
        ..config(2)
    };
    start_with(config, |_| Router::new(()).get("/shard", which))
}

/// Opens connections and counts by shard which of the two serves them.
fn spread(server: &Running, count: usize) -> (Vec<Client>, [usize; 2]) {
    let mut counts = [0; 2];
    let mut client = || {
        let mut client = server.connect();
        counts[client.get("/shard").content.parse::<usize>().unwrap()] += 1;
        client
    };
    let clients = (0..count).map(|_| client()).collect();
    (clients, counts)
}

#[test]
fn shards_that_do_not_sleep_serve_and_stop_like_others() {
    let (short, long) = (Duration::from_micros(50), Duration::MAX);
    for idle in [Idle::Poll, Idle::PollFor(short), Idle::PollFor(long)] {
        let config = Config {
            accept: Accept::LeastLoaded,
            idle,
            ..config(2)
        };
        let server = start_with(config, |_| Router::new(()).get("/shard", which));
        let (clients, counts) = spread(&server, 4);
        assert_eq!(counts, [2, 2], "{idle:?}");
        drop(clients);
        server.stopper.stop();
        server.join().unwrap();
    }
}

#[test]
fn sixteen_long_connections_are_eight_and_eight() {
    let server = balanced(Accept::LeastLoaded);
    let (clients, counts) = spread(&server, 16);
    assert_eq!(counts, [8, 8]);
    // Those that go make room where they were.
    drop(clients);
}

#[test]
fn a_shard_that_lost_its_connections_gets_the_next_ones() {
    let server = balanced(Accept::LeastLoaded);
    let (mut clients, _) = spread(&server, 16);
    let on_first = |client: &mut Client| client.get("/shard").content == "0";
    clients.retain_mut(|client| !on_first(client));
    assert_eq!(clients.len(), 8);
    // The server has seen a close when it has answered one that came later on the same shard; the
    // counts of both shards are read by whoever accepts, so a few may come too early.
    let (_more, counts) = spread(&server, 100);
    assert!(counts[0] >= 50, "{counts:?}");
}

#[test]
fn a_thousand_connections_are_even_within_a_quarter() {
    let even = |[a, b]: [usize; 2]| 4 * a.max(b) <= 5 * a.min(b);
    let server = balanced(Accept::LeastLoaded);
    let (clients, counts) = spread(&server, 1_000);
    assert_eq!(counts, [500, 500]);
    drop((server, clients));
    // The kernel's hash is as good as throwing a coin, which fails this once in 2,000 times; so it
    // gets three throws.
    let server = balanced(Accept::Reuseport);
    let counts: Vec<_> = (0..3).map(|_| spread(&server, 1_000).1).collect();
    assert!(counts.iter().any(|&counts| even(counts)), "{counts:?}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test's thread and a shard meet here"
)]
fn a_shard_that_stalls_keeps_no_new_connection_waiting() {
    // This host has one accept in flight on its ring, which the kernel completes for a thread
    // that stalls: that one connection waits with it. (Our ring runs nothing until it is entered.)
    let driver = std::env::var("SUNSTAR_DRIVER").unwrap_or_default();
    if driver == "monoio" {
        return;
    }
    for accept in [Accept::Reuseport, Accept::LeastLoaded] {
        let (release, stalled) = mpsc::channel::<()>();
        let (enter, entered) = mpsc::channel();
        let stalled = Arc::new(Mutex::new((enter, stalled)));
        let stall = move || {
            // Blocks the whole shard until the test has seen enough.
            let stalled = stalled.lock().unwrap();
            stalled.0.send(()).unwrap();
            let _ = stalled.1.recv();
            "awake"
        };
        let config = Config {
            accept,
            ..config(2)
        };
        let server = start_with(config, move |_| {
            Router::new(())
                .get("/shard", which)
                .get("/stall", stall.clone())
        });
        let mut sleeper = server.connect();
        let stalls = sleeper.get("/shard").content;
        sleeper.send("GET /stall HTTP/1.1\r\nHost: test\r\n\r\n");
        entered.recv().unwrap();
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = server.connect();
            let patience = Some(Duration::from_secs(30));
            client.stream().set_read_timeout(patience).unwrap();
            assert_ne!(client.get("/shard").content, stalls, "{accept:?}");
            clients.push(client);
        }
        drop(release);
        assert_eq!(sleeper.answer().unwrap().content, "awake");
    }
}
