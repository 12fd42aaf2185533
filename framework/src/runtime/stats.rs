//! [`Stats`]: what a shard holds at this moment, and what it has counted since it started.

use super::with_current;

/// The books of one shard. At rest `operations`, `tasks` and `timers` stand at what the program
/// itself keeps open: nothing is lost and nothing is left over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sockets and listeners that are open or still being closed.
    pub sockets: usize,
    /// Operations that the kernel works on.
    pub operations: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Timers that wait.
    pub timers: usize,
    /// Pool blocks that are in use.
    pub blocks: usize,
    /// How often a task was polled.
    pub polls: u64,
    /// How often the driver has entered the kernel to wait: once for each turn.
    pub enters: u64,
    /// Receives that ended for want of a provided buffer and were started again.
    pub starved: u64,
    /// Completions that belonged to no operation: 0, or there is a bug.
    pub stray: u64,
}

/// Reads the books of the current shard.
///
/// # Panics
/// Outside of every shard.
pub fn stats() -> Stats {
    with_current(|shard| {
        let io = shard.io.borrow();
        let counters = io.driver.counters();
        Stats {
            sockets: io.socket_count(),
            operations: io.driver.in_flight(),
            tasks: shard.executor.task_count(),
            timers: shard.timers.borrow().len(),
            blocks: shard.pool.outstanding(),
            polls: shard.executor.poll_count(),
            enters: counters.enters,
            starved: counters.starved,
            stray: counters.stray,
        }
    })
}
