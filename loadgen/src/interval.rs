//! [`Interval`]: one row of the timeline while it is filled, on one shard or on all.
//!
//! What must hold: the rows of a run add up to its totals; a row costs memory only while it is
//! filled.

use crate::latency::Latency;
use crate::ledger::Outcome;

/// What has happened in one interval, without the warm-up.
#[derive(Clone, Default)]
pub(crate) struct Interval {
    /// Requests sent.
    pub(crate) sent: u64,
    /// Answers that were as hoped for.
    pub(crate) ok: u64,
    /// Requests that ended otherwise.
    pub(crate) errors: u64,
    /// How long the oldest request that was due had waited for a connection at its end, in ns.
    pub(crate) behind: u64,
    /// How much of the time the busiest shard worked, 0 to 1.
    pub(crate) busy: f64,
    /// The response times of what ended in it, if anything did.
    response: Option<Box<Latency>>,
}

impl Interval {
    /// Enters the outcome of `count` requests.
    #[inline]
    pub(crate) fn settle(&mut self, outcome: Outcome, count: u64) {
        match outcome {
            Outcome::Ok => self.ok += count,
            Outcome::InFlightAtEnd => {}
            _ => self.errors += count,
        }
    }

    /// Enters `count` response times.
    #[inline]
    pub(crate) fn record(&mut self, nanos: u64, count: u64) {
        let response = self
            .response
            .get_or_insert_with(|| Box::new(Latency::new()));
        response.record(nanos, count);
    }

    /// The response times.
    pub(crate) fn response(&self) -> Option<&Latency> {
        self.response.as_deref()
    }

    /// Adds another shard's.
    pub(crate) fn merge(&mut self, other: Interval) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.errors += other.errors;
        self.behind = self.behind.max(other.behind);
        self.busy = self.busy.max(other.busy);
        match (&mut self.response, other.response) {
            (Some(mine), Some(theirs)) => mine.merge(&theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let (mut sum, mut one) = (Interval::default(), Interval::default());
        sum.merge(Interval::default());
        assert!(sum.response().is_none());
        one.record(1_000, 3);
        one.settle(Outcome::Ok, 2);
        one.settle(Outcome::Reset, 1);
        one.settle(Outcome::InFlightAtEnd, 7);
        one.busy = 0.5;
        sum.merge(one.clone());
        sum.merge(one);
        sum.merge(Interval::default());
        assert_eq!((sum.ok, sum.errors), (4, 2));
        assert_eq!(sum.response().map(Latency::count), Some(6));
        assert!((sum.busy - 0.5).abs() < f64::EPSILON);
    }
}
