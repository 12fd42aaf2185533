//! [`Io`]: the sockets of one shard over its driver.
//!
//! Completions come in through [`Io::complete`], tasks through the `poll_` methods. What must hold
//! is said in `socket`; every completion without `more` makes the operation count as ended, be it
//! a success or an error, and is followed by a new one where one is wanted.

mod file;

use std::io;
use std::task::{Context, Poll};

use slab::Slab;

use self::file::FileSlot;
use super::driver::Driver;
use super::op::{Completion, Op, Outcome, Target};
use super::socket::{ACCEPTED_MAX, Incoming, Listener, Outgoing, Socket, Wakers};
use super::wakee::Wakee;
use crate::mem::{Buf, Pool};
use crate::sys::ring::number;
use crate::sys::socket::{Descriptor, SockAddr};

/// The driver and what completions are for.
pub(crate) struct Io {
    pub(crate) driver: Driver,
    sockets: Slab<Socket>,
    listeners: Slab<Listener>,
    files: Slab<FileSlot>,
    wakers: Wakers,
}

/// Names a socket or listener of a shard. Valid until the stream or listener that holds it drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketKey(u32);

impl SocketKey {
    fn of(index: usize) -> SocketKey {
        SocketKey(u32::try_from(index).expect("fewer sockets than descriptors: a positive i32"))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

impl Io {
    pub(crate) fn new(driver: Driver) -> Io {
        Io {
            driver,
            sockets: Slab::new(),
            listeners: Slab::new(),
            files: Slab::new(),
            wakers: Wakers::default(),
        }
    }

    /// How many sockets and listeners are open or still being closed.
    pub(crate) fn socket_count(&self) -> usize {
        self.sockets.len() + self.listeners.len()
    }

    /// Takes a connected (or to be connected) socket in.
    pub(crate) fn open(&mut self, descriptor: impl Into<Descriptor>) -> SocketKey {
        SocketKey::of(self.sockets.insert(Socket::new(descriptor.into())))
    }

    /// Takes a listening socket in.
    pub(crate) fn open_listener(&mut self, descriptor: impl Into<Descriptor>) -> SocketKey {
        SocketKey::of(self.listeners.insert(Listener::new(descriptor.into())))
    }

    /// The descriptor of a socket.
    pub(crate) fn descriptor(&self, key: SocketKey) -> &Descriptor {
        &self.sockets[key.index()].descriptor
    }

    /// The descriptor of a listener.
    pub(crate) fn listener_descriptor(&self, key: SocketKey) -> &Descriptor {
        &self.listeners[key.index()].descriptor
    }

    // Receiving.

    /// Received bytes, oldest first; `None` once the peer has sent FIN.
    #[inline]
    pub(crate) fn poll_receive(
        &mut self,
        key: SocketKey,
        context: &Context<'_>,
    ) -> Poll<io::Result<Option<Buf>>> {
        let socket = &mut self.sockets[key.index()];
        if let Some(buf) = socket.take_received() {
            return Poll::Ready(Ok(Some(buf)));
        }
        match socket.incoming {
            Incoming::Open => {}
            Incoming::Ended => return Poll::Ready(Ok(None)),
            Incoming::Failed(fault) => return Poll::Ready(Err(fault.into())),
        }
        self.wakers.remember(&mut socket.reader, context.waker());
        self.arm_receive(key);
        Poll::Pending
    }

    /// Whoever waits to receive, to be woken.
    pub(crate) fn take_receiver(&mut self, key: SocketKey) -> Option<Wakee> {
        self.sockets[key.index()].reader.take()
    }

    fn arm_receive(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.index()];
        if socket.wants_receive() {
            socket.paused = false;
            let receive = Op::Receive {
                socket: socket.number(),
            };
            socket.receiving = Some(self.driver.push(Target::Receiver(key.0), receive));
        }
    }

    /// A receive has brought something, or has ended. Whoever reads is woken, polls, and thereby
    /// arms the next one: also after a success without `F_MORE`, and for want of a buffer.
    fn received(&mut self, key: SocketKey, more: bool, outcome: io::Result<Outcome>) {
        let socket = &mut self.sockets[key.index()];
        if !more {
            socket.receiving = None;
        }
        match outcome {
            Ok(Outcome::Received(buf)) if buf.is_empty() => socket.incoming = Incoming::Ended,
            Ok(Outcome::Received(buf)) if socket.open => {
                socket.received.push(buf);
            }
            Ok(_) => {}
            // No buffer was free for the moment, or we asked for it: nothing has happened.
            Err(error) if ends_only_the_operation(&error) => {}
            Err(error) => socket.incoming = Incoming::Failed(error.into()),
        }
        self.wakers.wake(&mut socket.reader);
        self.pause_when_full(key);
        self.release_when_done(key);
    }

    /// Stops receiving when the reader is far behind: the peer then feels TCP's back-pressure.
    fn pause_when_full(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.index()];
        if socket.is_full()
            && !socket.paused
            && let Some(receive) = socket.receiving
        {
            socket.paused = true;
            self.driver.cancel(receive);
        }
    }

    // Sending.

    /// Queues bytes to send; they leave with the next enter, behind those queued before.
    #[inline]
    pub(crate) fn queue(&mut self, key: SocketKey, pool: &Pool, buf: Buf) {
        let socket = &mut self.sockets[key.index()];
        if !buf.is_empty() && socket.outgoing != Outgoing::Closed && !socket.shutdown_wanted {
            if socket.outgoing == Outgoing::Idle {
                // Nothing is before it, so it goes as it is.
                socket.sending_len = buf.len();
                let send = Op::Send {
                    socket: socket.number(),
                    data: buf,
                    more: false,
                    stalled: false,
                };
                let id = self.driver.push(Target::Sender(key.0), send);
                socket.outgoing = Outgoing::Sending(id);
            } else {
                socket.backlog().unsent.push(pool, buf);
                self.driver.await_sends();
            }
        }
    }

    /// Sends FIN behind what is queued; whatever is queued later is dropped.
    pub(crate) fn shutdown(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.index()];
        socket.shutdown_wanted = true;
        if let Outgoing::Sending(_) = socket.outgoing {
            self.driver.await_sends();
        }
        self.start_sending(key);
    }

    /// Whether FIN was sent, or will be behind what is queued.
    pub(crate) fn is_shut(&self, key: SocketKey) -> bool {
        self.sockets[key.index()].shutdown_wanted
    }

    /// How many bytes the kernel has not taken yet.
    pub(crate) fn unsent_len(&self, key: SocketKey) -> usize {
        self.sockets[key.index()].unsent_len()
    }

    /// How many bytes the kernel has taken so far.
    pub(crate) fn sent_total(&self, key: SocketKey) -> u64 {
        self.sockets[key.index()].sent_total
    }

    /// Ready when at most `len` bytes are unsent, or the sending direction is broken.
    pub(crate) fn poll_unsent(
        &mut self,
        key: SocketKey,
        len: usize,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &mut self.sockets[key.index()];
        let backlog = socket.backlog.as_ref();
        if let Some(fault) = backlog.and_then(|backlog| backlog.error) {
            return Poll::Ready(Err(fault.into()));
        }
        let connecting = matches!(socket.outgoing, Outgoing::Connecting(_));
        if !connecting && socket.unsent_len() <= len {
            return Poll::Ready(Ok(()));
        }
        let writer = &mut socket.backlog().writer;
        self.wakers.remember(writer, context.waker());
        self.driver.await_sends();
        Poll::Pending
    }

    /// Starts to connect. Ready when `poll_unsent` is.
    pub(crate) fn connect(&mut self, key: SocketKey, address: SockAddr) {
        let socket = &mut self.sockets[key.index()];
        let connect = Op::Connect {
            socket: socket.number(),
            address: Box::new(address),
        };
        socket.outgoing = Outgoing::Connecting(self.driver.push(Target::Sender(key.0), connect));
    }

    #[inline]
    fn start_sending(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.index()];
        if socket.outgoing != Outgoing::Idle {
            return;
        }
        let (number, target) = (socket.number(), Target::Sender(key.0));
        if let Some((data, more)) = socket.next_piece() {
            socket.sending_len = data.len();
            let send = Op::Send {
                socket: number,
                data,
                more,
                stalled: false,
            };
            socket.outgoing = Outgoing::Sending(self.driver.push(target, send));
            // There was a backlog: what is next, or who wrote it, waits for this piece.
            self.driver.await_sends();
        } else if socket.shutdown_wanted {
            self.driver.push(target, Op::Shutdown { socket: number });
            socket.outgoing = Outgoing::ShuttingDown;
        }
    }

    fn sent(&mut self, key: SocketKey, outcome: io::Result<Outcome>) {
        let socket = &mut self.sockets[key.index()];
        let before = std::mem::replace(&mut socket.outgoing, Outgoing::Idle);
        if let Ok(Outcome::Sent { len, .. }) = &outcome {
            socket.sent_total += *len as u64;
        }
        match outcome {
            Ok(Outcome::Sent { mut data, len }) if len < data.len() => {
                data.advance(len);
                socket.sending_len = data.len();
                if socket.open {
                    let more = socket.has_unsent();
                    let send = Op::Send {
                        socket: socket.number(),
                        data,
                        more,
                        stalled: true,
                    };
                    let id = self.driver.push(Target::Sender(key.0), send);
                    socket.outgoing = Outgoing::Sending(id);
                }
            }
            Ok(_) if before == Outgoing::ShuttingDown => socket.outgoing = Outgoing::Closed,
            Ok(_) => socket.sending_len = 0,
            Err(error) => socket.fail_sending(error),
        }
        if let Some(backlog) = &mut socket.backlog {
            self.wakers.wake(&mut backlog.writer);
            if let Outgoing::Connecting(_) = before {
                socket.drop_backlog();
            }
        }
        if socket.open {
            self.start_sending(key);
        }
        self.release_when_done(key);
    }

    // Accepting.

    /// The next accepted connection.
    ///
    /// After an error nothing is accepted until this is called again: the caller decides how long
    /// to wait (out of descriptors, an immediate retry fails immediately).
    pub(crate) fn poll_accept(
        &mut self,
        key: SocketKey,
        context: &Context<'_>,
    ) -> Poll<io::Result<Descriptor>> {
        let listener = &mut self.listeners[key.index()];
        if let Some(descriptor) = listener.accepted.pop_front() {
            return Poll::Ready(Ok(descriptor));
        }
        if let Some(error) = listener.error.take() {
            return Poll::Ready(Err(error));
        }
        self.wakers
            .remember(&mut listener.acceptor, context.waker());
        self.arm_accept(key);
        Poll::Pending
    }

    /// What was accepted before a pause took effect, then `None`.
    pub(crate) fn poll_rest(
        &mut self,
        key: SocketKey,
        context: &Context<'_>,
    ) -> Poll<Option<Descriptor>> {
        let listener = &mut self.listeners[key.index()];
        if let Some(descriptor) = listener.accepted.pop_front() {
            return Poll::Ready(Some(descriptor));
        }
        if listener.accepting.is_none() {
            return Poll::Ready(None);
        }
        self.wakers
            .remember(&mut listener.acceptor, context.waker());
        Poll::Pending
    }

    /// Stops accepting until the next `poll_accept` that finds nothing waiting.
    pub(crate) fn pause_accept(&mut self, key: SocketKey) {
        let listener = &mut self.listeners[key.index()];
        if !listener.paused
            && let Some(accept) = listener.accepting
        {
            listener.paused = true;
            self.driver.cancel(accept);
        }
    }

    fn arm_accept(&mut self, key: SocketKey) {
        let listener = &mut self.listeners[key.index()];
        if listener.wants_accept() {
            listener.paused = false;
            let accept = Op::Accept {
                listener: listener.number(),
            };
            listener.accepting = Some(self.driver.push(Target::Listener(key.0), accept));
        }
    }

    /// An accept has brought something, or has ended. Whoever accepts is woken, polls, and thereby
    /// arms the next one.
    fn accepted(&mut self, key: SocketKey, more: bool, outcome: io::Result<Outcome>) {
        let listener = &mut self.listeners[key.index()];
        if !more {
            listener.accepting = None;
        }
        match outcome {
            // When the listener is closing, dropping the descriptor closes the connection.
            Ok(Outcome::Accepted(descriptor)) if listener.open => {
                listener.accepted.push_back(descriptor);
            }
            Ok(_) => {}
            Err(error) if ends_only_the_operation(&error) => {}
            Err(error) => listener.error = Some(error),
        }
        self.wakers.wake(&mut listener.acceptor);
        if listener.accepted.len() >= ACCEPTED_MAX {
            self.pause_accept(key);
        }
        self.release_listener_when_done(key);
    }

    // Closing.

    /// The stream is gone: cancels what is in flight; the last completion closes the descriptor.
    pub(crate) fn close(&mut self, key: SocketKey) {
        let socket = &mut self.sockets[key.index()];
        socket.open = false;
        socket.received.clear();
        self.wakers.forget(socket.reader.take());
        let backlog = socket.backlog.take();
        self.wakers.forget(backlog.and_then(|it| it.writer));
        let sending = match socket.outgoing {
            Outgoing::Connecting(id) | Outgoing::Sending(id) => Some(id),
            Outgoing::Idle | Outgoing::ShuttingDown | Outgoing::Closed => None,
        };
        for id in [socket.receiving, sending].into_iter().flatten() {
            self.driver.cancel(id);
        }
        if sending.is_some() {
            self.driver.await_sends();
        }
        self.release_when_done(key);
    }

    fn release_when_done(&mut self, key: SocketKey) {
        let socket = &self.sockets[key.index()];
        if !socket.open && !socket.is_busy() {
            let socket = self.sockets.remove(key.index()).descriptor.into_number();
            self.driver.push(Target::Nobody, Op::Close { socket });
        }
    }

    /// The listener is gone: stops accepting; connections not yet taken are closed.
    pub(crate) fn close_listener(&mut self, key: SocketKey) {
        let listener = &mut self.listeners[key.index()];
        listener.open = false;
        listener.accepted.clear();
        self.wakers.forget(listener.acceptor.take());
        if let Some(accept) = listener.accepting {
            self.driver.cancel(accept);
        }
        self.release_listener_when_done(key);
    }

    fn release_listener_when_done(&mut self, key: SocketKey) {
        let listener = &self.listeners[key.index()];
        if !listener.open && listener.accepting.is_none() {
            let socket = self.listeners.remove(key.index()).descriptor.into_number();
            self.driver.push(Target::Nobody, Op::Close { socket });
        }
    }

    /// Hands a completion to the socket or listener that it is for.
    #[inline]
    pub(crate) fn complete(&mut self, completion: Completion) {
        let Completion {
            target,
            more,
            outcome,
        } = completion;
        match target {
            Target::Receiver(index) => self.received(SocketKey(index), more, outcome),
            Target::Sender(index) => self.sent(SocketKey(index), outcome),
            Target::Listener(index) => self.accepted(SocketKey(index), more, outcome),
            Target::File(index) => self.file_done(index, outcome),
            Target::Nobody => {}
        }
    }

    /// Hands out what the driver has completed by itself, so that no turn begins only for that.
    #[inline]
    pub(crate) fn settle(&mut self, batch: &mut Vec<Completion>) {
        self.driver.reap_done(|completion| batch.push(completion));
        self.complete_all(batch);
    }

    /// Reaps the driver and hands out everything that has completed.
    #[inline]
    pub(crate) fn reap(
        &mut self,
        bell: &super::doorbell::Doorbell,
        pool: &Pool,
        batch: &mut Vec<Completion>,
    ) {
        self.driver
            .reap(bell, pool, |completion| batch.push(completion));
        self.complete_all(batch);
    }

    #[inline]
    fn complete_all(&mut self, batch: &mut Vec<Completion>) {
        // Also to drain nothing takes its time.
        if !batch.is_empty() {
            for completion in batch.drain(..) {
                self.complete(completion);
            }
        }
    }

    /// Swaps the wakers that have come together for an empty set; whoever calls this releases them
    /// outside of every borrow. Tells whether there are any.
    #[inline]
    pub(crate) fn take_wakers(&mut self, into: &mut Wakers) -> bool {
        if self.wakers.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.wakers, into);
        true
    }
}

/// Whether an error says nothing about the socket: a provided buffer was missing, or the operation
/// was cancelled.
fn ends_only_the_operation(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(number::ENOBUFS | number::ECANCELED)
    )
}

#[cfg(test)]
mod tests;
