//! The simulated kernel (feature `sim`): descriptors, sockets, rings, time; no system calls.
//!
//! It belongs to one thread and is found through a scope, as the current shard is: while a
//! simulation is installed, what `sys` opens is simulated, and time is the simulation's. What must
//! hold: everything that happens follows from the seed and from what the program does; nothing
//! depends on addresses, real time or the order of a hash table. The simulated kernel is no more
//! friendly than Linux is: whatever Linux may do at any time it does at some time.

mod faults;
mod kernel;
mod network;
mod ring;
mod scope;
mod seed;

pub(crate) use faults::Faults;
pub use faults::Mishaps;
pub(crate) use kernel::{FileId, Kernel};
pub(crate) use ring::{IGNORED, RawCompletion, Verb};
pub(crate) use scope::{
    Socket, adopt, blocking_delay, event, install, is_installed, listen, now, open_files_max, pair,
    refuse_if_taken, stream, wall, with,
};
pub use seed::Seed;
