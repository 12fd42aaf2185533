//! The clock that the benches of the runtime read.

use std::time::Instant;

/// The time of day of the machine, not of a shard, whose clock stands still within a turn.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn clock() -> Instant {
    Instant::now()
}
