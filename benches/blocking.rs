//! What it costs to have something run on a thread that may block, and to get its answer.
//!
//! What must hold: the closure does nothing, so the figure is the way there and back. Goal: 5 us.
//! Both ends sleep in between unless the shard looks for input all the time.

mod bounds;
mod clock;

use std::time::Duration;

use clock::clock;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sunstar::blocking;
use sunstar::future::when_all;
use sunstar::runtime::{Config, Idle, Placement, run_on_all_shards};

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = round_trip
}
criterion_main!(benches);

fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("blocking");
    group.throughput(Throughput::Elements(1));
    for (name, crowd, idle) in [
        ("one, shard parks", 1, Idle::Sleep),
        ("one, shard polls", 1, Idle::Poll),
        ("16 at once, shard parks", 16, Idle::Sleep),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| calls(count, crowd, idle));
        });
    }
}

/// The time of `count` calls, `crowd` at a time, on a shard with a CPU of its own.
fn calls(count: u64, crowd: u64, idle: Idle) -> Duration {
    let placement = Placement::new(Some(1), None);
    let mut config = Config::new(placement.unwrap_or_else(|_| Placement::unpinned(1)));
    config.idle = idle;
    let times = run_on_all_shards(&config, move |_| async move {
        // The threads have started.
        when_all((0..crowd).map(|_| blocking(|| ()))).await;
        let start = clock();
        for _ in 0..count.div_ceil(crowd) {
            let answers = when_all((0..crowd).map(|n| blocking(move || n))).await;
            assert!(answers.iter().all(Result::is_ok));
        }
        start.elapsed()
    });
    times.expect("one shard can start")[0]
}
