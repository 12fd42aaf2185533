//! More connections than the server has room for.

use sunstar::server::Config;
use sunstar::{Router, ShardId};

use crate::harness::{Client, Running, config, start_with};

/// How many may be in the middle of being refused, as `Config` documents.
const REFUSED_MAX: usize = 64;

fn ok(_: ShardId) -> Router<()> {
    Router::new(()).fallback(|| "ok")
}

/// A server on one shard with room for two.
fn small() -> Running {
    let small = Config {
        connections_max: 2,
        ..config(1)
    };
    start_with(small, ok)
}

fn served(server: &Running) -> Client {
    let mut client = server.connect();
    assert_eq!(client.get("/").status, 200);
    client
}

#[test]
fn the_connection_beyond_the_limit_is_told_to_come_again() {
    let server = small();
    let mut both = [served(&server), served(&server)];
    let mut third = server.connect();
    let refused = third.get("/");
    assert_eq!(
        (refused.status, refused.field("Retry-After")),
        (503, Some("1"))
    );
    assert_eq!(refused.field("Connection"), Some("close"));
    assert!(third.is_closed());
    for client in &mut both {
        assert_eq!(client.get("/").status, 200, "those at the limit stay");
    }
}

#[test]
fn a_connection_that_ends_makes_room_for_another() {
    let server = small();
    let (first, _second) = (served(&server), served(&server));
    drop(first);
    // The server learns of it in its own time.
    let status = || server.connect().get("/").status;
    let told: Vec<u16> = std::iter::repeat_with(status)
        .take_while(|&status| status != 200)
        .collect();
    assert!(told.iter().all(|&status| status == 503), "{told:?}");
}

#[test]
fn refused_connections_that_say_nothing_make_room_too() {
    let server = small();
    let _both = [served(&server), served(&server)];
    let silent: Vec<_> = (0..REFUSED_MAX).map(|_| server.connect()).collect();
    let refused = server.connect().get("/");
    assert_eq!(refused.status, 503);
    for mut client in silent {
        assert!(client.is_closed());
    }
}

#[test]
fn those_who_were_refused_take_nobodys_room() {
    let server = small();
    let (first, _second) = (served(&server), served(&server));
    for _ in 0..10 {
        assert_eq!(server.connect().get("/").status, 503);
    }
    drop(first);
    let again = (0..10_000).any(|_| server.connect().get("/").status == 200);
    assert!(again, "there is room, and nobody gets it");
}
