//! [`Stint`]: one shard's part of a run under way: what is left to send, who may send it, and the
//! accounts.
//!
//! What must hold: a request is claimed before it is sent and never given back, so that none is
//! sent twice; no borrow of anything in here spans a suspension.

use std::cell::{Cell, OnceCell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use sunstar::mem::{Buf, Pool};
use sunstar::runtime;

use crate::accounts::Batch;
use crate::check::Seen;
use crate::connection::Lane;
use crate::connector::Connector;
use crate::learned::Learned;
use crate::ledger::Outcome;
use crate::mix::Mix;
use crate::moment::{Moment, Stamp};
use crate::number::approximate;
use crate::overlooked::Overlooked;
use crate::payload::EventTemplate;
use crate::plan::{Limit, Overload, Pace, Part, Plan, Schedule, Think, Warmup, Work};
use crate::random::Random;
use crate::supply::{Supply, Taken};
use crate::tally::Tally;

/// Requests that are all alike are laid out one behind the other, up to so many bytes.
const LAID_LEN_MAX: usize = 64 * 1024;
/// How many requests may wait for their own connections (`--schedule conn`) on one shard.
const BACKLOG_LEN_MAX: usize = 1_000_000;

/// The state of one shard.
pub(crate) struct Stint {
    /// The whole run.
    pub(crate) plan: Arc<Plan>,
    /// The number of the shard.
    pub(crate) shard: usize,
    /// The accounts.
    pub(crate) tally: RefCell<Tally>,
    /// The heads that answers have, by template.
    pub(crate) learned: RefCell<Vec<Learned>>,
    /// All connections, standing or not.
    pub(crate) lanes: Box<[Lane]>,
    /// What opens them.
    pub(crate) connector: Connector,
    requests: Requests,
    supply: RefCell<Supply>,
    overlooked: Overlooked,
    /// The clock, once the run has started.
    stamp: OnceCell<Stamp>,
    /// When the warm-up ends.
    warm: Cell<Moment>,
    /// When the time that counts ends, if that is known.
    until: Cell<Moment>,
    /// When each phase but the last ends.
    ends: Vec<Moment>,
    /// Connections with room and nothing to send, oldest first.
    idle: RefCell<VecDeque<u32>>,
    /// Connections that think, and until when.
    thinking: RefCell<BinaryHeap<Reverse<(Moment, u32)>>>,
    thoughts: Cell<u64>,
    /// Requests that may go over no other connection, with when they were due, by connection; none
    /// if any connection may take any request.
    backlogs: Box<[RefCell<Backlog>]>,
    /// How many they are.
    backlog: Cell<usize>,
    /// How many requests are without an answer.
    in_flight: Cell<u64>,
    /// How many connections have stood, or have given up.
    tried: Cell<usize>,
    /// How many connections have not given up.
    alive: Cell<usize>,
    /// When this shard may open its next connection, if there is a rate for that.
    next_connect: Cell<Option<Instant>>,
    /// How many whole answers there were.
    answers: Cell<u64>,
    /// How many of the lanes may be used: the rest are for growth.
    pub(crate) opened: Cell<usize>,
    /// How often something was sent or came: a turn without is one that only looked at the clock.
    pub(crate) work: Cell<u64>,
    /// Until when the pacer sleeps, and what wakes it before that.
    pub(crate) pacer_until: Cell<Moment>,
    pub(crate) pacer: RefCell<Option<Waker>>,
}

/// The numbers of requests, and when they were due.
type Backlog = VecDeque<(u64, Moment)>;

/// The bytes of the requests.
enum Requests {
    /// `count` times the same request of `len` bytes.
    Same { laid: Buf, len: usize, count: u64 },
    /// Each made when it is sent.
    Mix {
        mix: Arc<Mix>,
        scratch: RefCell<(Vec<u8>, Vec<u8>)>,
        pool: Pool,
    },
    /// One buffer from the pool for those that go out together.
    Events { template: EventTemplate, pool: Pool },
}

impl Stint {
    /// The state of a shard before the start; `part` is its part of the plan.
    pub(crate) fn new(
        plan: Arc<Plan>,
        shard: usize,
        part: &Part,
        connector: Connector,
        pool: Pool,
    ) -> Stint {
        let warm = match plan.warmup {
            Warmup::Fixed(time) => Moment::after(time),
            Warmup::Auto(_) => Moment::NEVER,
        };
        let until = match (plan.limit, plan.warmup) {
            (Limit::Time(time), Warmup::Fixed(_)) => warm.plus(time),
            _ => Moment::NEVER,
        };
        let templates = plan.work.template_count();
        let learned = |_| Learned::new(Arc::clone(&plan.check.fields));
        let lanes: Box<[Lane]> = (0..part.connection_count)
            .map(|_| Lane::default())
            .collect();
        let backlog_count = if is_per_connection(&plan) {
            lanes.len()
        } else {
            0
        };
        let part_of_start = plan.connection_count / plan.placement.shard_count() as u64;
        let opened = match &plan.pace {
            Pace::Open(open) if matches!(open.overload, Overload::Grow(_)) => {
                part.connection_count.min(part_of_start.max(1))
            }
            _ => part.connection_count,
        };
        Stint {
            tally: RefCell::new(Tally::new(plan.phase_count(), templates)),
            learned: RefCell::new((0..templates).map(learned).collect()),
            requests: lay_out(&plan, pool),
            supply: RefCell::new(Supply::new(&plan, part, shard, until)),
            overlooked: Overlooked::default(),
            stamp: OnceCell::new(),
            ends: phase_ends(&plan, warm),
            warm: Cell::new(warm),
            until: Cell::new(until),
            lanes,
            connector,
            backlogs: (0..backlog_count).map(|_| RefCell::default()).collect(),
            idle: RefCell::default(),
            thinking: RefCell::default(),
            thoughts: Cell::new(0),
            backlog: Cell::new(0),
            in_flight: Cell::new(0),
            tried: Cell::new(0),
            alive: Cell::new(0),
            next_connect: Cell::new(None),
            answers: Cell::new(0),
            opened: Cell::new(usize::try_from(opened).unwrap_or(usize::MAX)),
            work: Cell::new(0),
            pacer_until: Cell::new(Moment::START),
            pacer: RefCell::default(),
            shard,
            plan,
        }
    }

    /// Starts the clock.
    pub(crate) fn start(&self, start: Instant) {
        self.stamp
            .set(Stamp::from(start))
            .ok()
            .expect("a run starts once");
    }

    /// Whether the clock has been started.
    pub(crate) fn has_started(&self) -> bool {
        self.stamp.get().is_some()
    }

    fn stamp(&self) -> &Stamp {
        self.stamp.get().expect("nothing is sent before the start")
    }

    /// When this turn began.
    #[inline]
    pub(crate) fn turn(&self) -> Moment {
        self.stamp().at(runtime::now())
    }

    /// The present.
    #[inline]
    pub(crate) fn now(&self) -> Moment {
        let stamp = self.stamp();
        let now = stamp.now(runtime::now());
        if let Some(used) = stamp.take_used() {
            self.tally.borrow_mut().uncertainty.record(used, 1);
        }
        now
    }

    /// A moment on the shard's clock.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.stamp().instant(moment)
    }

    // What is left to send.

    /// Whether there is something to send at `now` or later.
    pub(crate) fn is_left(&self, now: Moment) -> bool {
        self.supply.borrow().is_left(now) || self.backlog.get() > 0
    }

    /// Whether all is said and done at `now`.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        let nobody = self.alive.get() == 0;
        self.in_flight.get() == 0 && (nobody || !self.is_left(now))
    }

    /// Claims up to `most` requests of a closed loop: their numbers.
    #[inline]
    pub(crate) fn claim(&self, most: u64, now: Moment) -> Range<u64> {
        self.supply.borrow_mut().claim(most, now)
    }

    /// When the next request of an open loop is due.
    #[inline]
    pub(crate) fn next_due(&self) -> Moment {
        self.supply.borrow().next_due()
    }

    /// Takes a request of an open loop that is due; what has waited too long is given up.
    #[inline]
    pub(crate) fn take_due(&self, now: Moment) -> Option<(u64, Moment)> {
        self.overlooked.look(now, self.has_idle(), self.next_due());
        loop {
            match self.supply.borrow_mut().take_due(now)? {
                Taken::Request(number, due) => return Some((number, due)),
                Taken::Shed(due) => {
                    if self.phase_of(due) > 0 {
                        self.tally.borrow_mut().unsent.shed += 1;
                    }
                }
            }
        }
    }

    /// When this shard saw a request that was due at `due` and waited for any connection.
    #[inline]
    pub(crate) fn noticed(&self, due: Moment) -> Moment {
        self.overlooked.noticed(due)
    }

    /// Gives up a request that was due.
    pub(crate) fn drop_due(&self, now: Moment) {
        if let Some((_, due)) = self.take_due(now)
            && self.phase_of(due) > 0
        {
            self.tally.borrow_mut().unsent.dropped += 1;
        }
    }

    /// Puts a request behind those that wait for their own connection.
    pub(crate) fn push_backlog(&self, lane: usize, number: u64, due: Moment) {
        if self.backlog.get() < BACKLOG_LEN_MAX {
            self.backlog.set(self.backlog.get() + 1);
            self.backlogs[lane].borrow_mut().push_back((number, due));
        } else if self.phase_of(due) > 0 {
            self.tally.borrow_mut().unsent.dropped += 1;
        }
    }

    /// Takes the next request that waits for its own connection.
    pub(crate) fn pop_backlog(&self, lane: u32) -> Option<(u64, Moment)> {
        let popped = self.backlogs[lane as usize].borrow_mut().pop_front();
        if popped.is_some() {
            self.backlog.set(self.backlog.get() - 1);
        }
        popped
    }

    /// Sends nothing that is due at `moment` or later; the time that counts ends then.
    pub(crate) fn end(&self, moment: Moment) {
        self.until.set(moment);
        self.supply.borrow_mut().end(moment);
    }

    /// Whether requests wait for their own connections instead of for any.
    pub(crate) fn is_per_connection(&self) -> bool {
        is_per_connection(&self.plan)
    }

    // Connections that have nothing to do.

    /// Notes that a connection has room and nothing to send.
    #[inline]
    pub(crate) fn push_idle(&self, lane: u32) {
        self.idle.borrow_mut().push_back(lane);
        if self.next_due() < self.pacer_until.get() {
            self.wake_pacer();
        }
    }

    /// The connection that has had nothing to do for the longest time.
    #[inline]
    pub(crate) fn pop_idle(&self) -> Option<u32> {
        self.idle.borrow_mut().pop_front()
    }

    /// Whether some connection has nothing to do.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.borrow().is_empty()
    }

    /// Lets a connection think before its next request.
    pub(crate) fn think(&self, lane: u32, think: Think, now: Moment) {
        let thoughts = self.thoughts.get();
        self.thoughts.set(thoughts + 1);
        let time = if think.exponential {
            let random = Random::new(self.plan.seed, self.shard as u64);
            think.mean.mul_f64(random.exponential(thoughts))
        } else {
            think.mean
        };
        let until = now.plus(time);
        self.thinking.borrow_mut().push(Reverse((until, lane)));
        if until < self.pacer_until.get() {
            self.wake_pacer();
        }
    }

    /// When the next connection has thought.
    pub(crate) fn next_thought(&self) -> Moment {
        let next = self
            .thinking
            .borrow()
            .peek()
            .map(|Reverse((until, _))| *until);
        next.unwrap_or(Moment::NEVER)
    }

    /// A connection that has thought until `now` or before.
    pub(crate) fn pop_thought(&self, now: Moment) -> Option<(u32, Moment)> {
        if self.next_thought() > now {
            return None;
        }
        let Reverse((until, lane)) = self.thinking.borrow_mut().pop()?;
        Some((lane, until))
    }

    /// Makes the pacer look again.
    pub(crate) fn wake_pacer(&self) {
        if let Some(pacer) = self.pacer.borrow().as_ref() {
            pacer.wake_by_ref();
        }
    }

    // Books.

    /// Which phase a request belongs to that is due at `moment`.
    #[inline]
    pub(crate) fn phase_of(&self, moment: Moment) -> u16 {
        if moment < self.warm.get() {
            return 0;
        }
        let later = self.ends.iter().take_while(|end| **end <= moment).count();
        u16::try_from(1 + later).expect("at most STAGE_COUNT_MAX stages")
    }

    /// Sets when the warm-up has ended; sending ends a run's time later.
    pub(crate) fn set_warm(&self, moment: Moment) {
        self.warm.set(moment);
        self.tally.borrow_mut().warm = moment;
        if let Limit::Time(time) = self.plan.limit {
            self.end(moment.plus(time));
        }
    }

    /// Whether `moment` lies in the time that counts.
    #[inline]
    pub(crate) fn is_time(&self, moment: Moment) -> bool {
        self.warm.get() <= moment && moment < self.until.get()
    }

    /// When the warm-up ends, as far as that is known.
    pub(crate) fn warm(&self) -> Moment {
        self.warm.get()
    }

    /// Notes that `count` more requests are in flight.
    #[inline]
    pub(crate) fn add_in_flight(&self, count: u64) {
        self.in_flight.set(self.in_flight.get() + count);
        self.work.set(self.work.get() + 1);
    }

    /// Notes that `count` requests are no longer in flight.
    #[inline]
    pub(crate) fn remove_in_flight(&self, count: u64) {
        let left = self.in_flight.get() - count;
        self.in_flight.set(left);
        self.work.set(self.work.get() + 1);
        if left == 0 && !self.is_left(self.turn()) {
            self.wake_pacer();
        }
    }

    /// How many requests are without an answer.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.get()
    }

    /// Notes that a connection has come to stand for the first time, or never will.
    pub(crate) fn add_tried(&self) {
        self.tried.set(self.tried.get() + 1);
    }

    /// How many connections have stood, or have given up.
    pub(crate) fn tried(&self) -> usize {
        self.tried.get()
    }

    /// The moment, `now` or later, at which one more connection may be opened; it is taken.
    pub(crate) fn connect_at(&self, now: Instant) -> Instant {
        let Some(gap) = self.connect_gap() else {
            return now;
        };
        let at = self.next_connect.get().map_or(now, |next| next.max(now));
        self.next_connect.set(Some(at + gap));
        at
    }

    /// How far apart this shard opens its connections.
    pub(crate) fn connect_gap(&self) -> Option<Duration> {
        let shards = u32::try_from(self.plan.placement.shard_count()).expect("at most 256");
        let rate = self.plan.connect_rate?;
        Some(Duration::from_secs_f64(1.0 / approximate(rate)) * shards)
    }

    /// What has been seen of an answer of which nothing has come.
    #[inline]
    pub(crate) fn unseen(&self) -> Seen {
        let answers = self.answers.get();
        self.answers.set(answers + 1);
        Seen::of_answer(answers, &self.plan.check)
    }

    /// Notes that a connection is being kept up.
    pub(crate) fn add_alive(&self) {
        self.alive.set(self.alive.get() + 1);
    }

    /// Notes that a connection is not kept up any more.
    pub(crate) fn remove_alive(&self) {
        self.alive.set(self.alive.get() - 1);
        if self.alive.get() == 0 {
            self.wake_pacer();
        }
    }

    // Requests.

    /// The template of request `number`.
    #[inline]
    pub(crate) fn template_of(&self, number: u64) -> u16 {
        match &self.requests {
            Requests::Mix { mix, .. } => {
                u16::try_from(mix.kind_of(number)).expect("at most TEMPLATE_COUNT_MAX kinds")
            }
            Requests::Same { .. } | Requests::Events { .. } => 0,
        }
    }

    /// Whether requests differ from one another in what accounts can tell.
    #[inline]
    pub(crate) fn is_mixed(&self) -> bool {
        matches!(self.requests, Requests::Mix { .. })
    }

    /// Whether requests of a template are HEAD.
    #[inline]
    pub(crate) fn to_head(&self, template: u16) -> bool {
        match &self.plan.work {
            Work::Same { head, .. } => *head,
            Work::Mix(mix) => mix.kinds()[usize::from(template)].head,
            Work::Events(_) => false,
        }
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
            Requests::Mix { mix, scratch, pool } => {
                let mut scratch = scratch.borrow_mut();
                let (out, body) = &mut *scratch;
                out.clear();
                claimed.for_each(|number| mix.write(number, out, body));
                len_sum = out.len();
                queue(pool.copy(out));
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

    /// The accounts, when all connections are gone; `ended` is when the run did.
    pub(crate) fn into_tally(self, ended: Moment) -> Tally {
        let mut supply = self.supply.into_inner();
        let mut tally = self.tally.into_inner();
        tally.warm = self.warm.get();
        // What was due and never found a connection.
        while supply.take_due(ended).is_some() {
            tally.unsent.queued += 1;
        }
        tally.unsent.queued += self.backlog.get() as u64;
        if matches!(self.plan.limit, Limit::Requests(_)) {
            tally.unclaimed = supply.rest();
        }
        tally
    }

    /// Settles what was in flight when its connection was taken down at the end of the run.
    pub(crate) fn settle_at_end(&self, batch: &Batch) {
        let count = u64::from(batch.count);
        self.tally
            .borrow_mut()
            .settle(batch, Outcome::InFlightAtEnd, count);
        self.remove_in_flight(count);
    }
}

fn is_per_connection(plan: &Plan) -> bool {
    matches!(&plan.pace, Pace::Open(open) if open.schedule == Schedule::Conn)
}

/// When each phase but the last ends.
fn phase_ends(plan: &Plan, warm: Moment) -> Vec<Moment> {
    let Pace::Open(open) = &plan.pace else {
        return Vec::new();
    };
    let mut end = warm;
    let stages = &open.profile.stages[..open.profile.stages.len() - 1];
    let ends = stages.iter().map(|stage| {
        end = end.plus(stage.time);
        end
    });
    ends.collect()
}

fn lay_out(plan: &Plan, pool: Pool) -> Requests {
    match &plan.work {
        Work::Events(template) => Requests::Events {
            template: template.clone(),
            pool,
        },
        Work::Mix(mix) => Requests::Mix {
            mix: Arc::clone(mix),
            scratch: RefCell::default(),
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
