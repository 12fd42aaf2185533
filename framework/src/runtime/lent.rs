//! [`Lent`]: the waker that a task is polled with; [`Alarm`]: what that becomes when it is kept.
//!
//! Nearly all tasks wait for things of their own shard only, which know them by their place
//! (`wakee`): they never need a waker that lasts. What must hold: an alarm stands in the shard's
//! wake queue once at most, until the shard has taken it up; a place has one alarm that it keeps.

use std::num::NonZeroU64;
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use futures_util::task::{ArcWake, waker};

use super::current;
use super::executor::Want;
use super::shard::Outside;
use super::slot::SlotId;
use super::woken::Raised;
use crate::sys::lend::Lend;

/// What lends a waker to the task in a place, while that is polled.
pub(super) struct Lent<'a> {
    outside: &'a Arc<Outside>,
    alarm: OnceLock<Arc<Alarm>>,
}

impl<'a> Lent<'a> {
    #[inline]
    pub(super) fn new(outside: &'a Arc<Outside>) -> Lent<'a> {
        Lent {
            outside,
            alarm: OnceLock::new(),
        }
    }

    /// What it has become, if somebody has asked for a waker that lasts.
    #[inline]
    pub(super) fn take_alarm(&mut self) -> Option<Arc<Alarm>> {
        self.alarm.take()
    }
}

/// The token names the place.
impl Lend for Lent<'_> {
    #[cold]
    fn to_waker(&self, token: NonZeroU64) -> Waker {
        let number = SlotId::from_token(token).number();
        let make = || Arc::new(Alarm::new(number, Arc::clone(self.outside)));
        waker(Arc::clone(self.alarm.get_or_init(make)))
    }

    fn wake(&self, token: NonZeroU64) {
        let number = SlotId::from_token(token).number();
        wake(number, self.outside, || self.to_waker(token).wake());
    }
}

/// Wakes the task in a place: by itself on its shard, by `ring` elsewhere.
#[inline]
fn wake(number: u32, outside: &Arc<Outside>, ring: impl FnOnce()) {
    current::try_with(|shard| match shard {
        Some(shard) if Arc::ptr_eq(&shard.outside, outside) => shard.executor.wake(number),
        _ => ring(),
    });
}

/// Wakes whatever task is in a place, from any thread.
pub(crate) struct Alarm {
    number: u32,
    outside: Arc<Outside>,
    /// Whether it stands in the queue of what other threads have woken.
    raised: Raised,
}

impl Alarm {
    pub(super) fn new(number: u32, outside: Arc<Outside>) -> Alarm {
        Alarm {
            number,
            outside,
            raised: Raised::new(),
        }
    }

    /// The number of its place.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The shard has taken it out of the queue.
    pub(super) fn lower(&self) {
        self.raised.lower();
    }

    #[cold]
    pub(super) fn ring_from_outside(self: &Arc<Alarm>) {
        let wake = |alarm: &Arc<Alarm>| Want::Wake(Arc::clone(alarm));
        if self.raised.raise() && self.outside.woken.push(wake(self)).is_ok() {
            self.outside.bell.ring_from_outside();
        }
    }
}

impl ArcWake for Alarm {
    #[inline]
    fn wake_by_ref(alarm: &Arc<Alarm>) {
        wake(alarm.number, &alarm.outside, || alarm.ring_from_outside());
    }
}
