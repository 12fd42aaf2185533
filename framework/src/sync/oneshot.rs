//! [`oneshot()`]: one value from one task of a shard to another.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use crate::runtime::Wakee;

/// Makes the two ends of a place for one value.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards, spawn};
/// use sunstar::sync::oneshot;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let (reply, awaiting) = oneshot();
/// spawn(async { reply.send(42) }).detach();
/// assert_eq!(awaiting.await, Ok(42));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub fn oneshot<T>() -> (Reply<T>, Awaiting<T>) {
    let place = Rc::new(RefCell::new(Place {
        value: None,
        waiter: None,
        is_over: false,
    }));
    (
        Reply {
            place: Rc::clone(&place),
        },
        Awaiting { place },
    )
}

struct Place<T> {
    value: Option<T>,
    waiter: Option<Wakee>,
    /// Whether one of the ends is gone.
    is_over: bool,
}

/// The end that gives the value.
pub struct Reply<T> {
    place: Rc<RefCell<Place<T>>>,
}

impl<T> Reply<T> {
    /// Gives the value.
    ///
    /// # Errors
    /// The value, when nobody awaits it any more.
    pub fn send(self, value: T) -> Result<(), T> {
        let mut place = self.place.borrow_mut();
        if place.is_over {
            return Err(value);
        }
        place.value = Some(value);
        // Dropping `self` wakes.
        Ok(())
    }

    /// Whether nobody awaits the value any more, so that the work for it can be saved.
    pub fn is_unwanted(&self) -> bool {
        self.place.borrow().is_over
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let mut place = self.place.borrow_mut();
        place.is_over = true;
        let waiter = place.waiter.take();
        drop(place);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Reply")
    }
}

/// The end that awaits the value: a future of it, or of [`Closed`] if it will never come.
///
/// # Cancel safety
/// As long as it is not dropped the value stays in it.
#[must_use = "a future does nothing until it is awaited"]
pub struct Awaiting<T> {
    place: Rc<RefCell<Place<T>>>,
}

impl<T> Future for Awaiting<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, Closed>> {
        let mut place = self.place.borrow_mut();
        if let Some(value) = place.value.take() {
            return Poll::Ready(Ok(value));
        }
        if place.is_over {
            return Poll::Ready(Err(Closed));
        }
        let outdated = Wakee::note(&mut place.waiter, context.waker());
        drop(place);
        drop(outdated);
        Poll::Pending
    }
}

impl<T> Drop for Awaiting<T> {
    fn drop(&mut self) {
        let mut place = self.place.borrow_mut();
        place.is_over = true;
        let left = (place.value.take(), place.waiter.take());
        drop(place);
        drop(left);
    }
}

impl<T> fmt::Debug for Awaiting<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Awaiting")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn a_value_reaches_the_other_end_before_or_after_it_is_awaited() {
        let (reply, mut awaiting) = oneshot();
        assert_eq!(poll(&mut awaiting), None);
        reply.send(1).unwrap();
        assert_eq!(poll(&mut awaiting), Some(Ok(1)));
        let (reply, mut awaiting) = oneshot();
        reply.send(2).unwrap();
        assert_eq!(poll(&mut awaiting), Some(Ok(2)));
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (reply, mut awaiting) = oneshot::<u8>();
        drop(reply);
        assert_eq!(poll(&mut awaiting), Some(Err(Closed)));
        let (reply, awaiting) = oneshot();
        assert!(!reply.is_unwanted());
        drop(awaiting);
        assert!(reply.is_unwanted());
        assert_eq!(reply.send("kept"), Err("kept"));
    }
}
