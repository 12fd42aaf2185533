//! [`Shutdown`]: tells the tasks of one shard that the server stops.
//!
//! A stop has two phases: first nothing more is accepted, what was read is answered and idle
//! connections are closed; then, after the grace time or a second request to stop, everything else
//! is dropped.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use slab::Slab;

use crate::runtime::Wakee;

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Not begun.
    Running,
    /// Answers what was read.
    Draining,
    /// Drops what is left.
    Dropping,
}

/// The stop of one shard, and who wants to hear of it.
pub(super) struct Shutdown {
    phase: Cell<Phase>,
    waiting: RefCell<Slab<Wakee>>,
}

impl Shutdown {
    pub(super) fn new() -> Shutdown {
        Shutdown {
            phase: Cell::new(Phase::Running),
            waiting: RefCell::new(Slab::new()),
        }
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to `phase`, unless it has been reached, and wakes everybody.
    pub(super) fn advance(&self, phase: Phase) {
        if self.phase.get() < phase {
            self.phase.set(phase);
            let waiting: Vec<_> = self
                .waiting
                .borrow()
                .iter()
                .map(|(_, wakee)| wakee.clone())
                .collect();
            waiting.into_iter().for_each(Wakee::wake);
        }
    }

    /// Waits until `phase` is reached.
    pub(super) async fn reached(self: &Rc<Shutdown>, phase: Phase) {
        let mut listener = Listener::new(self);
        poll_fn(|context| {
            listener.listen(context);
            if self.phase() >= phase {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// A place among those that are woken when the stop goes on.
pub(super) struct Listener {
    shutdown: Rc<Shutdown>,
    /// Of four bytes: every connection has one.
    place: Option<u32>,
}

impl Listener {
    pub(super) fn new(shutdown: &Rc<Shutdown>) -> Listener {
        Listener {
            shutdown: Rc::clone(shutdown),
            place: None,
        }
    }

    /// Asks for the task to be woken. A task stays in its place, so once is enough.
    #[inline]
    pub(super) fn listen(&mut self, context: &Context<'_>) {
        if self.place.is_none() {
            let wakee = Wakee::of(context.waker());
            let place = self.shutdown.waiting.borrow_mut().insert(wakee);
            self.place = Some(u32::try_from(place).expect("fewer tasks than descriptors"));
        }
    }

    #[inline]
    pub(super) fn phase(&self) -> Phase {
        self.shutdown.phase()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let wakee = self.shutdown.waiting.borrow_mut().remove(place as usize);
            drop(wakee);
        }
    }
}
