//! What an answer costs: its head and content on the way out, and a value as a JSON response.
//!
//! The documents that this project started from say 614 ns for a response object and 1.88 us for a
//! JSON response (Apple M2).

mod bounds;
mod clock;

use std::hint::black_box;
use std::rc::Rc;

use clock::clock;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde::Serialize;
use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Fields, HeaderValue, Length, Limits, header};
use sunstar::mem::{Buf, Pool};
use sunstar::service::IntoResponse;
use sunstar::{Json, Response, StatusCode};

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const STANDING: &[u8] = b"Server: sunstar\r\nDate: Fri, 20 Nov 2026 12:00:00 GMT\r\n";
/// As many connections in turn as a shard has at work.
const AT_WORK: BatchSize = BatchSize::NumIterations(32);

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = head, object, json
}
criterion_main!(benches);

/// Status line, standing fields, own fields and length, with the content behind them, for a request
/// that was read before.
fn head(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response/output");
    let more = [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept-encoding"),
        (header::ETAG, "\"0123456789abcdef\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, count) in [("one field", 0), ("five fields", more.len())] {
        let mut fields = Fields::new();
        fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        for (name, value) in &more[..count] {
            fields.append(name.clone(), HeaderValue::from_static(value));
        }
        let (pool, now) = (Pool::new(), clock());
        let (input, limits) = (pool.copy(REQUEST), Rc::new(Limits::default()));
        let memo = Rc::new(Memo::new());
        let asked = || {
            let mut connection =
                Connection::new(pool.clone(), Rc::clone(&limits), now).with_memo(Rc::clone(&memo));
            connection.handle_input(input.clone(), now);
            black_box(connection.poll_event());
            connection
        };
        group.bench_function(name, |bencher| {
            let answer = |connection: &mut Connection| {
                connection.send_head(StatusCode::OK, &fields, Length::Known(13), STANDING);
                connection.send_data(Buf::from(&b"Hello, World!"[..]));
                connection.send_end(now);
                let output = connection.poll_output();
                assert!(output.is_some_and(|output| output.ends_with(b"Hello, World!")));
            };
            bencher.iter_batched_ref(asked, answer, AT_WORK);
        });
    }
}

/// A response as a handler makes it, and dropped.
fn object(criterion: &mut Criterion) {
    let text = HeaderValue::from_static("text/plain");
    criterion.bench_function("response/object", |bencher| {
        bencher.iter(|| {
            let response = Response::new(black_box(StatusCode::OK))
                .with_field(header::CONTENT_TYPE, text.clone())
                .with_content("Hello, World!");
            black_box(response);
        });
    });
}

#[derive(Serialize)]
struct Item {
    id: u64,
    name: &'static str,
    price: f64,
    tags: [&'static str; 2],
}

/// A message of the suites, and a list of ten items, beside the same bytes written by `serde_json`
/// into a vector.
fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response/json");
    let item = |id| Item {
        id,
        name: "Alpha Widget",
        price: 328.5,
        tags: ["new", "fast"],
    };
    let ten: Vec<_> = (0..10).map(item).collect();
    let pool = Pool::new();
    group.bench_function("message", |bencher| {
        bencher
            .iter(|| black_box(Json(black_box(("message", "Hello, World!"))).into_response(&pool)));
    });
    group.bench_function("message, serde_json", |bencher| {
        bencher.iter(|| black_box(serde_json::to_vec(black_box(&("message", "Hello, World!")))));
    });
    group.bench_function("ten items", |bencher| {
        bencher.iter(|| black_box(Json(black_box(&ten)).into_response(&pool)));
    });
    group.bench_function("ten items, serde_json", |bencher| {
        bencher.iter(|| black_box(serde_json::to_vec(black_box(&ten))));
    });
}
