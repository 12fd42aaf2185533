//! [`Peer`]: the other end of a simulated connection, moved by a script.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::sys::sim::{self, FileId};

/// One end of a simulated connection, outside of every shard. Dropping it closes the connection as
/// `close(2)` does: with a reset if something is unread.
#[derive(Debug)]
pub struct Peer {
    file: FileId,
    /// What has come and was not asked for yet.
    unread: Vec<u8>,
    reset: bool,
}

/// How long the simulation has run.
///
/// # Panics
/// Outside of a simulation.
pub fn now() -> Duration {
    sim::with(|kernel| kernel.elapsed())
}

/// Waits for a simulated time; for peers. Handlers use [`runtime::sleep`](crate::runtime::sleep).
///
/// # Panics
/// Outside of a simulation.
pub async fn sleep(timeout: Duration) {
    let until = now() + timeout;
    let mut set = false;
    poll_fn(|context| {
        sim::with(|kernel| {
            if kernel.elapsed() >= until {
                return Poll::Ready(());
            }
            // A peer's waker stays the same, so once is enough.
            if !std::mem::replace(&mut set, true) {
                kernel.wake_at(until, context.waker().clone());
            }
            Poll::Pending
        })
    })
    .await;
}

impl Peer {
    /// Connects to a listener of the simulated server.
    ///
    /// # Errors
    /// `ConnectionRefused` if nobody listens, `TimedOut` if the listener's queue stays full.
    pub async fn connect(address: SocketAddr) -> io::Result<Peer> {
        let file = sim::with(|kernel| {
            let file = kernel.create_peer();
            kernel.connect(file, address);
            file
        });
        let peer = Peer {
            file,
            unread: Vec::new(),
            reset: false,
        };
        let connected = poll_fn(|context| {
            let connected = sim::with(|kernel| kernel.peer_connected(file, context.waker()));
            connected.map_or(Poll::Pending, Poll::Ready)
        });
        connected.await.map_err(io::Error::from_raw_os_error)?;
        Ok(peer)
    }

    /// Sends all of it, as the server's window permits.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() {
            let file = self.file;
            let sent = poll_fn(|context| {
                let sent = sim::with(|kernel| kernel.peer_send(file, rest, context.waker()));
                sent.map_or(Poll::Pending, Poll::Ready)
            });
            rest = &rest[sent.await.map_err(io::Error::from_raw_os_error)?..];
        }
        Ok(())
    }

    /// The next bytes, as many as have come; none at all after FIN.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn recv(&mut self) -> io::Result<Vec<u8>> {
        if !self.unread.is_empty() {
            return Ok(std::mem::take(&mut self.unread));
        }
        let file = self.file;
        let received = poll_fn(|context| {
            let received = sim::with(|kernel| kernel.peer_receive(file, context.waker()));
            received.map_or(Poll::Pending, Poll::Ready)
        });
        received.await.map_err(io::Error::from_raw_os_error)
    }

    /// Everything up to and including `end`; what comes behind it stays for the next call. Without
    /// `end` before FIN, what came until then.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn recv_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let more = self.recv().await?;
            let ended = more.is_empty();
            all.extend(more);
            let found = all.windows(end.len()).position(|window| window == end);
            if let Some(start) = found {
                self.unread = all.split_off(start + end.len());
                return Ok(all);
            }
            if ended {
                return Ok(all);
            }
        }
    }

    /// That many bytes; fewer if FIN comes first.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn recv_exact(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < len {
            let more = self.recv().await?;
            if more.is_empty() {
                return Ok(all);
            }
            all.extend(more);
        }
        self.unread = all.split_off(len);
        Ok(all)
    }

    /// Sends FIN: nothing more will be sent.
    pub fn shutdown(&mut self) {
        sim::with(|kernel| kernel.shut(self.file));
    }

    /// Closes the connection with a reset.
    pub fn reset(mut self) {
        self.reset = true;
    }

    /// Whether the simulation has broken this connection, refused it, or closed its listener: then
    /// nothing can be expected of it.
    pub fn is_injured(&self) -> bool {
        sim::with(|kernel| kernel.is_injured(self.file))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if sim::is_installed() {
            let reset = self.reset || !self.unread.is_empty();
            sim::with(|kernel| kernel.peer_close(self.file, reset));
        }
    }
}

/// Waits for a future, but no longer than `timeout`: `None` then.
///
/// # Panics
/// Outside of a simulation.
pub async fn within<F: Future>(timeout: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timeout = pin!(sleep(timeout));
    poll_fn(|context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        timeout.as_mut().poll(context).map(|()| None)
    })
    .await
}
