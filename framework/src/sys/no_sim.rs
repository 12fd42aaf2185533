//! The simulated kernel in builds without the feature `sim`: none, and asking costs nothing.
//!
//! What must hold: it answers every question that `sim` answers for a thread without a simulation.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

/// A simulated descriptor: there are none.
#[derive(Debug)]
pub(crate) enum Socket {}

impl Socket {
    pub(crate) fn number(&self) -> RawFd {
        match *self {}
    }

    pub(crate) fn into_number(self) -> RawFd {
        match self {}
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        match *self {}
    }

    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        match *self {}
    }

    pub(crate) fn try_clone(&self) -> io::Result<Socket> {
        match *self {}
    }

    pub(crate) fn has_waiting(&self) -> bool {
        match *self {}
    }

    pub(crate) fn write(&self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn stop_listening(&self) {
        match *self {}
    }

    pub(crate) fn notify(&self) {
        match *self {}
    }

    pub(crate) fn write_on_signals(&self) {
        match *self {}
    }
}

/// What a call that blocks takes in a simulation.
#[inline]
pub(crate) fn blocking_delay() -> Option<Duration> {
    None
}

/// The simulated moment.
#[inline]
pub(crate) fn now() -> Option<Instant> {
    None
}

/// The simulated time of day.
#[inline]
pub(crate) fn wall() -> Option<SystemTime> {
    None
}

/// How many descriptors the simulated process may open.
pub(crate) fn open_files_max() -> Option<u64> {
    None
}

/// A simulated listener.
pub(crate) fn listen(_: SocketAddr) -> Option<io::Result<Socket>> {
    None
}

/// Whether a simulated listener stands in the way.
pub(crate) fn refuse_if_taken(_: SocketAddr) -> Option<io::Result<()>> {
    None
}

/// A simulated socket to connect with.
pub(crate) fn stream() -> Option<io::Result<Socket>> {
    None
}

/// Two simulated sockets that are connected with each other.
pub(crate) fn pair() -> Option<io::Result<(Socket, Socket)>> {
    None
}

/// A simulated counter that wakes whoever waits for it.
pub(crate) fn event() -> Option<io::Result<Socket>> {
    None
}
