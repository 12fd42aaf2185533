//! [`RwLock`]: a value that many tasks of a shard read or one writes, across awaits.
//!
//! What must hold: each reader holds one unit and a writer all of them, so readers and writers are
//! served in the order in which they came and no writer starves; a value is borrowed only under
//! units.

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::semaphore::{Semaphore, Units};

/// How many may read at once.
const READERS_MAX: usize = u32::MAX as usize;

/// A value that is read or written across awaits. For what is done within one turn a `RefCell`, or
/// [`Sharded::local`](crate::Sharded::local), is enough.
///
/// # Examples
/// ```
/// use sunstar::sync::RwLock;
///
/// let lock = RwLock::new(vec![1]);
/// lock.try_write().expect("nobody reads").push(2);
/// let (one, other) = (lock.try_read().unwrap(), lock.try_read().unwrap());
/// assert_eq!(one.len() + other.len(), 4);
/// assert!(lock.try_write().is_none());
/// ```
#[derive(Clone)]
pub struct RwLock<T> {
    units: Semaphore,
    value: Rc<RefCell<T>>,
}

impl<T> RwLock<T> {
    /// Makes a lock that nobody holds.
    pub fn new(value: T) -> RwLock<T> {
        RwLock {
            units: Semaphore::new(READERS_MAX),
            value: Rc::new(RefCell::new(value)),
        }
    }

    /// Waits until it may read: nobody writes, and no writer came before.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in line.
    pub async fn read(&self) -> ReadGuard<'_, T> {
        let units = self.units.acquire(1).await;
        ReadGuard {
            value: self.value.borrow(),
            _units: units.expect("this semaphore is never closed"),
        }
    }

    /// Waits until it may write: nobody holds the lock, and nobody came before.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in line.
    pub async fn write(&self) -> WriteGuard<'_, T> {
        let units = self.units.acquire(READERS_MAX).await;
        WriteGuard {
            value: self.value.borrow_mut(),
            _units: units.expect("this semaphore is never closed"),
        }
    }

    /// Reads if that needs no waiting.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        let units = self.units.try_acquire(1)?;
        Some(ReadGuard {
            value: self.value.borrow(),
            _units: units,
        })
    }

    /// Writes if that needs no waiting.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        let units = self.units.try_acquire(READERS_MAX)?;
        Some(WriteGuard {
            value: self.value.borrow_mut(),
            _units: units,
        })
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RwLock")
            .field("waiting", &self.units.waiting())
            .finish_non_exhaustive()
    }
}

/// The right to read the value of an [`RwLock`].
#[must_use = "the lock is given back as soon as this is dropped"]
pub struct ReadGuard<'a, T> {
    // Dropped first: whoever is served by the units borrows anew.
    value: Ref<'a, T>,
    _units: Units,
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The right to write the value of an [`RwLock`].
#[must_use = "the lock is given back as soon as this is dropped"]
pub struct WriteGuard<'a, T> {
    // Dropped first: whoever is served by the units borrows anew.
    value: RefMut<'a, T>,
    _units: Units,
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn a_writer_waits_for_readers_and_later_readers_for_the_writer() {
        let lock = RwLock::new(0);
        let reading = lock.try_read().unwrap();
        let mut writing = Box::pin(lock.write());
        assert!(poll(&mut writing).is_none());
        let mut late = Box::pin(lock.read());
        assert!(poll(&mut late).is_none() && lock.try_read().is_none());
        drop(reading);
        *poll(&mut writing).expect("the reader has left") = 7;
        assert_eq!(*poll(&mut late).expect("the writer has left"), 7);
    }

    #[test]
    fn a_writer_that_gives_up_lets_readers_in() {
        let lock = RwLock::new(0);
        let reading = lock.try_read().unwrap();
        let mut writing = Box::pin(lock.write());
        let mut late = Box::pin(lock.read());
        assert!(poll(&mut writing).is_none() && poll(&mut late).is_none());
        drop(writing);
        assert_eq!(*poll(&mut late).unwrap(), *reading);
    }
}
