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
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, RawWakerVTable, Waker};
use std::time::Duration;

use futures_util::task::waker_ref;

use super::clock::Clock;
use super::groups::{GROUPS_MAX, GroupStats, Groups, Index};
use super::home::Home;
use super::lent::{Alarm, Lent};
use super::preempt::{Slice, is_slice_over};
use super::pulse::Pulse;
use super::shard::Outside;
use super::slot::{SlotId, Slots};
use super::task::{Task, drop_quietly};
use super::wakee::Wakee;
use super::woken::Woken;
use crate::sys::lend::{lend, token};
use crate::sys::thin::Back;

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

/// The task that is polled with a waker that lasts, and this as `will_wake` compares it.
#[derive(Clone, Copy)]
struct Running {
    number: u32,
    data: *const (),
    table: &'static RawWakerVTable,
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
        Executor {
            home: Home::new(outside),
            groups: RefCell::new(Groups::new()),
            group_count: Cell::new(1),
            current: Cell::new(Index::MAIN),
            slice: Slice::new(quota),
            slots: RefCell::new(Slots::new()),
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

    fn start(&self, group: Index, work: Back) -> SlotId {
        let count = &self.counts[group.place()];
        count.set(count.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        let number = self.slots.borrow_mut().insert(group, work);
        self.slot(number)
    }

    /// Names a place here.
    #[inline]
    fn slot(&self, number: u32) -> SlotId {
        SlotId::new(self.home.id(), number)
    }

    /// Runs ready tasks until none is left or the turn's share is used up: first those that this
    /// turn has woken, then those that gave up the rest of the last one.
    #[inline]
    pub(super) fn run(&self, clock: &Clock, pulse: &Pulse) {
        self.resume_yielded();
        if self.group_count.get() > 1 {
            return self.run_groups(clock, pulse);
        }
        self.run_main();
    }

    /// Runs tasks of the main group as if it were alone.
    #[inline(never)]
    fn run_main(&self) {
        for _ in 0..TASKS_PER_TURN {
            if !self.run_one(Index::MAIN) {
                return;
            }
        }
    }

    /// Runs a task of this group, if one is ready.
    #[expect(
        clippy::inline_always,
        reason = "it has two callers, and is a fifth of a poll that does little"
    )]
    #[inline(always)]
    fn run_one(&self, group: Index) -> bool {
        let due = self.slots.borrow_mut().next_due(group);
        let Some(due) = due else {
            return false;
        };
        self.polls.set(self.polls.get() + 1);
        let (number, mut work) = (due.number, due.work);
        let polled = match due.alarm {
            None => self.poll_lending(number, &mut work),
            Some(alarm) => self.poll_with(number, alarm, &mut work),
        };
        if polled.is_pending() {
            self.slots.borrow_mut().put_back(number, work);
            return true;
        }
        let group = self.slots.borrow_mut().free(number);
        self.count_end(group);
        if work.is_shared() {
            // What it has brought is its handle's.
            drop(work);
        } else {
            Self::drop_ended(work);
        }
        true
    }

    /// Polls a task with a waker that costs nothing unless somebody keeps it.
    #[expect(
        clippy::inline_always,
        reason = "as `run_one`, whose usual way this is"
    )]
    #[inline(always)]
    fn poll_lending(&self, number: u32, work: &mut Back) -> Poll<()> {
        let mut lent = Lent::new(self.home.outside());
        let token = self.slot(number).token();
        let polled = lend(token, &lent, |waker| {
            work.poll(&mut Context::from_waker(waker))
        });
        if let Some(alarm) = lent.take_alarm() {
            self.keep(number, alarm);
        }
        polled
    }

    /// Polls a task with the waker that its place has.
    #[inline(never)]
    fn poll_with(&self, number: u32, alarm: Arc<Alarm>, work: &mut Back) -> Poll<()> {
        let waker = waker_ref(&alarm);
        self.running.set(Some(Running::new(number, &waker)));
        let polled = work.poll(&mut Context::from_waker(&waker));
        self.running.set(None);
        self.keep(number, alarm);
        polled
    }

    #[inline(never)]
    fn keep(&self, number: u32, alarm: Arc<Alarm>) {
        self.slots.borrow_mut().keep(number, alarm);
    }

    #[inline(never)]
    fn drop_ended(work: Back) {
        drop_quietly(work);
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
        let slots = self.slots.borrow();
        let is_ready = |group| slots.is_due(group);
        self.groups.borrow_mut().choose(is_ready)
    }

    /// Whether a group beside the main one has the shard for itself: then its slice ends as soon as
    /// something comes, for it has no claim to that time, and what comes may be for those who have.
    fn is_spare(&self, group: Index) -> bool {
        let groups = self.group_count.get();
        group != Index::MAIN && !self.slots.borrow().is_any_due(groups, Some(group))
    }

    /// Runs tasks of one group until its slice is over. Tells whether that was given up.
    fn run_slice(&self, group: Index, polls_end: u64) -> bool {
        self.current.set(group);
        while self.run_one_of(group) && self.polls.get() < polls_end && !is_slice_over() {}
        self.current.set(Index::MAIN);
        self.slice.end()
    }

    /// Out of line, where there are groups to choose from.
    #[inline(never)]
    fn run_one_of(&self, group: Index) -> bool {
        self.run_one(group)
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
        stats.ready = self.slots.borrow().due_count(group);
        stats
    }

    /// Wakes in the next turn, after what its completions, messages and timers wake.
    pub(crate) fn wake_next_turn(&self, wakee: Wakee) {
        self.yielded.borrow_mut().push_back(wakee);
    }

    /// The place of the task that runs, if this is its waker.
    #[inline]
    pub(super) fn running(&self, waker: &Waker) -> Option<SlotId> {
        if let Some(token) = token(waker) {
            let slot = SlotId::from_token(token);
            return slot.is_of(self.home.id()).then_some(slot);
        }
        let running = self.running.get()?;
        running.has(waker).then(|| self.slot(running.number))
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
        let groups = self.group_count.get();
        self.slots.borrow().is_any_due(groups, None) || !self.yielded.borrow().is_empty()
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
            while let Some((number, group, mut work)) = self.remove_next(next) {
                is_clear = false;
                work.cancel();
                self.count_end(group);
                drop_quietly(work);
                next = number + 1;
            }
        }
        self.slots.borrow_mut().clear_queues();
    }

    fn remove_next(&self, number: u32) -> Option<(u32, Index, Back)> {
        self.slots.borrow_mut().remove_next(number)
    }

    /// Makes the task in this place ready, if there is one.
    #[inline]
    pub(super) fn wake(&self, number: u32) {
        self.slots.borrow_mut().wake(number);
    }

    /// Makes the task in this place of this shard ready, if there is one.
    #[inline]
    pub(super) fn wake_here(&self, slot: SlotId) {
        debug_assert!(slot.is_of(self.home.id()));
        self.wake(slot.number());
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
