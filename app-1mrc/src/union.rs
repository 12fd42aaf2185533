//! [`Union`]: the events of all shards together, held by the first one.
//!
//! Per shard it holds a **prefix**: the count and the sum of the first so many events of that shard
//! in its own order, while `users` holds exactly the users of all prefixes. The first shard counts
//! its own events here ([`Union::record`]), so its prefix is always all of them. [`Union::merge`]
//! replaces another shard's prefix by a longer one with its users, in one step that nothing
//! interrupts. So:
//!
//! - **Every state is a cut.** Whenever it is read, the four figures are those of one set of
//!   events: the union of the prefixes.
//! - **No report is needed.** A report holds its shard's *whole* count and sum, and its users
//!   behind a mark. One that comes twice, after a longer one, or with a gap before its mark changes
//!   nothing; one that is lost leaves the prefix as it was, and the next question covers it.
//!   Nothing is taken from a shard, so nothing can be lost with a dropped future.
//! - **Read your writes.** `GET /stats` asks for the marks ([`Union::ask`]), has all others report
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
//! the latest when `/stats` asks; again for each question that was asked before the answer to
//! another had arrived. So the work of `/stats` is what is new since the last report. Users of the
//! first shard cross none and are held once.
//!
//! [`BATCH_LEN`]: crate::tally::BATCH_LEN
//! [`Tally::report`]: crate::tally::Tally::report
//! [`Tally::reset`]: crate::tally::Tally::reset

use crate::event::Event;
use crate::exact_sum::ExactSum;
use crate::name_log::Mark;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::tally::{Gauges, Report, Tally};
use crate::users::{Full, Sought, Users};

/// A cut through the events of all shards since the last reset.
#[derive(Clone, Debug)]
pub struct Union {
    epoch: u64,
    /// The events of an earlier process.
    restored: Prefix,
    /// By shard; the first is this one's own.
    prefixes: Vec<Prefix>,
    users: Users,
    user_memory_len_max: usize,
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
    /// The empty union of this many shards. It refuses new users of its own shard once it holds so
    /// many bytes of users; those of others are in events that are acknowledged already.
    pub fn new(shard_count: usize, user_memory_len_max: usize) -> Union {
        Union {
            epoch: 0,
            restored: Prefix::default(),
            prefixes: vec![Prefix::default(); shard_count],
            users: Users::new(user_memory_len_max),
            user_memory_len_max,
        }
    }

    /// Puts the events of an earlier process before all others.
    ///
    /// # Panics
    /// If something was counted already.
    pub fn restore(&mut self, snapshot: Snapshot) {
        assert_eq!(self.stats(), Stats::default(), "restored at the beginning");
        self.restored.event_count = snapshot.event_count;
        self.restored.sum = snapshot.sum;
        self.users = snapshot.users.within(self.user_memory_len_max);
    }

    /// Counts one event of the first shard. Allocates nothing for a known user. Its user was sought
    /// in [`users`](Self::users), and nothing was reset since.
    ///
    /// # Errors
    /// If its user is new and there is no room for more: then nothing has changed.
    #[inline]
    pub fn record(&mut self, event: &Event<Sought<'_>>) -> Result<(), Full> {
        self.users.insert_sought(&event.user)?;
        let own = &mut self.prefixes[0];
        own.sum.add(event.value);
        own.event_count += 1;
        Ok(())
    }

    /// The users of all events that are merged.
    #[inline]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// What to ask of every other shard.
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

    /// Merges what all other shards reported when asked, and gives the figures.
    ///
    /// `None` if there was a reset in between: then it must be asked again.
    pub fn answer(&mut self, ask: &Ask, reports: &[Report]) -> Option<Stats> {
        assert_eq!(
            reports.len() + 1,
            self.prefixes.len(),
            "every shard reports"
        );
        for report in reports {
            self.merge(report);
        }
        (ask.epoch == self.epoch).then(|| self.stats())
    }

    /// The figures of the events that are merged.
    pub fn stats(&self) -> Stats {
        let Prefix {
            event_count, sum, ..
        } = self.total();
        Stats {
            total_requests: event_count,
            unique_users: self.users.len(),
            sum: sum.sum(),
            avg: sum.quotient(event_count),
        }
    }

    /// Merges all that another shard has counted, when no shard runs any more.
    pub fn absorb(&mut self, mut tally: Tally) {
        let report = tally.report(&self.ask());
        self.merge(&report);
    }

    /// What is merged, to be kept for a later process.
    pub fn into_snapshot(self) -> Snapshot {
        let Prefix {
            event_count, sum, ..
        } = self.total();
        Snapshot {
            event_count,
            sum,
            users: self.users,
        }
    }

    /// Forgets everything and returns the number of the epoch that begins, for all shards to be
    /// told.
    pub fn reset(&mut self) -> u64 {
        *self = Union {
            epoch: self.epoch + 1,
            ..Union::new(self.prefixes.len(), self.user_memory_len_max)
        };
        self.epoch
    }

    /// Figures of the first shard for the operator; the names are those of all shards.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            event_count: self.prefixes[0].event_count,
            name_count: self.users.len(),
            name_memory_len: self.users.memory_len(),
        }
    }

    /// How many events an earlier process had counted.
    pub fn restored_count(&self) -> u64 {
        self.restored.event_count
    }

    /// The events of all prefixes together.
    fn total(&self) -> Prefix {
        let mut total = self.restored.clone();
        for prefix in &self.prefixes {
            total.event_count += prefix.event_count;
            total.sum.merge(&prefix.sum);
        }
        total
    }
}
