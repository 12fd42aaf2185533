//! [`lend`]: a waker that costs nothing until somebody keeps it; [`token`]: what it is known by.
//!
//! What must hold: the waker is a borrow of what lends it, which outlives every use; a clone is a
//! waker of its own, which borrows nothing.
#![expect(
    unsafe_code,
    reason = "a waker has no lifetime that would make it a borrow"
)]

use std::mem::ManuallyDrop;
use std::num::NonZeroU64;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What can be lent as a waker. Any thread may wake or clone that.
pub(crate) trait Lend: Sync {
    /// What it becomes for whoever clones it: a waker that lasts, and wakes the same.
    fn to_waker(&self, token: NonZeroU64) -> Waker;

    /// Wakes.
    fn wake(&self, token: NonZeroU64);
}

/// A waker to be lent, which carries a number of its lender's.
struct Lending<'a> {
    token: NonZeroU64,
    lender: &'a dyn Lend,
}

/// Only what is made of a `Lending` has this table.
static TABLE: RawWakerVTable =
    RawWakerVTable::new(Lending::clone, Lending::wake, Lending::wake, |_| ());

/// Calls `f` with a waker that is `lender`.
#[inline]
pub(crate) fn lend<R>(token: NonZeroU64, lender: &dyn Lend, f: impl FnOnce(&Waker) -> R) -> R {
    let lending = Lending { token, lender };
    let raw = RawWaker::new(ptr::from_ref(&lending).cast(), &TABLE);
    // SAFETY: `f` has it for the time of this call only, during which `lending` is borrowed, and
    // cannot take it out of its reference; so the functions of the table are called with a lending
    // that is alive, on any thread, which its lender allows by `Sync`.
    let waker = unsafe { Waker::from_raw(raw) };
    // To drop it would be a call by the table, to do nothing.
    f(&ManuallyDrop::new(waker))
}

/// The token of a waker that is lent; `None` of any other.
#[inline]
pub(crate) fn token(waker: &Waker) -> Option<NonZeroU64> {
    // A static has an address of its own.
    ptr::eq(waker.vtable(), &raw const TABLE).then(|| {
        // SAFETY: only `lend` makes wakers with this table, of a lending that is there as long as
        // anybody can see the waker.
        unsafe { &*waker.data().cast::<Lending<'_>>() }.token
    })
}

impl Lending<'_> {
    unsafe fn clone(lending: *const ()) -> RawWaker {
        // SAFETY: `lend` has made this of a reference that is still borrowed.
        let Lending { token, lender } = unsafe { &*lending.cast::<Lending<'_>>() };
        // It goes on in what is given back.
        let waker = ManuallyDrop::new(lender.to_waker(*token));
        RawWaker::new(waker.data(), waker.vtable())
    }

    unsafe fn wake(lending: *const ()) {
        // SAFETY: as in `clone`.
        let Lending { token, lender } = unsafe { &*lending.cast::<Lending<'_>>() };
        lender.wake(*token);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    use super::*;
    use crate::sys::testing::Count;

    const TOKEN: NonZeroU64 = NonZeroU64::MAX;

    /// Lends a count, and knows how often it was asked for a waker that lasts.
    #[derive(Default)]
    struct Lender {
        count: Arc<Count>,
        asked: AtomicUsize,
    }

    impl Lend for Lender {
        fn to_waker(&self, token: NonZeroU64) -> Waker {
            assert_eq!(token, TOKEN);
            self.asked.fetch_add(1, Ordering::Relaxed);
            Waker::from(Arc::clone(&self.count))
        }

        fn wake(&self, token: NonZeroU64) {
            assert_eq!(token, TOKEN);
            self.count.wake_by_ref();
        }
    }

    #[test]
    fn nothing_is_made_unless_somebody_keeps_it() {
        let lender = Lender::default();
        lend(TOKEN, &lender, Waker::wake_by_ref);
        assert_eq!(lender.asked.load(Ordering::Relaxed), 0);
        assert_eq!(lender.count.get(), 1);
        assert_eq!(Arc::strong_count(&lender.count), 1);
    }

    #[test]
    fn a_clone_lasts_and_wakes_the_same() {
        let lender = Lender::default();
        let kept = lend(TOKEN, &lender, |waker| {
            waker.wake_by_ref();
            assert_eq!(token(waker), Some(TOKEN));
            waker.clone()
        });
        assert_eq!(token(&kept), None, "it is not lent");
        let count = Arc::clone(&lender.count);
        drop(lender);
        assert_eq!((count.get(), Arc::strong_count(&count)), (1, 2));
        let again = kept.clone();
        kept.wake_by_ref();
        kept.wake();
        again.wake();
        assert_eq!((count.get(), Arc::strong_count(&count)), (4, 1));
    }

    #[test]
    fn any_thread_may_clone_and_wake_it() {
        let lender = Lender::default();
        let kept = lend(TOKEN, &lender, |waker| {
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
        assert_eq!(lender.count.get(), 8);
        assert_eq!(Arc::strong_count(&lender.count), 1);
    }
}
