//! The scope through which the simulated kernel is found, and [`Socket`], a simulated descriptor.
//!
//! What must hold: scopes do not nest; a simulated descriptor is used on the thread of its
//! simulation, and closes itself there.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

use super::kernel::{FileId, Kernel, Kind};

thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// The simulation of this thread; taken down when dropped.
#[derive(Debug)]
pub(crate) struct Installed(());

impl Drop for Installed {
    fn drop(&mut self) {
        let kernel = KERNEL.with(|kernel| kernel.borrow_mut().take());
        drop(kernel);
    }
}

/// Makes `kernel` that of this thread.
///
/// # Panics
/// If this thread has one already.
pub(crate) fn install(kernel: Kernel) -> Installed {
    KERNEL.with(|place| {
        let before = place.borrow_mut().replace(kernel);
        assert!(before.is_none(), "a simulation inside a simulation");
    });
    Installed(())
}

/// Whether this thread is in a simulation.
pub(crate) fn is_installed() -> bool {
    try_with(|_| ()).is_some()
}

/// Calls `f` with the simulated kernel.
///
/// # Panics
/// Outside of a simulation.
pub(crate) fn with<R>(f: impl FnOnce(&mut Kernel) -> R) -> R {
    try_with(f).expect("this belongs to a simulation: use it inside `Simulation::run`")
}

fn try_with<R>(f: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
    let called = KERNEL.try_with(|kernel| kernel.borrow_mut().as_mut().map(f));
    called.ok().flatten()
}

/// The simulated moment.
pub(crate) fn now() -> Option<Instant> {
    try_with(|kernel| kernel.instant())
}

/// The simulated time of day.
pub(crate) fn wall() -> Option<SystemTime> {
    try_with(|kernel| kernel.wall())
}

/// What a call that blocks takes in a simulation: up to 2 ms.
pub(crate) fn blocking_delay() -> Option<Duration> {
    try_with(|kernel| Duration::from_nanos(kernel.seed().below(2_000_000)))
}

/// How many descriptors the simulated process may open.
pub(crate) fn open_files_max() -> Option<u64> {
    try_with(|kernel| kernel.faults.descriptors_max as u64)
}

/// A descriptor of the simulated process.
#[derive(Debug)]
pub(crate) struct Socket {
    number: RawFd,
}

fn numbered(kernel: &mut Kernel, file: FileId) -> io::Result<Socket> {
    let number = kernel.assign(file);
    if number.is_none() {
        kernel.injure_untouched();
    }
    let number = number.ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
    Ok(Socket { number })
}

/// The descriptor that an accept has brought.
pub(crate) fn adopt(number: RawFd) -> Socket {
    Socket { number }
}

/// A listener, in the order of the shards that share its address.
pub(crate) fn listen(address: SocketAddr) -> Option<io::Result<Socket>> {
    try_with(|kernel| {
        let file = kernel.create_listener(address);
        numbered(kernel, file)
    })
}

/// Fails when anybody listens there.
pub(crate) fn refuse_if_taken(address: SocketAddr) -> Option<io::Result<()>> {
    try_with(|kernel| {
        if kernel.is_taken(address) {
            return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        Ok(())
    })
}

/// A socket to connect with.
pub(crate) fn stream() -> Option<io::Result<Socket>> {
    try_with(|kernel| {
        let file = kernel.create_stream();
        numbered(kernel, file)
    })
}

/// Two sockets that are connected.
pub(crate) fn pair() -> Option<io::Result<(Socket, Socket)>> {
    try_with(|kernel| {
        let (one, other) = kernel.create_pair();
        Ok((numbered(kernel, one)?, numbered(kernel, other)?))
    })
}

/// A counter that wakes a ring.
pub(crate) fn event() -> Option<io::Result<Socket>> {
    try_with(|kernel| {
        let file = kernel.create_event();
        numbered(kernel, file)
    })
}

impl Socket {
    pub(crate) fn number(&self) -> RawFd {
        self.number
    }

    /// Its number, which the caller closes.
    pub(crate) fn into_number(self) -> RawFd {
        let number = self.number;
        std::mem::forget(self);
        number
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        with(
            |kernel| match &kernel.files[kernel.file(self.number).0].kind {
                Kind::Stream(stream) => Ok(stream.local),
                Kind::Listener(listener) => Ok(listener.address),
                _ => Err(io::Error::from_raw_os_error(libc::ENOTSOCK)),
            },
        )
    }

    pub(crate) fn peer_address(&self) -> io::Result<SocketAddr> {
        with(|kernel| {
            let stream = kernel.stream(kernel.file(self.number));
            let connected = stream.filter(|stream| !stream.dead && stream.other.is_some());
            let remote = connected.and_then(|stream| stream.remote);
            remote.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOTCONN))
        })
    }

    /// Another descriptor of the same file.
    pub(crate) fn try_clone(&self) -> io::Result<Socket> {
        with(|kernel| {
            let file = kernel.file(self.number);
            numbered(kernel, file)
        })
    }

    /// Whether a connection waits to be accepted.
    pub(crate) fn has_waiting(&self) -> bool {
        with(|kernel| {
            let file = kernel.file(self.number);
            let listener = kernel.listener(file);
            listener.is_some_and(|listener| !listener.backlog.is_empty())
        })
    }

    /// Writes at once: for a few bytes to a pair's other end.
    #[expect(clippy::unnecessary_wraps, reason = "as a real socket has it")]
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        with(|kernel| {
            let file = kernel.file(self.number);
            kernel.write(file, bytes);
        });
        Ok(bytes.len())
    }

    /// Ends the listening, whoever else holds the socket open.
    pub(crate) fn stop_listening(&self) {
        with(|kernel| {
            let file = kernel.file(self.number);
            kernel.stop_listening(file);
        });
    }

    /// Adds one to a counter.
    pub(crate) fn notify(&self) {
        with(|kernel| kernel.notify(self.number));
    }

    /// A signal that asks for an end writes a byte here.
    pub(crate) fn write_on_signals(&self) {
        with(|kernel| {
            let file = kernel.file(self.number);
            kernel.on_signals.push(file);
        });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // After the end of a simulation there is nothing left to close.
        try_with(|kernel| kernel.close(self.number));
    }
}
