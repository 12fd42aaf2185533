//! [`Hosted`]: the driver inside another runtime, whose tasks do the I/O; [`Host`]: that runtime.
//!
//! What must hold: each socket has one task of the host, which lives as long as the socket and
//! owns a duplicate of its descriptor; an operation only wakes it. So the memory of what is in
//! flight belongs to the host's own operations, and dropping one of them is the host's business. A
//! cancelled receive ends at once, and what the host still brings for it is kept for the next one;
//! a cancelled accept ends when the host has let go of it: nothing received or accepted is lost.
//! Every completion wakes the shard, and a shard that turns without waiting lets the host poll its
//! own I/O in between.
#![cfg_attr(
    not(any(feature = "monoio", feature = "glommio")),
    expect(dead_code, reason = "what hosts need, and none is built in")
)]

#[cfg(feature = "glommio")]
mod glommio;
mod line;
#[cfg(feature = "monoio")]
mod monoio;

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::choice::DriverChoice;
use super::doorbell::Doorbell;
use super::driver::{Driver, NO_FILES, Wait};

use super::launch::Make;
use super::op::{Completion, Op, OpId, OpTable, Outcome, Target};
use super::shard::Shard;
use super::uring::Counters;
use crate::error::{Error, Result};
use crate::mem::{Buf, Pool};
use crate::sys::host;
use crate::sys::immediate;
use crate::sys::ring::number;
use crate::sys::socket::SockAddr;
use line::{Alarm, Line, Relay, Sending, remember, wake};

/// The most that one receive brings, in bytes.
const RECEIVE_MAX: usize = 4096;
/// How often the host may run before the end of a shard no longer waits for its tasks.
const SETTLE_TRIES: usize = 10_000;
/// How often the host runs once its tasks have ended: their operations are cancelled in the first
/// of these turns and their descriptors closed in the second.
const SETTLE_TURNS: usize = 3;

/// A task that a host is to start. It ends when its [`Line`] is closed.
enum Work {
    /// Serves a stream socket; first waits for its connect to end, if one has begun.
    Stream(OwnedFd, Option<OpId>),
    /// Accepts from a listener.
    Listener(OwnedFd),
    /// Wakes the shard when the doorbell's eventfd is readable, and resets it.
    Bell(OwnedFd),
    /// Wakes the shard when its [`Alarm`] is due.
    Clock,
    /// Wakes the shard behind all other tasks when that lets them run: see [`Relay`].
    Relay,
}

/// Starts a task of the host. Called on the shard's thread, within [`Host::run`].
type Spawn = fn(Work, Rc<Line>) -> io::Result<()>;
type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// A runtime of this thread that will host a shard.
pub(crate) struct Host {
    run: Box<dyn FnOnce(LocalFuture)>,
    spawn: Spawn,
    shared: Rc<Shared>,
}

/// What a host's module makes.
struct Parts {
    name: &'static str,
    about: &'static str,
    spawn: Spawn,
    run: Box<dyn FnOnce(LocalFuture)>,
}

/// What makes the runtime that `choice` names.
///
/// # Errors
/// When it is not built in; the message says what to change.
pub(super) fn maker(choice: DriverChoice) -> Result<Make> {
    match choice {
        #[cfg(feature = "monoio")]
        DriverChoice::Monoio => Ok(|_, _, bell| monoio::with_ring()?.assemble(bell)),
        #[cfg(feature = "monoio")]
        DriverChoice::MonoioLegacy => Ok(|_, _, bell| monoio::with_readiness()?.assemble(bell)),
        #[cfg(feature = "glommio")]
        DriverChoice::Glommio => Ok(|_, _, bell| glommio::make()?.assemble(bell)),
        absent => Err(not_built_in(absent)),
    }
}

fn not_built_in(choice: DriverChoice) -> Error {
    let feature = match choice {
        DriverChoice::Glommio => "glommio",
        _ => "monoio",
    };
    Error::config(format!(
        "the driver {choice} is not built in: build with `--features {feature}`"
    ))
}

impl Parts {
    fn assemble(self, bell: &Doorbell) -> io::Result<Driver> {
        let shared = Rc::new(Shared::default());
        let host = Host {
            run: self.run,
            spawn: self.spawn,
            shared: Rc::clone(&shared),
        };
        Ok(Driver::Hosted(Hosted {
            host: Some(host),
            name: self.name,
            about: self.about,
            spawn: self.spawn,
            ops: OpTable::new(),
            lines: Vec::new(),
            bell: Some(host::duplicate(bell.event())?),
            own: Vec::new(),
            shared,
            reaped: Vec::new(),
            turns: 0,
        }))
    }
}

/// An operation's end, or one of its results.
struct Done {
    id: OpId,
    more: bool,
    outcome: io::Result<Outcome>,
}

/// What the shard and the host's tasks share. All of it stays on one thread.
#[derive(Default)]
struct Shared {
    done: RefCell<Vec<Done>>,
    /// The shard's pool, from its first turn on.
    pool: OnceCell<Pool>,
    /// The waker of the task in which the shard turns.
    shard: RefCell<Option<Waker>>,
    /// Something has come since the shard last looked.
    woken: Cell<bool>,
    alarm: Alarm,
    relay: Relay,
    /// How many of the host's tasks have not ended.
    tasks: Cell<usize>,
}

impl Shared {
    fn complete(&self, id: OpId, more: bool, outcome: io::Result<Outcome>) {
        self.done.borrow_mut().push(Done { id, more, outcome });
        self.wake();
    }

    fn wake(&self) {
        if !self.woken.replace(true) {
            wake(&self.shard);
        }
    }

    /// Lets the host run: once if `only_yields`, otherwise until something has come.
    async fn pause(&self, only_yields: bool) {
        let mut has_yielded = false;
        poll_fn(|context| {
            let goes_on = only_yields || self.woken.get();
            if goes_on && has_yielded {
                return Poll::Ready(());
            }
            remember(&self.shard, context);
            // The host has its turn even when there is no need to wait.
            if goes_on {
                self.relay.ask();
            }
            has_yielded = true;
            Poll::Pending
        })
        .await;
        self.woken.set(false);
    }

    /// Waits, within bounds, until the host's tasks have ended and it has closed what was theirs.
    async fn settle(&self) {
        for _ in 0..SETTLE_TRIES {
            if self.tasks.get() == 0 {
                break;
            }
            self.pause(true).await;
        }
        for _ in 0..SETTLE_TURNS {
            self.pause(true).await;
        }
        self.relay.end();
    }

    /// A copy of received bytes in the shard's pool.
    fn copy(&self, bytes: &[u8]) -> Buf {
        let pool = self.pool.get();
        pool.expect("a shard turns before it receives").copy(bytes)
    }
}

/// The shard's handle on its host while it runs inside.
pub(super) struct Waiter {
    shared: Rc<Shared>,
}

impl Waiter {
    /// Lets the host run until something has come, or as long as `wait` says.
    pub(super) async fn wait(&self, shard: &Shard, wait: Wait) {
        if let Wait::AtMost(timeout) = wait {
            let deadline = shard.clock.now() + timeout;
            self.shared.alarm.set(deadline, timeout);
        }
        self.shared.pause(wait == Wait::No).await;
    }
}

impl Host {
    /// Runs `body` inside the runtime, on this thread, then takes the runtime down. `body` drops
    /// what belongs to the shard before it ends.
    pub(super) fn run<F, T>(self, body: impl FnOnce(Waiter) -> F + 'static) -> T
    where
        F: Future<Output = T> + 'static,
        T: 'static,
    {
        let result = Rc::new(Cell::new(None));
        let (place, shared, spawn) = (Rc::clone(&result), self.shared, self.spawn);
        (self.run)(Box::pin(async move {
            let relay = Rc::new(Line::new(Rc::clone(&shared)));
            spawn(Work::Relay, relay).expect("it has nothing to open");
            let waiter = Waiter {
                shared: Rc::clone(&shared),
            };
            place.set(Some(body(waiter).await));
            shared.settle().await;
        }));
        result.take().expect("the runtime ran it to its end")
    }
}

/// The driver that hands operations to a host's tasks.
pub(crate) struct Hosted {
    /// Until the shard runs in it.
    host: Option<Host>,
    name: &'static str,
    about: &'static str,
    spawn: Spawn,
    ops: OpTable,
    /// By the number of the shard's descriptor.
    lines: Vec<Option<Rc<Line>>>,
    /// The doorbell's eventfd, until the shard runs.
    bell: Option<OwnedFd>,
    /// The lines of the doorbell and the clock.
    own: Vec<Rc<Line>>,
    shared: Rc<Shared>,
    reaped: Vec<Done>,
    turns: u64,
}

impl Hosted {
    /// The name that the start-up line shows.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What the runtime uses, for `--verbose`.
    pub(crate) fn describe(&self) -> String {
        self.about.to_owned()
    }

    /// What was counted so far: each turn is one at least of the host's.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            enters: self.turns,
            ..Counters::default()
        }
    }

    /// How many operations are in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.ops.len()
    }

    /// The runtime to run the shard in.
    pub(crate) fn take_host(&mut self) -> Option<Host> {
        self.host.take()
    }

    /// Listens to the doorbell and keeps the time. Called once, inside the host.
    ///
    /// # Panics
    /// If the host cannot take the doorbell: without it the shard would be deaf.
    pub(super) fn begin(&mut self) {
        let bell = self.bell.take().map(Work::Bell);
        self.own = bell
            .into_iter()
            .chain([Work::Clock])
            .map(|work| self.spawn(work).expect("the host takes the doorbell"))
            .collect();
    }

    /// Hands an operation to the task of its socket.
    #[inline]
    pub(crate) fn push(&mut self, target: Target, op: Op) -> OpId {
        let verb = Verb::of(&op);
        let (id, op) = self.ops.insert(target, op);
        let socket = number_of(op);
        if let Err(error) = self.start(id, socket, verb) {
            self.shared.complete(id, false, Err(error));
        }
        id
    }

    fn start(&mut self, id: OpId, socket: RawFd, verb: Verb) -> io::Result<()> {
        match (verb, self.line(socket)) {
            (Verb::Bring(_), Some(line)) => line.bring(id),
            (Verb::Send(sending), Some(line)) => line.send(id, sending),
            (Verb::Bring(work), None) => {
                let work = work(host::duplicate(socket)?);
                self.open(socket, work)?.bring(id);
            }
            (Verb::Send(sending), None) => {
                let work = Work::Stream(host::duplicate(socket)?, None);
                self.open(socket, work)?.send(id, sending);
            }
            (Verb::Connect(address), _) => {
                let hosts = host::duplicate(socket)?;
                host::begin_to_connect(&hosts, &address)?;
                self.open(socket, Work::Stream(hosts, Some(id)))?;
            }
            (Verb::Close, _) => {
                self.close(socket);
                self.shared.complete(id, false, Ok(Outcome::Done));
            }
        }
        Ok(())
    }

    /// The line of a descriptor that has a task.
    #[inline]
    fn line(&self, socket: RawFd) -> Option<&Line> {
        let place = usize::try_from(socket).ok()?;
        self.lines.get(place)?.as_deref()
    }

    /// Starts the task of a socket.
    fn open(&mut self, socket: RawFd, work: Work) -> io::Result<&Line> {
        let line = self.spawn(work)?;
        let place = usize::try_from(socket).expect("an open descriptor is not negative");
        if self.lines.len() <= place {
            self.lines.resize(place + 1, None);
        }
        Ok(self.lines[place].insert(line))
    }

    fn spawn(&self, work: Work) -> io::Result<Rc<Line>> {
        let line = Rc::new(Line::new(Rc::clone(&self.shared)));
        (self.spawn)(work, Rc::clone(&line))?;
        Ok(line)
    }

    /// Closes the shard's descriptor; the host closes its own as soon as nothing uses it.
    fn close(&mut self, socket: RawFd) {
        let place = usize::try_from(socket).expect("an open descriptor is not negative");
        if let Some(line) = self.lines.get_mut(place).and_then(Option::take) {
            line.close();
        }
        host::close(socket);
    }

    /// Ends an operation early: an accept when the host has let go of it, so that no connection is
    /// lost in between; any other at once. What the host still brings then waits for the next one.
    pub(crate) fn cancel(&mut self, id: OpId) {
        let Some((_, op)) = self.ops.target(id) else {
            return;
        };
        if let Some(line) = self.line(number_of(op)) {
            if matches!(op, Op::Accept { .. }) && line.end(id) {
                return;
            }
            if let Some(Sending::Data(data)) = line.forget(id) {
                // A ring would have begun it: what the kernel takes at once goes out.
                let _ = immediate::send(number_of(op), &data, false);
            }
        }
        let cancelled = io::Error::from_raw_os_error(number::ECANCELED);
        self.shared.complete(id, false, Err(cancelled));
    }

    /// Rings the doorbell of another shard.
    #[expect(clippy::unused_self, reason = "a verb of every driver")]
    pub(crate) fn ring_bell(&mut self, bell: &Doorbell) {
        bell.ring_by_event();
    }

    /// Counts a turn. What was pushed is with the host already, and it is the host that waits.
    #[inline]
    pub(crate) fn enter(&mut self, _wait: Wait) {
        self.turns += 1;
    }

    /// Hands every completion to `sink`.
    #[inline]
    pub(crate) fn reap(&mut self, _: &Doorbell, pool: &Pool, mut sink: impl FnMut(Completion)) {
        self.shared.pool.get_or_init(|| pool.clone());
        std::mem::swap(&mut *self.shared.done.borrow_mut(), &mut self.reaped);
        for Done { id, more, outcome } in self.reaped.drain(..) {
            let target = if more {
                self.ops.target(id).map(|(target, _)| target)
            } else {
                self.ops.remove(id).map(|(target, _)| target)
            };
            // Otherwise it was cancelled meanwhile.
            if let Some(target) = target {
                sink(Completion {
                    target,
                    more,
                    outcome,
                });
            }
        }
    }
}

impl Drop for Hosted {
    fn drop(&mut self) {
        let lines = self.lines.iter().flatten();
        lines.chain(&self.own).for_each(|line| line.close());
    }
}

/// What an operation asks of a socket's task.
enum Verb {
    /// Accept or receive, with the task that does so.
    Bring(fn(OwnedFd) -> Work),
    Send(Sending),
    Connect(Box<SockAddr>),
    Close,
}

impl Verb {
    #[inline]
    fn of(op: &Op) -> Verb {
        match op {
            Op::Accept { .. } => Verb::Bring(Work::Listener),
            Op::Receive { .. } => Verb::Bring(|socket| Work::Stream(socket, None)),
            Op::Send { data, .. } => Verb::Send(Sending::Data(data.clone())),
            Op::Connect { address, .. } => Verb::Connect(address.clone()),
            Op::Shutdown { .. } => Verb::Send(Sending::Fin),
            Op::Close { .. } => Verb::Close,
            Op::File(_) => unreachable!("{NO_FILES}"),
        }
    }
}

#[inline]
fn number_of(op: &Op) -> RawFd {
    match op {
        Op::Accept { listener } => *listener,
        Op::Receive { socket }
        | Op::Send { socket, .. }
        | Op::Connect { socket, .. }
        | Op::Shutdown { socket }
        | Op::Close { socket } => *socket,
        Op::File(_) => unreachable!("{NO_FILES}"),
    }
}
