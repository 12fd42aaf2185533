//! [`Faults`]: how small everything is and how often what goes wrong in a simulation.

use super::seed::Seed;

/// The sizes of a simulated system and the odds of its faults; odds are "one in so many", 0 never.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// Submissions that a ring holds before it hands them over.
    pub(crate) submissions_max: usize,
    /// Completions that a ring holds before it overflows.
    pub(crate) completions_max: usize,
    /// Provided buffers of a ring.
    pub(crate) buffers: u16,
    /// Bytes of one of them.
    pub(crate) buffer_len: usize,
    /// Bytes that one direction of a connection holds.
    pub(crate) window: usize,
    /// Connections that wait for a listener.
    pub(crate) backlog_max: usize,
    /// Descriptors of the process.
    pub(crate) descriptors_max: usize,
    /// The longest time that bytes are on their way, in nanoseconds.
    pub(crate) latency_max: u64,
    /// The longest time that an operation waits for its turn, in nanoseconds.
    pub(crate) delay_max: u64,
    /// An operation, or a doorbell, that takes its longest time.
    pub(crate) delays: u64,
    /// A send that takes less than it could, a receive that brings less than is there.
    pub(crate) shorts: u64,
    /// A multishot operation that ends with a success.
    pub(crate) endings: u64,
    /// A multishot operation that ends with `ENOBUFS` or `ECANCELED` though nobody asked for it.
    pub(crate) failings: u64,
    /// An accept that fails with `EMFILE` or `ENFILE`.
    pub(crate) accept_errors: u64,
    /// An accept that fails with `ECONNABORTED`: the connection is gone.
    pub(crate) accept_aborts: u64,
    /// A connection that breaks at some time: reset, or timed out.
    pub(crate) breaks: u64,
    /// A ring that wakes for nothing.
    pub(crate) spurious: u64,
    /// A turn that takes up to 20 ms, as on a stolen CPU.
    pub(crate) stalls: u64,
    /// A shard that gets no turn for a while though it could.
    pub(crate) starvings: u64,
}

/// How often a simulated kernel has done what it may do at any time and a real one does rarely.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mishaps {
    /// Multishot operations that ended with a success, for no reason.
    pub endings: u64,
    /// Multishot operations that ended with `ENOBUFS` or `ECANCELED`, for no reason.
    pub failings: u64,
    /// Operations that had their turn before others which were due earlier.
    pub overtakings: u64,
    /// Cancellations that found their operation at work, or ended.
    pub late_cancels: u64,
}

impl Faults {
    /// A large and friendly system.
    pub(crate) fn none() -> Faults {
        Faults {
            submissions_max: 512,
            completions_max: 4096,
            buffers: 256,
            buffer_len: 4096,
            window: 64 * 1024,
            backlog_max: 4096,
            descriptors_max: 1024,
            latency_max: 50_000,
            delay_max: 0,
            delays: 0,
            shorts: 0,
            endings: 0,
            failings: 0,
            accept_errors: 0,
            accept_aborts: 0,
            breaks: 0,
            spurious: 0,
            stalls: 0,
            starvings: 0,
        }
    }

    /// What the seed says: of each kind nothing, a little or much.
    pub(crate) fn drawn(seed: &mut Seed) -> Faults {
        let mut odds = |much: u64| seed.one_of(&[0, 0, 10 * much, much]);
        let (delays, shorts, endings, failings) = (odds(10), odds(2), odds(4), odds(6));
        let (accept_errors, accept_aborts, breaks) = (odds(4), odds(8), odds(6));
        let (spurious, stalls, starvings) = (odds(4), odds(200), odds(20));
        Faults {
            submissions_max: seed.one_of(&[4, 16, 512]),
            completions_max: seed.one_of(&[2, 4, 8, 32, 4096]),
            buffers: seed.one_of(&[1, 2, 4, 16, 256]),
            buffer_len: seed.one_of(&[1, 7, 64, 512, 4096, 4096]),
            window: seed.one_of(&[1, 100, 1500, 16 * 1024, 64 * 1024]),
            backlog_max: seed.one_of(&[1, 4, 128, 4096]),
            descriptors_max: seed.one_of(&[24, 32, 1024, 1024]),
            latency_max: seed.one_of(&[1_000, 50_000, 2_000_000]),
            delay_max: seed.one_of(&[1_000, 50_000, 1_000_000]),
            delays,
            shorts,
            endings,
            failings,
            accept_errors,
            accept_aborts,
            breaks,
            spurious,
            stalls,
            starvings,
        }
    }
}
