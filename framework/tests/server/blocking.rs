//! Handlers that block: they hold up nobody, cost one answer when they panic, and have a bound.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use sunstar::http::StatusCode;
use sunstar::runtime::BlockingLimits;
use sunstar::server::Config;
use sunstar::service::Path;
use sunstar::{Method, Router, Sharded, blocking};

use crate::harness::{Client, Running, config, start_with};

/// Holds every call of `/held` until it is dropped.
struct Hold {
    begins: Receiver<()>,
    _release: Sender<()>,
}

/// A server whose `/held` blocks until the hold is dropped.
#[expect(
    clippy::disallowed_methods,
    reason = "handlers on many threads wait for one end"
)]
fn start(config: Config) -> (Running, Hold) {
    let (begun, begins) = mpsc::channel();
    let (release, until) = mpsc::channel::<()>();
    let until = Arc::new(Mutex::new(until));
    let server = start_with(config, move |_| {
        let (begun, until) = (begun.clone(), Arc::clone(&until));
        let held = move |Path(number): Path<u32>| {
            // The test may have seen enough.
            let _ = begun.send(());
            // One of them waits for the end, the others for that one.
            let _ = until.lock().map(|until| until.recv());
            number.to_string()
        };
        Router::new(0_u32)
            .get("/plain", || "plain")
            .blocking(Method::GET, "/held/{number}", held)
            .blocking(Method::GET, "/panics", || -> StatusCode {
                panic!("planned: it blocks")
            })
            .blocking(Method::POST, "/len", |content: String| {
                content.len().to_string()
            })
            .blocking(Method::GET, "/state", |count: Sharded<u32>| {
                count.local(|count| count.to_string())
            })
            .get("/itself", async || blocking(|| "itself").await)
    });
    let hold = Hold {
        begins,
        _release: release,
    };
    (server, hold)
}

fn with_limits(threads_max: usize, waiting_max: usize) -> Config {
    Config {
        blocking: BlockingLimits {
            threads_max,
            waiting_max,
            ..BlockingLimits::default()
        },
        ..config(2)
    }
}

/// Sends a request for a call that is held.
fn ask(server: &Running, number: u32) -> Client {
    let mut client = server.connect();
    client.send(format!("GET /held/{number} HTTP/1.1\r\nHost: test\r\n\r\n"));
    client
}

#[test]
fn a_hundred_calls_that_block_delay_nobody() {
    let (server, hold) = start(config(2));
    let mut held: Vec<_> = (0..100).map(|number| ask(&server, number)).collect();
    // All of them block now, at the same time.
    (0..100).for_each(|_| hold.begins.recv().unwrap());
    for _ in 0..4 {
        let mut client = server.connect();
        for _ in 0..100 {
            assert_eq!(client.get("/plain").content, "plain");
        }
        assert_eq!(client.get("/itself").content, "itself");
    }
    drop(hold);
    for (number, client) in held.iter_mut().enumerate() {
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.content), (200, number.to_string()));
    }
}

#[test]
fn one_call_more_than_may_wait_gets_503_and_says_what_to_change() {
    let (server, hold) = start(with_limits(2, 1));
    let mut held: Vec<_> = (0..2).map(|number| ask(&server, number)).collect();
    (0..2).for_each(|_| hold.begins.recv().unwrap());
    // Whichever comes last of these two is the one too many.
    let (mut third, mut fourth) = (ask(&server, 2), ask(&server, 3));
    let waits = mpsc::channel();
    let refused = std::thread::scope(|scope| {
        for client in [&mut third, &mut fourth] {
            let told = waits.0.clone();
            scope.spawn(move || told.send(client.answer().unwrap()));
        }
        let refused = waits.1.recv().unwrap();
        assert_eq!(server.connect().get("/itself").status, 503);
        drop(hold);
        assert_eq!(waits.1.recv().unwrap().status, 200, "it had only to wait");
        refused
    });
    assert_eq!(
        (refused.status, refused.field("Retry-After")),
        (503, Some("1"))
    );
    assert!(
        refused.content.contains("`blocking.waiting_max`"),
        "{refused:?}"
    );
    assert!(
        held.iter_mut()
            .all(|client| client.answer().unwrap().status == 200)
    );
    assert_eq!(server.connect().get("/itself").status, 200);
}

#[test]
fn a_panic_where_it_blocks_costs_one_answer() {
    let (server, _hold) = start(config(1));
    let mut other = server.connect();
    assert_eq!(other.get("/plain").status, 200);
    assert_eq!(server.connect().get("/panics").status, 500);
    assert_eq!(other.get("/plain").status, 200);
    assert_eq!(server.connect().get("/state").status, 500, "no state there");
    assert_eq!(other.post("/len", "seven b").content, "7");
}

#[test]
fn a_stop_waits_for_answers_that_block() {
    let (server, hold) = start(config(2));
    let mut client = ask(&server, 7);
    hold.begins.recv().unwrap();
    server.stopper.stop();
    drop(hold);
    assert_eq!(client.answer().unwrap().content, "7");
    server.join().unwrap();
}
