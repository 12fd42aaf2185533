//! What it costs to ask another shard and get its answer.
//!
//! The documents that this project started from say 50 ns for a message one way (Apple M2).
//!
//! What must hold: two shards on CPUs of their own; where there is only one CPU the figures are
//! those of the scheduler, not of the mesh.

mod bounds;
mod clock;

use std::time::Duration;

use clock::clock;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sunstar::runtime::{self, Config, Placement, ShardId, run_on_all_shards};
use sunstar::{Result, Sharded};

/// How many questions are under way together when they travel in batches.
const ASKERS: u64 = 64;

criterion_group! {
    name = benches;
    config = bounds::criterion();
    targets = mesh_round_trip
}
criterion_main!(benches);

fn mesh_round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh_round_trip");
    group.throughput(Throughput::Elements(1));
    for (name, askers, busy) in [
        ("one question, both park", 1, Busy::Nobody),
        ("one question, peer busy", 1, Busy::Peer),
        ("one question, both busy", 1, Busy::Both),
        ("64 questions, both park", ASKERS, Busy::Nobody),
        ("64 questions, both busy", ASKERS, Busy::Both),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let times = ask(count, askers, busy).expect("two shards can start");
                times[0]
            });
        });
    }
}

/// Which shards have something else to do, and so need not be woken.
#[derive(Clone, Copy, PartialEq)]
enum Busy {
    Nobody,
    Peer,
    Both,
}

/// The state that questions go to.
#[derive(Default)]
struct Peer {
    question_count: u64,
    may_rest: bool,
}

/// Lets the first shard ask the second `count` questions, `askers` at a time.
fn ask(count: u64, askers: u64, busy: Busy) -> Result<Vec<Duration>> {
    let placement = Placement::new(Some(2), None);
    let placement = placement.unwrap_or_else(|_| Placement::unpinned(2));
    run_on_all_shards(&Config::new(placement), move |shard| async move {
        let peers = Sharded::start(Peer::default());
        if shard == ShardId::ZERO {
            let other = (busy == Busy::Both).then(|| runtime::spawn(stay_busy()));
            let elapsed = first(peers, count, askers).await;
            drop(other);
            elapsed
        } else {
            // A shard whose future has ended parks, and goes on answering.
            while busy != Busy::Nobody && !peers.local(|peer| peer.may_rest) {
                runtime::yield_now().await;
            }
            Duration::ZERO
        }
    })
}

/// Asks for a turn and another, without end.
async fn stay_busy() {
    loop {
        runtime::yield_now().await;
    }
}

async fn first(peers: Sharded<Peer>, count: u64, askers: u64) -> Duration {
    let second = ShardId::new(1).expect("there are two shards");
    // Until it has started.
    peers.on(second, |_| ()).await;
    let start = clock();
    let tasks: Vec<_> = (0..askers)
        .map(|asker| {
            let share = count / askers + u64::from(asker < count % askers);
            runtime::spawn(async move {
                for _ in 0..share {
                    peers.on(second, |peer| peer.question_count += 1).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    let elapsed = start.elapsed();
    let answered = peers
        .on(second, |peer| {
            peer.may_rest = true;
            peer.question_count
        })
        .await;
    assert_eq!(answered, count);
    elapsed
}
