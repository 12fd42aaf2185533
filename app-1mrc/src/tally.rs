//! [`Tally`]: what a shard other than the first has counted, and the [`Report`] of it.
//!
//! What must hold: an event changes all figures or none; `users` only grows between two resets, so
//! a [`Mark`] says what the union has been told. The protocol in which reports travel is on the
//! page of [`union`](crate::union).

use crate::event::Event;
use crate::exact_sum::ExactSum;
use crate::name_log::{Mark, NewUsers};
use crate::union::{Ask, Receipt};
use crate::users::{Full, Sought, Users};

/// How many names may wait for the next question before the shard sends them by itself.
///
/// It bounds the work of the shard that merges: about 0.1 ms at a time.
pub const BATCH_LEN: u64 = 1 << 10;

/// The events of one shard since the last reset.
#[derive(Clone, Debug)]
pub struct Tally {
    shard: usize,
    /// Which reset this shard has seen last.
    epoch: u64,
    event_count: u64,
    sum: ExactSum,
    users: Users,
    user_memory_len_max: usize,
    /// Where the next batch begins: where the last report ended, unless the union said otherwise.
    shipped: Mark,
    /// Whether a batch is on its way.
    shipping: bool,
}

/// All that a shard had counted at one moment, but of its users only those behind a mark.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) shard: usize,
    pub(crate) epoch: u64,
    pub(crate) event_count: u64,
    pub(crate) sum: ExactSum,
    pub(crate) since: Mark,
    pub(crate) until: Mark,
    pub(crate) new_users: NewUsers,
}

/// Figures of one shard for its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Events since the last reset.
    pub event_count: u64,
    /// Names that it holds.
    pub name_count: u64,
    /// Bytes of memory for those names.
    pub name_memory_len: usize,
}

impl Tally {
    /// An empty tally of the shard with this number, which is not 0, since the first shard counts
    /// in its [`Union`](crate::union::Union). It holds at most so many bytes of users.
    pub fn new(shard: usize, user_memory_len_max: usize) -> Tally {
        Tally {
            shard,
            epoch: 0,
            event_count: 0,
            sum: ExactSum::new(),
            users: Users::new(user_memory_len_max),
            user_memory_len_max,
            shipped: Mark::default(),
            shipping: false,
        }
    }

    /// Counts one event. Allocates nothing for a known user. Its user was sought in
    /// [`users`](Self::users), and nothing was reset since.
    ///
    /// # Errors
    /// If its user is new and there is no room for more: then nothing has changed.
    #[inline]
    pub fn record(&mut self, event: &Event<Sought<'_>>) -> Result<(), Full> {
        self.users.insert_sought(&event.user)?;
        self.sum.add(event.value);
        self.event_count += 1;
        Ok(())
    }

    /// The users of its events.
    #[inline]
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Answers the union: what it asked for and nothing that it has.
    ///
    /// A question of a later epoch brings the reset with it.
    pub fn report(&mut self, ask: &Ask) -> Report {
        self.reset(ask.epoch);
        let is_current = ask.epoch == self.epoch;
        let since = if is_current {
            ask.marks[self.shard]
        } else {
            self.shipped
        };
        self.report_since(since)
    }

    /// A report to send unasked, if [`BATCH_LEN`] users wait and no other is on its way.
    #[inline]
    pub fn batch(&mut self) -> Option<Report> {
        let waiting = self.users.len() - self.shipped.name_count();
        if waiting < BATCH_LEN || self.shipping {
            return None;
        }
        self.shipping = true;
        Some(self.report_since(self.shipped))
    }

    /// Takes note of how far the union has come with a batch, so that the next may be sent.
    pub fn shipped(&mut self, receipt: Receipt) {
        if receipt.epoch == self.epoch {
            self.shipped = receipt.mark;
            self.shipping = false;
        }
    }

    /// Forgets everything, unless it has already done so for this epoch or a later one.
    pub fn reset(&mut self, epoch: u64) {
        if epoch > self.epoch {
            *self = Tally {
                epoch,
                ..Tally::new(self.shard, self.user_memory_len_max)
            };
        }
    }

    /// Figures for the operator; not part of any cut.
    pub fn gauges(&self) -> Gauges {
        Gauges {
            event_count: self.event_count,
            name_count: self.users.len(),
            name_memory_len: self.users.memory_len(),
        }
    }

    fn report_since(&mut self, since: Mark) -> Report {
        self.shipped = self.users.end();
        Report {
            shard: self.shard,
            epoch: self.epoch,
            event_count: self.event_count,
            sum: self.sum.clone(),
            since,
            until: self.shipped,
            new_users: self.users.since(since),
        }
    }
}

impl Report {
    /// How many users it brings.
    pub fn user_count(&self) -> u64 {
        self.until.name_count() - self.since.name_count()
    }
}
