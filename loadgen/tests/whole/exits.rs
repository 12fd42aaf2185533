//! The exit codes: one run for each that a server can bring about. That a starved loadgen ends with
//! 5 is in `acceptance`; 70 would be a bug of its own, and has its test beside the accounts.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Ended, finish, loadgen, start};
use crate::result::scratch;
use crate::toy::{Reply, Toy};

/// A run whose verdict is heeded.
fn strict(args: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args(args).stdin(Stdio::null());
    finish(
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    )
}

#[test]
fn each_way_to_end_has_its_code() {
    let good = Toy::start(|_| Reply::with("200 OK", "hello"));
    let bad = Toy::start(|_| Reply::with("500 No", ""));
    let gone = Toy::start(|_| Reply::Last(Vec::new()));
    let (good, bad, gone) = (good.url("/"), bad.url("/"), gone.url("/"));
    let many = ["-n", "2k", "-c", "2"];
    let ends = [
        (0, vec!["--fail", "p50<1h", &good]),
        (1, vec![gone.as_str()]),
        (2, vec!["--fail", "p50", &good]),
        (3, vec!["--fail", "p50<1ns", &good]),
        (4, vec![bad.as_str()]),
        (4, vec!["--expect-body", "jello", &good]),
        (4, vec!["--expect-len", "4", "--fail", "p50<1ns", &good]),
    ];
    for (code, args) in ends {
        let ended = loadgen(&[&many[..], &args].concat());
        assert_eq!(ended.code, code, "{args:?}: {ended:#?}");
    }
}

/// Every 500 answers one of 16 connections falls silent; all others ask 500 times per second. So
/// the rate falls from 8,000 to 2,000 per second within two seconds, whatever the machine does.
#[test]
fn a_rate_that_falls_is_not_steady() {
    let toy = Toy::start(|request| match request.number % 500 {
        499 => Reply::Silence,
        _ => Reply::with("200 OK", ""),
    });
    let args = [
        "-c",
        "16",
        "--think",
        "2ms",
        "-d",
        "2s",
        "--interval",
        "100ms",
        "--warmup",
        "0",
    ];
    let more = ["--drain", "1ms", "--timeout", "1h", &toy.url("/")];
    let ended = strict(&[&args[..], &more].concat());
    let said = "not steady: the rate has a trend";
    assert!(
        ended.out.contains(said) && ended.out.contains("NOT STEADY"),
        "{ended:#?}"
    );
    // 5 where the machine is so crowded that loadgen had no CPU.
    assert!([5, 6].contains(&ended.code), "{ended:#?}");
}

/// Results whose rates are `factor` of one that was measured, give or take little.
fn results(measured: &Value, side: &str, factor: f64) -> Vec<String> {
    let files = (0..5_u8).map(|at| {
        let mut result = measured.clone();
        let rate = measured["rate"]["ok"].as_f64().unwrap();
        result["rate"]["ok"] = (rate * factor * (1.0 + f64::from(at) / 1_000.0)).into();
        let path = scratch(&format!("exits-{side}{at}.json"));
        std::fs::write(&path, result.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    });
    files.collect()
}

#[test]
fn a_comparison_that_shows_b_to_be_worse_ends_with_7() {
    let toy = Toy::start(|_| Reply::with("200 OK", ""));
    let ended = loadgen(&["-n", "2k", "-c", "2", "--format", "json", &toy.url("/")]);
    let measured: Value = serde_json::from_str(&ended.out).unwrap();
    let (fast, slow) = (
        results(&measured, "fast", 1.0),
        results(&measured, "slow", 0.8),
    );
    let compare = |a: &[String], b: &[String]| {
        let args = ["compare"]
            .into_iter()
            .chain(a.iter().map(String::as_str))
            .chain(["--"]);
        let args: Vec<_> = args.chain(b.iter().map(String::as_str)).collect();
        finish(start(&args))
    };
    compare(&fast, &slow).expect(7, &["worse", "0.800"]);
    compare(&slow, &fast).expect(0, &["better", "1.250"]);
    compare(&fast, &fast).expect(0, &["no change shown"]);
}
