//! What a timer costs that is set and does not fire, which is what most timeouts do.

mod bounds;
mod clock;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use clock::clock;
use criterion::{Criterion, criterion_group, criterion_main};
use sunstar::runtime::{self, Config, Placement, Sleep, run_on_all_shards};

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = timer
}
criterion_main!(benches);

fn timer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timer");
    for waiting in [0, 10_000] {
        group.bench_function(format!("set and cancel, {waiting} others"), |bencher| {
            bencher.iter_custom(|count| set_and_cancel(count, waiting));
        });
    }
    group.bench_function("put off", |bencher| bencher.iter_custom(put_off));
}

fn set_and_cancel(count: u64, waiting: u64) -> Duration {
    on_one_shard(move || async move {
        let mut others = Vec::new();
        for index in 0..waiting {
            let mut other = runtime::sleep(timeout(index));
            set(&mut other).await;
            others.push(other);
        }
        let start = clock();
        for index in 0..count {
            set(&mut runtime::sleep(timeout(index))).await;
        }
        start.elapsed()
    })
}

/// Moves one timer to a later deadline over and over, as each request does with a timeout.
fn put_off(count: u64) -> Duration {
    on_one_shard(move || async move {
        let mut timer = runtime::sleep(timeout(0));
        set(&mut timer).await;
        let start = clock();
        for _ in 0..count {
            timer.reset(timer.deadline() + Duration::from_micros(1));
            set(&mut timer).await;
        }
        start.elapsed()
    })
}

/// Timeouts between 10 s and 90 s, as a server has them, spread over the wheel.
fn timeout(index: u64) -> Duration {
    Duration::from_millis(10_000 + index * 7919 % 80_000)
}

/// Polls a timer once, which sets it.
async fn set(timer: &mut Sleep) {
    let ended = poll_fn(|context| Poll::Ready(Pin::new(&mut *timer).poll(context).is_ready()));
    assert!(!ended.await, "ten seconds have not gone by");
}

fn on_one_shard<F>(main: impl Fn() -> F + Send + Sync + 'static) -> Duration
where
    F: Future<Output = Duration> + 'static,
{
    let config = Config::new(Placement::unpinned(1));
    run_on_all_shards(&config, move |_| main()).expect("one shard can start")[0]
}
