//! [`Shard`]: one thread's reactor, memory and state; [`Outside`]: what other threads see of it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::alien::CallCount;
use super::blocking::BlockingPool;
use super::clock::Clock;
use super::doorbell::Doorbell;
use super::driver::Driver;
use super::executor::{Executor, WakeQueue};
use super::io::Io;
use super::launch::Config;
use super::mesh::{Ends, Mesh};
use super::op::Completion;
use super::placement::ShardId;
use super::pulse::Pulse;
use super::socket::Wakers;
use super::states::States;
use super::timer::Wheel;
use crate::mem::Pool;

/// What other threads may touch of a shard.
pub(crate) struct Outside {
    pub(crate) bell: Doorbell,
    pub(crate) woken: WakeQueue,
    pub(super) pulse: Pulse,
    /// How many calls of alien threads are in.
    pub(super) calls: CallCount,
}

impl Outside {
    pub(crate) fn new() -> io::Result<Outside> {
        Ok(Outside {
            bell: Doorbell::new()?,
            woken: WakeQueue::new(),
            pulse: Pulse::default(),
            calls: CallCount::new(0),
        })
    }
}

/// Everything that belongs to one shard. It never leaves its thread.
pub(crate) struct Shard {
    /// What [`share`](Shard::share) gives away.
    this: Weak<Shard>,
    pub(crate) id: ShardId,
    pub(crate) outside: Arc<Outside>,
    /// By shard, this one included.
    pub(crate) all: Arc<[Arc<Outside>]>,
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) executor: Executor,
    pub(crate) timers: RefCell<Wheel>,
    pub(crate) io: RefCell<Io>,
    pub(crate) mesh: Mesh,
    /// The threads that may block, of all shards.
    pub(super) blocking: Arc<BlockingPool>,
    /// The state that lives on this shard, by type; see `sharded`.
    pub(crate) states: States,
    /// How many turns there were.
    pub(super) turns: Cell<u64>,
    pub(super) batch: RefCell<Vec<Completion>>,
    /// What the reactor wakes from; empty between two turns.
    pub(super) wakers: RefCell<Wakers>,
}

impl Shard {
    pub(super) fn new(
        id: ShardId,
        config: &Config,
        all: Arc<[Arc<Outside>]>,
        ends: Ends,
        driver: Driver,
        blocking: Arc<BlockingPool>,
    ) -> Rc<Shard> {
        let clock = Clock::new();
        let timers = RefCell::new(Wheel::new(clock.now()));
        let outside = Arc::clone(&all[id.index()]);
        Rc::new_cyclic(|this| Shard {
            this: Weak::clone(this),
            id,
            outside: Arc::clone(&outside),
            all,
            clock,
            pool: Pool::new(),
            executor: Executor::new(config.task_quota, outside),
            timers,
            io: RefCell::new(Io::new(driver)),
            mesh: Mesh::new(ends),
            blocking,
            states: States::default(),
            turns: Cell::new(0),
            batch: RefCell::new(Vec::new()),
            wakers: RefCell::default(),
        })
    }

    /// A share in it, for what lives on it. Not for what it drops when it goes itself.
    pub(crate) fn share(&self) -> Rc<Shard> {
        let this = self.this.upgrade();
        this.expect("only who has a share can have lent it")
    }

    /// Drops all that lives on it. Must run in its scope.
    pub(super) fn clear(&self) {
        self.executor.clear();
        self.states.clear();
    }

    /// Whether something has come for this shard that the next turn would bring.
    pub(super) fn has_news(&self) -> bool {
        let from_others = || self.mesh.is_ready() || self.outside.woken.is_waiting();
        let driver_has = |io: &mut Io| io.driver.has_news();
        self.io
            .try_borrow_mut()
            .is_ok_and(|mut io| driver_has(&mut io))
            || from_others()
    }

    /// How many shards there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }
}
