//! Shards: pinned threads with a ring, a timer wheel, an executor and a mesh between them.
//!
//! Start them with [`run_on_all_shards`]. Everything else here is called on a shard.
//!
#![doc = include_str!("../../docs/manual/drivers.md")]
#![doc = include_str!("../../docs/manual/groups.md")]

mod alarm;
mod alien;
mod atomic;
mod away;
mod backlog;
mod blocking;
mod choice;
mod clock;
mod current;
mod doorbell;
mod driver;
mod epoll;
mod executor;
mod fallback;
pub(crate) mod file;
pub(crate) mod file_op;
mod foreign;
mod groups;
mod home;
mod hosted;
mod idle;
mod io;
mod launch;
mod lent;
mod mesh;
mod op;
mod parked;
mod placement;
mod preempt;
mod pulse;
mod reactor;
mod shard;
#[cfg(feature = "sim")]
pub(crate) mod sim;
mod sleep;
mod slot;
mod socket;
mod stall;
mod states;
mod stats;
mod task;
mod timer;
mod trial;
mod uring;
mod uring_options;
mod wakee;
mod woken;

pub use crate::sys::cpu::{Cpu, CpuSet, InvalidCpuSet, Topology};
pub use alien::{Alien, Answer, CallError, alien};
pub use blocking::{BlockingError, BlockingLimits, blocking};
pub use choice::DriverChoice;
pub use current::{
    current_shard, driver_features, driver_name, now, pool, run_on, shard_count, spawn, wall_clock,
};
pub use foreign::Foreign;
pub use groups::{GROUPS_MAX, Group, GroupStats, SHARES_MAX};
pub use idle::Idle;
pub use launch::{Config, run_on_all_shards};
pub use mesh::MeshStats;
pub use placement::{Placement, ShardId};
pub use preempt::{need_preempt, yield_if_needed};
pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};
pub use stall::{Stall, Stalls, Tell};
pub use stats::{Stats, stats};
pub use task::Task;
pub use uring_options::{InvalidUringOption, UringFeatures, UringOptions, UringSizes};

pub(crate) use away::call;
pub(crate) use clock::deadline;
pub(crate) use current::{descriptors_per_stream, with as with_current};
pub(crate) use io::SocketKey;
pub(crate) use shard::Shard;
pub(crate) use task::{Kept, drop_quietly};
pub(crate) use wakee::Wakee;
