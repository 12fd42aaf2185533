//! [`Shared`]: one future that many tasks of a shard wait for.
//!
//! What must hold: the future is polled by one of those who wait at a time, and by another when
//! that one is dropped, so it goes on as long as anybody waits.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::runtime::Wakee;

/// A future whose output everybody gets who holds a clone of it.
///
/// It makes progress while at least one clone is awaited; to let it run by itself, spawn one.
///
/// # Examples
/// ```
/// # use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::sync::Shared;
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let loaded = Shared::new(async { String::from("loaded once") });
/// assert_eq!(loaded.clone().await, loaded.await);
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
///
/// # Cancel safety
/// Dropping a clone loses nothing while another one is there.
pub struct Shared<T: Clone> {
    inner: Rc<RefCell<Inner<T>>>,
    /// The place of this clone among those who wait.
    place: Option<usize>,
}

struct Inner<T> {
    state: State<T>,
    waiting: Slab<Wakee>,
}

enum State<T> {
    Running(Pin<Box<dyn Future<Output = T>>>),
    /// It is being polled just now.
    Polled,
    Ready(T),
}

impl<T: Clone> Shared<T> {
    /// Makes a future that can be cloned.
    pub fn new(future: impl Future<Output = T> + 'static) -> Shared<T> {
        let inner = Inner {
            state: State::Running(Box::pin(future)),
            waiting: Slab::new(),
        };
        Shared {
            inner: Rc::new(RefCell::new(inner)),
            place: None,
        }
    }

    /// The output, if it is there.
    pub fn peek(&self) -> Option<T> {
        match &self.inner.borrow().state {
            State::Ready(output) => Some(output.clone()),
            State::Running(_) | State::Polled => None,
        }
    }

    /// Sees to it that this clone is woken.
    fn wait(&mut self, waker: &Waker) {
        let mut inner = self.inner.borrow_mut();
        let outdated = if let Some(place) = self.place {
            inner.waiting[place].renew(waker)
        } else {
            self.place = Some(inner.waiting.insert(Wakee::of(waker)));
            None
        };
        drop(inner);
        drop(outdated);
    }

    fn leave(&mut self) -> Option<Wakee> {
        let place = self.place.take()?;
        Some(self.inner.borrow_mut().waiting.remove(place))
    }
}

impl<T: Clone> Future for Shared<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let state = std::mem::replace(&mut self.inner.borrow_mut().state, State::Polled);
        let polled = match state {
            State::Running(mut future) => match future.as_mut().poll(context) {
                Poll::Ready(output) => State::Ready(output),
                Poll::Pending => State::Running(future),
            },
            other => other,
        };
        let output = match &polled {
            State::Ready(output) => Some(output.clone()),
            State::Running(_) | State::Polled => None,
        };
        self.inner.borrow_mut().state = polled;
        let Some(output) = output else {
            self.wait(context.waker());
            return Poll::Pending;
        };
        drop(self.leave());
        let inner = Rc::clone(&self.inner);
        // The others have to look; each takes its own waker out then.
        let waiting: Vec<_> = inner
            .borrow()
            .waiting
            .iter()
            .map(|(_, wakee)| wakee.clone())
            .collect();
        waiting.into_iter().for_each(Wakee::wake);
        Poll::Ready(output)
    }
}

impl<T: Clone> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared {
            inner: Rc::clone(&self.inner),
            place: None,
        }
    }
}

impl<T: Clone> Drop for Shared<T> {
    fn drop(&mut self) {
        let Some(wakee) = self.leave() else { return };
        drop(wakee);
        // The future knows the waker of whoever polled it last, perhaps of this one: so another one
        // polls it.
        let next = self
            .inner
            .borrow()
            .waiting
            .iter()
            .next()
            .map(|(_, wakee)| wakee.clone());
        if let Some(next) = next {
            next.wake();
        }
    }
}

impl<T: Clone> fmt::Debug for Shared<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Shared")
            .field("is_ready", &self.peek().is_some())
            .finish_non_exhaustive()
    }
}

impl<T: Clone> Unpin for Shared<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;
    use crate::sync::{Closed, oneshot};
    use crate::sys::testing::Count;
    use std::sync::Arc;

    #[test]
    fn everybody_gets_the_one_output() {
        let (reply, awaiting) = oneshot();
        let mut first = Shared::new(awaiting);
        let mut second = first.clone();
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        reply.send("done").unwrap();
        assert_eq!(poll(&mut second), Some(Ok("done")));
        assert_eq!(poll(&mut first), Some(Ok("done")));
        assert_eq!(first.peek(), Some(Ok::<_, Closed>("done")));
    }

    #[test]
    fn when_the_one_who_polled_is_dropped_another_one_goes_on() {
        let (_reply, awaiting) = oneshot::<u8>();
        let mut first = Shared::new(awaiting);
        let mut second = first.clone();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let polled = Pin::new(&mut second).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending() && poll(&mut first).is_none());
        drop(first);
        assert_eq!(count.get(), 1);
    }
}
