//! [`Ring`]: simulated submissions and completions.
//!
//! What must hold: an operation completes until a completion says that no more will come, and never
//! after that; completions of one operation keep their order, those of several have none; a
//! completion that does not fit is kept, but ends a multishot operation; a cancelled operation
//! completes all the same.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::kernel::{Event, FileId, Kernel};

/// The completion of a cancellation: nobody waits for it.
pub(crate) const IGNORED: u64 = u64::MAX;

/// What an operation does.
#[derive(Debug)]
pub(crate) enum Verb {
    Accept,
    Receive,
    Send(Vec<u8>),
    Connect(SocketAddr),
    Shutdown,
    Close(RawFd),
}

/// A completion as a ring has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawCompletion {
    pub(crate) user: u64,
    /// A count or a descriptor, or a negated `errno`.
    pub(crate) result: i32,
    pub(crate) more: bool,
    /// The provided buffer that holds the data.
    pub(crate) buffer: Option<u16>,
}

struct Request {
    verb: Verb,
    /// What it keeps open; a close keeps nothing.
    file: Option<FileId>,
    /// It has its turn soon.
    scheduled: bool,
    /// It ends with its next turn, whether it gets anywhere or not.
    cancelled: bool,
    /// A connect that knocks.
    started: bool,
}

/// The kernel's side of one ring.
pub(super) struct Ring {
    requests: BTreeMap<u64, Request>,
    completions: VecDeque<RawCompletion>,
    /// Completions that did not fit.
    overflow: VecDeque<RawCompletion>,
    buffers: Vec<Vec<u8>>,
    free: Vec<u16>,
    /// When the last of the operations that have had a turn given to them was due.
    latest_due: u64,
    /// Woken for another reason than a completion.
    pub(super) rung: bool,
    /// Doorbells on their way.
    pub(super) bells: usize,
}

impl Kernel {
    /// Makes a ring, and tells its number.
    pub(crate) fn create_ring(&mut self) -> usize {
        let count = self.faults.buffers;
        self.rings.push(Ring {
            requests: BTreeMap::new(),
            completions: VecDeque::new(),
            overflow: VecDeque::new(),
            buffers: vec![vec![0; self.faults.buffer_len]; usize::from(count)],
            free: (0..count).rev().collect(),
            latest_due: 0,
            rung: false,
            bells: 0,
        });
        self.rings.len() - 1
    }

    /// Takes an operation in.
    ///
    /// # Panics
    /// If it names a descriptor that is not open, or sends while another send is in flight.
    pub(crate) fn submit(&mut self, ring: usize, user: u64, number: RawFd, verb: Verb) {
        let file = (!matches!(verb, Verb::Close(_))).then(|| self.file(number));
        if let Verb::Send(_) = verb {
            let mut requests = self.rings[ring].requests.values();
            let sends = requests.any(|it| it.file == file && matches!(it.verb, Verb::Send(_)));
            assert!(!sends, "two sends in flight on descriptor {number}");
        }
        if let Some(file) = file {
            self.files[file.0].holders += 1;
        }
        let request = Request {
            verb,
            file,
            scheduled: false,
            cancelled: false,
            started: false,
        };
        let before = self.rings[ring].requests.insert(user, request);
        assert!(before.is_none(), "two operations of one name");
        self.schedule(ring, user);
    }

    /// Gives an operation a turn, sooner or later.
    pub(super) fn schedule(&mut self, ring: usize, user: u64) {
        if let Some(request) = self.rings[ring].requests.get_mut(&user)
            && !request.scheduled
        {
            request.scheduled = true;
            let delay = self.delay();
            let due = self.now() + delay;
            let latest = &mut self.rings[ring].latest_due;
            self.mishaps.overtakings += u64::from(due < *latest);
            *latest = due.max(*latest);
            self.after(delay, Event::Attempt { ring, user });
        }
    }

    /// Asks for an operation to end.
    pub(crate) fn cancel(&mut self, ring: usize, user: u64) {
        let delay = self.delay();
        self.after(delay, Event::Cancel { ring, user });
    }

    pub(super) fn cancel_now(&mut self, ring: usize, user: u64) {
        let Some(request) = self.rings[ring].requests.get_mut(&user) else {
            self.mishaps.late_cancels += 1;
            return self.post_ignored(ring, -libc::ENOENT);
        };
        match self.seed.below(4) {
            0 => {
                // It runs at this moment: it ends by itself.
                request.cancelled = true;
                self.mishaps.late_cancels += 1;
                self.schedule(ring, user);
                return self.post_ignored(ring, -libc::EALREADY);
            }
            1 => self.attempt(ring, user),
            _ => {}
        }
        if self.rings[ring].requests.contains_key(&user) {
            self.finish(ring, user, -libc::ECANCELED);
        }
        self.post_ignored(ring, 0);
    }

    /// An operation has its turn: it completes, or waits for a change.
    pub(super) fn attempt(&mut self, ring: usize, user: u64) {
        let Some(request) = self.rings[ring].requests.get_mut(&user) else {
            return;
        };
        request.scheduled = false;
        let file = request.file;
        match (&mut request.verb, file) {
            (Verb::Accept, Some(file)) => self.attempt_accept(ring, user, file),
            (Verb::Receive, Some(file)) => self.attempt_receive(ring, user, file),
            (Verb::Send(_), Some(file)) => self.attempt_send(ring, user, file),
            (Verb::Connect(to), Some(file)) => {
                let to = *to;
                let started = std::mem::replace(&mut request.started, true);
                self.attempt_connect(ring, user, file, (!started).then_some(to));
            }
            (Verb::Shutdown, Some(file)) => self.attempt_shutdown(ring, user, file),
            (Verb::Close(number), _) => {
                let number = *number;
                self.close(number);
                self.finish(ring, user, 0);
            }
            (_, None) => unreachable!("only a close names no file"),
        }
        if let Some(request) = self.rings[ring].requests.get(&user)
            && request.cancelled
            && !request.scheduled
        {
            self.finish(ring, user, -libc::ECANCELED);
        }
    }

    fn attempt_accept(&mut self, ring: usize, user: u64, file: FileId) {
        if self.fails(ring, user) {
            return;
        }
        let listener = self.listener(file).expect("accepts are for listeners");
        if listener.stopped {
            return self.finish(ring, user, -libc::EINVAL);
        }
        let Some(stream) = listener.backlog.pop_front() else {
            return self.wait(ring, user, file);
        };
        if self.seed.one_in(self.faults.accept_aborts) {
            self.injure_other(stream);
            if let Some(stream) = self.stream(stream) {
                stream.received.push_back(0);
            }
            self.release(stream);
            return self.finish(ring, user, -libc::ECONNABORTED);
        }
        let fails = self.seed.one_in(self.faults.accept_errors);
        let number = if fails { None } else { self.assign(stream) };
        let Some(number) = number else {
            let listener = self.listener(file).expect("accepts are for listeners");
            listener.backlog.push_front(stream);
            let error = self.seed.one_of(&[libc::EMFILE, libc::ENFILE]);
            return self.finish(ring, user, -error);
        };
        // The backlog's hold on it becomes the descriptor's.
        self.files[stream.0].holders -= 1;
        self.note(&[5, ring as u64, stream.0 as u64]);
        if self.post_shot(ring, user, number, None) {
            self.schedule(ring, user);
        }
    }

    fn attempt_receive(&mut self, ring: usize, user: u64, file: FileId) {
        if self.fails(ring, user) {
            return;
        }
        if self.rings[ring].free.is_empty() {
            return self.finish(ring, user, -libc::ENOBUFS);
        }
        let stream = self.stream(file).expect("receives are for streams");
        let there = stream.received.len();
        if there == 0 {
            if let Some(error) = stream.error.take() {
                return self.finish(ring, user, -error);
            }
            if stream.ended || stream.dead {
                return self.finish(ring, user, 0);
            }
            return self.wait(ring, user, file);
        }
        let mut len = there.min(self.faults.buffer_len);
        if self.seed.one_in(self.faults.shorts) {
            len = self.seed.len(1, len);
        }
        let bytes = self.read(file, len);
        let state = &mut self.rings[ring];
        let buffer = state.free.pop().expect("looked at above");
        state.buffers[usize::from(buffer)][..len].copy_from_slice(&bytes);
        let result = i32::try_from(len).expect("a buffer is small");
        if self.post_shot(ring, user, result, Some(buffer)) {
            self.schedule(ring, user);
        }
    }

    fn attempt_send(&mut self, ring: usize, user: u64, file: FileId) {
        let room = self.room(file);
        let stream = self.stream(file).expect("sends are for streams");
        if let Some(error) = stream.error.take() {
            return self.finish(ring, user, -error);
        }
        if stream.dead || stream.shut {
            return self.finish(ring, user, -libc::EPIPE);
        }
        if room == 0 {
            return self.wait(ring, user, file);
        }
        let shortens = self.seed.one_in(self.faults.shorts);
        let request = self.rings[ring].requests.get_mut(&user);
        let Some(Verb::Send(data)) = request.map(|request| &mut request.verb) else {
            unreachable!("called for a send")
        };
        let data = std::mem::take(data);
        let mut len = room.min(data.len());
        if shortens {
            len = self.seed.len(1, len);
        }
        self.write(file, &data[..len]);
        let result = i32::try_from(len).expect("a send is at most the window");
        self.finish(ring, user, result);
    }

    fn attempt_connect(&mut self, ring: usize, user: u64, file: FileId, to: Option<SocketAddr>) {
        if let Some(to) = to {
            self.connect(file, to);
            return self.wait(ring, user, file);
        }
        let stream = self.stream(file).expect("connects are for streams");
        if let Some(error) = stream.error.take() {
            return self.finish(ring, user, -error);
        }
        if stream.other.is_none() {
            return self.wait(ring, user, file);
        }
        self.finish(ring, user, 0);
    }

    fn attempt_shutdown(&mut self, ring: usize, user: u64, file: FileId) {
        let dead = self.stream(file).is_none_or(|stream| stream.dead);
        self.shut(file);
        let result = if dead { -libc::ENOTCONN } else { 0 };
        self.finish(ring, user, result);
    }

    /// Whether a multishot operation ends for no reason of its own; if so it has.
    fn fails(&mut self, ring: usize, user: u64) -> bool {
        let fails = self.seed.one_in(self.faults.failings);
        if fails {
            self.mishaps.failings += 1;
            let error = self.seed.one_of(&[libc::ENOBUFS, libc::ECANCELED]);
            self.finish(ring, user, -error);
        }
        fails
    }

    fn wait(&mut self, ring: usize, user: u64, file: FileId) {
        let waiting = match &mut self.files[file.0].kind {
            super::kernel::Kind::Stream(stream) => &mut stream.waiting,
            super::kernel::Kind::Listener(listener) => &mut listener.waiting,
            _ => unreachable!("operations wait for sockets"),
        };
        waiting.push((ring, user));
    }

    /// A completion of a multishot operation. Tells whether the operation goes on.
    fn post_shot(&mut self, ring: usize, user: u64, result: i32, buffer: Option<u16>) -> bool {
        let ends = self.seed.one_in(self.faults.endings);
        self.mishaps.endings += u64::from(ends);
        let full = self.rings[ring].completions.len() >= self.faults.completions_max;
        let more = !ends && !full && !self.rings[ring].requests[&user].cancelled;
        if !more {
            self.end_request(ring, user);
        }
        self.post(
            ring,
            RawCompletion {
                user,
                result,
                more,
                buffer,
            },
        );
        more
    }

    fn end_request(&mut self, ring: usize, user: u64) {
        let request = self.rings[ring].requests.remove(&user);
        let request = request.expect("an operation ends once");
        if let Some(file) = request.file {
            self.forget(ring, user, file);
            self.release(file);
        }
    }

    /// An operation that has ended waits no longer.
    fn forget(&mut self, ring: usize, user: u64, file: FileId) {
        let waiting = match &mut self.files[file.0].kind {
            super::kernel::Kind::Stream(stream) => &mut stream.waiting,
            super::kernel::Kind::Listener(listener) => &mut listener.waiting,
            _ => return,
        };
        waiting.retain(|it| *it != (ring, user));
    }

    /// The last completion of an operation.
    fn finish(&mut self, ring: usize, user: u64, result: i32) {
        self.end_request(ring, user);
        let (more, buffer) = (false, None);
        self.post(
            ring,
            RawCompletion {
                user,
                result,
                more,
                buffer,
            },
        );
    }

    fn post_ignored(&mut self, ring: usize, result: i32) {
        let (user, more, buffer) = (IGNORED, false, None);
        self.post(
            ring,
            RawCompletion {
                user,
                result,
                more,
                buffer,
            },
        );
    }

    fn post(&mut self, ring: usize, completion: RawCompletion) {
        let RawCompletion { user, result, .. } = completion;
        self.note(&[6, ring as u64, user, u64::from(result.unsigned_abs())]);
        let most = self.faults.completions_max;
        let state = &mut self.rings[ring];
        if state.completions.len() < most && state.overflow.is_empty() {
            state.completions.push_back(completion);
        } else {
            state.overflow.push_back(completion);
        }
    }

    // The process's side.

    /// Enters: what did not fit before becomes visible.
    pub(crate) fn enter(&mut self, ring: usize) {
        let most = self.faults.completions_max;
        let state = &mut self.rings[ring];
        while state.completions.len() < most
            && let Some(completion) = state.overflow.pop_front()
        {
            state.completions.push_back(completion);
        }
        state.rung = false;
    }

    /// Whether an enter that waits returns now.
    pub(crate) fn is_awake(&self, ring: usize) -> bool {
        let state = &self.rings[ring];
        state.rung || !state.completions.is_empty() || !state.overflow.is_empty()
    }

    /// Takes the oldest completion out.
    pub(crate) fn completion(&mut self, ring: usize) -> Option<RawCompletion> {
        self.rings[ring].completions.pop_front()
    }

    /// What a completion has brought; the buffer goes back.
    pub(crate) fn take_buffer(&mut self, ring: usize, buffer: u16, len: usize) -> Vec<u8> {
        let state = &mut self.rings[ring];
        assert!(
            !state.free.contains(&buffer),
            "buffer {buffer} came back twice"
        );
        state.free.push(buffer);
        state.buffers[usize::from(buffer)][..len].to_vec()
    }

    /// How many operations are in flight, and how many provided buffers are out: 0 at rest.
    pub(crate) fn ring_ledger(&self, ring: usize) -> (usize, usize) {
        let state = &self.rings[ring];
        (state.requests.len(), state.buffers.len() - state.free.len())
    }
}
