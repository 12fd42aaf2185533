//! A thread-per-core, shared-nothing server framework for Linux on `io_uring`.

pub mod http;
pub mod mem;
pub mod service;
mod sharded;

pub use sharded::Sharded;
