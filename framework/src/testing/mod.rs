//! Runs a whole server in a simulation: all shards on one thread, with a virtual clock and a
//! network that follow from one number (feature `sim`).
//!
//! What a program does in production it does here unchanged: [`Server::bind`](crate::Server::bind)
//! and `serve` find the simulation by themselves. The peers are written as `async` functions over
//! [`Peer`]. When a run fails, the number that it was made with repeats it exactly.
#![doc = include_str!("../../docs/manual/simulation.md")]

mod peer;
mod simulation;

pub use crate::sys::sim::{Mishaps, Seed};
pub use peer::{Peer, now, sleep, within};
pub use simulation::{Report, Simulation, spend};
