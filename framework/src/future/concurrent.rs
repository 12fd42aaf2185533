//! [`map`], [`filter`] and [`reduce`]: the futures of a stream, so many at a time.
//!
//! What must hold: no more futures than the bound are begun and not ended, or ended and not given
//! out; a source is not asked for more than that.

use std::future::{Future, ready};
use std::pin::pin;

use futures_core::Stream;
use futures_util::{StreamExt, stream};

use super::repeat::Pace;

/// Makes a stream of what an iterator has.
pub fn items<I: IntoIterator>(items: I) -> impl Stream<Item = I::Item> + use<I> {
    stream::iter(items)
}

/// The items of a stream, each as `f` has changed it, in order; `f` works on at most `count_max` of
/// them at a time.
///
/// # Panics
/// If `count_max` is 0.
///
/// # Cancel safety
/// Dropping the stream drops what `f` has begun. Waiting for its next item can be given up and
/// taken up again: nothing is lost.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use std::future::ready;
/// use sunstar::future::{filter, items, map, reduce};
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let odd = filter(items(1..=9), 4, |n| ready(n % 2 == 1));
/// let squares = map(odd, 4, |n| async move { n * n });
/// let sum = reduce(squares, 4, 0, |square| ready(square), |a, b| a + b).await;
/// assert_eq!(sum, 1 + 9 + 25 + 49 + 81);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub fn map<S, F, R>(source: S, count_max: usize, f: F) -> impl Stream<Item = R::Output>
where
    S: Stream,
    F: FnMut(S::Item) -> R,
    R: Future,
{
    source.map(f).buffered(at_least_one(count_max))
}

/// The items of a stream of which `keeps` says so, in order; `keeps` works on at most `count_max`
/// of them at a time.
///
/// # Panics
/// If `count_max` is 0.
///
/// # Cancel safety
/// As [`map`].
pub fn filter<S, F, R>(source: S, count_max: usize, mut keeps: F) -> impl Stream<Item = S::Item>
where
    S: Stream,
    F: FnMut(&S::Item) -> R,
    R: Future<Output = bool>,
{
    let judged = map(source, count_max, move |item| {
        let keeps = keeps(&item);
        async move { keeps.await.then_some(item) }
    });
    judged.filter_map(ready)
}

/// Starts `f` for the items of a stream, at most `count_max` at a time, and merges what comes out
/// of it, in the order in which it comes: so `merge` should not care about the order.
///
/// # Panics
/// If `count_max` is 0.
///
/// # Cancel safety
/// Dropping it drops what `f` has begun, and what was merged so far.
pub async fn reduce<S, F, R, T>(
    source: S,
    count_max: usize,
    start: T,
    f: F,
    mut merge: impl FnMut(T, R::Output) -> T,
) -> T
where
    S: Stream,
    F: FnMut(S::Item) -> R,
    R: Future,
{
    let mut ended = pin!(source.map(f).buffer_unordered(at_least_one(count_max)));
    let (mut pace, mut merged) = (Pace::default(), start);
    while let Some(one) = ended.next().await {
        merged = merge(merged, one);
        if let Some(pause) = pace.step() {
            pause.await;
        }
    }
    merged
}

fn at_least_one(count_max: usize) -> usize {
    assert!(count_max > 0, "at least one has to run at a time");
    count_max
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{at_every_await, poll};
    use crate::sync::{Semaphore, oneshot};
    use std::cell::Cell;

    #[test]
    fn a_map_keeps_the_order_and_a_reduction_takes_what_comes() {
        let (replies, awaiting): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot()).unzip();
        let (later, early): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot()).unzip();
        let mut mapped = Box::pin(map(items(awaiting), 3, |answer| answer).collect::<Vec<_>>());
        let merge = |mut all: Vec<_>, one| {
            all.push(one);
            all
        };
        let mut reduced = Box::pin(reduce(items(early), 3, Vec::new(), |it| it, merge));
        assert!(poll(&mut mapped).is_none() && poll(&mut reduced).is_none());
        for (n, (one, other)) in replies.into_iter().zip(later).enumerate().rev() {
            one.send(n).unwrap();
            other.send(n).unwrap();
            if n > 0 {
                assert!(poll(&mut mapped).is_none() && poll(&mut reduced).is_none());
            }
        }
        assert_eq!(poll(&mut mapped), Some(vec![Ok(0), Ok(1), Ok(2)]));
        assert_eq!(poll(&mut reduced), Some(vec![Ok(2), Ok(1), Ok(0)]));
    }

    #[test]
    fn no_more_are_begun_than_the_bound() {
        let (units, begun) = (Semaphore::new(0), Cell::new(0));
        let f = |_| {
            begun.set(begun.get() + 1);
            let units = units.acquire(1);
            async move { units.await.unwrap().forget() }
        };
        let mut all = Box::pin(reduce(items(0..9), 4, 0, f, |count, ()| count + 1));
        for done in 0..9 {
            assert_eq!(poll(&mut all), None);
            assert_eq!(begun.get(), (4 + done).min(9));
            units.add(1);
        }
        assert_eq!(poll(&mut all), Some(9));
    }

    #[test]
    fn what_is_not_kept_is_left_out() {
        let mut kept = Box::pin(filter(items(0..6), 2, |n| ready(n % 3 == 0)).collect::<Vec<_>>());
        assert_eq!(poll(&mut kept), Some(vec![0, 3]));
    }

    #[test]
    #[should_panic(expected = "at least one")]
    fn a_bound_of_nothing_is_refused() {
        let _ = map(items(0..1), 0, ready);
    }

    #[test]
    fn dropped_at_any_await_they_drop_what_was_begun() {
        at_every_await(|steps| {
            let f = move |n| steps.of(n);
            async move { map(items(1..9), 3, f).collect::<Vec<_>>().await }
        });
        at_every_await(|steps| {
            let f = move |n: &usize| {
                let step = steps.of(*n);
                async move {
                    step.await;
                    true
                }
            };
            async move { filter(items(1..9), 3, f).collect::<Vec<_>>().await }
        });
        at_every_await(|steps| {
            let f = move |n| steps.of(n);
            reduce(items(1..9), 3, (), f, |(), ()| ())
        });
    }
}
