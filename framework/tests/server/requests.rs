//! What handlers get and what clients get back.

use std::rc::Rc;

use sunstar::http::{Limits, StatusCode, header};
use sunstar::runtime::{self, current_shard};
use sunstar::server::{Config, Counters, End};
use sunstar::service::{Bytes, Path};
use sunstar::{Router, Server, ShardId, Sharded};

use crate::harness::{config, start, start_with};

#[test]
fn every_answer_carries_server_date_and_length() {
    let server = start(|_| Router::new(()).get("/", || "hello"));
    let answer = server.connect().get("/");
    assert_eq!(answer.content, "hello");
    assert_eq!(answer.field("Server"), Some("sunstar"));
    assert_eq!(answer.field("Content-Length"), Some("5"));
    assert_eq!(
        answer.field("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    let date = answer.field("Date").unwrap();
    assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
}

#[test]
fn an_empty_answer_has_length_zero_and_head_has_no_content() {
    let server = start(|_| {
        Router::new(())
            .post("/", || StatusCode::OK)
            .get("/", || "hello")
    });
    let mut client = server.connect();
    assert_eq!(client.post("/", "{}").field("Content-Length"), Some("0"));
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut raw = [0; 4096];
    let mut read = 0;
    while !raw[..read].ends_with(b"\r\n\r\nhello") {
        let count = std::io::Read::read(&mut client.stream(), &mut raw[read..]).unwrap();
        assert_ne!(count, 0, "{}", raw[..read].escape_ascii());
        read += count;
    }
    let text = String::from_utf8_lossy(&raw[..read]);
    assert_eq!(text.matches("Content-Length: 5\r\n").count(), 2, "{text}");
    assert_eq!(text.matches("hello").count(), 1, "{text}");
}

#[test]
fn content_in_many_pieces_is_whole_in_the_handler() {
    fn check(Bytes(content): Bytes) -> String {
        let sum: u64 = content.iter().map(|&byte| u64::from(byte)).sum();
        format!("{} {sum}", content.len())
    }
    let server = start(|_| Router::new(()).post("/sum", check));
    let mut client = server.connect();
    for len in [0, 1, 5_000, 70_000, 1_048_576] {
        let content = "a".repeat(len);
        let answer = client.post("/sum", &content);
        assert_eq!(answer.content, format!("{len} {}", 97 * len));
    }
    client.send("POST /sum HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n");
    assert_eq!(
        client.answer().unwrap().content,
        format!("8 {}", (97..105).sum::<u64>())
    );
}

#[test]
fn content_over_the_limit_is_refused_with_413() {
    let limits = Limits {
        content_len_max: 1000,
        ..Limits::default()
    };
    let server = start_with(
        Config {
            limits,
            ..config(1)
        },
        |_| Router::new(()).post("/", || StatusCode::OK),
    );
    assert_eq!(server.connect().post("/", &"a".repeat(1000)).status, 200);
    assert_eq!(server.connect().post("/", &"a".repeat(1001)).status, 413);
}

#[test]
fn limits_that_no_connection_can_live_with_are_refused_at_the_start() {
    for (limits, message) in [
        (
            Limits {
                pipelined_len_max: 0,
                ..Limits::default()
            },
            "pipelined_len_max is 0",
        ),
        (
            Limits {
                output_len_max: 0,
                ..Limits::default()
            },
            "output_len_max is 0",
        ),
        (
            Limits {
                head_len_max: 70_000,
                ..Limits::default()
            },
            "head_len_max is 70000",
        ),
        (
            Limits {
                field_count_max: 1000,
                ..Limits::default()
            },
            "field_count_max is 1000",
        ),
    ] {
        let server = Server::bind_with(
            Config {
                limits,
                ..config(1)
            },
            "127.0.0.1:0",
        )
        .unwrap();
        let error = server
            .serve(|_| Router::new(()).get("/", || "hello"))
            .unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn an_async_handler_asks_the_other_shards() {
    async fn sum(state: Sharded<usize>) -> String {
        state
            .map_reduce(|index| *index, |a, b| a + b)
            .await
            .to_string()
    }
    async fn slow() -> &'static str {
        runtime::sleep(std::time::Duration::from_millis(5)).await;
        "slept"
    }
    let make = |shard: ShardId| {
        Router::new(10 + shard.index())
            .get("/sum", sum)
            .get("/slow", slow)
    };
    let server = start_with(config(3), make);
    for _ in 0..10 {
        let mut client = server.connect();
        assert_eq!(client.get("/sum").content, "33");
        client.send("GET /slow HTTP/1.1\r\nHost: t\r\n\r\nGET /sum HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.answer().unwrap().content, "slept");
        assert_eq!(client.answer().unwrap().content, "33");
    }
}

#[test]
fn the_counters_of_all_shards_add_up() {
    fn shard(Path(any): Path<String>) -> String {
        format!("{any} on {}", current_shard())
    }
    async fn requests(_: Sharded<()>) -> String {
        let counters = Counters::of_all_shards();
        let open: u64 = counters.map(|counters| counters.open()).await.iter().sum();
        let add = |a, b| a + b;
        let requests = counters.map_reduce(|counters: &mut Rc<Counters>| counters.requests(), add);
        format!("{} {open}", requests.await)
    }
    let server = start(|_| {
        Router::new(())
            .get("/", requests)
            .get("/shard/{any}", shard)
    });
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert!(client.get("/shard/x").content.starts_with("x on "));
    }
    assert_eq!(clients[0].get("/").content, "21 20");
    clients.truncate(1);
    assert_eq!(End::ALL.map(End::name)[1], "peer_closed");
    loop {
        let answer = clients[0].get("/").content;
        if answer.ends_with(" 1") {
            break;
        }
    }
}

#[test]
fn a_wrong_method_is_405_with_allow_and_a_wrong_path_404() {
    let server = start(|_| Router::new(()).post("/event", || StatusCode::OK));
    let mut client = server.connect();
    let answer = client.get("/event");
    assert_eq!(
        (answer.status, answer.field(header::ALLOW.as_str())),
        (405, Some("OPTIONS, POST"))
    );
    assert_eq!(client.get("/nowhere").status, 404);
}
