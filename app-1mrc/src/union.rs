//! [`Union`]: the events of all shards together, held by the first one.
//!
//! Per shard it holds a **prefix**: the count and the sum of the first so many events of that shard
//! in its own order, while `users` holds exactly the users of all prefixes. [`Union::merge`]
//! replaces a prefix by a longer one with its users, in one step that nothing interrupts. So:
//!
//! - **Every state is a cut.** Whenever it is read, the four figures are those of one set of
//!   events: the union of the prefixes.
//! - **No report is needed.** A report holds its shard's *whole* count and sum, and its users
//!   behind a mark. One that comes twice, after a longer one, or with a gap before its mark changes
//!   nothing; one that is lost leaves the prefix as it was, and the next question covers it.
//!   Nothing is taken from a shard, so nothing can be lost with a dropped future.
//! - **Read your writes.** `GET /stats` asks for the marks ([`Union::ask`]), has every shard report
//!   ([`Tally::report`]), merges all reports and reads in one step ([`Union::answer`]). An event
//!   acknowledged before that request was recorded before its shard reports, and that report has no
//!   gap, because it begins at a mark that the union had reached. Reports taken for
//!   others only add to it, so any number of `/stats` may run at once, and none waits for another.
//! - **Later is more.** A prefix only grows: who has seen an event in an answer sees it in every
//!   answer that begins later, up to a reset.
//!
//! **Reset** is a point in the order of the union: [`Union::reset`] empties it and begins the next
//! epoch, then every shard is told ([`Tally::reset`]), then the reset is acknowledged. A shard
//! enters an epoch only after the union, and reports of another epoch are ignored, so no answer
//! mixes two. An event recorded on a shard that has not been told yet counts as before the reset:
//! neither the acknowledgement nor any answer had shown the reset when it was sent, because a
//! question of the new epoch tells its shard as well, and a question of the old one is asked again.
//! So a reset that was abandoned half-way is finished by the next `/stats`.
//!
//! What is not promised: of events that are still unanswered when `/stats` or `/reset` is asked,
//! any may be on this side of it and any on the other, also where a client sent one after the
//! answer to another. That would need a common clock or a pause of all shards.
//!
//! **Cost.** A user crosses shards once, in a batch of [`BATCH_LEN`] as soon as so many wait, or at
//! the latest when `/stats` asks (twice only if both happen at once). So the work of `/stats` is
//! what is new since the last report.
//!
//! [`BATCH_LEN`]: crate::tally::BATCH_LEN
//! [`Tally::report`]: crate::tally::Tally::report
//! [`Tally::reset`]: crate::tally::Tally::reset

use crate::exact_sum::ExactSum;
use crate::name_log::Mark;
use crate::stats::Stats;
use crate::tally::Report;
use crate::users::Users;

/// A cut through the events of all shards since the last reset.
#[derive(Debug)]
pub struct Union {
    epoch: u64,
    prefixes: Vec<Prefix>,
    users: Users,
}

/// The first events of one shard.
#[derive(Clone, Debug, Default)]
struct Prefix {
    event_count: u64,
    sum: ExactSum,
    /// Up to where the shard's users are merged.
    mark: Mark,
}

/// How far the union has come with one shard.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    pub(crate) epoch: u64,
    pub(crate) mark: Mark,
}

/// What the union asks of every shard: a report of what it does not have yet.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(crate) epoch: u64,
    pub(crate) marks: Vec<Mark>,
}

impl Union {
    /// The empty union of this many shards.
    pub fn new(shard_count: usize) -> Union {
        Union {
            epoch: 0,
            prefixes: vec![Prefix::default(); shard_count],
            users: Users::default(),
        }
    }

    /// What to ask of every shard.
    pub fn ask(&self) -> Ask {
        Ask {
            epoch: self.epoch,
            marks: self.prefixes.iter().map(|prefix| prefix.mark).collect(),
        }
    }

    /// Takes in what a shard reports, if it follows on what is there and goes beyond it.
    pub fn merge(&mut self, report: &Report) -> Receipt {
        let prefix = &mut self.prefixes[report.shard];
        let follows = report.epoch == self.epoch && report.since <= prefix.mark;
        if follows && report.event_count > prefix.event_count {
            self.users.extend(&report.new_users);
            prefix.event_count = report.event_count;
            prefix.sum.clone_from(&report.sum);
            prefix.mark = report.until;
        }
        Receipt {
            epoch: self.epoch,
            mark: prefix.mark,
        }
    }

    /// Merges what all shards reported when asked, and gives the figures.
    ///
    /// `None` if there was a reset in between: then it must be asked again.
    pub fn answer(&mut self, ask: &Ask, reports: &[Report]) -> Option<Stats> {
        assert_eq!(reports.len(), self.prefixes.len(), "every shard reports");
        for report in reports {
            self.merge(report);
        }
        (ask.epoch == self.epoch).then(|| self.stats())
    }

    /// The figures of the events that are merged.
    pub fn stats(&self) -> Stats {
        let mut sum = ExactSum::new();
        for prefix in &self.prefixes {
            sum.merge(&prefix.sum);
        }
        let total_requests = self.prefixes.iter().map(|prefix| prefix.event_count).sum();
        Stats {
            total_requests,
            unique_users: self.users.len(),
            sum: sum.sum(),
            avg: sum.quotient(total_requests),
        }
    }

    /// Forgets everything and returns the number of the epoch that begins, for all shards to be
    /// told.
    pub fn reset(&mut self) -> u64 {
        *self = Union {
            epoch: self.epoch + 1,
            ..Union::new(self.prefixes.len())
        };
        self.epoch
    }

    /// Bytes of memory for the users, besides what the shards hold.
    pub fn user_memory_len(&self) -> usize {
        self.users.memory_len()
    }
}
