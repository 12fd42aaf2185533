//! Shards: pinned threads with a ring, a timer wheel, an executor and a mesh between them.
//!
//! Start them with [`run_on_all_shards`]. Everything else here is called on a shard.

mod clock;
mod current;
mod doorbell;
mod driver;
mod executor;
mod io;
mod launch;
mod mesh;
mod op;
mod placement;
mod reactor;
mod shard;
mod sleep;
mod socket;
mod stats;
mod timer;
mod uring;

use std::future::Future;
use std::time::{Instant, SystemTime};

pub use crate::sys::cpu::{Cpu, CpuSet, Topology};
pub use executor::Task;
pub use launch::{Config, DriverChoice, run_on_all_shards};
pub use placement::{Placement, ShardId};
pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};
pub use stats::{Stats, stats};

pub(crate) use current::with as with_current;
pub(crate) use io::SocketKey;
pub(crate) use mesh::Mesh;
pub(crate) use shard::Shard;

use crate::mem::Pool;

/// Starts a task on the current shard.
///
/// # Panics
/// Outside of every shard.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    with_current(|shard| shard.executor.spawn(&shard.outside, future))
}

/// The moment at which the current turn began. It does not move within a turn.
///
/// # Panics
/// Outside of every shard.
pub fn now() -> Instant {
    with_current(|shard| shard.clock.now())
}

/// The time of day, as the system has it: it may jump.
pub fn wall_clock() -> SystemTime {
    clock::Clock::wall()
}

/// The shard that this code runs on.
///
/// # Panics
/// Outside of every shard.
pub fn current_shard() -> ShardId {
    with_current(|shard| shard.id)
}

/// How many shards this runtime has.
///
/// # Panics
/// Outside of every shard.
pub fn shard_count() -> usize {
    with_current(|shard| shard.count())
}

/// The name of the current shard's driver: `uring`.
///
/// # Panics
/// Outside of every shard.
pub fn driver_name() -> &'static str {
    with_current(|shard| shard.io.borrow().driver.name())
}

/// The buffer pool of the current shard.
///
/// # Panics
/// Outside of every shard.
pub fn pool() -> Pool {
    with_current(|shard| shard.pool.clone())
}
