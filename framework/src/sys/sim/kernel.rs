//! [`Kernel`]: time, descriptors and what happens next in a simulated system.
//!
//! What must hold: an event never happens before one that was due earlier; a file lives until its
//! last descriptor is closed and the last operation on it has ended, as in Linux, so that closing a
//! descriptor under an operation ends nothing; numbers are given out lowest first.

use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::faults::{Faults, Mishaps};
use super::network::{Listener, Segment, Stream};
use super::ring::Ring;
use super::seed::Seed;

/// The number of the first descriptor: 0 to 2 are taken in every process.
const FIRST_NUMBER: usize = 3;
/// The time of day at which every simulation begins: 1 January 2026, 12:00 UTC.
const EPOCH: Duration = Duration::from_hours(490_908);

/// Names an open file. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(pub(super) usize);

/// What a descriptor refers to.
pub(super) enum Kind {
    Listener(Listener),
    Stream(Stream),
    /// A counter that wakes a ring, once one listens.
    Event(Option<usize>),
    /// Released.
    Gone,
}

pub(super) struct File {
    pub(super) kind: Kind,
    /// Descriptors and operations that keep it open.
    pub(super) holders: usize,
}

/// What will happen.
pub(super) enum Event {
    /// An operation has its turn.
    Attempt { ring: usize, user: u64 },
    /// A cancellation has its turn.
    Cancel { ring: usize, user: u64 },
    /// Bytes, FIN or RST reach an end of a connection.
    Arrive { to: FileId, segment: Segment },
    /// A connection reaches the listeners of an address, for the n-th time.
    Knock { from: FileId, attempt: u32 },
    /// A connection breaks.
    Break(FileId),
    /// A ring's doorbell rings.
    Bell(usize),
    /// A peer has waited long enough.
    Wake(Waker),
}

/// A simulated system.
pub(crate) struct Kernel {
    pub(super) seed: Seed,
    pub(super) faults: Faults,
    start: Instant,
    /// Nanoseconds since the start.
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(super) files: Vec<File>,
    /// By number, from `FIRST_NUMBER` on.
    descriptors: Vec<Option<FileId>>,
    pub(super) rings: Vec<Ring>,
    /// Where a signal that asks for an end is told.
    pub(super) on_signals: Vec<FileId>,
    pub(super) ports: u16,
    transcript: u64,
    /// How many events have happened.
    happened: u64,
    pub(super) mishaps: Mishaps,
}

impl Kernel {
    pub(crate) fn new(seed: Seed, faults: Faults, start: Instant) -> Kernel {
        Kernel {
            seed,
            faults,
            start,
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            files: Vec::new(),
            descriptors: Vec::new(),
            rings: Vec::new(),
            on_signals: Vec::new(),
            ports: 0,
            transcript: 0xcbf2_9ce4_8422_2325,
            happened: 0,
            mishaps: Mishaps::default(),
        }
    }

    // Choices and time.

    pub(crate) fn seed(&mut self) -> &mut Seed {
        &mut self.seed
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Since the simulation began.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + self.elapsed()
    }

    pub(crate) fn wall(&self) -> SystemTime {
        UNIX_EPOCH + EPOCH + self.elapsed()
    }

    /// Lets time pass: what a turn takes.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now += u64::try_from(duration.as_nanos()).expect("a simulation is short");
    }

    /// Jumps to `moment`, unless it has passed.
    pub(crate) fn jump_to(&mut self, moment: Duration) {
        let moment = u64::try_from(moment.as_nanos()).expect("a simulation is short");
        self.now = self.now.max(moment);
    }

    /// When the next event is due.
    pub(crate) fn next_event(&self) -> Option<Duration> {
        let first = self.events.first_key_value();
        first.map(|((time, _), _)| Duration::from_nanos(*time))
    }

    /// How many events have happened.
    pub(crate) fn happened(&self) -> u64 {
        self.happened
    }

    pub(crate) fn mishaps(&self) -> Mishaps {
        self.mishaps
    }

    pub(super) fn after(&mut self, nanoseconds: u64, event: Event) {
        self.at(self.now + nanoseconds, event);
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Wakes `waker` at `moment`.
    pub(crate) fn wake_at(&mut self, moment: Duration, waker: Waker) {
        let moment = u64::try_from(moment.as_nanos()).expect("a simulation is short");
        self.at(moment.max(self.now), Event::Wake(waker));
    }

    /// How long an operation or a doorbell takes until it has its turn.
    pub(super) fn delay(&mut self) -> u64 {
        let longest = self.faults.delay_max;
        if self.seed.one_in(self.faults.delays) {
            longest
        } else {
            self.seed.below(longest / 8 + 1)
        }
    }

    /// Lets everything happen that is due.
    pub(crate) fn run_due(&mut self) {
        while let Some(entry) = self.events.first_entry()
            && entry.key().0 <= self.now
        {
            let event = entry.remove();
            self.happened += 1;
            match event {
                Event::Attempt { ring, user } => self.attempt(ring, user),
                Event::Cancel { ring, user } => self.cancel_now(ring, user),
                Event::Arrive { to, segment } => self.arrive(to, segment),
                Event::Knock { from, attempt } => self.knock(from, attempt),
                Event::Break(file) => self.break_now(file),
                Event::Bell(ring) => {
                    self.note(&[7, ring as u64]);
                    self.rings[ring].rung = true;
                    self.rings[ring].bells -= 1;
                }
                Event::Wake(waker) => waker.wake(),
            }
        }
    }

    /// Writes into the transcript.
    pub(crate) fn note(&mut self, numbers: &[u64]) {
        for number in numbers.iter().chain([&self.now]) {
            self.transcript = (self.transcript ^ number).wrapping_mul(0x0100_0000_01b3);
            self.transcript ^= self.transcript >> 29;
        }
    }

    /// Writes bytes into the transcript.
    pub(crate) fn note_bytes(&mut self, bytes: &[u8]) {
        let fold = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let sum = bytes.iter().fold(bytes.len() as u64, fold);
        self.note(&[sum]);
    }

    /// One number for everything that has happened.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript
    }

    // Files and descriptors.

    pub(super) fn create(&mut self, kind: Kind) -> FileId {
        self.files.push(File { kind, holders: 0 });
        FileId(self.files.len() - 1)
    }

    pub(super) fn stream(&mut self, file: FileId) -> Option<&mut Stream> {
        match &mut self.files[file.0].kind {
            Kind::Stream(stream) => Some(stream),
            _ => None,
        }
    }

    pub(super) fn listener(&mut self, file: FileId) -> Option<&mut Listener> {
        match &mut self.files[file.0].kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// Gives a file the lowest free number; `None` when there is none.
    pub(super) fn assign(&mut self, file: FileId) -> Option<RawFd> {
        let free = self.descriptors.iter().position(Option::is_none);
        let index = free.unwrap_or(self.descriptors.len());
        if index + FIRST_NUMBER >= self.faults.descriptors_max {
            return None;
        }
        if index == self.descriptors.len() {
            self.descriptors.push(None);
        }
        self.descriptors[index] = Some(file);
        self.files[file.0].holders += 1;
        Some(RawFd::try_from(index + FIRST_NUMBER).expect("few descriptors"))
    }

    /// The file of a number.
    ///
    /// # Panics
    /// If the number is not open: whoever names it has closed it, or never had it.
    pub(crate) fn file(&self, number: RawFd) -> FileId {
        let index = usize::try_from(number).expect("a descriptor's number") - FIRST_NUMBER;
        let file = self.descriptors.get(index).copied().flatten();
        file.unwrap_or_else(|| panic!("EBADF: descriptor {number} is not open"))
    }

    /// What descriptors refer to.
    pub(super) fn open_files(&self) -> Vec<FileId> {
        self.descriptors.iter().flatten().copied().collect()
    }

    /// Closes a number. The file lives on while an operation holds it.
    ///
    /// # Panics
    /// If the number is not open.
    pub(crate) fn close(&mut self, number: RawFd) {
        let file = self.file(number);
        let index = usize::try_from(number).expect("a descriptor's number") - FIRST_NUMBER;
        self.descriptors[index] = None;
        self.note(&[1, index as u64, file.0 as u64]);
        self.release(file);
    }

    /// One holder less.
    pub(super) fn release(&mut self, file: FileId) {
        let entry = &mut self.files[file.0];
        entry.holders -= 1;
        if entry.holders == 0 {
            match std::mem::replace(&mut entry.kind, Kind::Gone) {
                Kind::Stream(stream) => self.end_stream(stream),
                Kind::Listener(listener) => self.end_listener(listener),
                Kind::Event(_) | Kind::Gone => {}
            }
        }
    }

    /// How many descriptors are open: the ledger that must read 0 at the end.
    pub(crate) fn open_count(&self) -> usize {
        self.descriptors.iter().flatten().count()
    }

    // Doorbells.

    /// Makes a counter that wakes a ring.
    pub(super) fn create_event(&mut self) -> FileId {
        self.create(Kind::Event(None))
    }

    /// A ring listens to a counter from now on.
    pub(crate) fn listen_to(&mut self, ring: usize, event: RawFd) {
        let file = self.file(event);
        self.files[file.0].kind = Kind::Event(Some(ring));
    }

    pub(super) fn notify(&mut self, event: RawFd) {
        let file = self.file(event);
        if let Kind::Event(Some(ring)) = self.files[file.0].kind {
            self.ring_bell(ring);
        }
    }

    /// Rings a ring's doorbell; it is heard a little later.
    pub(crate) fn ring_bell(&mut self, ring: usize) {
        self.rings[ring].bells += 1;
        let delay = self.delay();
        self.after(delay, Event::Bell(ring));
    }

    /// Rings return from their waiting without a reason, now and then.
    pub(crate) fn wake_some_for_nothing(&mut self) {
        for ring in 0..self.rings.len() {
            if self.seed.one_in(self.faults.spurious) {
                self.rings[ring].rung = true;
            }
        }
    }

    /// Whether a ring's doorbell was rung and not heard yet.
    pub(crate) fn is_bell_on_its_way(&self, ring: usize) -> bool {
        self.rings[ring].bells > 0
    }

    /// Asks the process to end, as SIGTERM does. Tells whether anybody listens.
    pub(crate) fn signal(&mut self) -> bool {
        for file in self.on_signals.clone() {
            self.write(file, &[1]);
        }
        !self.on_signals.is_empty()
    }
}
