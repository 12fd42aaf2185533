//! A shard inside monoio, on its own ring or on its readiness driver (epoll or kqueue).
//!
//! What must hold: the shard turns in a task that is spawned, since monoio polls its main future in
//! a loop for as long as that wakes itself and meanwhile does no I/O; an accept is cancelled and
//! awaited, never dropped, since a dropped one may have accepted.

use std::future::{poll_fn, ready};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ::monoio::io::{
    AsyncReadRent, AsyncWriteRent, Canceller, OwnedReadHalf, OwnedWriteHalf, Splitable,
};
use ::monoio::net::{TcpListener, TcpStream};
use ::monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use super::line::{Line, Sending, both, keep_time, relay};
use super::{Parts, RECEIVE_MAX, Work};
use crate::runtime::op::{OpId, Outcome};
use crate::sys::host;

/// monoio on its ring.
pub(super) fn with_ring() -> io::Result<Parts> {
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(host::cooperative_ring());
    let mut runtime = builder.enable_timer().build()?;
    Ok(Parts {
        name: "monoio",
        about: "monoio on its ring, cooperative task run, doorbell by eventfd",
        spawn: |work, line| spawn(work, line, Mode::Blocking),
        run: Box::new(move |shard| runtime.block_on(async { ::monoio::spawn(shard).await })),
    })
}

/// monoio on `epoll(7)` or `kqueue(2)`.
pub(super) fn with_readiness() -> io::Result<Parts> {
    let builder = RuntimeBuilder::<LegacyDriver>::new();
    let mut runtime = builder.enable_timer().build()?;
    Ok(Parts {
        name: "monoio-legacy",
        about: "monoio on readiness, doorbell by eventfd",
        spawn: |work, line| spawn(work, line, Mode::NonBlocking),
        run: Box::new(move |shard| runtime.block_on(async { ::monoio::spawn(shard).await })),
    })
}

/// The mode of sockets that monoio's driver asks for: a ring would give `EAGAIN` back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Blocking,
    NonBlocking,
}

fn spawn(work: Work, line: Rc<Line>, mode: Mode) -> io::Result<()> {
    match work {
        Work::Stream(socket, connect) => {
            let stream = stream_of(socket, mode)?;
            ::monoio::spawn(async move { line.serve(serve(stream, connect, &line)).await });
        }
        Work::Listener(socket) => {
            let listener = std::net::TcpListener::from(socket);
            if mode == Mode::NonBlocking {
                listener.set_nonblocking(true)?;
            }
            let listener = TcpListener::from_std(listener)?;
            ::monoio::spawn(async move { accept(&listener, &line).await });
        }
        Work::Bell(event) => {
            let event = TcpStream::from_std(event.into())?;
            ::monoio::spawn(async move { line.serve(listen(&event, &line)).await });
        }
        Work::Clock => {
            let sleep = ::monoio::time::sleep;
            ::monoio::spawn(async move { line.serve(keep_time(&line.shared, sleep)).await });
        }
        Work::Relay => {
            ::monoio::spawn(async move { relay(&line.shared, || ready(())).await });
        }
    }
    Ok(())
}

fn stream_of(socket: OwnedFd, mode: Mode) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(socket);
    if mode == Mode::NonBlocking {
        stream.set_nonblocking(true)?;
    }
    TcpStream::from_std(stream)
}

/// Both directions of a stream socket.
async fn serve(stream: TcpStream, connect: Option<OpId>, line: &Line) {
    if let Some(id) = connect {
        let connected = stream.writable(false).await;
        let connected = connected.and_then(|()| host::connected(&stream));
        line.complete(id, connected.map(|()| Outcome::Done));
    }
    let mut halves = Halves::of(stream);
    let (reader, writer) = halves.borrow();
    both(receive(reader, line), send(writer, line)).await;
}

/// The halves of a stream, put together again when dropped: monoio sends FIN when it drops a
/// writing half by itself.
struct Halves {
    halves: Option<(OwnedReadHalf<TcpStream>, OwnedWriteHalf<TcpStream>)>,
}

impl Halves {
    fn of(stream: TcpStream) -> Halves {
        let halves = Some(stream.into_split());
        Halves { halves }
    }

    fn borrow(
        &mut self,
    ) -> (
        &mut OwnedReadHalf<TcpStream>,
        &mut OwnedWriteHalf<TcpStream>,
    ) {
        let (reader, writer) = self.halves.as_mut().expect("taken when dropped");
        (reader, writer)
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        if let Some((reader, writer)) = self.halves.take() {
            drop(reader.reunite(writer));
        }
    }
}

async fn receive(reader: &mut OwnedReadHalf<TcpStream>, line: &Line) {
    let mut memory = Vec::with_capacity(RECEIVE_MAX);
    let mut more = true;
    while more {
        line.wanted().await;
        let (len, filled) = reader.read(memory).await;
        more = line.deliver(len.map(|len| Outcome::Received(line.shared.copy(&filled[..len]))));
        memory = filled;
    }
}

async fn send(writer: &mut OwnedWriteHalf<TcpStream>, line: &Line) {
    loop {
        let next = poll_fn(|_| line.take_sending().map_or(Poll::Pending, Poll::Ready));
        let (id, sending) = next.await;
        let outcome = match sending {
            Sending::Data(data) => {
                let (len, data) = writer.write(data).await;
                len.map(|len| Outcome::Sent { data, len })
            }
            Sending::Fin => writer.shutdown().await.map(|()| Outcome::Done),
        };
        line.complete(id, outcome);
    }
}

/// Accepts until the line is closed.
async fn accept(listener: &TcpListener, line: &Line) {
    let _running = line.begin();
    while line.unless_closed(line.wanted()).await.is_some() {
        let canceller = Canceller::new();
        let mut accepting = pin!(listener.cancelable_accept(canceller.handle()));
        let mut canceller = Some(canceller);
        let accepted = poll_fn(|context| {
            if line.poll_ending(context).is_ready()
                && let Some(canceller) = canceller.take()
            {
                canceller.cancel();
            }
            accepting.as_mut().poll(context)
        });
        let accepted = accepted.await.map(|(stream, _)| host::take(stream));
        let was_cancelled = canceller.is_none() && accepted.is_err();
        if !was_cancelled {
            line.deliver(accepted.map(|socket| Outcome::Accepted(socket.into())));
        }
        line.end_accept();
    }
}

/// Wakes the shard whenever its doorbell is rung.
async fn listen(event: &TcpStream, line: &Line) {
    while event.readable(false).await.is_ok() {
        host::reset_event(event.as_raw_fd());
        line.shared.wake();
    }
}
