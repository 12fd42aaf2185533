//! [`Pinned`]: a future that is polled in a shared place.
//!
//! What must hold: the future never leaves its place, but is dropped there.
#![expect(
    unsafe_code,
    reason = "a `RefCell` does not hand its pin on to what is in it"
)]

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future until it has ended or nobody wants it.
pub(super) struct Pinned<F> {
    /// Never moved out of.
    future: RefCell<Option<F>>,
}

impl<F: Future> Pinned<F> {
    pub(super) fn new(future: F) -> Pinned<F> {
        let future = RefCell::new(Some(future));
        Pinned { future }
    }

    /// Polls the future, if it is there.
    ///
    /// # Panics
    /// If the future panics, or polls itself.
    #[inline]
    pub(super) fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> Option<Poll<F::Output>> {
        let mut place = self.get_ref().future.borrow_mut();
        // SAFETY: this is pinned and owns the future, which nothing here moves: the only other
        // access is `clear`, which drops it where it is.
        let future = unsafe { Pin::new_unchecked(place.as_mut()?) };
        Some(future.poll(context))
    }

    /// Drops the future, if it is there.
    #[inline]
    pub(super) fn clear(self: Pin<&Self>) {
        *self.get_ref().future.borrow_mut() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::marker::PhantomPinned;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    /// Tells where it is polled and where it is dropped.
    struct Placed {
        polled: Rc<Cell<usize>>,
        dropped: Rc<Cell<usize>>,
        _pinned: PhantomPinned,
    }

    impl Future for Placed {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.polled
                .set(std::ptr::from_ref(self.as_ref().get_ref()).addr());
            Poll::Pending
        }
    }

    impl Drop for Placed {
        fn drop(&mut self) {
            self.dropped.set(std::ptr::from_ref(self).addr());
        }
    }

    #[test]
    fn it_is_dropped_where_it_was_polled() {
        let (polled, dropped) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let place = Rc::pin(Pinned::new(Placed {
            polled: Rc::clone(&polled),
            dropped: Rc::clone(&dropped),
            _pinned: PhantomPinned,
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(place.as_ref().poll(&mut context), Some(Poll::Pending));
        assert!(polled.get() > 0 && dropped.get() == 0);
        place.as_ref().clear();
        assert_eq!(dropped.get(), polled.get());
        assert_eq!(place.as_ref().poll(&mut context), None);
    }

    #[test]
    fn what_panics_can_be_dropped() {
        let place = pin!(Pinned::new(poll_fn(|_| -> Poll<()> { panic!("polled") })));
        let place = place.as_ref();
        let poll = || place.poll(&mut Context::from_waker(Waker::noop()));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)).unwrap_err();
        place.clear();
        assert!(
            place
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_none()
        );
    }
}
