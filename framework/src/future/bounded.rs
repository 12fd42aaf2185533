//! [`with_timeout`], [`with_deadline`] and [`with_abort`]: a future that is waited for no longer
//! than somebody wants.
//!
//! What must hold: what is there in time wins, also if the time is over by then.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::runtime::{Sleep, sleep, sleep_until};
use crate::sync::{AbortSource, Aborted};

/// The time for something was over before it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("timed out")
    }
}

impl std::error::Error for TimedOut {}

/// Waits for `future`, but no longer than `timeout`, counted from the beginning of the turn in
/// which it is polled first: then `future` is dropped.
///
/// This is how a waiter of anything in [`sync`](crate::sync) expires: it leaves its place in line.
///
/// # Errors
/// When the time is over.
///
/// # Cancel safety
/// Dropping it drops `future` and cancels the timer.
///
/// # Panics
/// When it is polled outside of every shard.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use std::time::Duration;
/// use sunstar::future::{TimedOut, with_timeout};
/// use sunstar::sync::Semaphore;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let none_free = Semaphore::new(0);
/// let units = with_timeout(Duration::from_millis(1), none_free.acquire(1)).await;
/// assert_eq!(units.unwrap_err(), TimedOut);
/// assert_eq!(none_free.waiting(), 0);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn with_timeout<F: Future>(timeout: Duration, future: F) -> Result<F::Output, TimedOut> {
    before(sleep(timeout), future).await
}

/// Waits for `future`, but only until `deadline`: then `future` is dropped.
///
/// # Errors
/// When the deadline has passed.
///
/// # Cancel safety
/// Dropping it drops `future` and cancels the timer.
///
/// # Panics
/// When it is polled outside of every shard.
pub async fn with_deadline<F: Future>(deadline: Instant, future: F) -> Result<F::Output, TimedOut> {
    before(sleep_until(deadline), future).await
}

/// Waits for `future`, unless it is asked to give up: then `future` is dropped.
///
/// # Errors
/// When `source` is or becomes aborted.
///
/// # Cancel safety
/// Dropping it drops `future` and stops listening.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};
/// use sunstar::future::with_abort;
/// use sunstar::sync::{AbortSource, Aborted};
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let stop = AbortSource::new();
/// let stopper = stop.clone();
/// spawn(async move { stopper.abort() }).detach();
/// assert_eq!(with_abort(&stop, std::future::pending::<()>()).await, Err(Aborted));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn with_abort<F: Future>(source: &AbortSource, future: F) -> Result<F::Output, Aborted> {
    let (mut future, mut aborted) = (pin!(future), pin!(source.aborted()));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => aborted.as_mut().poll(context).map(Err),
    })
    .await
}

async fn before<F: Future>(timer: Sleep, future: F) -> Result<F::Output, TimedOut> {
    let (mut future, mut timer) = (pin!(future), pin!(timer));
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| Err(TimedOut)),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Config, Placement, now, run_on_all_shards, stats};
    use crate::sync::testing::{Stepper, poll};
    use crate::sync::{Semaphore, oneshot};

    fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    #[test]
    fn what_is_there_in_time_wins() {
        on_a_shard(|| async {
            assert_eq!(with_timeout(Duration::ZERO, async { 7 }).await, Ok(7));
            assert_eq!(with_deadline(now(), async { 7 }).await, Ok(7));
            let stop = AbortSource::new();
            stop.abort();
            assert_eq!(with_abort(&stop, async { 7 }).await, Ok(7));
        });
    }

    #[test]
    fn what_is_too_late_is_dropped() {
        on_a_shard(|| async {
            let (reply, awaiting) = oneshot::<()>();
            let deadline = now() + Duration::from_millis(1);
            assert_eq!(with_deadline(deadline, awaiting).await, Err(TimedOut));
            assert!(now() >= deadline && reply.is_unwanted());
        });
    }

    #[test]
    fn whoever_expires_lets_those_behind_it_pass() {
        on_a_shard(|| async {
            let units = Semaphore::new(1);
            let mut small = units.acquire(1);
            let large = with_timeout(Duration::from_millis(1), units.acquire(2));
            let mut large = Box::pin(large);
            assert!(poll(&mut large).is_none() && poll(&mut small).is_none());
            assert_eq!(large.await.unwrap_err(), TimedOut);
            assert!(small.await.is_ok());
        });
    }

    #[test]
    fn dropped_at_any_await_they_leave_neither_future_nor_timer() {
        on_a_shard(|| async {
            let hour = Duration::from_hours(1);
            for polls in 0..6 {
                let (steps, stop) = (Stepper::default(), AbortSource::new());
                let mut timed = Box::pin(with_timeout(hour, steps.of(4)));
                let mut due = Box::pin(with_deadline(now() + hour, steps.of(4)));
                let mut abortable = Box::pin(with_abort(&stop, steps.of(4)));
                for poll_count in 0..polls {
                    let ended = (poll(&mut timed), poll(&mut due), poll(&mut abortable));
                    let expected = (poll_count == 4).then_some(Ok(()));
                    assert_eq!((ended.0, ended.1), (expected, expected));
                    if poll_count == 4 {
                        break;
                    }
                }
                drop((timed, due, abortable));
                assert_eq!((steps.alive(), stats().timers), (0, 0), "{polls} polls");
            }
        });
    }
}
