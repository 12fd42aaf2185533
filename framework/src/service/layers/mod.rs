//! Layers that most services want: limits, logs, request ids, CORS, compression.
#![doc = include_str!("../../../docs/manual/services.md")]

mod access_log;
mod catch_panic;
#[cfg(feature = "compression")]
mod compression;
mod concurrency_limit;
mod content_limit;
mod cors;
mod in_group;
mod request_id;
mod timeout;

pub use access_log::AccessLog;
pub use catch_panic::CatchPanic;
#[cfg(feature = "compression")]
pub use compression::Compression;
pub use concurrency_limit::ConcurrencyLimit;
pub use content_limit::ContentLimit;
pub use cors::Cors;
pub use in_group::InGroup;
pub use request_id::RequestId;
pub use timeout::Timeout;
