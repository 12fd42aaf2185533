//! The domain of the One Million Request Challenge: what an event is, and how events are counted
//! exactly on many shards.
//!
//! What must hold: nothing here knows a framework, a clock, a thread or a socket.

pub mod event;
pub mod exact_sum;
mod index;
mod json;
pub mod name_log;
pub mod users;
