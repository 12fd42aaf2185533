//! Pure code, repeated so that valgrind can count its instructions: `instructions CASE COUNT`.
//!
//! What must hold: a case does the same work in each repetition, reads the clock only while it is
//! made ready and asks the kernel for nothing, so that the difference between two counts is the
//! work of the repetitions between them. Without arguments the cases are listed. See
//! scripts/instructions.sh.
#![expect(clippy::print_stdout, reason = "it lists its cases")]

use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use app_1mrc::event::Event as Challenge;
use app_1mrc::exact_sum::ExactSum;
use app_1mrc::users::Users;
use serde::Serialize;
use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Event, Fields, FixedFields, Limits};
use sunstar::mem::{Buf, Pool};
use sunstar::service::{Reply, Request, Service};
use sunstar::{Json, Router, Sharded, StatusCode};

/// What is repeated, made ready.
type Case = Box<dyn FnMut()>;
type Named = (&'static str, fn() -> Case);

const CASES: [Named; 11] = [
    ("parse-wrk", || parse(WRK)),
    ("parse-browser", || parse(BROWSER)),
    ("exchange-recalled", exchange),
    ("router-recalled", || route("/r77/items", 1)),
    ("router-literal", || route("/r77/items", 2)),
    ("router-parameters", || {
        route("/r77/users/ferris/keys/17", 1)
    }),
    ("json-response", json),
    ("event-read", read_event),
    ("event-awkward", read_awkward_event),
    ("event-sum", add),
    ("event-user", find_user),
];

const WRK: &str = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const BROWSER: &str = "GET /articles/42?from=front HTTP/1.1\r\nHost: www.example.org\r\n\
    Connection: keep-alive\r\nCache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";
const STANDING: &[u8] = b"Server: sunstar\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n";
const TEXT: FixedFields = FixedFields::new("content-type: text/plain\r\n");
const ROUTE_COUNT: usize = 100;
/// Few, since the set is seeded anew in each process and what fills it must not show.
const USER_COUNT: usize = 200;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [name, count] = &words[..] else {
        for (name, _) in CASES {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    };
    let case = CASES.iter().find(|(known, _)| known == name);
    let (Some((_, make)), Ok(count)) = (case, count.parse::<u32>()) else {
        eprintln!("usage: instructions [CASE COUNT]");
        return ExitCode::from(2);
    };
    let mut case = make();
    for _ in 0..count {
        case();
    }
    ExitCode::SUCCESS
}

#[expect(
    clippy::disallowed_methods,
    reason = "one moment for all, outside any shard"
)]
fn moment() -> Instant {
    Instant::now()
}

/// A head that is read anew each time, on a connection of its own.
fn parse(request: &'static str) -> Case {
    let (pool, limits, now) = (Pool::new(), Rc::new(Limits::default()), moment());
    let input = pool.copy(request.as_bytes());
    Box::new(move || {
        let mut connection = Connection::new(pool.clone(), Rc::clone(&limits), now);
        connection.handle_input(input.clone(), now);
        let event = connection.poll_event();
        assert!(matches!(black_box(event), Some(Event::Request(_))));
    })
}

/// A request whose head the shard knows, and an answer whose head it knows too.
fn exchange() -> Case {
    let (pool, now) = (Pool::new(), moment());
    let input = pool.copy(WRK.as_bytes());
    let limits = Rc::new(Limits::default());
    let mut connection = Connection::new(pool, limits, now).with_memo(Rc::new(Memo::new()));
    let mut fields = Fields::new();
    fields.append_fixed(TEXT);
    Box::new(move || {
        connection.handle_input(input.clone(), now);
        black_box(connection.poll_event());
        assert!(connection.poll_whole().is_some());
        let content = Buf::from("Hello, World!");
        connection.send_whole(StatusCode::OK, &fields, content, STANDING, now);
        assert!(black_box(connection.poll_output()).is_some());
    })
}

/// A request to the answer of a handler that does nothing, on routers with many routes. Of several
/// each takes its turn, and finds that the head says where another one has the handler.
fn route(target: &'static str, router_count: usize) -> Case {
    let routers: Vec<_> = (0..router_count).map(|_| with_many_routes()).collect();
    let model = Request::get(target);
    let mut turn = 0;
    Box::new(move || {
        let request = Request::new(model.head().clone(), Buf::new(), model.pool().clone());
        turn += 1;
        match routers[turn % routers.len()].call(request) {
            Reply::Now(response) => assert_eq!(response.status, StatusCode::OK),
            Reply::Later(_) => unreachable!("the handler is a plain function"),
        }
    })
}

fn with_many_routes() -> Router {
    let start = Router::with(Sharded::single(()));
    (0..ROUTE_COUNT / 2).fold(start, |router, number| {
        let number = number * 2 + 1;
        router
            .get(&format!("/r{number}/items"), || StatusCode::OK)
            .get(&format!("/r{number}/users/{{user}}/keys/{{key}}"), || {
                StatusCode::OK
            })
    })
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
    count: u64,
}

/// A value written as a JSON response.
fn json() -> Case {
    use sunstar::service::IntoResponse;
    let pool = Pool::new();
    Box::new(move || {
        let message = "Hello, World!";
        let response = Json(black_box(Message { message, count: 42 })).into_response(&pool);
        black_box(response);
    })
}

/// At each place in a word in turn: where the linker has put a text must not show, and checking
/// UTF-8 takes twice as long at some as at others.
fn read_event() -> Case {
    const EVENT: &[u8] = br#"{"userId":"user_12345","value":678.5}"#;
    #[repr(align(8))]
    struct Words([u8; 8 + EVENT.len()]);
    let mut words = Words([0; _]);
    let mut at = 0;
    Box::new(move || {
        at = (at + 1) % 8;
        let here = &mut words.0[at..][..EVENT.len()];
        here.copy_from_slice(EVENT);
        let event = Challenge::parse(black_box(here), |user| user);
        assert!(black_box(event).is_ok());
    })
}

/// An event with numbers that are long to work out, of which only the last counts.
fn read_awkward_event() -> Case {
    let number = "2.47032822920623272088284396434110686182e-324";
    let ignored = format!("{number},").repeat(50) + number;
    let values = format!(r#""value":{number},"#).repeat(50);
    let body = format!(r#"{{"userId":"a","other":[{ignored}],{values}"value":1}}"#);
    Box::new(move || {
        let event = Challenge::parse(black_box(body.as_bytes()), |user| user);
        assert!(black_box(event).is_ok());
    })
}

fn add() -> Case {
    let mut sum = ExactSum::new();
    let mut value = 0.5;
    Box::new(move || {
        value = if value > 999.0 { 0.5 } else { value + 1.0 };
        sum.add(black_box(value));
    })
}

/// A user who is known.
fn find_user() -> Case {
    let mut users = Users::default();
    let names: Vec<_> = (0..USER_COUNT)
        .map(|number| format!("user_{number}"))
        .collect();
    for name in &names {
        users.insert(name).expect("there is room");
    }
    let mut at = 0;
    Box::new(move || {
        at = (at + 71) % USER_COUNT;
        black_box(users.insert(black_box(&names[at]))).expect("it is known");
    })
}
