//! [`Socket`] and [`Listener`]: what a shard knows of each of its descriptors.
//!
//! What must hold: at most one send is in flight for a socket, since the kernel does not order
//! independent sends; a descriptor is closed only after the last completion that names it; what is
//! received and not yet taken stays below `RECEIVED_MAX` plus one batch.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::task::Waker;

use smallvec::SmallVec;

use super::op::OpId;
use super::task::drop_quietly;
use super::wakee::Wakee;
use crate::mem::{Buf, Chain};
use crate::sys::socket::Descriptor;

/// How many received bytes may wait for their reader before receiving stops.
pub(super) const RECEIVED_MAX: usize = 64 * 1024;
/// How many accepted connections may wait for `accept` before accepting stops.
pub(super) const ACCEPTED_MAX: usize = 1024;

/// What will come from the peer.
#[derive(Debug)]
pub(super) enum Incoming {
    /// More, perhaps.
    Open,
    /// Nothing more: the peer sent FIN.
    Ended,
    /// Nothing more: the connection broke.
    Failed(Fault),
}

/// An error that is told to everybody who asks, of eight bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Number(i32),
    Kind(io::ErrorKind),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        let number = error.raw_os_error();
        number.map_or_else(|| Fault::Kind(error.kind()), Fault::Number)
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> io::Error {
        match fault {
            Fault::Number(number) => io::Error::from_raw_os_error(number),
            Fault::Kind(kind) => kind.into(),
        }
    }
}

/// What the one operation in the sending direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// None is in flight.
    Idle,
    /// The connect.
    Connecting(OpId),
    /// A send.
    Sending(OpId),
    /// The shutdown, after which nothing more is sent.
    ShuttingDown,
    /// Nothing can be sent any more.
    Closed,
}

/// What waits behind a send that is in flight.
pub(super) struct Backlog {
    pub(super) unsent: Chain,
    /// Why nothing can be sent any more.
    pub(super) error: Option<Fault>,
    pub(super) writer: Option<Wakee>,
}

/// A stream socket. There are many and most are idle, so what an idle one does not need is boxed.
pub(super) struct Socket {
    pub(super) descriptor: Descriptor,
    /// Whether a stream still refers to it; otherwise it is being closed.
    pub(super) open: bool,
    pub(super) receiving: Option<OpId>,
    /// Receiving was asked to stop until the reader has caught up.
    pub(super) paused: bool,
    pub(super) received: SmallVec<[Buf; 1]>,
    pub(super) incoming: Incoming,
    pub(super) reader: Option<Wakee>,
    pub(super) outgoing: Outgoing,
    /// Made when something must wait, and kept.
    pub(super) backlog: Option<Box<Backlog>>,
    /// How many bytes are with the kernel.
    pub(super) sending_len: usize,
    /// How many bytes the kernel has taken since the socket was opened.
    pub(super) sent_total: u64,
    /// FIN is to follow what is unsent.
    pub(super) shutdown_wanted: bool,
}

impl Socket {
    pub(super) fn new(descriptor: Descriptor) -> Socket {
        Socket {
            descriptor,
            open: true,
            receiving: None,
            paused: false,
            received: SmallVec::new(),
            incoming: Incoming::Open,
            reader: None,
            outgoing: Outgoing::Idle,
            backlog: None,
            sending_len: 0,
            sent_total: 0,
            shutdown_wanted: false,
        }
    }

    /// What waits, made if nothing has had to wait before.
    pub(super) fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_with(|| {
            Box::new(Backlog {
                unsent: Chain::new(),
                error: None,
                writer: None,
            })
        })
    }

    /// The next piece to send, and whether more follows it.
    pub(super) fn next_piece(&mut self) -> Option<(Buf, bool)> {
        let unsent = &mut self.backlog.as_mut()?.unsent;
        let piece = unsent.pop()?;
        Some((piece, !unsent.is_empty()))
    }

    /// Whether something waits behind what is with the kernel.
    pub(super) fn has_unsent(&self) -> bool {
        self.backlog
            .as_ref()
            .is_some_and(|it| !it.unsent.is_empty())
    }

    pub(super) fn number(&self) -> RawFd {
        self.descriptor.number()
    }

    /// How many bytes the kernel has not taken yet.
    pub(super) fn unsent_len(&self) -> usize {
        self.backlog.as_ref().map_or(0, |it| it.unsent.len()) + self.sending_len
    }

    /// Whether the kernel may still name the descriptor in a completion.
    pub(super) fn is_busy(&self) -> bool {
        let sending = !matches!(self.outgoing, Outgoing::Idle | Outgoing::Closed);
        self.receiving.is_some() || sending
    }

    /// Whether a receive should be in flight and is not.
    pub(super) fn wants_receive(&self) -> bool {
        self.open
            && !self.is_full()
            && self.receiving.is_none()
            && matches!(self.incoming, Incoming::Open)
    }

    /// Whether what was received holds as much memory as it may: whole blocks, however little is in
    /// them. There are few at a time, so counting them costs less than a number in every socket.
    pub(super) fn is_full(&self) -> bool {
        let len: usize = self.received.iter().map(Buf::pinned_len).sum();
        len >= RECEIVED_MAX
    }

    /// Takes the oldest received bytes out.
    pub(super) fn take_received(&mut self) -> Option<Buf> {
        if self.received.is_empty() {
            return None;
        }
        Some(self.received.remove(0))
    }

    /// Nothing waits any more behind what was done once, such as the connect.
    pub(super) fn drop_backlog(&mut self) {
        self.backlog.take_if(|it| {
            let is_used = !it.unsent.is_empty() || it.error.is_some() || it.writer.is_some();
            !is_used
        });
    }

    /// Nothing more will be sent: what waits is dropped and whoever waits learns why.
    pub(super) fn fail_sending(&mut self, error: io::Error) {
        self.outgoing = Outgoing::Closed;
        self.sending_len = 0;
        let backlog = self.backlog();
        backlog.unsent = Chain::new();
        backlog.error = Some(error.into());
    }
}

/// A listening socket.
pub(super) struct Listener {
    pub(super) descriptor: Descriptor,
    pub(super) open: bool,
    pub(super) accepting: Option<OpId>,
    pub(super) paused: bool,
    pub(super) accepted: VecDeque<Descriptor>,
    pub(super) error: Option<io::Error>,
    pub(super) acceptor: Option<Wakee>,
}

impl Listener {
    pub(super) fn new(descriptor: Descriptor) -> Listener {
        Listener {
            descriptor,
            open: true,
            accepting: None,
            paused: false,
            accepted: VecDeque::new(),
            error: None,
            acceptor: None,
        }
    }

    pub(super) fn number(&self) -> RawFd {
        self.descriptor.number()
    }

    /// Whether an accept should be in flight and is not.
    pub(super) fn wants_accept(&self) -> bool {
        self.open && self.accepting.is_none() && self.accepted.len() < ACCEPTED_MAX
    }
}

/// Wakers on their way out: to be woken, or only to be dropped. Both may run code of the user's,
/// which may use sockets; so it happens when nothing of the shard is borrowed.
#[derive(Default)]
pub(crate) struct Wakers {
    pub(super) due: Vec<Wakee>,
    pub(super) gone: Vec<Waker>,
}

impl Wakers {
    /// Remembers the waker of whoever waits, without a clone when it is the same as before.
    #[inline]
    pub(super) fn remember(&mut self, place: &mut Option<Wakee>, waker: &Waker) {
        self.gone.extend(Wakee::note(place, waker));
    }

    /// Nobody waits any more.
    pub(super) fn forget(&mut self, wakee: Option<Wakee>) {
        self.gone.extend(wakee.and_then(Wakee::into_other));
    }

    /// Whoever waits is to be woken.
    #[inline]
    pub(super) fn wake(&mut self, place: &mut Option<Wakee>) {
        self.due.extend(place.take());
    }

    /// Whether there is nothing to do.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.gone.is_empty()
    }

    /// Wakes and drops, and what panics at that harms nobody else. Nothing of the shard may be
    /// borrowed but these.
    #[inline]
    pub(super) fn release(&mut self) {
        self.due.drain(..).for_each(Wakee::wake);
        if !self.gone.is_empty() {
            self.gone.drain(..).for_each(drop_quietly);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[test]
    fn a_socket_stays_small() {
        // A simulated descriptor is longer.
        let most = if cfg!(feature = "sim") { 128 } else { 120 };
        assert!(size_of::<Socket>() <= most);
    }

    /// Panics when it is woken, and when it is dropped.
    struct Panics(Arc<AtomicUsize>);

    impl Wake for Panics {
        fn wake(self: Arc<Panics>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("woken");
        }
    }

    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.fetch_add(10, Ordering::Relaxed);
            assert!(std::thread::panicking(), "dropped");
        }
    }

    #[test]
    fn wakers_that_panic_harm_nobody_but_themselves() {
        let count = Arc::new(AtomicUsize::new(0));
        let waker = || Waker::from(Arc::new(Panics(Arc::clone(&count))));
        let mut wakers = Wakers::default();
        for _ in 0..2 {
            wakers.wake(&mut Some(Wakee::Other(waker())));
            wakers.forget(Some(Wakee::Other(waker())));
        }
        wakers.release();
        assert!(wakers.is_empty());
        assert_eq!(count.load(Ordering::Relaxed), 2 + 4 * 10);
    }
}
