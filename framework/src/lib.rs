//! A thread-per-core, shared-nothing server framework for Linux on `io_uring`.

mod error;
pub mod http;
pub mod mem;
pub mod net;
pub mod runtime;
mod sharded;
mod sys;

pub use error::{Error, Result};
pub use runtime::ShardId;
pub use sharded::Sharded;
