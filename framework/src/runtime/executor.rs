//! [`Executor`]: runs the tasks of one shard; [`Task`]: the handle of one.
//!
//! What must hold: a task is polled and dropped on its shard only; waking it from another thread
//! puts it into the shard's [`WakeQueue`] and rings the doorbell; when the shard ends, every task
//! is dropped. A task stays in its group, which it carries in its header: whoever wakes it, it
//! becomes ready there. With one group a turn reads no clock (`groups`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

use super::clock::Clock;
use super::current;
use super::groups::{GROUPS_MAX, GroupStats, Groups, Index};
use super::preempt::{Slice, need_preempt};
use super::pulse::Pulse;
use super::shard::Outside;
use super::woken::Woken;

/// How many tasks run in a turn before the driver gets its own: so a chain of tasks that wake each
/// other cannot starve the sockets.
const TASKS_PER_TURN: usize = 256;

/// A task that is ready, with the group that it belongs to.
pub(super) type Runnable = async_task::Runnable<Index>;

/// The tasks of one shard that other threads have woken.
pub(crate) type WakeQueue = Woken<Runnable>;

/// The ready tasks and the register of all tasks of one shard.
pub(crate) struct Executor {
    /// By group.
    ready: [RefCell<VecDeque<Runnable>>; GROUPS_MAX],
    groups: RefCell<Groups>,
    group_count: Cell<usize>,
    /// The group of the task that runs.
    current: Cell<Index>,
    slice: Slice,
    /// A waker for every task that has not ended, so that all can be dropped with the shard.
    alive: RefCell<Slab<Waker>>,
    /// How many of them there are, by group.
    counts: [Cell<usize>; GROUPS_MAX],
    spawned: Cell<u64>,
    polls: Cell<u64>,
    /// Wakers of those that have given up the rest of the turn.
    yielded: RefCell<VecDeque<Waker>>,
}

impl Executor {
    /// Makes an executor without tasks, whose tasks run for `quota` in a turn.
    pub(crate) fn new(quota: Duration) -> Executor {
        let ready: [RefCell<_>; GROUPS_MAX] = Default::default();
        ready[Index::MAIN.place()].replace(VecDeque::with_capacity(TASKS_PER_TURN));
        Executor {
            ready,
            groups: RefCell::new(Groups::new()),
            group_count: Cell::new(1),
            current: Cell::new(Index::MAIN),
            slice: Slice::new(quota),
            alive: RefCell::new(Slab::new()),
            counts: Default::default(),
            spawned: Cell::new(0),
            polls: Cell::new(0),
            yielded: RefCell::default(),
        }
    }

    /// Starts a task in the group of the one that runs; it is polled for the first time in this
    /// turn or the next.
    pub(crate) fn spawn<F>(&self, outside: &Arc<Outside>, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        self.spawn_in(self.current.get(), outside, future)
    }

    /// Starts a task in this group.
    pub(super) fn spawn_in<F>(
        &self,
        group: Index,
        outside: &Arc<Outside>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let place = self.alive.borrow_mut().insert(Waker::noop().clone());
        let count = &self.counts[group.place()];
        count.set(count.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        let future = Registered {
            place,
            group,
            future,
        };
        let outside = Arc::clone(outside);
        let schedule = move |runnable| schedule(&outside, runnable);
        let builder = async_task::Builder::new()
            .propagate_panic(true)
            .metadata(group);
        let (runnable, task) = builder.spawn_local(move |_| future, schedule);
        self.alive.borrow_mut()[place] = runnable.waker();
        runnable.schedule();
        Task { task }
    }

    /// Runs ready tasks until none is left or the turn's share is used up: first those that this
    /// turn has woken, then those that gave up the rest of the last one.
    #[inline]
    pub(super) fn run(&self, clock: &Clock, pulse: &Pulse) {
        self.resume_yielded();
        Slice::begin_turn();
        if self.group_count.get() > 1 {
            return self.run_groups(clock, pulse);
        }
        for _ in 0..TASKS_PER_TURN {
            if !self.run_one(Index::MAIN) {
                return;
            }
        }
    }

    /// Runs a task of this group, if one is ready.
    #[inline]
    fn run_one(&self, group: Index) -> bool {
        let Some(runnable) = self.ready[group.place()].borrow_mut().pop_front() else {
            return false;
        };
        self.polls.set(self.polls.get() + 1);
        runnable.run();
        true
    }

    /// Gives slices to groups until none has something to do or the turn's share is used up.
    #[inline(never)]
    fn run_groups(&self, clock: &Clock, pulse: &Pulse) {
        let quota = self.slice.quota();
        let turn_end = clock.now() + quota;
        let polls_end = self.polls.get() + TASKS_PER_TURN as u64;
        let mut now = Clock::monotonic();
        while let Some(group) = self.next_group() {
            let slice = self.groups.borrow().slice(group, quota);
            let slice_end = (now + slice).min(turn_end);
            let polls = self.polls.get();
            pulse.run_in(group);
            self.run_slice(group, now, slice_end, polls_end);
            let end = Clock::monotonic();
            let (ran, polls) = (end - now, self.polls.get() - polls);
            let violated = end > slice_end + quota / 2;
            self.groups.borrow_mut().charge(group, ran, polls, violated);
            now = end;
            if now >= turn_end || self.polls.get() >= polls_end {
                break;
            }
        }
        pulse.run_in(Index::MAIN);
    }

    fn next_group(&self) -> Option<Index> {
        let is_ready = |group: Index| !self.ready[group.place()].borrow().is_empty();
        self.groups.borrow_mut().choose(is_ready)
    }

    /// Runs tasks of one group for the time of a slice.
    fn run_slice(&self, group: Index, now: Instant, end: Instant, polls_end: u64) {
        self.slice.begin(now, end);
        self.current.set(group);
        while self.run_one(group) && self.polls.get() < polls_end && !need_preempt() {}
        self.current.set(Index::MAIN);
        self.slice.end();
    }

    /// The slice that runs.
    #[inline]
    pub(super) fn slice(&self) -> &Slice {
        &self.slice
    }

    /// Adds a group.
    pub(super) fn add_group(&self, name: String, shares: u32) -> Index {
        let mut groups = self.groups.borrow_mut();
        let index = groups.add(name, shares);
        self.group_count.set(groups.count());
        index
    }

    /// The group of the task that runs.
    pub(super) fn current_group(&self) -> Index {
        self.current.get()
    }

    /// How many groups there are.
    pub(super) fn group_count(&self) -> usize {
        self.group_count.get()
    }

    /// Gives a group other shares.
    pub(super) fn set_shares(&self, group: Index, shares: u32) {
        self.groups.borrow_mut().set_shares(group, shares);
    }

    /// The books of a group.
    pub(super) fn group_stats(&self, group: Index) -> GroupStats {
        let groups = self.groups.borrow();
        let mut stats = groups.stats(group);
        if group == Index::MAIN {
            // While it is alone nobody enters it in the books.
            stats.polls = self.polls.get() - groups.polls_beside_main();
        }
        stats.tasks = self.counts[group.place()].get();
        stats.ready = self.ready[group.place()].borrow().len();
        stats
    }

    /// Wakes in the next turn, after what its completions, messages and timers wake.
    pub(crate) fn wake_next_turn(&self, waker: Waker) {
        self.yielded.borrow_mut().push_back(waker);
    }

    #[inline]
    fn resume_yielded(&self) {
        let count = self.yielded.borrow().len();
        for _ in 0..count {
            let next = self.yielded.borrow_mut().pop_front();
            next.expect("only this takes them out while tasks run")
                .wake();
        }
    }

    /// Whether a task is ready, now or in the next turn.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        let count = self.group_count.get();
        let mut ready = self.ready[..count].iter();
        ready.any(|ready| !ready.borrow().is_empty()) || !self.yielded.borrow().is_empty()
    }

    /// How many tasks have not ended.
    pub(crate) fn task_count(&self) -> usize {
        self.alive.borrow().len()
    }

    /// How many tasks were started.
    pub(crate) fn spawn_count(&self) -> u64 {
        self.spawned.get()
    }

    /// How many times a task was polled.
    pub(crate) fn poll_count(&self) -> u64 {
        self.polls.get()
    }

    /// Drops every task, those that other threads have woken included. Must run in the shard's
    /// scope.
    pub(crate) fn clear(&self, woken: &WakeQueue) {
        while self.task_count() > 0 || self.is_ready() || woken.is_waiting() {
            let wakers: Vec<_> = self.alive.borrow_mut().drain().collect();
            wakers.into_iter().for_each(Waker::wake);
            self.resume_yielded();
            self.collect(woken);
            // Taken out one by one: what is dropped may start tasks of its own.
            for ready in &self.ready {
                loop {
                    let next = ready.borrow_mut().pop_front();
                    let Some(runnable) = next else { break };
                    drop(runnable);
                }
            }
        }
    }

    #[inline]
    fn push(&self, runnable: Runnable) {
        let group = *runnable.metadata();
        self.ready[group.place()].borrow_mut().push_back(runnable);
    }

    /// Takes in what other threads have woken.
    pub(crate) fn collect(&self, woken: &WakeQueue) {
        if woken.is_waiting() {
            woken.take().into_iter().for_each(|it| self.push(it));
        }
    }
}

/// Makes a task ready: directly on its own shard, through the wake queue from anywhere else.
#[inline]
fn schedule(outside: &Arc<Outside>, runnable: Runnable) {
    current::try_with(|shard| match shard {
        Some(shard) if Arc::ptr_eq(&shard.outside, outside) => shard.executor.push(runnable),
        _ => {
            let pushed = outside.woken.push(runnable);
            assert!(pushed.is_ok(), "a shard drops its tasks before it ends");
            outside.bell.ring_from_outside();
        }
    });
}

pin_project_lite::pin_project! {
    /// A future that leaves the register when it is dropped.
    struct Registered<F> {
        place: usize,
        group: Index,
        #[pin]
        future: F,
    }

    impl<F> PinnedDrop for Registered<F> {
        fn drop(this: Pin<&mut Self>) {
            leave(this.place, this.group);
        }
    }
}

/// Takes a task that has ended out of the register.
fn leave(place: usize, group: Index) {
    current::try_with(|shard| {
        let Some(shard) = shard else { return };
        let executor = &shard.executor;
        let count = &executor.counts[group.place()];
        count.set(count.get() - 1);
        // `clear` has emptied the register before it drops the tasks.
        let waker = executor.alive.borrow_mut().try_remove(place);
        drop(waker);
    });
}

impl<F: Future> Future for Registered<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(context)
    }
}

/// The handle of a task. It is a future of the task's result.
///
/// # Cancel safety
/// Dropping the handle cancels the task: its future is dropped at the next turn. Call
/// [`detach`](Task::detach) to let it run on by itself.
#[must_use = "dropping a task cancels it; call `.detach()` to let it run"]
#[derive(Debug)]
pub struct Task<T> {
    task: async_task::Task<T, Index>,
}

impl<T> Task<T> {
    /// Lets the task run without its handle. A panic in it ends only the task; the process's panic
    /// hook has told of it.
    pub fn detach(self) {
        self.task.detach();
    }

    /// The handle as one for which the task may have been cancelled.
    pub(super) fn into_fallible(self) -> async_task::FallibleTask<T, Index> {
        self.task.fallible()
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

/// The handle of a task that goes on when its handle is dropped.
pub(crate) struct Kept<T> {
    task: Option<Task<T>>,
}

impl<T> Kept<T> {
    pub(crate) fn of(task: Task<T>) -> Kept<T> {
        Kept { task: Some(task) }
    }
}

impl<T> Future for Kept<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let task = self.task.as_mut().expect("kept until it is dropped");
        Pin::new(task).poll(context)
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    /// If the task has panicked: the panic goes on here.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.task).poll(context)
    }
}
