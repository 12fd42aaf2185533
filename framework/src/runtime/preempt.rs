//! [`need_preempt`] and [`yield_if_needed`]: where a long task asks whether others wait.
//!
//! What must hold: asking costs a call, a load and a store; the clock is read only when a count of
//! calls has run down. The count is made anew at each reading, from how far apart the calls were,
//! so that the next reading comes within an eighth of what is left; it starts at one and at most
//! doubles, up to `CALLS_MAX`, so that calls which become rarer all of a sudden are noticed soon.
//! Where nothing but asking is done, as far as that count can tell, the kernel is told to end it
//! ([`QuotaTimer`]), and asking costs a load only. In a slice of spare time there is no such timer,
//! and each reading also looks for what has come (ADR 31). Neither count nor timer outlives its
//! turn: who asks next would never be told.

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::shard::Shard;
use super::{current, yield_now};
use crate::sys::quota_timer::{QuotaTimer, count, set_count};

/// Calls between two readings of the clock at most: a reading of 25 ns makes 0.4 ns of each.
const CALLS_MAX: u32 = 64;
/// The part of what is left of a slice after which the clock is read again.
const LOOK_PART: u64 = 8;
/// A count that the kernel ends, and no call.
const TIMED: u32 = u32::MAX;
/// `CALLS_MAX` calls in less than this, 16 ns for each, are worth a timer. Without optimisation
/// they take that long by themselves.
const TIMED_FROM: Duration =
    Duration::from_nanos(if cfg!(debug_assertions) { 16_384 } else { 1024 });
/// Nor is a timer set, which takes up to 2 us, for what is over sooner than this.
const TIMED_LEFT: Duration = Duration::from_micros(50);

/// When the running slice ends, and how often its tasks have asked.
#[derive(Debug)]
pub(super) struct Slice {
    quota: Duration,
    /// `None` for a slice that is the whole turn.
    end: Cell<Option<Instant>>,
    looked: Cell<Option<Instant>>,
    calls: Cell<u32>,
    spare: Cell<Spare>,
    /// Made when it is set for the first time; `None` if there can be none.
    timer: OnceCell<Option<QuotaTimer>>,
    /// Whether that was started and not stopped; it may have run out.
    is_timed: Cell<bool>,
}

/// Who asks whether a slice is over.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asker {
    /// A task, which may be a loop that does nothing else.
    Task,
    /// The executor, between two polls. What it polls may be as quick, but has not asked for a
    /// signal.
    Executor,
}

/// Whether a slice is of time that nobody else has a claim to at its beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spare {
    No,
    Yes,
    /// It was, and was given up for what has come meanwhile.
    GivenUp,
}

impl Slice {
    pub(super) fn new(quota: Duration) -> Slice {
        Slice {
            quota,
            end: Cell::new(None),
            looked: Cell::new(None),
            calls: Cell::new(0),
            spare: Cell::new(Spare::No),
            timer: OnceCell::new(),
            is_timed: Cell::new(false),
        }
    }

    /// How long the tasks of a turn may run.
    pub(super) fn quota(&self) -> Duration {
        self.quota
    }

    /// Begins a turn, whose only slice lasts for the quota unless others are begun in it. The count
    /// of calls until the clock is read is one for all shards of a simulation: each turn begins
    /// with none.
    #[inline]
    pub(super) fn begin_turn(&self) {
        self.end_count();
    }

    /// Ends a turn. It is not to be interrupted behind its end, nor may anybody go by its count.
    #[inline]
    pub(super) fn end_turn(&self) {
        self.end_count();
    }

    #[inline]
    fn end_count(&self) {
        if self.is_timed.get() {
            self.stop_timer();
        }
        set_count(0);
    }

    #[cold]
    fn stop_timer(&self) {
        self.is_timed.set(false);
        if let Some(Some(timer)) = self.timer.get() {
            timer.stop();
        }
    }

    /// Has the kernel end the count when the slice is over. Tells whether it can.
    fn start_timer(&self, left: Duration) -> bool {
        let timer = self.timer.get_or_init(QuotaTimer::new).as_ref();
        let can = timer.is_some_and(|timer| timer.start(TIMED, left));
        self.is_timed.set(can);
        can
    }

    /// Begins a slice that ends at `end`; one of `spare` time also when something comes.
    pub(super) fn begin(&self, now: Instant, end: Instant, spare: bool) {
        self.end_count();
        self.spare.set(if spare { Spare::Yes } else { Spare::No });
        self.end.set(Some(end));
        self.looked.set(Some(now));
        self.calls.set(0);
    }

    /// The turn has no slice any more. Tells whether this one was given up for what has come.
    pub(super) fn end(&self) -> bool {
        self.end.set(None);
        self.spare.replace(Spare::No) == Spare::GivenUp
    }

    /// Whether it is of spare time, and something has come.
    fn is_to_be_given_up(&self, shard: &Shard) -> bool {
        if self.spare.get() == Spare::No || !shard.has_news() {
            return false;
        }
        self.spare.set(Spare::GivenUp);
        true
    }

    /// Reads the clock: whether the slice is over.
    #[cold]
    fn look(&self, turn: Instant, asker: Asker) -> bool {
        let now = Clock::monotonic();
        let end = self.end.get().unwrap_or(turn + self.quota);
        // What an earlier turn has left says nothing about this one.
        let looked = self.looked.replace(Some(now)).filter(|then| *then >= turn);
        let left = end.saturating_duration_since(now);
        if left.is_zero() {
            return true;
        }
        let calls = if looked.is_some() {
            self.calls.get()
        } else {
            0
        };
        let since = now.saturating_duration_since(looked.unwrap_or(turn));
        let next = next_look(left, since, calls);
        self.calls.set(next);
        let is_timed = asker == Asker::Task
            && calls == CALLS_MAX
            && next == CALLS_MAX
            && since < TIMED_FROM
            && left >= TIMED_LEFT
            && self.spare.get() == Spare::No
            && self.start_timer(left);
        if !is_timed {
            set_count(next - 1);
        }
        false
    }
}

/// After how many calls to read the clock again, when `calls` of them took `since`.
fn next_look(left: Duration, since: Duration, calls: u32) -> u32 {
    let wanted = u64::from(calls).saturating_mul(nanos(left) / LOOK_PART) / nanos(since).max(1);
    let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
    wanted.min(calls * 2).clamp(1, CALLS_MAX)
}

/// Nanoseconds, up to 584 years: a division of 128 bits would cost as much as reading the clock.
fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(time.subsec_nanos()))
}

/// Whether the running task has used up its slice, so that it should let others run: by
/// [`yield_if_needed`], or by returning. As cheap as a load: ask once in a few hundred nanoseconds
/// of work.
///
/// Who asks some hundred times with less than 16 ns between has the kernel send the thread a
/// signal (`SIGRTMIN` + 8) at the end of the slice, unless the program has a handler for it or
/// blocks it; it may do neither between two calls of such a loop. A system call that the task
/// blocks in at that moment goes on, or ends with EINTR where it cannot (signal(7)).
///
/// A slice is the task quota ([`Config::task_quota`](super::Config::task_quota)), or a part of it:
/// see [`Group`](super::Group). `false` outside of every shard.
#[inline]
pub fn need_preempt() -> bool {
    count() != TIMED && count_down()
}

/// Not a part of the loop that asks: where the kernel ends the count, which is where nothing but
/// asking is done, that has one branch then, which is never taken. Who comes here mostly does
/// something else besides, for which a call is little.
#[inline(never)]
fn count_down() -> bool {
    ask(Asker::Task)
}

/// As [`need_preempt`], between two tasks.
#[inline]
pub(super) fn is_slice_over() -> bool {
    ask(Asker::Executor)
}

#[inline]
fn ask(asker: Asker) -> bool {
    let calls = count();
    if calls == 0 {
        return look(asker);
    }
    if calls != TIMED {
        set_count(calls - 1);
    }
    false
}

#[cold]
#[inline(never)]
fn look(asker: Asker) -> bool {
    current::try_with(|shard| {
        shard.is_some_and(|shard| {
            let slice = shard.executor.slice();
            slice.is_to_be_given_up(shard) || slice.look(shard.clock.now(), asker)
        })
    })
}

/// Gives up the rest of the turn if the running task has used up its slice; else goes on at once.
///
/// # Cancel safety
/// Dropping it does nothing.
///
/// # Examples
/// ```
/// use sunstar::runtime::{Config, Placement, run_on_all_shards, yield_if_needed};
///
/// async fn sum(numbers: &[u64]) -> u64 {
///     let mut sum = 0;
///     for hundred in numbers.chunks(100) {
///         sum += hundred.iter().sum::<u64>();
///         yield_if_needed().await;
///     }
///     sum
/// }
///
/// let main = |_| async { sum(&(0..10_000).collect::<Vec<_>>()).await };
/// assert_eq!(run_on_all_shards(&Config::new(Placement::unpinned(1)), main)?, [49_995_000]);
/// # Ok::<(), sunstar::Error>(())
/// ```
#[inline]
pub async fn yield_if_needed() {
    if need_preempt() {
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Placement, run_on_all_shards};
    use super::*;

    const US: Duration = Duration::from_micros(1);
    const QUOTA: Duration = Duration::from_micros(500);

    #[test]
    fn calls_that_are_close_together_are_counted_and_those_far_apart_are_not() {
        assert_eq!(next_look(400 * US, Duration::ZERO, 0), 1);
        assert_eq!(next_look(400 * US, Duration::ZERO, 1), 2);
        assert_eq!(next_look(400 * US, Duration::from_nanos(64), 32), 64);
        assert_eq!(next_look(400 * US, Duration::from_nanos(64), 64), 64);
        assert_eq!(next_look(400 * US, 50 * US, 1), 1);
        assert_eq!(next_look(400 * US, 640 * US, 64), 5);
        assert_eq!(next_look(US, 64 * US, 64), 1);
        assert_eq!(next_look(Duration::MAX, Duration::ZERO, 64), 64);
    }

    /// Asks in turn after turn until the kernel has been told to end the count.
    async fn ask_until_timed() {
        while count() != TIMED {
            if need_preempt() {
                yield_now().await;
            }
        }
    }

    fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
        let mut config = Config::new(Placement::unpinned(1));
        config.task_quota = QUOTA;
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    #[test]
    fn who_does_nothing_but_ask_is_told_by_the_kernel_once_the_slice_is_over() {
        on_a_shard(|| async {
            ask_until_timed().await;
            let turn = current::now();
            while !need_preempt() {}
            assert!(Clock::monotonic() - turn >= QUOTA);
            // Until the turn ends it stays so.
            assert!(need_preempt() && need_preempt());
            yield_now().await;
            assert!(!need_preempt());
        });
    }

    #[test]
    fn no_signal_comes_behind_the_turn_that_has_asked_for_it() {
        on_a_shard(|| async {
            ask_until_timed().await;
            yield_now().await;
            set_count(CALLS_MAX);
            let turn = current::now();
            while Clock::monotonic() - turn < 4 * QUOTA {
                assert_eq!(count(), CALLS_MAX);
            }
        });
    }

    /// A slice of a turn that begins now, whose count the kernel has been told to end.
    fn timed() -> Slice {
        let slice = Slice::new(QUOTA);
        loop {
            slice.begin_turn();
            let turn = Clock::monotonic();
            while !slice.look(turn, Asker::Task) {
                if count() == TIMED {
                    return slice;
                }
                (0..count()).rev().for_each(set_count);
            }
        }
    }

    #[test]
    fn behind_a_turn_nobody_goes_by_its_count_nor_does_the_kernel_end_it() {
        for ends in [Slice::end_turn, Slice::begin_turn] {
            ends(&timed());
            assert_eq!(count(), 0);

            let slice = timed();
            // As behind a signal that somebody else has sent: the timer goes on.
            set_count(1);
            ends(&slice);
            set_count(CALLS_MAX);
            let end = Clock::monotonic() + 4 * QUOTA;
            while Clock::monotonic() < end {
                assert_eq!(count(), CALLS_MAX);
            }
        }
    }

    #[test]
    fn the_executor_asks_for_no_signal_however_often_it_asks() {
        let slice = Slice::new(QUOTA);
        slice.begin_turn();
        let turn = Clock::monotonic();
        while !slice.look(turn, Asker::Executor) {
            assert!(count() < CALLS_MAX);
            (0..count()).rev().for_each(set_count);
        }
        assert!(slice.timer.get().is_none());
    }

    #[test]
    fn outside_of_every_shard_nobody_has_to_yield() {
        assert!(!need_preempt());
    }
}
