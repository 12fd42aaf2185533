//! `/metrics` of a running server: in both formats, by a strict checker of our own and by the
//! parsers of others where they are installed; and the dashboard asks for nothing that is not
//! there.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use sunstar::runtime::{Group, Placement};
use sunstar::service::layers::InGroup;
use sunstar::{Router, Server, ShardId, Sharded, server};

#[path = "metrics/open_metrics.rs"]
mod open_metrics;

use open_metrics::{Sample, check};

const OPEN: &str = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// The content of a response, and its media type.
fn ask(address: SocketAddr, path: &str, accept: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, content) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let media_type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "));
    let media_type = media_type.or_else(|| {
        head.lines()
            .find_map(|line| line.strip_prefix("Content-Type: "))
    });
    (content.to_owned(), media_type.unwrap().to_owned())
}

async fn ask_others(count: Sharded<u64>) -> String {
    count
        .map_reduce(|count| *count, |a, b| a + b)
        .await
        .to_string()
}

/// Calls `f` with the address of a server of two shards that has served a few requests.
fn with_server(f: impl FnOnce(SocketAddr)) {
    let config = server::Config {
        placement: Some(Placement::unpinned(2)),
        signals: false,
        ..server::Config::default()
    };
    let server = Server::bind_with(config, "127.0.0.1:0").unwrap();
    let (address, stopper) = (server.addresses()[0], server.stopper().unwrap());
    let make = |_: ShardId| {
        let slow = Group::start("slow \"\\", 10);
        let router = Router::new(0_u64)
            .get("/slow", || "slow")
            .layer(InGroup::new(slow));
        router
            .get("/sum", ask_others)
            .get("/metrics", server::metrics)
    };
    let running = std::thread::spawn(move || server.serve(make));
    for path in ["/slow", "/sum", "/sum", "/sum"] {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
    }
    f(address);
    stopper.stop();
    running.join().unwrap().unwrap();
}

/// The sum of a metric of whole numbers over all samples.
fn total(samples: &[Sample], name: &str) -> u64 {
    let own = samples.iter().filter(|it| it.name == name);
    own.map(|it| it.value.to_string().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn the_open_metrics_text_is_valid_and_counts_what_has_happened() {
    with_server(|address| {
        let (text, media_type) = ask(address, "/metrics", OPEN);
        assert_eq!(
            media_type,
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        let samples = check(&text).unwrap();
        let shards: BTreeSet<_> = samples
            .iter()
            .filter_map(|it| it.labels.get("shard"))
            .collect();
        assert_eq!(shards, ["0", "1"].map(str::to_owned).iter().collect());
        assert_eq!(total(&samples, "sunstar_requests_total"), 5);
        assert_eq!(total(&samples, "sunstar_connections_accepted_total"), 5);
        assert_eq!(total(&samples, "sunstar_stray_completions_total"), 0);
        assert!(
            total(&samples, "sunstar_mesh_sent_total") >= 6,
            "three sums of two shards"
        );
        assert!(total(&samples, "sunstar_polls_total") >= 5);
        assert!(total(&samples, "sunstar_tasks_spawned_total") >= 5);
        let slow = samples.iter().filter(|it| {
            let group = it.labels.get("group").map(String::as_str);
            it.name == "sunstar_group_polls_total" && group == Some(r#"slow \"\\"#)
        });
        assert!(slow.map(|it| it.value).sum::<f64>() >= 1.0);
        let own = "import sys; from prometheus_client.openmetrics import parser\n\
                   list(parser.text_string_to_metric_families(sys.stdin.read()))";
        if has("python3", &["-c", "import prometheus_client"]) {
            accepts("python3", &["-c", own], &text);
        } else {
            eprintln!("not asked: there is no prometheus_client for python3");
        }
    });
}

#[test]
fn counters_never_go_back() {
    with_server(|address| {
        let [before, after] = [0, 1].map(|_| check(&ask(address, "/metrics", OPEN).0).unwrap());
        let key = |it: &Sample| (it.name.clone(), it.labels.clone());
        let after: BTreeMap<_, _> = after.iter().map(|it| (key(it), it.value)).collect();
        for it in before.iter().filter(|it| it.name.ends_with("_total")) {
            let later = after[&key(it)];
            assert!(
                later >= it.value,
                "{} {:?}: {} to {later}",
                it.name,
                it.labels,
                it.value
            );
        }
    });
}

#[test]
fn the_text_for_prometheus_passes_promtool() {
    with_server(|address| {
        let (text, media_type) = ask(address, "/metrics", "*/*");
        assert_eq!(media_type, "text/plain; version=0.0.4");
        assert!(
            text.contains("# TYPE sunstar_turns_total counter\nsunstar_turns_total{shard=\"0\"} ")
        );
        if has("promtool", &["--version"]) {
            accepts("promtool", &["check", "metrics"], &text);
        } else {
            eprintln!("not asked: there is no promtool");
        }
    });
}

#[test]
fn the_dashboard_asks_only_for_metrics_that_are_there() {
    with_server(|address| {
        let samples = check(&ask(address, "/metrics", OPEN).0).unwrap();
        let names: BTreeSet<_> = samples.iter().map(|it| it.name.as_str()).collect();
        let board = include_str!("../docs/grafana.json");
        let queries: Vec<_> = board.split("\"expr\": \"").skip(1).collect();
        assert!(queries.len() >= 12, "{} queries", queries.len());
        for query in queries {
            let query = query.split("\",\n").next().unwrap();
            let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let asked: Vec<_> = words.filter(|word| word.starts_with("sunstar_")).collect();
            assert!(!asked.is_empty(), "{query}");
            for name in asked {
                assert!(names.contains(name), "there is no {name}, in {query}");
            }
        }
    });
}

#[test]
fn the_manual_names_every_metric() {
    with_server(|address| {
        let samples = check(&ask(address, "/metrics", OPEN).0).unwrap();
        let manual = include_str!("../docs/manual/metrics.md");
        for it in samples {
            let row = format!("`{}`", it.name);
            assert!(manual.contains(&row), "{row} is missing in the manual");
        }
    });
}

fn has(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let quiet = command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Gives `text` to a program that must have no objection.
fn accepts(program: &str, arguments: &[&str], text: &str) {
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.is_empty(),
        "{program}: {said}\n{text}"
    );
}
