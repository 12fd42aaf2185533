//! [`TcpStream`]: a connection of the current shard.
//!
//! Receiving is always under way once it was asked for, into buffers that belong to no connection;
//! so an idle stream holds none. Sending never waits: bytes are queued and leave with the end of
//! the turn, many small pieces in one send.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::mem::Buf;
use crate::runtime::{self, Shard, SocketKey, Wakee};
use crate::sys::socket::{self, Descriptor};

/// A TCP connection. It belongs to the shard that accepted or opened it.
///
/// Dropping it closes the connection; what is queued and not yet sent is discarded (await
/// [`flush`](TcpStream::flush) first), and unread input makes the kernel answer with RST.
pub struct TcpStream {
    shard: Rc<Shard>,
    key: SocketKey,
}

impl TcpStream {
    /// Connects to `address`, with `TCP_NODELAY`.
    ///
    /// # Errors
    /// As `connect(2)`: refused, unreachable, timed out.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt.
    ///
    /// # Panics
    /// Outside of every shard.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_from(socket::stream_for(address)?, address).await
    }

    async fn connect_from(descriptor: Descriptor, address: SocketAddr) -> io::Result<TcpStream> {
        let mut stream = TcpStream::open(descriptor);
        stream
            .shard
            .io
            .borrow_mut()
            .connect(stream.key, address.into());
        stream.flush().await?;
        Ok(stream)
    }

    /// Takes over a connected stream socket (TCP or Unix), which must be in blocking mode.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn adopt(descriptor: OwnedFd) -> TcpStream {
        TcpStream::open(descriptor.into())
    }

    pub(crate) fn open(descriptor: Descriptor) -> TcpStream {
        runtime::with_current(|shard| {
            let key = shard.io.borrow_mut().open(descriptor);
            TcpStream {
                shard: shard.share(),
                key,
            }
        })
    }

    /// The next bytes from the peer, as they came (at most 4 KiB at a time on `io_uring`, 16 KiB on
    /// epoll); `None` once the peer has sent FIN.
    ///
    /// While more than 64 KiB wait here the peer is held back by TCP's flow control.
    ///
    /// # Errors
    /// When the connection broke, for instance `ConnectionReset`.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the bytes stay with the stream.
    pub async fn recv(&mut self) -> io::Result<Option<Buf>> {
        poll_fn(|context| self.poll_recv(context)).await
    }

    /// As [`recv`](TcpStream::recv), by hand.
    #[inline]
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Buf>>> {
        self.shard.io.borrow_mut().poll_receive(self.key, context)
    }

    /// Wakes whoever waits to receive, who then finds that nothing has come: for those who wait for
    /// something else at the same time, and keep no waker of their own for it.
    pub fn wake_receiver(&self) {
        let receiver = self.shard.io.borrow_mut().take_receiver(self.key);
        // With nothing borrowed: it may run code of the user's.
        receiver.into_iter().for_each(Wakee::wake);
    }

    /// Queues bytes to send. They leave with the end of this turn, behind those queued before.
    ///
    /// It never waits, so the caller bounds the queue: see [`unsent_len`](TcpStream::unsent_len)
    /// and [`poll_unsent`](TcpStream::poll_unsent). A piece up to 2 KiB is copied behind its
    /// neighbours; a longer one costs no copy. On a connection that broke it does nothing; the
    /// next `flush` or `recv` tells.
    #[inline]
    pub fn queue(&mut self, data: impl Into<Buf>) {
        self.shard
            .io
            .borrow_mut()
            .queue(self.key, &self.shard.pool, data.into());
    }

    /// Queues a copy of bytes, as [`queue`](TcpStream::queue) does.
    pub(super) fn queue_copy(&mut self, bytes: &[u8]) {
        let copy = self.shard.pool.copy(bytes);
        self.queue(copy);
    }

    /// How many queued bytes the kernel has not taken yet.
    pub fn unsent_len(&self) -> usize {
        self.shard.io.borrow().unsent_len(self.key)
    }

    /// How many bytes the kernel has taken so far: as long as it grows, the peer reads.
    pub fn sent_total(&self) -> u64 {
        self.shard.io.borrow().sent_total(self.key)
    }

    /// Waits until the kernel has taken everything that was queued.
    ///
    /// # Errors
    /// When the connection broke first.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_unsent(0, context)).await
    }

    /// Ready once at most `len` queued bytes are unsent.
    ///
    /// # Errors
    /// When the connection broke first.
    #[inline]
    pub fn poll_unsent(&mut self, len: usize, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shard
            .io
            .borrow_mut()
            .poll_unsent(self.key, len, context)
    }

    /// Sends FIN behind what is queued. Whatever is queued later is dropped.
    pub fn shutdown(&mut self) {
        self.shard.io.borrow_mut().shutdown(self.key);
    }

    /// Whether [`shutdown`](TcpStream::shutdown) was called.
    pub(super) fn is_shut(&self) -> bool {
        self.shard.io.borrow().is_shut(self.key)
    }

    /// Bounds how long the peer may take nothing of what is with the kernel for it, after which the
    /// connection is reset (`TCP_USER_TIMEOUT`, tcp(7)); at least a millisecond, at most some 24
    /// days. `None` leaves it to the system, which waits for as long as the peer answers at all.
    ///
    /// A connection that a [server](crate::Server) accepts has its `write_timeout`, until it is
    /// another protocol's; others have none.
    ///
    /// # Errors
    /// As `setsockopt(2)`, for instance on a Unix socket.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let io = self.shard.io.borrow();
        io.descriptor(self.key).set_write_timeout(timeout)
    }

    /// The address of this end.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shard.io.borrow().descriptor(self.key).local_address()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// As `getpeername(2)`, for instance when the peer has gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shard.io.borrow().descriptor(self.key).peer_address()
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.shard.io.borrow_mut().close(self.key);
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TcpStream")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
