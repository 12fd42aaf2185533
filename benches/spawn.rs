//! What a task costs from spawn to join, beside the same work on monoio and on glommio.
//!
//! The documents that this project started from say 0.38 us to create a future and 0.46 us for one
//! chained step (Apple M2).
//!
//! What must hold: each figure is the time on a runtime that is already running, on one thread.

mod bounds;
mod clock;

use std::time::Duration;

use clock::clock;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use sunstar::runtime::{Config, Placement, run_on_all_shards};

/// How many tasks wait together in the second group.
const CROWD: u64 = 1000;

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = one_at_a_time, a_thousand_at_once
}
criterion_main!(benches);

/// Spawns a task that ends at once, waits for it, and so on.
fn one_at_a_time(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn/one at a time");
    group.throughput(Throughput::Elements(1));
    on_each_runtime(&mut group, 1);
}

/// Spawns a thousand, then waits for each.
fn a_thousand_at_once(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn/a thousand at once");
    group.throughput(Throughput::Elements(CROWD));
    on_each_runtime(&mut group, CROWD);
}

/// Measures `crowd` tasks spawned and joined on each of the three runtimes.
fn on_each_runtime(group: &mut BenchmarkGroup<'_, WallTime>, crowd: u64) {
    group.bench_function("sunstar", |bencher| {
        bencher.iter_custom(|rounds| on_sunstar(rounds, crowd));
    });
    group.bench_function("monoio", |bencher| {
        bencher.iter_custom(|rounds| on_monoio(rounds, crowd));
    });
    group.bench_function("glommio", |bencher| {
        bencher.iter_custom(|rounds| on_glommio(rounds, crowd));
    });
}

/// The same loop for each runtime, whose `spawn` and task types have nothing in common.
macro_rules! rounds {
    ($spawn:path, $rounds:expr, $crowd:expr) => {{
        let mut tasks = Vec::new();
        let start = clock();
        for round in 0..$rounds {
            tasks.extend((0..$crowd).map(|_| $spawn(async move { round })));
            for task in tasks.drain(..) {
                assert_eq!(task.await, round);
            }
        }
        start.elapsed()
    }};
}

fn on_sunstar(rounds: u64, crowd: u64) -> Duration {
    let config = Config::new(Placement::unpinned(1));
    let main = move |_| async move { rounds!(sunstar::runtime::spawn, rounds, crowd) };
    run_on_all_shards(&config, main).expect("one shard can start")[0]
}

fn on_monoio(rounds: u64, crowd: u64) -> Duration {
    let runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().build();
    let mut runtime = runtime.expect("monoio can start");
    runtime.block_on(async move { rounds!(monoio::spawn, rounds, crowd) })
}

fn on_glommio(rounds: u64, crowd: u64) -> Duration {
    let executor = glommio::LocalExecutorBuilder::default().make();
    let executor = executor.expect("glommio can start");
    executor.run(async move { rounds!(glommio::spawn_local, rounds, crowd) })
}
