//! [`Clock`]: the only place that reads the time, once per turn.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use crate::sys::sim;

/// Whoever waits longer than this waits for ever: 136 years.
const EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// When `timeout` is over that begins at `now`. It may be as long as one likes.
#[inline]
pub(crate) fn deadline(now: Instant, timeout: Duration) -> Instant {
    now + timeout.min(EVER)
}

/// The time of one shard. It moves only between turns, so that one turn sees one moment.
#[derive(Debug)]
pub(crate) struct Clock {
    now: Cell<Instant>,
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        let start = Clock::monotonic();
        Clock {
            now: Cell::new(start),
            start,
        }
    }

    /// The moment at which this turn began.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The moment at which the shard was made.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Begins a turn.
    #[inline]
    pub(crate) fn advance(&self) {
        self.now.set(Clock::monotonic());
    }

    /// The time of day, as the system has it: may jump.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(crate) fn wall() -> SystemTime {
        sim::wall().unwrap_or_else(SystemTime::now)
    }

    /// The moment itself: for what may not wait for the next turn.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn monotonic() -> Instant {
        sim::now().unwrap_or_else(Instant::now)
    }
}
