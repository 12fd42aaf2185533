//! The only place that names `libc` or the ring.

pub(crate) mod buf_ring;
pub(crate) mod cpu;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod limit;
pub(crate) mod probe;
pub(crate) mod ring;
pub(crate) mod socket;
