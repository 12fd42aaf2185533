//! [`Stats`]: what a shard holds at this moment, and what it has counted since it started.

use std::time::Duration;

use super::mesh::MeshStats;
use super::with_current;
use crate::sys::thread::Times;

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
    /// Tasks that were started.
    pub spawned: u64,
    /// Timers that wait.
    pub timers: usize,
    /// Pool blocks that are in use.
    pub blocks: usize,
    /// How often a task was polled.
    pub polls: u64,
    /// How long the shard's thread has been on a CPU, in the kernel too. Zero, as the next, where
    /// the kernel keeps no such books (`/proc/PID/schedstat`).
    pub ran: Duration,
    /// How long it was ready while others had the CPUs.
    pub waited: Duration,
    /// Since the shard was made.
    pub lived: Duration,
    /// Turns that lasted for longer than the threshold of [`Stalls`](super::Stalls).
    pub stalls: u64,
    /// Those of them that were not reported, since there had been enough in a minute.
    pub stalls_unreported: u64,
    /// Turns of the reactor.
    pub turns: u64,
    /// How often the driver has entered the kernel, to wait or to look: at most once for each turn.
    pub enters: u64,
    /// Receives that ended for want of a provided buffer and were started again.
    pub starved: u64,
    /// Receives into memory of their own, after some that had starved.
    pub unbuffered: u64,
    /// Enters that the kernel refused because completions did not fit (EBUSY); they come later.
    pub ring_overflows: u64,
    /// Submissions that found the queue full and had to wait.
    pub ring_waits: u64,
    /// What was exchanged with other shards.
    pub mesh: MeshStats,
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
        let times = Times::of_this_thread().unwrap_or_default();
        let counters = io.driver.counters();
        let (stalls, stalls_unreported) = shard.outside.pulse.stalls();
        Stats {
            sockets: io.socket_count(),
            operations: io.driver.in_flight(),
            tasks: shard.executor.task_count(),
            spawned: shard.executor.spawn_count(),
            timers: shard.timers.borrow().len(),
            blocks: shard.pool.outstanding(),
            polls: shard.executor.poll_count(),
            ran: times.ran,
            waited: times.waited,
            lived: shard
                .clock
                .now()
                .saturating_duration_since(shard.clock.start()),
            stalls,
            stalls_unreported,
            turns: shard.turns.get(),
            enters: counters.enters,
            starved: counters.starved,
            unbuffered: counters.unbuffered,
            ring_overflows: counters.overflows,
            ring_waits: counters.waits,
            mesh: shard.mesh.stats(),
            stray: counters.stray,
        }
    })
}
