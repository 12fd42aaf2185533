//! What a runtime that hosts a shard is given of the kernel: descriptors that it may close.
//!
//! What must hold: a descriptor has one owner. A host closes what it was given, so it is given a
//! duplicate, and the shard's own number stays the shard's.
#![expect(unsafe_code, reason = "descriptors come and go as numbers here")]
#![cfg_attr(
    not(all(feature = "monoio", feature = "glommio")),
    expect(dead_code, reason = "each host needs a part of it")
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use socket2::SockRef;

use super::socket::SockAddr;

/// A second descriptor for what `number` names. `EBADF` when it names nothing.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: used for one call, which answers `EBADF` to a number that is not open.
    unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()
}

/// Closes a number that its owner has given up, as `Descriptor::into_number` does.
pub(crate) fn close(number: RawFd) {
    // SAFETY: the caller owns the number: nobody else closes it.
    drop(unsafe { OwnedFd::from_raw_fd(number) });
}

/// Makes a host's own type of a descriptor, which that type then owns.
pub(crate) fn give<T: FromRawFd>(descriptor: OwnedFd) -> T {
    // SAFETY: `OwnedFd` has just given its ownership up.
    unsafe { T::from_raw_fd(descriptor.into_raw_fd()) }
}

/// Takes a descriptor out of a host's own type.
pub(crate) fn take<T: IntoRawFd>(owner: T) -> OwnedFd {
    // SAFETY: `owner` has just given its ownership up.
    unsafe { OwnedFd::from_raw_fd(owner.into_raw_fd()) }
}

/// Begins to connect without waiting. The socket turns writable when it has connected or failed;
/// it is left in the mode, blocking or not, that it was in.
pub(crate) fn begin_to_connect(socket: &impl AsFd, address: &SockAddr) -> io::Result<()> {
    let socket = SockRef::from(socket);
    let was_blocking = !socket.nonblocking()?;
    socket.set_nonblocking(true)?;
    let begun = socket.connect(address);
    socket.set_nonblocking(!was_blocking)?;
    match begun {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        other => other,
    }
}

/// How a connect has ended that made the socket writable.
pub(crate) fn connected(socket: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: `socket` is a host's own type, which keeps its descriptor open while it is borrowed.
    let socket = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    match SockRef::from(&socket).take_error()? {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Sets an eventfd that is readable back to 0.
pub(crate) fn reset_event(number: RawFd) {
    let mut count = 0_u64;
    // SAFETY: writes eight bytes to a live local. What it returns tells nothing: whoever is woken
    // for nothing looks and waits again.
    unsafe { libc::read(number, (&raw mut count).cast(), 8) };
}

/// How monoio makes its ring: the kernel's task work runs when the thread enters the kernel anyhow.
/// With `DEFER_TASKRUN` monoio would starve its I/O while a task stays ready.
#[cfg(feature = "monoio")]
pub(crate) fn cooperative_ring() -> monoio_io_uring::Builder {
    let mut builder = monoio_io_uring::IoUring::builder();
    builder.setup_coop_taskrun().setup_single_issuer();
    builder
}
