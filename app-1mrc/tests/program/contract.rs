//! The contract of the challenge row by row, each row a test that bears its name.

use std::collections::HashSet;

use serde_json::Value;

use crate::events::{BAD, GOOD};
use crate::harness::{Client, Server, ZEROS, request};

#[test]
fn post_event_is_answered_with_200_without_a_body_and_the_connection_stays() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for _ in 0..1000 {
        let (status, head, body) = client.post_event(r#"{"userId":"u","value":0.1}"#);
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
    let expected = r#"{"totalRequests":1000,"uniqueUsers":1,"sum":100,"avg":0.1}"#;
    assert_eq!(client.stats(), expected);
    assert_eq!(server.stop().as_deref(), Some(expected));
}

#[test]
fn get_stats_has_four_members_and_whole_counts() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for value in ["1e300", "-7.25", "0"] {
        assert_eq!(
            client.post(&format!(r#"{{"userId":"{value}","value":{value}}}"#)),
            200
        );
    }
    let stats: Value = serde_json::from_str(&client.stats()).unwrap();
    let members: Vec<&String> = stats.as_object().unwrap().keys().collect();
    assert_eq!(members, ["avg", "sum", "totalRequests", "uniqueUsers"]);
    assert_eq!(stats["totalRequests"].as_u64(), Some(3));
    assert_eq!(stats["uniqueUsers"].as_u64(), Some(3));
    assert!(stats["sum"].is_number() && stats["avg"].is_number());
}

#[test]
fn before_the_first_event_all_is_zero() {
    let server = Server::start(&[]);
    assert_eq!(server.connect().stats(), ZEROS);
    assert_eq!(server.stop().as_deref(), Some(ZEROS));
}

#[test]
fn neither_sum_nor_average_is_ever_minus_zero() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    assert_eq!(client.post(r#"{"userId":"u","value":-0.0}"#), 200);
    let expected = r#"{"totalRequests":1,"uniqueUsers":1,"sum":0,"avg":0}"#;
    assert_eq!(client.stats(), expected);
}

#[test]
fn get_health_is_answered_with_200() {
    let server = Server::start(&[]);
    assert_eq!(server.connect().ask("GET", "/health", b"").0, 200);
}

#[test]
fn post_reset_begins_at_zero_for_every_connection() {
    let server = Server::start(&["--smp", "2"]);
    let mut clients = server.connect_to_both_shards();
    for round in 1..=50 {
        for client in &mut clients {
            assert_eq!(client.post(r#"{"userId":"u","value":1.5}"#), 200);
        }
        assert_eq!(clients[round % 2].ask("POST", "/reset", b"").0, 200);
        assert!(clients.iter_mut().all(|client| client.stats() == ZEROS));
    }
}

#[test]
fn get_metrics_tells_events_rejects_users_memory_balance_and_rates() {
    let server = Server::start(&["--smp", "2"]);
    let [mut first, mut second] = server.connect_to_both_shards();
    for number in 0..30 {
        assert_eq!(
            first.post(&format!(r#"{{"userId":"user_{number}","value":1}}"#)),
            200
        );
    }
    for _ in 0..10 {
        assert_eq!(second.post(r#"{"userId":"user_0","value":1}"#), 200);
    }
    assert_eq!(second.post("{}"), 400);
    assert_eq!(first.metric(r#"events_total{shard="0"}"#), 30.0);
    assert_eq!(first.metric(r#"events_total{shard="1"}"#), 10.0);
    assert_eq!(first.metric(r#"shard_share{shard="1"}"#), 0.25);
    assert_eq!(first.metric(r#"rejects_total{reason="user_missing"}"#), 1.0);
    assert_eq!(first.metric("users"), 30.0);
    assert_eq!(first.metric(r#"names{shard="1"}"#), 1.0);
    assert!(first.metric("bytes_per_user") > 0.0);
    // A whole second has passed when there is a rate; until then it is asked again.
    let rate = |client: &mut Client, shard: usize| {
        client.metric(&format!(r#"events_per_second{{shard="{shard}"}}"#))
    };
    let seen = (0..1_000_000).any(|_| {
        assert_eq!(first.post(r#"{"userId":"user_0","value":1}"#), 200);
        rate(&mut first, 0) > 0.0
    });
    assert!(seen, "no rate was ever taken");
}

#[test]
fn get_metrics_names_the_driver_and_what_it_uses_of_the_kernel() {
    let info = |arguments: &[&str], labels: &str| {
        let server = Server::start(arguments);
        let name = format!("driver_info{{{labels}}}");
        server.connect().metric(&name)
    };
    let epoll = info(&["--driver", "epoll"], r#"driver="epoll",features="none""#);
    let bare = ["--driver", "uring", "--uring-features=-restrict"];
    let uring = info(&bare, r#"driver="uring",features="none""#);
    assert_eq!((epoll, uring), (1.0, 1.0));
}

#[test]
fn a_user_of_25_bytes_costs_at_most_48_bytes_on_one_shard() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    let body = |number| format!(r#"{{"userId":"user_{number:020}","value":1}}"#);
    client.post_all(&(0..100_000).map(body).collect::<Vec<_>>());
    assert_eq!(client.metric("users"), 100_000.0);
    let cost = client.metric("bytes_per_user");
    assert!(cost <= 48.0, "{cost} bytes");
}

#[test]
fn another_method_is_answered_with_405_and_another_path_with_404() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (path, allowed) in [
        ("/event", "POST"),
        ("/reset", "POST"),
        ("/stats", "GET"),
        ("/health", "GET"),
        ("/metrics", "GET"),
        ("/live", "GET"),
        ("/", "GET"),
    ] {
        let method = if allowed == "GET" { "POST" } else { "GET" };
        for method in [method, "PUT", "DELETE", "PATCH"] {
            let (status, head, _) = client.ask(method, path, b"");
            assert_eq!(status, 405, "{method} {path}");
            let allow = head.lines().find_map(|line| line.strip_prefix("allow: "));
            assert!(
                allow.expect(&head).contains(&allowed.to_lowercase()),
                "{head}"
            );
        }
    }
    assert_eq!(client.ask("GET", "/nowhere", b"").0, 404);
    assert_eq!(client.ask("POST", "/event/", b"").0, 404);
    // Asking which methods there are is no wrong method, and one that nobody knows is 501 (RFC 9110
    // sections 9.3.7 and 15.6.2).
    assert_eq!(client.ask("OPTIONS", "/event", b"").0, 204);
    assert_eq!(client.ask("BREW", "/event", b"").0, 501);
}

/// Java's client sends the head of its first request, of 137 bytes, before the body of 37.
#[test]
fn the_first_request_of_java_comes_in_two_writes() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    let head = "POST /event HTTP/1.1\r\nContent-Length: 37\r\nHost: localhost:8080\r\n\
                User-Agent: Java-http-client/11.0.9.1\r\nContent-Type: application/json\r\n\r\n";
    let body = r#"{"userId":"user_1_req_1","value":1.5}"#;
    assert_eq!((head.len(), body.len()), (137, 37));
    assert!(client.try_send(head.as_bytes()));
    // Answered on another connection, so the head has been read by now.
    assert_eq!(server.connect().stats(), ZEROS);
    assert!(client.try_send(body.as_bytes()));
    let (status, _, answer) = client.reply();
    assert_eq!((status, answer.as_str()), (200, ""));
    let expected = r#"{"totalRequests":1,"uniqueUsers":1,"sum":1.5,"avg":1.5}"#;
    assert_eq!(client.stats(), expected);
}

/// Sends a request to the last byte but in two pieces, cut at `at`.
fn ask_in_two(client: &mut Client, request: &[u8], at: usize) -> u16 {
    assert!(client.try_send(&request[..at]));
    let _ = client.try_send(&request[at..]);
    client.reply().0
}

#[test]
fn every_good_event_counts_however_it_is_cut() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    let (mut count, mut sum, mut users) = (0, 0.0, HashSet::new());
    for (body, user, value) in GOOD.iter().filter(|(_, _, value)| value.abs() < 1e15) {
        let request = request("POST", "/event", body.as_bytes());
        for at in 1..request.len() {
            assert_eq!(
                ask_in_two(&mut client, &request, at),
                200,
                "{body} cut at {at}"
            );
            (count, sum) = (count + 1, sum + value); // whole numbers: no rounding
            users.insert(user);
        }
    }
    let expected = format!(
        r#"{{"totalRequests":{count},"uniqueUsers":{},"sum":{sum},"#,
        users.len()
    );
    assert!(client.stats().starts_with(&expected), "{expected}");
}

#[test]
fn a_bad_event_is_answered_with_400_and_changes_nothing() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    for body in BAD {
        let text = String::from_utf8_lossy(body);
        let (status, head, answer) = client.ask("POST", "/event", body);
        assert_eq!(status, 400, "{text}");
        assert!(
            head.contains("\r\ncontent-type: application/json\r\n"),
            "{head}"
        );
        let answer_is_one_line = !answer.contains('\n');
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(
            answer_is_one_line && answer["error"].is_string(),
            "{answer}"
        );
        let request = request("POST", "/event", body);
        for at in (1..request.len()).step_by(7) {
            assert_eq!(
                ask_in_two(&mut client, &request, at),
                400,
                "{text} cut at {at}"
            );
        }
    }
    assert_eq!(client.stats(), ZEROS);
}

#[test]
fn nesting_over_128_is_a_bad_event_and_no_stack_overflows() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"userId":"u","value":1,"x":{open}{close}}}"#)
    };
    assert_eq!(client.post(&nested(128)), 200);
    assert_eq!(client.post(&nested(129)), 400);
    assert_eq!(client.post(&nested(30_000)), 400);
}

#[test]
fn a_body_of_64_kib_is_taken_and_a_longer_one_answered_with_413() {
    let server = Server::start(&[]);
    let body = |len: usize| {
        let empty = r#"{"userId":"u","value":1,"x":""}"#.len();
        format!(
            r#"{{"userId":"u","value":1,"x":"{}"}}"#,
            "x".repeat(len - empty)
        )
    };
    assert_eq!(server.connect().post_event(&body(65_536)).0, 200);
    assert_eq!(server.connect().post_event(&body(65_537)).0, 413);
    let chunked = |len: usize| {
        let mut client = server.connect();
        let head = "POST /event HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(client.try_send(format!("{head}{len:x}\r\n").as_bytes()));
        // A server that refuses the length may have closed by now.
        let _ = client.try_send(format!("{}\r\n0\r\n\r\n", body(len)).as_bytes());
        client.reply().0
    };
    assert_eq!(chunked(65_536), 200);
    assert_eq!(chunked(65_537), 413);
    let stats = server.connect().stats();
    assert!(
        stats.starts_with(r#"{"totalRequests":2,"uniqueUsers":1,"sum":2"#),
        "{stats}"
    );
}

#[test]
fn it_listens_on_ipv4_and_ipv6() {
    let server = Server::start(&["--listen", "[::1]:0"]);
    let addresses: Vec<&str> = server.address.split(" and ").collect();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for (count, address) in addresses.into_iter().enumerate() {
        let mut client = Client::connect(address);
        assert_eq!(client.post(r#"{"userId":"u","value":1}"#), 200);
        assert_eq!(client.metric("users"), 1.0);
        let expected = format!(r#"{{"totalRequests":{},"#, count + 1);
        assert!(client.stats().starts_with(&expected));
    }
}

#[test]
fn a_new_user_without_room_is_answered_with_503_and_known_ones_go_on() {
    let server = Server::start(&["--smp", "1", "--user-memory", "1"]);
    let mut client = server.connect();
    let body = |number: usize| format!(r#"{{"userId":"{number}{}","value":1}}"#, "x".repeat(9000));
    let taken = (0..500)
        .take_while(|&number| client.post(&body(number)) == 200)
        .count();
    assert!((50..150).contains(&taken), "{taken} users in a MiB");
    let expected = format!(r#"{{"totalRequests":{taken},"uniqueUsers":{taken},"#);
    assert!(client.stats().starts_with(&expected));
    assert_eq!(client.post(&body(0)), 200);
    let (status, _, text) = client.post_event(&body(taken));
    assert_eq!(status, 503);
    assert!(text.contains("--user-memory"), "{text}");
    assert_eq!(client.metric("full_total"), 2.0);
    assert_eq!(client.ask("POST", "/reset", b"").0, 200);
    assert_eq!(client.post(&body(taken)), 200);
}

#[test]
fn the_page_is_there_and_may_load_nothing_foreign() {
    let server = Server::start(&["--smp", "1"]);
    let mut client = server.connect();
    let (status, head, page) = client.ask("GET", "/", b"");
    assert_eq!(status, 200);
    assert!(
        head.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(
        head.contains("\r\ncontent-security-policy: default-src 'none';"),
        "{head}"
    );
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
}
