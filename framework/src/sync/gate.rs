//! [`Gate`]: counts who is inside, and closes when all have left.
//!
//! What must hold: nobody comes in once closing has begun; `close` ends only when nobody is inside.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use super::Closed;
use super::wait_list::{Answer, WaitList, Waiting};

/// A door that counts: work enters, and whoever ends the service waits until all of it has left.
///
/// # Examples
/// ```
/// use sunstar::sync::Gate;
///
/// let gate = Gate::new();
/// let inside = gate.enter().expect("open");
/// let closing = gate.close();
/// assert!(gate.enter().is_err());
/// drop(inside);
/// // `closing` is ready now.
/// # drop(closing);
/// ```
#[derive(Clone)]
pub struct Gate {
    inner: Rc<Inner>,
}

struct Inner {
    count: Cell<usize>,
    is_closed: Cell<bool>,
    closers: WaitList<()>,
}

impl Gate {
    /// Makes an open gate with nobody inside.
    pub fn new() -> Gate {
        let inner = Inner {
            count: Cell::new(0),
            is_closed: Cell::new(false),
            closers: WaitList::new(),
        };
        Gate {
            inner: Rc::new(inner),
        }
    }

    /// Enters, until the guard is dropped.
    ///
    /// # Errors
    /// When the gate is closed or closing.
    #[inline]
    pub fn enter(&self) -> Result<Entered, Closed> {
        if self.inner.is_closed.get() {
            return Err(Closed);
        }
        self.inner.count.set(self.inner.count.get() + 1);
        Ok(Entered {
            inner: Rc::clone(&self.inner),
        })
    }

    /// Closes the gate, at once and for good, and gives a future that waits until all have left.
    /// Closing a second time only waits.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting; the gate stays closed.
    pub fn close(&self) -> impl Future<Output = ()> + 'static {
        self.inner.is_closed.set(true);
        let inner = Rc::clone(&self.inner);
        let mut waiting = Waiting::new(&inner.closers);
        poll_fn(move |context| {
            if inner.count.get() == 0 {
                return Poll::Ready(());
            }
            waiting.poll((), context).map(|_answer| ())
        })
    }

    /// How many are inside.
    pub fn count(&self) -> usize {
        self.inner.count.get()
    }

    /// Whether the gate is closed or closing.
    pub fn is_closed(&self) -> bool {
        self.inner.is_closed.get()
    }
}

impl Default for Gate {
    fn default() -> Gate {
        Gate::new()
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Gate")
            .field("count", &self.count())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

/// Being inside a [`Gate`]. Dropping it is leaving.
#[must_use = "whoever drops it has left"]
pub struct Entered {
    inner: Rc<Inner>,
}

impl Clone for Entered {
    /// One more inside, also when the gate is closing: who is inside may bring others in.
    fn clone(&self) -> Entered {
        self.inner.count.set(self.inner.count.get() + 1);
        Entered {
            inner: Rc::clone(&self.inner),
        }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        let left = self.inner.count.get() - 1;
        self.inner.count.set(left);
        if left == 0 && self.inner.is_closed.get() {
            self.inner.closers.serve_all(Answer::Granted);
        }
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Entered")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::poll;

    #[test]
    fn closing_ends_when_the_last_one_has_left_and_not_before() {
        let gate = Gate::new();
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        let (mut closing, mut again) = (Box::pin(gate.close()), Box::pin(gate.close()));
        assert!(poll(&mut closing).is_none());
        drop(first);
        assert!(poll(&mut closing).is_none() && poll(&mut again).is_none());
        assert!(gate.enter().is_err());
        drop(second);
        assert!(poll(&mut closing).is_some() && poll(&mut again).is_some());
    }

    #[test]
    fn an_empty_gate_closes_at_once() {
        let gate = Gate::new();
        assert!(poll(&mut Box::pin(gate.close())).is_some());
        assert!(gate.is_closed() && gate.enter().is_err());
    }

    #[test]
    fn a_gate_that_nobody_waits_to_close_any_more_stays_closed() {
        let gate = Gate::new();
        let inside = gate.enter().unwrap();
        let also = inside.clone();
        let mut closing = Box::pin(gate.close());
        assert!(poll(&mut closing).is_none());
        drop(closing);
        drop(inside);
        assert_eq!((gate.count(), gate.is_closed()), (1, true));
        drop(also);
        assert!(poll(&mut Box::pin(gate.close())).is_some());
    }
}
