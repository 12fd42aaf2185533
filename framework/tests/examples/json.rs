//! The examples that answer in JSON.

use super::*;

#[test]
fn techempower_sends_the_suites_exact_headers_and_bodies() {
    let server = Running::start("techempower", &ARGUMENTS);
    for (path, media_type, body) in [
        ("/plaintext", "text/plain", "Hello, World!"),
        (
            "/json",
            "application/json",
            r#"{"message":"Hello, World!"}"#,
        ),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: sunstar\r\nDate: {:29}\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n",
            "",
            body.len()
        );
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = server.ask(&request, body);
        let date = answer.find("Date: ").unwrap() + 6;
        let mut undated = answer.clone();
        undated.replace_range(date..date + 29, &" ".repeat(29));
        assert_eq!(undated.to_lowercase(), (head + body).to_lowercase());
    }
    assert!(server.ends_well());
}

#[test]
fn a_stop_that_waits_says_what_for_and_a_second_signal_ends_it() {
    let mut kv = Running::start("kv", &ARGUMENTS);
    let mut peer = TcpStream::connect(kv.address()).unwrap();
    let head = "PUT /kv/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    peer.write_all(head.as_bytes()).unwrap();
    let mut goes_on = [0; 12];
    peer.read_exact(&mut goes_on).unwrap();
    assert_eq!(&goes_on, b"HTTP/1.1 100");
    kv.terminate();
    let mut line = String::new();
    let mut said = BufReader::new(kv.process.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    assert!(line.starts_with("waiting for 1 connections"), "{line}");
    assert!(line.contains(", 8 s at most"), "{line}");
    assert!(line.contains("a second signal drops them"), "{line}");
    assert!(kv.ends_well());
}

#[test]
fn db_says_that_there_is_no_database_and_tells_the_operator_why() {
    // What it answers from a real one is checked by scripts/db.py.
    let nobody = ["--postgres", "127.0.0.1:1"];
    let mut db = Running::start("db", &[&ARGUMENTS[..], &nobody].concat());
    for path in ["/db", "/queries?queries=2"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = db.ask_to_the_end(&request);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("try again\n"), "{answer}");
    }
    let mut reasons = BufReader::new(db.process.stderr.take().unwrap());
    assert!(db.ends_well());
    let mut said = String::new();
    reasons.read_to_string(&mut said).unwrap();
    assert!(said.contains("db: Connection refused"), "{said}");
}

#[test]
fn kv_keeps_values_on_their_shards_until_they_expire() {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--smp",
        "2",
        "--compact-every-ms",
        "1",
    ];
    let kv = Running::start("kv", &[&arguments[..], &["--values-max", "3"]].concat());
    let ask = |method: &str, key: &str, content: &str| {
        let len = content.len();
        let request = format!(
            "{method} {key} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: \
             {len}\r\n\r\n{content}"
        );
        let answer = kv.ask_to_the_end(&request);
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse::<u16>().unwrap(), content.to_owned())
    };
    let status = |answer: (u16, String)| answer.0;
    assert_eq!(status(ask("GET", "/kv/a", "")), 404);
    assert_eq!(status(ask("PUT", "/kv/a", "one")), 201);
    assert_eq!(status(ask("PUT", "/kv/a?ttl=60", "two")), 204);
    assert_eq!(ask("GET", "/kv/a", ""), (200, "two".into()));
    assert_eq!(status(ask("PUT", "/kv/b?ttl=soon", "?")), 400);
    // Gone at once, and cleaned up soon.
    assert_eq!(status(ask("PUT", "/kv/b?ttl=0", "gone")), 201);
    assert_eq!(status(ask("GET", "/kv/b", "")), 404);
    let held = || {
        let (_, stats) = ask("GET", "/stats", "");
        let counts = stats.trim_matches(['[', ']']).split(',');
        counts
            .map(|count| count.parse::<usize>().unwrap())
            .collect::<Vec<_>>()
    };
    while held().iter().sum::<usize>() > 1 {}
    assert_eq!(status(ask("DELETE", "/kv/a", "")), 204);
    assert_eq!(status(ask("DELETE", "/kv/a", "")), 404);
    // Both shards have their part, and each its bound.
    let keys = (0..100).map(|n| status(ask("PUT", &format!("/kv/{n}"), "x")));
    let full = keys.filter(|status| *status == 507).count();
    assert_eq!((held(), full), (vec![3, 3], 94));
    assert!(kv.ends_well());
}
