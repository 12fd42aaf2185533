//! [`EventFd`]: the counter that a thread without a ring writes to wake one that sleeps in its own.
#![expect(unsafe_code, reason = "eventfd(2) has no safe binding in std")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::sim;
use super::socket::Descriptor;

/// An `eventfd(2)`.
#[derive(Debug)]
pub(crate) struct EventFd {
    fd: Descriptor,
}

impl EventFd {
    /// Makes a counter that stands at 0.
    pub(crate) fn new() -> io::Result<EventFd> {
        if let Some(simulated) = sim::event() {
            let fd = Descriptor::Simulated(simulated?);
            return Ok(EventFd { fd });
        }
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(EventFd { fd: fd.into() })
    }

    /// Adds one. The counter cannot overflow: adding ones up to 2^64 takes centuries, read or not.
    pub(crate) fn notify(&self) {
        match &self.fd {
            Descriptor::Kernel(_) => notify(u64::from(self.fd.number().unsigned_abs())),
            Descriptor::Simulated(event) => event.notify(),
        }
    }

    /// The descriptor, for the ring to read from.
    pub(crate) fn raw(&self) -> RawFd {
        self.fd.number()
    }
}

/// Adds one to the eventfd whose number stands in the lower half of `number`.
pub(crate) fn notify(number: u64) {
    let fd = RawFd::try_from(number & u64::from(u32::MAX)).expect("it was a descriptor's number");
    let one = 1_u64;
    // SAFETY: writes eight bytes from a live local.
    let written = unsafe { libc::write(fd, (&raw const one).cast(), 8) };
    assert_eq!(written, 8, "eventfd: {}", io::Error::last_os_error());
}
