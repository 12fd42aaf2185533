//! [`Stream`] and [`Listener`]: simulated connections.
//!
//! What must hold: bytes of one direction arrive in order, once, unless the connection breaks; an
//! end takes no more than its window holds; a connection whose end is closed with bytes unread is
//! reset, and so is one that sends to an end that is closed; a listener that is closed resets what
//! it has not accepted.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Waker;

use super::kernel::{Event, FileId, Kernel, Kind};

/// How often a connection knocks at a full listener, and how long it waits in between.
const KNOCKS_MAX: u32 = 6;
const KNOCK_AGAIN: u64 = 1_000_000_000;
/// Connections that break do so within this time.
const BREAK_WITHIN: u64 = 50_000_000;

/// What is on its way.
#[derive(Debug)]
pub(super) enum Segment {
    Data(Vec<u8>),
    Fin,
    Reset,
}

/// One end of a connection.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, in any combination"
)]
pub(super) struct Stream {
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    /// The other end, once connected.
    pub(super) other: Option<FileId>,
    pub(super) received: VecDeque<u8>,
    /// Bytes on their way to this end.
    flying: usize,
    /// When the last segment sent so far reaches this end.
    last_arrival: u64,
    /// FIN has arrived.
    pub(super) ended: bool,
    /// FIN was sent.
    pub(super) shut: bool,
    /// What the next operation is told, once.
    pub(super) error: Option<i32>,
    /// Broken: nothing goes in or out any more.
    pub(super) dead: bool,
    /// Its process has read of it.
    touched: bool,
    /// A fault was injected, or the connection was refused: its peer cannot expect anything.
    pub(super) injured: bool,
    /// Operations that wait for something to change.
    pub(super) waiting: Vec<(usize, u64)>,
    /// The scripted peer that waits for something to change.
    pub(super) waker: Option<Waker>,
}

impl Stream {
    pub(super) fn new(local: SocketAddr) -> Stream {
        Stream {
            local,
            remote: None,
            other: None,
            received: VecDeque::new(),
            flying: 0,
            last_arrival: 0,
            ended: false,
            shut: false,
            error: None,
            dead: false,
            touched: false,
            injured: false,
            waiting: Vec::new(),
            waker: None,
        }
    }

    fn break_off(&mut self, error: i32) {
        if !self.dead {
            self.dead = true;
            self.error = Some(error);
        }
    }
}

/// A listening socket.
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) backlog: VecDeque<FileId>,
    /// Nothing comes in any more, and accepts fail.
    pub(super) stopped: bool,
    pub(super) waiting: Vec<(usize, u64)>,
}

impl Kernel {
    // Listeners.

    /// Whether connections to `to` reach a listener at `at`.
    fn reaches(to: SocketAddr, at: SocketAddr) -> bool {
        to.port() == at.port() && (to.ip() == at.ip() || at.ip().is_unspecified())
    }

    fn listeners_at(&self, address: SocketAddr) -> Vec<FileId> {
        let listens = |(_, file): &(usize, &super::kernel::File)| match &file.kind {
            Kind::Listener(listener) => {
                !listener.stopped && Kernel::reaches(address, listener.address)
            }
            _ => false,
        };
        let found = self.files.iter().enumerate().filter(listens);
        found.map(|(index, _)| FileId(index)).collect()
    }

    pub(super) fn is_taken(&self, address: SocketAddr) -> bool {
        !self.listeners_at(address).is_empty()
    }

    pub(super) fn create_listener(&mut self, mut address: SocketAddr) -> FileId {
        if address.port() == 0 {
            address.set_port(self.next_port());
        }
        self.create(Kind::Listener(Listener {
            address,
            backlog: VecDeque::new(),
            stopped: false,
            waiting: Vec::new(),
        }))
    }

    fn next_port(&mut self) -> u16 {
        self.ports = self.ports % 20_000 + 1;
        40_000 + self.ports
    }

    /// As `shutdown(2)` of a listening socket.
    pub(super) fn stop_listening(&mut self, file: FileId) {
        if let Some(listener) = self.listener(file) {
            listener.stopped = true;
            let backlog = std::mem::take(&mut listener.backlog);
            let waiting = std::mem::take(&mut listener.waiting);
            self.turn_away(backlog);
            self.retry(waiting);
        }
    }

    pub(super) fn end_listener(&mut self, listener: Listener) {
        self.turn_away(listener.backlog);
    }

    fn turn_away(&mut self, backlog: VecDeque<FileId>) {
        for file in backlog {
            if let Some(stream) = self.stream(file) {
                // Nobody will ever read what has come in: the peer is to learn that.
                stream.received.push_back(0);
                stream.injured = true;
            }
            self.injure_other(file);
            self.release(file);
        }
    }

    // Connections.

    /// A socket that can be connected.
    pub(crate) fn create_stream(&mut self) -> FileId {
        let local = SocketAddr::from((Ipv4Addr::new(10, 9, 0, 1), self.next_port()));
        self.create(Kind::Stream(Stream::new(local)))
    }

    /// A socket of a peer: on another machine, so that it takes no descriptor of ours.
    pub(crate) fn create_peer(&mut self) -> FileId {
        let file = self.create_stream();
        self.files[file.0].holders += 1;
        file
    }

    /// Two ends that are connected.
    pub(super) fn create_pair(&mut self) -> (FileId, FileId) {
        let (one, other) = (self.create_stream(), self.create_stream());
        self.join(one, other);
        (one, other)
    }

    fn join(&mut self, one: FileId, other: FileId) {
        for (this, that) in [(one, other), (other, one)] {
            let remote = self.stream(that).map(|stream| stream.local);
            let stream = self.stream(this).expect("both ends are streams");
            (stream.other, stream.remote) = (Some(that), remote);
        }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, from: FileId, to: SocketAddr) {
        if let Some(stream) = self.stream(from) {
            stream.remote = Some(to);
        }
        let latency = self.latency();
        self.after(latency, Event::Knock { from, attempt: 1 });
    }

    pub(super) fn knock(&mut self, from: FileId, attempt: u32) {
        let Some(stream) = self.stream(from) else {
            return;
        };
        let address = stream.remote.expect("whoever knocks has an address");
        let listeners = self.listeners_at(address);
        self.note(&[2, from.0 as u64, listeners.len() as u64]);
        if listeners.is_empty() {
            return self.refuse(from, libc::ECONNREFUSED);
        }
        let listener = listeners[self.seed.len(0, listeners.len() - 1)];
        let most = self.faults.backlog_max;
        let waits = self.listener(listener).map_or(0, |it| it.backlog.len());
        if waits >= most {
            if attempt >= KNOCKS_MAX {
                return self.refuse(from, libc::ETIMEDOUT);
            }
            let attempt = attempt + 1;
            return self.after(KNOCK_AGAIN, Event::Knock { from, attempt });
        }
        let end = self.create(Kind::Stream(Stream::new(address)));
        self.files[end.0].holders += 1;
        self.join(from, end);
        if self.seed.one_in(self.faults.breaks) {
            let when = self.seed.below(BREAK_WITHIN);
            self.after(when, Event::Break(end));
        }
        let listener = self.listener(listener).expect("chosen among listeners");
        listener.backlog.push_back(end);
        let waiting = std::mem::take(&mut listener.waiting);
        self.retry(waiting);
        self.stir(from);
    }

    fn refuse(&mut self, from: FileId, error: i32) {
        if let Some(stream) = self.stream(from) {
            stream.injured = true;
            stream.break_off(error);
        }
        self.stir(from);
    }

    pub(super) fn injure_other(&mut self, file: FileId) {
        let other = self.stream(file).and_then(|stream| stream.other);
        if let Some(stream) = other.and_then(|other| self.stream(other)) {
            stream.injured = true;
        }
    }

    /// No descriptor is left: what was accepted and not yet looked at may be turned away.
    pub(super) fn injure_untouched(&mut self) {
        for file in self.open_files() {
            if self.stream(file).is_some_and(|stream| !stream.touched) {
                self.injure_other(file);
            }
        }
    }

    pub(super) fn break_now(&mut self, file: FileId) {
        let Some(stream) = self.stream(file) else {
            return;
        };
        let other = stream.other.expect("connected");
        let how = self.seed.below(4);
        self.note(&[3, file.0 as u64, how]);
        let (here, there) = match how {
            0 => (Some(libc::ECONNRESET), Some(libc::ECONNRESET)),
            1 => (Some(libc::ETIMEDOUT), Some(libc::ETIMEDOUT)),
            2 => (Some(libc::ETIMEDOUT), None),
            _ => (Some(libc::ECONNRESET), None),
        };
        for (end, error) in [(file, here), (other, there)] {
            if let Some(stream) = self.stream(end) {
                stream.injured = true;
                if let Some(error) = error {
                    stream.break_off(error);
                }
            }
            self.stir(end);
        }
    }

    // Bytes.

    fn latency(&mut self) -> u64 {
        let longest = self.faults.latency_max;
        self.seed.below(longest + 1)
    }

    /// Sends a segment to an end, behind those that are on their way.
    fn transmit(&mut self, to: FileId, segment: Segment) {
        let (latency, now) = (self.latency(), self.now());
        let Some(stream) = self.stream(to) else {
            return;
        };
        if let Segment::Data(data) = &segment {
            stream.flying += data.len();
        }
        let arrival = (now + latency).max(stream.last_arrival);
        stream.last_arrival = arrival;
        self.at(arrival, Event::Arrive { to, segment });
    }

    pub(super) fn arrive(&mut self, to: FileId, segment: Segment) {
        let Some(stream) = self.stream(to) else {
            return;
        };
        if let Segment::Data(data) = &segment {
            stream.flying -= data.len();
        }
        if stream.dead {
            return;
        }
        match segment {
            Segment::Data(data) => {
                stream.received.extend(&data);
                self.note_bytes(&data);
            }
            Segment::Fin => stream.ended = true,
            Segment::Reset => {
                stream.break_off(libc::ECONNRESET);
                if self.seed.one_in(2)
                    && let Some(stream) = self.stream(to)
                {
                    stream.received.clear();
                }
            }
        }
        self.note(&[4, to.0 as u64]);
        self.stir(to);
    }

    /// How many bytes an end can send now.
    pub(super) fn room(&mut self, from: FileId) -> usize {
        let window = self.faults.window;
        let other = self.stream(from).and_then(|stream| stream.other);
        let Some(other) = other else { return 0 };
        // Whoever is gone takes everything, and answers with a reset.
        self.stream(other).map_or(window, |other| {
            window.saturating_sub(other.received.len() + other.flying)
        })
    }

    /// Sends bytes that fit.
    pub(super) fn write(&mut self, from: FileId, bytes: &[u8]) {
        let Some(other) = self.stream(from).and_then(|stream| stream.other) else {
            return;
        };
        if self.stream(other).is_none() {
            return self.transmit(from, Segment::Reset);
        }
        self.transmit(other, Segment::Data(bytes.to_vec()));
    }

    /// Takes bytes out that have come, and lets the other end know of the room.
    pub(super) fn read(&mut self, at: FileId, len: usize) -> Vec<u8> {
        let Some(stream) = self.stream(at) else {
            return Vec::new();
        };
        stream.touched = true;
        let len = len.min(stream.received.len());
        let bytes = stream.received.drain(..len).collect();
        if let Some(other) = stream.other {
            self.stir(other);
        }
        bytes
    }

    /// Sends FIN.
    pub(crate) fn shut(&mut self, from: FileId) {
        if let Some(stream) = self.stream(from)
            && !stream.shut
            && !stream.dead
        {
            stream.shut = true;
            if let Some(other) = stream.other {
                self.transmit(other, Segment::Fin);
            }
        }
    }

    /// The last holder of an end has gone.
    pub(super) fn end_stream(&mut self, stream: Stream) {
        let Some(other) = stream.other else { return };
        if stream.dead || !stream.received.is_empty() || stream.flying > 0 {
            self.transmit(other, Segment::Reset);
        } else if !stream.shut {
            self.transmit(other, Segment::Fin);
        }
        // Whoever waits for room learns that there is nobody.
        self.stir(other);
    }

    /// Something has changed at an end: whoever waits there looks again.
    pub(super) fn stir(&mut self, file: FileId) {
        if let Some(stream) = self.stream(file) {
            let waiting = std::mem::take(&mut stream.waiting);
            stream.waker.take().into_iter().for_each(Waker::wake);
            self.retry(waiting);
        }
    }

    fn retry(&mut self, waiting: Vec<(usize, u64)>) {
        for (ring, user) in waiting {
            self.schedule(ring, user);
        }
    }

    // Peers: they belong to no ring and have their wakers.

    /// Whether the attempt to connect has ended; an error if it has failed.
    pub(crate) fn peer_connected(
        &mut self,
        file: FileId,
        waker: &Waker,
    ) -> Option<Result<(), i32>> {
        let stream = self.stream(file).expect("a peer holds its stream");
        if let Some(error) = stream.error.take() {
            return Some(Err(error));
        }
        if stream.other.is_some() {
            return Some(Ok(()));
        }
        stream.waker = Some(waker.clone());
        None
    }

    /// Sends as much as there is room for; `None` when there is none.
    pub(crate) fn peer_send(
        &mut self,
        file: FileId,
        bytes: &[u8],
        waker: &Waker,
    ) -> Option<Result<usize, i32>> {
        let room = self.room(file);
        let stream = self.stream(file).expect("a peer holds its stream");
        if let Some(error) = stream.error.take() {
            return Some(Err(error));
        }
        if stream.dead || stream.shut {
            return Some(Err(libc::EPIPE));
        }
        if room == 0 {
            stream.waker = Some(waker.clone());
            return None;
        }
        let len = room.min(bytes.len());
        self.write(file, &bytes[..len]);
        Some(Ok(len))
    }

    /// What has come; nothing at all after FIN.
    pub(crate) fn peer_receive(
        &mut self,
        file: FileId,
        waker: &Waker,
    ) -> Option<Result<Vec<u8>, i32>> {
        let stream = self.stream(file).expect("a peer holds its stream");
        if !stream.received.is_empty() {
            return Some(Ok(self.read(file, usize::MAX)));
        }
        if let Some(error) = stream.error.take() {
            return Some(Err(error));
        }
        if stream.ended || stream.dead {
            return Some(Ok(Vec::new()));
        }
        stream.waker = Some(waker.clone());
        None
    }

    /// Closes a peer's end: with a reset, or as `close(2)` does.
    pub(crate) fn peer_close(&mut self, file: FileId, reset: bool) {
        if let Some(stream) = self.stream(file)
            && reset
        {
            stream.received.push_back(0);
        }
        self.release(file);
    }

    /// Whether a fault has hit the connection, so that nothing can be expected of it.
    pub(crate) fn is_injured(&mut self, file: FileId) -> bool {
        self.stream(file).is_none_or(|stream| stream.injured)
    }
}
