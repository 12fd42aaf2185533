//! [`Queue`]: a bounded queue between tasks of one shard.
//!
//! What must hold: it never holds more items than its bound; a waiter that is dropped after its
//! turn has come passes the turn on, so no item and no room is forgotten.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use super::wait_list::{Answer, WaitList, Waiting};

/// A queue of at most so many items. Any number of tasks push and pop.
///
/// # Examples
/// ```
/// use sunstar::sync::Queue;
///
/// let queue = Queue::new(1);
/// assert_eq!(queue.try_push('a'), Ok(()));
/// assert_eq!(queue.try_push('b'), Err('b'));
/// assert_eq!(queue.try_pop(), Some('a'));
/// ```
pub struct Queue<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    items: RefCell<VecDeque<T>>,
    len_max: usize,
    is_closed: Cell<bool>,
    pushers: WaitList<()>,
    poppers: WaitList<()>,
}

impl<T> Queue<T> {
    /// Makes an empty queue for at most `len_max` items.
    ///
    /// # Panics
    /// If `len_max` is 0.
    pub fn new(len_max: usize) -> Queue<T> {
        assert!(len_max > 0, "a queue holds at least one item");
        let inner = Inner {
            items: RefCell::new(VecDeque::new()),
            len_max,
            is_closed: Cell::new(false),
            pushers: WaitList::new(),
            poppers: WaitList::new(),
        };
        Queue {
            inner: Rc::new(inner),
        }
    }

    /// Waits for room and adds an item.
    ///
    /// # Errors
    /// When the queue is or becomes closed. The item is dropped then.
    ///
    /// # Cancel safety
    /// Dropping the future drops the item, unless it has been added.
    pub async fn push(&self, item: T) -> Result<(), Closed> {
        let mut item = Some(item);
        Turn::new(&self.inner, &self.inner.pushers, move |inner| {
            if inner.is_closed.get() {
                return Some(Err(Closed));
            }
            inner.has_room().then(|| {
                inner.add(item.take().expect("added once"));
                Ok(())
            })
        })
        .await
    }

    /// Waits for an item and takes it. Once the queue is closed what is left is given out.
    ///
    /// # Errors
    /// When the queue is closed and empty.
    ///
    /// # Cancel safety
    /// Dropping the future takes nothing.
    pub async fn pop(&self) -> Result<T, Closed> {
        Turn::new(&self.inner, &self.inner.poppers, |inner| {
            let item = inner.take().map(Ok);
            item.or_else(|| inner.is_closed.get().then_some(Err(Closed)))
        })
        .await
    }

    /// Adds an item if there is room and nobody waits for it.
    ///
    /// # Errors
    /// The item, if there is no room for it, or the queue is closed.
    pub fn try_push(&self, item: T) -> Result<(), T> {
        let inner = &*self.inner;
        if inner.is_closed.get() || !inner.has_room() || !inner.pushers.is_empty() {
            return Err(item);
        }
        inner.add(item);
        Ok(())
    }

    /// Takes an item if there is one and nobody waits for it.
    pub fn try_pop(&self) -> Option<T> {
        if !self.inner.poppers.is_empty() {
            return None;
        }
        self.inner.take()
    }

    /// Lets nothing more in. What is in it can still be taken.
    pub fn close(&self) {
        self.inner.is_closed.set(true);
        self.inner.pushers.serve_all(Answer::Refused);
        self.inner.poppers.serve_all(Answer::Refused);
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.inner.items.borrow().len()
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Inner<T> {
    fn has_room(&self) -> bool {
        self.items.borrow().len() < self.len_max
    }

    fn add(&self, item: T) {
        self.items.borrow_mut().push_back(item);
        self.poppers.serve_first(Answer::Granted);
    }

    fn take(&self) -> Option<T> {
        let item = self.items.borrow_mut().pop_front()?;
        self.pushers.serve_first(Answer::Granted);
        Some(item)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue {
            inner: Rc::clone(&self.inner),
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Queue")
            .field("len", &self.len())
            .field("len_max", &self.inner.len_max)
            .finish_non_exhaustive()
    }
}

/// Waits in one of the two lines until `act` has something to return.
struct Turn<'a, T, A> {
    inner: &'a Inner<T>,
    line: &'a WaitList<()>,
    waiting: Waiting<()>,
    act: A,
}

impl<'a, T, R, A: FnMut(&Inner<T>) -> Option<R>> Turn<'a, T, A> {
    fn new(inner: &'a Inner<T>, line: &'a WaitList<()>, act: A) -> Turn<'a, T, A> {
        Turn {
            inner,
            line,
            waiting: Waiting::new(line),
            act,
        }
    }
}

impl<T, A> Unpin for Turn<'_, T, A> {}

impl<T, R, A: FnMut(&Inner<T>) -> Option<R>> Future for Turn<'_, T, A> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        loop {
            // A newcomer goes behind those who wait.
            let may_act = !this.waiting.has_joined() && this.line.is_empty();
            if (may_act || this.inner.is_closed.get())
                && let Some(result) = (this.act)(this.inner)
            {
                return Poll::Ready(result);
            }
            if this.waiting.poll((), context).is_pending() {
                return Poll::Pending;
            }
            // Its turn has come; somebody may have been faster all the same.
            if let Some(result) = (this.act)(this.inner) {
                return Poll::Ready(result);
            }
        }
    }
}

impl<T, A> Drop for Turn<'_, T, A> {
    fn drop(&mut self) {
        if self.waiting.leave() == Some(Answer::Granted) {
            self.line.serve_first(Answer::Granted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn items_come_out_in_the_order_in_which_they_went_in() {
        let queue = Queue::new(2);
        for item in [1, 2] {
            assert_eq!(poll(&mut Box::pin(queue.push(item))), Some(Ok(())));
        }
        let (mut third, mut fourth) = (Box::pin(queue.push(3)), Box::pin(queue.push(4)));
        assert!(poll(&mut third).is_none() && poll(&mut fourth).is_none());
        let mut out = Vec::new();
        for _ in 0..4 {
            out.push(
                poll(&mut Box::pin(queue.pop()))
                    .expect("an item waits")
                    .unwrap(),
            );
            let _ = (out.len() == 1).then(|| assert!(poll(&mut third).is_some()));
            let _ = (out.len() == 2).then(|| assert!(poll(&mut fourth).is_some()));
        }
        assert_eq!(out, [1, 2, 3, 4]);
    }

    #[test]
    fn an_item_is_not_lost_with_the_waiter_whose_turn_had_come() {
        let queue = Queue::new(2);
        let (mut first, mut second) = (Box::pin(queue.pop()), Box::pin(queue.pop()));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        queue.try_push('x').unwrap();
        drop(first);
        assert_eq!(poll(&mut second), Some(Ok('x')));
    }

    #[test]
    fn room_is_not_lost_with_the_waiter_whose_turn_had_come() {
        let queue = Queue::new(1);
        queue.try_push(0).unwrap();
        let (mut first, mut second) = (Box::pin(queue.push(1)), Box::pin(queue.push(2)));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        assert_eq!(queue.try_pop(), Some(0));
        drop(first);
        assert_eq!(poll(&mut second), Some(Ok(())));
        assert_eq!(queue.try_pop(), Some(2));
    }

    #[test]
    fn a_closed_queue_gives_out_what_is_left_and_takes_nothing() {
        let queue = Queue::new(1);
        queue.try_push(1).unwrap();
        let mut late = Box::pin(queue.push(2));
        assert!(poll(&mut late).is_none());
        queue.close();
        assert_eq!(poll(&mut late), Some(Err(Closed)));
        assert_eq!(queue.try_push(3), Err(3));
        assert_eq!(poll(&mut Box::pin(queue.pop())), Some(Ok(1)));
        assert_eq!(poll(&mut Box::pin(queue.pop())), Some(Err(Closed)));
    }

    #[test]
    #[should_panic(expected = "at least one")]
    fn a_queue_without_room_is_refused() {
        let _ = Queue::<u8>::new(0);
    }
}
