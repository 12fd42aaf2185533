//! What the command line understands, and how it refuses the rest.

use std::net::{IpAddr, Ipv4Addr};

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
        ("run", "<URL>"),
        ("localhost:8080", "http://localhost:8080"),
        ("http//a:80/b", "as in http://a:80/b"),
        ("http:/a", "as in http://a ("),
        ("httpd", "'httpd' is neither a command (run, ab,"),
        ("rnu http://a/", "'rnu' is neither a command"),
        ("https://a/", "TLS, which is not built yet"),
        ("ftp://a/", "not ftp://"),
        ("--fast http://a/", "--fast"),
        ("--conections 5 http://a/", "exists: '--connections'"),
        ("-s x.lua http://a/", "scripts are not run"),
        ("find --slo p99<5ms -R 5 http://a/", "leave -R"),
        ("calibrate -R 5", "leave -R"),
        ("find --slo p99<5ms --stages 1/1s http://a/", "--stages out"),
        ("-c 0 http://a/", "at least 1"),
        ("-c 2M http://a/", "at most 1,000,000"),
        ("-c x http://a/", "digits"),
        ("-d 10 http://a/", "10s"),
        ("-d 10sec http://a/", "'sec' is not a unit"),
        ("-d 1.5s http://a/", "1500ms"),
        ("-o - http://a/", "--format json writes to standard output"),
        (
            "-o x --html ./x http://a/",
            "--html and -o name the same file",
        ),
        (
            "--urls load.txt -o load.txt http://a/",
            "-o would write over",
        ),
        (
            "--raw a.txt:3 --html ./a.txt http://a/",
            "--html would write over",
        ),
        (
            "report --html r-timeline.svg --svg r.svg a.json",
            "--html and --svg name",
        ),
        (
            "-o /tmp/x --html /tmp/../tmp/x http://a/",
            "name the same file",
        ),
        ("report --html a.json a.json", "--html would write over "),
        (
            "report --html b --csv b a.json",
            "--csv and --html name the same file",
        ),
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

#[test]
fn a_file_of_options_stands_before_the_command_line() {
    let path = std::env::temp_dir().join(format!("loadgen-config-{}.toml", std::process::id()));
    let file = "url = 'http://a/'\nconnections = '1k'\nrate = 500\nno-keepalive = true\n\
                quiet = false\nheader = ['A: b', 'C: d']\nexpect-status = [200, 204]\n";
    std::fs::write(&path, file).unwrap();
    let given = |more: &str| run(&format!("--config {} {more}", path.display()));
    let plain = given("");
    assert_eq!(
        (plain.load.connections, plain.load.rate),
        (1_000, Some(500))
    );
    assert_eq!(plain.load.what.headers.len(), 2);
    assert_eq!(plain.load.what.expect_status, [200, 204]);
    assert!(plain.load.no_keepalive && !plain.output.quiet);
    assert_eq!(plain.url, Url::parse("http://a/").unwrap());
    let other = given("-c 7 -R 9 -H E:f http://b/");
    assert_eq!((other.load.connections, other.load.rate), (7, Some(9)));
    assert_eq!(other.load.what.headers.len(), 3, "lists add up");
    assert_eq!(other.url, Url::parse("http://b/").unwrap());
    for (text, reason) in [
        ("connections = ", "--config "),
        ("conections = 5", "--conections"),
        ("connections = 0", "at least 1"),
        ("rate = 1.5", "rate: it is a text, a whole number"),
        ("rate = {}", "rate: it is a text, a whole number"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read(&format!("run --config={} http://a/", path.display())).unwrap_err();
        assert!(
            error.contains(reason) && !error.contains('\n'),
            "{text}: {error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    let missing = read("--config /does/not/exist http://a/").unwrap_err();
    assert!(
        missing.contains("/does/not/exist: No such file"),
        "{missing}"
    );
    read("-c 1 -c 2 http://a/").expect_err("without a file nothing wins");
}

#[test]
fn files_of_several_runs_have_names_of_their_own() {
    let error = read("--repeat 2 -o a.json http://a/").unwrap_err();
    assert!(error.contains("{run}"), "{error}");
    read("--repeat 2 -o a{run}.json --html b.html http://a/").unwrap_err();
    let several = run("--repeat 2 --cooldown 0 -o a{run}.json --timeseries {run}/t http://a/");
    let second = several.output.of_run(2);
    let paths: Vec<_> = second
        .named()
        .iter()
        .map(|(_, path)| path.to_str().unwrap())
        .collect();
    assert_eq!(paths, ["a2.json", "2/t"]);
    assert_eq!((several.repeat, several.cooldown), (2, Duration::ZERO));
}

#[test]
fn addresses_and_threads_can_be_many_at_once() {
    let sources = |range: &str| {
        let run = run(&format!("--source-ip {range} http://a/"));
        run.load
            .machine
            .sources(5, Ipv4Addr::LOCALHOST.into())
            .map(|all| all.len())
    };
    assert_eq!(sources("127.0.0.5/30"), Ok(4));
    assert_eq!(sources("10.1.2.3/16"), Ok(65_536));
    assert_eq!(sources("10.1.2.3/32"), Ok(1));
    for wrong in ["10.1.2.3/15", "10.1.2.3/33", "::1/32", "10.1.2.3/"] {
        sources(wrong).unwrap_err();
    }
    let unasked = |options: &str, count, server: &str| {
        let machine = run(&format!("{options} http://a/")).load.machine;
        let server: IpAddr = server.parse().unwrap();
        machine.sources(count, server).unwrap().len()
    };
    assert_eq!(unasked("", 28_000, "127.0.0.1"), 0);
    assert_eq!(unasked("", 28_001, "127.0.0.1"), 2);
    assert_eq!(unasked("", 1_000_000, "127.1.2.3"), 50);
    assert_eq!(unasked("", 28_001, "10.0.0.1"), 0);
    assert_eq!(unasked("", 28_001, "::1"), 0);
    assert_eq!(unasked("--unix /x", 28_001, "127.0.0.1"), 0);
    assert_eq!(unasked("--source-ip 127.0.0.9", 28_001, "127.0.0.1"), 1);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let auto = run("-c 1k -t auto http://a/").load.machine.placement();
    assert_eq!(auto.map(|placement| placement.shard_count()), Ok(cpus));
}

#[test]
fn a_part_of_the_contents_is_compared_only_where_there_is_something_to_compare_with() {
    let verify = |options: &str| {
        let read = read(&format!("{options} http://a/"));
        read.map(|_| run(&format!("{options} http://a/")).load.what.verify)
    };
    assert_eq!(verify(""), Ok(1));
    assert_eq!(verify("--verify 1/100 --expect-len 5"), Ok(100));
    for wrong in [
        "--verify 1/100",
        "--verify 1/0 --expect-len 5",
        "--verify 2",
    ] {
        verify(wrong).unwrap_err();
    }
}
