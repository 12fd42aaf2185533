//! What is sent and when: files of requests, rows of values, arrivals, the warm-up, the search for
//! a rate, and loadgen's own ceiling.

use std::sync::mpsc::channel;

use serde_json::Value;

use crate::acceptance::Sink;
use crate::program::{loadgen, start};
use crate::result::scratch;
use crate::toy::{Reply, Toy};

/// A file of this name and content.
fn file(name: &str, content: &str) -> String {
    let path = scratch(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn json(args: &[&str], url: &str) -> Value {
    let ended = loadgen(&[args, &["--format", "json", url]].concat());
    assert_eq!(ended.code, 0, "{ended:#?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn raw_files_go_over_the_wire_as_they_are_and_as_often_as_they_weigh() {
    let (hear, heard) = channel();
    let toy = Toy::start(move |request| {
        let content = String::from_utf8(request.content.clone()).unwrap();
        hear.send(format!("{}{content}", request.head)).unwrap();
        Reply::with("200 OK", "")
    });
    let first = "GET /one HTTP/1.1\r\nhost:  x\r\nX-Odd:\tyes\r\n\r\n";
    let second = "POST /two HTTP/1.1\r\nHost: y\r\nContent-Length: 4\r\n\r\n{a}\n";
    let (one, two) = (file("one.raw", first), file("two.raw", second));
    let heavy = format!("{one}:3");
    let args = [
        "-n",
        "400",
        "-c",
        "2",
        "--raw",
        &heavy,
        "--raw",
        &two,
        &toy.url("/"),
    ];
    loadgen(&args).expect(0, &["Sent 400 = 400 ok", "Template    "]);
    let all: Vec<_> = heard.try_iter().collect();
    let count = |text: &str| all.iter().filter(|one| *one == text).count();
    assert_eq!(count(first) + count(second), 400, "{all:?}");
    assert!(
        (270..330).contains(&count(first)),
        "3 to 1: {}",
        count(first)
    );
}

#[test]
fn rows_of_a_feed_are_filled_in_one_after_another() {
    let (hear, heard) = channel();
    let toy = Toy::start(move |request| {
        let content = String::from_utf8(request.content.clone()).unwrap();
        hear.send(format!("{} {content}", request.line)).unwrap();
        Reply::with("200 OK", "")
    });
    let rows = file("feed.csv", "name,city\nann,Rome\n\"b,b\",Oslo\n\u{fc}la,\n");
    let args = ["-n", "4", "-c", "1", "--csv", &rows, "-m", "POST"];
    let body = ["-b", "{csv:name}/{csv:city}/{seq}", &toy.url("/x")];
    loadgen(&[&args[..], &body].concat()).expect(0, &["Sent 4 = 4 ok"]);
    let all: Vec<_> = heard.try_iter().collect();
    let expected = ["ann/Rome/0", "b,b/Oslo/1", "\u{fc}la//2", "ann/Rome/3"];
    assert_eq!(all, expected.map(|row| format!("POST /x {row}")));
    let args = ["-n", "1", "--csv", &rows, "-b", "{csv:nme}", &toy.url("/")];
    let wrong = loadgen(&args);
    assert!(wrong.code == 2 && wrong.err.contains("nme"), "{wrong:#?}");
}

#[test]
fn every_kind_of_arrival_offers_its_rate() {
    let sink = Sink::start(&[]);
    for (arrival, sent) in [
        ("constant", 200..=200),
        ("uniform", 199..=201),
        ("burst:10", 200..=200),
        // Four standard deviations of the count about its mean.
        ("poisson", 143..=257),
    ] {
        let args = [
            "-R",
            "400",
            "-d",
            "500ms",
            "--warmup",
            "0",
            "--arrival",
            arrival,
        ];
        let result = json(&args, &sink.url);
        let count = result["counts"]["sent"].as_u64().unwrap();
        assert!(sent.contains(&count), "{arrival}: {count}");
        assert_eq!(result["counts"]["ok"], count, "{arrival}");
        assert_eq!(result["model"]["arrival"], arrival);
    }
}

#[test]
fn an_automatic_warm_up_ends_by_itself_and_counts_apart() {
    let sink = Sink::start(&[]);
    let args = ["-R", "200", "-d", "500ms", "-c", "4", "--warmup", "auto"];
    let result = json(&args, &sink.url);
    let warm = result["phases"]["warmup_s"].as_f64().unwrap();
    let before = result["phases"]["warmup_sent"].as_f64().unwrap();
    assert!(
        warm > 0.0 && (before - 200.0 * warm).abs() <= 2.0,
        "{warm} {before}"
    );
    let sent = result["counts"]["sent"].as_u64().unwrap();
    assert!((99..=101).contains(&sent), "half a second of 200/s: {sent}");
}

/// One server that takes 1 ms for each request can answer 1,000 per second, and no more.
#[test]
fn no_knee_is_found_beyond_what_a_queue_can_serve() {
    let sink = Sink::start(&["--service", "1ms"]);
    let args = [
        "find",
        "--slo",
        "p50<400ms",
        "-d",
        "300ms",
        "--confirmations",
        "1",
        &sink.url,
    ];
    let ended = loadgen(&args);
    let knee = ended
        .out
        .lines()
        .find_map(|line| line.strip_prefix("knee "));
    let Some(knee) = knee.and_then(|rest| rest.split('/').next()) else {
        // A machine so crowded that not even a low rate was achieved.
        return ended.expect(3, &["no rate keeps the promise"]);
    };
    let knee: u64 = knee.replace(',', "").parse().unwrap();
    assert!(knee <= 1_010, "{ended:#?}");
    assert!([0, 6].contains(&ended.code), "{ended:#?}");
}

#[test]
fn calibrate_tells_what_loadgen_can_do_here_and_later_reports_how_far_below_they_are() {
    let load = ["-d", "100ms", "-c", "4", "-p", "4"];
    std::fs::remove_dir_all(scratch("state")).ok();
    let sink = Sink::start(&[]);
    let headroom = || json(&load, &sink.url)["verdict"]["headroom_vs_calibration"].clone();
    assert_eq!(headroom(), Value::Null, "nothing is known yet");
    let ended = loadgen(&[&["calibrate"], &load[..]].concat());
    ended.expect(0, &["Against loadgen's own sink at http://127.0.0.1:"]);
    let row = |depth: &str| {
        let rows = ended.out.lines().map(str::split_whitespace);
        let mut row = rows
            .map(Iterator::collect::<Vec<_>>)
            .filter(|row| row.first() == Some(&depth));
        let rate = row.next().unwrap()[1].replace(',', "");
        rate.parse::<u32>().unwrap()
    };
    assert!(
        ["1", "4", "16"].iter().all(|depth| row(depth) > 0),
        "{ended:#?}"
    );
    ended.expect(0, &["Kept in ", "/loadgen/ceilings.json: reports"]);
    assert!(headroom().as_f64().is_some_and(|left| left < 1.0));
    let rate = f64::from(row("4"));
    let slow = json(&[&load[..], &["-R", "100"]].concat(), &sink.url);
    let left = slow["verdict"]["headroom_vs_calibration"].as_f64().unwrap();
    let expected = 1.0 - slow["rate"]["achieved"].as_f64().unwrap() / rate;
    assert!((left - expected).abs() < 1e-4, "{left} {expected}");
}

#[test]
fn the_rate_of_an_open_loop_is_told_for_the_time_of_its_schedule() {
    let sink = Sink::start(&[]);
    let result = json(&["-R", "5", "-d", "1s", "--warmup", "0"], &sink.url);
    let rate = |result: &Value| result["rate"]["achieved"].as_f64().unwrap();
    assert_eq!(result["counts"]["ok"], 5);
    // Four gaps lie between five requests; a crowded machine may only have taken longer.
    assert!(rate(&result) <= 5.0, "{result:#}");
    let counted = ["-R", "5", "-n", "5"];
    assert!(rate(&json(&counted, &sink.url)) <= 5.0);

    // More than the server can: what is sent late, and what is only answered late. It cannot have
    // served 200 before two seconds are over, whatever the machine does.
    let slow = Sink::start(&["--service", "10ms"]);
    for connections in ["1", "200"] {
        let much = ["-R", "400", "-c", connections, "-d", "500ms"];
        let rest = ["--warmup", "0", "--drain", "20s"];
        let result = json(&[&much[..], &rest].concat(), &slow.url);
        assert_eq!(result["counts"]["ok"], 200, "{result:#}");
        let share = result["verdict"]["achieved_ratio"].as_f64().unwrap();
        assert!((share - rate(&result) / 400.0).abs() < 0.001, "{result:#}");
        let least = result["latency"]["service"]["min"].as_f64().unwrap() / 1e9;
        let most = 200.0 / (2.0 - least);
        assert!(rate(&result) <= most * 1.001, "{connections}: {result:#}");
    }
}

#[test]
fn who_stops_reading_the_report_is_not_told_anything() {
    let sink = Sink::start(&[]);
    let mut child = start(&["-d", "300ms", "-c", "1", "--fail", "p50<1ns", &sink.url]);
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "as it was judged");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn the_result_has_the_exit_code_of_the_run_that_sent_nothing() {
    let slow = Sink::start(&["--service", "50ms"]);
    let args = ["-R", "2000", "-c", "1", "-d", "500ms", "--warmup", "300ms"];
    let rest = ["--drain", "100ms", "--format", "json", &slow.url];
    let ended = loadgen(&[&args[..], &rest].concat());
    let result: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        result["counts"]["sent"], 0,
        "the warm-up's are still in line"
    );
    assert_eq!((ended.code, &result["exit_code"]), (1, &Value::from(1)));
    // The server has worked all the same: for the warm-up's requests.
    assert!(
        result["rate"]["achieved"].as_f64().unwrap() > 0.0,
        "{result:#}"
    );
}
