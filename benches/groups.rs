//! What scheduling groups cost: a question for preemption, a yield, and spawn and join with one
//! group, with a second one that has nothing to do, and inside of that.
//!
//! What must hold: each figure is the time on a runtime that is already running, on one thread.

mod bounds;
mod clock;

use std::hint::black_box;
use std::time::Duration;

use clock::clock;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sunstar::runtime::{
    Config, Group, Placement, need_preempt, run_on_all_shards, spawn, yield_if_needed, yield_now,
};

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = preemption, tasks
}
criterion_main!(benches);

/// What it costs to ask whether others wait.
fn preemption(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("groups/preemption");
    group.throughput(Throughput::Elements(1));
    group.bench_function("need_preempt", |bencher| {
        bencher.iter_custom(|rounds| on_a_shard(move || asking(rounds)));
    });
    group.bench_function("yield_if_needed", |bencher| {
        bencher.iter_custom(|rounds| on_a_shard(move || yielding(rounds)));
    });
}

/// What a task costs from spawn to join.
fn tasks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("groups/spawn and join");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one group", |bencher| {
        bencher.iter_custom(|rounds| on_a_shard(move || joining(rounds)));
    });
    group.bench_function("an idle second group", |bencher| {
        bencher.iter_custom(|rounds| {
            on_a_shard(move || {
                Group::start("idle", 10);
                joining(rounds)
            })
        });
    });
    group.bench_function("in a second group", |bencher| {
        bencher.iter_custom(|rounds| {
            on_a_shard(move || Group::start("busy", 10).spawn(joining(rounds)))
        });
    });
}

/// Runs what `main` makes on one shard.
fn on_a_shard<F>(main: impl Fn() -> F + Send + Sync + 'static) -> Duration
where
    F: Future<Output = Duration> + 'static,
{
    let config = Config::new(Placement::unpinned(1));
    run_on_all_shards(&config, move |_| main()).expect("one shard can start")[0]
}

/// Goes on to ask when the quota is over, so it yields then.
async fn asking(rounds: u64) -> Duration {
    let start = clock();
    for _ in 0..rounds {
        if black_box(need_preempt()) {
            yield_now().await;
        }
    }
    start.elapsed()
}

async fn yielding(rounds: u64) -> Duration {
    let start = clock();
    for _ in 0..rounds {
        yield_if_needed().await;
    }
    start.elapsed()
}

async fn joining(rounds: u64) -> Duration {
    let start = clock();
    for round in 0..rounds {
        assert_eq!(spawn(async move { round }).await, round);
    }
    start.elapsed()
}
