//! [`Idle`]: what a shard does that has nothing to do.
//!
//! What must hold: while a shard is to look on it never waits in the kernel; from the end of that
//! time on it waits for as long as its turn wants.

use std::time::{Duration, Instant};

use super::clock::deadline;
use super::driver::Wait;

/// What a shard does that has nothing to do.
///
/// To sleep and be woken takes longer than to answer, all the more where the CPU has gone to sleep
/// too, as those of virtual machines do. A shard that looks on for a while is spared that when
/// something comes in time, and takes its CPU from whoever else would have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Sleeps in the kernel until something comes.
    #[default]
    Sleep,
    /// Looks for input all the time: it answers sooner and keeps its CPU busy.
    Poll,
    /// Looks for input until so long after the last turn that had something to do, then sleeps.
    /// Seastar's `idle-poll-time-us`. In a shard inside another runtime it is as `Sleep`, for the
    /// host has other tasks to run.
    PollFor(Duration),
}

impl Idle {
    /// What is left of it inside another runtime.
    pub(super) fn in_a_host(self) -> Idle {
        match self {
            Idle::PollFor(_) => Idle::Sleep,
            same => same,
        }
    }
}

/// Decides after each turn of a shard whether it may sleep.
pub(super) struct Vigil {
    idle: Idle,
    /// How much had been done by the last turn that had something to do, and when it is long enough
    /// ago.
    done: u64,
    end: Instant,
}

impl Vigil {
    pub(super) fn new(idle: Idle, now: Instant) -> Vigil {
        Vigil {
            idle,
            done: 0,
            end: now,
        }
    }

    /// How to wait after a turn that began at `now` and would wait for `wait`. What has come has a
    /// task polled or is a message of another shard; `done` counts both.
    #[inline]
    pub(super) fn wait(&mut self, now: Instant, done: u64, wait: Wait) -> Wait {
        let Idle::PollFor(time) = self.idle else {
            return if self.idle == Idle::Poll {
                Wait::No
            } else {
                wait
            };
        };
        if done != self.done {
            self.done = done;
            self.end = deadline(now, time);
        }
        if now < self.end { Wait::No } else { wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    fn vigil(idle: Idle) -> (Vigil, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any moment will do as the start")]
        let start = Instant::now();
        (Vigil::new(idle, start), start)
    }

    #[test]
    fn it_sleeps_when_the_last_work_is_long_enough_ago() {
        let (mut vigil, start) = vigil(Idle::PollFor(50 * US));
        let mut wait = |at, done| vigil.wait(start + at * US, done, Wait::Forever);
        assert_eq!(wait(0, 0), Wait::Forever, "nothing has come yet");
        assert_eq!(wait(10, 1), Wait::No);
        assert_eq!((wait(59, 1), wait(60, 1)), (Wait::No, Wait::Forever));
        assert_eq!((wait(70, 2), wait(100, 3)), (Wait::No, Wait::No));
        assert_eq!((wait(149, 3), wait(150, 3)), (Wait::No, Wait::Forever));
    }

    #[test]
    fn for_ever_and_never_are_as_they_say() {
        for (idle, expected) in [
            (Idle::Sleep, Wait::Forever),
            (Idle::PollFor(Duration::ZERO), Wait::Forever),
            (Idle::Poll, Wait::No),
            (Idle::PollFor(Duration::MAX), Wait::No),
        ] {
            let (mut vigil, start) = vigil(idle);
            assert_eq!(vigil.wait(start, 1, Wait::Forever), expected, "{idle:?}");
            let later = start + Duration::from_hours(24);
            assert_eq!(vigil.wait(later, 1, Wait::Forever), expected, "{idle:?}");
        }
    }

    #[test]
    fn a_wait_that_is_none_stays_none() {
        for idle in [Idle::Sleep, Idle::Poll, Idle::PollFor(US)] {
            let (mut vigil, start) = vigil(idle);
            assert_eq!(vigil.wait(start, 0, Wait::No), Wait::No, "{idle:?}");
        }
    }
}
