//! What a runtime's own work costs on sunstar, on tokio's current-thread runtime and on glommio,
//! and for tasks on monoio: the same loops, in one run.
//!
//! The documents that this project started from say 0.38 us to create a future, 0.46 us for one
//! chained step and 50 ns for a message one way (Apple M2). Goals: spawn and join 60 ns, a timer
//! set and cancelled 30 ns, free units of a semaphore 5 ns, `need_preempt` 1 ns, state of the own
//! shard 2 ns, a question to a busy shard and its answer 1 us, and 100 ns when 64 are under way
//! (50 ns for each way).
//!
//! What must hold: each figure is the time on a runtime that is already running; all but the
//! questions to another shard on one thread.

#[path = "../bounds.rs"]
mod bounds;
#[path = "../clock.rs"]
mod clock;
mod host;
mod questions;

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use clock::clock;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use host::{on_glommio, on_monoio, on_sunstar, on_tokio};

/// How many tasks wait together in the second group.
const CROWD: u64 = 1000;

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = one_at_a_time, a_thousand_at_once, timers, units, preemption, own_state,
        questions::questions
}
criterion_main!(benches);

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
}

/// The same loop for each runtime, whose `spawn` and task types have nothing in common.
macro_rules! tasks {
    ($spawn:path, $rounds:expr, $crowd:expr, $output:expr) => {
        async move {
            let mut tasks = Vec::new();
            let start = clock();
            for round in 0..$rounds {
                tasks.extend((0..$crowd).map(|_| $spawn(async move { round })));
                for task in tasks.drain(..) {
                    assert_eq!($output(task.await), round);
                }
            }
            start.elapsed()
        }
    };
}

/// Spawns a task that ends at once, waits for it, and so on.
fn one_at_a_time(criterion: &mut Criterion) {
    spawned(&mut group(criterion, "spawn and join"), 1);
}

/// Spawns a thousand, then waits for each.
fn a_thousand_at_once(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("spawn and join a thousand at once");
    spawned(group.throughput(Throughput::Elements(CROWD)), CROWD);
}

fn spawned(group: &mut BenchmarkGroup<'_, WallTime>, crowd: u64) {
    let same = |output| output;
    group.bench_function("sunstar", |bencher| {
        bencher.iter_custom(|rounds| {
            on_sunstar(move || tasks!(sunstar::runtime::spawn, rounds, crowd, same))
        });
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|rounds| {
            let output = Result::unwrap;
            on_tokio(tasks!(tokio::task::spawn_local, rounds, crowd, output))
        });
    });
    group.bench_function("monoio", |bencher| {
        bencher.iter_custom(|rounds| on_monoio(tasks!(monoio::spawn, rounds, crowd, same)));
    });
    group.bench_function("glommio", |bencher| {
        bencher.iter_custom(|rounds| on_glommio(tasks!(glommio::spawn_local, rounds, crowd, same)));
    });
}

/// A timer that is set and does not fire, which is what most timeouts do, beside others.
macro_rules! cancelled {
    ($sleep:path, $rounds:expr, $others:expr) => {
        async move {
            let mut others = Vec::new();
            for index in 0..$others {
                let mut other = Box::pin($sleep(timeout(index)));
                set(other.as_mut()).await;
                others.push(other);
            }
            let start = clock();
            for index in 0..$rounds {
                set(pin!($sleep(timeout(index)))).await;
            }
            start.elapsed()
        }
    };
}

fn timers(criterion: &mut Criterion) {
    for others in [0, 10_000] {
        let name = format!("timer set and cancelled, {others} others");
        let mut group = group(criterion, &name);
        group.bench_function("sunstar", |bencher| {
            bencher.iter_custom(|rounds| {
                on_sunstar(move || cancelled!(sunstar::runtime::sleep, rounds, others))
            });
        });
        group.bench_function("tokio", |bencher| {
            bencher.iter_custom(|rounds| on_tokio(cancelled!(tokio::time::sleep, rounds, others)));
        });
        group.bench_function("glommio", |bencher| {
            bencher.iter_custom(|rounds| {
                on_glommio(cancelled!(glommio::timer::Timer::new, rounds, others))
            });
        });
    }
}

/// Timeouts between 10 s and 90 s, as a server has them, spread over the wheel.
fn timeout(index: u64) -> Duration {
    Duration::from_millis(10_000 + index * 7919 % 80_000)
}

/// Polls a timer once, which sets it.
async fn set<F: Future>(mut timer: Pin<&mut F>) {
    let ended = poll_fn(|context| Poll::Ready(timer.as_mut().poll(context).is_ready()));
    assert!(!ended.await, "ten seconds have not gone by");
}

/// Does the same again and again, and drops what comes of it.
macro_rules! again {
    ($rounds:expr, $step:expr) => {{
        let start = clock();
        for _ in 0..$rounds {
            let _ = black_box($step);
        }
        start.elapsed()
    }};
}

/// Takes and gives back a unit that nobody else wants.
fn units(criterion: &mut Criterion) {
    let mut group = group(criterion, "semaphore, a free unit");
    group.bench_function("sunstar", |bencher| {
        bencher.iter_custom(|rounds| {
            on_sunstar(move || async move {
                let semaphore = sunstar::sync::Semaphore::new(2);
                again!(rounds, semaphore.acquire(1).await)
            })
        });
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|rounds| {
            on_tokio(async move {
                let semaphore = tokio::sync::Semaphore::new(2);
                again!(rounds, semaphore.acquire().await)
            })
        });
    });
    group.bench_function("glommio", |bencher| {
        bencher.iter_custom(|rounds| {
            on_glommio(async move {
                let semaphore = Rc::new(glommio::sync::Semaphore::new(2));
                again!(rounds, semaphore.acquire_permit(1).await)
            })
        });
    });
}

/// Asks whether others wait for the thread until they do, lets them run, and so on.
macro_rules! asked {
    ($rounds:expr, $must_rest:expr, $rest:expr) => {
        async move {
            let mut left = $rounds;
            let start = clock();
            while left > 0 {
                // A loop of its own: with the `await` in it its counter would be in memory, and
                // cost as much as the question.
                left = (0..left).rev().find(|_| black_box($must_rest)).unwrap_or(0);
                $rest.await;
            }
            start.elapsed()
        }
    };
}

/// tokio can say whether the task's budget is used up.
fn preemption(criterion: &mut Criterion) {
    let mut group = group(criterion, "need_preempt");
    group.bench_function("sunstar", |bencher| {
        bencher.iter_custom(|rounds| {
            on_sunstar(move || {
                let must_rest = sunstar::runtime::need_preempt;
                asked!(rounds, must_rest(), sunstar::runtime::yield_now())
            })
        });
    });
    group.bench_function("tokio", |bencher| {
        bencher.iter_custom(|rounds| {
            let has_budget = tokio::task::coop::has_budget_remaining;
            on_tokio(asked!(rounds, !has_budget(), tokio::task::yield_now()))
        });
    });
    group.bench_function("glommio", |bencher| {
        bencher.iter_custom(|rounds| {
            let must_rest = || glommio::executor().need_preempt();
            on_glommio(asked!(rounds, must_rest(), glommio::yield_if_needed()))
        });
    });
}

fn start<T: Default + 'static>() {
    sunstar::Sharded::start(T::default());
}

/// Reaches what belongs to this thread; the others have nothing but the language's own.
fn own_state(criterion: &mut Criterion) {
    let mut group = group(criterion, "state of the own shard");
    // Its place among the types of the shard is that in which they were started.
    for (name, others) in [("Sharded::local", 0), ("Sharded::local, the fourth", 3)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                on_sunstar(move || async move {
                    let before: [fn(); 3] = [start::<u8>, start::<u16>, start::<u32>];
                    before[..others].iter().for_each(|start| start());
                    let counts = sunstar::Sharded::start(0_u64);
                    again!(
                        rounds,
                        counts.local(|count| {
                            *count += 1;
                            *count
                        })
                    )
                })
            });
        });
    }
    group.bench_function("thread_local", |bencher| {
        thread_local!(static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        bencher.iter_custom(|rounds| {
            on_sunstar(move || async move {
                again!(
                    rounds,
                    COUNT.with(|count| {
                        count.set(count.get() + 1);
                        count.get()
                    })
                )
            })
        });
    });
}
