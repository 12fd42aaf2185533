//! The whole program against toy servers of the standard library, honest ones and liars.
#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod acceptance;
mod challenge;
mod exits;
mod load;
mod program;
mod result;
mod run;
mod toy;
