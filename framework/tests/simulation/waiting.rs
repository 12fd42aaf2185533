//! Tasks that wait for each other in a simulation, and are dropped at any await: what they wait for
//! is lost to nobody, and whoever is left goes on.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sunstar::future::{Pipeline, max_concurrent_for_each, when_all, with_timeout};
use sunstar::runtime::{
    self, Alien, Config, Placement, ShardId, Task, now, run_on, run_on_all_shards, sleep, spawn,
};
use sunstar::sharded::CallUnits;
use sunstar::sync::{
    AbortSource, Broadcast, Condition, Gate, Queue, RwLock, Semaphore, Shared, oneshot, pipe,
};
use sunstar::testing::{Report, Seed, Simulation, within};
use sunstar::{Sharded, blocking};

use crate::streams::Drops;

/// How long anything here may take, in simulated time.
const PATIENCE: Duration = Duration::from_mins(5);

/// Some microseconds.
fn some(choices: &mut Seed) -> Duration {
    Duration::from_micros(choices.below(300))
}

/// A run's choices, and how its futures are dropped.
struct Fate {
    choices: Seed,
    drops: Drops,
}

impl Fate {
    fn fork(&mut self) -> Fate {
        Fate {
            choices: self.choices.fork(),
            drops: self.drops.clone(),
        }
    }

    /// Runs a future until it ends, or until it was polled so often, or so long.
    async fn meet<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let polls = self.choices.below(12);
        let timeout = if self.choices.one_in(3) {
            some(&mut self.choices)
        } else {
            Duration::MAX
        };
        let dropped = self.drops.after(polls, future);
        with_timeout(timeout, dropped).await.ok().flatten()
    }

    /// Starts tasks, each with a fate of its own.
    fn crowd<F: Future<Output = ()> + 'static>(
        &mut self,
        count: usize,
        mut task: impl FnMut(usize, Fate) -> F,
    ) -> Vec<Task<()>> {
        (0..count)
            .map(|index| spawn(task(index, self.fork())))
            .collect()
    }
}

/// Runs everything that waits, on one to three shards, and calls from outside of them. Tells
/// besides how many futures were dropped unfinished.
///
/// # Panics
/// If a wake-up, a unit or an item is lost.
pub(crate) fn run(mut seed: Seed) -> (Report, u64) {
    let mut choices = seed.fork();
    let shards = seed.len(1, 3);
    let mut simulation = Simulation::from_seed(seed);
    let dropped = Arc::new(AtomicU64::new(0));
    let drops = Drops {
        polls: None,
        dropped: Arc::clone(&dropped),
    };
    let (tell, told) = mpsc::channel::<Alien>();
    let over = Arc::new(AtomicBool::new(false));
    let (ends, mut outside) = (Arc::clone(&over), choices.fork());
    simulation.peer("alien", async move {
        let alien = loop {
            match told.try_recv() {
                Ok(alien) => break alien,
                Err(_) => sunstar::testing::sleep(Duration::from_micros(10)).await,
            }
        };
        for n in 0..20 {
            let shard = alien
                .shard(outside.len(0, alien.shard_count() - 1))
                .expect("there is");
            let answer = alien.run(shard, move || async move {
                sleep(Duration::from_micros(n)).await;
                (runtime::current_shard(), n)
            });
            let patience = outside.one_of(&[Duration::ZERO, Duration::from_micros(20), PATIENCE]);
            if let Some(answer) = within(patience, answer).await {
                assert_eq!(answer, Ok((shard, n)));
            } else {
                assert!(patience < PATIENCE, "an alien is stuck");
            }
            let called = within(PATIENCE, alien.call(shard, runtime::current_shard)).await;
            assert_eq!(called, Some(Ok(shard)));
        }
        ends.store(true, Ordering::Relaxed);
    });
    let base = choices.number();
    let (ran, report) = simulation.run(move || {
        let config = Config::new(Placement::unpinned(shards));
        let units = CallUnits::new(2);
        run_on_all_shards(&config, move |shard| {
            let choices = Seed::new(base.wrapping_add(shard.index() as u64));
            let fate = Fate {
                choices,
                drops: drops.clone(),
            };
            let over = Arc::clone(&over);
            let tell = tell.clone();
            async move {
                if shard == ShardId::ZERO {
                    tell.send(runtime::alien()).expect("the alien waits");
                }
                let all = with_timeout(PATIENCE, all(fate, units)).await;
                all.unwrap_or_else(|_| panic!("shard {shard} is stuck"));
                while !over.load(Ordering::Relaxed) {
                    sleep(Duration::from_micros(100)).await;
                }
            }
        })
    });
    ran.expect("simulated shards start");
    (report, dropped.load(Ordering::Relaxed))
}

async fn all(mut fate: Fate, units: CallUnits) {
    let mut tasks = vec![
        spawn(semaphore(fate.fork())),
        spawn(gate(fate.fork())),
        spawn(rwlock(fate.fork())),
        spawn(condition(fate.fork())),
        spawn(queue(fate.fork())),
        spawn(piped(fate.fork())),
        spawn(broadcast(fate.fork())),
        spawn(replies(fate.fork())),
        spawn(aborts(fate.fork())),
        spawn(pipeline(fate.fork())),
        spawn(blocks(fate.fork())),
    ];
    tasks.push(spawn(calls(fate.fork(), units)));
    when_all(tasks).await;
}

/// Adds to a count until it is dropped.
struct Inside(Rc<Cell<usize>>, usize);

impl Inside {
    fn enter(count: &Rc<Cell<usize>>, by: usize) -> Inside {
        count.set(count.get() + by);
        Inside(Rc::clone(count), by)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

async fn semaphore(mut fate: Fate) {
    let (units, taken) = (Semaphore::new(3), Rc::new(Cell::new(0)));
    let users = fate.crowd(8, |_, mut fate| {
        let (units, taken) = (units.clone(), Rc::clone(&taken));
        async move {
            for _ in 0..6 {
                let (count, pause) = (fate.choices.len(1, 3), some(&mut fate.choices));
                let (units, taken) = (&units, &taken);
                let user = async move {
                    let _held = units.acquire(count).await.expect("never closed");
                    let _inside = Inside::enter(taken, count);
                    assert!(taken.get() <= 3, "more units than there are");
                    sleep(pause).await;
                };
                fate.meet(user).await;
            }
        }
    });
    when_all(users).await;
    assert_eq!((units.available(), units.waiting()), (3, 0));
}

async fn gate(mut fate: Fate) {
    let (gate, inside) = (Gate::new(), Rc::new(Cell::new(0)));
    let users = fate.crowd(6, |_, mut fate| {
        let (gate, inside) = (gate.clone(), Rc::clone(&inside));
        async move {
            while let Ok(entered) = gate.enter() {
                let pause = some(&mut fate.choices);
                let within = Inside::enter(&inside, 1);
                fate.meet(async move {
                    sleep(pause).await;
                    drop(within);
                    drop(entered);
                })
                .await;
                sleep(Duration::from_micros(1)).await;
            }
        }
    });
    sleep(some(&mut fate.choices)).await;
    fate.meet(gate.close()).await;
    gate.close().await;
    assert_eq!(
        (gate.count(), inside.get()),
        (0, 0),
        "closed with somebody inside"
    );
    when_all(users).await;
    assert!(gate.enter().is_err());
}

async fn rwlock(mut fate: Fate) {
    let (lock, readers) = (RwLock::new(0_u64), Rc::new(Cell::new(0)));
    let users = fate.crowd(6, |index, mut fate| {
        let (lock, readers) = (lock.clone(), Rc::clone(&readers));
        async move {
            for _ in 0..6 {
                let pause = some(&mut fate.choices);
                let (lock, readers) = (&lock, &readers);
                let user = async move {
                    if index % 3 == 0 {
                        let mut value = lock.write().await;
                        assert_eq!(readers.get(), 0, "writes while others read");
                        let seen = *value;
                        sleep(pause).await;
                        assert_eq!(*value, seen, "two write at once");
                        *value += 1;
                    } else {
                        let value = lock.read().await;
                        let _inside = Inside::enter(readers, 1);
                        let seen = *value;
                        sleep(pause).await;
                        assert_eq!(*value, seen, "changed under a reader");
                    }
                };
                fate.meet(user).await;
            }
        }
    });
    when_all(users).await;
    assert!(lock.try_write().is_some());
}

async fn condition(mut fate: Fate) {
    let (changed, tokens) = (Condition::new(), Rc::new(Cell::new(0_u32)));
    let users = fate.crowd(6, |_, mut fate| {
        let (changed, tokens) = (changed.clone(), Rc::clone(&tokens));
        async move {
            for _ in 0..40 {
                let (changed, tokens) = (&changed, &tokens);
                let user = async move {
                    let met = changed.wait_until(|| tokens.get() > 0).await;
                    if met.is_ok() {
                        tokens.set(tokens.get() - 1);
                    }
                    met
                };
                if let Some(Err(_)) = fate.meet(user).await {
                    return;
                }
            }
        }
    });
    for _ in 0..20 {
        tokens.set(tokens.get() + 1);
        changed.signal();
        sleep(some(&mut fate.choices)).await;
    }
    // All who were signalled have had their turn by then.
    sleep(Duration::from_millis(100)).await;
    assert!(
        tokens.get() == 0 || changed.waiting() == 0,
        "a signal was lost"
    );
    changed.close();
    when_all(users).await;
}

async fn queue(mut fate: Fate) {
    let queue = Queue::new(2);
    let (added, popped) = (
        Rc::new(RefCell::new(Vec::new())),
        Rc::new(RefCell::new(Vec::new())),
    );
    let writers = fate.crowd(4, |index, mut fate| {
        let (queue, added) = (queue.clone(), Rc::clone(&added));
        async move {
            for n in 0..10 {
                let item = index * 10 + n;
                if let Some(Ok(())) = fate.meet(queue.push(item)).await {
                    added.borrow_mut().push(item);
                }
            }
        }
    });
    let readers = fate.crowd(3, |_, mut fate| {
        let (queue, popped) = (queue.clone(), Rc::clone(&popped));
        async move {
            loop {
                match fate.meet(queue.pop()).await {
                    Some(Ok(item)) => popped.borrow_mut().push(item),
                    Some(Err(_)) => return,
                    // Given up; it may be the only one whom a writer waits for.
                    None => sleep(Duration::from_micros(5)).await,
                }
            }
        }
    });
    when_all(writers).await;
    queue.close();
    when_all(readers).await;
    let mut all = popped.borrow().clone();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "an item came out twice");
    assert!(
        added.borrow().iter().all(|item| all.contains(item)),
        "an item was lost"
    );
}

async fn piped(mut fate: Fate) {
    let (writer, mut reader) = pipe(2);
    let written = Rc::new(RefCell::new(Vec::new()));
    let (mut writes, log) = (fate.fork(), Rc::clone(&written));
    let writing = spawn(async move {
        for n in 0..20 {
            if let Some(Ok(())) = writes.meet(writer.write(n)).await {
                log.borrow_mut().push(n);
            }
        }
    });
    let mut read = Vec::new();
    loop {
        match fate.meet(reader.read()).await {
            Some(Some(n)) => read.push(n),
            Some(None) => break,
            None => sleep(Duration::from_micros(5)).await,
        }
    }
    writing.await;
    assert!(read.is_sorted(), "{read:?}");
    assert!(
        written.borrow().iter().all(|n| read.contains(n)),
        "what was written was lost"
    );
}

async fn broadcast(mut fate: Fate) {
    let news = Broadcast::new(4);
    let receivers = fate.crowd(4, |_, mut fate| {
        let mut receiver = news.subscribe();
        async move {
            let (mut count, mut next) = (0, 0);
            loop {
                match fate.meet(receiver.next()).await {
                    Some(Ok(Ok(item))) => {
                        assert!(item >= next, "out of order");
                        (count, next) = (count + 1, item + 1);
                    }
                    Some(Ok(Err(lagged))) => count += lagged.count,
                    Some(Err(_)) => break,
                    None => sleep(Duration::from_micros(5)).await,
                }
            }
            assert_eq!(count, 30, "an item was lost to it");
        }
    });
    for item in 0..30 {
        news.send(item);
        if fate.choices.one_in(2) {
            sleep(some(&mut fate.choices)).await;
        }
    }
    news.close();
    when_all(receivers).await;
}

/// One value for one, and for many.
async fn replies(mut fate: Fate) {
    for _ in 0..5 {
        let (reply, awaiting) = oneshot();
        let shared = Shared::new(awaiting);
        let readers = fate.crowd(4, |_, mut fate| {
            let shared = shared.clone();
            async move {
                let got = fate.meet(shared).await;
                assert!(matches!(got, None | Some(Ok(7))));
            }
        });
        sleep(some(&mut fate.choices)).await;
        // Nobody awaits it any more if all were dropped.
        let _ = reply.send(7);
        when_all(readers).await;
        assert_eq!(shared.await, Ok(7));
    }
}

async fn aborts(mut fate: Fate) {
    let deadline = now() + some(&mut fate.choices);
    let (over, asked) = (AbortSource::with_deadline(deadline), AbortSource::new());
    let listeners = fate.crowd(6, |index, mut fate| {
        let source = if index % 2 == 0 {
            over.child()
        } else {
            asked.child()
        };
        async move {
            let heard = fate.meet(source.aborted()).await;
            assert!(heard.is_none() || source.is_aborted());
            source.aborted().await;
            assert!(index % 2 == 1 || now() >= deadline, "too early");
        }
    });
    sleep(some(&mut fate.choices)).await;
    asked.abort();
    when_all(listeners).await;
}

async fn pipeline(mut fate: Fate) {
    let mut pauses = fate.choices.fork();
    let (count_max, running) = (fate.choices.len(1, 4), Rc::new(Cell::new(0)));
    let pipeline = Pipeline::new(fate.choices.len(1, 3))
        .stage("pause", count_max, move |n: u32| {
            let (pause, inside) = (some(&mut pauses), Inside::enter(&running, 1));
            assert!(inside.0.get() <= count_max, "more than the stage may run");
            async move {
                let _inside = inside;
                sleep(pause).await;
                n
            }
        })
        .stage("pass", 1, |n| async move { n });
    let pipeline = Rc::new(pipeline);
    let (input, mut feed) = (Rc::clone(&pipeline), fate.fork());
    let feeding = spawn(async move {
        let mut pushed = Vec::new();
        for n in 0..15 {
            if let Some(Ok(())) = feed.meet(input.push(n)).await {
                pushed.push(n);
            }
        }
        input.close();
        pushed
    });
    let mut out = Vec::new();
    loop {
        match fate.meet(pipeline.pop()).await {
            Some(Ok(n)) => out.push(n),
            Some(Err(_)) => break,
            None => sleep(Duration::from_micros(5)).await,
        }
    }
    let pushed = feeding.await;
    assert!(
        out.is_sorted() && pushed.iter().all(|n| out.contains(n)),
        "{out:?}, {pushed:?}"
    );
}

/// What blocks has a thread of its own, and here a time of its own.
async fn blocks(mut fate: Fate) {
    let numbers: Vec<_> = (0..8).map(|n| (n, fate.fork())).collect();
    let tasks = numbers.into_iter().map(|(n, mut fate)| {
        spawn(async move {
            let got = fate.meet(blocking(move || n * n)).await;
            assert!(got.is_none() || got == Some(Ok(n * n)));
        })
    });
    when_all(tasks).await;
    assert_eq!(blocking(|| 7).await, Ok(7));
}

/// Calls to the other shards under two units for each.
async fn calls(mut fate: Fate, units: CallUnits) {
    let counts = Sharded::start(0_u64).with_units(units);
    counts.on_all(|_| ()).await;
    let shards: Vec<_> = (0..runtime::shard_count())
        .filter_map(ShardId::new)
        .collect();
    let fates = RefCell::new(fate.fork());
    max_concurrent_for_each(0..30, 6, async |n| {
        let shard = shards[n % shards.len()];
        let mut fate = fates.borrow_mut().fork();
        let called = async {
            counts.on(shard, |count| *count += 1).await;
            let there = run_on(shard, || async { runtime::current_shard() }).await;
            assert_eq!(there, shard);
        };
        fate.meet(called).await;
    })
    .await;
    for shard in shards {
        if shard != runtime::current_shard() {
            while units.available(shard) < 2 {
                sleep(Duration::from_micros(10)).await;
            }
        }
    }
}
