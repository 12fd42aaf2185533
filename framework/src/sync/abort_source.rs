//! [`AbortSource`]: tells all who listen that it is time to give up.
//!
//! What must hold: it is asked for once and for good; whoever listens afterwards is told at once;
//! no callback runs while anything here is borrowed.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Instant;

use slab::Slab;

use super::wait_list::{Answer, WaitList, Waiting};
use crate::runtime::{Task, sleep_until, spawn};

/// A request to give up that many can listen to: by a future, a callback, or a look now and then.
///
/// # Examples
/// ```
/// use sunstar::sync::AbortSource;
///
/// let (stop, part) = {
///     let stop = AbortSource::new();
///     let part = stop.child();
///     (stop, part)
/// };
/// assert!(part.check().is_ok());
/// stop.abort();
/// assert!(part.check().is_err());
/// ```
#[derive(Clone)]
pub struct AbortSource {
    inner: Rc<Inner>,
}

struct Inner {
    is_aborted: Cell<bool>,
    waiters: WaitList<()>,
    callbacks: RefCell<Slab<Box<dyn FnOnce()>>>,
    /// What makes this a child: gone with it.
    parent: Cell<Option<Subscription>>,
    /// What aborts it at its deadline: gone with it.
    alarm: Cell<Option<Task<()>>>,
}

/// Somebody has asked to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("aborted")
    }
}

impl std::error::Error for Aborted {}

impl AbortSource {
    /// Makes a source of which nobody has asked anything yet.
    pub fn new() -> AbortSource {
        let inner = Inner {
            is_aborted: Cell::new(false),
            waiters: WaitList::new(),
            callbacks: RefCell::new(Slab::new()),
            parent: Cell::new(None),
            alarm: Cell::new(None),
        };
        AbortSource {
            inner: Rc::new(inner),
        }
    }

    /// Makes a source that is aborted with this one, or by itself without this one.
    #[must_use]
    pub fn child(&self) -> AbortSource {
        let child = AbortSource::new();
        let weak = Rc::downgrade(&child.inner);
        let subscription = self.subscribe(move || {
            if let Some(inner) = weak.upgrade() {
                AbortSource { inner }.abort();
            }
        });
        child.inner.parent.set(subscription.ok());
        if self.is_aborted() {
            child.abort();
        }
        child
    }

    /// Makes a source that is aborted at `deadline`, or before that by itself.
    ///
    /// # Panics
    /// Outside of every shard.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use sunstar::runtime::{Config, Placement, now, run_on_all_shards};
    /// use sunstar::sync::{AbortSource, Aborted};
    ///
    /// # let config = Config::new(Placement::unpinned(1));
    /// # run_on_all_shards(&config, |_shard| async {
    /// let over = AbortSource::with_deadline(now() + Duration::from_millis(1));
    /// assert_eq!(over.aborted().await, Aborted);
    /// # })?;
    /// # Ok::<(), sunstar::Error>(())
    /// ```
    pub fn with_deadline(deadline: Instant) -> AbortSource {
        let source = AbortSource::new();
        let weak = Rc::downgrade(&source.inner);
        let alarm = spawn(async move {
            sleep_until(deadline).await;
            if let Some(inner) = weak.upgrade() {
                AbortSource { inner }.abort();
            }
        });
        source.inner.alarm.set(Some(alarm));
        source
    }

    /// Asks all to give up. Callbacks run before this returns, futures at their next turn.
    pub fn abort(&self) {
        if self.inner.is_aborted.replace(true) {
            return;
        }
        let callbacks = std::mem::take(&mut *self.inner.callbacks.borrow_mut());
        for (_, callback) in callbacks {
            callback();
        }
        self.inner.waiters.serve_all(Answer::Granted);
    }

    /// Whether it was asked to give up.
    #[inline]
    pub fn is_aborted(&self) -> bool {
        self.inner.is_aborted.get()
    }

    /// For a `?` between two steps of a long work.
    ///
    /// # Errors
    /// When it was asked to give up.
    #[inline]
    pub fn check(&self) -> Result<(), Aborted> {
        if self.is_aborted() {
            Err(Aborted)
        } else {
            Ok(())
        }
    }

    /// Waits until it is asked to give up.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting.
    pub fn aborted(&self) -> impl Future<Output = Aborted> + 'static {
        let inner = Rc::clone(&self.inner);
        let mut waiting = Waiting::new(&inner.waiters);
        poll_fn(move |context| {
            if inner.is_aborted.get() {
                return Poll::Ready(Aborted);
            }
            waiting.poll((), context).map(|_answer| Aborted)
        })
    }

    /// Calls `callback` when it is asked to give up, as long as the subscription is held.
    ///
    /// # Errors
    /// When that was asked already; nothing is called then.
    pub fn subscribe(&self, callback: impl FnOnce() + 'static) -> Result<Subscription, Aborted> {
        self.check()?;
        Ok(Subscription {
            key: self.inner.callbacks.borrow_mut().insert(Box::new(callback)),
            inner: Rc::downgrade(&self.inner),
        })
    }
}

impl Default for AbortSource {
    fn default() -> AbortSource {
        AbortSource::new()
    }
}

impl fmt::Debug for AbortSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AbortSource")
            .field("is_aborted", &self.is_aborted())
            .finish_non_exhaustive()
    }
}

/// Keeps a callback of an [`AbortSource`] in force. Dropping it takes the callback back.
#[must_use = "the callback is taken back as soon as this is dropped"]
pub struct Subscription {
    inner: Weak<Inner>,
    key: usize,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else {
            return;
        };
        // Once aborted there are no callbacks any more, and nobody can subscribe anew.
        let callback = inner.callbacks.borrow_mut().try_remove(self.key);
        drop(callback);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Subscription")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{Config, Placement, now, run_on_all_shards, stats, yield_now};
    use crate::sync::testing::poll;
    use std::time::Duration;

    fn counter() -> (Rc<Cell<u32>>, impl FnOnce() + 'static) {
        let count = Rc::new(Cell::new(0));
        let seen = Rc::clone(&count);
        (count, move || seen.set(seen.get() + 1))
    }

    #[test]
    fn all_who_listen_are_told_once() {
        let source = AbortSource::new();
        let (count, callback) = counter();
        let _subscription = source.subscribe(callback).unwrap();
        let mut waiting = Box::pin(source.aborted());
        assert!(poll(&mut waiting).is_none());
        source.abort();
        source.abort();
        assert_eq!((count.get(), poll(&mut waiting)), (1, Some(Aborted)));
    }

    #[test]
    fn a_subscription_that_is_dropped_is_not_called() {
        let source = AbortSource::new();
        let (count, callback) = counter();
        drop(source.subscribe(callback).unwrap());
        source.abort();
        assert_eq!(count.get(), 0);
    }

    #[test]
    fn a_deadline_aborts_unless_the_source_has_gone_before() {
        let config = Config::new(Placement::unpinned(1));
        let ran = run_on_all_shards(&config, |_| async {
            let gone = AbortSource::with_deadline(now() + Duration::from_hours(1));
            yield_now().await;
            assert_eq!((stats().timers, stats().tasks), (1, 2));
            drop(gone);
            yield_now().await;
            assert_eq!((stats().timers, stats().tasks), (0, 1));
            let due = AbortSource::with_deadline(now() + Duration::from_millis(1));
            let part = due.child();
            assert!(!due.is_aborted());
            part.aborted().await;
            assert!(due.is_aborted());
        });
        assert_eq!(ran.unwrap().len(), 1);
    }

    #[test]
    fn whoever_comes_late_is_told_at_once() {
        let source = AbortSource::new();
        source.abort();
        assert_eq!(poll(&mut Box::pin(source.aborted())), Some(Aborted));
        assert_eq!(source.subscribe(|| {}).unwrap_err(), Aborted);
        assert!(source.child().is_aborted());
    }

    #[test]
    fn a_child_is_aborted_with_its_parent_and_not_the_other_way_round() {
        let parent = AbortSource::new();
        let (first, second) = (parent.child(), parent.child());
        first.abort();
        assert!(first.is_aborted() && !parent.is_aborted() && !second.is_aborted());
        drop(first);
        parent.abort();
        assert!(second.is_aborted());
    }
}
