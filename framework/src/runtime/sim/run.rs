//! The runner: turns all shards of a simulation on one thread, in an order that the seed chooses.
//!
//! What must hold: a shard's turn and its going to sleep are two steps, between which others have
//! turns, as they have on real CPUs; time jumps only when every shard sleeps, and then to the next
//! thing that happens; no shard sleeps while something waits for it and no doorbell is on its way;
//! when all is over nothing is left over.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::super::blocking::BlockingPool;
use super::super::current;
use super::super::driver::{Driver, Wait};
use super::super::launch::Config;
use super::super::mesh;
use super::super::placement::ShardId;
use super::super::reactor;
use super::super::shard::{Outside, Shard};
use super::super::task::Task;
use super::{Peers, Sim};
use crate::error::{Error, Result};
use crate::sys::sim;

/// The simulated time after which a simulation counts as stuck.
const TIME_MAX: Duration = Duration::from_hours(1);
/// The steps after which it counts as going round in circles.
const STEPS_MAX: u64 = 5_000_000;
/// How long a turn takes at most, and one on a stolen CPU, in nanoseconds.
const TURN_MAX: u64 = 2_000;
const STALL_MAX: u64 = 20_000_000;
/// For how many steps a shard may get no turn.
const STARVED_MAX: u64 = 200;

/// Whether this thread is in a simulation.
pub(crate) fn is_simulated() -> bool {
    sim::is_installed()
}

/// What a shard does next.
enum State {
    /// A turn.
    Turn,
    /// Goes to sleep, if there is still no reason not to.
    Park(Wait),
    /// Sleeps, perhaps until then.
    Asleep(Option<Duration>),
}

struct Lane<T> {
    shard: Rc<Shard>,
    ring: usize,
    main: Task<T>,
    result: Option<T>,
    state: State,
}

struct Runner<T> {
    lanes: Vec<Lane<T>>,
    peers: Peers,
    steps: u64,
    signalled: bool,
    /// A shard that gets no turn until that step.
    starved: Option<(usize, u64)>,
}

/// As [`run_on_all_shards`](crate::runtime::run_on_all_shards), in this thread's simulation.
pub(crate) fn run_on_all_shards<M, F, T>(config: &Config, main: M) -> Result<Vec<T>>
where
    M: Fn(ShardId) -> F,
    F: Future<Output = T> + 'static,
    T: 'static,
{
    let mut runner = Runner {
        lanes: lanes(config, main)?,
        peers: Peers::of_this_thread(),
        steps: 0,
        signalled: false,
        starved: None,
    };
    let ran = catch_unwind(AssertUnwindSafe(|| runner.run()));
    let cleared = catch_unwind(AssertUnwindSafe(|| runner.clear()));
    if let Err(panic) = ran.and(cleared) {
        resume_unwind(panic);
    }
    runner.settle();
    let results = runner.lanes.into_iter().map(Lane::finish).collect();
    Ok(results)
}

fn lanes<M, F, T>(config: &Config, main: M) -> Result<Vec<Lane<T>>>
where
    M: Fn(ShardId) -> F,
    F: Future<Output = T> + 'static,
    T: 'static,
{
    let count = config.placement.shard_count();
    let outside: std::io::Result<Vec<_>> =
        (0..count).map(|_| Outside::new().map(Arc::new)).collect();
    let outside: Arc<[_]> = outside
        .map_err(|error| Error::io("cannot make a doorbell", error))?
        .into();
    let blocking = BlockingPool::new(config.blocking, &config.placement);
    let lane = |(index, ends)| {
        let id = ShardId::of(index);
        let driver = Sim::new(&outside[index].bell);
        let ring = driver.ring();
        let blocking = Arc::clone(&blocking);
        let shard = Shard::new(
            id,
            config,
            Arc::clone(&outside),
            ends,
            Driver::Sim(driver),
            blocking,
        );
        let main = current::enter(&shard, || shard.executor.spawn(main(id)));
        Lane {
            shard,
            ring,
            main,
            result: None,
            state: State::Turn,
        }
    };
    let ends = mesh::connect(count);
    Ok(ends.into_iter().enumerate().map(lane).collect())
}

impl<T> Runner<T> {
    /// Until the main futures of all shards have ended.
    fn run(&mut self) {
        while self.lanes.iter().any(|lane| lane.result.is_none()) {
            self.steps += 1;
            sim::with(sim::Kernel::run_due);
            if self.peers.run() {
                continue;
            }
            self.wake();
            let ready = self.ready();
            if ready.is_empty() {
                self.jump();
            } else {
                let chosen = self.choose(&ready);
                self.step(chosen);
            }
            assert!(
                self.steps < STEPS_MAX,
                "no end after {STEPS_MAX} steps: {}",
                self.state()
            );
        }
    }

    /// Wakes the shards that have a reason.
    fn wake(&mut self) {
        for lane in &mut self.lanes {
            if let State::Asleep(until) = lane.state
                && sim::with(|kernel| {
                    let late = until.is_some_and(|until| until <= kernel.elapsed());
                    late || kernel.is_awake(lane.ring)
                })
            {
                sim::with(|kernel| kernel.enter(lane.ring));
                lane.shard.outside.bell.unpark();
                lane.state = State::Turn;
            }
        }
    }

    fn ready(&mut self) -> Vec<usize> {
        let awake = |(_, lane): &(usize, &Lane<T>)| !matches!(lane.state, State::Asleep(_));
        let all = self.lanes.iter().enumerate().filter(awake);
        let mut ready: Vec<_> = all.map(|(index, _)| index).collect();
        if let Some((starved, until)) = self.starved {
            if self.steps >= until {
                self.starved = None;
            } else if ready.len() > 1 {
                ready.retain(|index| *index != starved);
            }
        }
        ready
    }

    fn choose(&mut self, ready: &[usize]) -> usize {
        sim::with(|kernel| {
            let starves = kernel.faults().starvings;
            let seed = kernel.seed();
            let chosen = ready[seed.len(0, ready.len() - 1)];
            if self.starved.is_none() && seed.one_in(starves) {
                let steps = seed.below(STARVED_MAX);
                self.starved = Some((chosen, self.steps + steps));
            }
            kernel.note(&[8, chosen as u64]);
            chosen
        })
    }

    /// One step of one shard.
    fn step(&mut self, chosen: usize) {
        let lane = &mut self.lanes[chosen];
        match lane.state {
            State::Turn => {
                let wait = reactor::turn(&lane.shard);
                lane.look_for_result();
                lane.state = State::Park(wait);
                take_time();
            }
            State::Park(wait) => {
                let wait = if wait == Wait::No {
                    wait
                } else {
                    reactor::park(&lane.shard, wait)
                };
                lane.shard.io.borrow_mut().driver.enter(wait);
                let now = sim::with(|kernel| kernel.elapsed());
                lane.state = match wait {
                    Wait::No => State::Turn,
                    Wait::AtMost(timeout) => State::Asleep(Some(now + timeout)),
                    Wait::Forever => State::Asleep(None),
                };
                if let State::Turn = lane.state {
                    lane.shard.outside.bell.unpark();
                }
            }
            State::Asleep(_) => unreachable!("only those that are awake are chosen"),
        }
    }

    /// Everybody sleeps: time goes on to what happens next.
    fn jump(&mut self) {
        for lane in &self.lanes {
            let waits = lane.shard.mesh.is_ready() || lane.shard.outside.woken.is_waiting();
            let rung = sim::with(|kernel| kernel.is_bell_on_its_way(lane.ring));
            let id = lane.shard.id;
            assert!(
                !waits || rung,
                "a wake-up was lost: shard {id} sleeps while another one's message waits"
            );
        }
        if self.peers.names().is_empty() && !self.signalled {
            self.signalled = true;
            if sim::with(sim::Kernel::signal) {
                return;
            }
        }
        let timers = self.lanes.iter().filter_map(|lane| match lane.state {
            State::Asleep(until) => until,
            _ => None,
        });
        let next = timers.chain(sim::with(|kernel| kernel.next_event())).min();
        let Some(next) = next else {
            panic!("nothing will ever happen again: {}", self.state());
        };
        assert!(next < TIME_MAX, "stuck for {TIME_MAX:?}: {}", self.state());
        sim::with(|kernel| {
            kernel.jump_to(next);
            kernel.wake_some_for_nothing();
        });
    }

    /// What everybody is about, for a failure.
    fn state(&self) -> String {
        let lane = |lane: &Lane<T>| {
            let io = lane.shard.io.borrow();
            format!(
                "shard {}: ended {}, {} sockets, {} operations, {} tasks",
                lane.shard.id,
                lane.result.is_some(),
                io.socket_count(),
                io.driver.in_flight(),
                lane.shard.executor.task_count()
            )
        };
        let lanes: Vec<_> = self.lanes.iter().map(lane).collect();
        let (at, peers) = (sim::with(|kernel| kernel.elapsed()), self.peers.names());
        format!(
            "at {at:?}; {}; peers that wait: {peers:?}",
            lanes.join("; ")
        )
    }

    /// Drops all tasks and states, as the end of a shard does.
    fn clear(&mut self) {
        for lane in &self.lanes {
            let shard = &lane.shard;
            current::enter(shard, || {
                shard.clear();
                drop(shard.outside.woken.close());
            });
        }
    }

    /// Waits until the kernel has let go of everything and the peers have seen the end.
    fn settle(&mut self) {
        loop {
            sim::with(sim::Kernel::run_due);
            if self.peers.run() {
                continue;
            }
            for lane in &self.lanes {
                let shard = &lane.shard;
                let mut io = shard.io.borrow_mut();
                io.driver.enter(Wait::No);
                io.reap(&shard.outside.bell, &shard.pool, &mut Vec::new());
                io.driver.enter(Wait::No);
            }
            let Some(next) = sim::with(|kernel| kernel.next_event()) else {
                break;
            };
            sim::with(|kernel| kernel.jump_to(next));
        }
        let waiting = self.peers.names();
        assert!(waiting.is_empty(), "peers wait for ever: {waiting:?}");
    }
}

impl<T> Lane<T> {
    fn look_for_result(&mut self) {
        if self.result.is_some() || !self.main.is_finished() {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        let main = Pin::new(&mut self.main);
        if let Poll::Ready(result) = current::enter(&self.shard, || main.poll(&mut context)) {
            self.result = Some(result);
        }
    }

    /// Balances the books of a shard that has ended, and gives its result.
    fn finish(self) -> T {
        let shard = &self.shard;
        let io = shard.io.borrow();
        let books = [
            ("sockets", io.socket_count()),
            ("operations", io.driver.in_flight()),
            (
                "operations of the kernel",
                sim::with(|kernel| kernel.ring_ledger(self.ring)).0,
            ),
            (
                "provided buffers",
                sim::with(|kernel| kernel.ring_ledger(self.ring)).1,
            ),
            ("pool blocks", shard.pool.outstanding()),
            ("timers", shard.timers.borrow().len()),
            ("tasks", shard.executor.task_count()),
        ];
        for (what, count) in books {
            assert!(count == 0, "shard {}: {count} {what} left over", shard.id);
        }
        let stray = io.driver.counters().stray;
        assert!(
            stray == 0,
            "shard {}: {stray} completions of nothing",
            shard.id
        );
        self.result.expect("every shard has ended")
    }
}

/// A turn takes time.
fn take_time() {
    sim::with(|kernel| {
        let stalls = kernel.faults().stalls;
        let seed = kernel.seed();
        let most = if seed.one_in(stalls) {
            STALL_MAX
        } else {
            TURN_MAX
        };
        let nanoseconds = seed.between(100, most);
        kernel.pass(Duration::from_nanos(nanoseconds));
    });
}
