//! [`Ledger`]: what became of every request that was sent.
//!
//! What must hold: `sent = ok + bad status + bad header + bad body + malformed + timeout + reset +
//! in flight at end`. Each side is counted where it happens, so the equation is a check and not a
//! definition.

use std::fmt;

use crate::number::grouped;

/// What became of a request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole response with the status that was hoped for.
    Ok,
    /// A whole response with another status.
    BadStatus,
    /// A whole response with the right status and without a header field that was asked for.
    BadHeader,
    /// A whole response with the right head and another content or length than expected.
    BadBody,
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
    pub(crate) const ALL: [Outcome; 8] = [
        Outcome::Ok,
        Outcome::BadStatus,
        Outcome::BadHeader,
        Outcome::BadBody,
        Outcome::Malformed,
        Outcome::Timeout,
        Outcome::Reset,
        Outcome::InFlightAtEnd,
    ];

    /// How a report calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::BadStatus => "bad status",
            Outcome::BadHeader => "bad header",
            Outcome::BadBody => "bad body",
            Outcome::Malformed => "malformed",
            Outcome::Timeout => "timeout",
            Outcome::Reset => "reset",
            Outcome::InFlightAtEnd => "in flight at end",
        }
    }
}

/// The counts of one shard, or of all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// Requests handed to a connection.
    pub(crate) sent: u64,
    outcomes: [u64; Outcome::ALL.len()],
    /// Whole responses.
    statuses: Statuses,
}

impl Ledger {
    /// Enters the outcome of `count` requests.
    #[inline]
    pub(crate) fn settle(&mut self, outcome: Outcome, count: u64) {
        self.outcomes[outcome as usize] += count;
    }

    /// Enters the status of `count` whole responses.
    #[inline]
    pub(crate) fn note_status(&mut self, status: u16, count: u64) {
        self.statuses.0[usize::from(status) - 100] += count;
    }

    /// How many requests had this outcome.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// How many requests had a whole response.
    pub(crate) fn answered(&self) -> u64 {
        use Outcome::{BadBody, BadHeader, BadStatus};
        let whole = [Outcome::Ok, BadStatus, BadHeader, BadBody];
        whole.map(|outcome| self.count(outcome)).iter().sum()
    }

    /// How many requests ended otherwise than hoped for.
    pub(crate) fn errors(&self) -> u64 {
        let others = Outcome::ALL
            .iter()
            .filter(|outcome| !matches!(outcome, Outcome::Ok | Outcome::InFlightAtEnd));
        others.map(|&outcome| self.count(outcome)).sum()
    }

    /// The status codes that came, with how often, in order.
    pub(crate) fn statuses(&self) -> impl Iterator<Item = (u16, u64)> {
        let all = (100_u16..).zip(self.statuses.0.iter().copied());
        all.filter(|(_, count)| *count > 0)
    }

    /// Adds another shard's counts.
    pub(crate) fn merge(&mut self, other: &Ledger) {
        let Ledger {
            sent,
            outcomes,
            statuses,
        } = other;
        self.sent += sent;
        self.outcomes
            .iter_mut()
            .zip(outcomes)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.statuses
            .0
            .iter_mut()
            .zip(statuses.0.iter())
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Whether every request that was sent has exactly one outcome, and every whole response one
    /// status.
    pub(crate) fn is_balanced(&self) -> bool {
        let settled: u64 = self.outcomes.iter().sum();
        let statuses: u64 = self.statuses.0.iter().sum();
        settled == self.sent && statuses == self.answered()
    }
}

/// How often each status code came, from 100 up.
#[derive(Clone, Debug)]
struct Statuses(Box<[u64; 500]>);

impl Default for Statuses {
    fn default() -> Statuses {
        Statuses(Box::new([0; 500]))
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
        let mut ledger = Ledger {
            sent: 1_024,
            ..Ledger::default()
        };
        for (outcome, count) in Outcome::ALL.into_iter().zip([1_000, 1, 2, 1, 2, 4, 8, 6]) {
            ledger.settle(outcome, count);
        }
        ledger.note_status(200, 1_003);
        ledger.note_status(599, 1);
        ledger
    }

    #[test]
    fn the_equation_is_written_out() {
        assert!(ledger().is_balanced());
        let expected = "Sent 1,024 = 1,000 ok + 1 bad status + 2 bad header + 1 bad body \
            + 2 malformed + 4 timeout + 8 reset + 6 in flight at end";
        assert_eq!(ledger().to_string(), expected);
        assert_eq!(
            ledger().statuses().collect::<Vec<_>>(),
            [(200, 1_003), (599, 1)]
        );
    }

    #[test]
    fn a_request_lost_or_found_breaks_the_balance() {
        let mut lost = ledger();
        lost.sent += 1;
        let mut found = ledger();
        found.settle(Outcome::Reset, 1);
        let mut unseen = ledger();
        unseen.note_status(100, 1);
        assert!(!lost.is_balanced() && !found.is_balanced() && !unseen.is_balanced());
    }

    #[test]
    fn shards_add_up() {
        let mut sum = ledger();
        sum.merge(&ledger());
        assert_eq!((sum.sent, sum.answered(), sum.errors()), (2_048, 2_008, 36));
        assert_eq!(sum.statuses().collect::<Vec<_>>(), [(200, 2_006), (599, 2)]);
        assert!(sum.is_balanced());
    }
}
