//! A handler that panics costs its own connection a 500, and nobody else anything.

use std::thread;

use sunstar::{Router, Sharded};

use crate::harness::start;

/// Panics on every hundredth request of its shard.
fn every_hundredth(served: Sharded<u64>) -> String {
    let count = served.local(|count| {
        *count += 1;
        *count
    });
    assert!(!count.is_multiple_of(100), "planted: request {count}");
    count.to_string()
}

#[test]
fn every_other_request_is_answered_and_the_shards_live() {
    let server = start(|_| Router::new(0_u64).get("/", every_hundredth));
    let ask = |_| {
        let mut client = server.connect();
        let (mut answered, mut panicked) = (0, 0);
        for _ in 0..500 {
            let answer = client.get("/");
            match answer.status {
                200 => answered += 1,
                500 => {
                    panicked += 1;
                    assert_eq!(answer.field("Connection"), Some("close"));
                    assert!(client.is_closed());
                    client = server.connect();
                }
                status => panic!("{status}"),
            }
        }
        (answered, panicked)
    };
    let (answered, panicked) = thread::scope(|scope| {
        let asking: Vec<_> = (0..8)
            .map(|index| scope.spawn(move || ask(index)))
            .collect();
        let sums = asking.into_iter().map(|thread| thread.join().unwrap());
        sums.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    });
    assert_eq!(answered + panicked, 4_000);
    assert!(
        (38..=40).contains(&panicked),
        "{panicked} of 4,000 on two shards"
    );
}

#[test]
fn a_panic_in_the_drop_of_a_handler_ends_nothing_else() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("planted in a drop");
        }
    }
    async fn never() -> &'static str {
        let _bomb = Bomb;
        std::future::pending().await
    }
    async fn soon() -> &'static str {
        let _bomb = Bomb;
        "never seen"
    }
    let server = start(|_| Router::new(()).get("/never", never).get("/soon", soon));
    assert_eq!(server.connect().get("/soon").status, 500);
    let mut client = server.connect();
    client.send("GET /never HTTP/1.1\r\nHost: t\r\n\r\n");
    server.stopper.stop();
    server.stopper.stop();
    assert_eq!(client.answer(), None);
    server.join().unwrap();
}

#[test]
fn a_panic_in_an_async_handler_is_a_500_too() {
    async fn later() -> &'static str {
        sunstar::runtime::yield_now().await;
        panic!("planted")
    }
    let server = start(|_| Router::new(()).get("/later", later).get("/", || "fine"));
    let mut client = server.connect();
    client.send("GET /later HTTP/1.1\r\nHost: t\r\n\r\nGET / HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 500);
    assert_eq!(
        client.answer(),
        None,
        "nothing more is served on this connection"
    );
    assert_eq!(server.connect().get("/").content, "fine");
}
