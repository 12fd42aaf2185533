//! `loadgen run`.

use std::process::{Command, Stdio};
use std::sync::mpsc;

use crate::program::{Ended, finish, loadgen, start};
use crate::toy::{Reply, Toy, answer};

/// A server that answers every request with `hello`.
fn honest() -> Toy {
    Toy::start(|_| Reply::with("200 OK", "hello"))
}

/// Sends 30 requests over 4 connections to a server that misbehaves on the tenth.
fn run_against(tenth: impl Fn() -> Reply + Send + Sync + 'static, timeout: &str) -> Ended {
    let toy = Toy::start(move |request| match request.number {
        9 => tenth(),
        _ => Reply::with("200 OK", "hello"),
    });
    let ended = loadgen(&["-n", "30", "-c", "4", "--timeout", timeout, &toy.url("/")]);
    assert_eq!(
        toy.request_count(),
        30,
        "each request is sent once: {ended:#?}"
    );
    ended
}

#[test]
fn exactly_n_requests_are_sent() {
    for (count, connections, threads, depth) in [
        (1, 1, 1, 1),
        (3, 64, 1, 1),
        (100, 7, 3, 1),
        (1_000, 10, 2, 16),
        (5, 4, 4, 8),
    ] {
        let toy = honest();
        let text = |number: u64| number.to_string();
        let (n, c, t, p) = (text(count), text(connections), text(threads), text(depth));
        let ended = loadgen(&["run", "-n", &n, "-c", &c, "-t", &t, "-p", &p, &toy.url("/")]);
        let sent = format!(
            "{} ok + 0 bad",
            if count == 1_000 { "1,000".into() } else { n }
        );
        ended.expect(0, &["closed loop", &sent, "+ 0 in flight at end", "200: "]);
        assert_eq!(
            toy.request_count(),
            count,
            "{connections} {threads} {depth}"
        );
        let used = format!(" {} connections", connections.min(count));
        assert!(ended.out.contains(&used), "{ended:#?}");
        assert_eq!(ended.err, "", "no bar without a terminal");
    }
}

#[test]
fn the_request_is_what_was_asked_for() {
    let (heard, hear) = mpsc::channel();
    let toy = Toy::start(move |request| {
        let content = String::from_utf8(request.content.clone()).unwrap();
        heard.send((request.head.clone(), content)).unwrap();
        Reply::with("201 Created", "")
    });
    let url = toy.url("/a?b=c");
    let ended = loadgen(&[
        "-n", "1", "-c", "1", "-m", "PUT", "-H", "X-Y: z", "-b", "text", &url,
    ]);
    ended.expect(0, &["Sent 1 = 1 ok", "201: 1"]);
    let host = toy.url("").replace("http://", "");
    let head =
        format!("PUT /a?b=c HTTP/1.1\r\nHost: {host}\r\nX-Y: z\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(hear.recv().unwrap(), (head, "text".into()));
}

#[test]
fn head_requests_expect_no_content() {
    let toy = Toy::start(|request| {
        assert_eq!(request.line, "HEAD /");
        Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec())
    });
    loadgen(&["-m", "HEAD", "-n", "20", "-c", "2", &toy.url("/")]).expect(0, &["Sent 20 = 20 ok"]);
}

#[test]
fn answers_in_single_bytes_are_whole_answers() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let toy = Toy::start(|_| Reply::Slowly(chunked.into()));
    loadgen(&["-n", "50", "-c", "2", "-p", "4", &toy.url("/")]).expect(0, &["Sent 50 = 50 ok"]);
}

#[test]
fn a_server_that_closes_after_each_answer_gets_a_new_connection() {
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let toy = Toy::start(|_| Reply::Last(last.into()));
    let ended = loadgen(&["-n", "20", "-c", "1", &toy.url("/")]);
    let opened = "Connections opened 20, 19 reconnects, 0 failed";
    ended.expect(0, &["Sent 20 = 20 ok", opened]);
    loadgen(&["-n", "20", "-c", "3", &toy.url("/")]).expect(0, &["Sent 20 = 20 ok"]);
    let until_close = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    let toy = Toy::start(|_| Reply::Last(until_close.into()));
    loadgen(&["-n", "20", "-c", "2", &toy.url("/")]).expect(0, &["Sent 20 = 20 ok"]);
}

#[test]
fn another_status_is_a_failed_verification() {
    let ended = run_against(|| Reply::with("503 Busy", ""), "1m");
    ended.expect(
        4,
        &[
            "Sent 30 = 29 ok + 1 bad status",
            "200: 29, 503: 1",
            "status 503",
        ],
    );
}

#[test]
fn a_malformed_answer_is_a_failed_verification() {
    let ended = run_against(|| Reply::Bytes(b"HTTP/1.1 OK\r\n\r\n".to_vec()), "1m");
    ended.expect(
        4,
        &[
            "29 ok + 0 bad status + 0 bad header + 0 bad body + 1 malformed",
            "the status line is malformed",
        ],
    );
    let twice = || Reply::Bytes([answer("200 OK", ""), answer("200 OK", "")].concat());
    let ended = run_against(twice, "1m");
    ended.expect(
        4,
        &[
            "30 ok",
            "1 with bytes nobody asked for",
            "no request had asked for",
        ],
    );
}

#[test]
fn a_lost_connection_is_a_failed_run() {
    let ended = run_against(|| Reply::Last(Vec::new()), "1m");
    ended.expect(1, &["29 ok", "+ 1 reset", "closed before it answered"]);
    let ended = run_against(|| Reply::Last(b"HTTP/1.1 200 OK\r\nCon".to_vec()), "1m");
    ended.expect(1, &["29 ok", "+ 1 reset", "in the middle of a response"]);
}

#[test]
fn silence_is_a_timeout() {
    let ended = run_against(|| Reply::Silence, "2s");
    ended.expect(1, &["29 ok", "+ 1 timeout", "no answer within 2s"]);
}

#[test]
fn pipelined_requests_behind_a_fault_are_lost_with_the_connection() {
    let toy = Toy::start(|request| match request.number {
        4 => Reply::Last(b"nonsense".to_vec()),
        _ => Reply::with("200 OK", ""),
    });
    let ended = loadgen(&["-n", "8", "-c", "1", "-p", "8", &toy.url("/")]);
    ended.expect(
        4,
        &[
            "Sent 8 = 4 ok + 0 bad ",
            "0 bad body + 1 malformed + 0 timeout + 3 reset + 0 in",
        ],
    );
}

#[test]
fn a_run_by_time_ends() {
    let toy = honest();
    let ended = loadgen(&["-d", "1s", "-c", "5", &toy.url("/")]);
    ended.expect(0, &["closed loop, 5 connections", "+ 0 timeout + 0 reset"]);
    assert!(toy.request_count() > 0);
}

/// Starts a run of an hour against `toy`, sends it `signal` when `heard` says so.
fn interrupted(toy: &Toy, heard: &mpsc::Receiver<()>, signal: &str) -> Ended {
    interrupted_in(toy, heard, signal, "0")
}

/// As [`interrupted`], with a warm-up.
fn interrupted_in(toy: &Toy, heard: &mpsc::Receiver<()>, signal: &str, warmup: &str) -> Ended {
    let child = start(&[
        "-d",
        "1h",
        "-c",
        "5",
        "-p",
        "2",
        "--timeout",
        "1h",
        "--warmup",
        warmup,
        &toy.url("/"),
    ]);
    heard.recv().unwrap();
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = finish(child);
    assert!(ended.err.contains("interrupted"), "{ended:#?}");
    ended
}

#[test]
fn a_signal_gives_a_partial_report() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (hear, heard) = mpsc::channel();
        let toy = Toy::start(move |request| {
            if request.number == 100 {
                hear.send(()).unwrap();
            }
            Reply::with("200 OK", "")
        });
        let ended = interrupted(&toy, &heard, signal);
        let verdict = "Verdict     none, for the run was interrupted";
        ended.expect(code, &["Sent ", " ok + 0 bad status", "p99", verdict]);
    }
}

#[test]
fn a_signal_during_the_warm_up_gives_no_report_of_zeros() {
    let (hear, heard) = mpsc::channel();
    let toy = Toy::start(move |request| {
        if request.number == 100 {
            hear.send(()).unwrap();
        }
        Reply::with("200 OK", "")
    });
    let ended = interrupted_in(&toy, &heard, "-INT", "1h");
    ended.expect(130, &[]);
    assert!(ended.err.contains("nothing was measured"), "{ended:#?}");
    assert!(!ended.out.contains("Sent "), "{ended:#?}");
}

#[test]
fn what_is_in_flight_at_the_end_is_counted() {
    let (hear, heard) = mpsc::channel();
    let toy = Toy::start(move |request| match request.number {
        ..100 => Reply::with("200 OK", ""),
        number => {
            if number == 109 {
                hear.send(()).unwrap();
            }
            Reply::Silence
        }
    });
    let ended = interrupted(&toy, &heard, "-INT");
    ended.expect(130, &["Sent 110 = 100 ok", "+ 10 in flight at end"]);
}

#[test]
fn a_server_that_is_not_there_is_a_failed_run() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for args in [&["-n", "1"][..], &["1mrc"]] {
        let url = format!("http://{address}");
        let ended = loadgen(&[args, &[&url]].concat());
        ended.expect(1, &[]);
        assert!(
            ended
                .err
                .starts_with("loadgen: cannot connect to http://127.0.0.1:"),
            "{ended:?}"
        );
        assert_eq!(ended.err.lines().count(), 1);
    }
}

/// Runs the program where at most 64 files may be open; `ulimit` sets that.
fn with_64_files(ulimit: &str, args: &str) -> Ended {
    let script = format!("{ulimit}; exec '{}' {args}", env!("CARGO_BIN_EXE_loadgen"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn connections_that_do_not_fit_the_limit_on_open_files_are_refused() {
    for args in [
        "-c 100 http://127.0.0.1:1/",
        "1mrc -c 100 http://127.0.0.1:1",
    ] {
        let ended = with_64_files("ulimit -n 64", args);
        ended.expect(2, &[]);
        let said = "100 connections and 36 other files do not fit the limit of 64 open files";
        assert!(ended.err.contains(said), "{ended:#?}");
        assert_eq!(ended.err.lines().count(), 1);
    }
}

#[test]
fn the_limit_on_open_files_is_raised() {
    let toy = honest();
    let args = format!("--allow-invalid -c 80 -n 200 {}", toy.url("/"));
    with_64_files("ulimit -S -n 64", &args).expect(0, &["Sent 200 = 200 ok", "opened 80,"]);
}

#[test]
fn a_wrong_command_line_is_one_line_and_code_2() {
    for args in [
        &["-c", "0", "http://a/"][..],
        &["ftp://a/"],
        &["--what"],
        &["1mrc", "x"],
        &["run"],
    ] {
        let ended = loadgen(args);
        ended.expect(2, &[]);
        assert_eq!(
            (ended.err.lines().count(), ended.out.as_str()),
            (1, ""),
            "{ended:#?}"
        );
        assert!(ended.err.starts_with("loadgen: "), "{ended:#?}");
    }
    let nothing = loadgen(&[]);
    nothing.expect(2, &[]);
    assert!(nothing.err.contains("Usage: loadgen"), "{nothing:#?}");
    loadgen(&["1mrc", "--help"]).expect(0, &["--payload", "Exit codes"]);
}

#[test]
fn what_would_fail_after_a_run_is_said_before_it() {
    let toy = honest();
    for (args, said) in [
        (["-o", "/does/not/exist.json"], "/does/not/exist.json: "),
        (["--html", "/does/not/exist.html"], "/does/not/exist.html: "),
        (
            ["--server-pid", "4294967295"],
            "no process has the number 4294967295",
        ),
    ] {
        let ended = loadgen(&[&args[..], &["-n", "1", &toy.url("/")]].concat());
        ended.expect(2, &[]);
        assert!(ended.err.contains(said), "{ended:#?}");
    }
    assert_eq!(toy.request_count(), 0);
}

#[test]
fn the_result_names_the_driver_that_it_was_made_with() {
    let toy = honest();
    let ended = loadgen(&[
        "-n",
        "9",
        "-c",
        "1",
        "--driver",
        "epoll",
        "--format",
        "json",
        &toy.url("/"),
    ]);
    ended.expect(0, &["\"driver\": \"epoll\""]);
}

#[test]
fn a_header_field_that_is_expected_is_looked_for_in_every_answer() {
    let toy = Toy::start(|request| {
        let kind = match request.number {
            5 => "X-Kind: b\r\n",
            7 => "",
            _ => "x-kind: a\r\n",
        };
        let whole = answer("200 OK", "hello");
        let text = String::from_utf8(whole).unwrap();
        let (line, rest) = text.split_once("\r\n").unwrap();
        let bytes = format!("{line}\r\n{kind}{rest}").into_bytes();
        match request.number {
            3 | 5 => Reply::Slowly(bytes),
            _ => Reply::Bytes(bytes),
        }
    });
    let args = ["-n", "20", "-c", "1", "--expect-header", "X-Kind: a"];
    let ended = loadgen(
        &[
            &args[..],
            &["--expect-header", "Content-Type", &toy.url("/")],
        ]
        .concat(),
    );
    ended.expect(4, &["18 ok + 0 bad status + 2 bad header + 0 bad body"]);
}

#[test]
fn one_content_of_so_many_is_compared() {
    let toy = Toy::start(|_| Reply::with("200 OK", "other"));
    let args = [
        "-n",
        "30",
        "-c",
        "1",
        "--expect-body",
        "hello",
        "--verify",
        "1/10",
    ];
    let ended = loadgen(&[&args[..], &[&toy.url("/")]].concat());
    ended.expect(4, &["27 ok + 0 bad status + 0 bad header + 3 bad body"]);
}

#[test]
fn connections_are_opened_at_the_rate_that_is_wanted() {
    let toy = honest();
    let args = [
        "-n",
        "12",
        "-c",
        "2",
        "-r",
        "1",
        "--connect-rate",
        "50",
        "--format",
        "json",
    ];
    let ended = loadgen(&[&args[..], &[&toy.url("/")]].concat());
    let result: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(result["counts"]["ok"], 12);
    let seconds = result["phases"]["measured_s"].as_f64().unwrap();
    assert!(
        seconds >= 0.17,
        "ten connections after the start, 20 ms between them: {seconds}"
    );
}

#[test]
fn several_runs_leave_a_result_each() {
    let toy = honest();
    let dir = std::env::temp_dir().join(format!("loadgen-repeat-{}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    let name = format!("{}/{{run}}.json", dir.display());
    let args = ["-n", "5", "--repeat", "3", "--cooldown", "1ms", "-o", &name];
    let ended = loadgen(&[&args[..], &[&toy.url("/")]].concat());
    ended.expect(0, &["Run         1 of 3", "Run         3 of 3"]);
    assert_eq!(toy.request_count(), 15);
    for number in 1..=3 {
        let text = std::fs::read_to_string(dir.join(format!("{number}.json"))).unwrap();
        let result: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(result["counts"]["ok"], 5);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_first_run_that_is_not_fine_is_the_exit_code_of_all() {
    let toy = Toy::start(|request| match request.number {
        3 => Reply::with("500 Oh", ""),
        _ => Reply::with("200 OK", ""),
    });
    let args = ["-n", "3", "--repeat", "3", "--cooldown", "0"];
    let ended = loadgen(&[&args[..], &[&toy.url("/")]].concat());
    ended.expect(4, &["Run         3 of 3"]);
    assert_eq!(toy.request_count(), 9);
}

#[test]
fn a_body_comes_from_standard_input() {
    let toy =
        Toy::start(|request| Reply::with("200 OK", &String::from_utf8_lossy(&request.content)));
    let url = toy.url("/");
    let line = format!(
        "printf 'from a pipe' | {} run --allow-invalid -n 2 -b @- --expect-body 'from a pipe' \
         {url}",
        env!("CARGO_BIN_EXE_loadgen")
    );
    let output = Command::new("sh").args(["-c", &line]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("Sent 2 = 2 ok"), "{out}");
}
