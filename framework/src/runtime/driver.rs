//! [`Driver`]: what talks to the kernel for a reactor; the seam where it is replaced.
//!
//! It is an enum and not a trait, so that a socket needs no type parameter. Its verbs are those
//! that Seastar puts under its reactor: push an operation, submit and wait (`enter`), reap
//! completions, ring a doorbell. Nothing above the driver blocks.

use std::time::Instant;

use super::doorbell::Doorbell;
use super::epoll::Epoll;
use super::hosted::{Host, Hosted};
use super::op::{Completion, Op, OpId, Target};
use super::uring::{Counters, Uring};
use super::uring_options::UringFeatures;
use crate::mem::Pool;

pub(crate) use crate::sys::ring::Wait;

/// Why a driver gets no operation on files.
pub(crate) const NO_FILES: &str = "files are read at once where the driver takes no files";

/// The drivers there are.
#[expect(
    clippy::large_enum_variant,
    reason = "a shard has one, for its life; a box would be a step further for every operation"
)]
pub(crate) enum Driver {
    /// `io_uring(7)`.
    Uring(Uring),
    /// `epoll(7)`.
    Epoll(Epoll),
    /// A simulated kernel.
    #[cfg(feature = "sim")]
    Sim(super::sim::Sim),
    /// Another runtime, in which the shard runs.
    Hosted(Hosted),
}

/// Calls the driver there is: `forward!(self, driver => driver.verb())`. Each driver has one arm.
macro_rules! forward {
    ($self:expr, $driver:ident => $call:expr) => {
        match $self {
            Driver::Uring($driver) => $call,
            Driver::Epoll($driver) => $call,
            #[cfg(feature = "sim")]
            Driver::Sim($driver) => $call,
            Driver::Hosted($driver) => $call,
        }
    };
}

impl Driver {
    /// The name that the start-up line shows.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Driver::Uring(_) => "uring",
            Driver::Epoll(_) => "epoll",
            #[cfg(feature = "sim")]
            Driver::Sim(_) => "sim",
            Driver::Hosted(hosted) => hosted.name(),
        }
    }

    /// The optional features of the kernel that are in use, as `--uring-features` names them.
    pub(crate) fn features(&self) -> String {
        match self {
            Driver::Uring(uring) => uring.features().to_string(),
            _ => UringFeatures::NONE.to_string(),
        }
    }

    /// What the kernel can do and what was chosen, for `--verbose`.
    pub(crate) fn describe(&self) -> String {
        forward!(self, driver => driver.describe())
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        forward!(self, driver => driver.counters())
    }

    /// How many operations are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        forward!(self, driver => driver.in_flight())
    }

    /// How many descriptors a stream takes: a host has one of its own.
    pub(crate) fn descriptors_per_stream(&self) -> usize {
        if matches!(self, Driver::Hosted(_)) {
            2
        } else {
            1
        }
    }

    /// Whether it takes operations on files: elsewhere they are done by calls that block.
    pub(crate) fn takes_files(&self) -> bool {
        matches!(self, Driver::Uring(_))
    }

    /// Whether something waits that the next turn would bring; only a ring can tell for nothing.
    pub(crate) fn has_news(&mut self) -> bool {
        match self {
            Driver::Uring(uring) => uring.has_news(),
            _ => false,
        }
    }

    /// The runtime that this driver is inside of, for whoever runs the shard in it.
    pub(crate) fn take_host(&mut self) -> Option<Host> {
        match self {
            Driver::Hosted(hosted) => hosted.take_host(),
            _ => None,
        }
    }

    /// Starts an operation, or queues it until the next `enter`.
    #[inline]
    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        forward!(self, driver => driver.push(target, op))
    }

    /// Asks for an operation to end early; it completes all the same.
    pub(crate) fn cancel(&mut self, id: OpId) {
        forward!(self, driver => driver.cancel(id));
    }

    /// Says that somebody waits for a send that was pushed: the next `enter` ends when it has.
    #[inline]
    pub(crate) fn await_sends(&mut self) {
        // All others tell of every send by themselves.
        if let Driver::Uring(uring) = self {
            uring.await_sends();
        }
    }

    /// Rings the doorbell of another shard.
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        forward!(self, driver => driver.ring_bell(bell));
    }

    /// Starts what was queued and waits as told.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        forward!(self, driver => driver.enter(wait));
    }

    /// As [`enter`](Driver::enter), at this moment of the shard's clock: a wait counts from there,
    /// and a ring can rely on its alarm.
    #[inline]
    pub(crate) fn enter_at(&mut self, now: Instant, wait: Wait) {
        match self {
            Driver::Uring(uring) => uring.enter_at(now, wait),
            other => other.enter(wait),
        }
    }

    /// Hands every completion to `sink`.
    #[inline]
    pub(crate) fn reap(&mut self, bell: &Doorbell, pool: &Pool, sink: impl FnMut(Completion)) {
        forward!(self, driver => driver.reap(bell, pool, sink));
    }

    /// Hands over what the driver has completed by itself, without a word from the kernel.
    #[inline]
    pub(crate) fn reap_done(&mut self, sink: impl FnMut(Completion)) {
        match self {
            // A ring starts nothing before it is entered, and a host has its turn in any case.
            Driver::Uring(_) | Driver::Hosted(_) => {}
            Driver::Epoll(epoll) => epoll.reap_done(sink),
            #[cfg(feature = "sim")]
            Driver::Sim(_) => {}
        }
    }
}
