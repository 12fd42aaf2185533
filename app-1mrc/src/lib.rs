//! The domain of the One Million Request Challenge: what an event is, and how events are counted
//! exactly on many shards.
//!
//! What must hold: nothing here knows a framework, a clock, a thread or a socket. The binary's
//! `handlers` carry these types between shards; [`union`] says why the figures agree.

pub mod event;
pub mod exact_sum;
mod index;
mod json;
pub mod live;
pub mod metrics;
pub mod name_log;
pub mod pulse;
pub mod snapshot;
pub mod stats;
pub mod tally;
pub mod union;
pub mod users;
