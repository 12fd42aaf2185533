//! [`Broadcast`]: items that every receiver of a shard gets.
//!
//! What must hold: the newest `len_max` items are kept and no more; a receiver that is slower than
//! that loses the oldest ones and is told how many, and it holds up nobody.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use super::Closed;
use super::wait_list::{Answer, WaitList, Waiting};

/// Sends items to all [`Receiver`]s.
///
/// # Examples
/// ```
/// use sunstar::sync::Broadcast;
///
/// let news = Broadcast::new(2);
/// let mut reader = news.subscribe();
/// for item in ["a", "b", "c"] {
///     news.send(item);
/// }
/// assert_eq!(reader.try_next().unwrap().unwrap_err().count, 1);
/// assert_eq!(reader.try_next(), Some(Ok("b")));
/// ```
pub struct Broadcast<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    log: RefCell<Log<T>>,
    receivers: WaitList<()>,
}

struct Log<T> {
    items: VecDeque<T>,
    len_max: usize,
    /// How many items there were before the first of `items`.
    gone: u64,
    is_closed: bool,
}

impl<T: Clone> Broadcast<T> {
    /// Makes a broadcast that keeps the newest `len_max` items.
    ///
    /// # Panics
    /// If `len_max` is 0.
    pub fn new(len_max: usize) -> Broadcast<T> {
        assert!(len_max > 0, "a broadcast keeps at least one item");
        let log = Log {
            items: VecDeque::new(),
            len_max,
            gone: 0,
            is_closed: false,
        };
        let inner = Inner {
            log: RefCell::new(log),
            receivers: WaitList::new(),
        };
        Broadcast {
            inner: Rc::new(inner),
        }
    }

    /// Sends an item to all receivers there are. Does nothing once it is closed.
    pub fn send(&self, item: T) {
        let mut log = self.inner.log.borrow_mut();
        if log.is_closed {
            return;
        }
        let oldest = (log.items.len() == log.len_max).then(|| log.items.pop_front());
        log.gone += u64::from(oldest.is_some());
        log.items.push_back(item);
        drop(log);
        drop(oldest);
        self.inner.receivers.serve_all(Answer::Granted);
    }

    /// A receiver of all items that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver {
            next: self.inner.log.borrow().end(),
            inner: Rc::clone(&self.inner),
        }
    }

    /// Sends no more. Receivers get what is kept, then the end.
    pub fn close(&self) {
        self.inner.log.borrow_mut().is_closed = true;
        self.inner.receivers.serve_all(Answer::Refused);
    }
}

impl<T> Log<T> {
    /// The number of the item that comes next.
    fn end(&self) -> u64 {
        self.gone + u64::try_from(self.items.len()).expect("a length fits 64 bits")
    }
}

impl<T> Clone for Broadcast<T> {
    fn clone(&self) -> Broadcast<T> {
        Broadcast {
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<T> fmt::Debug for Broadcast<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Broadcast")
            .field("sent", &self.inner.log.borrow().end())
            .finish_non_exhaustive()
    }
}

/// A receiver was too slow: that many items are lost to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged {
    /// How many.
    pub count: u64,
}

/// One of those who get what a [`Broadcast`] sends.
pub struct Receiver<T> {
    inner: Rc<Inner<T>>,
    /// The number of the item that it gets next.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next item, or learns that some were lost.
    ///
    /// # Errors
    /// [`Closed`] when nothing more will come.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Result<T, Lagged>, Closed> {
        let mut waiting = Waiting::new(&self.inner.receivers);
        poll_fn(|context| {
            loop {
                if let Some(item) = self.try_next() {
                    return Poll::Ready(Ok(item));
                }
                if self.inner.log.borrow().is_closed {
                    return Poll::Ready(Err(Closed));
                }
                if waiting.poll((), context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// The next item, or how many were lost, if one of the two is there.
    pub fn try_next(&mut self) -> Option<Result<T, Lagged>> {
        let log = self.inner.log.borrow();
        if self.next < log.gone {
            let count = log.gone - self.next;
            self.next = log.gone;
            return Some(Err(Lagged { count }));
        }
        let index = usize::try_from(self.next - log.gone).expect("at most a length");
        let item = log.items.get(index)?.clone();
        self.next += 1;
        Some(Ok(item))
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn every_receiver_gets_what_was_sent_since_it_came() {
        let news = Broadcast::new(8);
        let mut early = news.subscribe();
        news.send(1);
        let mut late = news.subscribe();
        let mut waiting = Box::pin(late.next());
        assert!(poll(&mut waiting).is_none());
        news.send(2);
        assert_eq!(poll(&mut waiting), Some(Ok(Ok(2))));
        assert_eq!(
            [early.try_next(), early.try_next()],
            [Some(Ok(1)), Some(Ok(2))]
        );
        assert_eq!(early.try_next(), None);
    }

    #[test]
    fn a_slow_receiver_learns_how_many_items_it_has_lost() {
        let news = Broadcast::new(2);
        let mut slow = news.subscribe();
        (0..5).for_each(|item| news.send(item));
        assert_eq!(slow.try_next(), Some(Err(Lagged { count: 3 })));
        assert_eq!(
            [slow.try_next(), slow.try_next()],
            [Some(Ok(3)), Some(Ok(4))]
        );
    }

    #[test]
    fn the_end_comes_behind_what_was_sent_before() {
        let news = Broadcast::new(2);
        let mut reader = news.subscribe();
        news.send('a');
        news.close();
        news.send('b');
        assert_eq!(poll(&mut Box::pin(reader.next())), Some(Ok(Ok('a'))));
        assert_eq!(poll(&mut Box::pin(reader.next())), Some(Err(Closed)));
    }
}
