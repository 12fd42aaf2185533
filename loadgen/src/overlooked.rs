//! [`Overlooked`]: the stretch of time in which a shard should have sent and did not look.
//!
//! What must hold: what became due while a connection was free, and was seen only later, is the
//! generator's own delay up to the moment when it was seen, whatever it waits for after that. So a
//! generator that was stopped cannot charge its delay to connections that are all busy when it
//! catches up.

use std::cell::Cell;

use crate::moment::Moment;

/// When a shard last looked at the schedule, and what it had overlooked then.
#[derive(Default)]
pub(crate) struct Overlooked {
    looked: Cell<Moment>,
    /// Requests that became due after the first and up to the second moment were seen at the
    /// second. One stretch is enough: another can only begin when all of these have been sent,
    /// since a connection is free only then.
    since: Cell<Moment>,
    seen: Cell<Moment>,
}

impl Overlooked {
    /// Notes a look at `now`: whether a connection had been free since the look before, and when
    /// the oldest request is due that nobody has taken.
    #[inline]
    pub(crate) fn look(&self, now: Moment, was_free: bool, oldest: Moment) {
        let before = self.looked.replace(now);
        if before < now && was_free && oldest <= now {
            if oldest > self.seen.get() {
                self.since.set(before);
            }
            self.seen.set(now);
        }
    }

    /// When a request was seen that was due at `due`; that moment itself if it was not overlooked.
    #[inline]
    pub(crate) fn noticed(&self, due: Moment) -> Moment {
        if self.since.get() < due && due <= self.seen.get() {
            self.seen.get()
        } else {
            due
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noticed(overlooked: &Overlooked, due: u64) -> u64 {
        overlooked.noticed(Moment(due)).0
    }

    #[test]
    fn what_became_due_between_two_looks_was_seen_at_the_second() {
        let overlooked = Overlooked::default();
        overlooked.look(Moment(100), true, Moment(150));
        assert_eq!(noticed(&overlooked, 90), 90, "there was none");
        overlooked.look(Moment(500), true, Moment(150));
        let seen = [100, 101, 150, 500, 501].map(|due| noticed(&overlooked, due));
        assert_eq!(seen, [100, 500, 500, 500, 501]);
        overlooked.look(Moment(500), true, Moment(150));
        overlooked.look(Moment(600), false, Moment(300));
        assert_eq!(noticed(&overlooked, 300), 500, "it stays so while it waits");
        assert_eq!(noticed(&overlooked, 550), 550, "no connection was free");
    }

    #[test]
    fn the_next_stretch_forgets_the_last_one_unless_that_is_still_waiting() {
        let overlooked = Overlooked::default();
        overlooked.look(Moment(100), true, Moment(50));
        overlooked.look(Moment(300), true, Moment(250));
        let seen = [50, 150, 250].map(|due| noticed(&overlooked, due));
        assert_eq!(seen, [50, 300, 300]);
        overlooked.look(Moment(400), true, Moment(250));
        let seen = [150, 250, 350].map(|due| noticed(&overlooked, due));
        assert_eq!(seen, [400, 400, 400], "the worse of the two");
    }
}
