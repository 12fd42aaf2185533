//! More connections than a server is made for.

use sunstar::Router;
use sunstar::server::{Config, Counters};

use crate::harness::{Running, config, start_with};

async fn refused() -> String {
    let counters = Counters::of_all_shards();
    let refused: Vec<u64> = counters.map(|counters| counters.refused()).await;
    refused[0].to_string()
}

fn start(connections_max: usize) -> Running {
    let config = Config {
        connections_max,
        ..config(1)
    };
    let make = |_| {
        Router::new(())
            .get("/", || "hello")
            .get("/refused", refused)
    };
    start_with(config, make)
}

#[test]
fn a_connection_over_the_limit_is_told_to_come_again() {
    let server = start(2);
    let (mut first, mut second) = (server.connect(), server.connect());
    assert_eq!((first.get("/").status, second.get("/").status), (200, 200));
    let mut third = server.connect();
    let answer = third.get("/");
    assert_eq!(
        (answer.status, answer.field("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(third.is_closed());
    assert_eq!(first.get("/refused").content, "1");
}

#[test]
fn a_connection_that_closes_makes_room_for_another() {
    let server = start(1);
    assert_eq!(server.connect().get("/").status, 200);
    // The close may be noticed a little later than the next connection.
    while server.connect().get("/").status != 200 {}
}

#[test]
fn those_who_wait_to_be_refused_say_nothing_and_keep_nobody_out() {
    let server = start(1);
    let mut served = server.connect();
    assert_eq!(served.get("/").status, 200);
    let mut silent: Vec<_> = (0..70).map(|_| server.connect()).collect();
    assert_eq!(served.get("/").status, 200);
    // Six of them are in the listen queue, in which they have their turn.
    for client in &mut silent {
        assert_eq!(client.get("/").status, 503);
    }
}
