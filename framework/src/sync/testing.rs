//! What the tests of this layer have in common: polling by hand, and dropping at every await.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Polls once; what it is ready with.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(future).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Makes futures that need several polls, and counts those that are alive.
#[derive(Clone, Default)]
pub(crate) struct Stepper {
    alive: Rc<Cell<usize>>,
}

impl Stepper {
    /// How many of its futures have not been dropped.
    pub(crate) fn alive(&self) -> usize {
        self.alive.get()
    }

    /// A future that is ready at its `count`th poll after the first.
    pub(crate) fn of(&self, count: usize) -> Steps {
        self.alive.set(self.alive.get() + 1);
        Steps {
            left: count,
            alive: Rc::clone(&self.alive),
        }
    }
}

/// See [`Stepper::of`].
pub(crate) struct Steps {
    left: usize,
    alive: Rc<Cell<usize>>,
}

impl Future for Steps {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.left == 0 {
            return Poll::Ready(());
        }
        self.left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

/// Drops the future that `make` returns after no poll, after one, and so on until it ends, and
/// looks each time that all futures it was made of are gone.
pub(crate) fn at_every_await<F: Future>(make: impl Fn(Stepper) -> F) {
    for polls in 0.. {
        let steps = Stepper::default();
        let mut future = Box::pin(make(steps.clone()));
        let mut ended = false;
        for _ in 0..polls {
            ended = poll(&mut future).is_some();
            assert!(!ended || polls > 1, "it waits at least once");
            if ended {
                break;
            }
        }
        drop(future);
        assert_eq!(steps.alive(), 0, "futures left after {polls} polls");
        if ended {
            return;
        }
        assert!(polls < 1000, "it has no end");
    }
}
