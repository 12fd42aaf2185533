//! [`Uring`]: the driver over `io_uring`.
//!
//! What must hold: every completion is looked at for `F_MORE`, successful or not; a provided
//! buffer goes back within the reaping that took it; memory that the kernel may write is freed
//! only after the last completion, or never.
//!
//! A send is *quiet* as long as its socket takes everything at once, as it nearly always does: it
//! is told not to wait (`MSG_DONTWAIT`), to call less than everything a failure (`MSG_WAITALL`),
//! and to complete only if it fails (`SKIP_SUCCESS`). The kernel carries it out within the enter
//! that takes it, so one of which there is no completion by then has sent all its data. No
//! completion is written or reaped for it, and none ends a wait that has just begun: that would be
//! half of all turns.
#![expect(
    unsafe_code,
    reason = "submissions name memory by address; the op table owns it"
)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::alarm::{Alarm, Needs};
use super::clock::Clock;
use super::doorbell::Doorbell;
use super::file_op::{FileDone, FileOp};
use super::op::{Completion, Op, OpId, OpTable, Outcome, Target};
use super::uring_options::{Feature, UringFeatures, UringOptions, UringSizes};
use crate::mem::{Buf, Pool};
use crate::sys::buf_ring::BufRing;
use crate::sys::event;
use crate::sys::file::Opening;
use crate::sys::limit;
use crate::sys::probe::{Probe, QUIET};
use crate::sys::ring::{Entry, Flags, RawCompletion, Ring, Setup, Wait, number, opcode, types};

/// The doorbell rang, by a message from another ring.
const BELL_MESSAGE: u64 = u64::MAX;
/// The doorbell rang, by its eventfd.
const BELL_EVENT: u64 = u64::MAX - 1;
/// The upper half of a message's own completion, which comes only if it failed; in the lower half
/// is the eventfd that rings the same doorbell.
const BELL_FAILED: u64 = u32::MAX as u64;
/// The alarm has rung.
const ALARM: u64 = u64::MAX - 3;
/// Nobody waits for this completion.
const IGNORED: u64 = u64::MAX - 2;

/// The group number of the receive buffers.
const RECEIVE_GROUP: u16 = 0;
/// How long a wait goes on for more than a few completions, in microseconds.
const MIN_WAIT: u32 = 50;
/// The longest quiet send. The kernel takes at most `INT_MAX` bytes, less a page, in one call, and
/// would call those everything.
const QUIET_MAX: usize = 1 << 30;
/// How long the driver waits for cancelled operations when it ends, in all.
const QUIESCE_TRIES: usize = 20;
const QUIESCE_STEP: Duration = Duration::from_millis(50);

/// The only operations that the ring takes. Whoever adds one to `entry` adds it here.
const OPERATIONS: [u8; 15] = [
    opcode::AcceptMulti::CODE,
    opcode::RecvMulti::CODE,
    opcode::Send::CODE,
    opcode::Connect::CODE,
    opcode::Shutdown::CODE,
    opcode::Close::CODE,
    opcode::AsyncCancel::CODE,
    opcode::MsgRingData::CODE,
    // The alarm.
    opcode::Timeout::CODE,
    opcode::TimeoutUpdate::CODE,
    // The doorbell's eventfd, and files.
    opcode::Read::CODE,
    opcode::OpenAt2::CODE,
    opcode::Write::CODE,
    opcode::Fsync::CODE,
    opcode::Fallocate::CODE,
];
/// After how many receives without a provided buffer one goes to memory of its own.
const STARVED_MAX: u8 = 4;

/// A ring with its buffers and its operations in flight.
pub(crate) struct Uring {
    // Declared, and so closed, before the memory that it may write.
    ring: Ring,
    buffers: ManuallyDrop<BufRing>,
    ops: ManuallyDrop<OpTable>,
    quiet: Quiet,
    /// None where another thread begins what was pushed, whenever that may be, and where the kernel
    /// refuses it.
    alarm: Option<Alarm>,
    /// What the alarm was set to last: the kernel reads it when it begins the submission.
    alarm_timeout: ManuallyDrop<Box<types::Timespec>>,
    /// Receives that found no provided buffer, and how often; they start again when buffers are
    /// back.
    starved: Vec<(OpId, u8)>,
    /// The memory of receives that do without provided buffers.
    rooms: ManuallyDrop<Vec<(OpId, Vec<u8>)>>,
    /// What the eventfd is read into.
    bell_count: ManuallyDrop<Box<[u8; 8]>>,
    bell_armed: bool,
    probe: Probe,
    /// What is in use of what can be chosen.
    features: UringFeatures,
    buffer_len: usize,
    counters: Counters,
}

/// The sends that complete only if they fail.
#[derive(Default)]
struct Quiet {
    /// Those that were pushed since the last reaping.
    sends: Vec<OpId>,
    /// Somebody waits for one of them.
    awaited: bool,
    /// Whether an enter carries them out, and tells of failures.
    possible: bool,
}

/// What a driver counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// System calls made.
    pub(crate) enters: u64,
    /// Receives that ended for want of a provided buffer.
    pub(crate) starved: u64,
    /// Receives into memory of their own, after some that ended so.
    pub(crate) unbuffered: u64,
    /// Enters that were refused because completions did not fit.
    pub(crate) overflows: u64,
    /// Submissions that found the queue full.
    pub(crate) waits: u64,
    /// Completions of operations that had ended: 0, or there is a bug.
    pub(crate) stray: u64,
}

impl Uring {
    /// Makes a driver on the calling thread, which is the only one that may use it.
    pub(crate) fn new(options: UringOptions, bell: &Doorbell) -> io::Result<Uring> {
        let probe = Probe::run()?;
        let UringOptions { sizes, features } = options;
        let mut ring = Ring::new(Setup {
            submissions: sizes.submissions,
            completions: sizes.completions,
            operations: features.has(Feature::Restrict).then_some(&OPERATIONS),
            submitter: features.has(Feature::Sqpoll),
        })?;
        // SAFETY: `drop` frees the buffers only when no operation is in flight.
        let buffers =
            unsafe { BufRing::register(&ring, RECEIVE_GROUP, sizes.buffers, sizes.buffer_len)? };
        if probe.message_ring {
            bell.publish_ring(ring.raw());
        }
        let features = features.keep(|feature| match feature {
            Feature::Restrict => ring.is_restricted(),
            Feature::RegisteredRing => ring.register_with_thread(),
            Feature::MinWait => ring.batch_waits(MIN_WAIT),
            Feature::Napi => ring.poll_device(),
            Feature::Sqpoll => true,
        });
        let begins_at_once = !features.has(Feature::Sqpoll);
        let mut driver = Uring {
            ring,
            buffers: ManuallyDrop::new(buffers),
            ops: ManuallyDrop::new(OpTable::new()),
            quiet: Quiet {
                possible: begins_at_once && probe.quiet_sends,
                ..Quiet::default()
            },
            alarm: begins_at_once.then(Alarm::default),
            alarm_timeout: ManuallyDrop::default(),
            starved: Vec::new(),
            rooms: ManuallyDrop::new(Vec::new()),
            bell_count: ManuallyDrop::new(Box::new([0; 8])),
            bell_armed: false,
            probe,
            features,
            buffer_len: sizes.buffer_len,
            counters: Counters::default(),
        };
        driver.listen_to(bell);
        Ok(driver)
    }

    /// What is used of what the kernel offers.
    pub(crate) fn features(&self) -> UringFeatures {
        self.features
    }

    /// What the kernel can do and how large the ring has become, for `--verbose`.
    pub(crate) fn describe(&self) -> String {
        let (submissions, completions) = (self.ring.entries(), self.ring.completions_max());
        let needed = UringSizes::locked_len(submissions, completions) / 1024;
        let limit = limit::locked_memory().map_or("any".to_owned(), |it| (it / 1024).to_string());
        format!(
            "ring of {submissions}/{completions} entries; {}; features {}; locks {needed} KiB, \
             twice that during a restart, of {limit} KiB that all shards may (ulimit -l)",
            self.probe, self.features
        )
    }

    /// What was counted so far.
    pub(crate) fn counters(&self) -> Counters {
        let (overflows, waits) = self.ring.overflows_and_waits();
        Counters {
            overflows,
            waits,
            ..self.counters
        }
    }

    /// How many operations are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// Queues an operation; it starts with the next [`enter`](Uring::enter).
    #[inline]
    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        let (id, op) = self.ops.insert(target, op);
        let quiet = self.quiet.possible && may_be_quiet(op);
        let mut entry = entry(op, quiet).user_data(id.to_bits());
        if quiet {
            entry = entry.flags(Flags::SKIP_SUCCESS);
            self.quiet.sends.push(id);
        }
        // SAFETY: what the entry names is owned by `op`, which the table keeps until the last
        // completion, in place: a `Buf`'s block, a vector's and what is boxed do not move with it.
        unsafe { self.ring.push(&entry) };
        id
    }

    /// Asks for an operation to end early. It still completes: with `ECANCELED`, or as if nothing
    /// had been asked.
    pub(crate) fn cancel(&mut self, id: OpId) {
        self.ops.cancel(id);
        let entry = opcode::AsyncCancel::new(id.to_bits())
            .build()
            .user_data(IGNORED);
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    /// Rings the doorbell of another shard.
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        let Some(ring) = bell.ring().filter(|_| self.probe.message_ring) else {
            return bell.ring_by_event();
        };
        let message = opcode::MsgRingData::new(types::Fd(ring), 0, BELL_MESSAGE, None).build();
        let event = u64::from(bell.event().unsigned_abs());
        let entry = message
            .user_data(BELL_FAILED << 32 | event)
            .flags(Flags::SKIP_SUCCESS);
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
    }

    /// Starts what was queued and waits as told: one system call, or none where that would do
    /// nothing.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        self.quiet.awaited &= !self.quiet.sends.is_empty();
        let wait = if self.quiet.awaited { Wait::No } else { wait };
        if wait != Wait::No || self.ring.needs_enter() {
            self.counters.enters += 1;
            self.ring.enter(wait);
        }
    }

    /// As [`enter`](Uring::enter), at a moment of the shard's clock: a long wait relies on the
    /// alarm.
    #[inline]
    pub(crate) fn enter_at(&mut self, now: Instant, wait: Wait) {
        let wait = match (wait, &mut self.alarm) {
            (Wait::AtMost(timeout), Some(alarm)) => match alarm.plan(now, timeout) {
                Needs::Timeout => wait,
                Needs::Nothing => Wait::Forever,
                needs => {
                    self.set_alarm(now + timeout, needs == Needs::EarlierAlarm);
                    Wait::Forever
                }
            },
            _ => wait,
        };
        self.enter(wait);
    }

    #[cold]
    fn set_alarm(&mut self, due: Instant, is_set: bool) {
        // The turn has taken its time since the shard's clock was read.
        let timeout = due.saturating_duration_since(Clock::monotonic());
        **self.alarm_timeout = types::Timespec::from(timeout);
        let timeout = &raw const **self.alarm_timeout;
        let entry = if is_set {
            // If it has rung meanwhile this fails, and whoever reaps that sets it again.
            opcode::TimeoutUpdate::new(ALARM, timeout)
                .build()
                .user_data(IGNORED)
                .flags(Flags::SKIP_SUCCESS)
        } else {
            opcode::Timeout::new(timeout).build().user_data(ALARM)
        };
        // SAFETY: the memory is freed only when nothing is in flight.
        unsafe { self.ring.push(&entry) };
    }

    #[cold]
    fn alarm_rang(&mut self, result: i32) {
        if result == -number::ETIME {
            self.alarm.iter_mut().for_each(Alarm::has_rung);
        } else {
            // It cannot be set, and would be again and again.
            self.alarm = None;
        }
    }

    /// Has the next enter not wait if there are quiet sends: somebody wants to know of one.
    #[inline]
    pub(crate) fn await_sends(&mut self) {
        self.quiet.awaited = true;
    }

    /// Takes all completions out and hands each to `sink`. Received bytes are copied into `pool`
    /// blocks, so that provided buffers never leave the kernel for longer than this call.
    #[inline]
    pub(crate) fn reap(&mut self, bell: &Doorbell, pool: &Pool, mut sink: impl FnMut(Completion)) {
        // Asked first: what is started again below is not begun before the next enter.
        let settles = !self.quiet.sends.is_empty() && self.ring.has_begun_all();
        while let Some(raw) = self.ring.completion() {
            match raw.user_data {
                BELL_MESSAGE | IGNORED => {}
                BELL_EVENT => self.bell_armed = false,
                ALARM => self.alarm_rang(raw.result),
                bits if bits >> 32 == BELL_FAILED => event::notify(bits),
                bits => {
                    let completion = self.complete(OpId::from_bits(bits), raw, pool);
                    if let Some(completion) = completion {
                        sink(completion);
                    }
                }
            }
        }
        self.buffers.publish();
        if settles {
            self.settle_quiet(sink);
        }
        if !self.starved.is_empty() {
            self.feed_starved();
        }
        if !self.bell_armed {
            self.listen_to(bell);
        }
    }

    /// Completes the sends of which the kernel has told no failure.
    #[inline]
    fn settle_quiet(&mut self, mut sink: impl FnMut(Completion)) {
        self.quiet.awaited = false;
        for id in self.quiet.sends.drain(..) {
            // One that has failed is gone, or waits for room.
            if let Some((
                target,
                Op::Send {
                    stalled: false,
                    data,
                    ..
                },
            )) = self.ops.target(id)
            {
                let len = u32::try_from(data.len()).expect("at most QUIET_MAX");
                let ended = self.ops.remove(id);
                sink(sent(target, ended, len));
            }
        }
    }

    /// Starts receives again that found no provided buffer: the buffers are all back by now. One
    /// that has been unlucky several times gets memory of its own for what is there at this moment.
    #[cold]
    fn feed_starved(&mut self) {
        for (id, count) in std::mem::take(&mut self.starved) {
            if count % STARVED_MAX == 0 {
                self.receive_alone(id);
            } else {
                self.restart(id);
            }
        }
    }

    /// Starts an operation again that has ended without having been asked to.
    fn restart(&mut self, id: OpId) {
        let op = self.ops.op(id).expect("it has not ended for its owner");
        let entry = entry(op, false).user_data(id.to_bits());
        // SAFETY: a receive names no memory but provided buffers, and the data of a send is in the
        // table until it completes.
        unsafe { self.ring.push(&entry) };
    }

    fn receive_alone(&mut self, id: OpId) {
        let Some((_, Op::Receive { socket })) = self.ops.target(id) else {
            unreachable!("only receives starve")
        };
        let mut room = vec![0; self.buffer_len];
        let len = u32::try_from(room.len()).expect("a buffer is far below 4 GiB");
        let entry = opcode::Recv::new(types::Fd(*socket), room.as_mut_ptr(), len)
            .flags(number::MSG_DONTWAIT)
            .build()
            .user_data(id.to_bits());
        self.rooms.push((id, room));
        self.counters.unbuffered += 1;
        // SAFETY: `rooms` keeps the memory in place until the completion.
        unsafe { self.ring.push(&entry) };
    }

    /// A receive into memory of its own has ended; what it stands in for goes on, unless the
    /// direction is at its end or nobody wants more.
    #[cold]
    fn received_alone(&mut self, place: usize, raw: RawCompletion) -> Option<Completion> {
        let (id, mut room) = self.rooms.swap_remove(place);
        let empty = raw.result == -number::EAGAIN;
        let more = (empty || raw.result > 0) && !self.ops.is_cancelled(id);
        let (target, _) = self.ops.target(id).expect("it has not ended for its owner");
        if more {
            self.restart(id);
        } else {
            self.ops.remove(id);
        }
        let outcome = match usize::try_from(raw.result) {
            Err(_) if empty && more => return None,
            Err(_) if empty => Err(io::Error::from_raw_os_error(number::ECANCELED)),
            Err(_) => Err(io::Error::from_raw_os_error(-raw.result)),
            Ok(len) => {
                room.truncate(len);
                Ok(Outcome::Received(Buf::from(room)))
            }
        };
        Some(Completion {
            target,
            more,
            outcome,
        })
    }

    /// Turns a raw completion into one that owns what it brings.
    #[inline]
    fn complete(&mut self, id: OpId, raw: RawCompletion, pool: &Pool) -> Option<Completion> {
        if !self.rooms.is_empty()
            && let Some(place) = self.rooms.iter().position(|(of, _)| *of == id)
        {
            return self.received_alone(place, raw);
        }
        if raw.result == -number::ENOBUFS
            && let Some(count) = self.ops.starve(id)
        {
            self.counters.starved += 1;
            self.starved.push((id, count));
            return None;
        }
        // Encrypted by the kernel (`tls(7)`), a socket does not know `MSG_WAITALL`.
        let refused = [-number::EAGAIN, -number::EOPNOTSUPP].contains(&raw.result);
        if refused && self.ops.stall(id) {
            self.restart(id);
            return None;
        }
        let received = raw.buffer().map(|buffer| {
            let len = usize::try_from(raw.result).unwrap_or(0);
            let copy = pool.copy(self.buffers.taken(buffer, len));
            self.buffers.give_back(buffer);
            copy
        });
        let more = raw.more();
        let ended = if more { None } else { self.ops.remove(id) };
        let live = ended
            .as_ref()
            .map(|(target, op)| (*target, op))
            .or_else(|| self.ops.target(id));
        self.counters.stray += u64::from(live.is_none());
        let (target, op) = live?;
        let Ok(result) = u32::try_from(raw.result) else {
            let outcome = Err(io::Error::from_raw_os_error(-raw.result));
            return Some(Completion {
                target,
                more,
                outcome,
            });
        };
        let outcome = match op {
            Op::Accept { .. } => {
                // SAFETY: a successful accept's result is a descriptor that only we know.
                let accepted = unsafe { OwnedFd::from_raw_fd(raw.result) };
                Outcome::Accepted(accepted.into())
            }
            Op::Receive { .. } => Outcome::Received(received.unwrap_or_default()),
            Op::Send { .. } => return Some(sent(target, ended, result)),
            Op::File(_) => return Some(file_done(target, ended, raw.result)),
            Op::Connect { .. } | Op::Shutdown { .. } | Op::Close { .. } => Outcome::Done,
        };
        Some(Completion {
            target,
            more,
            outcome: Ok(outcome),
        })
    }

    /// Whether something has come that the next turn would bring.
    pub(super) fn has_news(&mut self) -> bool {
        self.ring.has_news()
    }

    /// Reads the doorbell's eventfd once.
    fn listen_to(&mut self, bell: &Doorbell) {
        let count = self.bell_count.as_mut_ptr();
        let entry = opcode::Read::new(types::Fd(bell.event()), count, 8).build();
        // SAFETY: `bell_count` is boxed and freed only when nothing is in flight.
        unsafe { self.ring.push(&entry.user_data(BELL_EVENT)) };
        self.bell_armed = true;
    }

    /// Cancels everything and waits, within bounds, until the kernel has let go of all memory.
    fn quiesce(&mut self) -> bool {
        self.ops.cancel_all();
        let cancel = types::CancelBuilder::any();
        let entry = opcode::AsyncCancel2::new(cancel).build().user_data(IGNORED);
        // SAFETY: the entry names no memory.
        unsafe { self.ring.push(&entry) };
        let pool = Pool::new();
        for _ in 0..QUIESCE_TRIES {
            if self.ops.len() == 0 && !self.bell_armed {
                return true;
            }
            self.ring.enter(Wait::AtMost(QUIESCE_STEP));
            let begun = self.ring.has_begun_all();
            while let Some(raw) = self.ring.completion() {
                match raw.user_data {
                    BELL_MESSAGE | IGNORED | ALARM => {}
                    BELL_EVENT => self.bell_armed = false,
                    bits if bits >> 32 == BELL_FAILED => {}
                    bits => drop(self.complete(OpId::from_bits(bits), raw, &pool)),
                }
            }
            if begun {
                self.settle_quiet(drop);
            }
        }
        false
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.quiesce() {
            // SAFETY: no operation is in flight, so the kernel writes none of this any more; each
            // is dropped here once and never used again.
            unsafe {
                ManuallyDrop::drop(&mut self.ops);
                ManuallyDrop::drop(&mut self.rooms);
                ManuallyDrop::drop(&mut self.buffers);
                ManuallyDrop::drop(&mut self.bell_count);
                ManuallyDrop::drop(&mut self.alarm_timeout);
            }
        }
        // Otherwise the memory is leaked: it is never too late for a completion to write to it.
    }
}

/// The completion of a send, which gives its data back.
fn sent(target: Target, ended: Option<(Target, Op)>, len: u32) -> Completion {
    let data = match ended {
        Some((_, Op::Send { data, .. })) => data,
        // A send completes once; the kernel never announces more.
        _ => Buf::new(),
    };
    let outcome = Ok(Outcome::Sent {
        data,
        len: len as usize,
    });
    Completion {
        target,
        more: false,
        outcome,
    }
}

/// The completion of an operation on a file that went well.
fn file_done(target: Target, ended: Option<(Target, Op)>, result: i32) -> Completion {
    let Some((_, Op::File(op))) = ended else {
        unreachable!("an operation on a file completes once")
    };
    let len = || usize::try_from(result).expect("an error has been told apart");
    let done = match *op {
        FileOp::Open(_) => {
            // SAFETY: a successful open's result is a descriptor that only we know.
            FileDone::Opened(unsafe { OwnedFd::from_raw_fd(result) })
        }
        FileOp::Read { room: block, .. } | FileOp::Write { block, .. } => {
            FileDone::Moved { block, len: len() }
        }
        FileOp::Sync { .. } | FileOp::Allocate { .. } => FileDone::Done,
    };
    Completion {
        target,
        more: false,
        outcome: Ok(Outcome::File(Box::new(done))),
    }
}

/// Whether an operation is a send that the kernel can carry out at once and in one piece.
fn may_be_quiet(op: &Op) -> bool {
    match op {
        Op::Send { stalled, data, .. } => !stalled && data.len() <= QUIET_MAX,
        _ => false,
    }
}

/// The submission for an operation; a `quiet` send tells if it is short, and nothing else.
#[inline]
fn entry(op: &mut Op, quiet: bool) -> Entry {
    match op {
        Op::Accept { listener } => opcode::AcceptMulti::new(types::Fd(*listener))
            .flags(number::SOCK_CLOEXEC)
            .build(),
        Op::Receive { socket } => opcode::RecvMulti::new(types::Fd(*socket), RECEIVE_GROUP).build(),
        Op::Send {
            socket,
            data,
            more,
            stalled: _,
        } => {
            let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let more = if *more { number::MSG_MORE } else { 0 };
            let at_once = if quiet { QUIET } else { 0 };
            let flags = number::MSG_NOSIGNAL | more | at_once;
            opcode::Send::new(types::Fd(*socket), data.as_ptr(), len)
                .flags(flags)
                .build()
        }
        Op::Connect { socket, address } => {
            let (start, len) = (address.as_ptr(), address.len());
            opcode::Connect::new(types::Fd(*socket), start.cast(), len).build()
        }
        Op::Shutdown { socket } => {
            opcode::Shutdown::new(types::Fd(*socket), number::SHUT_WR).build()
        }
        Op::Close { socket } => opcode::Close::new(types::Fd(*socket)).build(),
        Op::File(op) => file_entry(op),
    }
}

/// The submission for an operation on a file. More than 2 GiB are moved in parts.
fn file_entry(op: &mut FileOp) -> Entry {
    let short = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
    match op {
        FileOp::Open(opening) => {
            let Opening {
                directory,
                path,
                how,
            } = opening;
            let directory = directory
                .as_ref()
                .map_or(number::AT_FDCWD, AsRawFd::as_raw_fd);
            opcode::OpenAt2::new(types::Fd(directory), path.as_ptr(), &raw const **how).build()
        }
        FileOp::Read {
            file,
            at,
            room,
            from,
        } => {
            let room = &mut room.room()[*from..];
            let (start, len) = (room.as_mut_ptr(), short(room.len()));
            opcode::Read::new(types::Fd(file.as_raw_fd()), start, len)
                .offset(*at)
                .build()
        }
        FileOp::Write {
            file,
            at,
            block,
            from,
        } => {
            let bytes = &block[*from..];
            let (start, len) = (bytes.as_ptr(), short(bytes.len()));
            opcode::Write::new(types::Fd(file.as_raw_fd()), start, len)
                .offset(*at)
                .build()
        }
        FileOp::Sync { file, all } => {
            let flags = if *all {
                types::FsyncFlags::empty()
            } else {
                types::FsyncFlags::DATASYNC
            };
            opcode::Fsync::new(types::Fd(file.as_raw_fd()))
                .flags(flags)
                .build()
        }
        FileOp::Allocate { file, at, len } => {
            opcode::Fallocate::new(types::Fd(file.as_raw_fd()), *len)
                .offset(*at)
                .build()
        }
    }
}
