//! The server over real sockets: keep-alive, pipelining, panics, stopping, limits.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

mod balance;
mod blocking;
mod harness;
mod keep_alive;
mod overload;
mod panics;
mod requests;
mod stopping;
mod streaming;
mod timeouts;
mod upgrade;
