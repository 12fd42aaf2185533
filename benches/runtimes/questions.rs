//! A question to another thread and its answer, where both threads have a CPU and never sleep.
//!
//! What must hold: whoever asks waits for the answer, as a user's code would; glommio's channels
//! have one end each, so that there one task asks for all.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use core_affinity::CoreId;
use criterion::Criterion;
use glommio::channels::shared_channel;
use glommio::{LocalExecutorBuilder, Placement as Fixed};
use sunstar::runtime::{self, Config, Placement, ShardId, run_on_all_shards};
use sunstar::{Result, Sharded};
use tokio::sync::{mpsc, oneshot};

use crate::clock::clock;
use crate::host::on_tokio;

/// How many questions are under way together when they travel in batches.
const ASKERS: u64 = 64;

pub(crate) fn questions(criterion: &mut Criterion) {
    for (name, askers) in [
        ("one question to a busy shard", 1),
        ("64 questions to a busy shard", ASKERS),
    ] {
        let mut group = crate::group(criterion, name);
        group.bench_function("sunstar", |bencher| {
            bencher.iter_custom(|count| sunstar(count, askers).expect("two shards can start")[0]);
        });
        group.bench_function("tokio", |bencher| {
            bencher.iter_custom(|count| tokio(count, askers));
        });
        group.bench_function("glommio", |bencher| {
            bencher.iter_custom(|count| glommio(count, askers));
        });
    }
}

/// How many of `count` questions one of the askers asks.
fn share(count: u64, askers: u64, asker: u64) -> u64 {
    count / askers + u64::from(asker < count % askers)
}

/// The state that questions go to.
#[derive(Default)]
struct Peer {
    question_count: u64,
    may_rest: bool,
}

fn sunstar(count: u64, askers: u64) -> Result<Vec<Duration>> {
    let placement = Placement::new(Some(2), None);
    let placement = placement.unwrap_or_else(|_| Placement::unpinned(2));
    run_on_all_shards(&Config::new(placement), move |shard| async move {
        let peers = Sharded::start(Peer::default());
        if shard == ShardId::ZERO {
            let busy = runtime::spawn(async {
                loop {
                    runtime::yield_now().await;
                }
            });
            let elapsed = ask(peers, count, askers).await;
            drop(busy);
            return elapsed;
        }
        while !peers.local(|peer| peer.may_rest) {
            runtime::yield_now().await;
        }
        Duration::ZERO
    })
}

async fn ask(peers: Sharded<Peer>, count: u64, askers: u64) -> Duration {
    let second = ShardId::new(1).expect("there are two shards");
    // Until it has started.
    peers.on(second, |_| ()).await;
    let start = clock();
    let ask = |asker| async move {
        for _ in 0..share(count, askers, asker) {
            peers.on(second, |peer| peer.question_count += 1).await;
        }
    };
    let tasks: Vec<_> = (0..askers)
        .map(|asker| runtime::spawn(ask(asker)))
        .collect();
    for task in tasks {
        task.await;
    }
    let elapsed = start.elapsed();
    let rest = |peer: &mut Peer| {
        peer.may_rest = true;
        peer.question_count
    };
    assert_eq!(peers.on(second, rest).await, count);
    elapsed
}

fn tokio(count: u64, askers: u64) -> Duration {
    let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
    let second = on_cpu(1, move || {
        on_tokio(async move {
            let busy = tokio::task::spawn_local(stay_busy());
            let mut question_count = 0;
            while let Some(answer) = asked.recv().await {
                question_count += 1;
                answer.send(()).expect("somebody waits");
            }
            busy.abort();
            question_count
        })
    });
    let first = on_cpu(0, move || {
        on_tokio(async move {
            let busy = tokio::task::spawn_local(stay_busy());
            let start = clock();
            let tasks: Vec<_> = (0..askers)
                .map(|asker| {
                    let ask = ask.clone();
                    tokio::task::spawn_local(async move {
                        for _ in 0..share(count, askers, asker) {
                            let (answer, answered) = oneshot::channel();
                            ask.send(answer).expect("it is there");
                            answered.await.expect("it answers");
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no asker panics");
            }
            busy.abort();
            start.elapsed()
        })
    });
    let elapsed = first.join().expect("it ends");
    assert_eq!(second.join().expect("it ends"), count);
    elapsed
}

async fn stay_busy() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Starts a thread that stays on one CPU, where there are so many.
fn on_cpu<T: Send + 'static>(
    id: usize,
    main: impl FnOnce() -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || {
        core_affinity::set_for_current(CoreId { id });
        main()
    })
}

fn glommio(count: u64, askers: u64) -> Duration {
    let (ask, asked) = shared_channel::new_bounded(1024);
    let (answer, answered) = shared_channel::new_bounded(1024);
    let (tell, told) = channel();
    let second = spinning(1).spawn(move || async move {
        let (asked, answer) = (asked.connect().await, answer.connect().await);
        while let Some(question) = asked.recv().await {
            answer.send(question).await.expect("somebody waits");
        }
    });
    let first = spinning(0).spawn(move || async move {
        let (ask, answered) = (ask.connect().await, answered.connect().await);
        let start = clock();
        let mut left = count;
        while left > 0 {
            let batch = left.min(askers);
            for question in 0..batch {
                ask.send(question).await.expect("it is there");
            }
            for question in 0..batch {
                assert_eq!(answered.recv().await, Some(question));
            }
            left -= batch;
        }
        tell.send(start.elapsed()).expect("somebody waits");
    });
    for executor in [first, second] {
        executor.expect("it starts").join().expect("it ends");
    }
    told.recv().expect("it was sent")
}

/// An executor that looks for work all the time.
fn spinning(cpu: usize) -> LocalExecutorBuilder {
    LocalExecutorBuilder::new(Fixed::Fixed(cpu)).spin_before_park(Duration::from_mins(1))
}
