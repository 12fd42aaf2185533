//! [`Supply`]: which requests a shard may send, and when they are due.
//!
//! What must hold: a number is claimed once; a due request is never taken early; what is given up
//! is counted where it is given up.

use std::ops::Range;

use crate::arrival::Process;
use crate::moment::Moment;
use crate::plan::{Open, Overload, Pace, Part, Plan, Warmup};
use crate::profile::{Cursor, Profile};

/// What is left to send.
#[derive(Debug)]
pub(crate) struct Supply {
    /// The numbers of requests that nobody has claimed.
    numbers: Range<u64>,
    /// The schedule of an open loop.
    due: Option<Due>,
    /// From when on nothing is due or claimed.
    until: Moment,
}

/// The next requests of an open loop.
#[derive(Debug)]
struct Due {
    process: Process,
    cursor: Cursor,
    overload: Overload,
    /// When the next request is due; `None` when the profile has ended.
    next: Option<Moment>,
}

/// A request that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has this number and was due then.
    Request(u64, Moment),
    /// It was due then and is given up.
    Shed(Moment),
}

impl Supply {
    /// What `shard` may send; `until` says when a run by time ends.
    pub(crate) fn new(plan: &Plan, part: &Part, shard: usize, until: Moment) -> Supply {
        Supply {
            numbers: part.requests.clone(),
            due: match &plan.pace {
                Pace::Closed { .. } => None,
                Pace::Open(open) => Some(Due::new(plan, open, shard)),
            },
            until,
        }
    }

    /// Whether there is something to send at `now` or later.
    #[inline]
    pub(crate) fn is_left(&self, now: Moment) -> bool {
        !self.numbers.is_empty()
            && match &self.due {
                None => now < self.until,
                Some(due) => due.next.is_some_and(|next| next < self.until),
            }
    }

    /// Claims up to `most` requests of a closed loop: their numbers.
    #[inline]
    pub(crate) fn claim(&mut self, most: u64, now: Moment) -> Range<u64> {
        let count = if now < self.until {
            most.min(self.numbers.end - self.numbers.start)
        } else {
            0
        };
        let start = self.numbers.start;
        self.numbers.start += count;
        start..self.numbers.start
    }

    /// When the next request of an open loop is due; never when there is none.
    #[inline]
    pub(crate) fn next_due(&self) -> Moment {
        match &self.due {
            Some(Due {
                next: Some(next), ..
            }) if *next < self.until && !self.numbers.is_empty() => *next,
            _ => Moment::NEVER,
        }
    }

    /// Takes the next request of an open loop if it is due at `now`.
    #[inline]
    pub(crate) fn take_due(&mut self, now: Moment) -> Option<Taken> {
        let next = self.next_due();
        if next > now || next == Moment::NEVER {
            return None;
        }
        let due = self
            .due
            .as_mut()
            .expect("a request is due only by schedule");
        due.step();
        let number = self.numbers.start;
        self.numbers.start += 1;
        Some(match due.overload {
            Overload::Shed(patience) if next.plus(patience) < now => Taken::Shed(next),
            _ => Taken::Request(number, next),
        })
    }

    /// Lets nothing be sent that is due at `moment` or later.
    pub(crate) fn end(&mut self, moment: Moment) {
        self.until = self.until.min(moment);
    }

    /// Takes the numbers that nobody has claimed.
    pub(crate) fn rest(&mut self) -> u64 {
        let rest = self.numbers.end - self.numbers.start;
        self.numbers.start = self.numbers.end;
        rest
    }
}

impl Due {
    fn new(plan: &Plan, open: &Open, shard: usize) -> Due {
        let shards = plan.placement.shard_count();
        let process = Process::new(open.arrival, plan.seed, shard, shards);
        let mut due = Due {
            process,
            cursor: Cursor::new(&lived(&open.profile, plan.warmup)),
            overload: open.overload,
            next: None,
        };
        due.step();
        due
    }

    #[inline]
    fn step(&mut self) {
        let count = self
            .process
            .next()
            .expect("a process of arrivals never ends");
        self.next = self.cursor.moment_of(count);
    }
}

/// The profile with its warm-up. A single rate goes on for as long as the run does.
fn lived(profile: &Profile, warmup: Warmup) -> Profile {
    let mut profile = profile.clone();
    if let [only] = profile.stages.as_mut_slice()
        && only.from.to_bits() == only.to.to_bits()
    {
        // A hundred years.
        only.time = std::time::Duration::from_hours(100 * 365 * 24);
    }
    match warmup {
        Warmup::Fixed(time) => profile.with_warmup(time),
        Warmup::Auto(_) => profile,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::plan::samples::{closed, open};

    fn supply(plan: &Plan, until: Moment) -> Supply {
        Supply::new(plan, &plan.part(0), 0, until)
    }

    #[test]
    fn a_closed_loop_claims_each_number_once() {
        let mut supply = supply(&closed(10), Moment(100));
        assert_eq!(
            (supply.claim(4, Moment(0)), supply.claim(4, Moment(99))),
            (0..4, 4..8)
        );
        assert_eq!(
            (supply.claim(4, Moment(100)), supply.next_due()),
            (8..8, Moment::NEVER)
        );
        assert!(!supply.is_left(Moment(100)) && supply.is_left(Moment(99)));
        assert_eq!(
            (supply.claim(4, Moment(0)), supply.rest(), supply.rest()),
            (8..10, 0, 0)
        );
        assert!(!supply.is_left(Moment(0)));
    }

    #[test]
    fn nothing_is_taken_before_it_is_due_and_nothing_is_lost_when_late() {
        let second = 1_000_000_000;
        let mut supply = supply(&open(10, Overload::Queue), Moment(second));
        assert_eq!(
            supply.take_due(Moment(0)),
            Some(Taken::Request(0, Moment(0)))
        );
        assert_eq!(supply.take_due(Moment(99_999_999)), None);
        assert_eq!(supply.next_due(), Moment(100_000_000));
        let late = Moment(10 * second);
        let taken: Vec<_> = std::iter::from_fn(|| supply.take_due(late)).collect();
        assert_eq!(
            taken.len(),
            9,
            "those that were due before the end: {taken:?}"
        );
        assert_eq!(taken[8], Taken::Request(9, Moment(900_000_000)));
        assert!(!supply.is_left(Moment(0)));
    }

    #[test]
    fn what_has_waited_too_long_is_shed() {
        let patience = Duration::from_millis(150);
        let mut supply = supply(&open(10, Overload::Shed(patience)), Moment::NEVER);
        let at = |millis: u64| Moment(millis * 1_000_000);
        assert_eq!(supply.take_due(at(200)), Some(Taken::Shed(at(0))));
        assert_eq!(supply.take_due(at(250)), Some(Taken::Request(1, at(100))));
        assert_eq!(supply.take_due(at(351)), Some(Taken::Shed(at(200))));
        supply.end(at(300));
        assert_eq!(
            (supply.take_due(at(351)), supply.next_due()),
            (None, Moment::NEVER)
        );
    }
}
