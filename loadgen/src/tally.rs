//! [`Tally`]: what a run has come to, on one shard or on all.

use std::io;
use std::time::{Duration, Instant};

use crate::latency::Latency;
use crate::ledger::{Ledger, Outcome};

/// The accounts of a run.
pub(crate) struct Tally {
    /// What became of each request.
    pub(crate) ledger: Ledger,
    /// How long the answers took, whatever their status.
    pub(crate) latency: Latency,
    /// Requests that were to be sent and were not.
    pub(crate) unsent: u64,
    /// When the first request was sent.
    pub(crate) first_sent: Option<Instant>,
    /// When the last whole answer came.
    pub(crate) last_answer: Option<Instant>,
    /// What the first fault was.
    pub(crate) first_fault: Option<String>,
}

impl Tally {
    /// Empty accounts.
    pub(crate) fn new() -> Tally {
        Tally {
            ledger: Ledger::new(),
            latency: Latency::new(),
            unsent: 0,
            first_sent: None,
            last_answer: None,
            first_fault: None,
        }
    }

    /// Enters that `count` requests of `len` bytes in all were sent at `now`.
    #[inline]
    pub(crate) fn note_sent(&mut self, count: u64, len: usize, now: Instant) {
        self.ledger.sent += count;
        self.ledger.bytes_out += len as u64;
        self.first_sent.get_or_insert(now);
    }

    /// Enters a whole answer to a request that was sent at `sent`.
    #[inline]
    pub(crate) fn note_answer(&mut self, status: u16, ok: bool, sent: Instant, now: Instant) {
        self.ledger.note_status(status);
        self.ledger
            .settle(if ok { Outcome::Ok } else { Outcome::BadStatus }, 1);
        self.latency.record(now.saturating_duration_since(sent));
        self.last_answer = Some(now);
        if !ok {
            self.note_fault(|| format!("an answer had status {status}"));
        }
    }

    /// Enters an attempt to connect that failed.
    pub(crate) fn note_connect_failed(&mut self, error: &io::Error) {
        self.ledger.connect_failed += 1;
        self.note_fault(|| format!("cannot connect: {error}"));
    }

    /// Keeps the first fault's description.
    pub(crate) fn note_fault(&mut self, describe: impl FnOnce() -> String) {
        self.first_fault.get_or_insert_with(describe);
    }

    /// Adds another shard's accounts.
    pub(crate) fn merge(&mut self, other: Tally) {
        self.ledger.merge(&other.ledger);
        self.latency.merge(&other.latency);
        self.unsent += other.unsent;
        self.first_sent = self.first_sent.into_iter().chain(other.first_sent).min();
        self.last_answer = self.last_answer.max(other.last_answer);
        self.first_fault = self.first_fault.take().or(other.first_fault);
    }

    /// From the first request to the last answer.
    pub(crate) fn elapsed(&self) -> Duration {
        match (self.first_sent, self.last_answer) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }

    /// Whole answers per second.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.elapsed().as_secs_f64();
        let answered = crate::number::approximate(self.ledger.answered());
        if seconds > 0.0 {
            answered / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sunstar::runtime::{Config, Placement, now, run_on_all_shards};

    #[test]
    fn shards_are_merged_into_one_span_of_time() {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, |_| async {
            let start = now();
            let at = |second| start + Duration::from_secs(second);
            let mut sum = Tally::new();
            assert_eq!((sum.elapsed(), sum.rate().to_bits()), (Duration::ZERO, 0));
            for (first, last, status) in [(2, 5, 500), (1, 3, 200)] {
                let mut tally = Tally::new();
                tally.note_sent(1, 100, at(first));
                tally.note_answer(status, status == 200, at(first), at(last));
                sum.merge(tally);
            }
            assert_eq!((sum.elapsed(), sum.rate()), (Duration::from_secs(4), 0.5));
            assert_eq!((sum.ledger.sent, sum.ledger.bytes_out), (2, 200));
            assert_eq!(sum.first_fault.as_deref(), Some("an answer had status 500"));
            assert!(sum.ledger.is_balanced() && sum.latency.count() == 2);
        })
        .unwrap();
    }
}
