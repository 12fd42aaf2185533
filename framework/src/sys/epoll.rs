//! [`Epoll`]: an interest list of the kernel and what it has reported (`epoll(7)`).
//!
//! What must hold: everything is watched edge-triggered, so a report comes once for each change and
//! whoever takes it remembers it; a descriptor leaves the list by being closed, or, where a copy of
//! it stays open, by [`Epoll::remove`].
#![expect(unsafe_code, reason = "epoll(7) has no safe binding in std")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::ring::Wait;

/// What is watched on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// That there is something to read or to accept, or that the peer has ended.
    Reading,
    /// That as well, and that there is room to write.
    ReadingAndWriting,
}

impl Interest {
    fn bits(self) -> u32 {
        let reading = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;
        let bits = match self {
            Interest::Reading => reading,
            Interest::ReadingAndWriting => reading | libc::EPOLLOUT,
        };
        bits.cast_unsigned()
    }
}

/// What the kernel has reported for one descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// What the descriptor was registered with.
    pub(crate) token: u64,
    bits: u32,
}

impl Report {
    /// Whether a read would bring bytes, an end or an error.
    #[inline]
    pub(crate) fn is_readable(self) -> bool {
        self.has(libc::EPOLLIN) || self.is_last()
    }

    /// Whether a write would take bytes or bring an error.
    #[inline]
    pub(crate) fn is_writable(self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLERR | libc::EPOLLHUP)
    }

    /// Whether a read that brings less than it could need not be the last one: there is an end or
    /// an error behind it, or urgent data, at which a read stops. No further report need come.
    #[inline]
    pub(crate) fn is_last(self) -> bool {
        self.has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI)
    }

    fn has(self, bits: i32) -> bool {
        self.bits & bits.cast_unsigned() != 0
    }
}

/// The timeout of `epoll_pwait2(2)`: 64 bits each, whatever libc's own type is.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// An `epoll(7)` instance with room for what it reports at once.
pub(crate) struct Epoll {
    list: OwnedFd,
    reports: Box<[libc::epoll_event]>,
    reported: usize,
    /// Whether waits are exact to the nanosecond (`epoll_pwait2(2)`, Linux 5.11).
    precise: bool,
}

impl Epoll {
    /// Makes an empty interest list, of which at most `reports_max` are reported at once.
    pub(crate) fn new(reports_max: usize) -> io::Result<Epoll> {
        // SAFETY: takes no pointers.
        let list = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if list < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, so it belongs to nobody else.
        let list = unsafe { OwnedFd::from_raw_fd(list) };
        let nothing = libc::epoll_event { events: 0, u64: 0 };
        let mut made = Epoll {
            list,
            reports: vec![nothing; reports_max].into(),
            reported: 0,
            precise: true,
        };
        // Neither an old kernel nor an old seccomp profile knows the newer call.
        made.precise = made.wait_precisely(Duration::ZERO).is_ok();
        Ok(made)
    }

    /// Whether waits are exact to the nanosecond; otherwise they last up to a millisecond longer.
    pub(crate) fn is_precise(&self) -> bool {
        self.precise
    }

    /// Watches a descriptor. If it is ready already, that is reported.
    ///
    /// Closing a descriptor does not end the watch while another one is open of the same file
    /// (epoll(7), question 6), such as a copy of a listener: then a new copy under the old number
    /// is watched already, for somebody who is gone, and the watch is taken over.
    pub(crate) fn add(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        match self.control(libc::EPOLL_CTL_ADD, fd, token, interest) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                self.modify(fd, token, interest)
            }
            added => added,
        }
    }

    /// Watches for something else from now on. If it is ready already, that is reported.
    pub(crate) fn modify(&self, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Ends the watch of a descriptor that others may have copies of.
    pub(crate) fn remove(&self, fd: RawFd) {
        // An error means that there is none.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Reading);
    }

    fn control(&self, verb: i32, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token,
        };
        // SAFETY: reads a live local.
        let done = unsafe { libc::epoll_ctl(self.list.as_raw_fd(), verb, fd, &raw mut event) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Waits as told until something is reported: one system call. A signal ends it early.
    ///
    /// # Panics
    /// If the kernel refuses what it has granted before.
    pub(crate) fn wait(&mut self, wait: Wait) {
        let waited = match wait {
            Wait::No => self.wait_milliseconds(0),
            Wait::Forever => self.wait_milliseconds(-1),
            Wait::AtMost(timeout) if self.precise => self.wait_precisely(timeout),
            Wait::AtMost(timeout) => {
                // Rounded up: a timer that fires early would be asked for again at once.
                let timeout = timeout.as_nanos().div_ceil(1_000_000);
                self.wait_milliseconds(i32::try_from(timeout).unwrap_or(i32::MAX))
            }
        };
        self.reported = match waited {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => panic!("epoll_wait failed: {error}"),
        };
    }

    fn wait_milliseconds(&mut self, timeout: i32) -> io::Result<usize> {
        let (start, max) = (self.reports.as_mut_ptr(), self.reports_max());
        // SAFETY: the kernel writes at most `max` reports to memory that holds as many.
        let count = unsafe { libc::epoll_wait(self.list.as_raw_fd(), start, max, timeout) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn wait_precisely(&mut self, timeout: Duration) -> io::Result<usize> {
        let timeout = Timespec {
            seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i64::from(timeout.subsec_nanos()),
        };
        let (start, max) = (self.reports.as_mut_ptr(), self.reports_max());
        let no_signals = std::ptr::null::<libc::sigset_t>();
        // SAFETY: as above, and reads a live local of the layout that the call takes.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.list.as_raw_fd(),
                start,
                max,
                &raw const timeout,
                no_signals,
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn reports_max(&self) -> i32 {
        i32::try_from(self.reports.len()).expect("a small constant")
    }

    /// How many reports the last wait has brought.
    pub(crate) fn reported(&self) -> usize {
        self.reported
    }

    /// One of the reports that the last wait has brought.
    #[inline]
    pub(crate) fn report(&self, index: usize) -> Report {
        let report = self.reports[index];
        Report {
            token: report.u64,
            bits: report.events,
        }
    }

    /// Forgets what the last wait has brought.
    pub(crate) fn forget_reports(&mut self) {
        self.reported = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::event::EventFd;

    #[test]
    fn every_change_is_reported_once() {
        let (mut epoll, event) = (Epoll::new(8).unwrap(), EventFd::new().unwrap());
        epoll.add(event.raw(), 7, Interest::Reading).unwrap();
        epoll.wait(Wait::No);
        assert_eq!(epoll.reported(), 0);
        for _ in 0..3 {
            // Nobody reads the counter: each addition is a change of its own.
            event.notify();
            epoll.wait(Wait::Forever);
            assert_eq!(epoll.reported(), 1);
            assert!(epoll.report(0).token == 7 && epoll.report(0).is_readable());
            epoll.wait(Wait::No);
            assert_eq!(epoll.reported(), 0);
        }
    }

    #[test]
    fn a_wait_ends_with_its_timeout_with_and_without_the_precise_call() {
        let mut epoll = Epoll::new(8).unwrap();
        for precise in [epoll.is_precise(), false] {
            epoll.precise = precise;
            epoll.wait(Wait::AtMost(Duration::from_micros(300)));
            assert_eq!(epoll.reported(), 0);
        }
    }
}
