//! [`Condition`]: lets tasks wait until somebody says that something has changed.
//!
//! What must hold: a signal wakes who waits at that moment and is not kept for later; a waiter that
//! is dropped after it was signalled passes the signal on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Closed;
use super::wait_list::{Answer, WaitList, Waiting};
use std::cell::Cell;
use std::rc::Rc;

/// A condition variable: the state that it is about stands elsewhere.
///
/// Since nothing else runs on a shard between a look at the state and the wait, no lock is needed.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use sunstar::sync::Condition;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let (changed, level) = (Condition::new(), Rc::new(Cell::new(0)));
/// let (filler, water) = (changed.clone(), Rc::clone(&level));
/// spawn(async move {
///     water.set(3);
///     filler.broadcast();
/// })
/// .detach();
/// changed.wait_until(|| level.get() >= 3).await.expect("never closed");
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone)]
pub struct Condition {
    waiters: WaitList<()>,
    is_closed: Rc<Cell<bool>>,
}

impl Condition {
    /// Makes a condition that nobody waits for.
    pub fn new() -> Condition {
        Condition {
            waiters: WaitList::new(),
            is_closed: Rc::new(Cell::new(false)),
        }
    }

    /// Waits for a signal. What was signalled before does not count.
    ///
    /// # Errors
    /// When the condition is or becomes closed.
    ///
    /// # Cancel safety
    /// Dropping the future passes a signal that it has got on to the next waiter.
    pub fn wait(&self) -> impl Future<Output = Result<(), Closed>> + Unpin + 'static {
        Wait {
            condition: self.clone(),
            waiting: Waiting::new(&self.waiters),
        }
    }

    /// Waits until `is_met` says so, which is asked at once and after each signal.
    ///
    /// # Errors
    /// When the condition is or becomes closed before that.
    ///
    /// # Cancel safety
    /// As [`wait`](Condition::wait).
    pub async fn wait_until(&self, mut is_met: impl FnMut() -> bool) -> Result<(), Closed> {
        while !is_met() {
            self.wait().await?;
        }
        Ok(())
    }

    /// Wakes the one who has waited longest.
    pub fn signal(&self) {
        self.waiters.serve_first(Answer::Granted);
    }

    /// Wakes everybody who waits.
    pub fn broadcast(&self) {
        self.waiters.serve_all(Answer::Granted);
    }

    /// Ends all waiting, now and later, with an error.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.waiters.serve_all(Answer::Refused);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }
}

impl Default for Condition {
    fn default() -> Condition {
        Condition::new()
    }
}

impl std::fmt::Debug for Condition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Condition")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

struct Wait {
    condition: Condition,
    waiting: Waiting<()>,
}

impl Future for Wait {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if !self.waiting.has_joined() && self.condition.is_closed.get() {
            return Poll::Ready(Err(Closed));
        }
        self.waiting.poll((), context).map(|answer| match answer {
            Answer::Granted => Ok(()),
            Answer::Refused => Err(Closed),
        })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.waiting.leave() == Some(Answer::Granted) {
            self.condition.signal();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn a_signal_wakes_one_and_a_broadcast_all_who_wait_now() {
        let condition = Condition::new();
        condition.signal();
        let mut waits = [(); 3].map(|()| condition.wait());
        assert!(waits.iter_mut().all(|wait| poll(wait).is_none()));
        condition.signal();
        assert_eq!(
            waits.each_mut().map(|wait| poll(wait).is_some()),
            [true, false, false]
        );
        condition.broadcast();
        assert!(poll(&mut waits[1]).is_some() && poll(&mut waits[2]).is_some());
        assert!(poll(&mut condition.wait()).is_none());
    }

    #[test]
    fn a_signal_is_not_lost_with_the_waiter_that_got_it() {
        let condition = Condition::new();
        let (mut first, mut second) = (condition.wait(), condition.wait());
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        condition.signal();
        drop(first);
        assert_eq!(poll(&mut second), Some(Ok(())));
    }

    #[test]
    fn closing_ends_the_waiting() {
        let condition = Condition::new();
        let mut wait = condition.wait();
        assert!(poll(&mut wait).is_none());
        condition.close();
        assert_eq!(poll(&mut wait), Some(Err(Closed)));
        assert_eq!(poll(&mut condition.wait()), Some(Err(Closed)));
        let mut met = Box::pin(condition.wait_until(|| true));
        assert_eq!(poll(&mut met), Some(Ok(())));
    }
}
