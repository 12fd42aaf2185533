//! [`Ring`]: a submission and a completion queue shared with the kernel (`io_uring(7)`).
//!
//! What must hold: the ring is made and used on one thread (`SINGLE_ISSUER`), enabled there, and
//! every enter passes `GETEVENTS`, without which `DEFER_TASKRUN` delivers nothing.
#![expect(unsafe_code, reason = "the ring's memory is shared with the kernel")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::register::Restriction;
use io_uring::{EnterFlags, IoUring, cqueue};

pub(crate) use io_uring::{opcode, squeue::Entry, squeue::Flags, types};

/// The kernel's numbers that submissions and completions carry.
pub(crate) mod number {
    pub(crate) use libc::{
        AT_FDCWD, EAGAIN, ECANCELED, ENOBUFS, EOPNOTSUPP, ETIME, SHUT_WR, SOCK_CLOEXEC,
    };
    pub(crate) use libc::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_WAITALL};
}

/// The smallest ring worth having; below it the memory limit is reported instead.
const ENTRIES_MIN: u32 = 16;
/// The registrations that a restricted ring still takes: those that this module makes
/// (`IORING_REGISTER_RING_FDS`, `_PBUF_RING`, `_NAPI`).
const REGISTRATIONS: [u8; 3] = [20, 22, 27];
/// How long a submission thread of the kernel spins before it sleeps, in milliseconds.
const SUBMITTER_IDLE: u32 = 100;
/// How long a wait polls the device for packets (`IORING_REGISTER_NAPI`), in microseconds.
const NAPI_POLL: u32 = 50;

/// As good as for ever.
const FAR: Duration = Duration::from_hours(1);
/// Completions that end a wait at once where waits are batched.
const BATCH: u32 = 32;

/// What `IORING_REGISTER_RING_FDS` takes: `io_uring_rsrc_update` of the kernel.
#[repr(C)]
struct RingPlace {
    index: u32,
    reserved: u32,
    ring: u64,
}

/// What a ring is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Submissions that fit before they are handed over; rounded up to a power of two.
    pub(crate) submissions: u32,
    /// Completions that fit; at least as many as submissions.
    pub(crate) completions: u32,
    /// The only operations that the ring takes (`IORING_REGISTER_RESTRICTIONS`), by number; all
    /// that the kernel has if `None`. Whoever wants more, for files say, names them here.
    pub(crate) operations: Option<&'static [u8]>,
    /// Whether a thread of the kernel takes submissions in (`SQPOLL`), instead of the enter.
    pub(crate) submitter: bool,
}

impl Setup {
    /// A ring of this size that takes every operation.
    pub(crate) fn of(submissions: u32, completions: u32) -> Setup {
        Setup {
            submissions,
            completions,
            operations: None,
            submitter: false,
        }
    }
}

/// How long an enter waits for a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all: collect what is ready.
    No,
    /// Until something completes, at most this long.
    AtMost(Duration),
    /// Until something completes.
    Forever,
}

/// One completion, taken out of the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawCompletion {
    pub(crate) user_data: u64,
    /// The result: a count or descriptor, or a negated `errno`.
    pub(crate) result: i32,
    flags: u32,
}

impl RawCompletion {
    /// Whether the operation goes on (`IORING_CQE_F_MORE`).
    pub(crate) fn more(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The provided buffer that holds the data, if one was taken.
    pub(crate) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// A ring of this thread.
pub(crate) struct Ring {
    queues: IoUring,
    entries: u32,
    /// Submissions that found the queue full while the kernel took no more, oldest first. So no
    /// operation is ever refused: neither a cancellation nor a close needs entries of its own.
    waiting: VecDeque<Entry>,
    /// How many have found it full so far.
    waits: u64,
    /// Enters that the kernel refused until completions were reaped.
    overflows: u64,
    restricted: bool,
    submitter: bool,
    /// The ring's number among this thread's registered rings.
    registered: Option<u32>,
    /// The shortest wait, in microseconds, while fewer than a batch of completions are there.
    min_wait: Option<u32>,
}

impl Ring {
    /// Makes a ring, or a smaller one when the memory limit allows no more: both sizes are halved
    /// for as long as the kernel answers `ENOMEM`.
    pub(crate) fn new(setup: Setup) -> io::Result<Ring> {
        let mut entries = setup.submissions.next_power_of_two();
        let mut completions = setup.completions.max(entries);
        loop {
            match Ring::build(entries, completions, setup) {
                Err(error)
                    if error.kind() == io::ErrorKind::OutOfMemory && entries > ENTRIES_MIN =>
                {
                    entries /= 2;
                    completions = (completions / 2).max(entries);
                }
                other => return other,
            }
        }
    }

    fn build(entries: u32, completions: u32, setup: Setup) -> io::Result<Ring> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(completions).setup_submit_all();
        builder.setup_single_issuer().setup_r_disabled().dontfork();
        if setup.submitter {
            builder.setup_sqpoll(SUBMITTER_IDLE);
        } else {
            // The flag is what `has_news` and `needs_enter` rely on.
            builder.setup_defer_taskrun().setup_taskrun_flag();
        }
        // Since 6.6: without the indirection array a submission touches one cache line less.
        let ring = match builder.clone().setup_no_sqarray().build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries)?,
            other => other?,
        };
        let restricted = setup
            .operations
            .is_some_and(|operations| Ring::restrict(&ring, operations).is_ok());
        ring.submitter().register_enable_rings()?;
        Ok(Ring {
            queues: ring,
            entries,
            waiting: VecDeque::new(),
            waits: 0,
            overflows: 0,
            restricted,
            submitter: setup.submitter,
            registered: None,
            min_wait: None,
        })
    }

    /// Forbids everything but these operations, from the moment at which the ring is enabled: what
    /// a seccomp filter cannot see goes on in a ring only if we wanted it.
    fn restrict(ring: &IoUring, operations: &[u8]) -> io::Result<()> {
        let flags = (Flags::SKIP_SUCCESS | Flags::BUFFER_SELECT).bits();
        let operations = operations.iter().copied().map(Restriction::sqe_op);
        let registrations = REGISTRATIONS.into_iter().map(Restriction::register_op);
        let mut allowed: Vec<_> = operations.chain(registrations).collect();
        allowed.push(Restriction::sqe_flags_allowed(flags));
        ring.submitter().register_restrictions(&mut allowed)
    }

    /// Whether the ring refuses operations that its setup does not name.
    pub(crate) fn is_restricted(&self) -> bool {
        self.restricted
    }

    /// Registers the ring with its thread, which spares each enter the search for its descriptor.
    /// Tells whether the kernel could (Linux 5.18).
    pub(crate) fn register_with_thread(&mut self) -> bool {
        let mut place = RingPlace {
            index: u32::MAX,
            reserved: 0,
            ring: u64::from(self.raw().unsigned_abs()),
        };
        // SAFETY: the structure is the one that IORING_REGISTER_RING_FDS reads and writes.
        let registered = unsafe {
            let (ring, operation) = (self.raw(), u32::from(REGISTRATIONS[0]));
            libc::syscall(
                libc::SYS_io_uring_register,
                ring,
                operation,
                &raw mut place,
                1,
            )
        };
        self.registered = (registered == 1).then_some(place.index);
        self.registered.is_some()
    }

    /// Has waits poll the network device of what they wait for. Tells whether the kernel could
    /// (Linux 6.9).
    pub(crate) fn poll_device(&self) -> bool {
        let mut napi = types::Napi::new().set_busy_poll_timeout(NAPI_POLL);
        self.queues.submitter().register_napi(&mut napi).is_ok()
    }

    /// From now on lets a wait go on for `microseconds` while it has few completions. Tells whether
    /// the kernel can (Linux 6.12).
    pub(crate) fn batch_waits(&mut self, microseconds: u32) -> bool {
        let able = self.queues.params().is_feature_min_timeout();
        self.min_wait = able.then_some(microseconds);
        able
    }

    /// Enters that were refused until completions were reaped, and submissions that found the queue
    /// full.
    pub(crate) fn overflows_and_waits(&self) -> (u64, u64) {
        (self.overflows, self.waits)
    }

    /// How many submissions fit.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// How many completions fit.
    pub(crate) fn completions_max(&self) -> u32 {
        self.queues.params().cq_entries()
    }

    /// Whether the kernel keeps completions that do not fit (`IORING_FEAT_NODROP`), takes a
    /// timeout (`IORING_FEAT_EXT_ARG`) and reads submissions before an enter returns
    /// (`IORING_FEAT_SUBMIT_STABLE`).
    pub(crate) fn has_needed_features(&self) -> bool {
        let params = self.queues.params();
        params.is_feature_nodrop()
            && params.is_feature_ext_arg()
            && params.is_feature_submit_stable()
    }

    /// The descriptor of the ring, which other rings send messages to.
    pub(crate) fn raw(&self) -> RawFd {
        self.queues.as_raw_fd()
    }

    /// Queues one submission; when the queue is full it is handed to the kernel first. If the
    /// kernel takes none just now the entry waits here: nothing spins, and nothing is refused.
    ///
    /// # Safety
    /// Whatever memory the entry names must stay valid until the operation's last completion.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &Entry) {
        // SAFETY: the caller keeps the entry's memory alive.
        if !self.waiting.is_empty() || unsafe { self.queues.submission().push(entry) }.is_err() {
            self.waiting.push_back(entry.clone());
            self.waits += 1;
            self.hand_over();
        }
    }

    /// Moves what waits into the queue, which is handed to the kernel whenever it is full. Tells
    /// whether the queue has taken everything; if not, completions must be reaped first.
    #[cold]
    fn hand_over(&mut self) -> bool {
        while let Some(entry) = self.waiting.front() {
            // SAFETY: who pushed the entry keeps its memory alive.
            if unsafe { self.queues.submission().push(entry) }.is_ok() {
                self.waiting.pop_front();
                continue;
            }
            self.enter_once(Wait::No);
            if self.queues.submission().is_full() {
                return false;
            }
        }
        true
    }

    /// Hands all submissions to the kernel and waits as told: one system call, unless more was
    /// pushed than the queue holds. The wait ends early, or does not begin, when the kernel wants
    /// completions to be reaped first.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        if self.waiting.is_empty() || self.hand_over() {
            self.enter_once(wait);
        }
    }

    #[inline]
    fn enter_once(&mut self, wait: Wait) {
        let arguments = match self.min_wait {
            Some(microseconds) if wait != Wait::No => {
                types::SubmitArgs::new().min_wait_usec(microseconds)
            }
            _ => types::SubmitArgs::new(),
        };
        let completions = match (wait, self.min_wait) {
            (Wait::No, _) => 0,
            (_, None) => 1,
            (_, Some(_)) => BATCH,
        };
        // Without a timeout of its own a batched wait would end with the batch's, come what may.
        let wait = match wait {
            Wait::Forever if self.min_wait.is_some() => Wait::AtMost(FAR),
            _ => wait,
        };
        let result = match wait {
            Wait::No | Wait::Forever => self.system_call(completions, &arguments),
            Wait::AtMost(timeout) => {
                let timeout = types::Timespec::from(timeout);
                self.system_call(completions, &arguments.timespec(&timeout))
            }
        };
        if let Err(error) = result {
            self.overflows += u64::from(error.raw_os_error() == Some(libc::EBUSY));
            Ring::survive(&error);
        }
    }

    fn system_call(
        &mut self,
        completions: u32,
        arguments: &types::SubmitArgs<'_, '_>,
    ) -> io::Result<()> {
        let queue = self.queues.submission();
        let submissions = u32::try_from(queue.len()).expect("fits: a u32 ring");
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if self.submitter && queue.need_wakeup() {
            flags |= EnterFlags::SQ_WAKEUP;
        }
        drop(queue);
        let (ring, registered) = match self.registered {
            Some(index) => (index.cast_signed(), EnterFlags::REGISTERED_RING),
            None => (self.raw(), EnterFlags::empty()),
        };
        // SAFETY: the argument is the structure that EXT_ARG announces, alive during the call.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                ring,
                submissions,
                completions,
                (flags | registered).bits(),
                &raw const *arguments,
                size_of_val(arguments),
            )
        };
        if entered < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Sorts the errors of an enter: those that only mean "reap and come again", and the rest.
    fn survive(error: &io::Error) {
        match error.raw_os_error() {
            // EINTR: a signal. ETIME: the timeout. EBUSY: completions overflowed, reap first.
            // EAGAIN: no memory for a request just now; the submission stays queued.
            Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => {}
            Some(libc::EBADR) => Ring::give_up(),
            _ => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// The state of some operation is unknown from here on: no memory may be freed any more and no
    /// answer given, so there is nothing to go on with.
    #[cold]
    fn give_up() -> ! {
        eprintln!("the kernel had no memory for a completion and lost it; aborting");
        std::process::abort();
    }

    /// Whether the kernel has begun everything that was pushed, and no completion is hidden from
    /// [`completion`](Ring::completion) for want of room.
    #[inline]
    pub(crate) fn has_begun_all(&mut self) -> bool {
        if self.queues.completion().overflow() > 0 {
            Ring::give_up();
        }
        let submissions = self.queues.submission();
        submissions.is_empty() && !submissions.cq_overflow() && self.waiting.is_empty()
    }

    /// Whether an enter that waits for nothing has something to do: to start what was pushed, or to
    /// bring what is not in the queue yet. Always with a submitter, whose ring does not tell.
    #[inline]
    pub(crate) fn needs_enter(&mut self) -> bool {
        let submissions = self.queues.submission();
        let brings = submissions.taskrun() || submissions.cq_overflow();
        brings || !submissions.is_empty() || !self.waiting.is_empty() || self.submitter
    }

    /// Whether something has come that the next enter will bring, or has brought already. Costs
    /// two loads, and is always `false` with a submitter, whose ring has no such flag, until a
    /// completion is in the queue.
    #[inline]
    pub(crate) fn has_news(&mut self) -> bool {
        self.queues.submission().taskrun() || !self.queues.completion().is_empty()
    }

    /// Takes the oldest completion out of the queue.
    #[inline]
    pub(crate) fn completion(&mut self) -> Option<RawCompletion> {
        let entry = self.queues.completion().next()?;
        let (user_data, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        Some(RawCompletion {
            user_data,
            result,
            flags,
        })
    }

    /// Hands a provided-buffer ring to the kernel as group `group`.
    ///
    /// # Safety
    /// `address` points to `entries` buffer entries that outlive the ring's last operation.
    pub(crate) unsafe fn register_buffers(
        &self,
        address: u64,
        entries: u16,
        group: u16,
    ) -> io::Result<()> {
        // SAFETY: the caller keeps the memory alive.
        unsafe {
            self.queues
                .submitter()
                .register_buf_ring_with_flags(address, entries, group, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_op_completes_with_its_user_data() {
        let mut ring = Ring::new(Setup::of(16, 128)).unwrap();
        assert!(ring.has_needed_features());
        // SAFETY: a no-op names no memory.
        unsafe { ring.push(&opcode::Nop::new().build().user_data(42)) };
        ring.enter(Wait::Forever);
        let completion = ring.completion().unwrap();
        assert_eq!(
            (completion.user_data, completion.result, completion.more()),
            (42, 0, false)
        );
        assert!(ring.completion().is_none());
    }

    #[test]
    fn a_full_submission_queue_is_handed_over_and_nothing_is_lost() {
        let mut ring = Ring::new(Setup::of(16, 128)).unwrap();
        for number in 0..100 {
            // SAFETY: a no-op names no memory.
            unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) };
        }
        ring.enter(Wait::Forever);
        let seen: Vec<_> = std::iter::from_fn(|| ring.completion())
            .map(|c| c.user_data)
            .collect();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
    }

    /// C28.
    #[test]
    fn a_restricted_ring_refuses_what_it_was_not_made_for() {
        let setup = Setup {
            operations: Some(&[opcode::Nop::CODE]),
            ..Setup::of(16, 128)
        };
        let mut ring = Ring::new(setup).unwrap();
        assert!(ring.is_restricted());
        let path = c"/";
        let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).build();
        // SAFETY: the path is static and a no-op names no memory.
        unsafe {
            ring.push(&open.user_data(1));
            ring.push(&opcode::Nop::new().build().user_data(2));
        }
        ring.enter(Wait::Forever);
        let results: Vec<_> = std::iter::from_fn(|| ring.completion())
            .map(|it| (it.user_data, it.result))
            .collect();
        assert_eq!(results, [(1, -libc::EACCES), (2, 0)]);
    }

    #[test]
    fn every_optional_way_to_enter_brings_completions() {
        let plain = Setup::of(16, 128);
        let submitter = Setup {
            submitter: true,
            ..plain
        };
        for setup in [plain, submitter] {
            let mut ring = Ring::new(setup).unwrap();
            ring.register_with_thread();
            ring.batch_waits(50);
            ring.poll_device();
            for number in 0..100 {
                // SAFETY: a no-op names no memory.
                unsafe { ring.push(&opcode::Nop::new().build().user_data(number)) };
            }
            let mut seen = Vec::new();
            while seen.len() < 100 {
                ring.enter(Wait::AtMost(Duration::from_millis(10)));
                seen.extend(std::iter::from_fn(|| ring.completion()).map(|it| it.user_data));
            }
            assert_eq!(seen, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_wait_ends_with_its_timeout() {
        let mut ring = Ring::new(Setup::of(16, 128)).unwrap();
        ring.enter(Wait::AtMost(Duration::from_millis(1)));
        assert!(ring.completion().is_none());
    }
}
