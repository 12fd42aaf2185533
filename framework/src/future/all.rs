//! [`when_all`], [`when_both`], [`when_all_succeed`] and [`when_any`]: many futures as one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use futures_util::future::{join, join_all};

/// Waits for all futures, at the same time, and gives back what they have ended with, in their
/// order.
///
/// Of more than thirty only those are polled that were woken.
///
/// # Cancel safety
/// Dropping it drops all of them.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::future::when_all;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let squares = when_all((1..=3).map(|n| async move { n * n })).await;
/// assert_eq!(squares, [1, 4, 9]);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn when_all<I>(futures: I) -> Vec<<I::Item as Future>::Output>
where
    I: IntoIterator<Item: Future>,
{
    join_all(futures).await
}

/// Waits for two futures of different kinds at the same time. For more, put one into another.
///
/// # Cancel safety
/// Dropping it drops both.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::future::when_both;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// assert_eq!(when_both(async { 1 }, async { "one" }).await, (1, "one"));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn when_both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    join(one, other).await
}

/// Waits for all futures, also when one has failed, and gives back their values in order.
///
/// # Errors
/// The error of the first one in order that has failed; the other errors are dropped.
///
/// # Cancel safety
/// Dropping it drops all of them.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::future::when_all_succeed;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let numbers = when_all_succeed(["1", "2"].map(|text| async { text.parse::<u8>() })).await;
/// assert_eq!(numbers, Ok(vec![1, 2]));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn when_all_succeed<I, T, E>(futures: I) -> Result<Vec<T>, E>
where
    I: IntoIterator<Item: Future<Output = Result<T, E>>>,
{
    when_all(futures).await.into_iter().collect()
}

/// What [`when_any`] gives back.
pub struct Any<F: Future> {
    /// Which future has ended, counted from 0.
    pub index: usize,
    /// What it has ended with.
    pub output: F::Output,
    /// The other ones, in their order.
    pub others: Vec<Pin<Box<F>>>,
}

impl<F: Future<Output: fmt::Debug>> fmt::Debug for Any<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Any")
            .field("index", &self.index)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// Waits for the first future that ends, and gives back the others as they stand. When several
/// have ended it is the first one in order.
///
/// # Panics
/// If there is no future: nothing would ever end.
///
/// # Cancel safety
/// Dropping it drops all of them.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, sleep};
/// use std::time::Duration;
/// use sunstar::future::when_any;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let sleeps = [3600, 0].map(|seconds| sleep(Duration::from_secs(seconds)));
/// let first = when_any(sleeps).await;
/// assert_eq!((first.index, first.others.len()), (1, 1));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn when_any<I, F>(futures: I) -> Any<F>
where
    I: IntoIterator<Item = F>,
    F: Future,
{
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    assert!(!futures.is_empty(), "`when_any` needs at least one future");
    let (index, output) = poll_fn(|context| {
        for (index, future) in futures.iter_mut().enumerate() {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready((index, output));
            }
        }
        Poll::Pending
    })
    .await;
    drop(futures.remove(index));
    Any {
        index,
        output,
        others: futures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{Steps, at_every_await, poll};
    use crate::sync::{Closed, oneshot};

    #[test]
    fn all_are_waited_for_and_keep_their_order() {
        let (replies, awaiting): (Vec<_>, Vec<_>) = (0..40).map(|_| oneshot()).unzip();
        let mut all = Box::pin(when_all(awaiting));
        assert_eq!(poll(&mut all), None);
        for (n, reply) in replies.into_iter().enumerate().rev() {
            assert_eq!(poll(&mut all), None, "{n} has not ended");
            reply.send(n).unwrap();
        }
        let expected: Vec<_> = (0..40).map(Ok).collect();
        assert_eq!(poll(&mut all), Some(expected));
    }

    #[test]
    fn a_failure_does_not_cut_the_others_short() {
        let (reply, slow) = oneshot::<u8>();
        let (gone, failing) = oneshot();
        drop(gone);
        let mut all = Box::pin(when_all_succeed([slow, failing]));
        assert_eq!(poll(&mut all), None);
        reply.send(1).unwrap();
        assert_eq!(poll(&mut all), Some(Err(Closed)));
    }

    #[test]
    fn the_first_in_order_wins_and_the_others_can_go_on() {
        let (replies, awaiting): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot()).unzip();
        let mut any = Box::pin(when_any(awaiting));
        assert!(poll(&mut any).is_none());
        let mut replies = replies.into_iter();
        let first = replies.next();
        for (n, reply) in replies.enumerate() {
            reply.send(n).unwrap();
        }
        let mut any = poll(&mut any).unwrap();
        assert_eq!((any.index, any.output), (1, Ok(0)));
        first.unwrap().send(7).unwrap();
        assert_eq!(poll(&mut any.others[0]), Some(Ok(7)));
        assert_eq!(poll(&mut any.others[1]), Some(Ok(1)));
    }

    #[test]
    #[should_panic(expected = "at least one future")]
    fn the_first_of_none_is_refused() {
        poll(&mut Box::pin(when_any(Vec::<Steps>::new())));
    }

    #[test]
    fn dropped_at_any_await_they_drop_what_they_were_given() {
        at_every_await(|steps| when_all((1..5).map(move |n| steps.of(n))));
        at_every_await(|steps| when_both(steps.of(1), steps.of(4)));
        at_every_await(|steps| {
            when_all_succeed((1..5).map(move |n| {
                let step = steps.of(n);
                async move {
                    step.await;
                    Ok::<_, ()>(())
                }
            }))
        });
        at_every_await(|steps| when_any((3..6).map(move |n| steps.of(n))));
    }
}
