//! [`Driver`]: what talks to the kernel for a reactor; the seam where it is replaced.
//!
//! It is an enum and not a trait, so that a socket needs no type parameter. Its verbs are those
//! that Seastar puts under its reactor: push an operation, submit and wait (`enter`), reap
//! completions, ring a doorbell. Nothing above the driver blocks.

use super::doorbell::Doorbell;
use super::op::{Completion, Op, OpId, Target};
use super::uring::{Counters, Uring};
use crate::mem::Pool;

pub(crate) use crate::sys::ring::Wait;

/// The drivers there are.
pub(crate) enum Driver {
    /// `io_uring(7)`.
    Uring(Uring),
}

impl Driver {
    /// The name that the start-up line shows.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Driver::Uring(_) => "uring",
        }
    }

    /// What the kernel can do and what was chosen, for `--verbose`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Driver::Uring(uring) => uring.describe(),
        }
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        match self {
            Driver::Uring(uring) => uring.counters(),
        }
    }

    /// How many operations are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        match self {
            Driver::Uring(uring) => uring.in_flight(),
        }
    }

    /// Queues an operation; it starts with the next `enter`.
    #[inline]
    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        match self {
            Driver::Uring(uring) => uring.push(target, op),
        }
    }

    /// Asks for an operation to end early; it completes all the same.
    pub(crate) fn cancel(&mut self, id: OpId) {
        match self {
            Driver::Uring(uring) => uring.cancel(id),
        }
    }

    /// Rings the doorbell of another shard.
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        match self {
            Driver::Uring(uring) => uring.ring_bell(bell),
        }
    }

    /// Starts what was queued and waits as told.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        match self {
            Driver::Uring(uring) => uring.enter(wait),
        }
    }

    /// Hands every completion to `sink`.
    #[inline]
    pub(crate) fn reap(&mut self, bell: &Doorbell, pool: &Pool, sink: impl FnMut(Completion)) {
        match self {
            Driver::Uring(uring) => uring.reap(bell, pool, sink),
        }
    }
}
