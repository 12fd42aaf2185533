//! The pacer: one task per shard that hands due requests to free connections, watches timeouts,
//! and ends the run.
//!
//! What must hold: nothing is sent before it is due; a due request is sent in the turn in which it
//! becomes due if a connection is free; what the pacer spends on looking at the clock is counted,
//! so that it is not mistaken for work.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sunstar::runtime::{self, sleep_until, yield_now};

use crate::connection::{self, Connection};
use crate::health::{Health, Scheduled};
use crate::moment::{Moment, clock};
use crate::plan::{Limit, Overload, Pace, Warmup};
use crate::stint::Stint;
use crate::watch::Watch;

/// How often a shard says how far it is and asks whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// How long before a request is due the pacer stops sleeping: what a wake-up may be late.
const SPIN: Duration = Duration::from_micros(120);

/// The pacer of one shard.
pub(crate) struct Pacer<'a> {
    stint: &'a Stint,
    watch: &'a Watch,
    /// Opens one more connection of the shard.
    grow: &'a dyn Fn(),
    next_tick: Moment,
    timeout_tick: Duration,
    /// The row of the timeline under way, and when it ends.
    row: u64,
    row_end: Moment,
    row_start: Book,
    /// Nanoseconds spent on looking at the clock.
    spun: u64,
    /// What the kernel said when the warm-up ended.
    warm_start: Option<Book>,
    /// When sending ends, once that is known.
    end: Moment,
    next_lane: usize,
}

/// A reading of what a shard has spent.
#[derive(Clone, Copy)]
struct Book {
    at: Moment,
    scheduled: Option<Scheduled>,
    spun: u64,
    starved: u64,
}

impl<'a> Pacer<'a> {
    /// A pacer at the start of a run.
    pub(crate) fn new(stint: &'a Stint, watch: &'a Watch, grow: &'a dyn Fn()) -> Pacer<'a> {
        let timeout_tick = TICK
            .min(stint.plan.timeout / 10)
            .max(Duration::from_millis(1));
        let warm = stint.warm();
        let end = match (stint.plan.limit, stint.plan.warmup) {
            (Limit::Time(time), Warmup::Fixed(_)) => warm.plus(time),
            _ => Moment::NEVER,
        };
        let mut pacer = Pacer {
            stint,
            watch,
            grow,
            next_tick: Moment::START,
            timeout_tick,
            row: 0,
            row_end: Moment::after(stint.plan.interval),
            row_start: Book {
                at: Moment::START,
                scheduled: Scheduled::now(),
                spun: 0,
                starved: runtime::stats().starved,
            },
            spun: 0,
            warm_start: None,
            end,
            next_lane: 0,
        };
        if warm == Moment::START {
            pacer.warm_start = Some(pacer.row_start);
        }
        pacer
    }

    /// Paces the run to its end; when that was.
    pub(crate) async fn run(mut self) -> Moment {
        self.start();
        loop {
            let now = self.stint.turn();
            self.dispatch(now);
            if now >= self.next_tick {
                self.tick(now);
            }
            if self.stint.is_over(now) || now >= self.end.plus(self.stint.plan.drain) {
                break;
            }
            self.wait(self.next_event()).await;
        }
        let now = self.stint.turn();
        self.close_row(now);
        let book = self.book(now);
        let health = health(self.warm_start.unwrap_or(self.row_start), book);
        self.stint.tally.borrow_mut().health.push(health);
        now
    }

    /// Lets every connection that stands begin.
    fn start(&self) {
        let now = self.stint.turn();
        self.each(|connection| connection.go_on(self.stint, now));
    }

    fn each(&self, mut call: impl FnMut(&mut Connection)) {
        for lane in &self.stint.lanes {
            lane.with(&mut call);
        }
    }

    fn with(&self, lane: u32, call: impl FnOnce(&mut Connection)) {
        self.stint.lanes[lane as usize].with(call);
    }

    /// Hands what is due to whoever may send it.
    fn dispatch(&mut self, now: Moment) {
        while let Some((lane, due)) = self.stint.pop_thought(now) {
            self.with(lane, |connection| {
                connection.end_thought(self.stint, due, now);
            });
        }
        let Pace::Open(open) = &self.stint.plan.pace else {
            return;
        };
        if self.stint.is_per_connection() {
            return self.dispatch_to_owners(now);
        }
        while self.stint.next_due() <= now {
            if let Some(lane) = self.stint.pop_idle() {
                self.with(lane, |connection| {
                    if std::mem::take(&mut connection.is_idle) {
                        connection.serve_due(self.stint, now, Moment::START);
                    }
                });
            } else if open.overload == Overload::Drop {
                self.stint.drop_due(now);
            } else {
                break;
            }
        }
        let behind = self.stint.next_due() <= now;
        if behind && connection::may_grow(self.stint) && !self.stint.has_idle() {
            (self.grow)();
        }
    }

    /// Gives every due request to its own connection, in turn.
    fn dispatch_to_owners(&mut self, now: Moment) {
        while let Some((number, due)) = self.stint.take_due(now) {
            let at = self.next_lane % self.stint.lanes.len();
            self.next_lane = at + 1;
            self.stint.push_backlog(at, number, due);
            self.stint.lanes[at]
                .with(|connection| connection.serve_due(self.stint, now, Moment::START));
        }
    }

    /// When there is something to do that no answer announces.
    fn next_event(&self) -> Moment {
        let due = match &self.stint.plan.pace {
            Pace::Open(open) => {
                let waits = self.stint.has_idle()
                    || self.stint.is_per_connection()
                    || open.overload == Overload::Drop;
                // Those that become free take what is due by themselves.
                if waits {
                    self.stint.next_due()
                } else {
                    Moment::NEVER
                }
            }
            Pace::Closed { .. } => self.stint.next_thought(),
        };
        due.min(self.next_tick)
    }

    /// Waits until `event`, or until somebody calls.
    async fn wait(&mut self, event: Moment) {
        self.stint.pacer_until.set(event);
        if event <= self.stint.turn() {
            // Overdue: the turn must go on, or nothing would be sent.
            return yield_now().await;
        }
        let spins = self.stint.plan.busy_poll && event < self.next_tick;
        let spin_from = if spins {
            Moment(event.0.saturating_sub(Moment::after(SPIN).0))
        } else {
            event
        };
        if self.stint.now() < spin_from {
            let mut sleep = pin!(sleep_until(self.stint.instant(spin_from)));
            let mut woken = false;
            poll_fn(|context| {
                self.stint
                    .pacer
                    .borrow_mut()
                    .get_or_insert_with(|| context.waker().clone());
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(());
                }
                sleep.as_mut().poll(context)
            })
            .await;
            return;
        }
        self.spin().await;
    }

    /// Lets a turn pass without sleeping.
    async fn spin(&mut self) {
        let (began, work) = (clock(), self.stint.work.get());
        yield_now().await;
        if work == self.stint.work.get() {
            let passed = runtime::now().saturating_duration_since(began);
            self.spun += Moment::after(passed).0;
        }
    }

    /// What is done ten times a second.
    fn tick(&mut self, now: Moment) {
        self.next_tick = now.plus(self.timeout_tick);
        let patience = Moment::after(self.stint.plan.timeout).0;
        if let Some(moment) = now.0.checked_sub(patience) {
            self.each(|connection| connection.time_out(self.stint, Moment(moment), now));
        }
        self.settle_warmup(now);
        let answered = {
            let tally = self.stint.tally.borrow();
            tally
                .phases
                .iter()
                .map(|phase| phase.ledger.answered())
                .sum()
        };
        self.watch
            .publish(self.stint.shard, answered, self.stint.in_flight());
        if self.watch.signal().is_some() && now < self.end {
            self.end = now;
            self.stint.end(now);
            self.stint.tally.borrow_mut().cut = Some(now);
        }
        while now >= self.row_end {
            self.close_row(self.row_end);
        }
    }

    /// Notes the end of the warm-up: by the plan, or when somebody says that the run is steady.
    fn settle_warmup(&mut self, now: Moment) {
        if let (Warmup::Auto(_), Some(warm)) = (self.stint.plan.warmup, self.watch.warm())
            && self.stint.warm() == Moment::NEVER
        {
            self.stint.set_warm(warm);
            if let Limit::Time(time) = self.stint.plan.limit {
                self.end = warm.plus(time);
            }
        }
        if self.warm_start.is_none() && now >= self.stint.warm() {
            self.warm_start = Some(self.book(now));
        }
    }

    /// Hands a row of the timeline to whoever collects them.
    fn close_row(&mut self, at: Moment) {
        let book = self.book(at);
        let mut interval = std::mem::take(&mut self.stint.tally.borrow_mut().interval);
        interval.busy = health(self.row_start, book).busy.unwrap_or(0.0);
        interval.behind = at.since(self.stint.next_due());
        self.row_start = book;
        self.watch.push(self.row, interval);
        self.row += 1;
        self.row_end = self.row_end.plus(self.stint.plan.interval);
    }

    fn book(&self, at: Moment) -> Book {
        Book {
            at,
            scheduled: Scheduled::now(),
            spun: self.spun,
            starved: runtime::stats().starved,
        }
    }
}

fn health(before: Book, after: Book) -> Health {
    Health::between(
        before.scheduled,
        after.scheduled,
        after.at.since(before.at),
        after.spun - before.spun,
        after.starved - before.starved,
    )
}
