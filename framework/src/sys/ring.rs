//! [`Ring`]: a submission and a completion queue shared with the kernel (`io_uring(7)`).
//!
//! What must hold: the ring is made and used on one thread (`SINGLE_ISSUER`), enabled there, and
//! every enter passes `GETEVENTS`, without which `DEFER_TASKRUN` delivers nothing.
#![expect(unsafe_code, reason = "the ring's memory is shared with the kernel")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::{EnterFlags, IoUring, cqueue};

pub(crate) use io_uring::{opcode, squeue::Entry, squeue::Flags, types};

/// The kernel's numbers that submissions and completions carry.
pub(crate) mod number {
    pub(crate) use libc::{ECANCELED, ENOBUFS, MSG_MORE, MSG_NOSIGNAL, SHUT_WR, SOCK_CLOEXEC};
}

/// How many times larger the completion queue is than the submission queue. Multishot operations
/// complete many times for one submission; a completion queue that overflows ends them.
const COMPLETIONS_PER_SUBMISSION: u32 = 8;
/// The smallest ring worth having; below it the memory limit is reported instead.
const ENTRIES_MIN: u32 = 16;

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
    ring: IoUring,
    entries: u32,
}

impl Ring {
    /// Makes a ring with `entries` submissions, or fewer when the memory limit allows fewer: the
    /// size is halved for as long as the kernel answers `ENOMEM`.
    pub(crate) fn new(entries: u32) -> io::Result<Ring> {
        let mut entries = entries.next_power_of_two().max(ENTRIES_MIN);
        loop {
            match Ring::build(entries) {
                Ok(ring) => return Ok(Ring { ring, entries }),
                Err(error)
                    if error.kind() == io::ErrorKind::OutOfMemory && entries > ENTRIES_MIN =>
                {
                    entries /= 2;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn build(entries: u32) -> io::Result<IoUring> {
        let mut builder = IoUring::builder();
        builder
            .setup_cqsize(entries * COMPLETIONS_PER_SUBMISSION)
            .setup_submit_all();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_r_disabled()
            .dontfork();
        // Since 6.6: without the indirection array a submission touches one cache line less.
        let ring = match builder.clone().setup_no_sqarray().build(entries) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => builder.build(entries)?,
            other => other?,
        };
        ring.submitter().register_enable_rings()?;
        Ok(ring)
    }

    /// How many submissions fit.
    pub(crate) fn entries(&self) -> u32 {
        self.entries
    }

    /// How many completions fit.
    pub(crate) fn completions_max(&self) -> u32 {
        self.ring.params().cq_entries()
    }

    /// Whether the kernel keeps completions that do not fit (`IORING_FEAT_NODROP`), takes a
    /// timeout (`IORING_FEAT_EXT_ARG`) and reads submissions before an enter returns
    /// (`IORING_FEAT_SUBMIT_STABLE`).
    pub(crate) fn has_needed_features(&self) -> bool {
        let params = self.ring.params();
        params.is_feature_nodrop()
            && params.is_feature_ext_arg()
            && params.is_feature_submit_stable()
    }

    /// The descriptor of the ring, which other rings send messages to.
    pub(crate) fn raw(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Queues one submission; when the queue is full it is handed to the kernel first.
    ///
    /// # Safety
    /// Whatever memory the entry names must stay valid until the operation's last completion.
    #[inline]
    pub(crate) unsafe fn push(&mut self, entry: &Entry) {
        // SAFETY: the caller keeps the entry's memory alive.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.enter(Wait::No);
        }
    }

    /// Hands all submissions to the kernel and waits as told: one system call.
    #[inline]
    pub(crate) fn enter(&mut self, wait: Wait) {
        let submissions = u32::try_from(self.ring.submission().len()).expect("fits: a u32 ring");
        let result = match wait {
            Wait::No => self.enter_with(submissions, 0, &types::SubmitArgs::new()),
            Wait::Forever => self.enter_with(submissions, 1, &types::SubmitArgs::new()),
            Wait::AtMost(timeout) => {
                let timeout = types::Timespec::from(timeout);
                self.enter_with(submissions, 1, &types::SubmitArgs::new().timespec(&timeout))
            }
        };
        if let Err(error) = result {
            Ring::survive(&error);
        }
    }

    fn enter_with(
        &self,
        submissions: u32,
        completions: u32,
        arguments: &types::SubmitArgs<'_, '_>,
    ) -> io::Result<usize> {
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        // SAFETY: the argument is the structure that EXT_ARG announces, alive during the call.
        unsafe {
            self.ring
                .submitter()
                .enter(submissions, completions, flags, Some(arguments))
        }
    }

    /// Sorts the errors of an enter: those that only mean "reap and come again", and the rest.
    fn survive(error: &io::Error) {
        match error.raw_os_error() {
            // EINTR: a signal. ETIME: the timeout. EBUSY: completions overflowed, reap first.
            // EAGAIN: no memory for a request just now; the submission stays queued.
            Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => {}
            // EBADR: a completion was lost for want of memory. The state of some operation is
            // unknown from here on, so nothing that this shard says can be trusted.
            _ => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// Takes the oldest completion out of the queue.
    #[inline]
    pub(crate) fn completion(&mut self) -> Option<RawCompletion> {
        let entry = self.ring.completion().next()?;
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
            self.ring
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
        let mut ring = Ring::new(16).unwrap();
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
        let mut ring = Ring::new(16).unwrap();
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

    #[test]
    fn a_wait_ends_with_its_timeout() {
        let mut ring = Ring::new(16).unwrap();
        ring.enter(Wait::AtMost(Duration::from_millis(1)));
        assert!(ring.completion().is_none());
    }
}
