//! What an event of the challenge costs: reading it, beside `serde_json` and `sonic-rs` on the same
//! bytes; adding its value exactly, beside a plain addition; and finding its user.
//!
//! What must hold: every reader gives the user borrowed from the body and the value as a double;
//! only ours keeps all rules of the challenge (see ADR 16).

mod bounds;

use std::borrow::Cow;
use std::hint::black_box;

use app_1mrc::event::Event;
use app_1mrc::exact_sum::ExactSum;
use app_1mrc::users::Users;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;

/// How many bodies or values one round takes.
const COUNT: usize = 1000;

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = parse, add, find
}
criterion_main!(benches);

/// The event as serde's derive reads it.
#[derive(Deserialize)]
struct Derived<'a> {
    #[serde(borrow, rename = "userId")]
    user: Cow<'a, str>,
    value: f64,
}

/// A thousand bodies of each of the challenge's clients.
fn payloads() -> [(&'static str, Vec<String>); 4] {
    let each = |body: fn(usize) -> String| (0..COUNT).map(|at| body(at * 797)).collect();
    [
        (
            "go",
            each(|at| {
                let (user, value) = (at % 75_000, at % 1000);
                format!(r#"{{"userId":"user_{user}","value":{value}.5}}"#)
            }),
        ),
        (
            "java",
            each(|at| {
                let (user, value) = (at % 75_000, at % 1000);
                format!(r#"{{"userId":"user_{user}_req_{at}","value":{value}.5}}"#)
            }),
        ),
        (
            "aiohttp",
            each(|at| {
                let (user, value) = (at % 75_000, at % 1000);
                format!(r#"{{"userId": "user_{user}", "value": {value}}}"#)
            }),
        ),
        (
            "17 digits",
            each(|at| {
                let value = f64::from(u32::try_from(at).expect("small")).sqrt() * 31.7;
                format!(r#"{{"userId": "user_{at}", "value": {value}}}"#)
            }),
        ),
    ]
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event/parse");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (client, bodies) in payloads() {
        let mut measure = |reader: &str, read: fn(&[u8]) -> (usize, f64)| {
            group.bench_function(format!("{client}/{reader}"), |bencher| {
                bencher.iter(|| {
                    for body in &bodies {
                        black_box(read(black_box(body.as_bytes())));
                    }
                });
            });
        };
        measure("own", |body| {
            let event = Event::parse(body, |user| user).expect("it is an event");
            (event.user.len(), event.value)
        });
        measure("serde_json", |body| {
            let event: Derived<'_> = serde_json::from_slice(body).expect("it is an event");
            (event.user.len(), event.value)
        });
        measure("sonic-rs", |body| {
            let event: Derived<'_> = sonic_rs::from_slice(body).expect("it is an event");
            (event.user.len(), event.value)
        });
    }
}

/// The values of the official clients, and values of all sizes and both signs.
fn add(criterion: &mut Criterion) {
    let small = |at: usize| f64::from(u16::try_from(at).expect("small")) + 0.5;
    let official: Vec<f64> = (0..COUNT).map(small).collect();
    let mixed = |at: usize| (small(at) - 500.0) * 10_f64.powf(small(at * 37 % 200) - 100.5);
    let mixed: Vec<f64> = (0..COUNT).map(mixed).collect();
    let mut group = criterion.benchmark_group("event/add");
    group.throughput(Throughput::Elements(COUNT as u64));
    for (name, values) in [("official", official), ("mixed", mixed)] {
        group.bench_function(format!("{name}/exact"), |bencher| {
            let mut sum = ExactSum::new();
            bencher.iter(|| values.iter().for_each(|&value| sum.add(black_box(value))));
            black_box(sum.sum());
        });
        group.bench_function(format!("{name}/plain"), |bencher| {
            let mut sum = 0.0;
            bencher.iter(|| values.iter().for_each(|&value| sum += black_box(value)));
            black_box(sum);
        });
    }
    let sums: Vec<ExactSum> = (0..2).map(|_| ExactSum::new()).collect();
    group.bench_function("merge of 1000", |bencher| {
        let mut total = sums[0].clone();
        bencher.iter(|| (0..COUNT).for_each(|_| total.merge(black_box(&sums[1]))));
    });
}

/// A user who is known, among 75,000 and among a million.
fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event/find user");
    group.throughput(Throughput::Elements(COUNT as u64));
    for user_count in [75_000, 1_000_000] {
        let mut users = Users::default();
        for number in 0..user_count {
            users
                .insert(&format!("user_{number}"))
                .expect("there is room");
        }
        let some = |at: usize| format!("user_{}", at * 7919 % user_count);
        let names: Vec<String> = (0..COUNT).map(some).collect();
        group.bench_function(format!("of {user_count}"), |bencher| {
            bencher.iter(|| {
                for name in &names {
                    black_box(users.insert(black_box(name))).expect("it is known");
                }
            });
        });
    }
}
