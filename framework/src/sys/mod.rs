//! The only place that names `libc` or the ring.

mod atomic;
pub(crate) mod buf_ring;
pub(crate) mod cpu;
pub(crate) mod epoll;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod frames;
pub(crate) mod host;
pub(crate) mod immediate;
pub(crate) mod lend;
pub(crate) mod limit;
pub(crate) mod parcel;
pub(crate) mod probe;
pub(crate) mod quota_timer;
pub(crate) mod ring;
pub(crate) mod scope;
pub(crate) mod signal;
#[cfg(feature = "sim")]
pub(crate) mod sim;
#[cfg(not(feature = "sim"))]
#[path = "no_sim.rs"]
pub(crate) mod sim;
pub(crate) mod snapshot;
pub(crate) mod socket;
pub(crate) mod spsc;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod thin;
pub(crate) mod thread;
pub(crate) mod typed;
