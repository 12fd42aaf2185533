//! What it costs to come from the bytes of a request to its head, read anew and recalled from the
//! shard's memo, beside httparse alone on the same bytes; and what the whole exchange costs, from
//! those bytes to the bytes of the answer.
//!
//! The documents that this project started from say 10 to 12 ns for a request (Apple M2).
//!
//! What must hold: our figure holds everything that a session pays for (strict checks, framing,
//! limits, deadlines, the buffer's count), httparse's only its own parsing.

mod bounds;
mod clock;

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Duration;

use clock::clock;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sunstar::StatusCode;
use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Event, Fields, HeaderValue, Length, Limits, header};
use sunstar::mem::{Buf, Pool};

const FIELD_COUNT_MAX: usize = 100;
/// As many connections in turn as a shard has at work: with more, what is measured is that their
/// state is not in the cache.
const AT_WORK_COUNT: usize = 32;
const AT_WORK: BatchSize = BatchSize::NumIterations(AT_WORK_COUNT as u64);
/// Turns of a ratio, and how many ratios are taken.
const TURN_COUNT: usize = 32;
const ROUND_COUNT: usize = 1_000;
const STANDING: &[u8] = b"Server: sunstar\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n";

/// What the usual clients send, with the client's name.
const REQUESTS: [(&str, &str); 3] = [
    (
        "wrk",
        "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    ),
    (
        "curl",
        "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.14.1\r\n\
         Accept: */*\r\n\r\n",
    ),
    (
        "browser",
        "GET /articles/42?from=front HTTP/1.1\r\nHost: www.example.org\r\n\
         Connection: keep-alive\r\nCache-Control: max-age=0\r\n\
         sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
         sec-ch-ua-platform: \"Linux\"\r\nUpgrade-Insecure-Requests: 1\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/142.0.0.0 Safari/537.36\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,\
         */*;q=0.8\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\
         Cookie: session=0123456789abcdef0123456789abcdef\r\n\r\n",
    ),
];

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = parse, exchange, ratio
}
criterion_main!(benches);

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("h1_parse");
    for (client, request) in REQUESTS {
        group.throughput(Throughput::Bytes(request.len() as u64));
        group.bench_function(format!("sunstar {client}"), |bencher| {
            let (pool, limits) = (Pool::new(), limits());
            let anew = || at_work(Connection::new(pool.clone(), Rc::clone(&limits), clock()));
            bencher.iter_batched_ref(anew, head_of(&pool, request), AT_WORK);
        });
        group.bench_function(format!("sunstar {client}, recalled"), |bencher| {
            let (pool, limits, memo) = (Pool::new(), limits(), Rc::new(Memo::new()));
            let knowing = || {
                at_work(
                    Connection::new(pool.clone(), Rc::clone(&limits), clock())
                        .with_memo(Rc::clone(&memo)),
                )
            };
            bencher.iter_batched_ref(knowing, head_of(&pool, request), AT_WORK);
        });
        group.bench_function(format!("httparse {client}"), |bencher| {
            bencher.iter(|| httparse_alone(request));
        });
    }
}

fn httparse_alone(request: &str) {
    let mut fields = [const { MaybeUninit::uninit() }; FIELD_COUNT_MAX];
    let mut head = httparse::Request::new(&mut []);
    let bytes = black_box(request.as_bytes());
    let status = head.parse_with_uninit_headers(bytes, &mut fields);
    assert!(status.is_ok_and(|status| status.is_complete()));
    black_box(head.headers.len());
}

/// Heads read anew as a ratio to httparse, in turns of some microseconds: what a shared machine
/// does in a second it does to both, where figures of two runs differ by a factor of two.
fn ratio(_: &mut Criterion) {
    for (client, request) in REQUESTS {
        let mut ratios: Vec<_> = (0..ROUND_COUNT).map(|_| ratio_once(request)).collect();
        ratios.sort_by(f64::total_cmp);
        let [low, median, high] = [1, 2, 3].map(|quarter| ratios[ROUND_COUNT * quarter / 4]);
        println!("h1_parse {client}: {median:.2} of httparse, half of all {low:.2}-{high:.2}");
    }
}

fn ratio_once(request: &str) -> f64 {
    let (pool, limits) = (Pool::new(), limits());
    let mut head_of = head_of(&pool, request);
    let (mut ours, mut theirs) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURN_COUNT {
        let mut connections: [_; AT_WORK_COUNT] = std::array::from_fn(|_| {
            at_work(Connection::new(pool.clone(), Rc::clone(&limits), clock()))
        });
        let start = clock();
        let events = connections
            .each_mut()
            .map(|connection| black_box(head_of(connection)));
        let middle = clock();
        (0..AT_WORK_COUNT).for_each(|_| httparse_alone(request));
        theirs += clock() - middle;
        ours += middle - start;
        drop(events);
    }
    ours.as_secs_f64() / theirs.as_secs_f64()
}

/// The connection after a first request, as sessions at work pass theirs on.
fn at_work(mut connection: Connection) -> Connection {
    connection.handle_input(Buf::from("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), clock());
    assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    connection.send_head(StatusCode::OK, &Fields::new(), Length::Known(0), STANDING);
    connection.send_end(clock());
    connection.poll_output();
    connection
}

/// Gives a connection the request, and takes its head.
fn head_of(pool: &Pool, request: &str) -> impl FnMut(&mut Connection) -> Option<Event> {
    let (input, now) = (pool.copy(request.as_bytes()), clock());
    move |connection| {
        connection.handle_input(input.clone(), now);
        let event = connection.poll_event();
        assert!(matches!(event, Some(Event::Request(_))));
        event
    }
}

/// A request and its answer on a connection that stays: with the head read anew each time, and
/// with the shard's memo of heads, which a client that repeats itself meets.
fn exchange(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("h1_exchange");
    let mut fields = Fields::new();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    for (client, request) in REQUESTS {
        let pool = Pool::new();
        let (input, now) = (pool.copy(request.as_bytes()), clock());
        let exchange = |connection: &mut Connection| {
            connection.handle_input(input.clone(), now);
            black_box(connection.poll_event());
            connection.send_head(StatusCode::OK, &fields, Length::Known(13), STANDING);
            connection.send_data(Buf::from(&b"Hello, World!"[..]));
            connection.send_end(now);
            let output = connection.poll_output();
            assert!(output.is_some_and(|output| output.ends_with(b"Hello, World!")));
        };
        let mut anew = Connection::new(pool.clone(), limits(), now);
        group.bench_function(format!("{client} read anew"), |bencher| {
            bencher.iter(|| exchange(&mut anew));
        });
        let mut recalled = Connection::new(pool.clone(), limits(), now).with_memo(Rc::default());
        group.bench_function(format!("{client} recalled"), |bencher| {
            bencher.iter(|| exchange(&mut recalled));
        });
    }
}

fn limits() -> Rc<Limits> {
    Rc::new(Limits::default())
}
