//! A thread-per-core, shared-nothing server framework for Linux on `io_uring`.

#[cfg(feature = "cli")]
pub mod cli;
mod error;
pub mod http;
pub mod mem;
pub mod net;
pub mod runtime;
pub mod server;
pub mod service;
mod sharded;
mod sys;

pub use error::{Error, Result};
pub use http::{Method, StatusCode};
pub use runtime::ShardId;
pub use server::Server;
#[cfg(feature = "json")]
pub use service::Json;
pub use service::{IntoResponse, Request, Response, Router, Service};
pub use sharded::Sharded;
