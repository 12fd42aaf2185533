//! What the command line understands, and how it refuses the rest.

use super::load::Body;
use super::*;

fn read(line: &str) -> Result<Request, String> {
    let args = std::iter::once("loadgen").chain(line.split_ascii_whitespace());
    parse(args.map(OsString::from))
}

fn command(line: &str) -> Command {
    match read(line) {
        Ok(Request::Run(command)) => *command,
        other => panic!("{line}: {other:?}"),
    }
}

fn run(line: &str) -> Run {
    match command(line) {
        Command::Run(run) => *run,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_bare_url_means_run() {
    let bare = run("http://a/");
    assert_eq!(
        (
            bare.load.connections,
            bare.load.pipeline,
            bare.load.requests
        ),
        (64, 1, None)
    );
    assert_eq!(
        (bare.load.what.method.as_str(), bare.load.machine.timeout),
        ("GET", Duration::from_secs(10))
    );
    assert_eq!(run("run http://a/").url, bare.url);
    assert_eq!(run("-c 1k http://a/").load.connections, 1_000);
}

#[test]
fn every_option_of_run_is_read() {
    let run = run("-c 2 -t 2 -n 1M -m PUT -H A:b -H C:d -b text -p 16 --timeout 2s http://a/");
    assert_eq!(
        (run.load.connections, run.load.requests, run.load.pipeline),
        (2, Some(1_000_000), 16)
    );
    assert_eq!(
        (run.load.what.method.as_str(), run.load.what.headers.len()),
        ("PUT", 2)
    );
    assert_eq!(run.load.what.body, Some(Body(b"text".to_vec())));
    assert_eq!(run.load.machine.placement().unwrap().shard_count(), 2);
    assert_eq!(run.load.machine.timeout, Duration::from_secs(2));
}

#[test]
fn the_challenge_has_its_own_defaults() {
    let Command::Challenge(challenge) = command("1mrc") else {
        panic!()
    };
    assert_eq!(
        (challenge.requests, challenge.connections),
        (1_000_000, 500)
    );
    assert_eq!(
        (challenge.payload, challenge.url.target.as_str()),
        (Payload::Go, "/")
    );
    let Command::Challenge(challenge) = command("1mrc -n 5 --payload java") else {
        panic!()
    };
    assert_eq!((challenge.requests, challenge.payload), (5, Payload::Java));
}

#[test]
fn a_wrong_command_line_is_one_line_that_says_why() {
    let all = [
        ("run", "http://HOST"),
        ("localhost:8080", "http://localhost:8080"),
        ("--fast http://a/", "--fast"),
        ("-c 0 http://a/", "at least 1"),
        ("-c 2M http://a/", "at most 1,000,000"),
        ("-c x http://a/", "digits"),
        ("-d 10 http://a/", "10s"),
        ("-d 1s -n 5 http://a/", "cannot be used"),
        ("-p 5k http://a/", "at most 4,096"),
        ("-t 257 http://a/", "at most 256"),
        ("-t 3 -c 2 http://a/", "at least 3 connections"),
        ("--cpus x http://a/", "CPU list"),
        ("--cpus 1023 http://a/", "CPU 1023 is not allowed"),
        ("-H nothing http://a/", "Name: value"),
        ("-b @/does/not/exist http://a/", "No such file"),
        ("http://a/ http://b/", "unexpected"),
        ("1mrc http://a/path", "/path"),
        ("1mrc --payload c", "aiohttp"),
        ("1mrc -n 0", "at least 1"),
    ];
    for (line, reason) in all {
        let error = read(line).unwrap_err();
        assert!(
            error.contains(reason) && !error.contains('\n'),
            "{line}: {error}"
        );
    }
}

#[test]
fn help_and_version_are_for_standard_output() {
    for (line, text) in [
        ("--help", "1mrc"),
        ("--version", "loadgen 0"),
        ("run --help", "--pipeline"),
        ("1mrc --help", "--payload"),
        ("1mrc --help", "POST /reset"),
    ] {
        let Ok(Request::Print(printed)) = read(line) else {
            panic!("{line}")
        };
        assert!(printed.contains(text), "{line}: {printed}");
    }
    let Ok(Request::Advise(help)) = read("") else {
        panic!("no arguments are a mistake")
    };
    assert!(help.contains("1mrc"), "{help}");
}

#[test]
fn the_pace_and_the_warm_up_follow_from_the_options() {
    use crate::plan::{Limit, Pace, Warmup};
    let plan = |line: &str| {
        let run = run(line);
        run.load
            .plan(&run.url, "127.0.0.1:1".parse().unwrap())
            .unwrap()
    };
    let seconds = Duration::from_secs;
    let plain = plan("http://a/");
    assert_eq!(plain.pace, Pace::Closed { think: None });
    assert_eq!(
        (plain.limit, plain.warmup),
        (Limit::Time(seconds(10)), Warmup::Fixed(seconds(1)))
    );
    assert_eq!(plan("-d 60s http://a/").warmup, Warmup::Fixed(seconds(3)));
    assert_eq!(plan("-n 5 http://a/").warmup, Warmup::Fixed(Duration::ZERO));
    let staged = plan("--stages 1/4s,2/6s http://a/");
    assert_eq!(
        (staged.limit, staged.phase_count()),
        (Limit::Time(seconds(10)), 3)
    );
    let many = plan("-c 50k --source-ip auto http://a/");
    let last = many.socket.sources.last().map(ToString::to_string);
    assert_eq!(
        (many.socket.sources.len(), last.as_deref()),
        (3, Some("127.0.0.3"))
    );
}

/// A screen is 120 columns by 40 lines; the rarer options have the rest to themselves.
#[test]
fn the_help_of_every_command_fits_a_screen_and_has_examples() {
    let help = |line: &str| match read(line) {
        Ok(Request::Print(help)) => help,
        other => panic!("{line}: {other:?}"),
    };
    let commands = "run ab find compare calibrate sink report 1mrc";
    for command in std::iter::once("").chain(commands.split(' ')) {
        let text = help(&format!("{command} --help"));
        let lines = text.lines().count();
        assert!(lines <= 40, "{command} has {lines} lines\n{text}");
        let wide = text.lines().find(|line| line.chars().count() > 120);
        assert_eq!(wide, None, "{command}");
        assert!(text.contains("Examples:"), "{text}");
        assert_eq!(help(&format!("help {command}")), text);
        assert_eq!(help(&format!("{command} -h")), text);
    }
    let (short, all) = (help("run --help"), help("run --help-all"));
    assert!(!short.contains("--overload") && all.contains("--overload"));
}

#[test]
fn what_wrk_calls_latency_and_others_no_keepalive_is_understood() {
    let plan = |line: &str| {
        let run = run(line);
        let address = "127.0.0.1:1".parse().unwrap();
        run.load.plan(&run.url, address).unwrap()
    };
    let wrk = plan("-t2 -c100 -d30s --latency -H A:b http://a/");
    assert_eq!(
        (wrk.connection_count, wrk.requests_per_connection),
        (100, None)
    );
    assert_eq!(
        plan("--no-keepalive http://a/").requests_per_connection,
        Some(1)
    );
    read("--no-keepalive -r 2 http://a/").unwrap_err();
    let driver = |name: &str| {
        plan(&format!("--driver {name} http://a/"))
            .driver
            .to_string()
    };
    assert_eq!([driver("uring"), driver("epoll")], ["uring", "epoll"]);
    let refused = read("--driver monoio http://a/").unwrap_err();
    assert!(refused.contains("auto, uring or epoll"), "{refused}");
}
