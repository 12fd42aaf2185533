//! [`Sim`]: the driver over the simulated kernel.
//!
//! What must hold: as for every driver. Every completion is looked at for `more`, successful or
//! not; a provided buffer goes back within the reaping that took it; an operation is forgotten with
//! its last completion and not before.

use std::io;
use std::os::fd::RawFd;

use super::super::doorbell::Doorbell;
use super::super::driver::{NO_FILES, Wait};
use super::super::op::{Completion, Op, OpId, OpTable, Outcome, Target};
use super::super::uring::Counters;
use crate::mem::{Buf, Pool};
use crate::sys::ring::number;
use crate::sys::sim::{self, IGNORED, RawCompletion, Verb};
use crate::sys::socket::Descriptor;

/// A simulated ring with its operations in flight.
pub(crate) struct Sim {
    ring: usize,
    ops: OpTable,
    /// Operations and cancellations that wait for the next enter.
    queued: Vec<Queued>,
    counters: Counters,
}

enum Queued {
    Submit(OpId),
    Cancel(OpId),
}

impl Sim {
    /// Makes the driver of the shard whose doorbell this is.
    pub(crate) fn new(bell: &Doorbell) -> Sim {
        let ring = sim::with(|kernel| {
            let ring = kernel.create_ring();
            kernel.listen_to(ring, bell.event());
            ring
        });
        bell.publish_ring(RawFd::try_from(ring).expect("few rings"));
        Sim {
            ring,
            ops: OpTable::new(),
            queued: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The number of its ring.
    pub(super) fn ring(&self) -> usize {
        self.ring
    }

    pub(crate) fn describe(&self) -> String {
        let ring = self.ring;
        sim::with(|kernel| format!("simulated ring {ring}: {:?}", kernel.faults()))
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.ops.len()
    }

    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        let (id, _) = self.ops.insert(target, op);
        self.queue(Queued::Submit(id));
        id
    }

    pub(crate) fn cancel(&mut self, id: OpId) {
        self.queue(Queued::Cancel(id));
    }

    fn queue(&mut self, queued: Queued) {
        if self.queued.len() >= sim::with(|kernel| kernel.faults().submissions_max) {
            self.submit();
        }
        self.queued.push(queued);
    }

    /// Hands over what was queued, in order.
    fn submit(&mut self) {
        for queued in self.queued.drain(..) {
            match queued {
                Queued::Submit(id) => {
                    let (_, op) = self.ops.target(id).expect("it has not begun yet");
                    let (number, verb) = verb(op);
                    sim::with(|kernel| kernel.submit(self.ring, id.to_bits(), number, verb));
                }
                Queued::Cancel(id) => {
                    sim::with(|kernel| kernel.cancel(self.ring, id.to_bits()));
                }
            }
        }
    }

    #[expect(clippy::unused_self, reason = "a verb of every driver")]
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        let ring = bell.ring().and_then(|ring| usize::try_from(ring).ok());
        let ring = ring.expect("every simulated shard has published its ring");
        sim::with(|kernel| kernel.ring_bell(ring));
    }

    /// Starts what was queued. Whoever turns the shards does the waiting.
    pub(crate) fn enter(&mut self, _: Wait) {
        self.counters.enters += 1;
        self.submit();
        sim::with(|kernel| kernel.enter(self.ring));
    }

    pub(crate) fn reap(&mut self, _: &Doorbell, pool: &Pool, mut sink: impl FnMut(Completion)) {
        while let Some(raw) = sim::with(|kernel| kernel.completion(self.ring)) {
            if raw.user == IGNORED {
                continue;
            }
            let completion = self.complete(raw, pool);
            completion.into_iter().for_each(&mut sink);
        }
    }

    /// Turns a raw completion into one that owns what it brings.
    fn complete(&mut self, raw: RawCompletion, pool: &Pool) -> Option<Completion> {
        let id = OpId::from_bits(raw.user);
        let received = raw.buffer.map(|buffer| {
            let len = usize::try_from(raw.result).unwrap_or(0);
            let bytes = sim::with(|kernel| kernel.take_buffer(self.ring, buffer, len));
            pool.copy(&bytes)
        });
        let more = raw.more;
        let ended = if more { None } else { self.ops.remove(id) };
        let live = ended
            .as_ref()
            .map(|(target, op)| (*target, op))
            .or_else(|| self.ops.target(id));
        self.counters.stray += u64::from(live.is_none());
        let (target, op) = live?;
        let outcome = match u32::try_from(raw.result) {
            Err(_) => {
                let starved = raw.result == -number::ENOBUFS;
                self.counters.starved += u64::from(starved);
                Err(io::Error::from_raw_os_error(-raw.result))
            }
            Ok(len) => Ok(match op {
                Op::Accept { .. } => {
                    Outcome::Accepted(Descriptor::Simulated(sim::adopt(raw.result)))
                }
                Op::Receive { .. } => Outcome::Received(received.unwrap_or_default()),
                Op::Send { .. } => Outcome::Sent {
                    data: sent(ended),
                    len: len as usize,
                },
                Op::Connect { .. } | Op::Shutdown { .. } | Op::Close { .. } => Outcome::Done,
                Op::File(_) => unreachable!("{NO_FILES}"),
            }),
        };
        Some(Completion {
            target,
            more,
            outcome,
        })
    }
}

/// The data of a send that has ended.
fn sent(ended: Option<(Target, Op)>) -> Buf {
    match ended {
        Some((_, Op::Send { data, .. })) => data,
        _ => unreachable!("a send completes once"),
    }
}

/// What the simulated kernel is told of an operation.
fn verb(op: &Op) -> (RawFd, Verb) {
    match op {
        Op::Accept { listener } => (*listener, Verb::Accept),
        Op::Receive { socket } => (*socket, Verb::Receive),
        Op::Send { socket, data, .. } => (*socket, Verb::Send(data.to_vec())),
        Op::Connect { socket, address } => {
            let address = address.as_socket().expect("an address of TCP");
            (*socket, Verb::Connect(address))
        }
        Op::Shutdown { socket } => (*socket, Verb::Shutdown),
        Op::Close { socket } => (*socket, Verb::Close(*socket)),
        Op::File(_) => unreachable!("{NO_FILES}"),
    }
}
