//! Servers in trouble with the kernel: no descriptors, no locked memory, interrupted system calls,
//! rings that are too small. Each server is a program of its own.
#![cfg(feature = "cli")]
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

mod canary;
mod exhaustion;
mod interruption;
mod program;
mod sizes;
