//! [`Executor`]: runs the tasks of one shard.
//!
//! What must hold: a task is polled and dropped on its shard only; waking it from another thread
//! puts an alarm for its place into the shard's [`WakeQueue`] and rings the doorbell; when the
//! shard ends, every task is dropped. A task stays in its group, which its place knows: whoever
//! wakes it, it becomes ready there. With one group a turn reads no clock (`groups`). What happens
//! on the shard alone costs no atomic operation, and no memory but the task's own (ADR 39).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker};
use std::time::Duration;

use futures_util::task::waker_ref;

use super::clock::Clock;
use super::groups::{GROUPS_MAX, GroupStats, Groups, Index};
use super::home::Home;
use super::lent::{Alarm, Lent};
use super::preempt::{Slice, need_preempt};
use super::pulse::Pulse;
use super::shard::Outside;
use super::slot::{Due, SlotId, Slots};
use super::task::{Task, Work, drop_quietly};
use super::wakee::Wakee;
use super::woken::Woken;
use crate::sys::lend::lend;

/// How many tasks run in a turn before the driver gets its own: so a chain of tasks that wake each
/// other cannot starve the sockets.
const TASKS_PER_TURN: usize = 256;

/// What other threads want of a shard.
pub(crate) enum Want {
    /// To wake a task.
    Wake(Arc<Alarm>),
    /// To have something called, on behalf of a thread that is no shard.
    Call(async_task::Runnable),
}

/// What other threads want of one shard, until it takes it up.
pub(crate) type WakeQueue = Woken<Want>;

/// The task that is polled, and the waker that it is polled with: as `will_wake` compares it, for
/// the time that this waker is lent.
#[derive(Clone, Copy)]
struct Running {
    number: u32,
    data: *const (),
    table: *const RawWakerVTable,
}

impl Running {
    #[inline]
    fn new(number: u32, waker: &Waker) -> Running {
        Running {
            number,
            data: waker.data(),
            table: waker.vtable(),
        }
    }

    #[inline]
    fn has(self, waker: &Waker) -> bool {
        ptr::eq(self.data, waker.data()) && ptr::eq(self.table, waker.vtable())
    }
}

/// The ready tasks and the register of all tasks of one shard.
pub(crate) struct Executor {
    home: Home,
    /// The numbers of their places, by group.
    ready: [RefCell<VecDeque<u32>>; GROUPS_MAX],
    groups: RefCell<Groups>,
    group_count: Cell<usize>,
    /// The group of the task that runs.
    current: Cell<Index>,
    slice: Slice,
    slots: RefCell<Slots>,
    /// How many tasks have not ended, by group.
    counts: [Cell<usize>; GROUPS_MAX],
    spawned: Cell<u64>,
    polls: Cell<u64>,
    /// Wakers of those that have given up the rest of the turn.
    yielded: RefCell<VecDeque<Wakee>>,
    running: Cell<Option<Running>>,
}

impl Executor {
    /// Makes an executor without tasks, whose tasks run for `quota` in a turn.
    pub(crate) fn new(quota: Duration, outside: Arc<Outside>) -> Executor {
        let ready: [RefCell<_>; GROUPS_MAX] = Default::default();
        ready[Index::MAIN.place()].replace(VecDeque::with_capacity(TASKS_PER_TURN));
        Executor {
            home: Home::new(outside),
            ready,
            groups: RefCell::new(Groups::new()),
            group_count: Cell::new(1),
            current: Cell::new(Index::MAIN),
            slice: Slice::new(quota),
            slots: RefCell::default(),
            counts: Default::default(),
            spawned: Cell::new(0),
            polls: Cell::new(0),
            yielded: RefCell::default(),
            running: Cell::new(None),
        }
    }

    /// How its shard is found on this thread.
    #[inline]
    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// Starts a task in the group of the one that runs; it is polled for the first time in this
    /// turn or the next.
    pub(crate) fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        self.spawn_in(self.current.get(), future)
    }

    /// Starts a task in this group.
    pub(super) fn spawn_in<F>(&self, group: Index, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        Task::new(future, |work| self.start(group, work))
    }

    fn start(&self, group: Index, work: Pin<Rc<dyn Work>>) -> SlotId {
        let count = &self.counts[group.place()];
        count.set(count.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        let number = self.slots.borrow_mut().insert(group, work);
        self.ready[group.place()].borrow_mut().push_back(number);
        let home = self.home.id();
        SlotId { home, number }
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
        let Some(number) = self.ready[group.place()].borrow_mut().pop_front() else {
            return false;
        };
        let due = self.slots.borrow_mut().take_due(number);
        if let Some(due) = due {
            self.polls.set(self.polls.get() + 1);
            self.run_task(number, due);
        }
        true
    }

    #[inline]
    fn run_task(&self, number: u32, mut due: Due) {
        let work = due.work.as_ref();
        let poll = |waker: &Waker| {
            self.running.set(Some(Running::new(number, waker)));
            work.poll(&mut Context::from_waker(waker))
        };
        let polled = if let Some(alarm) = &due.alarm {
            poll(&waker_ref(alarm))
        } else {
            let lent = Lent::new(number, self.home.outside());
            let polled = lend(&lent, poll);
            due.alarm = lent.into_alarm();
            polled
        };
        self.running.set(None);
        if due.alarm.is_some() || polled.is_ready() {
            self.after_poll(number, due, polled);
        }
    }

    /// What is to do after a poll, unless the task only waits.
    fn after_poll(&self, number: u32, due: Due, polled: Poll<()>) {
        let mut slots = self.slots.borrow_mut();
        if let Some(alarm) = due.alarm {
            slots.keep(number, alarm);
        }
        if polled.is_ready() {
            let ended = slots.remove(number);
            drop(slots);
            self.count_end(due.group);
            drop_quietly((ended, due.work));
        }
    }

    fn count_end(&self, group: Index) {
        let count = &self.counts[group.place()];
        count.set(count.get() - 1);
    }

    /// Gives slices to groups until none has something to do or the turn's share is used up.
    #[inline(never)]
    fn run_groups(&self, clock: &Clock, pulse: &Pulse) {
        let quota = self.slice.quota();
        let turn_end = clock.now() + quota;
        let polls_end = self.polls.get() + TASKS_PER_TURN as u64;
        let mut now = Clock::monotonic();
        let polls_before = self.polls.get();
        while let Some(group) = self.next_group() {
            let is_spare = self.is_spare(group);
            if is_spare && self.polls.get() > polls_before {
                // First what others have to send leaves, with the end of the turn.
                break;
            }
            let slice = self.groups.borrow().slice(group, quota);
            let slice_end = (now + slice).min(turn_end);
            let polls = self.polls.get();
            pulse.run_in(group);
            self.slice.begin(now, slice_end, is_spare);
            let given_up = self.run_slice(group, polls_end);
            let end = Clock::monotonic();
            let (ran, polls) = (end - now, self.polls.get() - polls);
            let violated = end > slice_end + quota / 2;
            self.groups.borrow_mut().charge(group, ran, polls, violated);
            now = end;
            if given_up || now >= turn_end || self.polls.get() >= polls_end {
                break;
            }
        }
        pulse.run_in(Index::MAIN);
    }

    fn next_group(&self) -> Option<Index> {
        let is_ready = |group: Index| !self.ready[group.place()].borrow().is_empty();
        self.groups.borrow_mut().choose(is_ready)
    }

    /// Whether a group beside the main one has the shard for itself: then its slice ends as soon as
    /// something comes, for it has no claim to that time, and what comes may be for those who have.
    fn is_spare(&self, group: Index) -> bool {
        let mut all = self.ready.iter().enumerate();
        group != Index::MAIN
            && all.all(|(place, ready)| place == group.place() || ready.borrow().is_empty())
    }

    /// Runs tasks of one group until its slice is over. Tells whether that was given up.
    fn run_slice(&self, group: Index, polls_end: u64) -> bool {
        self.current.set(group);
        while self.run_one(group) && self.polls.get() < polls_end && !need_preempt() {}
        self.current.set(Index::MAIN);
        self.slice.end()
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
    pub(crate) fn wake_next_turn(&self, wakee: Wakee) {
        self.yielded.borrow_mut().push_back(wakee);
    }

    /// The place of the task that runs, if this is its waker.
    #[inline]
    pub(super) fn running(&self, waker: &Waker) -> Option<SlotId> {
        let running = self.running.get()?;
        let (number, home) = (running.number, self.home.id());
        running.has(waker).then_some(SlotId { home, number })
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
        self.counts.iter().map(Cell::get).sum()
    }

    /// How many tasks were started.
    pub(crate) fn spawn_count(&self) -> u64 {
        self.spawned.get()
    }

    /// How many times a task was polled.
    pub(crate) fn poll_count(&self) -> u64 {
        self.polls.get()
    }

    /// Drops every task, and what other threads want. Must run in the shard's scope.
    pub(crate) fn clear(&self) {
        drop(self.home.outside().woken.close());
        let mut is_clear = false;
        while !is_clear {
            is_clear = self.yielded.take().is_empty();
            // One by one: what is dropped may start tasks of its own.
            let mut next = 0;
            while let Some((number, due)) = self.remove_next(next) {
                is_clear = false;
                due.work.as_ref().cancel();
                self.count_end(due.group);
                drop_quietly(due.work);
                next = number + 1;
            }
        }
        self.ready
            .iter()
            .for_each(|ready| ready.borrow_mut().clear());
    }

    fn remove_next(&self, number: u32) -> Option<(u32, Due)> {
        self.slots.borrow_mut().remove_next(number)
    }

    /// Makes the task in this place ready, if there is one.
    #[inline]
    pub(super) fn wake(&self, number: u32) {
        if let Some(group) = self.slots.borrow_mut().enqueue(number) {
            self.ready[group.place()].borrow_mut().push_back(number);
        }
    }

    /// Takes in what other threads want.
    pub(crate) fn collect(&self) {
        let outside = self.home.outside();
        if !outside.woken.is_waiting() {
            return;
        }
        for want in outside.woken.take() {
            match want {
                Want::Wake(alarm) => {
                    alarm.lower();
                    self.wake(alarm.number());
                }
                Want::Call(call) => {
                    let run = async move {
                        call.run();
                    };
                    self.spawn_in(Index::MAIN, run).detach();
                }
            }
        }
    }
}
