//! The program as it is used: started, asked over sockets, and stopped.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]
#![expect(clippy::float_cmp, reason = "figures are to be exact to the last bit")]

#[path = "../oracle/big.rs"]
mod big;
mod contract;
#[path = "../oracle/events.rs"]
mod events;
mod figures;
mod harness;
mod history;
mod live;
#[path = "../oracle/random.rs"]
mod random;
mod stop;
