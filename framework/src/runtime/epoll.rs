//! [`Epoll`]: the driver over `epoll(7)`, for where `io_uring` is forbidden or missing.
//!
//! It speaks to the layers above as the ring does: operations go in, completions come out, and an
//! operation owns its memory until its last completion. Sends, connects, shutdowns and closes are
//! tried as they are pushed; receives and accepts when the kernel has reported a descriptor.
//!
//! What must hold: a descriptor is registered once, edge-triggered, and what was reported is
//! remembered until nothing is left, so no edge is lost; one connection takes no more than its
//! share of a turn; bytes are received into one place for the whole shard and copied into a block
//! of their own length, so a connection that is idle holds none; the driver never waits while
//! something has completed or can be read.

mod table;

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

use super::doorbell::Doorbell;
use super::driver::{NO_FILES, Wait};
use super::op::{Completion, Op, OpId, OpTable, Outcome, Target};
use super::uring::Counters;
use crate::mem::Pool;
use crate::sys::epoll::{self, Interest, Report};
use crate::sys::immediate;
use table::{Table, Token};

/// How many descriptors are reported at once; the rest is reported in the next turn.
const REPORTS_MAX: usize = 512;
/// How many bytes one receive brings at most.
const SCRATCH_LEN: usize = 16 * 1024;
/// How many bytes a connection receives in a turn before the others have their turn: as many as
/// may wait for their reader, so that one turn can fill what is empty.
const RECEIVE_BUDGET: usize = super::socket::RECEIVED_MAX;
/// How many connections a listener accepts in a turn, so that a flood of them does not keep those
/// waiting that are there.
const ACCEPT_BUDGET: usize = 64;
/// The token of the doorbell.
const BELL: u64 = u64::MAX;

/// An epoll instance and the operations in flight.
pub(crate) struct Epoll {
    kernel: epoll::Epoll,
    ops: OpTable,
    table: Table,
    /// What has completed and was not reaped yet.
    done: VecDeque<Completion>,
    /// What can be read from without another report, and an empty list to swap it with.
    again: Vec<Token>,
    spare: Vec<Token>,
    scratch: Box<[u8]>,
    counters: Counters,
}

impl Epoll {
    /// Makes a driver that the doorbell wakes.
    ///
    /// # Errors
    /// Out of descriptors, or of the user's watches (`fs.epoll.max_user_watches`).
    pub(crate) fn new(bell: &Doorbell) -> io::Result<Epoll> {
        let kernel = epoll::Epoll::new(REPORTS_MAX)?;
        // Nobody reads its counter: each ring is an edge of its own.
        kernel.add(bell.event(), BELL, Interest::Reading)?;
        Ok(Epoll {
            kernel,
            ops: OpTable::new(),
            table: Table::new(),
            done: VecDeque::new(),
            again: Vec::new(),
            spare: Vec::new(),
            scratch: vec![0; SCRATCH_LEN].into(),
            counters: Counters::default(),
        })
    }

    /// What the kernel can do and what was chosen, for `--verbose`.
    pub(crate) fn describe(&self) -> String {
        let timeouts = if self.kernel.is_precise() {
            "to the nanosecond"
        } else {
            "to the millisecond"
        };
        format!("edge-triggered, timeouts {timeouts}, doorbell by eventfd")
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// How many operations have not been reaped to their end.
    pub(crate) fn in_flight(&self) -> usize {
        self.ops.len() + self.done.len()
    }

    /// Starts an operation: it completes with the next reaping if it can be done now.
    #[inline]
    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        let (id, op) = self.ops.insert(target, op);
        match *op {
            Op::Receive { socket } => self.await_readable(socket, id),
            Op::Accept { listener } => self.begin_accepting(listener, id),
            Op::Send { .. } => self.send(id),
            Op::Connect { socket, .. } => self.begin_connecting(socket, id),
            Op::Shutdown { socket } => {
                let outcome = immediate::shutdown(socket).map(|()| Outcome::Done);
                self.finish(id, outcome);
            }
            Op::File(_) => unreachable!("{NO_FILES}"),
            Op::Close { socket } => {
                if self.table.remove(socket).is_some_and(|it| it.listens) {
                    self.kernel.remove(socket);
                }
                immediate::close(socket);
                self.finish(id, Ok(Outcome::Done));
            }
        }
        id
    }

    /// Ends an operation early: it completes with `ECANCELED` unless it has completed already.
    pub(crate) fn cancel(&mut self, id: OpId) {
        let Some((_, op)) = self.ops.target(id) else {
            return;
        };
        if let Some(registration) = self.table.find(descriptor(op)) {
            let registration = self.table.entry(registration).expect("found above");
            registration.reading.take_if(|reading| *reading == id);
            registration.writing.take_if(|writing| *writing == id);
        }
        self.finish(id, Err(immediate::cancelled()));
    }

    /// Rings the doorbell of another shard.
    #[expect(clippy::unused_self, reason = "a verb of every driver")]
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        bell.ring_by_event();
    }

    /// Waits as told, unless something has completed already: one system call.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        if self.kernel.reported() > 0 {
            // An edge is told once: what was reported must be reaped before it is overwritten.
            return;
        }
        let idle = self.done.is_empty() && self.again.is_empty();
        self.counters.enters += 1;
        self.kernel.wait(if idle { wait } else { Wait::No });
    }

    /// Hands over what has completed without waiting for the kernel, such as sends that were done
    /// when they were pushed.
    #[inline]
    pub(crate) fn reap_done(&mut self, mut sink: impl FnMut(Completion)) {
        self.done.drain(..).for_each(&mut sink);
    }

    /// Hands over every completion; receives and accepts are done here.
    #[inline]
    pub(crate) fn reap(&mut self, _: &Doorbell, pool: &Pool, mut sink: impl FnMut(Completion)) {
        self.reap_done(&mut sink);
        std::mem::swap(&mut self.again, &mut self.spare);
        for index in 0..self.kernel.reported() {
            let report = self.kernel.report(index);
            if report.token != BELL {
                self.take_report(report, pool, &mut sink);
            }
        }
        self.kernel.forget_reports();
        for index in 0..self.spare.len() {
            let token = self.spare[index];
            if let Some(registration) = self.table.entry(token) {
                registration.listed = false;
                self.read(token, pool, &mut sink);
            }
        }
        self.spare.clear();
        // What waited for room and found it.
        self.reap_done(&mut sink);
    }

    /// Remembers what the kernel has reported and goes on with what waited for it.
    #[inline]
    fn take_report(&mut self, report: Report, pool: &Pool, sink: &mut impl FnMut(Completion)) {
        let token = Token::from_bits(report.token);
        let Some(registration) = self.table.entry(token) else {
            return;
        };
        registration.readable |= report.is_readable();
        registration.to_the_end |= report.is_last();
        let writing = registration.writing.filter(|_| report.is_writable());
        // Reading first: it learns why a connection broke, and a send after it only that it did.
        if !registration.listed {
            self.read(token, pool, sink);
        }
        match writing.and_then(|id| self.ops.target(id).map(|(_, op)| (id, op))) {
            Some((id, Op::Connect { socket, .. })) => {
                let outcome = immediate::take_error(*socket).map(|()| Outcome::Done);
                self.finish_writing(token, id, outcome);
            }
            Some((id, _)) => self.send(id),
            None => {}
        }
    }

    // Reading: receives and accepts.

    /// Lets an operation wait until its descriptor is readable.
    fn await_readable(&mut self, fd: RawFd, id: OpId) {
        match self.registered(fd, Interest::Reading) {
            Err(error) => self.finish(id, Err(error)),
            Ok(token) => {
                let registration = self.table.entry(token).expect("registered just now");
                debug_assert!(registration.reading.is_none(), "one at a time");
                registration.reading = Some(id);
                if registration.readable {
                    self.list(token);
                }
            }
        }
    }

    fn begin_accepting(&mut self, listener: RawFd, id: OpId) {
        match immediate::set_nonblocking(listener) {
            Ok(()) => self.await_readable(listener, id),
            Err(error) => self.finish(id, Err(error)),
        }
        if let Some(token) = self.table.find(listener) {
            self.table.entry(token).expect("found").listens = true;
        }
    }

    /// Has a descriptor read from in the next turn, report or not.
    fn list(&mut self, token: Token) {
        let registration = self.table.entry(token).expect("whoever lists it has it");
        if !registration.listed {
            registration.listed = true;
            self.again.push(token);
        }
    }

    /// Receives or accepts on a registered descriptor, if it is ready and somebody waits for it.
    #[inline]
    fn read(&mut self, token: Token, pool: &Pool, sink: &mut impl FnMut(Completion)) {
        let registration = self.table.entry(token).expect("looked up by the caller");
        let Some(id) = registration.reading.filter(|_| registration.readable) else {
            return;
        };
        let (fd, to_the_end) = (registration.fd, registration.to_the_end);
        let (target, op) = self.ops.target(id).expect("what waits is in flight");
        let mut completed = |outcome| {
            sink(Completion {
                target,
                more: true,
                outcome: Ok(outcome),
            });
        };
        let ended = if matches!(op, Op::Accept { .. }) {
            accept(fd, &mut completed)
        } else {
            receive(fd, &mut self.scratch, pool, to_the_end, &mut completed)
        };
        match ended {
            Reading::Drained => {
                let registration = self.table.entry(token).expect("looked up above");
                (registration.readable, registration.to_the_end) = (false, false);
            }
            Reading::Budget => self.list(token),
            // It stays readable: the next operation finds the same end, or the same error.
            Reading::Ended(outcome) => {
                let registration = self.table.entry(token).expect("looked up above");
                registration.reading = None;
                let (target, _) = self.ops.remove(id).expect("looked up above");
                sink(Completion {
                    target,
                    more: false,
                    outcome,
                });
            }
        }
    }

    // Writing: sends and connects.

    /// Sends what there is room for, or waits for room.
    #[inline]
    fn send(&mut self, id: OpId) {
        let Some((
            _,
            Op::Send {
                socket, data, more, ..
            },
        )) = self.ops.target(id)
        else {
            unreachable!("only sends are sent");
        };
        let socket = *socket;
        match immediate::send(socket, data, *more) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.await_writable(socket, id);
            }
            sent => self.sent(socket, id, sent),
        }
    }

    #[inline]
    fn sent(&mut self, socket: RawFd, id: OpId, sent: io::Result<usize>) {
        if let Some(token) = self.table.find(socket) {
            self.table.entry(token).expect("found").writing = None;
        }
        let (target, op) = self.ops.remove(id).expect("looked up by the caller");
        let Op::Send { data, .. } = op else {
            unreachable!("only sends are sent");
        };
        self.done.push_back(Completion {
            target,
            more: false,
            outcome: sent.map(|len| Outcome::Sent { data, len }),
        });
    }

    fn begin_connecting(&mut self, socket: RawFd, id: OpId) {
        let Some((_, Op::Connect { address, .. })) = self.ops.target(id) else {
            unreachable!("only connects are begun");
        };
        let begun =
            immediate::set_nonblocking(socket).and_then(|()| immediate::connect(socket, address));
        match begun {
            Ok(true) => self.finish(id, Ok(Outcome::Done)),
            Ok(false) => self.await_writable(socket, id),
            Err(error) => self.finish(id, Err(error)),
        }
    }

    /// Lets an operation wait until its descriptor is writable.
    fn await_writable(&mut self, fd: RawFd, id: OpId) {
        match self.registered(fd, Interest::ReadingAndWriting) {
            Err(error) => self.finish(id, Err(error)),
            Ok(token) => {
                let registration = self.table.entry(token).expect("registered just now");
                debug_assert!(registration.writing.is_none_or(|writing| writing == id));
                registration.writing = Some(id);
            }
        }
    }

    /// Completes the operation that waited for a descriptor to be writable.
    fn finish_writing(&mut self, token: Token, id: OpId, outcome: io::Result<Outcome>) {
        let registration = self.table.entry(token).expect("looked up by the caller");
        registration.writing = None;
        self.finish(id, outcome);
    }

    /// Completes an operation.
    fn finish(&mut self, id: OpId, outcome: io::Result<Outcome>) {
        let (target, _) = self.ops.remove(id).expect("an operation ends once");
        self.done.push_back(Completion {
            target,
            more: false,
            outcome,
        });
    }

    /// The registration of a descriptor, made if there is none. Room to write is watched from the
    /// first time that a send has to wait: most sockets never come to that, and need no report
    /// that a fresh one is writable.
    fn registered(&mut self, fd: RawFd, interest: Interest) -> io::Result<Token> {
        let room = interest == Interest::ReadingAndWriting;
        let Some(token) = self.table.find(fd) else {
            let token = self.table.insert(fd, room);
            return match self.kernel.add(fd, token.to_bits(), interest) {
                Ok(()) => Ok(token),
                Err(error) => {
                    self.table.remove(fd);
                    Err(error)
                }
            };
        };
        let registration = self.table.entry(token).expect("found above");
        if room && !registration.watches_room {
            registration.watches_room = true;
            self.kernel.modify(fd, token.to_bits(), interest)?;
        }
        Ok(token)
    }
}

/// How a turn's reading of one descriptor has ended.
enum Reading {
    /// There is no more; the kernel will report when there is.
    Drained,
    /// There may be more, but it is others' turn.
    Budget,
    /// With the operation's last completion.
    Ended(io::Result<Outcome>),
}

/// Receives what is there, within the budget.
#[inline]
fn receive(
    socket: RawFd,
    scratch: &mut [u8],
    pool: &Pool,
    to_the_end: bool,
    completed: &mut impl FnMut(Outcome),
) -> Reading {
    for _ in 0..RECEIVE_BUDGET / SCRATCH_LEN {
        match immediate::receive(socket, scratch) {
            Ok(0) => return Reading::Ended(Ok(Outcome::Received(crate::mem::Buf::new()))),
            Ok(len) => {
                completed(Outcome::Received(pool.copy(&scratch[..len])));
                // Of a stream that brings less than it was asked for, nothing is left (epoll(7),
                // question 9), which saves the call that would say so.
                if len < scratch.len() && !to_the_end {
                    return Reading::Drained;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Reading::Drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Reading::Ended(Err(error)),
        }
    }
    Reading::Budget
}

/// Accepts what waits, within the budget.
fn accept(listener: RawFd, completed: &mut impl FnMut(Outcome)) -> Reading {
    for _ in 0..ACCEPT_BUDGET {
        match immediate::accept(listener) {
            Ok(accepted) => completed(Outcome::Accepted(accepted.into())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Reading::Drained,
            Err(error) if immediate::ended_before_accept(&error) => {}
            Err(error) => return Reading::Ended(Err(error)),
        }
    }
    Reading::Budget
}

/// The descriptor that an operation is for.
fn descriptor(op: &Op) -> RawFd {
    match op {
        Op::Accept { listener } => *listener,
        Op::Receive { socket }
        | Op::Send { socket, .. }
        | Op::Connect { socket, .. }
        | Op::Shutdown { socket }
        | Op::Close { socket } => *socket,
        Op::File(_) => unreachable!("{NO_FILES}"),
    }
}

#[cfg(test)]
mod tests;
