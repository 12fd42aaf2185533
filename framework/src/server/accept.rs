//! Accepts connections on one listener of one shard and starts a session for each, here or on the
//! shard that [`Balance`] chooses.
//!
//! What must hold: a connection that was accepted is served by one shard, or told that it is not;
//! the shard that accepted it is responsible until another has taken it; a shard that stalls keeps
//! none waiting, neither in its listen queue nor on the way to it; a shard that is full says so.

mod reserve;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::balance::Balance;
use super::refuse::{Full, REFUSED_MAX};
use super::session::{Session, Shared};
use super::shutdown::{Listener, Phase};
use crate::future::{TimedOut, with_timeout};
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{self, ShardId, Wakee};
use crate::service::Service;
use crate::sharded::Sharded;
use crate::sys::limit;
use crate::sys::socket::Descriptor;
use reserve::Reserve;

/// After a failed accept: how long to wait at first, and at most (as Go's net/http does).
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often it is looked meanwhile whether there is room: a connection of any shard has closed.
const ROOM_STEP: Duration = Duration::from_millis(10);
/// How long a shard may take to take a connection in, before it counts as stalled.
const HAND_OVER_TIMEOUT: Duration = Duration::from_millis(100);
/// How often a shard looks after the listen queues of another one, each time of the next.
const RELIEF_STEP: Duration = Duration::from_millis(250);
/// How long it waits there for the next connection: a host has to start the accept first.
const RELIEF_TIMEOUT: Duration = Duration::from_millis(1);
/// How long a connection that is turned away may take to read why.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_millis(100);

/// What a connection is told that finds no descriptor (RFC 9110 section 15.6.4).
const NO_DESCRIPTOR: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Length: 0\r\nConnection: close\r\nRetry-After: 1\r\n\r\n";

/// The connections of one shard: how many are open, and who waits for one to be closed.
pub(super) struct Connections {
    shard: usize,
    /// Those that are served here, and those that are on their way to another shard.
    open: Cell<usize>,
    max: usize,
    balance: Arc<Balance>,
    waiting: RefCell<Vec<Wakee>>,
}

impl Connections {
    pub(super) fn new(shard: ShardId, max: usize, balance: Arc<Balance>) -> Connections {
        Connections {
            shard: shard.index(),
            open: Cell::new(0),
            max,
            balance,
            waiting: RefCell::new(Vec::new()),
        }
    }

    /// A connection of this shard is closed.
    pub(super) fn closed(&self) {
        self.balance.remove(self.shard);
        self.left();
    }

    fn arrived(&self) {
        self.open.set(self.open.get() + 1);
    }

    fn left(&self) {
        self.open.set(self.open.get() - 1);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Wakee::wake);
    }

    /// Ready while fewer than `count` connections are open.
    fn poll_below(&self, count: usize, context: &Context<'_>) -> Poll<()> {
        if self.open.get() < count {
            return Poll::Ready(());
        }
        self.waiting.borrow_mut().push(Wakee::of(context.waker()));
        Poll::Pending
    }

    /// Waits until no connection is open.
    pub(super) async fn none_left(&self) {
        poll_fn(|context| self.poll_below(1, context)).await;
    }
}

/// Where the fresh connections of one shard go: to its own sessions, or to those that refuse them.
pub(super) struct Doors<S> {
    pub(super) shared: Rc<Shared<S>>,
    pub(super) refusing: Rc<Shared<Full>>,
}

impl<S> Doors<S> {
    /// Ready when there is room for a connection, be it to refuse it.
    fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let (serving, refusing) = (&self.shared.connections, &self.refusing.connections);
        let room = serving.poll_below(serving.max, context);
        if room.is_ready() {
            return room;
        }
        refusing.poll_below(REFUSED_MAX, context)
    }
}

/// Accepts until the server stops. Connections that wait to be accepted at that moment are served.
pub(super) async fn accept<S: Service>(mut listener: TcpListener, doors: Rc<Doors<S>>) {
    let shared = &doors.shared;
    let mut stop = Listener::new(&shared.shutdown);
    let mut backoff = BACKOFF_MIN;
    let mut reserve = Reserve::new();
    loop {
        let next = poll_fn(|context| {
            stop.listen(context);
            let room = doors.poll_room(context);
            if room.is_pending() {
                listener.pause();
            }
            let accepted = room.map(|()| listener.poll_descriptor(context));
            match accepted {
                Poll::Ready(Poll::Ready(accepted)) => Poll::Ready(Some(accepted)),
                _ if stop.phase() >= Phase::Draining => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        match next.await {
            None => break,
            Some(Ok(descriptor)) => {
                if !reserve.is_filled() {
                    // It stands where the reserve has stood: the next one could not come.
                    reserve.give_up();
                    turn_away(TcpStream::open(descriptor)).await;
                    continue;
                }
                backoff = BACKOFF_MIN;
                let lends = reserve.lend();
                take_up(descriptor, &doors);
                if lends {
                    runtime::yield_now().await;
                }
            }
            Some(Err(error)) => {
                shared.counters.count_accept_error();
                let none_left = limit::is_out_of_descriptors(&error);
                // Without the reserve it was told before, and those who come are turned away.
                if reserve.is_held() || !none_left {
                    warn(&error, backoff, shared.announce);
                }
                let open = shared.connections.balance.total();
                let room = || shared.connections.balance.total() < open || reserve.is_free();
                if holds_within(backoff, room).await {
                    backoff = BACKOFF_MIN;
                } else if none_left && backoff > BACKOFF_MIN {
                    reserve.give_up();
                }
                backoff = (2 * backoff).min(BACKOFF_MAX);
            }
        }
    }
    for descriptor in rest(&mut listener).await {
        take_up(descriptor, &doors);
    }
    listener.stop();
}

fn warn(error: &std::io::Error, backoff: Duration, announce: bool) {
    tracing::warn!(%error, "cannot accept; trying again in {backoff:?}");
    if announce && backoff == BACKOFF_MIN {
        let advice = limit::advice(error);
        eprintln!("cannot accept connections{advice}: {error}; trying again");
    }
}

/// Waits until `condition` holds, but no longer than `timeout`. Tells whether it does.
async fn holds_within(timeout: Duration, condition: impl Fn() -> bool) -> bool {
    let end = runtime::now() + timeout;
    while !condition() {
        let now = runtime::now();
        if now >= end {
            return false;
        }
        runtime::sleep(ROOM_STEP.min(end - now)).await;
    }
    true
}

/// Stops accepting and brings what has been accepted by then.
async fn rest(listener: &mut TcpListener) -> Vec<Descriptor> {
    let mut all = Vec::new();
    listener.pause();
    while let Some(descriptor) = poll_fn(|context| listener.poll_rest(context)).await {
        all.push(descriptor);
    }
    all
}

/// Tells a connection that it cannot be served, and closes it.
async fn turn_away(mut stream: TcpStream) {
    let told = async {
        stream.queue(NO_DESCRIPTOR);
        stream.shutdown();
        // What it has sent is read, or closing would destroy the answer.
        while let Ok(Some(_)) = stream.recv().await {}
    };
    // Told or not, it goes.
    let _ = with_timeout(TURN_AWAY_TIMEOUT, told).await;
}

/// Gives a fresh connection to the shard that is to serve it.
fn take_up<S: Service>(descriptor: Descriptor, doors: &Doors<S>) {
    let shared = &doors.shared;
    let Connections { balance, shard, .. } = &shared.connections;
    if shared.shutdown.phase() >= Phase::Draining {
        balance.add(*shard);
        shared.connections.arrived();
        return serve(descriptor, shared);
    }
    let to = balance.choose(*shard);
    if to == *shard && balance.is_over(*shard) {
        balance.remove(*shard);
        return refuse(descriptor, doors);
    }
    shared.connections.arrived();
    if to == *shard {
        return serve(descriptor, shared);
    }
    let to = ShardId::new(to).expect("chosen among the shards");
    runtime::spawn(hand_over(descriptor, to, Rc::clone(shared))).detach();
}

fn serve<S: Service>(descriptor: Descriptor, shared: &Rc<Shared<S>>) {
    shared.counters.count_accepted();
    let session = Session::new(TcpStream::open(descriptor), Rc::clone(shared));
    runtime::spawn(session).detach();
}

/// Lets a connection ask, and answers that there is no room for it.
#[cold]
fn refuse<S: Service>(descriptor: Descriptor, doors: &Doors<S>) {
    let refusing = &doors.refusing.connections;
    doors.shared.counters.count_refused();
    refusing.balance.add(refusing.shard);
    refusing.arrived();
    serve(descriptor, &doors.refusing);
}

/// A connection between two shards: whichever takes it out first serves it.
type Parcel = Arc<Mutex<Option<Descriptor>>>;

fn open(parcel: &Parcel) -> Option<Descriptor> {
    parcel.lock().expect("nothing panics meanwhile").take()
}

/// Hands a connection to another shard; one that does not take it in time does not get it.
async fn hand_over<S: Service>(descriptor: Descriptor, to: ShardId, shared: Rc<Shared<S>>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "two shards meet here, once for a connection that moves"
    )]
    let parcel: Parcel = Arc::new(Mutex::new(Some(descriptor)));
    let sent = Arc::clone(&parcel);
    let there = Sharded::<Rc<Shared<S>>>::everywhere();
    let mut taken = pin!(there.on(to, move |there| take_in(&sent, there)));
    let in_time = with_timeout(HAND_OVER_TIMEOUT, taken.as_mut())
        .await
        .is_ok();
    let Connections { balance, shard, .. } = &shared.connections;
    if !in_time {
        balance.set_stalled(to.index(), true);
    }
    if let Some(descriptor) = open(&parcel) {
        balance.remove(to.index());
        balance.add(*shard);
        serve(descriptor, &shared);
    } else {
        shared.counters.count_handed_over();
        shared.connections.left();
    }
    if !in_time {
        taken.await;
        balance.set_stalled(to.index(), false);
    }
}

/// Takes a connection in that another shard has accepted, unless this one stops: then it is for
/// the other one to serve.
fn take_in<S: Service>(parcel: &Parcel, shared: &Rc<Shared<S>>) {
    if shared.shutdown.phase() == Phase::Running
        && let Some(descriptor) = open(parcel)
    {
        shared.connections.arrived();
        serve(descriptor, shared);
    }
}

/// Looks after the listen queues of the other shards, one after the other: what a shard that stalls
/// does not accept is accepted here. `listeners` are those of all shards.
pub(super) async fn relieve<S: Service>(
    listeners: impl AsRef<[Vec<Descriptor>]>,
    doors: Rc<Doors<S>>,
) {
    let shared = &doors.shared;
    let count = listeners.as_ref().len();
    let mut other = shared.connections.shard;
    let mut stop = Listener::new(&shared.shutdown);
    while shared.shutdown.phase() == Phase::Running {
        let mut pause = pin!(runtime::sleep(RELIEF_STEP));
        poll_fn(|context| {
            stop.listen(context);
            match stop.phase() {
                Phase::Running => pause.as_mut().poll(context),
                _ => Poll::Ready(()),
            }
        })
        .await;
        other = (other + 1) % count;
        if other == shared.connections.shard {
            other = (other + 1) % count;
        }
        for listener in &listeners.as_ref()[other] {
            accept_waiting(listener, &doors).await;
        }
    }
}

/// Accepts what waits at this moment on a listener of another shard. Of one whose shard is well
/// nothing waits, and nothing is accepted.
async fn accept_waiting<S: Service>(waiting: &Descriptor, doors: &Doors<S>) {
    let Connections { open, max, .. } = &doors.shared.connections;
    if !waiting.has_waiting() || open.get() >= *max {
        return;
    }
    let Ok(copy) = waiting.try_clone() else {
        return;
    };
    let mut listener = TcpListener::adopt(copy);
    while open.get() < *max {
        let next = poll_fn(|context| listener.poll_descriptor(context));
        match with_timeout(RELIEF_TIMEOUT, next).await {
            Ok(Ok(descriptor)) => take_up(descriptor, doors),
            // What its own shard could not accept either waits for the next look.
            Ok(Err(_)) | Err(TimedOut) => break,
        }
    }
    for descriptor in rest(&mut listener).await {
        take_up(descriptor, doors);
    }
}
