//! [`lend`]: a waker that costs nothing until somebody keeps it.
//!
//! What must hold: the waker is a borrow of what lends it, which outlives every use; a clone is a
//! waker of its own, which borrows nothing.
#![expect(
    unsafe_code,
    reason = "a waker has no lifetime that would make it a borrow"
)]

use std::mem::ManuallyDrop;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What can be lent as a waker. Any thread may wake or clone that.
pub(crate) trait Lend: Sync {
    /// What it becomes for whoever clones it: a waker that lasts, and wakes the same.
    fn to_waker(&self) -> Waker;

    /// Wakes.
    fn wake(&self);
}

/// Calls `f` with a waker that is `lender`.
#[inline]
pub(crate) fn lend<L: Lend, R>(lender: &L, f: impl FnOnce(&Waker) -> R) -> R {
    let raw = RawWaker::new(ptr::from_ref(lender).cast(), &Table::<L>::TABLE);
    // SAFETY: `f` has it for the time of this call only, during which `lender` is borrowed, and
    // cannot take it out of its reference; so the functions of the table are called with a lender
    // that is alive, on any thread, which it allows by `Sync`.
    let waker = unsafe { Waker::from_raw(raw) };
    // To drop it would be a call by the table, to do nothing.
    f(&ManuallyDrop::new(waker))
}

struct Table<L>(L);

impl<L: Lend> Table<L> {
    const TABLE: RawWakerVTable = RawWakerVTable::new(Self::clone, Self::wake, Self::wake, |_| ());

    unsafe fn clone(lender: *const ()) -> RawWaker {
        // SAFETY: `lend` has made this of a reference that is still borrowed.
        let waker = unsafe { &*lender.cast::<L>() }.to_waker();
        // It goes on in what is given back.
        let waker = ManuallyDrop::new(waker);
        RawWaker::new(waker.data(), waker.vtable())
    }

    unsafe fn wake(lender: *const ()) {
        // SAFETY: as in `clone`.
        unsafe { &*lender.cast::<L>() }.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lends a count, and knows how often it was asked for a waker that lasts.
    #[derive(Default)]
    struct Lender {
        count: Arc<Count>,
        asked: AtomicUsize,
    }

    impl Lend for Lender {
        fn to_waker(&self) -> Waker {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Waker::from(Arc::clone(&self.count))
        }

        fn wake(&self) {
            self.count.wake_by_ref();
        }
    }

    #[test]
    fn nothing_is_made_unless_somebody_keeps_it() {
        let lender = Lender::default();
        lend(&lender, Waker::wake_by_ref);
        assert_eq!(lender.asked.load(Ordering::Relaxed), 0);
        assert_eq!(lender.count.0.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&lender.count), 1);
    }

    #[test]
    fn a_clone_lasts_and_wakes_the_same() {
        let lender = Lender::default();
        let kept = lend(&lender, |waker| {
            waker.wake_by_ref();
            waker.clone()
        });
        let count = Arc::clone(&lender.count);
        drop(lender);
        assert_eq!(
            (count.0.load(Ordering::Relaxed), Arc::strong_count(&count)),
            (1, 2)
        );
        let again = kept.clone();
        kept.wake_by_ref();
        kept.wake();
        again.wake();
        assert_eq!(
            (count.0.load(Ordering::Relaxed), Arc::strong_count(&count)),
            (4, 1)
        );
    }

    #[test]
    fn any_thread_may_clone_and_wake_it() {
        let lender = Lender::default();
        let kept = lend(&lender, |waker| {
            thread::scope(|scope| {
                let clones = [(); 4].map(|()| {
                    scope.spawn(|| {
                        waker.wake_by_ref();
                        waker.clone()
                    })
                });
                clones.map(|clone| clone.join().unwrap())
            })
        });
        kept.into_iter().for_each(Waker::wake);
        assert_eq!(lender.count.0.load(Ordering::Relaxed), 8);
        assert_eq!(Arc::strong_count(&lender.count), 1);
    }
}
