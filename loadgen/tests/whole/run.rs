//! `loadgen run`.

use std::process::Command;
use std::sync::mpsc;

use crate::program::{Ended, finish, loadgen, start};
use crate::toy::{Reply, Toy, answer};

/// A server that answers every request with `hello`.
fn honest() -> Toy {
    Toy::start(|_| Reply::with("200 OK", "hello"))
}

/// Sends `count` requests over 4 connections to a server that misbehaves on the tenth.
fn run_against(count: u64, tenth: impl Fn() -> Reply + Send + Sync + 'static) -> Ended {
    let toy = Toy::start(move |request| match request.number {
        9 => tenth(),
        _ => Reply::with("200 OK", "hello"),
    });
    let count_text = count.to_string();
    let ended = loadgen(&[
        "-n",
        &count_text,
        "-c",
        "4",
        "--timeout",
        "1s",
        &toy.url("/"),
    ]);
    assert_eq!(
        toy.request_count(),
        count,
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
    let ended = loadgen(&["-n", "20", "-c", "2", &toy.url("/")]);
    ended.expect(
        0,
        &[
            "Sent 20 = 20 ok",
            "Connections opened 20, 18 reconnects, 0 failed",
        ],
    );
    let until_close = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    let toy = Toy::start(|_| Reply::Last(until_close.into()));
    loadgen(&["-n", "20", "-c", "2", &toy.url("/")]).expect(0, &["Sent 20 = 20 ok"]);
}

#[test]
fn another_status_is_a_failed_verification() {
    let ended = run_against(30, || Reply::with("503 Busy", ""));
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
    let ended = run_against(30, || Reply::Bytes(b"HTTP/1.1 OK\r\n\r\n".to_vec()));
    ended.expect(
        4,
        &[
            "29 ok + 0 bad status + 1 malformed",
            "the status line is malformed",
        ],
    );
    let twice = || Reply::Bytes([answer("200 OK", ""), answer("200 OK", "")].concat());
    let ended = run_against(30, twice);
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
    let ended = run_against(30, || Reply::Last(Vec::new()));
    ended.expect(
        1,
        &[
            "29 ok",
            "+ 1 reset",
            "closed before it answered",
            "1 reconnects",
        ],
    );
    let ended = run_against(30, || Reply::Last(b"HTTP/1.1 200 OK\r\nCon".to_vec()));
    ended.expect(1, &["29 ok", "+ 1 reset", "in the middle of a response"]);
}

#[test]
fn silence_is_a_timeout() {
    let ended = run_against(30, || Reply::Silence);
    ended.expect(1, &["29 ok", "+ 1 timeout", "no answer within 1s"]);
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
        &["Sent 8 = 4 ok + 0 bad status + 1 malformed + 0 timeout + 3 reset + 0 in"],
    );
}

#[test]
fn what_is_in_flight_at_the_end_is_counted() {
    let toy = Toy::start(|request| match request.number {
        ..100 => Reply::with("200 OK", ""),
        _ => Reply::Silence,
    });
    let ended = loadgen(&[
        "-d",
        "100ms",
        "-c",
        "5",
        "-p",
        "2",
        "--timeout",
        "1h",
        &toy.url("/"),
    ]);
    ended.expect(0, &["= 100 ok", "+ 10 in flight at end", "Sent 110 "]);
}

#[test]
fn an_interrupt_gives_a_partial_report() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (heard, hear) = mpsc::channel();
        let toy = Toy::start(move |request| {
            if request.number == 100 {
                heard.send(()).unwrap();
            }
            Reply::with("200 OK", "")
        });
        let child = start(&["-d", "1h", "-c", "2", &toy.url("/")]);
        hear.recv().unwrap();
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let ended = finish(child);
        ended.expect(code, &["Sent ", "+ 0 in flight at end"]);
        assert!(ended.err.contains("interrupted"), "{ended:#?}");
    }
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
    loadgen(&[]).expect(0, &["Usage: loadgen"]);
    loadgen(&["1mrc", "--help"]).expect(0, &["--payload", "Exit codes"]);
}
