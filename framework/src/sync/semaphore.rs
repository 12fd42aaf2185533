//! [`Semaphore`]: counted units, for which tasks of one shard wait in line.
//!
//! What must hold: units are free, held by [`Units`], or assigned to a waiter that was served; a
//! newcomer never overtakes those who wait, however few units it wants.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Closed;
use super::wait_list::{Answer, Standing, WaitList};

/// A number of units that the tasks of one shard take and give back.
///
/// # Examples
/// ```
/// use sunstar::sync::Semaphore;
///
/// let slots = Semaphore::new(2);
/// let taken = slots.try_acquire(2).expect("both are free");
/// assert!(slots.try_acquire(1).is_none());
/// drop(taken);
/// assert_eq!(slots.available(), 2);
/// ```
#[derive(Clone)]
pub struct Semaphore {
    inner: Rc<Inner>,
}

struct Inner {
    free: Cell<usize>,
    is_closed: Cell<bool>,
    waiters: WaitList<usize>,
}

impl Semaphore {
    /// Makes a semaphore with so many free units.
    pub fn new(units: usize) -> Semaphore {
        let inner = Inner {
            free: Cell::new(units),
            is_closed: Cell::new(false),
            waiters: WaitList::new(),
        };
        Semaphore {
            inner: Rc::new(inner),
        }
    }

    /// Waits for `count` units. Whoever asked before is served before, also who wants more.
    ///
    /// More units than there will ever be are waited for until the semaphore is closed, and so do
    /// all who come later.
    ///
    /// # Errors
    /// When the semaphore is or becomes closed.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in line, or the units that it was just given.
    #[inline]
    pub fn acquire(&self, count: usize) -> Acquire {
        Acquire {
            semaphore: Some(self.clone()),
            count,
            standing: Standing::default(),
        }
    }

    /// Takes `count` units if they are free and nobody waits.
    #[inline]
    pub fn try_acquire(&self, count: usize) -> Option<Units> {
        self.take(count).then(|| Units {
            semaphore: self.clone(),
            count,
        })
    }

    /// Adds units that nobody has taken before.
    ///
    /// # Panics
    /// If there are more than `usize::MAX` then.
    pub fn add(&self, count: usize) {
        let free = self.inner.free.get().checked_add(count);
        self.inner.free.set(free.expect("units fit a usize"));
        self.inner.serve();
    }

    /// How many units are free.
    pub fn available(&self) -> usize {
        self.inner.free.get()
    }

    /// How many tasks wait.
    pub fn waiting(&self) -> usize {
        self.inner.waiters.len()
    }

    /// Ends all waiting, now and later, with an error. Units that are out stay good.
    pub fn close(&self) {
        self.inner.is_closed.set(true);
        self.inner.waiters.serve_all(Answer::Refused);
    }

    #[inline]
    fn take(&self, count: usize) -> bool {
        let inner = &*self.inner;
        let takes = count <= inner.free.get() && inner.waiters.is_empty() && !inner.is_closed.get();
        if takes {
            inner.free.set(inner.free.get() - count);
        }
        takes
    }
}

impl Inner {
    /// Serves those at the head of the line for whom there are units.
    fn serve(&self) {
        while let Some(wanted) = self.waiters.first()
            && wanted <= self.free.get()
        {
            self.free.set(self.free.get() - wanted);
            self.waiters.serve_first(Answer::Granted);
        }
    }

    #[inline]
    fn give_back(&self, count: usize) {
        self.free.set(self.free.get() + count);
        if !self.waiters.is_empty() {
            self.serve();
        }
    }
}

impl std::fmt::Debug for Semaphore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Waits for units: see [`Semaphore::acquire`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Acquire {
    /// Goes on to the units.
    semaphore: Option<Semaphore>,
    count: usize,
    /// Whoever gets units at once never stands in line.
    standing: Standing,
}

impl Future for Acquire {
    type Output = Result<Units, Closed>;

    /// # Panics
    /// If it has ended before.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let semaphore = this.semaphore.take().expect("not polled once it has ended");
        if this.standing.has_joined() || !semaphore.take(this.count) {
            return this.poll_line(semaphore, context);
        }
        Poll::Ready(Ok(Units {
            semaphore,
            count: this.count,
        }))
    }
}

impl Acquire {
    #[cold]
    fn poll_line(
        &mut self,
        semaphore: Semaphore,
        context: &Context<'_>,
    ) -> Poll<Result<Units, Closed>> {
        // Back in its place before a waker of the user's is called, which may panic.
        let inner = &self.semaphore.insert(semaphore).inner;
        if !self.standing.has_joined() && inner.is_closed.get() {
            self.semaphore = None;
            return Poll::Ready(Err(Closed));
        }
        let answer = self.standing.poll(&inner.waiters, self.count, context);
        answer.map(|answer| {
            let semaphore = self.semaphore.take().expect("put back just now");
            match answer {
                Answer::Granted => Ok(Units {
                    semaphore,
                    count: self.count,
                }),
                Answer::Refused => Err(Closed),
            }
        })
    }

    /// Gives up the place in line, or the units that it was just given.
    #[cold]
    fn give_up(&mut self, semaphore: Semaphore) {
        if !self.standing.has_joined() {
            return;
        }
        match self.standing.leave(&semaphore.inner.waiters) {
            // It may have been the one whom all behind it waited for.
            None => semaphore.inner.serve(),
            Some(Answer::Granted) => semaphore.inner.give_back(self.count),
            Some(Answer::Refused) => {}
        }
    }
}

impl Drop for Acquire {
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore.take() {
            self.give_up(semaphore);
        }
    }
}

/// Units that were taken. They go back when this is dropped.
#[must_use = "units go back as soon as they are dropped"]
pub struct Units {
    semaphore: Semaphore,
    count: usize,
}

impl Units {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes `count` of these units apart, to be given back by themselves.
    ///
    /// # Panics
    /// If these are fewer.
    pub fn split(&mut self, count: usize) -> Units {
        let left = self.count.checked_sub(count);
        self.count = left.expect("no more units are split off than there are");
        Units {
            semaphore: self.semaphore.clone(),
            count,
        }
    }

    /// Makes these units one with others of the same semaphore.
    ///
    /// # Panics
    /// If the others are of another semaphore.
    pub fn merge(&mut self, mut other: Units) {
        let is_same = Rc::ptr_eq(&self.semaphore.inner, &other.semaphore.inner);
        assert!(is_same, "units of two semaphores cannot be merged");
        self.count += std::mem::take(&mut other.count);
    }

    /// Keeps the units for good: the semaphore has so many fewer from now on.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Units {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.inner.give_back(self.count);
        }
    }
}

impl std::fmt::Debug for Units {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Units({})", self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn nobody_overtakes_who_waits() {
        let semaphore = Semaphore::new(2);
        let held = semaphore.try_acquire(1).unwrap();
        let (mut large, mut small) = (semaphore.acquire(2), semaphore.acquire(1));
        assert!(poll(&mut large).is_none() && poll(&mut small).is_none());
        assert!(
            semaphore.try_acquire(1).is_none(),
            "one is free, but two wait"
        );
        drop(held);
        let large = poll(&mut large).expect("two are free").unwrap();
        assert!(poll(&mut small).is_none());
        drop(large);
        assert_eq!(poll(&mut small).unwrap().unwrap().count(), 1);
        assert_eq!((semaphore.available(), semaphore.waiting()), (2, 0));
    }

    #[test]
    fn a_waiter_that_gives_up_lets_those_behind_it_pass() {
        let semaphore = Semaphore::new(1);
        let (mut large, mut small) = (semaphore.acquire(2), semaphore.acquire(1));
        assert!(poll(&mut large).is_none() && poll(&mut small).is_none());
        drop(large);
        assert!(poll(&mut small).unwrap().is_ok());
    }

    #[test]
    fn a_waiter_whose_waker_panics_when_it_leaves_lets_those_behind_it_pass() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Panics>) {}
        }
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let semaphore = Semaphore::new(1);
        let (mut large, mut small) = (semaphore.acquire(2), semaphore.acquire(1));
        let waker = Waker::from(Arc::new(Panics));
        let pending = Pin::new(&mut large).poll(&mut Context::from_waker(&waker));
        assert!(pending.is_pending() && poll(&mut small).is_none());
        // From now on the line has the only one.
        drop(waker);
        drop(large);
        assert!(poll(&mut small).unwrap().is_ok());
    }

    #[test]
    fn units_given_to_a_waiter_that_is_dropped_go_on_to_the_next() {
        let semaphore = Semaphore::new(0);
        let (mut first, mut second) = (semaphore.acquire(1), semaphore.acquire(1));
        assert!(poll(&mut first).is_none() && poll(&mut second).is_none());
        semaphore.add(1);
        drop(first);
        let held = poll(&mut second).unwrap().unwrap();
        assert_eq!(semaphore.available(), 0);
        drop(held);
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
    }

    #[test]
    fn closing_refuses_who_waits_but_not_who_was_served_before() {
        let semaphore = Semaphore::new(0);
        let (mut served, mut refused) = (semaphore.acquire(1), semaphore.acquire(1));
        assert!(poll(&mut served).is_none() && poll(&mut refused).is_none());
        semaphore.add(1);
        semaphore.close();
        let units = poll(&mut served).unwrap().expect("it was served before");
        assert_eq!(poll(&mut refused).unwrap().unwrap_err(), Closed);
        assert_eq!(
            poll(&mut semaphore.acquire(1)).unwrap().unwrap_err(),
            Closed
        );
        drop(units);
        assert_eq!((semaphore.available(), semaphore.waiting()), (1, 0));
    }

    #[test]
    fn units_can_be_split_merged_and_kept() {
        let semaphore = Semaphore::new(5);
        let mut all = semaphore.try_acquire(5).unwrap();
        let two = all.split(2);
        let one = all.split(1);
        assert_eq!((all.count(), two.count()), (2, 2));
        all.merge(two);
        drop(all);
        assert_eq!(semaphore.available(), 4);
        one.forget();
        assert_eq!(semaphore.available(), 4);
    }

    #[test]
    #[should_panic(expected = "two semaphores")]
    fn units_of_another_semaphore_are_refused() {
        let (one, other) = (Semaphore::new(1), Semaphore::new(1));
        one.try_acquire(1)
            .unwrap()
            .merge(other.try_acquire(1).unwrap());
    }
}
