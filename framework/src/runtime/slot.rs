//! [`Slots`]: the places for the tasks of one shard; [`SlotId`] names one.
//!
//! What must hold: a name, and so a waker, is that of a place and not of a task. Whoever still has
//! one of a task that has ended wakes at worst the next one there for nothing, which every future
//! allows. A place is given away again only when it stands in no group's queue.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use super::current;
use super::groups::Index;
use super::home::{self, HomeId};
use super::lent::Alarm;
use super::task::Work;

/// Names a place for a task, on the thread of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    pub(super) home: HomeId,
    pub(super) number: u32,
}

impl SlotId {
    /// Wakes whatever task is there.
    #[inline]
    pub(crate) fn wake(self) {
        current::try_with(|shard| match shard {
            Some(shard) if shard.executor.home().id() == self.home => {
                shard.executor.wake(self.number);
            }
            _ => self.wake_from_beside(),
        });
    }

    /// Its shard is not the current one, but on this thread: an alarm for this once.
    #[cold]
    fn wake_from_beside(self) {
        if let Some(outside) = home::find(self.home) {
            Arc::new(Alarm::new(self.number, outside)).ring_from_outside();
        }
    }
}

/// A place for a task. Small, since there may be a million.
struct Slot {
    work: Option<Pin<Rc<dyn Work>>>,
    /// Made when a task there was first asked for a waker that lasts.
    alarm: Option<Arc<Alarm>>,
    /// Whether it stands in the queue of its group.
    is_queued: bool,
    group: Index,
}

/// A task that is to be polled, or dropped.
pub(super) struct Due {
    pub(super) work: Pin<Rc<dyn Work>>,
    pub(super) alarm: Option<Arc<Alarm>>,
    pub(super) group: Index,
}

/// The places for tasks of one shard.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    /// Those that another task may have, the last to become so at the end.
    free: Vec<u32>,
}

impl Slots {
    /// Gives a place to a task, which stands in the queue of its group from then on.
    pub(super) fn insert(&mut self, group: Index, work: Pin<Rc<dyn Work>>) -> u32 {
        let Some(number) = self.free.pop() else {
            return self.add(group, work);
        };
        let slot = &mut self.slots[number as usize];
        debug_assert!(slot.work.is_none(), "one task at a time");
        slot.work = Some(work);
        slot.group = group;
        slot.is_queued = true;
        number
    }

    #[cold]
    fn add(&mut self, group: Index, work: Pin<Rc<dyn Work>>) -> u32 {
        let number = u32::try_from(self.slots.len()).expect("fewer than 2^32 tasks: 500 GB");
        self.slots.push(Slot {
            work: Some(work),
            alarm: None,
            is_queued: true,
            group,
        });
        number
    }

    /// The group into whose queue the task there is to be put: none if it stands in it already, or
    /// there is no task. It stands there then.
    #[inline]
    pub(super) fn enqueue(&mut self, number: u32) -> Option<Index> {
        let slot = &mut self.slots[number as usize];
        let is_due = slot.work.is_some() && !std::mem::replace(&mut slot.is_queued, true);
        is_due.then_some(slot.group)
    }

    /// It was taken out of the queue: its task, unless that had woken itself in its last poll.
    #[inline]
    pub(super) fn take_due(&mut self, number: u32) -> Option<Due> {
        let slot = &mut self.slots[number as usize];
        slot.is_queued = false;
        let Some(work) = &slot.work else {
            self.free.push(number);
            return None;
        };
        Some(Due {
            work: Pin::clone(work),
            alarm: slot.alarm.take(),
            group: slot.group,
        })
    }

    /// Gives the alarm back to its place.
    #[inline]
    pub(super) fn keep(&mut self, number: u32, alarm: Arc<Alarm>) {
        self.slots[number as usize].alarm = Some(alarm);
    }

    /// Its task has ended: takes it out.
    #[inline]
    pub(super) fn remove(&mut self, number: u32) -> Option<Pin<Rc<dyn Work>>> {
        let slot = &mut self.slots[number as usize];
        if !slot.is_queued {
            self.free.push(number);
        }
        slot.work.take()
    }

    /// Takes the task out of the first place from `number` on that has one, with its place.
    pub(super) fn remove_next(&mut self, number: u32) -> Option<(u32, Due)> {
        for number in number.. {
            let slot = self.slots.get_mut(number as usize)?;
            if let Some(work) = slot.work.take() {
                let (alarm, group) = (slot.alarm.take(), slot.group);
                return Some((number, Due { work, alarm, group }));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_stays_small() {
        assert!(size_of::<Slot>() <= 32);
    }
}
