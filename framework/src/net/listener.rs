//! [`TcpListener`]: accepts connections on the current shard.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::TcpStream;
use crate::runtime::{self, Shard, SocketKey};
use crate::sys::socket::{self, Descriptor};

/// A listening socket of one shard. The kernel spreads new connections over all sockets that
/// listen on one address (`SO_REUSEPORT`), one for each shard.
pub struct TcpListener {
    shard: Rc<Shard>,
    key: SocketKey,
}

impl TcpListener {
    /// Listens on `address` together with whoever else does so by this function: the other shards,
    /// but also any other process of the same user; [`refuse_if_taken`](super::refuse_if_taken),
    /// called once before the shards start, tells of that. Port 0 lets the kernel choose one, for
    /// this listener alone.
    ///
    /// # Errors
    /// As `bind(2)`: in use by another kind of socket, no permission, no such address.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        Ok(TcpListener::adopt(socket::listen(address, None)?))
    }

    /// Takes over a listening socket, which must be in blocking mode.
    pub(crate) fn adopt(descriptor: Descriptor) -> TcpListener {
        runtime::with_current(|shard| {
            let key = shard.io.borrow_mut().open_listener(descriptor);
            TcpListener {
                shard: shard.share(),
                key,
            }
        })
    }

    /// The next connection. It has `TCP_NODELAY`.
    ///
    /// # Errors
    /// For instance out of descriptors. Accepting then stops until the next call: wait before it,
    /// since an immediate one would fail immediately.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: a connection accepted meanwhile waits for the next call.
    pub async fn accept(&mut self) -> io::Result<TcpStream> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    /// As [`accept`](TcpListener::accept), by hand.
    ///
    /// # Errors
    /// As [`accept`](TcpListener::accept).
    pub fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        self.poll_descriptor(context).map_ok(TcpStream::open)
    }

    /// As [`poll_accept`](TcpListener::poll_accept), for a connection that may go to another shard.
    pub(crate) fn poll_descriptor(
        &mut self,
        context: &Context<'_>,
    ) -> Poll<io::Result<Descriptor>> {
        self.shard.io.borrow_mut().poll_accept(self.key, context)
    }

    /// After [`pause`](TcpListener::pause): what was accepted before it took effect, then `None`.
    pub(crate) fn poll_rest(&mut self, context: &Context<'_>) -> Poll<Option<Descriptor>> {
        self.shard.io.borrow_mut().poll_rest(self.key, context)
    }

    /// Ends the listening for everybody who shares this socket, and frees its place in the kernel's
    /// choice among the shards' at once. What waits in its queue is reset.
    pub(crate) fn stop(&self) {
        let io = self.shard.io.borrow();
        io.listener_descriptor(self.key).stop_listening();
    }

    /// Accepts nothing more until [`accept`](TcpListener::accept) is called again: connections wait
    /// in the kernel's queue. A few that were accepted meanwhile wait here.
    pub fn pause(&mut self) {
        self.shard.io.borrow_mut().pause_accept(self.key);
    }

    /// The address that it listens on; with the real port if 0 was asked for.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shard
            .io
            .borrow()
            .listener_descriptor(self.key)
            .local_address()
    }
}

/// Fails with `AddrInUse` when any socket listens on `address` already.
///
/// Listeners of several shards share their port (`SO_REUSEPORT`), and so would those of two
/// programs of one user, in silence. `sunstar::Server` asks this by itself.
///
/// # Errors
/// As `bind(2)`: in use, no permission, no such address.
pub fn refuse_if_taken(address: SocketAddr) -> io::Result<()> {
    socket::refuse_if_taken(address)
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.shard.io.borrow_mut().close_listener(self.key);
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TcpListener")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
