//! Whether the figures are right: servers whose behaviour is known, and servers that lie.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{fs, thread};

use serde_json::Value;

use crate::program::{Ended, finish, finish_within, loadgen, start};
use crate::toy::{Reply, Toy, answer};

/// loadgen's own sink with these options, until it is dropped.
pub(crate) struct Sink {
    child: Child,
    pub(crate) url: String,
}

impl Sink {
    pub(crate) fn start(args: &[&str]) -> Sink {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.args(["sink", "--listen", "127.0.0.1:0"]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        let url = format!("http://{address}/");
        Sink { child, url }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn json(args: &[&str], url: &str) -> Value {
    let ended = loadgen(&[args, &["--format", "json", url]].concat());
    assert_eq!(ended.code, 0, "{ended:#?}");
    serde_json::from_str(&ended.out).unwrap()
}

fn millis(result: &Value, path: &str) -> f64 {
    let found = result.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no {path} in {result:#}")) / 1e6
}

fn mean(result: &Value, name: &str) -> f64 {
    millis(result, &format!("/latency/{name}/mean"))
}

/// Waits until every thread of a process stands still (`proc_pid_stat(5)`): a signal takes a while.
fn await_stop(id: u32) {
    let stands_still = |task: io::Result<fs::DirEntry>| {
        let stat = fs::read_to_string(task.unwrap().path().join("stat"));
        stat.unwrap().contains(") T ")
    };
    let tasks = || fs::read_dir(format!("/proc/{id}/task")).unwrap();
    while !tasks().all(stands_still) {
        thread::yield_now();
    }
}

/// loadgen stands still for 300 ms of a second, and then finds 120 requests due and 32 connections
/// free. That the other 88 wait for connections is its own fault up to the moment when it woke.
#[test]
fn a_generator_that_stood_still_owns_the_delay_of_everything_that_became_due() {
    let (hear, heard) = channel();
    let toy = Toy::start(move |request| {
        if request.number == 40 {
            hear.send(()).unwrap();
        }
        Reply::with("200 OK", "")
    });
    let args = [
        "-R", "400", "-c", "32", "-d", "1s", "--warmup", "0", "--format", "json",
    ];
    let child = start(&[&args[..], &[&toy.url("/")]].concat());
    let send = |signal: &str| {
        let id = child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    };
    heard.recv().unwrap();
    send("-STOP");
    await_stop(child.id());
    let pause = heard.recv_timeout(Duration::from_millis(300));
    assert_eq!(pause, Err(RecvTimeoutError::Timeout));
    send("-CONT");
    let result: Value = serde_json::from_str(&finish(child).out).unwrap();
    assert_eq!(result["counts"]["sent"], 400);
    for name in ["response", "send_lag", "own_delay"] {
        let path = format!("/latency/{name}/percentiles/90/value");
        assert!(millis(&result, &path) >= 195.0, "{name}: {result:#}");
        assert!(mean(&result, name) >= 44.0, "{name}: {result:#}");
    }
    assert_eq!(result["verdict"]["status"], "INVALID");
}

/// Half of a second of two is a stall: requests that were due in it waited for its end. A closed
/// loop sends none of them, so nine of ten of its answers know nothing of it.
#[test]
fn the_open_loop_reports_a_stall_and_the_closed_loop_omits_it() {
    let stall = ["--stall", "500ms/1s"];
    let common = ["-c", "4", "-d", "2s", "--warmup", "0", "--seed", "1"];
    let sink = Sink::start(&stall);
    let open = json(&[&common[..], &["-R", "1000"]].concat(), &sink.url);
    // Due at 500 ms and later: half of all, equally spread over 0 to 1,000 ms.
    assert!(millis(&open, "/latency/response/percentiles/90/value") >= 790.0);
    assert!(millis(&open, "/latency/response/percentiles/99/value") >= 970.0);
    assert!(millis(&open, "/latency/response/mean") >= 240.0);
    assert_eq!(open["counts"]["sent"], 2_000, "none of them is left out");
    let [lag, own] = ["send_lag", "own_delay"].map(|name| mean(&open, name));
    assert!(
        lag >= 200.0 && own < lag / 2.0,
        "the wait is not loadgen's: {own} of {lag}"
    );
    drop(sink);
    let sink = Sink::start(&stall);
    let closed = json(&common, &sink.url);
    assert!(millis(&closed, "/latency/response/percentiles/90/value") < 500.0);
    assert!(
        millis(&closed, "/latency/response/max") >= 900.0,
        "four answers knew"
    );
}

/// What the queue of the sink makes of the arrivals and service times of seed 1, found by adding
/// up: the mean time in it over so many seconds, in units of the mean service time. Theory has
/// 1.75 for M/D/1 at 60 % and 2.5 for M/M/1; few arrivals stray.
const QUEUES: [(Load, [(&str, f64); 2]); 2] = [
    (
        Load {
            rate: "150",
            time: "6s",
            unit: 4.0,
        },
        [("4ms", 1.807), ("4ms:exp", 2.334)],
    ),
    // The wake-ups of idle CPUs add some 0.25 ms to each answer: a longer unit makes little of it.
    (
        Load {
            rate: "75",
            time: "120s",
            unit: 8.0,
        },
        [("8ms", 1.762), ("8ms:exp", 2.416)],
    ),
];

/// Arrivals at 60 % of what a server can do whose mean service takes `unit` milliseconds.
struct Load {
    rate: &'static str,
    time: &'static str,
    unit: f64,
}

fn mean_in_queue(service: &str, load: &Load) -> f64 {
    let sink = Sink::start(&["--service", service]);
    let args = [
        "-R",
        load.rate,
        "--arrival",
        "poisson",
        "-c",
        "200",
        "--warmup",
        "0",
        "-d",
        load.time,
    ];
    let result = json(&args, &sink.url);
    let mean = |name| millis(&result, &format!("/latency/{name}/mean")) / load.unit;
    let [response, service] = ["response", "service"].map(mean);
    assert!(service <= response, "{service} {response}");
    response
}

/// Noise of this machine only ever adds, so no report may be better than the queue was.
#[test]
fn queues_of_theory_are_not_reported_better_than_they_are() {
    let (load, queues) = &QUEUES[0];
    for (service, expected) in queues {
        let mean = mean_in_queue(service, load);
        assert!(mean >= expected * 0.98, "{service}: {mean} of {expected}");
    }
}

/// What theory has for the mean time in the queue in units of the service time, and the standard
/// deviation that the mean of 9,000 arrivals has about it: Pollaczek and Khinchine at 60 %, and
/// 150 simulated queues (for M/M/1 also Daley 1968: 0.099).
const THEORY: [(f64, f64); 2] = [(1.75, 0.033), (2.5, 0.105)];

#[test]
#[ignore = "needs CPUs that nobody else uses: scripts/accept-loadgen.sh runs it"]
fn queues_of_theory_are_reported_as_they_are() {
    let (load, queues) = &QUEUES[1];
    for ((service, expected), (theory, deviation)) in queues.iter().zip(THEORY) {
        let mean = mean_in_queue(service, load);
        let most = 1.96 * deviation;
        eprintln!("{service}: {mean:.3}, by adding up {expected:.3}, theory {theory} ± {most:.3}");
        assert!(
            (mean - theory).abs() <= most,
            "{service}: {mean} is not {theory} ± {most}"
        );
        assert!(
            (0.98..1.1).contains(&(mean / expected)),
            "{service}: {mean} of {expected}"
        );
    }
}

#[test]
fn a_starved_client_says_that_its_result_is_invalid() {
    let sink = Sink::start(&[]);
    let mut spinning: Vec<_> = (0..6)
        .map(|_| {
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "sh", "-c", "while :; do :; done"]);
            command.spawn().unwrap()
        })
        .collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.args([
        "--cpus", "0", "-R", "2000", "-d", "2s", "--warmup", "0", &sink.url,
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = finish(command.spawn().unwrap());
    for child in &mut spinning {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    ended.expect(5, &["Verdict     INVALID", "without a CPU for", "--cpus"]);
}

/// Sends 60 requests over 3 connections of 4 requests each to a server that does something odd.
fn churned(reply: impl Fn(u64) -> Reply + Send + Sync + 'static, close: &str) -> (Ended, u64) {
    let toy = Toy::start(move |request| reply(request.number));
    let url = toy.url("/");
    let ended = loadgen(&["-n", "60", "-c", "3", "-r", "4", "--close", close, &url]);
    (ended, toy.request_count())
}

#[test]
fn every_request_is_counted_under_churn_and_resets() {
    for close in ["fin", "rst"] {
        let (ended, count) = churned(|_| Reply::with("200 OK", "hello"), close);
        ended.expect(
            0,
            &["Sent 60 = 60 ok", "4 requests per connection", "200: 60"],
        );
        assert_eq!(count, 60, "{close}");
        let opened = ended.out.split("Connections opened ").nth(1).unwrap();
        let opened: u64 = opened.split(',').next().unwrap().parse().unwrap();
        assert!(
            (15..=17).contains(&opened),
            "60 by 4 on 3 lanes: {ended:#?}"
        );
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
        let (ended, count) = churned(move |_| Reply::Slowly(chunked.into()), close);
        ended.expect(0, &["Sent 60 = 60 ok"]);
        assert_eq!(count, 60);
    }
    let (ended, count) = churned(
        |number| match number % 20 {
            7 => Reply::Last(Vec::new()),
            _ => Reply::with("200 OK", ""),
        },
        "fin",
    );
    ended.expect(1, &["Sent 60 = 57 ok", "+ 3 reset"]);
    assert_eq!(count, 60, "none is sent again");
}

#[test]
fn every_request_is_counted_when_servers_close_their_half() {
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let truncated = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe";
    let until_close = "HTTP/1.1 200 OK\r\n\r\nto the end";
    for (bytes, code, sent) in [
        (last, 0, "Sent 60 = 60 ok"),
        (until_close, 0, "Sent 60 = 60 ok"),
        (truncated, 1, "Sent 60 = 57 ok"),
        ("", 1, "Sent 60 = 57 ok"),
    ] {
        let reply = move |number| match number % 20 {
            7 => Reply::HalfClose(bytes.into()),
            _ => Reply::with("200 OK", ""),
        };
        let (ended, count) = churned(reply, "fin");
        ended.expect(code, &[sent]);
        assert_eq!(count, 60, "none is sent again after {bytes:?}");
    }
}

/// The first two connections get no answer, so that only those that the run grows by can help.
#[test]
fn connections_that_a_run_grows_by_carry_requests() {
    let toy = Toy::start(|request| match request.number {
        0 | 1 => Reply::Silence,
        _ => Reply::with("200 OK", ""),
    });
    let common = ["-c", "2", "--overload", "grow:4", "-R", "50", "-d", "200ms"];
    let args = [&common[..], &["--warmup", "0", "--drain", "500ms"]].concat();
    let result = json(&args, &toy.url("/"));
    assert_eq!(result["counts"]["ok"], 8, "{result:#}");
    assert_eq!(result["counts"]["in_flight_at_end"], 2);
}

#[test]
fn a_chunked_answer_split_at_every_byte_is_one_answer() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let toy = Toy::start(move |_| Reply::Slowly(chunked.into()));
    let args = ["-n", "40", "-c", "2", "-p", "4", "--expect-body", "hello"];
    loadgen(&[&args[..], &[&toy.url("/")]].concat()).expect(0, &["Sent 40 = 40 ok"]);
}

/// Within this every lie must have come to an end: `--timeout`, `--drain`, much for the machine.
const LIE_TIME_MAX: Duration = Duration::from_secs(30);

/// What a server says instead of `hello`, and the exit code and the class that it must lead to.
type Lie = (&'static str, Vec<u8>, i32, &'static str);

/// Answers that are proper and wrong.
fn wrong_answers() -> [Lie; 4] {
    [
        (
            "wrong content",
            answer("200 OK", "jello"),
            4,
            "0 ok + 0 bad status + 0 bad header + 1 bad body",
        ),
        ("short content", answer("200 OK", "hell"), 4, "1 bad body"),
        ("long content", answer("200 OK", "hello!"), 4, "1 bad body"),
        (
            "wrong status",
            answer("500 No", "hello"),
            4,
            "1 bad status + 0 bad header + 0 bad body",
        ),
    ]
}

/// Bytes that are no answer, or none to this request.
fn broken_answers() -> Vec<Lie> {
    let says = |text: &str| format!("HTTP/1.1 200 OK\r\n{text}").into_bytes();
    let chunked = "Transfer-Encoding: chunked";
    let all = [
        ("no answer", Vec::new(), "timeout"),
        (
            "fewer bytes than it says",
            says("Content-Length: 9\r\n\r\nhello"),
            "timeout",
        ),
        ("no length and no end", says("\r\nhello"), "timeout"),
        (
            "more bytes than it says",
            says("Content-Length: 5\r\n\r\nhello!!"),
            "with bytes nobody asked for",
        ),
        (
            "1xx without end",
            b"HTTP/1.1 100 Continue\r\n\r\n".repeat(17),
            "malformed",
        ),
        (
            "two lengths",
            says("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
            "malformed",
        ),
        (
            "a length that is none",
            says("Content-Length: five\r\n\r\nhello"),
            "malformed",
        ),
        (
            "a length and chunks",
            says(&format!(
                "Content-Length: 5\r\n{chunked}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            )),
            "malformed",
        ),
        (
            "a chunk with a wrong length",
            says(&format!("{chunked}\r\n\r\n6\r\nhello\r\n0\r\n\r\n")),
            "malformed",
        ),
        ("a head without end", says(&"y".repeat(70_000)), "malformed"),
    ];
    let lies = all.map(|(name, bytes, class)| match class {
        "timeout" => (name, bytes, 1, "1 timeout"),
        "malformed" => (name, bytes, 4, "1 malformed"),
        _ => (name, bytes, 4, "1 with bytes nobody asked for"),
    });
    lies.into()
}

/// Each lie has its own class, and none makes a run hang.
#[test]
fn every_lie_has_its_class() {
    let many = "X-Many: y\r\n".repeat(65);
    let honest: [Vec<u8>; 2] = [
        [
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
            answer("200 OK", "hello").as_slice(),
        ]
        .concat(),
        format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 5\r\n\r\nhello").into_bytes(),
    ];
    let ask = |bytes: Vec<u8>| {
        let toy = Toy::start(move |_| Reply::Bytes(bytes.clone()));
        let args = [
            "-n",
            "1",
            "-c",
            "1",
            "--expect-body",
            "hello",
            "--timeout",
            "700ms",
        ];
        finish_within(LIE_TIME_MAX, start(&[&args[..], &[&toy.url("/")]].concat()))
    };
    for (name, bytes, code, class) in wrong_answers().into_iter().chain(broken_answers()) {
        let ended = ask(bytes);
        assert!(
            ended.code == code && ended.out.contains(class),
            "{name}: {ended:#?}"
        );
    }
    for bytes in honest {
        ask(bytes).expect(0, &["Sent 1 = 1 ok"]);
    }
    let toy = Toy::start(|_| Reply::Last(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec()));
    let args = [
        "-n",
        "3",
        "-c",
        "1",
        "--expect-body",
        "hello",
        &toy.url("/"),
    ];
    loadgen(&args).expect(0, &["Sent 3 = 3 ok", "2 reconnects"]);
}

#[test]
fn overload_is_queued_shed_or_dropped_and_counted() {
    // One server of 10 ms behind 2 connections: of 400 per second it takes 100.
    let run = |overload: &str| {
        let sink = Sink::start(&["--service", "10ms"]);
        let args = [
            "-R",
            "400",
            "-c",
            "2",
            "-d",
            "1s",
            "--warmup",
            "0",
            "--overload",
            overload,
        ];
        json(&[&args[..], &["--drain", "500ms"]].concat(), &sink.url)
    };
    let count = |result: &Value, name: &str| result["counts"][name].as_u64().unwrap();
    let [queue, shed, drop, grow] = ["queue", "shed:50ms", "drop", "grow:40"].map(run);
    for result in [&queue, &shed, &drop, &grow] {
        let all = ["sent", "shed", "dropped", "queued_at_end"];
        let all: u64 = all.iter().map(|name| count(result, name)).sum();
        assert_eq!(all, 400, "{result:#}");
    }
    assert!(count(&queue, "queued_at_end") > 100 && count(&queue, "shed") == 0);
    assert!(count(&shed, "shed") > 100 && count(&shed, "dropped") == 0);
    assert!(count(&drop, "dropped") > 100 && count(&drop, "queued_at_end") == 0);
    assert!(count(&grow, "connections_opened") > 2 && count(&grow, "connections_opened") <= 40);
    assert_ne!(queue["verdict"]["status"], "VALID");
    // What has waited in line is in the response time and not in the service time.
    assert!(millis(&queue, "/latency/response/max") > millis(&queue, "/latency/service/max") * 4.0);
}

#[test]
fn each_connection_can_have_its_own_schedule() {
    let sink = Sink::start(&[]);
    let args = ["-R", "500", "-c", "5", "-n", "200", "--schedule", "conn"];
    let result = json(&args, &sink.url);
    assert_eq!(
        (
            result["counts"]["ok"].as_u64(),
            &result["model"]["schedule"]
        ),
        (Some(200), &Value::from("conn"))
    );
}

#[test]
fn think_time_is_kept() {
    let sink = Sink::start(&[]);
    let args = ["-n", "40", "-c", "4", "--think", "20ms"];
    let result = json(&args, &sink.url);
    assert_eq!(result["counts"]["ok"], 40);
    let seconds = result["phases"]["measured_s"].as_f64().unwrap();
    assert!(
        seconds >= 0.18,
        "ten requests, nine thoughts between them: {seconds}"
    );
}

#[test]
fn connections_come_from_all_source_addresses() {
    let sink = Sink::start(&[]);
    let args = ["-n", "60", "-c", "6", "--source-ip", "127.0.0.7-9"];
    let result = json(&args, &sink.url);
    assert_eq!(result["counts"]["ok"], 60);
    assert_eq!(
        result["config"]["sources"].as_array().map(Vec::len),
        Some(3)
    );
}

#[test]
fn a_unix_socket_is_spoken_to() {
    use std::io::{Read, Write};
    let path = crate::result::scratch("toy.sock");
    std::fs::remove_file(&path).ok();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).unwrap_or(0) > 0 {
                    stream.write_all(&answer("200 OK", "")).unwrap();
                }
            });
        }
    });
    let ended = loadgen(&[
        "-n",
        "20",
        "-c",
        "2",
        "--unix",
        path.to_str().unwrap(),
        "http://x/",
    ]);
    ended.expect(0, &["Sent 20 = 20 ok", "unix:"]);
}

#[test]
fn the_same_server_twice_is_compared() {
    let sink = Sink::start(&["--service", "1ms"]);
    let args = [
        "ab", "-A", &sink.url, "-B", &sink.url, "--blocks", "5", "-d", "100ms", "-c", "4",
    ];
    let ended = loadgen(&args);
    assert!(ended.code == 0 || ended.code == 7, "{ended:#?}");
    let order = "order ABBAABBAAB";
    assert!(
        ended.out.contains(order) && ended.out.contains("95% CI"),
        "{ended:#?}"
    );
    let one = format!(
        "{} sink --listen 127.0.0.1:{{port}}",
        env!("CARGO_BIN_EXE_loadgen")
    );
    let args = [
        "ab", "-A", &one, "-B", &one, "--blocks", "5", "-d", "100ms", "-c", "4",
    ];
    let ended = loadgen(&args);
    assert!(
        ended.out.contains("server CPU") || ended.out.contains("rate"),
        "{ended:#?}"
    );
}

/// Shards share a port, so the kernel alone would let two sinks share one as well.
#[test]
fn a_second_sink_on_a_port_is_refused() {
    let sink = Sink::start(&[]);
    let taken = sink.url.replace("http://", "").replace('/', "");
    let ended = loadgen(&["sink", "--listen", &taken]);
    ended.expect(1, &[]);
    let said = format!("cannot listen on {taken}: Address already in use");
    assert!(ended.err.contains(&said), "{ended:#?}");
}
