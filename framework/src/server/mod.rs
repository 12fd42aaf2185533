//! The server: the only place where pure protocol meets I/O.
//!
//! A [`Server`] listens on every shard, gives each connection a session, and each session pumps
//! bytes between one stream and one protocol connection and calls the [`Service`] of its shard.
//!
//! [`Service`]: crate::Service
#![doc = include_str!("../../docs/manual/metrics.md")]
#![doc = include_str!("../../docs/manual/bare_metal.md")]

mod accept;
mod balance;
mod builder;
mod config;
mod counters;
mod metrics;
mod refuse;
mod session;
mod shutdown;
mod standing;

pub use balance::{Accept, max_to_mean};
pub use builder::{Server, Stopper};
pub use config::Config;
pub use counters::{Counters, End};
pub use metrics::{metrics, metrics_format, write_metrics};
