//! What it costs to make a future and to chain steps, to wait for many, and to take free units.
//!
//! What must hold: futures are built and polled by the code that a user would write, and the
//! compiler may not see what they yield. The documents that the project began with say of Seastar
//! 0.38 us to create a future and 0.46 us for a chained step; the goal here is 10 ns for each.

mod bounds;

use std::future::{Future, poll_fn, ready};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sunstar::future::{do_until, items, max_concurrent_for_each, reduce, repeat, when_all};
use sunstar::sync::Semaphore;

/// Steps of a chain, and futures of a crowd.
const COUNT: u64 = 1000;

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = one, chains, crowds, units
}
criterion_main!(benches);

/// Polls a future that never waits for anything outside of itself.
fn finish<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

async fn step(n: u64) -> u64 {
    black_box(n) + 1
}

/// A step that waits once, as for what comes in the next turn.
async fn waiting_step(n: u64) -> u64 {
    let mut waited = false;
    poll_fn(|_| {
        if std::mem::replace(&mut waited, true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    n + 1
}

/// Documents: 0.38 us.
fn one(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("future/create");
    group.throughput(Throughput::Elements(1));
    group.bench_function("and await", |bencher| {
        bencher.iter(|| finish(step(black_box(1))));
    });
    group.bench_function("boxed, and await", |bencher| {
        bencher.iter(|| {
            let boxed: std::pin::Pin<Box<dyn Future<Output = u64>>> = Box::pin(step(black_box(1)));
            finish(boxed)
        });
    });
}

/// Documents: 0.46 us for each step.
fn chains(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("future/step");
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("await", |bencher| {
        bencher.iter(|| {
            finish(async {
                let mut n = 0;
                while n < COUNT {
                    n = step(n).await;
                }
                n
            })
        });
    });
    group.bench_function("await that waits", |bencher| {
        bencher.iter(|| {
            finish(async {
                let mut n = 0;
                while n < COUNT {
                    n = waiting_step(n).await;
                }
                n
            })
        });
    });
    group.bench_function("repeat", |bencher| {
        bencher.iter(|| {
            let mut n = 0;
            finish(repeat(async || {
                n = step(n).await;
                if n < COUNT {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(n)
                }
            }))
        });
    });
    group.bench_function("do_until", |bencher| {
        bencher.iter(|| {
            let n = std::cell::Cell::new(0);
            finish(do_until(
                || n.get() == COUNT,
                async || n.set(step(n.get()).await),
            ));
        });
    });
}

fn crowds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("future/crowd");
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("when_all", |bencher| {
        bencher.iter(|| finish(when_all((0..COUNT).map(step))));
    });
    group.bench_function("max_concurrent_for_each", |bencher| {
        bencher.iter(|| {
            finish(max_concurrent_for_each(0..COUNT, 16, async |n| {
                black_box(step(n).await);
            }));
        });
    });
    group.bench_function("reduce", |bencher| {
        bencher.iter(|| {
            finish(reduce(items(0..COUNT), 16, 0, ready, |a, b| {
                a + black_box(b)
            }))
        });
    });
}

/// Goal: 5 ns.
fn units(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("future/semaphore");
    group.throughput(Throughput::Elements(1));
    let semaphore = Semaphore::new(2);
    group.bench_function("acquire what is free", |bencher| {
        bencher.iter(|| drop(black_box(finish(semaphore.acquire(1)))));
    });
    group.bench_function("try_acquire what is free", |bencher| {
        bencher.iter(|| drop(black_box(semaphore.try_acquire(1))));
    });
}
