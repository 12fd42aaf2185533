//! [`Adapter`]: a connection by the traits that other libraries read and write through.
//!
//! What must hold: what was received and not yet read stays with the adapter; whoever writes is
//! held back once much is unsent, as by a socket; a flush is over when the kernel has everything.

use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::TcpStream;
use crate::mem::Buf;

/// With more than this unsent, a write waits.
const UNSENT_MAX: usize = 64 * 1024;
/// How much a write takes at most; it may say that it has taken less than it was given.
const WRITE_LEN_MAX: usize = 64 * 1024;

/// A [`TcpStream`] that reads and writes by the traits of `futures-io` (`AsyncRead`,
/// `AsyncBufRead`, `AsyncWrite`) and by tokio's of the same names. Of tokio it takes the traits
/// only: there is no runtime of tokio's, and none is needed.
///
/// So clients run on a shard that take any stream which need not be `Send`, as this is not: such as
/// `tokio_postgres`'s `connect_raw`, and hyper's connections in `hyper-util`'s `TokioIo`. They must
/// not call `tokio::spawn` or tokio's timers either, which panic here: spawn what they hand out
/// with [`runtime::spawn`](crate::runtime::spawn).
///
/// A write takes at most 64 KiB, and waits while more than that is unsent. Shutting down (closing,
/// in the words of `futures-io`) waits until all is sent and then sends FIN; what is written later
/// fails with `BrokenPipe`. Dropping it discards what is unsent, as dropping a [`TcpStream`] does:
/// flush first, which waits until the kernel has all.
///
/// # Examples
/// ```no_run
/// use std::io;
///
/// use futures_util::io::{AsyncReadExt, AsyncWriteExt};
/// use sunstar::net::{Adapter, TcpStream};
///
/// async fn ask(address: std::net::SocketAddr) -> io::Result<Vec<u8>> {
///     let mut stream = Adapter::new(TcpStream::connect(address).await?);
///     stream.write_all(b"PING\r\n").await?;
///     let mut answer = Vec::new();
///     stream.read_to_end(&mut answer).await?;
///     Ok(answer)
/// }
/// ```
pub struct Adapter {
    stream: TcpStream,
    /// What was received and not yet read. While there is nothing it holds no memory either.
    received: Buf,
}

impl Adapter {
    /// Wraps a connection.
    pub fn new(stream: TcpStream) -> Adapter {
        Adapter {
            stream,
            received: Buf::new(),
        }
    }

    /// The connection, and what was received on it and not yet read.
    pub fn into_parts(self) -> (TcpStream, Buf) {
        (self.stream, self.received)
    }

    /// The connection, to ask it for its addresses.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ready when bytes are there, or the peer has sent FIN: then there are none.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.received.is_empty() {
            let received = ready!(self.stream.poll_recv(context))?;
            self.received = received.unwrap_or_default();
        }
        Poll::Ready(Ok(&self.received))
    }

    /// Reads into the beginning of `room` by `copy`, which gets as much as fits.
    fn poll_read_by(
        &mut self,
        context: &mut Context<'_>,
        room: usize,
        copy: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_fill(context))?;
        let len = bytes.len().min(room);
        copy(&bytes[..len]);
        self.take(len);
        Poll::Ready(Ok(len))
    }

    /// Leaves out the first bytes of those that are there.
    fn take(&mut self, len: usize) {
        self.received.advance(len);
        if self.received.is_empty() {
            // An empty part keeps its block as well as a full one.
            self.received = Buf::new();
        }
    }

    fn poll_queue(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.stream.is_shut() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.stream.poll_unsent(UNSENT_MAX, context))?;
        let taken = &bytes[..bytes.len().min(WRITE_LEN_MAX)];
        self.stream.queue_copy(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_unsent(0, context)
    }

    fn poll_fin(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.is_shut() {
            ready!(self.poll_sent(context))?;
            self.stream.shutdown();
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Adapter")
            .field("stream", &self.stream)
            .field("unread", &self.received.len())
            .finish()
    }
}

impl futures_io::AsyncRead for Adapter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_by(context, room.len(), |bytes| {
            room[..bytes.len()].copy_from_slice(bytes);
        })
    }
}

impl futures_io::AsyncBufRead for Adapter {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_fill(context)
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.take(len);
    }
}

impl futures_io::AsyncWrite for Adapter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_queue(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_fin(context)
    }
}

impl tokio::io::AsyncRead for Adapter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = room.remaining();
        self.poll_read_by(context, len, |bytes| room.put_slice(bytes))
            .map_ok(drop)
    }
}

impl tokio::io::AsyncBufRead for Adapter {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_fill(context)
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.take(len);
    }
}

impl tokio::io::AsyncWrite for Adapter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_queue(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_fin(context)
    }
}
