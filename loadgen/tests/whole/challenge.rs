//! `loadgen 1mrc`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::program::{Ended, loadgen};
use crate::toy::{Reply, Request, Toy, answer};

/// What an honest server counts. Doubles are enough here: the values are halves.
#[derive(Default)]
struct Counted {
    events: u64,
    users: HashSet<String>,
    sum: f64,
}

impl Counted {
    fn record(&mut self, content: &[u8]) {
        let event: serde_json::Value = serde_json::from_slice(content).unwrap();
        self.events += 1;
        self.users
            .insert(event["userId"].as_str().unwrap().to_owned());
        self.sum += event["value"].as_f64().unwrap();
    }

    fn stats(&self) -> String {
        let Counted { events, users, sum } = self;
        let avg = if *events == 0 {
            0.0
        } else {
            sum / f64::from(u32::try_from(*events).unwrap())
        };
        let users = users.len();
        format!(r#"{{"totalRequests":{events},"uniqueUsers":{users},"sum":{sum:?},"avg":{avg:?}}}"#)
    }
}

/// What becomes of the honest text of `/stats`.
type Lie = fn(String) -> String;

type Shared = Arc<Mutex<Counted>>;

#[expect(
    clippy::disallowed_methods,
    reason = "the toy server is made of threads"
)]
fn shared(counted: Counted) -> Shared {
    Arc::new(Mutex::new(counted))
}

/// A proper answer to any request.
fn honest(counted: &Shared, request: &Request) -> Reply {
    let mut counted = counted.lock().unwrap();
    match request.line.as_str() {
        "POST /event" => counted.record(&request.content),
        "POST /reset" => *counted = Counted::default(),
        "GET /stats" => return Reply::with("200 OK", &counted.stats()),
        _ => return Reply::with("404 Not Found", ""),
    }
    Reply::with("200 OK", "")
}

fn challenge(toy: &Toy, count: &str, more: &[&str]) -> Ended {
    let url = toy.url("");
    loadgen(&[&["1mrc", &url, "-n", count, "-c", "8"], more].concat())
}

/// The challenge with 2,000 events against a server that `lies` may answer for.
fn against(lies: impl Fn(&Shared, &Request) -> Option<Reply> + Send + Sync + 'static) -> Ended {
    challenge(&liar(lies), "2k", &["--timeout", "1m"])
}

/// An honest server, except when `lies` answers in its place.
fn liar(lies: impl Fn(&Shared, &Request) -> Option<Reply> + Send + Sync + 'static) -> Toy {
    let counted = shared(Counted::default());
    Toy::start(move |request| lies(&counted, request).unwrap_or_else(|| honest(&counted, request)))
}

/// The same with another text of `/stats` after the events.
fn with_stats(change: Lie) -> Ended {
    against(move |counted, request| {
        let counted = counted.lock().unwrap();
        let asked = request.line == "GET /stats" && counted.events > 0;
        asked.then(|| Reply::with("200 OK", &change(counted.stats())))
    })
}

/// Whether this is the event with the number 77.
fn is_77(request: &Request) -> bool {
    request.line == "POST /event" && request.content.starts_with(br#"{"userId":"user_77""#)
}

#[test]
fn an_honest_server_is_exact_for_every_payload() {
    let all = [
        (
            "go",
            "exact: 3,001 requests, 3,001 users, sum 1500000.5, avg 499.83355548150615, 0 errors",
        ),
        (
            "java",
            "exact: 3,001 requests, 3,001 users, sum 1500000.5, avg 499.83355548150615, 0 e",
        ),
        (
            "aiohttp",
            "exact: 3,001 requests, 3,001 users, sum 1498500, avg 499.33355548150615, 0 err",
        ),
    ];
    for (payload, verdict) in all {
        let counted = shared(Counted::default());
        let toy = Toy::start(move |request| honest(&counted, request));
        let ended = challenge(
            &toy,
            "3001",
            &["--payload", payload, "-t", "2", "--poll-stats", "0"],
        );
        ended.expect(0, &[verdict, "Sent 3,001 = 3,001 ok", "Rate ", "p99"]);
        assert_eq!(
            toy.request_count(),
            3_001 + 2,
            "the events, and /stats twice"
        );
    }
}

#[test]
fn users_repeat_after_75_000() {
    let counted = shared(Counted::default());
    let toy = Toy::start(move |request| honest(&counted, request));
    let verdict = "exact: 76,000 requests, 75,000 users, sum 38000000, avg 500, 0 errors";
    challenge(&toy, "76k", &[]).expect(0, &[verdict]);
}

#[test]
fn a_server_that_has_counted_before_is_reset() {
    let before = || Counted {
        events: 1_234,
        ..Counted::default()
    };
    let counted = shared(before());
    let toy = Toy::start(move |request| honest(&counted, request));
    let said = "the server had counted 1,234 requests; sent POST /reset";
    challenge(&toy, "100", &[]).expect(0, &[said, "exact: 100 requests"]);

    let counted = shared(before());
    let toy = Toy::start(move |request| match request.line.as_str() {
        "POST /reset" => Reply::with("200 OK", ""),
        _ => honest(&counted, request),
    });
    let ended = challenge(&toy, "100", &[]);
    ended.expect(4, &[]);
    assert!(
        ended.err.contains("not zero after POST /reset"),
        "{ended:?}"
    );
}

#[test]
fn an_event_that_was_acknowledged_and_dropped_is_missed() {
    let ended = against(|_, request| is_77(request).then(|| Reply::with("200 OK", "")));
    ended.expect(
        4,
        &[
            "NOT exact: totalRequests is 1,999, expected 2,000 (1 too few)",
            "uniqueUsers is 1,999, expected 2,000",
            "sum is 999922.5, expected 1000000.0",
            "Sent 2,000 = 2,000 ok",
        ],
    );
}

#[test]
fn an_event_that_was_counted_twice_is_found() {
    let ended = against(|counted, request| {
        let twice = is_77(request);
        twice.then(|| counted.lock().unwrap().record(&request.content));
        None
    });
    ended.expect(
        4,
        &[
            "totalRequests is 2,001, expected 2,000 (1 too many)",
            "sum is 1000077.5",
        ],
    );
}

#[test]
fn another_status_now_and_then_is_not_exact() {
    let ended = against(|counted, request| {
        is_77(request).then(|| {
            honest(counted, request);
            Reply::with("201 Created", "")
        })
    });
    ended.expect(
        4,
        &[
            "NOT exact: 1 answered with another status",
            "200: 1,999, 201: 1",
        ],
    );
}

#[test]
fn an_event_whose_connection_broke_is_unknown_and_not_sent_again() {
    let lost = against(|_, request| is_77(request).then(|| Reply::Last(Vec::new())));
    lost.expect(
        4,
        &["NOT exact: 1 without an answer, their outcome unknown; totalRequests is 1,999"],
    );
    let counted = against(|counted, request| {
        is_77(request).then(|| {
            honest(counted, request);
            Reply::Last(Vec::new())
        })
    });
    counted.expect(
        4,
        &[
            "NOT exact: 1 without an answer, their outcome unknown\n",
            "+ 1 reset",
        ],
    );
}

#[test]
fn a_silent_server_and_a_talkative_one_are_not_exact() {
    let toy = liar(|_, request| is_77(request).then_some(Reply::Silence));
    challenge(&toy, "2k", &["--timeout", "2s"]).expect(4, &["1 without an answer", "+ 1 timeout"]);
    let talkative = against(|counted, request| {
        is_77(request).then(|| {
            honest(counted, request);
            Reply::Bytes([answer("200 OK", ""), answer("200 OK", "")].concat())
        })
    });
    talkative.expect(4, &["NOT exact: 1 surplus answers nobody asked for"]);
}

#[test]
fn wrong_stats_are_named() {
    let all: [(Lie, &str); 6] = [
        (
            |stats| stats.replace('}', r#","min":0}"#),
            "unknown field `min`",
        ),
        (
            |stats| stats.replace(":2000,", ":2000.0,"),
            "totalRequests is 2000.0, which is not",
        ),
        (
            |stats| stats.replace("500.0}", "500.1}"),
            "avg is 500.1, expected 500.0",
        ),
        (
            |stats| stats.replace(r#""uniqueUsers":2000"#, r#""uniqueUsers":4000"#),
            "(2,000 too many)",
        ),
        (
            |stats| stats.replace("1000000.0", "1000000.06"),
            "sum is 1000000.06, expected 1000000.0",
        ),
        (|stats| stats.replace('}', ""), "/stats is wrong: EOF"),
    ];
    for (change, reason) in all {
        with_stats(change).expect(4, &["NOT exact: ", reason]);
    }
}

#[test]
fn stats_that_do_not_come_are_no_verdict() {
    for (status, reason) in [
        (
            "500 Oops",
            "/stats was answered with 500, not 200: is this a server",
        ),
        ("200 OK", "/stats is wrong"),
    ] {
        let toy = Toy::start(move |_| Reply::with(status, "no"));
        let ended = challenge(&toy, "10", &[]);
        ended.expect(4, &[]);
        assert!(ended.err.contains(reason), "{ended:?}");
    }
    let text = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}";
    let toy = Toy::start(move |_| Reply::Bytes(text.into()));
    let ended = challenge(&toy, "10", &[]);
    ended.expect(4, &[]);
    assert!(ended.err.contains("content type 'text/plain'"), "{ended:?}");
    let toy = Toy::start(|_| Reply::Silence);
    let ended = challenge(&toy, "10", &["--timeout", "1s"]);
    ended.expect(1, &[]);
    let said = format!("no answer to GET {} within 1s", toy.url("/stats"));
    assert!(ended.err.contains(&said), "{ended:?}");
}

#[test]
fn one_lost_event_of_a_hundred_thousand_is_missed() {
    let toy = liar(|_, request| {
        let lost = request.line == "POST /event" && request.number == 77_777;
        lost.then(|| Reply::with("200 OK", ""))
    });
    let ended = challenge(&toy, "100k", &[]);
    ended.expect(
        4,
        &["totalRequests is 99,999, expected 100,000 (1 too few)"],
    );
}

#[test]
fn a_sum_in_single_precision_is_not_exact() {
    let ended = with_stats(|stats| {
        let value: serde_json::Value = serde_json::from_str(&stats).unwrap();
        let (total, sum) = (&value["totalRequests"], value["sum"].as_f64().unwrap());
        #[expect(clippy::cast_possible_truncation, reason = "that is the lie")]
        let single = f64::from((sum + 0.06) as f32);
        let avg = single / total.as_f64().unwrap();
        format!(r#"{{"totalRequests":{total},"uniqueUsers":2000,"sum":{single:?},"avg":{avg:?}}}"#)
    });
    ended.expect(4, &["sum is 1000000.0625, expected 1000000.0"]);
}

/// Found while the events are still under way, though all is right in the end.
#[test]
fn an_answer_that_contradicts_itself_during_the_run_is_found() {
    let toy = liar(|counted, request| {
        let counted = counted.lock().unwrap();
        let early = request.line == "GET /stats" && (1..30_000).contains(&counted.events);
        early.then(|| Reply::with("200 OK", &counted.stats().replace("\"avg\":", "\"avg\":1")))
    });
    let ended = challenge(&toy, "30k", &["--poll-stats", "10ms"]);
    ended.expect(4, &["NOT exact: during the run: avg 1"]);
}

#[test]
fn the_hard_payloads_are_exact_where_sums_are() {
    // Values of .5 add up exactly in doubles, and the toy decodes its strings.
    let counted = shared(Counted::default());
    let toy = Toy::start(move |request| honest(&counted, request));
    let ended = challenge(&toy, "1000", &["--payload", "unicode"]);
    ended.expect(
        0,
        &["exact: 1,000 requests, 250 users, sum 500000, avg 500"],
    );
    for payload in ["random", "decimals", "cancel"] {
        let counted = shared(Counted::default());
        let toy = Toy::start(move |request| honest(&counted, request));
        let ended = challenge(&toy, "5000", &["--payload", payload]);
        ended.expect(4, &["NOT exact: ", "Sent 5,000 = 5,000 ok"]);
    }
}
