//! [`Slots`]: the places for the tasks of one shard, and whose turn it is; [`SlotId`] names one.
//!
//! What must hold: a name, and so a waker, is that of a place and not of a task. Whoever still has
//! one of a task that has ended wakes at worst the next one there for nothing, which every future
//! allows. A place is given away again only when it stands in no group's queue.

use std::mem;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::current;
use super::groups::{GROUPS_MAX, Index};
use super::home::{self, HomeId};
use super::lent::Alarm;
use crate::sys::thin::Back;

/// Names a place for a task, on the thread of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotId {
    /// The shard in the lower half, the number in the upper one.
    bits: NonZeroU64,
}

impl SlotId {
    #[inline]
    pub(super) fn new(home: HomeId, number: u32) -> SlotId {
        let bits = NonZeroU64::from(home.bits()) | u64::from(number) << 32;
        SlotId { bits }
    }

    /// As the token of the waker that is lent to the task there.
    #[inline]
    pub(super) fn from_token(bits: NonZeroU64) -> SlotId {
        SlotId { bits }
    }

    /// See [`from_token`](SlotId::from_token).
    #[inline]
    pub(super) fn token(self) -> NonZeroU64 {
        self.bits
    }

    /// Whether it is of this shard.
    #[inline]
    pub(super) fn is_of(self, home: HomeId) -> bool {
        low(self.bits.get()) == home.bits().get()
    }

    /// The number of the place.
    #[inline]
    pub(super) fn number(self) -> u32 {
        low(self.bits.get() >> 32)
    }

    /// Wakes whatever task is there.
    #[inline]
    pub(crate) fn wake(self) {
        current::try_with(|shard| match shard {
            Some(shard) if self.is_of(shard.executor.home().id()) => {
                shard.executor.wake(self.number());
            }
            _ => self.wake_from_beside(),
        });
    }

    /// Its shard is not the current one, but on this thread: an alarm for this once.
    #[cold]
    fn wake_from_beside(self) {
        if let Some(outside) = home::find(|home| self.is_of(home)) {
            Arc::new(Alarm::new(self.number(), outside)).ring_from_outside();
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
#[inline]
fn low(bits: u64) -> u32 {
    bits as u32
}

/// No place.
const NONE: u32 = u32::MAX;

/// A place for a task. Small, since there may be a million.
struct Slot {
    /// `None` while it is polled, too.
    work: Option<Back>,
    /// Made when a task there was first asked for a waker that lasts.
    alarm: Option<Arc<Alarm>>,
    /// The one behind it in the list that it stands in: a group's queue, or the free ones.
    next: u32,
    /// Whether there is a task, which does not stand in the queue of its group.
    is_asleep: bool,
    group: Index,
}

/// A list of places, the first to come the first to go.
#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    /// Only if there is a first.
    last: u32,
}

impl Queue {
    const EMPTY: Queue = Queue {
        first: NONE,
        last: NONE,
    };
}

/// A task that is to be polled, and the alarm of its place.
pub(super) struct Due {
    pub(super) number: u32,
    pub(super) work: Back,
    pub(super) alarm: Option<Arc<Alarm>>,
}

/// The places for tasks of one shard.
pub(super) struct Slots {
    places: Vec<Slot>,
    /// The first of those that another task may have: the last to become so.
    free: u32,
    /// Those whose tasks are to be polled, by group.
    queues: [Queue; GROUPS_MAX],
}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots {
            places: Vec::new(),
            free: NONE,
            queues: [Queue::EMPTY; GROUPS_MAX],
        }
    }

    /// Gives a place to a task, which stands in the queue of its group from then on.
    #[inline]
    pub(super) fn insert(&mut self, group: Index, work: Back) -> u32 {
        let number = self.free;
        let Some(slot) = self.places.get_mut(number as usize) else {
            return self.add(group, work);
        };
        debug_assert!(slot.work.is_none() && !slot.is_asleep, "one task at a time");
        self.free = mem::replace(&mut slot.next, NONE);
        slot.work = Some(work);
        slot.group = group;
        self.enqueue(group, number);
        number
    }

    #[cold]
    fn add(&mut self, group: Index, work: Back) -> u32 {
        let number = u32::try_from(self.places.len()).ok();
        let number = number.filter(|number| *number != NONE);
        let number = number.expect("fewer than 2^32 tasks: 500 GB");
        self.places.push(Slot {
            work: Some(work),
            alarm: None,
            next: NONE,
            is_asleep: false,
            group,
        });
        self.enqueue(group, number);
        number
    }

    /// Puts a place to the end of a queue.
    #[inline]
    fn enqueue(&mut self, group: Index, number: u32) {
        let queue = &mut self.queues[group.place()];
        let last = mem::replace(&mut queue.last, number);
        if queue.first == NONE {
            queue.first = number;
        } else {
            self.places[last as usize].next = number;
        }
    }

    /// Puts the task in this place into the queue of its group, if there is one that does not stand
    /// in it already.
    #[inline]
    pub(super) fn wake(&mut self, number: u32) {
        let slot = &mut self.places[number as usize];
        if mem::take(&mut slot.is_asleep) {
            slot.next = NONE;
            let group = slot.group;
            self.enqueue(group, number);
        }
    }

    /// Takes the next task of a group out of its queue and its place.
    #[inline]
    pub(super) fn next_due(&mut self, group: Index) -> Option<Due> {
        let queue = &mut self.queues[group.place()];
        loop {
            let number = queue.first;
            // There is none of the number `NONE`.
            let slot = self.places.get_mut(number as usize)?;
            queue.first = slot.next;
            if let Some(work) = slot.work.take() {
                slot.is_asleep = true;
                // To take what is not there would cost a store.
                let alarm = slot.alarm.is_some().then(|| slot.alarm.take()).flatten();
                return Some(Due {
                    number,
                    work,
                    alarm,
                });
            }
            // The one that was there had woken itself in its last poll.
            slot.next = mem::replace(&mut self.free, number);
        }
    }

    /// How many tasks of a group stand in its queue: counted, since hardly anybody asks.
    pub(super) fn due_count(&self, group: Index) -> usize {
        let mut next = self.queues[group.place()].first;
        let mut count = 0;
        while let Some(slot) = self.places.get(next as usize) {
            count += 1;
            next = slot.next;
        }
        count
    }

    /// Whether a task of a group stands in its queue.
    #[inline]
    pub(super) fn is_due(&self, group: Index) -> bool {
        self.queues[group.place()].first != NONE
    }

    /// Whether a task of one of the first `groups` groups stands in a queue, the one of `beside`
    /// left out.
    #[inline]
    pub(super) fn is_any_due(&self, groups: usize, beside: Option<Index>) -> bool {
        let mut queues = self.queues[..groups].iter().enumerate();
        let beside = beside.map(Index::place);
        queues.any(|(place, queue)| Some(place) != beside && queue.first != NONE)
    }

    /// Empties the queues, when no task is left.
    pub(super) fn clear_queues(&mut self) {
        self.queues = [Queue::EMPTY; GROUPS_MAX];
    }

    /// Gives a task back to its place, which waits.
    #[inline]
    pub(super) fn put_back(&mut self, number: u32, work: Back) {
        self.places[number as usize].work = Some(work);
    }

    /// Gives the alarm back to its place.
    pub(super) fn keep(&mut self, number: u32, alarm: Arc<Alarm>) {
        self.places[number as usize].alarm = Some(alarm);
    }

    /// The task that was taken out has ended: its place is free. Tells the task's group.
    #[inline]
    pub(super) fn free(&mut self, number: u32) -> Index {
        let slot = &mut self.places[number as usize];
        // Else it stands in the queue still.
        if mem::take(&mut slot.is_asleep) {
            slot.next = mem::replace(&mut self.free, number);
        }
        slot.group
    }

    /// Takes the task out of the first place from `number` on that has one, for good: the place,
    /// the group and the task.
    pub(super) fn remove_next(&mut self, number: u32) -> Option<(u32, Index, Back)> {
        for number in number.. {
            let slot = self.places.get_mut(number as usize)?;
            if let Some(work) = slot.work.take() {
                slot.is_asleep = false;
                return Some((number, slot.group, work));
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
        assert!(size_of::<Slot>() <= 24);
    }
}
