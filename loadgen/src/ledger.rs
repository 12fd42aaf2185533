//! [`Ledger`]: what became of every request that was sent.
//!
//! What must hold: `sent = ok + bad status + malformed + timeout + reset + in flight at end`. Each
//! side is counted where it happens, so the equation is a check and not a definition.

use std::fmt;

use crate::number::grouped;

/// What became of a request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole response with the status that was hoped for.
    Ok,
    /// A whole response with another status.
    BadStatus,
    /// Bytes came that are no proper response.
    Malformed,
    /// No whole response came in time.
    Timeout,
    /// The connection ended before the whole response came.
    Reset,
    /// The run ended before the whole response came.
    InFlightAtEnd,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Ok,
        Outcome::BadStatus,
        Outcome::Malformed,
        Outcome::Timeout,
        Outcome::Reset,
        Outcome::InFlightAtEnd,
    ];

    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::BadStatus => "bad status",
            Outcome::Malformed => "malformed",
            Outcome::Timeout => "timeout",
            Outcome::Reset => "reset",
            Outcome::InFlightAtEnd => "in flight at end",
        }
    }
}

/// The counts of one shard, or of all of them.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    /// Requests handed to a connection.
    pub(crate) sent: u64,
    outcomes: [u64; Outcome::ALL.len()],
    /// Whole responses by status code, from 100 up.
    statuses: Box<[u64; 500]>,
    /// Bytes received and bytes handed to connections.
    pub(crate) bytes_in: u64,
    /// See `bytes_in`.
    pub(crate) bytes_out: u64,
    /// Connections that came to stand.
    pub(crate) connected: u64,
    /// Attempts to connect that failed.
    pub(crate) connect_failed: u64,
    /// Connections on which bytes came that no request had asked for.
    pub(crate) surplus: u64,
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new() -> Ledger {
        Ledger {
            sent: 0,
            outcomes: [0; Outcome::ALL.len()],
            statuses: Box::new([0; 500]),
            bytes_in: 0,
            bytes_out: 0,
            connected: 0,
            connect_failed: 0,
            surplus: 0,
        }
    }

    /// Enters the outcome of `count` requests.
    #[inline]
    pub(crate) fn settle(&mut self, outcome: Outcome, count: u64) {
        self.outcomes[outcome as usize] += count;
    }

    /// Enters the status of one whole response.
    #[inline]
    pub(crate) fn note_status(&mut self, status: u16) {
        self.statuses[usize::from(status) - 100] += 1;
    }

    /// How many requests had this outcome.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests had a whole response.
    pub(crate) fn answered(&self) -> u64 {
        self.count(Outcome::Ok) + self.count(Outcome::BadStatus)
    }

    /// The status codes that came, with how often, in order.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let all = (100_u16..).zip(self.statuses.iter().copied());
        all.filter(|(_, count)| *count > 0)
    }

    /// Adds another shard's counts.
    pub(crate) fn merge(&mut self, other: &Ledger) {
        let Ledger {
            sent,
            outcomes,
            statuses,
            ..
        } = other;
        self.sent += sent;
        self.outcomes
            .iter_mut()
            .zip(outcomes)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.statuses
            .iter_mut()
            .zip(statuses.iter())
            .for_each(|(mine, theirs)| *mine += theirs);
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.connected += other.connected;
        self.connect_failed += other.connect_failed;
        self.surplus += other.surplus;
    }

    /// Whether every request that was sent has exactly one outcome, and every whole response one
    /// status.
    pub(crate) fn is_balanced(&self) -> bool {
        let settled: u64 = self.outcomes.iter().sum();
        let statuses: u64 = self.statuses.iter().sum();
        settled == self.sent && statuses == self.answered()
    }
}

/// `Sent 5 = 3 ok + 0 bad status + .. + 2 in flight at end`.
impl fmt::Display for Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sent {}", grouped(self.sent))?;
        for outcome in Outcome::ALL {
            let sign = if outcome == Outcome::Ok { '=' } else { '+' };
            write!(
                out,
                " {sign} {} {}",
                grouped(self.count(outcome)),
                outcome.name()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::new();
        ledger.sent = 1_021;
        for (outcome, count) in Outcome::ALL.into_iter().zip([1_000, 1, 2, 4, 8, 6]) {
            ledger.settle(outcome, count);
        }
        (0..1_000).for_each(|_| ledger.note_status(200));
        ledger.note_status(599);
        ledger
    }

    #[test]
    fn the_equation_is_written_out() {
        assert!(ledger().is_balanced());
        let expected = "Sent 1,021 = 1,000 ok + 1 bad status + 2 malformed + 4 timeout + 8 reset \
            + 6 in flight at end";
        assert_eq!(ledger().to_string(), expected);
        assert_eq!(
            ledger().statuses().collect::<Vec<_>>(),
            [(200, 1_000), (599, 1)]
        );
    }

    #[test]
    fn a_request_lost_or_found_breaks_the_balance() {
        let mut lost = ledger();
        lost.sent += 1;
        let mut found = ledger();
        found.settle(Outcome::Reset, 1);
        let mut unseen = ledger();
        unseen.note_status(100);
        assert!(!lost.is_balanced() && !found.is_balanced() && !unseen.is_balanced());
    }

    #[test]
    fn shards_add_up() {
        let mut sum = ledger();
        sum.merge(&ledger());
        assert_eq!((sum.sent, sum.answered()), (2_042, 2_002));
        assert_eq!(sum.statuses().collect::<Vec<_>>(), [(200, 2_000), (599, 2)]);
        assert!(sum.is_balanced());
    }
}
