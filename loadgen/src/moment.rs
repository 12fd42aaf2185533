//! [`Moment`]: a point in time of a run, counted from its start; [`Stamp`]: reads it cheaply.
//!
//! What must hold: all shards of a run count from the same start; a stamp never runs backwards
//! within a turn, and is never behind the beginning of its turn.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How many stamps share one reading of the clock: a reading costs about as much as recording one
/// answer.
const STAMPS_PER_READING: u32 = 16;

/// Nanoseconds since the start of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(pub(crate) u64);

impl Moment {
    /// The start.
    pub(crate) const START: Moment = Moment(0);
    /// Later than every other.
    pub(crate) const NEVER: Moment = Moment(u64::MAX);

    /// So long after the start.
    pub(crate) fn after(time: Duration) -> Moment {
        Moment(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// So long after this one.
    #[inline]
    pub(crate) fn plus(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(Moment::after(time).0))
    }

    /// Nanoseconds since `earlier`; 0 if that is later.
    #[inline]
    pub(crate) fn since(self, earlier: Moment) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// In seconds since the start.
    pub(crate) fn seconds(self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

/// Reads the time of a run.
pub(crate) struct Stamp {
    start: Instant,
    /// The turn of the last reading, what was read, and how many stamps it still serves.
    turn: Cell<Instant>,
    read: Cell<Moment>,
    left: Cell<u32>,
    /// How long the reading before that was in use.
    used: Cell<Option<u64>>,
}

impl Stamp {
    /// Counts from `start`.
    pub(crate) fn from(start: Instant) -> Stamp {
        Stamp {
            start,
            turn: Cell::new(start),
            read: Cell::new(Moment::START),
            left: Cell::new(0),
            used: Cell::new(None),
        }
    }

    /// The same as a point in time of the clock.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.start + moment.elapsed()
    }

    /// When `turn` began.
    #[inline]
    pub(crate) fn at(&self, turn: Instant) -> Moment {
        Moment::after(turn.saturating_duration_since(self.start))
    }

    /// The present, in a turn that began at `turn`.
    #[inline]
    pub(crate) fn now(&self, turn: Instant) -> Moment {
        if self.turn.replace(turn) != turn {
            self.left.set(0);
            self.read.set(self.at(turn));
        }
        match self.left.get() {
            0 => {
                let before = self.read.replace(self.at(clock()));
                self.used.set(Some(self.read.get().since(before)));
                self.left.set(STAMPS_PER_READING - 1);
            }
            left => self.left.set(left - 1),
        }
        self.read.get()
    }

    /// How long the reading before the last was in use, once after each reading: by so much the
    /// stamps may be off that it served, and those of the turn's beginning.
    #[inline]
    pub(crate) fn take_used(&self) -> Option<u64> {
        self.used.take()
    }
}

/// What the shard's clock reads once per turn: the kernel's own calibration of the counter.
#[expect(
    clippy::disallowed_methods,
    reason = "a turn of a loaded generator is longer than what it measures"
)]
pub(crate) fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_anew_in_every_turn_and_after_sixteen() {
        let start = clock();
        let stamp = Stamp::from(start);
        let first = stamp.now(start);
        let same: Vec<_> = (1..STAMPS_PER_READING).map(|_| stamp.now(start)).collect();
        assert!(same.iter().all(|&later| later == first));
        assert!(stamp.take_used().is_some(), "since the turn began");
        while stamp.at(clock()) == first {}
        let seventeenth = stamp.now(start);
        assert!(seventeenth > first);
        assert_eq!(stamp.take_used(), Some(seventeenth.since(first)));
        assert_eq!(stamp.take_used(), None);
        let before = stamp.now(start);
        while stamp.at(clock()) == before {}
        assert!(
            stamp.now(start + Duration::from_nanos(1)) > before,
            "another turn"
        );
    }

    #[test]
    fn moments_do_not_overflow() {
        assert_eq!(Moment::NEVER.plus(Duration::MAX), Moment::NEVER);
        assert_eq!(Moment(5).since(Moment(7)), 0);
        assert_eq!(
            Moment::after(Duration::from_secs(2)).elapsed(),
            Duration::from_secs(2)
        );
    }
}
