//! [`Tally`]: what a run has come to, on one shard or on all.
//!
//! What must hold: a request is entered in the phase in which it was due, whenever it ends, so
//! that the books of every phase close.

use std::io;
use std::time::Duration;

use crate::accounts::{Accounts, Batch, TemplateAccounts};
use crate::health::Health;
use crate::interval::Interval;
use crate::latency::Latency;
use crate::ledger::Outcome;
use crate::moment::Moment;

/// Bytes and connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes received.
    pub(crate) bytes_in: u64,
    /// Bytes handed to connections.
    pub(crate) bytes_out: u64,
    /// Connections that came to stand.
    pub(crate) connected: u64,
    /// Of these, those that took the place of another.
    pub(crate) reconnects: u64,
    /// Attempts to connect that failed.
    pub(crate) connect_failed: u64,
    /// Of these, those for want of a descriptor or a port: the generator's own limits.
    pub(crate) exhausted: u64,
    /// Connections on which bytes came that no request had asked for.
    pub(crate) surplus: u64,
}

/// Requests of an open loop that were due and never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unsent {
    /// Given up since they had waited too long for a connection (`--overload shed`).
    pub(crate) shed: u64,
    /// Given up since no connection was free (`--overload drop`).
    pub(crate) dropped: u64,
    /// Still waiting for a connection at the end.
    pub(crate) queued: u64,
}

impl Unsent {
    /// All of them.
    pub(crate) fn sum(self) -> u64 {
        self.shed + self.dropped + self.queued
    }
}

/// The accounts of a run.
pub(crate) struct Tally {
    /// By phase; the first is the warm-up, which no report counts in.
    pub(crate) phases: Vec<Accounts>,
    /// By template, if there is more than one; without the warm-up.
    pub(crate) templates: Vec<TemplateAccounts>,
    /// The interval of the timeline that is under way.
    pub(crate) interval: Interval,
    /// Of the whole run, warm-up included.
    pub(crate) traffic: Traffic,
    /// How long connections took to stand.
    pub(crate) connect: Latency,
    /// Due and not sent, without the warm-up.
    pub(crate) unsent: Unsent,
    /// Requests of a run by number that nobody was left to send.
    pub(crate) unclaimed: u64,
    /// When the first request that counts was sent.
    pub(crate) first_sent: Option<Moment>,
    /// When the last one was due, and when the last was sent.
    pub(crate) last_due: Option<Moment>,
    pub(crate) last_sent: Option<Moment>,
    /// How many whole answers came in the time that counts, to whichever requests.
    pub(crate) in_time: u64,
    /// How many whole answers have come since the last was sent.
    pub(crate) late: u64,
    /// When a signal ended it before its time.
    pub(crate) cut: Option<Moment>,
    /// When the last whole answer to one came.
    pub(crate) last_answer: Option<Moment>,
    /// When the warm-up ended.
    pub(crate) warm: Moment,
    /// What the first fault was.
    pub(crate) first_fault: Option<String>,
    /// The send lag less what of it was a wait for a free connection, without the warm-up: the
    /// generator's own delay.
    pub(crate) delay: Latency,
    /// How the shards themselves fared.
    pub(crate) health: Vec<Health>,
    /// What they asked of the kernel with.
    pub(crate) driver: Option<&'static str>,
    /// By how much stamps may have been off that shared one reading of the clock.
    pub(crate) uncertainty: Latency,
}

impl Tally {
    /// Empty accounts for so many phases, the warm-up included, and templates.
    pub(crate) fn new(phases: usize, templates: usize) -> Tally {
        let templates = if templates > 1 { templates } else { 0 };
        Tally {
            phases: vec![Accounts::new(); phases],
            templates: vec![TemplateAccounts::new(); templates],
            interval: Interval::default(),
            traffic: Traffic::default(),
            connect: Latency::new(),
            unsent: Unsent::default(),
            unclaimed: 0,
            first_sent: None,
            last_due: None,
            last_sent: None,
            in_time: 0,
            late: 0,
            cut: None,
            last_answer: None,
            warm: Moment::START,
            first_fault: None,
            delay: Latency::new(),
            health: Vec::new(),
            driver: None,
            uncertainty: Latency::new(),
        }
    }

    /// All phases but the warm-up together.
    pub(crate) fn measured(&self) -> Accounts {
        let mut sum = Accounts::new();
        self.phases[1..].iter().for_each(|phase| sum.merge(phase));
        sum
    }

    /// Enters that a batch was sent, `len` bytes.
    #[inline]
    pub(crate) fn note_sent(&mut self, batch: &Batch, len: usize) {
        self.traffic.bytes_out += len as u64;
        self.phases[usize::from(batch.phase)].note_sent(batch);
        if let Some(template) = self.template_of(batch) {
            template.ledger.sent += u64::from(batch.count);
        }
        if batch.phase > 0 {
            self.interval.sent += u64::from(batch.count);
            self.first_sent.get_or_insert(batch.sent);
            self.last_due = self.last_due.max(Some(batch.intended));
            self.last_sent = Some(batch.sent);
            self.late = 0;
        }
    }

    /// Enters how late a batch left, less the nanoseconds that it waited for a free connection.
    #[inline]
    pub(crate) fn note_delay(&mut self, batch: &Batch, waited: u64) {
        if batch.phase > 0 {
            let delay = batch.sent.since(batch.intended).saturating_sub(waited);
            self.delay.record(delay, u64::from(batch.count));
        }
    }

    /// Enters `count` whole answers to requests of a batch.
    #[inline]
    pub(crate) fn note_answers(
        &mut self,
        batch: &Batch,
        status: u16,
        outcome: Outcome,
        now: Moment,
        count: u64,
    ) {
        self.settle(batch, outcome, count);
        self.phases[usize::from(batch.phase)]
            .ledger
            .note_status(status, count);
        self.note_times(batch, now, count);
        if let Some(template) = self.template_of(batch) {
            template.ledger.note_status(status, count);
        }
        if batch.phase > 0 {
            self.last_answer = Some(now);
            self.late += count;
        }
    }

    /// Enters that `count` requests of a batch have waited too long.
    pub(crate) fn note_timeouts(&mut self, batch: &Batch, now: Moment, count: u64) {
        self.settle(batch, Outcome::Timeout, count);
        self.note_times(batch, now, count);
    }

    /// Enters the outcome of `count` requests of a batch.
    #[inline]
    pub(crate) fn settle(&mut self, batch: &Batch, outcome: Outcome, count: u64) {
        self.phases[usize::from(batch.phase)]
            .ledger
            .settle(outcome, count);
        if let Some(template) = self.template_of(batch) {
            template.ledger.settle(outcome, count);
        }
        if batch.phase > 0 {
            self.interval.settle(outcome, count);
        }
    }

    #[inline]
    fn note_times(&mut self, batch: &Batch, now: Moment, count: u64) {
        self.phases[usize::from(batch.phase)].note_times(batch, now, count);
        if batch.phase > 0 {
            self.interval.record(now.since(batch.intended), count);
        }
        if let Some(template) = self.template_of(batch) {
            template.response.record(now.since(batch.intended), count);
        }
    }

    #[inline]
    fn template_of(&mut self, batch: &Batch) -> Option<&mut TemplateAccounts> {
        let counts = batch.phase > 0;
        self.templates
            .get_mut(usize::from(batch.template))
            .filter(|_| counts)
    }

    /// Enters an attempt to connect that failed.
    pub(crate) fn note_connect_failed(&mut self, error: &io::Error) {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable};
        self.traffic.connect_failed += 1;
        // EMFILE and ENFILE have no kind of their own.
        let descriptors = matches!(error.raw_os_error(), Some(23 | 24));
        if descriptors || matches!(error.kind(), AddrInUse | AddrNotAvailable) {
            self.traffic.exhausted += 1;
        }
        self.note_fault(|| format!("cannot connect: {error}"));
    }

    /// Keeps the first fault's description.
    pub(crate) fn note_fault(&mut self, describe: impl FnOnce() -> String) {
        self.first_fault.get_or_insert_with(describe);
    }

    /// Adds another shard's accounts.
    pub(crate) fn merge(&mut self, other: Tally) {
        for (mine, theirs) in self.phases.iter_mut().zip(&other.phases) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.templates.iter_mut().zip(&other.templates) {
            mine.merge(theirs);
        }
        self.merge_traffic(&other);
        self.connect.merge(&other.connect);
        self.delay.merge(&other.delay);
        self.first_sent = self.first_sent.into_iter().chain(other.first_sent).min();
        self.last_due = self.last_due.max(other.last_due);
        self.last_sent = self.last_sent.max(other.last_sent);
        self.in_time += other.in_time;
        self.late += other.late;
        self.cut = self.cut.max(other.cut);
        self.last_answer = self.last_answer.max(other.last_answer);
        self.warm = self.warm.max(other.warm);
        self.first_fault = self.first_fault.take().or(other.first_fault);
        self.health.extend(other.health);
        self.driver = self.driver.or(other.driver);
        self.uncertainty.merge(&other.uncertainty);
    }

    fn merge_traffic(&mut self, other: &Tally) {
        let (mine, theirs) = (&mut self.traffic, &other.traffic);
        mine.bytes_in += theirs.bytes_in;
        mine.bytes_out += theirs.bytes_out;
        mine.connected += theirs.connected;
        mine.reconnects += theirs.reconnects;
        mine.connect_failed += theirs.connect_failed;
        mine.exhausted += theirs.exhausted;
        mine.surplus += theirs.surplus;
        self.unsent.shed += other.unsent.shed;
        self.unsent.dropped += other.unsent.dropped;
        self.unsent.queued += other.unsent.queued;
        self.unclaimed += other.unclaimed;
    }

    /// Whether the books of all phases, templates included, close.
    pub(crate) fn is_balanced(&self) -> bool {
        let templates = self.templates.iter().map(|template| template.ledger.sent);
        let measured: u64 = self.phases[1..].iter().map(|phase| phase.ledger.sent).sum();
        let all_sent = self.templates.is_empty() || templates.sum::<u64>() == measured;
        let closed = self
            .templates
            .iter()
            .all(|template| template.ledger.is_balanced());
        all_sent && closed && self.phases.iter().all(Accounts::is_balanced)
    }

    /// From the first request that counts to the last answer.
    pub(crate) fn elapsed(&self) -> Duration {
        match (self.first_sent, self.last_answer) {
            (Some(first), Some(last)) => Duration::from_nanos(last.since(first)),
            _ => Duration::ZERO,
        }
    }

    /// From the end of the warm-up to `moment`.
    pub(crate) fn since_warm(&self, moment: Option<Moment>) -> Duration {
        moment.map_or(Duration::ZERO, |moment| {
            Duration::from_nanos(moment.since(self.warm))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(intended: u64, phase: u16) -> Batch {
        Batch {
            intended: Moment(intended),
            sent: Moment(intended),
            count: 1,
            phase,
            template: 1,
        }
    }

    #[test]
    fn shards_are_merged_into_one_span_of_time() {
        let second = 1_000_000_000;
        let mut sum = Tally::new(2, 2);
        assert_eq!(sum.elapsed(), Duration::ZERO);
        for (first, last, outcome) in [(2, 5, Outcome::BadStatus), (1, 3, Outcome::Ok)] {
            let mut tally = Tally::new(2, 2);
            let batch = batch(first * second, 1);
            tally.note_sent(&batch, 100);
            tally.note_answers(&batch, 200, outcome, Moment(last * second), 1);
            sum.merge(tally);
        }
        let measured = sum.measured();
        assert_eq!(sum.elapsed(), Duration::from_secs(4));
        assert_eq!(sum.since_warm(sum.last_sent), Duration::from_secs(2));
        assert_eq!((sum.late, sum.last_due), (2, Some(Moment(2 * second))));
        assert_eq!((measured.ledger.sent, sum.traffic.bytes_out), (2, 200));
        assert_eq!(sum.templates[1].ledger.sent, 2);
        assert!(sum.is_balanced() && measured.response.count() == 2);
        sum.templates[0].ledger.sent += 1;
        assert!(
            !sum.is_balanced(),
            "a template's request that no phase knows"
        );
    }

    #[test]
    fn the_warm_up_is_kept_apart() {
        let mut tally = Tally::new(2, 2);
        tally.note_sent(&batch(1, 0), 10);
        tally.note_timeouts(&batch(1, 0), Moment(5), 1);
        assert_eq!(
            (tally.phases[0].ledger.sent, tally.measured().ledger.sent),
            (1, 0)
        );
        assert_eq!(
            (
                tally.first_sent,
                tally.interval.sent,
                tally.templates[1].ledger.sent
            ),
            (None, 0, 0)
        );
        assert!(tally.is_balanced());
    }

    #[test]
    fn a_wait_for_a_free_connection_is_not_the_generators_delay() {
        let mut tally = Tally::new(2, 1);
        let batch = Batch {
            intended: Moment(1_000),
            sent: Moment(9_000_000),
            count: 2,
            phase: 1,
            template: 0,
        };
        tally.note_delay(&batch, 8_998_000);
        assert_eq!(tally.delay.count(), 2);
        assert!(tally.delay.max() < Duration::from_nanos(1_010));
        tally.note_delay(&Batch { phase: 0, ..batch }, 0);
        assert_eq!(tally.delay.count(), 2, "the warm-up does not count");
        tally.note_delay(&batch, 0);
        assert!(tally.delay.max() >= Duration::from_micros(8_990));
    }
}
