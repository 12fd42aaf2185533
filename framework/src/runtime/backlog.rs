//! [`Backlog`]: what waits for a thread of the pool that may block.
//!
//! What must hold: what was taken in is given out once, to a thread that waits or to one that
//! comes; no more wait than `waiting_max` beside those for whom a thread is free; nothing comes in
//! once it is closed. `framework/loom` tries all interleavings.

use std::collections::VecDeque;
use std::time::Duration;

use super::atomic::{Condvar, Mutex, MutexGuard};

/// A queue that shards fill and threads empty, and the count of those threads.
pub(super) struct Backlog<T> {
    state: Mutex<State<T>>,
    /// Something waits for an idle thread, or it is over.
    work: Condvar,
    /// The last thread has ended.
    rest: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Threads that have not ended.
    threads: usize,
    /// Those of them that wait for work, or are about to.
    idle: usize,
    is_closed: bool,
}

/// What has become of something that was pushed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// A thread will take it.
    Taken,
    /// The caller has to start a thread for it, which counts already.
    NeedsThread,
}

impl<T> Backlog<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "threads meet here; requests that do not block never come by"
    )]
    pub(super) fn new() -> Backlog<T> {
        let state = State {
            waiting: VecDeque::new(),
            threads: 0,
            idle: 0,
            is_closed: false,
        };
        Backlog {
            state: Mutex::new(state),
            work: Condvar::new(),
            rest: Condvar::new(),
        }
    }

    /// Adds a task, or gives it back when it is one too many.
    pub(super) fn push(
        &self,
        task: T,
        threads_max: usize,
        waiting_max: usize,
    ) -> Result<Pushed, T> {
        let mut state = self.lock();
        let unserved = state.waiting.len().saturating_sub(state.idle);
        let is_free = state.waiting.len() < state.idle;
        let needs_thread = !is_free && state.threads < threads_max;
        if state.is_closed || !(is_free || needs_thread || unserved < waiting_max) {
            return Err(task);
        }
        state.waiting.push_back(task);
        if needs_thread {
            state.threads += 1;
            state.idle += 1;
            return Ok(Pushed::NeedsThread);
        }
        drop(state);
        self.work.notify_one();
        Ok(Pushed::Taken)
    }

    /// For an idle thread: waits for a task, which it is busy with until [`done`](Backlog::done).
    /// `None` when it is over; the thread does not count any more then.
    pub(super) fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(task) = state.waiting.pop_front() {
                state.idle -= 1;
                return Some(task);
            }
            if state.is_closed {
                state.idle -= 1;
                state.threads -= 1;
                let is_last = state.threads == 0;
                drop(state);
                if is_last {
                    self.rest.notify_all();
                }
                return None;
            }
            state = self.work.wait(state).expect("nothing panics meanwhile");
        }
    }

    /// A thread is idle again.
    pub(super) fn done(&self) {
        self.lock().idle += 1;
    }

    /// A thread that counts could not be started. Gives back what nobody will take now.
    pub(super) fn lose_thread(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.threads -= 1;
        state.idle -= 1;
        if state.threads > 0 {
            return VecDeque::new();
        }
        std::mem::take(&mut state.waiting)
    }

    /// Lets nothing more in, and gives back what no thread has taken.
    pub(super) fn close(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.is_closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.work.notify_all();
        waiting
    }

    /// Waits until all threads have ended, but no longer than `patience`. Tells how many have not.
    pub(super) fn wait_for_threads(&self, patience: Duration) -> usize {
        let mut state = self.lock();
        while state.threads > 0 {
            let waited = self.rest.wait_timeout(state, patience);
            let (woken, waited) = waited.expect("nothing panics meanwhile");
            state = woken;
            if waited.timed_out() {
                break;
            }
        }
        state.threads
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state
            .lock()
            .expect("nothing panics while it is locked")
    }
}
