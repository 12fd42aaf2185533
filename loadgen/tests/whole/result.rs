//! The result file: the schema, and what must add up in it.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use crate::program::{Ended, loadgen};
use crate::toy::{Reply, Toy};

/// A file of this name for one test.
pub(crate) fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Every tenth answer is another one.
fn mostly_honest() -> Toy {
    Toy::start(|request| match request.number % 10 {
        9 => Reply::with("503 Busy", ""),
        _ => Reply::with("200 OK", "hello"),
    })
}

/// Runs with `args`; the result and the lines of the timeline.
fn result(name: &str, args: &[&str], toy: &Toy) -> (Ended, Value, Vec<Value>) {
    let (json, lines) = (
        scratch(&format!("{name}.json")),
        scratch(&format!("{name}.ndjson")),
    );
    let url = toy.url("/x");
    let files = [
        "-o",
        json.to_str().unwrap(),
        "--timeseries",
        lines.to_str().unwrap(),
    ];
    let ended = loadgen(&[args, &files[..], &[url.as_str()]].concat());
    let text = std::fs::read_to_string(&json).unwrap_or_else(|error| panic!("{error} {ended:#?}"));
    let lines = std::fs::read_to_string(&lines).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (ended, serde_json::from_str(&text).unwrap(), lines)
}

fn number(value: &Value, path: &str) -> u64 {
    let found = value.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

/// A histogram as results carry it.
fn histogram(text: &Value) -> Histogram<u64> {
    let bytes = STANDARD.decode(text.as_str().unwrap()).unwrap();
    Deserializer::new().deserialize(&mut &bytes[..]).unwrap()
}

/// The histograms of all rows added up.
fn merged(rows: &[Value]) -> Histogram<u64> {
    let mut sum = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
    for row in rows.iter().filter(|row| !row["hdr_v2"].is_null()) {
        sum.add(histogram(&row["hdr_v2"])).unwrap();
    }
    sum
}

/// `sent = ok + errors + in flight at end`, rows and their histograms add up, and
/// histograms have what they must.
fn assert_invariants(result: &Value, rows: &[Value]) {
    let count = |name: &str| number(result, &format!("/counts/{name}"));
    let errors = [
        "status_unexpected",
        "header_mismatch",
        "body_mismatch",
        "protocol",
        "timeout",
        "reset",
    ];
    let errors: u64 = errors.into_iter().map(count).sum();
    assert_eq!(
        count("sent"),
        count("ok") + errors + count("in_flight_at_end")
    );
    let answered = count("ok")
        + count("status_unexpected")
        + count("header_mismatch")
        + count("body_mismatch");
    let timed = answered + count("timeout");
    assert_eq!(number(result, "/latency/response/count"), timed);
    assert_eq!(number(result, "/latency/service/count"), timed);
    assert_eq!(number(result, "/latency/send_lag/count"), count("sent"));
    assert_eq!(number(result, "/latency/own_delay/count"), count("sent"));
    let statuses = result["counts"]["status"].as_object().unwrap().values();
    assert_eq!(
        statuses.map(|value| value.as_u64().unwrap()).sum::<u64>(),
        answered
    );
    let kept = result["timeseries"]["rows"].as_array().unwrap();
    assert_eq!(kept.len(), rows.len());
    for (name, total) in [
        ("sent", count("sent")),
        ("ok", count("ok")),
        ("errors", errors),
    ] {
        let sum = |rows: &[Value]| {
            rows.iter()
                .map(|row| row[name].as_u64().unwrap())
                .sum::<u64>()
        };
        assert_eq!((sum(rows), sum(kept)), (total, total), "rows of {name}");
    }
    assert_eq!(
        merged(rows),
        histogram(&result["latency"]["response"]["hdr_v2"])
    );
    let ends = rows.iter().map(|row| row["max"].as_u64().unwrap()).max();
    assert_eq!(ends, Some(number(result, "/latency/response/max")));
}

fn assert_valid(result: &Value) {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/loadgen-1.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let faults: Vec<_> = validator
        .iter_errors(result)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn results_of_every_kind_are_valid_and_add_up() {
    let toy = mostly_honest();
    let kinds: [(&str, &[&str]); 6] = [
        ("closed", &["-n", "500", "-c", "3", "-p", "2"]),
        (
            "open",
            &[
                "-R", "500", "-d", "1s", "-c", "4", "--warmup", "200ms", "-t", "2",
            ],
        ),
        (
            "churn",
            &["-n", "300", "-c", "3", "-r", "7", "--close", "rst"],
        ),
        (
            "stages",
            &["--stages", "0:400/500ms,200/300ms", "--arrival", "poisson"],
        ),
        ("timed", &["-d", "1s", "-c", "2", "--interval", "100ms"]),
        (
            "filled",
            &[
                "-n", "99", "-c", "2", "-b", "{seq}", "-m", "POST", "--label", "a<b",
            ],
        ),
    ];
    for (name, args) in kinds {
        let (ended, result, rows) = result(name, args, &toy);
        assert_eq!(ended.code, 4, "the 503 are noticed: {ended:#?}");
        assert_valid(&result);
        assert_invariants(&result, &rows);
        assert_eq!(number(&result, "/exit_code"), 4);
        assert!(number(&result, "/counts/status_unexpected") > 0);
    }
}

#[test]
fn stages_and_templates_add_up_to_the_whole() {
    let toy = mostly_honest();
    let lines = scratch("urls.txt");
    std::fs::write(
        &lines,
        "# a mix\n3 GET /a\nPOST /b {\"n\":{seq}}\n0 /never\n",
    )
    .unwrap();
    let args = [
        "--stages",
        "300/500ms,600/500ms",
        "--urls",
        lines.to_str().unwrap(),
    ];
    let (ended, result, _) = result("parts", &args, &toy);
    assert_valid(&result);
    for parts in ["templates", "stages"] {
        let sum = |name: &str| {
            let all = result[parts].as_array().unwrap().iter();
            all.map(|part| part["counts"][name].as_u64().unwrap())
                .sum::<u64>()
        };
        for name in ["sent", "ok", "status_unexpected"] {
            let whole = number(&result, &format!("/counts/{name}"));
            assert_eq!(sum(name), whole, "{parts} {name}: {ended:#?}");
        }
    }
    let sent = |at: usize| number(&result, &format!("/templates/{at}/counts/sent"));
    assert!(sent(0) > 2 * sent(1) && sent(2) == 0, "3 to 1 to 0");
    ended.expect(
        4,
        &[
            "Template    GET /a: ",
            "Template    POST /b: ",
            "Stage       300/500ms: ",
        ],
    );
}

#[test]
fn standard_output_can_be_json() {
    let toy = mostly_honest();
    let ended = loadgen(&["-n", "5", "-c", "1", "--format", "json", &toy.url("/")]);
    let result: Value = serde_json::from_str(&ended.out).unwrap();
    assert_valid(&result);
    assert_eq!(number(&result, "/counts/ok"), 5);
}

#[test]
fn a_condition_that_is_breached_is_code_3() {
    let toy = Toy::start(|_| Reply::with("200 OK", ""));
    let run = |condition: &str| {
        loadgen(&[
            "-n",
            "2k",
            "-c",
            "2",
            "--fail",
            condition,
            "--fail",
            "errors<1",
            &toy.url("/"),
        ])
    };
    run("p99<1h").expect(0, &["Condition   kept: p99<1h"]);
    run("p99<1ns").expect(3, &["Condition   BREACHED: p99<1ns"]);
    run("p99.999<1h").expect(3, &["BREACHED: p99.999<1h"]);
}

#[test]
fn results_become_pages_pictures_and_lines() {
    let toy = Toy::start(|_| Reply::with("200 OK", ""));
    let files: Vec<_> = (0..2)
        .map(|at| {
            let file = scratch(&format!("page{at}.json"));
            let label = format!("<{at}>");
            let text = file.to_str().unwrap();
            let args = [
                "-R",
                "300",
                "-d",
                "1s",
                "--interval",
                "200ms",
                "--label",
                &label,
            ];
            loadgen(&[&args[..], &["-o", text, &toy.url("/")]].concat()).expect(0, &["open loop"]);
            text.to_owned()
        })
        .collect();
    let [html, svg, csv] = ["page.html", "page.svg", "page.csv"].map(scratch);
    let paths = [&html, &svg, &csv].map(|path| path.to_str().unwrap());
    let options = ["--html", paths[0], "--svg", paths[1], "--csv", paths[2]];
    loadgen(&[&["report", &files[0], &files[1]], &options[..]].concat()).expect(0, &[]);
    let html = std::fs::read_to_string(html).unwrap();
    assert_eq!(html.matches("<svg").count(), 3);
    let rows = [
        "Response time",
        "Service time",
        "Send lag",
        "Own delay",
        "Connect",
    ];
    assert_eq!(
        rows.map(|row| html.matches(&format!(">{row}<")).count()),
        [2; 5]
    );
    assert!(html.contains("&lt;1&gt;") && !html.contains("<1>") && !html.contains("<script"));
    let curves = std::fs::read_to_string(scratch("page-percentiles.svg")).unwrap();
    assert_eq!(
        ["<polyline", "stroke-dasharray"].map(|part| curves.matches(part).count()),
        [8, 4],
        "response and service of both, and each in the legend"
    );
    assert!(
        std::fs::read_to_string(scratch("page-timeline.svg"))
            .unwrap()
            .contains("answers/s")
    );
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 3);
    let few = loadgen(&["compare", &files[0], "--", &files[1]]);
    few.expect(2, &[]);
    assert!(few.err.contains("each side needs at least 5"), "{few:?}");
}

#[test]
fn prometheus_is_answered_during_the_run() {
    use std::io::{Read, Write};
    let toy = Toy::start(|_| Reply::with("200 OK", ""));
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let address = port.to_string();
    let args = [
        "-d",
        "1h",
        "-c",
        "1",
        "--warmup",
        "0",
        "--interval",
        "100ms",
        "--prometheus",
    ];
    let child = crate::program::start(&[&args[..], &[&address, &toy.url("/")]].concat());
    let text = loop {
        let Ok(mut stream) = std::net::TcpStream::connect(port) else {
            continue;
        };
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        if text.contains("loadgen_ok_total") && !text.contains("loadgen_ok_total 0\n") {
            break text;
        }
    };
    assert!(
        text.contains("loadgen_response_seconds_bucket{le=\"+Inf\"}"),
        "{text}"
    );
    let id = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &id])
        .status()
        .unwrap();
    crate::program::finish(child).expect(130, &[]);
}
