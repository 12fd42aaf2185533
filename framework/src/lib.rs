//! A thread-per-core, shared-nothing server framework for Linux on `io_uring`.
//!
//! Every CPU is a *shard*: one pinned thread with its own ring, sockets, memory and state. A
//! connection lives on the shard that accepted it, and so does its handler: a plain function, with
//! no lock, no `Send` and no future unless it has to wait. What must be known about the whole
//! machine is asked of all shards and merged.
//!
//! ```no_run
//! use sunstar::service::Path;
//! use sunstar::{Result, Router, Server, Sharded};
//!
//! fn main() -> Result<()> {
//!     Server::bind("127.0.0.1:8080")?.serve(|_shard| {
//!         Router::new(0_u64).get("/hello/{name}", hello).get("/greeted", greeted)
//!     })
//! }
//!
//! /// A plain function: on a shard nothing else runs while it runs.
//! fn hello(count: Sharded<u64>, Path(name): Path<String>) -> String {
//!     count.local(|count| *count += 1);
//!     format!("Hello, {name}!\n")
//! }
//!
//! /// An `async fn`, since it asks the other shards.
//! async fn greeted(count: Sharded<u64>) -> String {
//!     count.map_reduce(|count| *count, |a, b| a + b).await.to_string()
//! }
//! ```
//!
//! Handlers, extractors and the router are described in [`service`]; what a server can be told in
//! [`server::Config`]; shards without HTTP in [`runtime`] and [`net`]. How to think in shards says
//! the [`manual`].

#[cfg(feature = "cli")]
pub mod cli;
mod error;
pub mod fs;
pub mod future;
pub mod http;
pub mod manual;
pub mod mem;
pub mod metrics;
pub mod net;
pub mod runtime;
pub mod server;
pub mod service;
pub mod sharded;
pub mod sync;
mod sys;
#[cfg(feature = "sim")]
pub mod testing;

pub use error::{Error, Result};
pub use http::{Method, StatusCode};
pub use runtime::{ShardId, blocking};
pub use server::Server;
#[cfg(feature = "json")]
pub use service::Json;
pub use service::{IntoResponse, Request, Response, Router, Service};
pub use sharded::Sharded;
