//! [`Slot`]: a place for a task, whose waker never changes; [`Alarm`]: what that waker rings.
//!
//! What must hold: a waker names a place and not a task, so whoever still has one of a task that
//! has ended wakes at worst the next one there for nothing, which every future allows. What belongs
//! to the shard is touched on the shard only; other threads have the alarm, which they raise and
//! ring once until the shard has taken it up.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::current;
use super::executor::Want;
use super::groups::Index;
use super::shard::Outside;
use super::task::Work;
use super::woken::Raised;

/// A place for a task.
pub(crate) struct Slot {
    alarm: Arc<Alarm>,
    /// The alarm once more, as tasks are given it.
    waker: Waker,
    work: RefCell<Option<Pin<Rc<dyn Work>>>>,
    state: Cell<State>,
    /// Whether it stands in the queue of its group.
    is_queued: Cell<bool>,
    group: Cell<Index>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Free,
    Alive,
    /// Its handle was dropped: to be dropped instead of polled.
    Cancelled,
}

/// What has become of a task by being run.
#[derive(PartialEq)]
pub(super) enum Ran {
    /// It waits.
    On,
    /// It has ended.
    Ended,
    /// There was none: it had woken itself in its last poll.
    Nobody,
}

impl Slot {
    /// Makes a place, the one with this number on its shard.
    pub(super) fn new(place: usize, outside: &Arc<Outside>) -> Rc<Slot> {
        let alarm = Arc::new(Alarm {
            place,
            outside: Arc::clone(outside),
            raised: Raised::new(),
        });
        Rc::new(Slot {
            waker: Waker::from(Arc::clone(&alarm)),
            alarm,
            work: RefCell::new(None),
            state: Cell::new(State::Free),
            is_queued: Cell::new(false),
            group: Cell::new(Index::MAIN),
        })
    }

    /// The group of its task.
    #[inline]
    pub(super) fn group(&self) -> Index {
        self.group.get()
    }

    /// Gives the place to a task.
    pub(super) fn take_in(&self, group: Index, work: Pin<Rc<dyn Work>>) {
        debug_assert!(self.state.get() == State::Free, "one task at a time");
        self.group.set(group);
        self.state.set(State::Alive);
        self.work.replace(Some(work));
    }

    /// Whether there is a task that is to be put into its group's queue, where it does not stand
    /// yet; it stands there then.
    #[inline]
    pub(super) fn enqueue(&self) -> bool {
        self.state.get() != State::Free && !self.is_queued.replace(true)
    }

    /// Whether this is the waker that its tasks are given.
    #[inline]
    pub(super) fn is_woken_by(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker)
    }

    /// Wakes the task.
    #[inline]
    pub(super) fn wake(slot: &Rc<Slot>) {
        current::try_with(|shard| match shard {
            Some(shard) if Arc::ptr_eq(&shard.outside, &slot.alarm.outside) => {
                shard.executor.enqueue(slot);
            }
            _ => slot.alarm.ring_from_outside(),
        });
    }

    /// It was taken out of the queue: polls the task, or drops it if nobody wants it.
    #[inline]
    pub(super) fn run(&self) -> Ran {
        self.is_queued.set(false);
        let work = self.work.borrow();
        let Some(task) = work.as_ref().map(Pin::as_ref) else {
            return Ran::Nobody;
        };
        if self.state.get() == State::Alive {
            let polled = task.poll(&mut Context::from_waker(&self.waker));
            if polled.is_pending() && self.state.get() == State::Alive {
                return Ran::On;
            }
        }
        task.cancel();
        drop(work);
        drop_quietly(self.work.take());
        self.state.set(State::Free);
        Ran::Ended
    }

    /// Whether another task may have it: nothing of the last one stands in a queue.
    pub(super) fn is_free(&self) -> bool {
        self.state.get() == State::Free && !self.is_queued.get()
    }

    /// Drops the task, if there is one, with its shard. Tells whether there was.
    pub(super) fn clear(&self) -> bool {
        let work = self.work.borrow_mut().take();
        self.state.set(State::Free);
        let was_there = work.is_some();
        if let Some(task) = &work {
            task.as_ref().cancel();
        }
        drop_quietly(work);
        was_there
    }

    /// The handle of its task was dropped before the task has ended.
    pub(super) fn cancel(slot: &Rc<Slot>) {
        slot.state.set(State::Cancelled);
        Slot::wake(slot);
    }
}

/// Drops a task and what it has brought, if nobody else has it. A panic of that is the task's, and
/// the process's hook has told of it.
#[inline]
fn drop_quietly(work: Option<Pin<Rc<dyn Work>>>) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(work))));
}

/// Wakes whatever task is in a place, from any thread.
pub(crate) struct Alarm {
    place: usize,
    outside: Arc<Outside>,
    /// Whether it stands in the queue of what other threads have woken.
    raised: Raised,
}

impl Alarm {
    /// Its place.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// The shard has taken it out of the queue.
    pub(super) fn lower(&self) {
        self.raised.lower();
    }

    #[inline]
    fn ring(self: &Arc<Alarm>) {
        current::try_with(|shard| match shard {
            Some(shard) if Arc::ptr_eq(&shard.outside, &self.outside) => {
                shard.executor.wake(self.place);
            }
            _ => self.ring_from_outside(),
        });
    }

    #[cold]
    fn ring_from_outside(self: &Arc<Alarm>) {
        if self.raised.raise()
            && self
                .outside
                .woken
                .push(Want::Wake(Arc::clone(self)))
                .is_ok()
        {
            self.outside.bell.ring_from_outside();
        }
    }
}

impl Wake for Alarm {
    #[inline]
    fn wake(self: Arc<Alarm>) {
        self.ring();
    }

    #[inline]
    fn wake_by_ref(self: &Arc<Alarm>) {
        self.ring();
    }
}
