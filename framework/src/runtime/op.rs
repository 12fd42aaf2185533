//! [`Op`], [`OpTable`] and [`Completion`]: operations while the kernel works on them.
//!
//! What must hold: an operation owns whatever memory it names, and the table owns the operation
//! until its last completion (descriptors stay open for as long: see `socket`). So nothing that a
//! dropped future leaves behind can be freed or reused while the kernel may still touch it. An
//! identifier carries a generation, so a late completion is never taken for one of a newer
//! operation in the same place.

use std::io;
use std::os::fd::RawFd;

use slab::Slab;

use super::file_op::{FileDone, FileOp};
use crate::mem::Buf;
use crate::sys::socket::{Descriptor, SockAddr};

/// What the driver is asked to do. Sockets are named by number: whoever pushes keeps them open
/// until the operation's last completion.
#[derive(Debug)]
pub(crate) enum Op {
    /// Accepts connections until told to stop.
    Accept { listener: RawFd },
    /// Receives until told to stop, each time into memory that the driver chooses.
    Receive { socket: RawFd },
    /// Sends `data`, perhaps less than all; `more` says that other data follows at once, `stalled`
    /// that the socket had no room a moment ago.
    Send {
        socket: RawFd,
        data: Buf,
        more: bool,
        stalled: bool,
    },
    /// Connects a socket.
    Connect {
        socket: RawFd,
        address: Box<SockAddr>,
    },
    /// Sends FIN behind what was sent.
    Shutdown { socket: RawFd },
    /// Closes a descriptor that no other operation names and that the pusher has given up.
    Close { socket: RawFd },
    /// Something about a file, which only a ring can without waiting.
    File(Box<FileOp>),
}

/// Whom a completion is for: the socket or listener by its place in the shard's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The accepts of a listener.
    Listener(u32),
    /// The receives of a socket.
    Receiver(u32),
    /// The sends, the connect and the shutdown of a socket: at most one is in flight.
    Sender(u32),
    /// An operation on a file.
    File(u32),
    /// Nobody waits for it.
    Nobody,
}

/// How an operation ended, or how it goes on.
#[derive(Debug)]
pub(crate) struct Completion {
    /// Whom it is for.
    pub(crate) target: Target,
    /// Whether more completions of the same operation will come.
    pub(crate) more: bool,
    /// What happened.
    pub(crate) outcome: io::Result<Outcome>,
}

/// What a successful completion brings.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A new connection.
    Accepted(Descriptor),
    /// Bytes from the peer; none at all when the peer has sent FIN.
    Received(Buf),
    /// That many bytes of `data` were taken by the kernel.
    Sent { data: Buf, len: usize },
    /// What was asked of a file.
    File(Box<FileDone>),
    /// Connected, shut down or closed.
    Done,
}

/// Names an operation in flight; stands in the kernel's `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpId {
    index: u32,
    generation: u32,
}

impl OpId {
    /// As one number. The highest index is never used, so numbers from `u64::MAX << 32` on are
    /// free for other ends.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.generation)
    }

    /// From the number that `to_bits` gave.
    pub(crate) fn from_bits(bits: u64) -> OpId {
        let index = u32::try_from(bits >> 32).expect("the upper half is 32 bits");
        let generation = u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
        OpId { index, generation }
    }
}

struct InFlight {
    generation: u32,
    target: Target,
    /// Whether it was asked to end.
    cancelled: bool,
    /// How often it found no provided buffer, modulo 256.
    starved: u8,
    op: Op,
}

/// The operations in flight of one driver.
pub(crate) struct OpTable {
    ops: Slab<InFlight>,
    generation: u32,
}

impl OpTable {
    pub(crate) fn new() -> OpTable {
        OpTable {
            ops: Slab::new(),
            generation: 0,
        }
    }

    /// Takes an operation in. The reference stays valid for as long as nothing else is inserted;
    /// the memory that the operation owns stays in place until [`remove`](OpTable::remove).
    pub(crate) fn insert(&mut self, target: Target, op: Op) -> (OpId, &mut Op) {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.ops.vacant_entry();
        let index = u32::try_from(entry.key()).expect("far fewer than 2^32 operations in flight");
        let id = OpId {
            index,
            generation: self.generation,
        };
        let in_flight = entry.insert(InFlight {
            generation: self.generation,
            target,
            cancelled: false,
            starved: 0,
            op,
        });
        (id, &mut in_flight.op)
    }

    fn find(&mut self, id: OpId) -> Option<&mut InFlight> {
        let in_flight = self.ops.get_mut(id.index as usize)?;
        (in_flight.generation == id.generation).then_some(in_flight)
    }

    /// Notes that an operation was asked to end: it is not to be started again.
    pub(crate) fn cancel(&mut self, id: OpId) {
        if let Some(in_flight) = self.find(id) {
            in_flight.cancelled = true;
        }
    }

    /// As [`cancel`](OpTable::cancel), for all.
    pub(crate) fn cancel_all(&mut self) {
        for (_, in_flight) in &mut self.ops {
            in_flight.cancelled = true;
        }
    }

    /// Whether an operation was asked to end, or has ended.
    pub(crate) fn is_cancelled(&mut self, id: OpId) -> bool {
        self.find(id).is_none_or(|in_flight| in_flight.cancelled)
    }

    /// Notes that a receive has found no provided buffer. Gives back how often it has, or nothing
    /// if it is not to be started again.
    pub(crate) fn starve(&mut self, id: OpId) -> Option<u8> {
        let in_flight = self.find(id).filter(|in_flight| !in_flight.cancelled)?;
        in_flight.starved = in_flight.starved.wrapping_add(1);
        matches!(in_flight.op, Op::Receive { .. }).then_some(in_flight.starved)
    }

    /// Notes that a send has found no room, and is now to wait for it. Tells whether it is: not if
    /// it was asked to end, or waits already.
    pub(crate) fn stall(&mut self, id: OpId) -> bool {
        let in_flight = self.find(id).filter(|in_flight| !in_flight.cancelled);
        match in_flight.map(|in_flight| &mut in_flight.op) {
            Some(Op::Send { stalled, .. }) => !std::mem::replace(stalled, true),
            _ => false,
        }
    }

    /// Whom an operation's completions are for; `None` when it has ended already.
    pub(crate) fn target(&self, id: OpId) -> Option<(Target, &Op)> {
        let in_flight = self.ops.get(id.index as usize)?;
        (in_flight.generation == id.generation).then_some((in_flight.target, &in_flight.op))
    }

    /// An operation, to be started again; `None` when it has ended already.
    pub(crate) fn op(&mut self, id: OpId) -> Option<&mut Op> {
        self.find(id).map(|in_flight| &mut in_flight.op)
    }

    /// Takes an operation out with its last completion; `None` when it has ended already.
    pub(crate) fn remove(&mut self, id: OpId) -> Option<(Target, Op)> {
        self.target(id)?;
        let in_flight = self.ops.remove(id.index as usize);
        Some((in_flight.target, in_flight.op))
    }

    /// How many operations are in flight: 0 at rest.
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Pool;

    fn send(data: Buf) -> Op {
        Op::Send {
            socket: 1,
            data,
            more: false,
            stalled: false,
        }
    }

    #[test]
    fn an_operation_keeps_its_memory_until_it_is_removed() {
        let (pool, mut table) = (Pool::new(), OpTable::new());
        let (id, _) = table.insert(Target::Sender(3), send(pool.copy(b"owned")));
        assert_eq!((table.len(), pool.outstanding()), (1, 1));
        assert!(matches!(
            table.remove(id),
            Some((Target::Sender(3), Op::Send { .. }))
        ));
        assert_eq!((table.len(), pool.outstanding()), (0, 0));
    }

    /// C25.
    #[test]
    fn a_late_completion_does_not_reach_the_next_operation_in_its_place() {
        let mut table = OpTable::new();
        let (old, _) = table.insert(Target::Sender(1), send(Buf::new()));
        table.remove(old).unwrap();
        let (new, _) = table.insert(Target::Sender(2), send(Buf::new()));
        assert_eq!(old.index, new.index);
        assert!(table.target(old).is_none() && table.remove(old).is_none());
        assert_eq!(table.target(new).unwrap().0, Target::Sender(2));
    }

    #[test]
    fn a_cancelled_receive_is_not_started_again() {
        let mut table = OpTable::new();
        let (id, _) = table.insert(Target::Receiver(1), Op::Receive { socket: 1 });
        assert_eq!((table.starve(id), table.starve(id)), (Some(1), Some(2)));
        assert!(!table.is_cancelled(id));
        table.cancel(id);
        assert!(table.is_cancelled(id) && table.starve(id).is_none());
    }

    #[test]
    fn a_send_stalls_once_and_not_when_it_was_cancelled() {
        let mut table = OpTable::new();
        let (id, _) = table.insert(Target::Sender(1), send(Buf::new()));
        assert_eq!((table.stall(id), table.stall(id)), (true, false));
        let (id, _) = table.insert(Target::Sender(1), send(Buf::new()));
        table.cancel(id);
        assert!(!table.stall(id));
        let (id, _) = table.insert(Target::Receiver(1), Op::Receive { socket: 1 });
        assert!(!table.stall(id));
    }

    #[test]
    fn an_identifier_survives_the_trip_through_the_kernel() {
        let id = OpId {
            index: 0x1234_5678,
            generation: 0x9abc_def0,
        };
        assert_eq!(OpId::from_bits(id.to_bits()), id);
    }
}
