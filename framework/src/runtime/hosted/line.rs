//! [`Line`]: what lies between a shard and the host's task for one of its sockets.
//!
//! What must hold: a line has one task; at most one operation of each direction is on it, as the
//! shard sees to; whatever changes here wakes the task or the shard.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Shared;
use crate::mem::Buf;
use crate::runtime::op::{OpId, Outcome};
use crate::sys::ring::number;

/// What is to be sent.
pub(super) enum Sending {
    Data(Buf),
    /// FIN, behind what was sent.
    Fin,
}

/// One socket of a shard, between the shard and a task of the host.
pub(super) struct Line {
    pub(super) shared: Rc<Shared>,
    task: RefCell<Option<Waker>>,
    closed: Cell<bool>,
    /// The receive or accept that is in flight.
    bringing: Cell<Option<OpId>>,
    /// The accept that is in flight is to end.
    ending: Cell<bool>,
    /// What the host has brought after the operation was cancelled.
    kept: RefCell<Option<io::Result<Outcome>>>,
    sending: RefCell<Option<(OpId, Sending)>>,
}

/// The shard's side.
impl Line {
    pub(super) fn new(shared: Rc<Shared>) -> Line {
        Line {
            shared,
            task: RefCell::new(None),
            closed: Cell::new(false),
            bringing: Cell::new(None),
            ending: Cell::new(false),
            kept: RefCell::new(None),
            sending: RefCell::new(None),
        }
    }

    /// Receives, or accepts, for `id` until it is forgotten or there is nothing more.
    pub(super) fn bring(&self, id: OpId) {
        self.bringing.set(Some(id));
        let kept = self.kept.borrow_mut().take();
        if let Some(kept) = kept {
            self.deliver(kept);
        }
        self.wake();
    }

    /// Sends for `id`.
    #[inline]
    pub(super) fn send(&self, id: OpId, sending: Sending) {
        *self.sending.borrow_mut() = Some((id, sending));
        self.wake();
    }

    /// Begins nothing more for `id`. Gives back what was to be sent for it and was not begun.
    pub(super) fn forget(&self, id: OpId) -> Option<Sending> {
        if self.bringing.get() == Some(id) {
            self.bringing.set(None);
        }
        let mut sending = self.sending.borrow_mut();
        let not_begun = sending.take_if(|(sending, _)| *sending == id);
        not_begun.map(|(_, sending)| sending)
    }

    /// Asks the task to end the accept `id`, which completes when the host has let go of it. Tells
    /// whether it is in flight.
    pub(super) fn end(&self, id: OpId) -> bool {
        let in_flight = self.bringing.get() == Some(id);
        if in_flight {
            self.ending.set(true);
            self.wake();
        }
        in_flight
    }

    /// Ends the task.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        wake(&self.task);
    }
}

/// The task's side.
impl Line {
    /// Runs the task's work until the line is closed; then drops it.
    pub(super) async fn serve(&self, work: impl Future<Output = ()>) {
        let _running = self.begin();
        // Work that has ended by itself waits for the close.
        self.unless_closed(both(work, pending())).await;
    }

    /// The line has a task until the result is dropped.
    pub(super) fn begin(&self) -> Running<'_> {
        let shared = &self.shared;
        shared.tasks.set(shared.tasks.get() + 1);
        Running { shared }
    }

    /// Ready when the task is to end. Whatever changes wakes the task that has called this.
    #[inline]
    pub(super) fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        remember(&self.task, context);
        if self.closed.get() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// As [`poll_closed`](Line::poll_closed), and also when the accept is to end.
    #[inline]
    pub(super) fn poll_ending(&self, context: &Context<'_>) -> Poll<()> {
        match self.poll_closed(context) {
            Poll::Pending if self.ending.get() => Poll::Ready(()),
            closed => closed,
        }
    }

    /// Ends the accept if it was asked to end: what the host still brings waits for the next one.
    pub(super) fn end_accept(&self) {
        if self.ending.take()
            && let Some(id) = self.bringing.take()
        {
            let cancelled = io::Error::from_raw_os_error(number::ECANCELED);
            self.complete(id, Err(cancelled));
        }
    }

    /// Waits for `work`, or ends early with `None` when the line is closed.
    pub(super) async fn unless_closed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match self.poll_closed(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => work.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Whether a receive or an accept is wanted.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.bringing.get().is_some()
    }

    /// Waits until a receive or an accept is wanted.
    #[inline]
    pub(super) async fn wanted(&self) {
        poll_fn(|_| {
            if self.is_wanted() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Hands over what was received or accepted, or keeps it until somebody wants it. Tells
    /// whether there may be more.
    pub(super) fn deliver(&self, outcome: io::Result<Outcome>) -> bool {
        let more = match &outcome {
            Ok(Outcome::Received(bytes)) => !bytes.is_empty(),
            Ok(_) => true,
            Err(_) => false,
        };
        match self.bringing.get() {
            Some(id) => {
                self.bringing.set(Some(id).filter(|_| more));
                self.shared.complete(id, more, outcome);
            }
            None => *self.kept.borrow_mut() = Some(outcome),
        }
        more
    }

    /// What is to be sent next, if anything is.
    #[inline]
    pub(super) fn take_sending(&self) -> Option<(OpId, Sending)> {
        self.sending.borrow_mut().take()
    }

    /// Tells the shard how a send, a connect or a shutdown has ended.
    #[inline]
    pub(super) fn complete(&self, id: OpId, outcome: io::Result<Outcome>) {
        self.shared.complete(id, false, outcome);
    }
}

/// Counts a task of the host until it ends, by a panic too.
pub(super) struct Running<'a> {
    shared: &'a Shared,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.tasks.set(self.shared.tasks.get() - 1);
    }
}

/// Runs two halves of a task's work that wait for different things.
pub(super) async fn both(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let mut ended = [false; 2];
    poll_fn(|context| {
        let ended_now = [
            ended[0] || one.as_mut().poll(context).is_ready(),
            ended[1] || other.as_mut().poll(context).is_ready(),
        ];
        ended = ended_now;
        if ended == [true; 2] {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// When the shard wants to be woken at the latest.
#[derive(Default)]
pub(super) struct Alarm {
    /// When the host's timer fires, if one is set.
    due: Cell<Option<Instant>>,
    /// A timeout that the host's timer is to be set to.
    wanted: Cell<Option<Duration>>,
    clock: RefCell<Option<Waker>>,
}

impl Alarm {
    /// Wakes the shard at `deadline`, which is `timeout` from now, or before. A deadline behind
    /// the one that is set costs nothing: the shard asks again when it is woken.
    pub(super) fn set(&self, deadline: Instant, timeout: Duration) {
        if self.due.get().is_none_or(|due| deadline < due) {
            self.due.set(Some(deadline));
            self.wanted.set(Some(timeout));
            wake(&self.clock);
        }
    }

    /// Waits for `timer`, and ends early when it is to be set to less.
    async fn sooner_than(&self, timer: impl Future) -> Option<Duration> {
        let mut timer = pin!(timer);
        poll_fn(|context| match self.poll_wanted(context) {
            Poll::Ready(sooner) => Poll::Ready(Some(sooner)),
            Poll::Pending => timer.as_mut().poll(context).map(|_| None),
        })
        .await
    }

    fn poll_wanted(&self, context: &Context<'_>) -> Poll<Duration> {
        remember(&self.clock, context);
        self.wanted.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The task that keeps the time with the host's timer.
pub(super) async fn keep_time<S: Future>(shared: &Shared, sleep: impl Fn(Duration) -> S) {
    let alarm = &shared.alarm;
    loop {
        let mut timeout = poll_fn(|context| alarm.poll_wanted(context)).await;
        while let Some(sooner) = alarm.sooner_than(sleep(timeout)).await {
            timeout = sooner;
        }
        alarm.due.set(None);
        shared.wake();
    }
}

/// Wakes the shard's task behind the others, so that they and the host's I/O come in between.
///
/// A task of monoio that wakes itself runs before all others, again and again.
#[derive(Default)]
pub(super) struct Relay {
    task: RefCell<Option<Waker>>,
    asked: Cell<bool>,
    ended: Cell<bool>,
}

impl Relay {
    pub(super) fn ask(&self) {
        self.asked.set(true);
        wake(&self.task);
    }

    /// Waits until it is asked, or has ended: `false`. Wakes nobody before the next call.
    async fn asked(&self) -> bool {
        let asked = poll_fn(|context| {
            remember(&self.task, context);
            match (self.ended.get(), self.asked.take()) {
                (true, _) => Poll::Ready(false),
                (false, true) => Poll::Ready(true),
                (false, false) => Poll::Pending,
            }
        })
        .await;
        self.task.take();
        asked
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        wake(&self.task);
    }
}

/// The task of a [`Relay`]. `between` lets the host do its I/O; nothing else wakes the task then.
pub(super) async fn relay<S: Future>(shared: &Shared, between: impl Fn() -> S) {
    while shared.relay.asked().await {
        between().await;
        wake(&shared.shard);
    }
}

/// Remembers the waker of whoever waits, without a clone when it is the same as before.
#[inline]
pub(super) fn remember(place: &RefCell<Option<Waker>>, context: &Context<'_>) {
    match &mut *place.borrow_mut() {
        Some(known) if known.will_wake(context.waker()) => {}
        place => *place = Some(context.waker().clone()),
    }
}

/// Wakes whoever waits. A host runs nothing before it is back in its own loop.
#[inline]
pub(super) fn wake(place: &RefCell<Option<Waker>>) {
    if let Some(waker) = &*place.borrow() {
        waker.wake_by_ref();
    }
}
