//! [`Executor`]: runs the tasks of one shard; [`Task`]: the handle of one.
//!
//! What must hold: a task is polled and dropped on its shard only; waking it from another thread
//! puts it into the shard's [`WakeQueue`] and rings the doorbell; when the shard ends, every task
//! is dropped.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_task::Runnable;
use slab::Slab;

use super::current;
use super::shard::Outside;
use super::woken::Woken;

/// How many tasks run in a turn before the driver gets its own: so a chain of tasks that wake each
/// other cannot starve the sockets.
const TASKS_PER_TURN: usize = 256;

/// The tasks of one shard that other threads have woken.
pub(crate) type WakeQueue = Woken<Runnable>;

/// The ready tasks and the register of all tasks of one shard.
pub(crate) struct Executor {
    ready: RefCell<VecDeque<Runnable>>,
    /// A waker for every task that has not ended, so that all can be dropped with the shard.
    alive: RefCell<Slab<Waker>>,
    polls: Cell<u64>,
    /// Wakers of those that have given up the rest of the turn.
    yielded: RefCell<VecDeque<Waker>>,
}

impl Executor {
    pub(crate) fn new() -> Executor {
        let ready = RefCell::new(VecDeque::with_capacity(TASKS_PER_TURN));
        Executor {
            ready,
            alive: RefCell::new(Slab::new()),
            polls: Cell::new(0),
            yielded: RefCell::default(),
        }
    }

    /// Starts a task; it is polled for the first time in this turn or the next.
    pub(crate) fn spawn<F>(&self, outside: &Arc<Outside>, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        let place = self.alive.borrow_mut().insert(Waker::noop().clone());
        let future = Registered { place, future };
        let outside = Arc::clone(outside);
        let schedule = move |runnable| schedule(&outside, runnable);
        let builder = async_task::Builder::new().propagate_panic(true);
        let (runnable, task) = builder.spawn_local(move |()| future, schedule);
        self.alive.borrow_mut()[place] = runnable.waker();
        runnable.schedule();
        Task { task }
    }

    /// Runs ready tasks until none is left or the turn's share is used up: first those that this
    /// turn has woken, then those that gave up the rest of the last one.
    #[inline]
    pub(crate) fn run(&self) {
        self.resume_yielded();
        for _ in 0..TASKS_PER_TURN {
            let Some(runnable) = self.ready.borrow_mut().pop_front() else {
                return;
            };
            self.polls.set(self.polls.get() + 1);
            runnable.run();
        }
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
        !self.ready.borrow().is_empty() || !self.yielded.borrow().is_empty()
    }

    /// How many tasks have not ended.
    pub(crate) fn task_count(&self) -> usize {
        self.alive.borrow().len()
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
            loop {
                let next = self.ready.borrow_mut().pop_front();
                let Some(runnable) = next else { break };
                drop(runnable);
            }
        }
    }

    #[inline]
    fn push(&self, runnable: Runnable) {
        self.ready.borrow_mut().push_back(runnable);
    }

    /// Takes in what other threads have woken.
    pub(crate) fn collect(&self, woken: &WakeQueue) {
        if woken.is_waiting() {
            self.ready.borrow_mut().extend(woken.take());
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
        #[pin]
        future: F,
    }

    impl<F> PinnedDrop for Registered<F> {
        fn drop(this: Pin<&mut Self>) {
            leave(this.place);
        }
    }
}

/// Takes a task that has ended out of the register.
fn leave(place: usize) {
    current::try_with(|shard| {
        let alive = shard.map(|shard| &shard.executor.alive);
        // `clear` has emptied the register before it drops the tasks.
        let waker = alive.and_then(|alive| alive.borrow_mut().try_remove(place));
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
    task: async_task::Task<T>,
}

impl<T> Task<T> {
    /// Lets the task run without its handle. A panic in it ends only the task; the process's panic
    /// hook has told of it.
    pub fn detach(self) {
        self.task.detach();
    }

    /// The handle as one for which the task may have been cancelled.
    pub(super) fn into_fallible(self) -> async_task::FallibleTask<T> {
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
