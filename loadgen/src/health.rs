//! [`Health`]: how much of its time a shard has worked, slept, and waited for a CPU.
//!
//! What must hold: what the kernel does not tell is absent, never zero.

use std::fs;

/// What the kernel has counted for one thread: `/proc/thread-self/schedstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scheduled {
    /// Nanoseconds on a CPU.
    pub(crate) ran: u64,
    /// Nanoseconds ready to run and without a CPU.
    pub(crate) waited: u64,
}

impl Scheduled {
    /// Of the calling thread, so far.
    pub(crate) fn now() -> Option<Scheduled> {
        Scheduled::parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    fn parse(text: &str) -> Option<Scheduled> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        let ran = numbers.next()?.ok()?;
        let waited = numbers.next()?.ok()?;
        Some(Scheduled { ran, waited })
    }
}

/// The kernel counts in ticks of up to 10 ms, so that a shorter time says nothing.
const WALL_MIN: u64 = 200_000_000;

/// How one shard fared in the time that counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Health {
    /// The share of the time in which it worked: on a CPU and not just waiting for a due request.
    pub(crate) busy: Option<f64>,
    /// The share of the time in which it was ready to work and had no CPU.
    pub(crate) waited: Option<f64>,
    /// Receives that ended for want of a buffer and were started again.
    pub(crate) starved: u64,
}

impl Health {
    /// What two readings, `wall` nanoseconds apart, say; `spun` of them were spent on looking at
    /// the clock.
    pub(crate) fn between(
        before: Option<Scheduled>,
        after: Option<Scheduled>,
        wall: u64,
        spun: u64,
        starved: u64,
    ) -> Health {
        let share = |nanos: u64| {
            let wall = crate::number::approximate(wall.max(1));
            (crate::number::approximate(nanos) / wall).min(1.0)
        };
        let both = before.zip(after).filter(|_| wall >= WALL_MIN);
        Health {
            busy: both.map(|(before, after)| {
                share(after.ran.saturating_sub(before.ran).saturating_sub(spun))
            }),
            waited: both.map(|(before, after)| share(after.waited.saturating_sub(before.waited))),
            starved,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let read = Scheduled::parse("1500 20 3\n");
        assert_eq!(
            read,
            Some(Scheduled {
                ran: 1_500,
                waited: 20
            })
        );
        assert_eq!(
            (Scheduled::parse(""), Scheduled::parse("x 1 2")),
            (None, None)
        );
    }

    #[test]
    fn looking_at_the_clock_is_no_work() {
        let at = |ran, waited| Some(Scheduled { ran, waited });
        let mega = 1_000_000;
        let (before, after) = (at(100 * mega, 10 * mega), at(1_000 * mega, 60 * mega));
        let health = Health::between(before, after, 1_000 * mega, 400 * mega, 2);
        assert_eq!(
            (health.busy, health.waited, health.starved),
            (Some(0.5), Some(0.05), 2)
        );
        let unknown = Health::between(None, after, 1_000 * mega, 0, 0);
        assert_eq!((unknown.busy, unknown.waited), (None, None));
        let short = Health::between(before, after, WALL_MIN - 1, 0, 0);
        assert_eq!(short.busy, None, "too short to tell");
    }
}
