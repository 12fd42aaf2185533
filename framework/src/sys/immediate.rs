//! Calls on sockets that never wait: they do what can be done now, or fail with `WouldBlock`.
//!
//! Bytes are moved with `MSG_DONTWAIT`, so a socket may be in either mode and need not be changed
//! (a ring wants it blocking). Only accepting and connecting know no such flag.
#![expect(unsafe_code, reason = "these calls by number have no safe binding")]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::socket::SockAddr;

/// Makes accepts and connects on a socket return at once.
pub(crate) fn set_nonblocking(socket: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    let flags = unsafe { libc::fcntl(socket, libc::F_GETFL) };
    result(i64::from(flags))?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: takes no pointers.
        let done = unsafe { libc::fcntl(socket, libc::F_SETFL, flags | libc::O_NONBLOCK) };
        result(i64::from(done))?;
    }
    Ok(())
}

/// Whether a descriptor has something to read, or to accept, at this moment (`poll(2)`).
pub(crate) fn is_readable(descriptor: RawFd) -> bool {
    let mut asked = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: reads and writes one live local.
    let count = unsafe { libc::poll(&raw mut asked, 1, 0) };
    count == 1 && asked.revents & libc::POLLIN != 0
}

/// Receives what is there; 0 bytes at the peer's end.
#[inline]
pub(crate) fn receive(socket: RawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most as many bytes as the slice has.
    let len = unsafe {
        libc::recv(
            socket,
            into.as_mut_ptr().cast(),
            into.len(),
            libc::MSG_DONTWAIT,
        )
    };
    result(len as i64)
}

/// Sends what there is room for, perhaps less than all; `more` says that other data follows.
#[inline]
pub(crate) fn send(socket: RawFd, data: &[u8], more: bool) -> io::Result<usize> {
    let more = if more { libc::MSG_MORE } else { 0 };
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | more;
    // SAFETY: the kernel reads the bytes of a live slice.
    let len = unsafe { libc::send(socket, data.as_ptr().cast(), data.len(), flags) };
    result(len as i64)
}

/// Accepts one connection of a listener that [`set_nonblocking`] was called on.
pub(crate) fn accept(listener: RawFd) -> io::Result<OwnedFd> {
    let null = std::ptr::null_mut();
    // SAFETY: with null the kernel writes no address.
    let fd = unsafe { libc::accept4(listener, null, std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
    result(i64::from(fd))?;
    // SAFETY: just opened, so it belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Begins to connect a socket that [`set_nonblocking`] was called on. Tells whether it is done
/// already; otherwise the socket becomes writable when it is, and [`take_error`] tells how it went.
pub(crate) fn connect(socket: RawFd, address: &SockAddr) -> io::Result<bool> {
    // SAFETY: reads as many bytes as the address says that it has.
    let done = unsafe { libc::connect(socket, address.as_ptr().cast(), address.len()) };
    match result(i64::from(done)) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the error that waits on a socket.
pub(crate) fn take_error(socket: RawFd) -> io::Result<()> {
    let mut code = 0_i32;
    let mut len = libc::socklen_t::try_from(size_of::<i32>()).expect("it is 4");
    let (level, name, start) = (libc::SOL_SOCKET, libc::SO_ERROR, &raw mut code);
    // SAFETY: the kernel writes an integer to a live local of that size.
    let done = unsafe { libc::getsockopt(socket, level, name, start.cast(), &raw mut len) };
    result(i64::from(done))?;
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Sends FIN behind what was sent.
pub(crate) fn shutdown(socket: RawFd) -> io::Result<()> {
    // SAFETY: takes no pointers.
    result(i64::from(unsafe { libc::shutdown(socket, libc::SHUT_WR) }))?;
    Ok(())
}

/// Closes a descriptor that the caller has given up (`into_raw_fd`) and nobody else names.
///
/// An error is not reported: whatever it is, the descriptor is gone (`close(2)`).
pub(crate) fn close(socket: RawFd) {
    // SAFETY: takes no pointers; that nobody else names the descriptor is the caller's promise, and
    // breaking it would close a foreign file, not touch foreign memory.
    let _ = unsafe { libc::close(socket) };
}

/// The failure of an operation that was asked to end.
pub(crate) fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

/// Whether an accept has failed for the one connection only, which ended before it was accepted
/// (`accept(2)`, "Error handling").
pub(crate) fn ended_before_accept(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
        )
    )
}

#[inline]
fn result(returned: i64) -> io::Result<usize> {
    usize::try_from(returned).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_blocking_socket_with_nothing_to_read_does_not_wait() {
        let (one, _other) = UnixStream::pair().unwrap();
        let error = receive(one.as_raw_fd(), &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_send_takes_what_there_is_room_for() {
        let (one, other) = UnixStream::pair().unwrap();
        let data = vec![1; 1 << 24];
        let sent = send(one.as_raw_fd(), &data, false).unwrap();
        assert!(sent > 0 && sent < data.len());
        let error = send(one.as_raw_fd(), &data, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        close(other.into_raw_fd());
        let error = send(one.as_raw_fd(), &data, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_listener_without_connections_does_not_wait() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        set_nonblocking(listener.as_raw_fd()).unwrap();
        let error = accept(listener.as_raw_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(!ended_before_accept(&error));
    }

    #[test]
    fn a_listener_is_readable_while_a_connection_waits() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_readable(listener.as_raw_fd()));
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(is_readable(listener.as_raw_fd()));
        listener.accept().unwrap();
        assert!(!is_readable(listener.as_raw_fd()));
    }
}
