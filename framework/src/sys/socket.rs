//! [`Descriptor`], and sockets as shards need them: listeners that several shards share a port
//! with, quiet sends.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

pub(crate) use socket2::SockAddr;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{immediate, sim};

/// How many connections the kernel keeps for a listener until they are accepted. The kernel lowers
/// it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How much of what the peer has no room for the kernel may hold: without a bound it takes up to
/// `tcp_wmem`'s, 4 MiB, of each peer that does not read.
const UNSENT_IN_KERNEL_MAX: u32 = 128 * 1024;
/// The longest time that the kernel takes for `TCP_USER_TIMEOUT`, some 24 days.
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);

/// An open socket: whoever owns it closes it. Operations name it by its number.
#[derive(Debug)]
pub(crate) enum Descriptor {
    /// One of this process's descriptors.
    Kernel(OwnedFd),
    /// One of a simulated process's.
    Simulated(sim::Socket),
}

impl Descriptor {
    /// Its number, for operations.
    #[inline]
    pub(crate) fn number(&self) -> RawFd {
        match self {
            Descriptor::Kernel(fd) => fd.as_raw_fd(),
            Descriptor::Simulated(socket) => socket.number(),
        }
    }

    /// Its number, which the caller closes.
    pub(crate) fn into_number(self) -> RawFd {
        match self {
            Descriptor::Kernel(fd) => fd.into_raw_fd(),
            Descriptor::Simulated(socket) => socket.into_number(),
        }
    }

    /// Ends the listening, whoever else holds the socket open.
    pub(crate) fn stop_listening(&self) {
        match self {
            // An error means that it has ended already.
            Descriptor::Kernel(fd) => drop(SockRef::from(fd).shutdown(Shutdown::Both)),
            Descriptor::Simulated(socket) => socket.stop_listening(),
        }
    }

    /// The address that it is bound to.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        match self {
            Descriptor::Kernel(fd) => address(SockRef::from(fd).local_addr()),
            Descriptor::Simulated(socket) => socket.local_address(),
        }
    }

    /// The address of the peer.
    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        match self {
            Descriptor::Kernel(fd) => address(SockRef::from(fd).peer_addr()),
            Descriptor::Simulated(socket) => socket.peer_address(),
        }
    }

    /// Another descriptor of the same socket.
    pub(crate) fn try_clone(&self) -> io::Result<Descriptor> {
        match self {
            Descriptor::Kernel(fd) => fd.try_clone().map(Descriptor::Kernel),
            Descriptor::Simulated(socket) => socket.try_clone().map(Descriptor::Simulated),
        }
    }

    /// Bounds how long the peer may take nothing of what is with the kernel for it
    /// (`TCP_USER_TIMEOUT`, tcp(7)); then the connection is reset. `None` leaves it to the system.
    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Descriptor::Kernel(fd) => bound_writes(&SockRef::from(fd), timeout),
            Descriptor::Simulated(_) => Ok(()),
        }
    }

    /// Whether a connection waits to be accepted on this listener, at this moment.
    pub(crate) fn has_waiting(&self) -> bool {
        match self {
            Descriptor::Kernel(fd) => immediate::is_readable(fd.as_raw_fd()),
            Descriptor::Simulated(socket) => socket.has_waiting(),
        }
    }

    /// Sends a few bytes at once.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Descriptor::Kernel(fd) => SockRef::from(fd).send_with_flags(bytes, libc::MSG_NOSIGNAL),
            Descriptor::Simulated(socket) => socket.write(bytes),
        }
    }
}

impl From<OwnedFd> for Descriptor {
    fn from(fd: OwnedFd) -> Descriptor {
        Descriptor::Kernel(fd)
    }
}

/// Opens a listening socket that shares its port with those of the other shards (`SO_REUSEPORT`).
///
/// Accepted sockets inherit `TCP_NODELAY` and `TCP_NOTSENT_LOWAT` from it, which saves system calls
/// for each of them.
/// The write timeout, if there is one, is inherited too, when a connection is established, which
/// may be long before anybody accepts it; and it holds behind the close as well.
/// An IPv6 listener takes IPv6 only, so that `0.0.0.0` and `[::]` may stand side by side.
pub(crate) fn listen(
    address: SocketAddr,
    write_timeout: Option<Duration>,
) -> io::Result<Descriptor> {
    if let Some(simulated) = sim::listen(address) {
        return simulated.map(Descriptor::Simulated);
    }
    let socket = bind(address, true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_IN_KERNEL_MAX)?;
    if write_timeout.is_some() {
        bound_writes(&socket, write_timeout)?;
    }
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(socket).into())
}

fn bound_writes(socket: &Socket, timeout: Option<Duration>) -> io::Result<()> {
    // 0 is the system's own choice, and the kernel's number has a sign.
    let timeout = timeout.map(|it| it.clamp(Duration::from_millis(1), USER_TIMEOUT_MAX));
    socket.set_tcp_user_timeout(timeout)
}

/// Fails with `AddrInUse` when anybody listens on `address` already.
///
/// Needed because `SO_REUSEPORT` would let two servers of one user share a port in silence.
pub(crate) fn refuse_if_taken(address: SocketAddr) -> io::Result<()> {
    sim::refuse_if_taken(address).unwrap_or_else(|| bind(address, false)?.listen(1))
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Opens a socket to connect to `address` with, without `Nagle`'s delay.
pub(crate) fn stream_for(address: SocketAddr) -> io::Result<Descriptor> {
    if let Some(simulated) = sim::stream() {
        return simulated.map(Descriptor::Simulated);
    }
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_tcp_nodelay(true)?;
    Ok(OwnedFd::from(socket).into())
}

/// A Unix listener at an address of the kernel's choice, with one connection to it that waits to be
/// accepted.
pub(crate) fn unix_connection() -> io::Result<(OwnedFd, OwnedFd)> {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // An empty path stands for a free abstract one (unix(7), "Autobind feature").
    listener.bind(&SockAddr::unix("")?)?;
    listener.listen(1)?;
    let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    client.connect(&listener.local_addr()?)?;
    Ok((listener.into(), client.into()))
}

/// Two sockets that are connected with each other.
pub(crate) fn pair() -> io::Result<(Descriptor, Descriptor)> {
    if let Some(simulated) = sim::pair() {
        let (one, other) = simulated?;
        return Ok((Descriptor::Simulated(one), Descriptor::Simulated(other)));
    }
    let (one, other) = UnixStream::pair()?;
    Ok((OwnedFd::from(one).into(), OwnedFd::from(other).into()))
}

fn address(from: io::Result<SockAddr>) -> io::Result<SocketAddr> {
    from?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn listeners_share_a_port_but_a_taken_one_is_refused() {
        let first = listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let address = first.local_address().unwrap();
        listen(address, None).unwrap();
        assert_eq!(
            refuse_if_taken(address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(first);
    }

    #[test]
    fn the_same_port_serves_both_address_families() {
        let four = listen((Ipv4Addr::UNSPECIFIED, 0).into(), None).unwrap();
        let port = four.local_address().unwrap().port();
        listen((Ipv6Addr::UNSPECIFIED, port).into(), None).unwrap();
    }

    #[test]
    fn any_write_timeout_is_one() {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
        let Descriptor::Kernel(fd) = &listener else {
            unreachable!("no simulation is installed")
        };
        for (asked, set) in [
            (Some(Duration::ZERO), Some(Duration::from_millis(1))),
            (Some(Duration::from_secs(30)), Some(Duration::from_secs(30))),
            (Some(Duration::MAX), Some(USER_TIMEOUT_MAX)),
            (None, None),
        ] {
            listener.set_write_timeout(asked).unwrap();
            assert_eq!(SockRef::from(fd).tcp_user_timeout().unwrap(), set);
        }
    }

    #[test]
    fn an_accepted_socket_inherits_what_its_listener_was_told() {
        let timeout = Duration::from_secs(7);
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), Some(timeout)).unwrap();
        let address = listener.local_address().unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        match listener {
            Descriptor::Kernel(listener) => {
                let (accepted, _) = Socket::from(listener).accept().unwrap();
                assert!(accepted.tcp_nodelay().unwrap());
                assert_eq!(accepted.tcp_notsent_lowat().unwrap(), UNSENT_IN_KERNEL_MAX);
                assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(timeout));
            }
            Descriptor::Simulated(_) => unreachable!("no simulation is installed"),
        }
    }
}
