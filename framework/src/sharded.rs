//! [`Sharded`]: the `T` of every shard, and the ways to ask all of them.
//!
//! What must hold: a `T` never leaves its shard; a closure given to `local` cannot await, so a
//! borrow of shard state never spans a suspension; whoever asks a shard that has not started its
//! `T` yet waits for it.

use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;

use crate::runtime::{self, ShardId};

mod lifecycle;
mod units;

pub use lifecycle::{Services, Stop};
pub use units::CallUnits;

/// How long a shard may take to start its `T` before whoever asks for it gives up.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked meanwhile.
const START_STEP: Duration = Duration::from_micros(100);

/// A handle to the `T` of every shard: cheap to clone and [`Send`], while `T` need be neither.
///
/// There is one `T` for each type: wrap a second one of the same type in a type of its own.
///
/// # Examples
/// ```
/// use sunstar::Sharded;
/// use sunstar::runtime::{Config, Placement, run_on_all_shards};
///
/// let config = Config::new(Placement::unpinned(2));
/// let sums = run_on_all_shards(&config, |shard| async move {
///     let hits = Sharded::start(10 + shard.index() as u64);
///     hits.map_reduce(|count| *count, |a, b| a + b).await
/// })?;
/// assert_eq!(sums, [21, 21]);
/// # Ok::<(), sunstar::Error>(())
/// ```
pub struct Sharded<T> {
    place: Place,
    units: Option<CallUnits>,
    state: PhantomData<fn() -> T>,
}

#[derive(Clone, Copy)]
enum Place {
    /// In the table of each shard, by type.
    EveryShard,
    /// In the table of singles of this thread.
    Single(usize),
}

thread_local! {
    /// The states of [`Sharded::single`], which needs no shard.
    static SINGLES: RefCell<Vec<Rc<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

impl<T: 'static> Sharded<T> {
    /// Makes `value` the `T` of the current shard. Every shard calls this once. A `T` of no size,
    /// such as `()`, holds nothing to tell apart, and may be started again.
    ///
    /// # Panics
    /// Outside of every shard, or when this shard has a `T` already.
    #[track_caller]
    pub fn start(value: T) -> Sharded<T> {
        let taken = runtime::with_current(|shard| {
            let place = shard.states.place::<T>().try_borrow_mut();
            let Some(mut place) = place.ok().filter(|place| place.is_none()) else {
                return Some(shard.id);
            };
            *place = Some(value);
            None
        });
        if let Some(id) = taken.filter(|_| size_of::<T>() > 0) {
            let name = type_name::<T>();
            panic!(
                "shard {id} has a `{name}` already: share the handle that the first start gave \
                 (`Router::with` takes it), or wrap one in a new type"
            );
        }
        Sharded::everywhere()
    }

    /// The handle alone: for a `T` that every shard starts by itself.
    pub(crate) fn everywhere() -> Sharded<T> {
        Sharded {
            place: Place::EveryShard,
            units: None,
            state: PhantomData,
        }
    }

    /// Makes a `T` that stands alone, so that a test can call a handler as the function it is.
    ///
    /// It behaves as if there were one shard. It stays on the thread that made it.
    pub fn single(value: T) -> Sharded<T> {
        let place = SINGLES.with_borrow_mut(|singles| {
            singles.push(Rc::new(RefCell::new(Some(value))));
            singles.len() - 1
        });
        Sharded {
            place: Place::Single(place),
            units: None,
            state: PhantomData,
        }
    }

    /// The same, but each call to another shard takes one of these units for as long as it is away.
    #[must_use]
    pub fn with_units(self, units: CallUnits) -> Sharded<T> {
        Sharded {
            units: Some(units),
            ..self
        }
    }

    /// Runs `f` with this shard's `T`, at once.
    ///
    /// # Panics
    /// If it is called again from within `f` for the same `T`, if this shard has not started its
    /// `T`, or outside of every shard.
    #[inline]
    #[track_caller]
    pub fn local<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let result = match self.place {
            Place::EveryShard => here(f),
            Place::Single(place) => {
                let single = SINGLES.with_borrow(|singles| singles.get(place).cloned());
                within(single.as_ref().and_then(|single| single.downcast_ref()), f)
            }
        };
        let name = type_name::<T>();
        match result {
            Ok(result) => result,
            Err((Refused::Missing, _)) => panic!("no `{name}` here: `Sharded::start` it"),
            Err((Refused::Stopped, _)) => panic!("the `{name}` of this shard was stopped"),
            Err((Refused::Used, _)) => {
                panic!("`local` on `{name}` inside `local` on the same: do both in one closure")
            }
        }
    }

    /// Runs `f` with the `T` of `shard`, there, and gives back what it returns. On the current
    /// shard it runs at once; otherwise it costs two messages, and an allocation where `f` or what
    /// it returns has more than six words.
    ///
    /// # Cancel safety
    /// Dropped before its first poll nothing happens; later `f` may run all the same.
    ///
    /// # Panics
    /// If there is no such shard, if `f` panics, or if the shard does not start its `T` within
    /// ten seconds.
    pub async fn on<R, F>(&self, shard: ShardId, f: F) -> R
    where
        F: FnOnce(&mut T) -> R + Send + 'static,
        R: Send + 'static,
    {
        let is_here = self.is_single() || runtime::current_shard() == shard;
        if is_here {
            return self.local(f);
        }
        let mut units = match self.units {
            Some(units) => Some(units.take(shard).await),
            None => None,
        };
        let mut f = f;
        let mut patience = START_PATIENCE;
        loop {
            let errand = move || match here(f) {
                Err((Refused::Missing, f)) => Err(f),
                Err((_, f)) => Ok(Sharded::everywhere().local(f)),
                Ok(result) => Ok(result),
            };
            let answer = match units {
                None => runtime::call(shard, errand).await,
                Some(held) => {
                    let (answer, held) = units::call_with(held, shard, errand).await;
                    units = Some(held);
                    answer
                }
            };
            f = match answer {
                Ok(result) => return result,
                Err(f) => f,
            };
            let name = type_name::<T>();
            assert!(
                !patience.is_zero(),
                "shard {shard} has not started its `{name}`"
            );
            patience = patience.saturating_sub(START_STEP);
            runtime::sleep(START_STEP).await;
        }
    }

    /// Runs `f` with the `T` of every shard and waits for all.
    ///
    /// # Panics
    /// As [`on`](Sharded::on).
    pub async fn on_all<F>(&self, f: F)
    where
        F: Fn(&mut T) + Clone + Send + 'static,
    {
        self.map(f).await;
    }

    /// Runs `f` with the `T` of every shard but this one and waits for all.
    ///
    /// # Panics
    /// As [`on`](Sharded::on).
    pub async fn on_others<F>(&self, f: F)
    where
        F: Fn(&mut T) + Clone + Send + 'static,
    {
        let here = if self.is_single() {
            ShardId::ZERO
        } else {
            runtime::current_shard()
        };
        self.map_shards(f, |shard| shard != here).await;
    }

    /// Runs `f` with the `T` of every shard whose number is in `range`, all at the same time, and
    /// gives back what they return, in shard order.
    ///
    /// # Panics
    /// If a bound of the range is more than there are shards, and as [`on`](Sharded::on).
    ///
    /// # Examples
    /// ```
    /// # use sunstar::Sharded;
    /// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
    /// # let config = Config::new(Placement::unpinned(3));
    /// # let all = run_on_all_shards(&config, |shard| async move {
    /// let names = Sharded::start(shard.to_string());
    /// names.on_range(1.., |name| name.clone()).await
    /// # })?;
    /// # assert_eq!(all[0], ["1", "2"]);
    /// # Ok::<(), sunstar::Error>(())
    /// ```
    pub async fn on_range<R, F>(&self, range: impl RangeBounds<usize>, f: F) -> Vec<R>
    where
        F: Fn(&mut T) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let count = self.count();
        let end = match range.end_bound() {
            Bound::Included(&last) => last + 1,
            Bound::Excluded(&end) => end,
            Bound::Unbounded => count,
        };
        assert!(end <= count, "shards up to {end}: there are {count}");
        self.map_shards(f, |shard| range.contains(&shard.index()))
            .await
    }

    /// Runs `f` with the `T` of every shard, all at the same time, and gives back what they return,
    /// in shard order.
    ///
    /// # Panics
    /// As [`on`](Sharded::on).
    pub async fn map<R, F>(&self, f: F) -> Vec<R>
    where
        F: Fn(&mut T) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        self.map_shards(f, |_| true).await
    }

    /// Runs `map` with the `T` of every shard and merges what they return with `reduce`, in shard
    /// order.
    ///
    /// # Panics
    /// As [`on`](Sharded::on).
    pub async fn map_reduce<R, M>(&self, map: M, reduce: impl FnMut(R, R) -> R) -> R
    where
        M: Fn(&mut T) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let all = self.map(map).await;
        all.into_iter()
            .reduce(reduce)
            .expect("there is at least one shard")
    }

    /// Runs `map` with the `T` of every shard, all at the same time, and merges what they return in
    /// the order in which it comes, until `reduce` breaks: what has not come by then is not waited
    /// for. What was merged when all have answered is continued with.
    ///
    /// # Panics
    /// As [`on`](Sharded::on).
    ///
    /// # Cancel safety
    /// As [`on`](Sharded::on); so `map` runs on every shard also when `reduce` has broken early.
    ///
    /// # Examples
    /// ```
    /// # use sunstar::{Sharded, ShardId};
    /// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
    /// use std::ops::ControlFlow::{Break, Continue};
    ///
    /// # let config = Config::new(Placement::unpinned(3));
    /// # let all = run_on_all_shards(&config, |shard| async move {
    /// let names = Sharded::start(vec![shard.to_string()]);
    /// let holds_it = |names: &mut Vec<String>| names.iter().any(|name| name == "1");
    /// let found = names.map_reduce_until(holds_it, |found, one| match found || one {
    ///     true => Break(()),
    ///     false => Continue(false),
    /// });
    /// found.await.is_break()
    /// # })?;
    /// # assert_eq!(all, [true; 3]);
    /// # Ok::<(), sunstar::Error>(())
    /// ```
    pub async fn map_reduce_until<R, M, B>(
        &self,
        map: M,
        mut reduce: impl FnMut(R, R) -> ControlFlow<B, R>,
    ) -> ControlFlow<B, R>
    where
        M: Fn(&mut T) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let shards = (0..self.count()).map(ShardId::of);
        let calls = shards.map(|shard| {
            let map = map.clone();
            self.on(shard, move |state: &mut T| map(state))
        });
        let mut calls: FuturesUnordered<_> = calls.collect();
        let mut merged = calls.next().await.expect("there is at least one shard");
        while let Some(one) = calls.next().await {
            merged = reduce(merged, one)?;
        }
        ControlFlow::Continue(merged)
    }

    /// How many shards there are for it.
    fn count(&self) -> usize {
        if self.is_single() {
            1
        } else {
            runtime::shard_count()
        }
    }

    async fn map_shards<R, F>(&self, f: F, which: impl Fn(ShardId) -> bool) -> Vec<R>
    where
        F: Fn(&mut T) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let shards = (0..self.count())
            .map(ShardId::of)
            .filter(|&shard| which(shard));
        let calls = shards.map(|shard| {
            let f = f.clone();
            self.on(shard, move |state: &mut T| f(state))
        });
        join_all(calls).await
    }

    fn is_single(&self) -> bool {
        matches!(self.place, Place::Single(_))
    }
}

/// Why a closure did not run.
enum Refused {
    /// There is no such state.
    Missing,
    /// There is none any more.
    Stopped,
    /// Another closure has it.
    Used,
}

/// Runs `f` with the current shard's `T`, or gives it back.
#[inline]
fn here<T: 'static, R, F>(f: F) -> Result<R, (Refused, F)>
where
    F: FnOnce(&mut T) -> R,
{
    runtime::with_current(|shard| within(shard.states.find(), f))
}

#[inline]
fn within<T, R, F>(place: Option<&RefCell<Option<T>>>, f: F) -> Result<R, (Refused, F)>
where
    F: FnOnce(&mut T) -> R,
{
    let Some(place) = place else {
        return Err((Refused::Missing, f));
    };
    let Ok(mut state) = place.try_borrow_mut() else {
        return Err((Refused::Used, f));
    };
    match &mut *state {
        Some(state) => Ok(f(state)),
        None => Err((Refused::Stopped, f)),
    }
}

impl<T> Clone for Sharded<T> {
    #[inline]
    fn clone(&self) -> Sharded<T> {
        *self
    }
}

impl<T> Copy for Sharded<T> {}

impl<T> fmt::Debug for Sharded<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sharded<{}>", type_name::<T>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards, yield_now};
    use std::cell::Cell;

    fn run<R, F>(count: usize, main: impl Fn(ShardId) -> F + Send + Sync + 'static) -> Vec<R>
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
    {
        run_on_all_shards(&Config::new(Placement::unpinned(count)), main).unwrap()
    }

    #[test]
    fn each_shard_has_its_own_value_which_need_not_be_send() {
        let results = run(3, |shard| async move {
            let state = Sharded::start(Rc::new(Cell::new(shard.index())));
            let next = ShardId::of((shard.index() + 1) % 3);
            let there = state.on(next, |cell| cell.get()).await;
            (state.local(|cell| cell.get()), there)
        });
        assert_eq!(results, [(0, 1), (1, 2), (2, 0)]);
    }

    #[test]
    fn map_keeps_the_shard_order_and_map_reduce_merges() {
        let results = run(4, |shard| async move {
            let state = Sharded::start(shard.index());
            let squares = state.map(|index| *index * *index).await;
            (squares, state.map_reduce(|index| *index, usize::max).await)
        });
        assert!(
            results
                .iter()
                .all(|result| *result == (vec![0, 1, 4, 9], 3)),
            "{results:?}"
        );
    }

    #[test]
    fn on_others_leaves_out_the_caller() {
        let counts = run(3, |shard| async move {
            let state = Sharded::start(0);
            if shard == ShardId::ZERO {
                state.on_others(|count| *count += 1).await;
                state.on_all(|count| *count += 10).await;
            }
            while state.local(|count| *count < 10) {
                yield_now().await;
            }
            state.local(|count| *count)
        });
        assert_eq!(counts, [10, 11, 11]);
    }

    #[test]
    fn many_calls_at_once_are_all_answered() {
        let sums = run(2, |shard| async move {
            let state = Sharded::start(0_u64);
            let other = ShardId::of(1 - shard.index());
            let add = |n: u64| state.on(other, move |sum| *sum += n);
            join_all((1..=5_000).map(add)).await;
            while state.local(|sum| *sum < 5_000 * 5_001 / 2) {
                yield_now().await;
            }
            state.local(|sum| *sum)
        });
        assert_eq!(sums, [5_000 * 5_001 / 2; 2]);
    }

    #[test]
    fn callers_that_give_up_while_they_wait_strand_nobody() {
        let done = run(2, |shard| async move {
            let state = Sharded::start(0_u64);
            if shard != ShardId::ZERO {
                return true;
            }
            let call = move || {
                Box::pin(async move { state.on(ShardId::of(1), |count| *count += 1).await })
            };
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            // As many as may be away, then as many again that have to wait and are dropped.
            let mut away: Vec<_> = (0..1024).map(|_| call()).collect();
            let mut waiting: Vec<_> = (0..1024).map(|_| call()).collect();
            for future in away.iter_mut().chain(&mut waiting) {
                assert!(future.as_mut().poll(&mut context).is_pending());
            }
            let mesh = runtime::stats().mesh;
            assert_eq!((mesh.calls, mesh.waiting), (1024, 1024));
            let last = runtime::spawn(call());
            yield_now().await;
            drop(waiting);
            join_all(away).await;
            last.await;
            true
        });
        assert_eq!(done, [true, true]);
    }

    #[test]
    fn a_caller_beyond_the_limit_is_answered_beside_those_who_ask_again_and_again() {
        let done = run(2, |shard| async move {
            let state = Sharded::start(0_u64);
            if shard != ShardId::ZERO {
                return 0;
            }
            let ask = move || async move { state.on(ShardId::of(1), |count| *count += 1).await };
            let answers = Rc::new(Cell::new(0));
            let asks = |_| {
                let answers = Rc::clone(&answers);
                runtime::spawn(async move {
                    for _ in 0..200 {
                        ask().await;
                        answers.set(answers.get() + 1);
                    }
                })
            };
            let busy: Vec<_> = (0..1032).map(asks).collect();
            while runtime::stats().mesh.waiting < 8 {
                yield_now().await;
            }
            let before = answers.get();
            ask().await;
            let meanwhile = answers.get() - before;
            join_all(busy).await;
            meanwhile
        });
        // Behind those who wait already, and not behind whoever comes again.
        assert!(done[0] <= 2 * 1032, "{} were answered before it", done[0]);
    }

    #[test]
    #[should_panic(expected = "the real reason")]
    fn the_panic_that_began_it_is_the_one_that_is_seen() {
        run(3, |shard| async move {
            assert_ne!(shard.index(), 2, "the real reason");
            std::future::pending::<()>().await;
        });
    }

    #[test]
    fn what_is_dropped_with_its_shard_may_start_tasks() {
        struct Starts;
        impl Drop for Starts {
            fn drop(&mut self) {
                runtime::spawn(async {}).detach();
            }
        }
        let ended = run(1, |_| async {
            let starts = Starts;
            let task = async move {
                let _starts = starts;
                std::future::pending::<()>().await;
            };
            runtime::spawn(task).detach();
        });
        assert_eq!(ended.len(), 1);
    }

    #[test]
    fn a_single_one_needs_no_shard() {
        let state = Sharded::single(vec![1]);
        state.local(|list| list.push(2));
        assert_eq!(state.local(|list| list.len()), 2);
    }

    #[test]
    #[should_panic(expected = "planted")]
    fn a_panic_on_another_shard_reaches_the_caller() {
        run(2, |shard| async move {
            let state = Sharded::start(());
            if shard == ShardId::ZERO {
                state.on(ShardId::of(1), |()| panic!("planted")).await;
            }
        });
    }

    #[test]
    fn what_has_no_size_may_be_started_again() {
        run(1, |_| async {
            Sharded::start(());
            Sharded::start(()).local(|()| ());
        });
    }

    #[test]
    #[should_panic(expected = "has a `u8` already")]
    fn a_second_value_of_one_type_is_refused() {
        run(1, |_| async {
            Sharded::start(1_u8);
            Sharded::start(2_u8);
        });
    }
}
