//! [`Stint`]: one shard's part of a run under way: what is left to send, and the accounts.
//!
//! What must hold: a request is claimed before it is sent and never given back, so that none is
//! sent twice.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use sunstar::mem::{Buf, Pool};

use crate::learned::Learned;
use crate::payload::EventTemplate;
use crate::plan::{Limit, Plan, Work};
use crate::tally::Tally;

/// Requests that are all alike are laid out one behind the other, up to so many bytes.
const LAID_LEN_MAX: usize = 64 * 1024;

/// The state of one shard.
pub(crate) struct Stint {
    /// The whole run.
    pub(crate) plan: Arc<Plan>,
    /// The accounts.
    pub(crate) tally: RefCell<Tally>,
    /// The head that answers have.
    pub(crate) learned: RefCell<Learned>,
    requests: Requests,
    /// The number of the next request, and the first that is not this shard's.
    next: Cell<u64>,
    end: u64,
    /// When nothing more is sent.
    until: Cell<Option<Instant>>,
}

/// The bytes of the requests.
enum Requests {
    /// `count` times the same request of `len` bytes.
    Same { laid: Buf, len: usize, count: u64 },
    /// One buffer from the pool for those that go out together.
    Events { template: EventTemplate, pool: Pool },
}

impl Stint {
    /// The state of a shard that is to send `requests`, from `now` on.
    pub(crate) fn new(plan: Arc<Plan>, requests: Range<u64>, pool: Pool, now: Instant) -> Stint {
        let until = match plan.limit {
            Limit::Requests(_) => None,
            Limit::Time(time) => Some(now + time),
        };
        Stint {
            requests: lay_out(&plan, pool),
            plan,
            tally: RefCell::new(Tally::new()),
            learned: RefCell::default(),
            next: Cell::new(requests.start),
            end: requests.end,
            until: Cell::new(until),
        }
    }

    /// Whether the requests are HEAD.
    pub(crate) fn to_head(&self) -> bool {
        matches!(self.plan.work, Work::Same { head: true, .. })
    }

    /// Whether there is something to send at `now`.
    #[inline]
    pub(crate) fn has_work(&self, now: Instant) -> bool {
        self.next.get() < self.end && self.until.get().is_none_or(|until| now < until)
    }

    /// Claims up to `most` requests: their numbers.
    #[inline]
    pub(crate) fn claim(&self, most: u64, now: Instant) -> Range<u64> {
        let next = self.next.get();
        let count = if self.has_work(now) {
            most.min(self.end - next)
        } else {
            0
        };
        self.next.set(next + count);
        next..next + count
    }

    /// Hands the bytes of claimed requests to `queue`; how many there were.
    #[inline]
    pub(crate) fn lay(&self, claimed: Range<u64>, mut queue: impl FnMut(Buf)) -> usize {
        let mut len_sum = 0;
        match &self.requests {
            Requests::Same { laid, len, count } => {
                let mut left = claimed.end - claimed.start;
                while left > 0 {
                    let now = left.min(*count);
                    let piece_len = usize::try_from(now).expect("at most `count`") * len;
                    queue(laid.slice(..piece_len));
                    len_sum += piece_len;
                    left -= now;
                }
            }
            Requests::Events { template, pool } => {
                let mut piece = pool.buffer(template.len_max());
                for index in claimed {
                    template.write(index, |bytes| piece.extend_from_slice(bytes));
                }
                len_sum = piece.len();
                queue(piece.freeze());
            }
        }
        len_sum
    }

    /// When nothing more is sent, if that is known.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    /// Sends nothing more from `now` on.
    pub(crate) fn stop(&self, now: Instant) {
        let until = self.until.get().map_or(now, |until| until.min(now));
        self.until.set(Some(until));
    }

    /// The accounts, when all connections are gone.
    pub(crate) fn into_tally(self) -> Tally {
        let mut tally = self.tally.into_inner();
        if matches!(self.plan.limit, Limit::Requests(_)) {
            tally.unsent = self.end - self.next.get();
        }
        tally
    }
}

fn lay_out(plan: &Plan, pool: Pool) -> Requests {
    match &plan.work {
        Work::Events(template) => Requests::Events {
            template: template.clone(),
            pool,
        },
        Work::Same { template, .. } => {
            let len = template.bytes().len();
            let fitting = (LAID_LEN_MAX / len).max(1) as u64;
            let count = plan.depth.min(fitting);
            let times = usize::try_from(count).expect("at most LAID_LEN_MAX");
            Requests::Same {
                laid: Buf::from(template.bytes().repeat(times)),
                len,
                count,
            }
        }
    }
}
