//! [`Wheel`]: the timers of one shard, as a hierarchical wheel.
//!
//! What must hold: no timer fires before its deadline; inserting and cancelling cost the same
//! however many timers there are; a key carries a generation, so cancelling a timer that has fired
//! never cancels its successor in the same place.
//!
//! Eight levels of 64 slots at 1,024 ns a tick reach nine years; level `n` holds the timers whose
//! tick differs from the present one first in the `n`-th group of six bits.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::wakee::Wakee;

const TICK_SHIFT: u32 = 10;
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 8;
const TICK_MAX: u64 = (1 << 48) - 1;
const NONE: u32 = u32::MAX;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Names a timer that was inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: u32,
}

struct Entry {
    generation: u32,
    tick: u64,
    waker: Option<Wakee>,
    slot: u16,
    previous: u32,
    next: u32,
}

/// A set of timers, each of which wakes a task at its deadline.
pub(crate) struct Wheel {
    start: Instant,
    /// The tick up to which timers have fired.
    elapsed: u64,
    entries: Vec<Entry>,
    free: u32,
    len: usize,
    heads: Box<[u32; SLOTS * LEVELS]>,
    /// A bit for each slot that is not empty.
    occupied: [u64; LEVELS],
}

impl Wheel {
    /// Makes an empty wheel whose first tick is `start`.
    pub(crate) fn new(start: Instant) -> Wheel {
        let heads = Box::new([NONE; SLOTS * LEVELS]);
        let occupied = [0; LEVELS];
        Wheel {
            start,
            elapsed: 0,
            entries: Vec::new(),
            free: NONE,
            len: 0,
            heads,
            occupied,
        }
    }

    /// How many timers wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer that wakes `waker` at the first turn at or after `deadline`.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: Wakee) -> TimerKey {
        let tick = self
            .tick_at_or_after(deadline)
            .clamp(self.elapsed + 1, TICK_MAX);
        let index = self.take_entry();
        let entry = &mut self.entries[index as usize];
        (entry.tick, entry.waker) = (tick, Some(waker));
        let generation = entry.generation;
        self.link(index);
        self.len += 1;
        TimerKey { index, generation }
    }

    /// Replaces the waker of a timer, and gives one back that is to be dropped when the wheel is
    /// not borrowed; nothing when the timer does not wait any more.
    pub(crate) fn rewake(&mut self, key: TimerKey, waker: &Waker) -> Option<Wakee> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.waker.replace(Wakee::of(waker))
    }

    /// Removes a timer. Gives its waker back if it was still waiting.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<Wakee> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        self.unlink(key.index);
        Some(self.give_entry(key.index))
    }

    /// Hands the wakers of all timers that are due at `now` to `fire`.
    pub(crate) fn advance(&mut self, now: Instant, mut fire: impl FnMut(Wakee)) {
        let present = self.tick_before(now);
        while let Some((level, slot, tick)) = self.first_slot() {
            if tick > present {
                break;
            }
            self.elapsed = self.elapsed.max(tick);
            self.empty_slot(level, slot, &mut fire);
        }
        self.elapsed = self.elapsed.max(present);
    }

    /// The moment at which `advance` has something to do: a deadline, or the turn of a slot whose
    /// timers must be sorted more finely before one of them is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let (_, _, tick) = self.first_slot()?;
        Some(self.start + Duration::from_nanos(tick << TICK_SHIFT))
    }

    /// Moves every timer of a slot: due ones to `fire`, others to a finer level.
    fn empty_slot(&mut self, level: usize, slot: usize, fire: &mut impl FnMut(Wakee)) {
        let mut index = std::mem::replace(&mut self.heads[level * SLOTS + slot], NONE);
        self.occupied[level] &= !(1 << slot);
        while index != NONE {
            let next = self.entries[index as usize].next;
            if self.entries[index as usize].tick <= self.elapsed {
                fire(self.give_entry(index));
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    /// The slot that comes first, and the tick at which its turn comes.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = LEVEL_BITS * u32::try_from(level).expect("eight levels");
        let here = u32::try_from((self.elapsed >> shift) & 63).expect("six bits");
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) % 64;
        let turn = (self.elapsed >> shift) + u64::from(ahead);
        Some((level, slot as usize, turn << shift))
    }

    fn link(&mut self, index: u32) {
        let tick = self.entries[index as usize].tick;
        let differing = (tick ^ self.elapsed) | 1;
        let level = (differing.ilog2() / LEVEL_BITS) as usize;
        let shift = LEVEL_BITS * u32::try_from(level).expect("eight levels");
        let slot = usize::try_from((tick >> shift) & 63).expect("six bits");
        let at = level * SLOTS + slot;
        let next = std::mem::replace(&mut self.heads[at], index);
        self.occupied[level] |= 1 << slot;
        let entry = &mut self.entries[index as usize];
        (entry.previous, entry.next) = (NONE, next);
        entry.slot = u16::try_from(at).expect("512 slots");
        if next != NONE {
            self.entries[next as usize].previous = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.entries[index as usize];
        let (previous, next, at) = (entry.previous, entry.next, usize::from(entry.slot));
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
            return;
        }
        self.heads[at] = next;
        if next == NONE {
            self.occupied[at / SLOTS] &= !(1 << (at % SLOTS));
        }
    }

    fn take_entry(&mut self) -> u32 {
        if self.free != NONE {
            let index = self.free;
            self.free = self.entries[index as usize].next;
            return index;
        }
        let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 timers");
        let waker = None;
        let entry = Entry {
            generation: 0,
            tick: 0,
            waker,
            slot: 0,
            previous: NONE,
            next: NONE,
        };
        self.entries.push(entry);
        index
    }

    fn give_entry(&mut self, index: u32) -> Wakee {
        let entry = &mut self.entries[index as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.next = std::mem::replace(&mut self.free, index);
        self.len -= 1;
        entry.waker.take().expect("a linked timer has a waker")
    }

    /// The first tick that does not begin before `moment`: rounding up, so never early.
    fn tick_at_or_after(&self, moment: Instant) -> u64 {
        self.nanos_until(moment).div_ceil(1 << TICK_SHIFT)
    }

    /// The last tick that has begun by `moment`.
    fn tick_before(&self, moment: Instant) -> u64 {
        (self.nanos_until(moment) >> TICK_SHIFT).min(TICK_MAX)
    }

    /// Nanoseconds since the start, up to 584 years.
    fn nanos_until(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.start);
        let whole = since.as_secs().saturating_mul(NANOS_PER_SECOND);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::sys::testing::Count;

    fn count() -> (Arc<Count>, Wakee) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Wakee::Other(Waker::from(count)))
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do as the start")]
    fn wheel() -> (Wheel, Instant) {
        let start = Instant::now();
        (Wheel::new(start), start)
    }

    fn advance(wheel: &mut Wheel, now: Instant) -> usize {
        let mut fired = 0;
        wheel.advance(now, |_| fired += 1);
        fired
    }

    #[test]
    fn a_timer_fires_at_its_deadline_and_not_before() {
        for nanos in [
            1,
            1_023,
            1_024,
            1_025,
            63 << 10,
            64 << 10,
            65 << 10,
            1 << 40,
            3 << 50,
        ] {
            let (mut wheel, start) = wheel();
            let deadline = start + Duration::from_nanos(nanos);
            wheel.insert(deadline, count().1);
            assert_eq!(
                advance(&mut wheel, start + Duration::from_nanos(nanos - 1)),
                0,
                "{nanos}"
            );
            assert_eq!(
                advance(&mut wheel, deadline + Duration::from_nanos(1_024)),
                1,
                "{nanos}"
            );
            assert_eq!(wheel.len(), 0);
        }
    }

    #[test]
    fn random_timers_fire_in_their_tick_whatever_the_steps() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let (mut wheel, start) = wheel();
        let mut due = Vec::new();
        let mut now = start;
        for _ in 0..if cfg!(miri) { 50 } else { 2_000 } {
            let deadline = now + Duration::from_nanos(random() % (1 << (random() % 42)));
            wheel.insert(deadline, count().1);
            due.push(deadline);
            now += Duration::from_nanos(random() % (1 << (random() % 36)));
            let fired = advance(&mut wheel, now);
            let tick = Duration::from_nanos(1 << TICK_SHIFT);
            let before = due.len();
            // A deadline within the tick that is under way, or set in the past, may fire next time.
            let late = due.iter().filter(|&&at| at + 2 * tick <= now).count();
            let most = due.iter().filter(|&&at| at <= now).count();
            assert!(
                late <= fired && fired <= most,
                "{late} <= {fired} <= {most}"
            );
            due.sort();
            due.drain(..fired);
            assert_eq!(wheel.len(), before - fired);
        }
    }

    #[test]
    fn the_next_deadline_is_never_later_than_the_first_timer() {
        let (mut wheel, start) = wheel();
        assert_eq!(wheel.next_deadline(), None);
        let deadline = start + Duration::from_millis(250);
        wheel.insert(deadline, count().1);
        let mut turns = 0;
        while wheel.len() > 0 {
            let next = wheel.next_deadline().unwrap();
            assert!(next <= deadline + Duration::from_nanos(1 << TICK_SHIFT));
            advance(&mut wheel, next);
            turns += 1;
        }
        assert!(turns <= LEVELS, "{turns} turns for one timer");
    }

    #[test]
    fn cancelling_works_once_and_spares_the_successor() {
        let (mut wheel, start) = wheel();
        let deadline = start + Duration::from_secs(1);
        let first = wheel.insert(deadline, count().1);
        let second = wheel.insert(deadline, count().1);
        assert!(wheel.cancel(first).is_some() && wheel.cancel(first).is_none());
        let third = wheel.insert(deadline, count().1);
        assert_eq!(first.index, third.index);
        assert!(wheel.cancel(first).is_none());
        assert_eq!(advance(&mut wheel, deadline + Duration::from_secs(1)), 2);
        assert!(wheel.cancel(second).is_none() && wheel.cancel(third).is_none());
    }

    #[test]
    fn a_timer_wakes_the_waker_that_was_set_last() {
        let (mut wheel, start) = wheel();
        let ((old, old_waker), new) = (count(), Arc::new(Count::default()));
        let new_waker = Waker::from(Arc::clone(&new));
        let key = wheel.insert(start + Duration::from_secs(1), old_waker);
        assert!(wheel.rewake(key, &new_waker).is_some());
        wheel.advance(start + Duration::from_secs(2), Wakee::wake);
        assert!(wheel.rewake(key, &new_waker).is_none());
        let counts = (old.get(), new.get());
        assert_eq!(counts, (0, 1));
    }
}
