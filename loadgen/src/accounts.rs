//! [`Accounts`]: what became of the requests of one phase, and the three times that each took.
//!
//! What must hold: every request that was sent has a send lag; every one that was answered or has
//! timed out has a response time and a service time; nothing is averaged, everything is added.

use crate::latency::Latency;
use crate::ledger::{Ledger, Outcome};
use crate::moment::Moment;

/// Requests that were sent at one moment, as alike as accounts can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// When they were due: by the schedule, or when the answer before them had come.
    pub(crate) intended: Moment,
    /// When they were handed to the connection.
    pub(crate) sent: Moment,
    /// How many have no answer yet.
    pub(crate) count: u32,
    /// Which part of the run they were due in: 0 is the warm-up.
    pub(crate) phase: u16,
    /// Which template they were made from.
    pub(crate) template: u16,
}

/// The books of one phase.
#[derive(Clone)]
pub(crate) struct Accounts {
    /// What became of each request.
    pub(crate) ledger: Ledger,
    /// From when a request was due to its whole answer.
    pub(crate) response: Latency,
    /// From when a request was sent to its whole answer.
    pub(crate) service: Latency,
    /// From when a request was due to when it was sent: the generator's own delay, and the wait
    /// for a free connection.
    pub(crate) lag: Latency,
}

impl Accounts {
    /// Empty books.
    pub(crate) fn new() -> Accounts {
        Accounts {
            ledger: Ledger::default(),
            response: Latency::new(),
            service: Latency::new(),
            lag: Latency::new(),
        }
    }

    /// Enters that `batch` was sent.
    #[inline]
    pub(crate) fn note_sent(&mut self, batch: &Batch) {
        let count = u64::from(batch.count);
        self.ledger.sent += count;
        self.lag.record(batch.sent.since(batch.intended), count);
    }

    /// Enters that `count` requests of `batch` have ended in time `now`: answered or timed out.
    #[inline]
    pub(crate) fn note_times(&mut self, batch: &Batch, now: Moment, count: u64) {
        self.response.record(now.since(batch.intended), count);
        self.service.record(now.since(batch.sent), count);
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Accounts) {
        self.ledger.merge(&other.ledger);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.lag.merge(&other.lag);
    }

    /// Whether each request has one outcome, one lag, and the times that its outcome asks for.
    pub(crate) fn is_balanced(&self) -> bool {
        let timed = self.ledger.answered() + self.ledger.count(Outcome::Timeout);
        self.ledger.is_balanced()
            && self.lag.count() == self.ledger.sent
            && self.response.count() == timed
            && self.service.count() == timed
    }
}

/// The books of one template.
#[derive(Clone)]
pub(crate) struct TemplateAccounts {
    /// What became of each request.
    pub(crate) ledger: Ledger,
    /// Their response times.
    pub(crate) response: Latency,
}

impl TemplateAccounts {
    /// Empty books.
    pub(crate) fn new() -> TemplateAccounts {
        TemplateAccounts {
            ledger: Ledger::default(),
            response: Latency::new(),
        }
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: &TemplateAccounts) {
        self.ledger.merge(&other.ledger);
        self.response.merge(&other.response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_its_request_breaks_the_balance() {
        let batch = Batch {
            intended: Moment(1_000),
            sent: Moment(3_000),
            count: 2,
            phase: 0,
            template: 0,
        };
        let mut accounts = Accounts::new();
        accounts.note_sent(&batch);
        assert!(!accounts.is_balanced(), "sent and not settled");
        accounts.note_times(&batch, Moment(11_000), 2);
        accounts.ledger.settle(Outcome::Timeout, 1);
        accounts.ledger.settle(Outcome::Ok, 1);
        accounts.ledger.note_status(200, 1);
        assert!(accounts.is_balanced());
        let micros = |latency: &Latency| latency.max().as_secs_f64() * 1e6;
        let times = [&accounts.response, &accounts.service, &accounts.lag].map(micros);
        for (time, expected) in times.into_iter().zip([10.0, 8.0, 2.0]) {
            assert!((time / expected - 1.0).abs() < 1e-3, "{times:?}");
        }
        let mut twice = accounts.clone();
        twice.merge(&accounts);
        assert!(twice.is_balanced() && twice.lag.count() == 4);
        twice.response.record(1, 1);
        assert!(!twice.is_balanced());
    }
}
