//! [`parallel_for_each`] and [`max_concurrent_for_each`]: one function for all items.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::Outcome;
use super::all::when_all;

/// Starts `f` for every item at once and waits for all, also when one has failed.
///
/// # Errors
/// The failure of the first item in order that has one.
///
/// # Cancel safety
/// Dropping it drops what `f` has begun.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use std::cell::Cell;
/// use sunstar::future::parallel_for_each;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let sum = Cell::new(0);
/// parallel_for_each(1..=4, async |n| sum.set(sum.get() + n)).await;
/// assert_eq!(sum.get(), 10);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn parallel_for_each<I, F, R>(items: I, f: F) -> R
where
    I: IntoIterator,
    F: AsyncFn(I::Item) -> R,
    R: Outcome,
{
    let ended = when_all(items.into_iter().map(|item| f(item))).await;
    let failure = ended.into_iter().find(Outcome::is_failure);
    failure.unwrap_or_else(R::success)
}

/// Runs `f` for every item, at most `count_max` at a time. When one fails no more are started; it
/// waits for those that were.
///
/// # Errors
/// The failure that came first.
///
/// # Panics
/// If `count_max` is 0.
///
/// # Cancel safety
/// Dropping it drops what `f` has begun; the items that are left are dropped with it.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, yield_now};
/// use std::cell::Cell;
/// use sunstar::future::max_concurrent_for_each;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let seen = Cell::new(0);
/// let failed = max_concurrent_for_each(1..=100, 2, async |n| {
///     seen.set(n);
///     yield_now().await;
///     if n < 10 { Ok(()) } else { Err(n) }
/// });
/// assert_eq!((failed.await, seen.get()), (Err(10), 11));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn max_concurrent_for_each<I, F, R>(items: I, count_max: usize, f: F) -> R
where
    I: IntoIterator,
    F: AsyncFn(I::Item) -> R,
    R: Outcome,
{
    assert!(count_max > 0, "at least one has to run at a time");
    let mut items = items.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = None;
    loop {
        while failure.is_none()
            && running.len() < count_max
            && let Some(item) = items.next()
        {
            running.push(f(item));
        }
        match running.next().await {
            None => return failure.unwrap_or_else(R::success),
            Some(ended) if ended.is_failure() && failure.is_none() => failure = Some(ended),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{at_every_await, poll};
    use crate::sync::{Semaphore, oneshot};
    use std::cell::{Cell, RefCell};

    #[test]
    fn everything_is_waited_for_and_the_first_failure_in_order_is_told() {
        let (replies, awaiting): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot()).unzip();
        let ended = Cell::new(0);
        let each = parallel_for_each(awaiting, async |answer| {
            let answer: Result<(), u8> = answer.await.unwrap();
            ended.set(ended.get() + 1);
            answer
        });
        let mut each = Box::pin(each);
        for (reply, answer) in replies.into_iter().zip([Ok(()), Err(1), Err(2)]).rev() {
            assert_eq!(poll(&mut each), None);
            reply.send(answer).unwrap();
        }
        assert_eq!((poll(&mut each), ended.get()), (Some(Err(1)), 3));
    }

    #[test]
    fn never_more_than_the_bound_run_at_a_time_and_as_many_as_it_allows() {
        let (units, running) = (Semaphore::new(0), RefCell::new(Vec::new()));
        let mut each = Box::pin(max_concurrent_for_each(0..7, 3, async |n| {
            running.borrow_mut().push(n);
            units.acquire(1).await.unwrap().forget();
            running.borrow_mut().retain(|other| *other != n);
        }));
        for done in 0..7 {
            assert_eq!(poll(&mut each), None);
            assert_eq!(running.borrow().len(), 3.min(7 - done));
            units.add(1);
        }
        assert_eq!(poll(&mut each), Some(()));
    }

    #[test]
    fn after_a_failure_nothing_more_is_started_but_what_runs_ends() {
        let (begun, ended) = (Cell::new(0), Cell::new(0));
        let (reply, awaiting) = oneshot::<()>();
        let awaiting = RefCell::new(Some(awaiting));
        let mut each = Box::pin(max_concurrent_for_each(0..9, 2, async |n| {
            begun.set(begun.get() + 1);
            let waits = awaiting.borrow_mut().take();
            if let Some(waits) = waits {
                waits.await.unwrap();
                ended.set(ended.get() + 1);
                return Ok(());
            }
            Err(n)
        }));
        assert_eq!((poll(&mut each), begun.get()), (None, 2));
        reply.send(()).unwrap();
        assert_eq!((poll(&mut each), ended.get()), (Some(Err(1)), 1));
        assert_eq!(begun.get(), 2);
    }

    #[test]
    #[should_panic(expected = "at least one")]
    fn a_bound_of_nothing_is_refused() {
        poll(&mut Box::pin(max_concurrent_for_each(
            0..1,
            0,
            async |_| (),
        )));
    }

    #[test]
    fn dropped_at_any_await_they_drop_what_was_begun() {
        at_every_await(|steps| async move {
            parallel_for_each(1..5, async |n| steps.of(n).await).await;
        });
        at_every_await(|steps| async move {
            max_concurrent_for_each(1..9, 3, async |n| steps.of(n).await).await;
        });
    }
}
