//! [`WaitList`]: those who wait for something on one shard, first come, first served.
//!
//! What must hold: who has joined leaves exactly once, by itself; a place is not used again before
//! that, so a key needs no generation; no waker is cloned, woken or dropped while the list is
//! borrowed, since that may run code of the user's.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::runtime::{Wakee, drop_quietly};

/// No neighbour.
const NONE: usize = usize::MAX;

/// A line of waiters, each of whom wants a `T`. A clone is the same line.
#[derive(Clone)]
pub(super) struct WaitList<T> {
    shared: Rc<Shared<T>>,
}

struct Shared<T> {
    /// Who is first. Beside the others, so that whoever finds nobody here pays one load for it.
    first: Cell<usize>,
    line: RefCell<Line<T>>,
}

struct Line<T> {
    places: Slab<Place<T>>,
    last: usize,
}

struct Place<T> {
    state: State<T>,
    before: usize,
    behind: usize,
}

enum State<T> {
    Waiting { wants: T, waker: Wakee },
    Served(Answer),
}

/// How a waiter was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has what it wants.
    Granted,
    /// It will never get it.
    Refused,
}

/// A waiter's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key(usize);

impl<T: Copy> WaitList<T> {
    /// Makes an empty line.
    pub(super) fn new() -> WaitList<T> {
        let shared = Shared {
            first: Cell::new(NONE),
            line: RefCell::new(Line {
                places: Slab::new(),
                last: NONE,
            }),
        };
        WaitList {
            shared: Rc::new(shared),
        }
    }

    /// Whether nobody waits.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.shared.first.get() == NONE
    }

    /// How many wait, those who were served and have not left yet included.
    pub(super) fn len(&self) -> usize {
        self.shared.line.borrow().places.len()
    }

    /// Goes to the end of the line.
    fn join(&self, wants: T, waker: &Waker) -> Key {
        let waker = Wakee::of(waker);
        let mut line = self.shared.line.borrow_mut();
        let before = line.last;
        let key = line.places.insert(Place {
            state: State::Waiting { wants, waker },
            before,
            behind: NONE,
        });
        match before {
            NONE => self.shared.first.set(key),
            before => line.places[before].behind = key,
        }
        line.last = key;
        Key(key)
    }

    /// How the waiter was served; if it was not, it will be woken by `waker`.
    fn poll_served(&self, key: Key, waker: &Waker) -> Option<Answer> {
        let waker = Wakee::of(waker);
        let mut line = self.shared.line.borrow_mut();
        let outdated = match &mut line.places[key.0].state {
            State::Served(answer) => return Some(*answer),
            State::Waiting { waker: known, .. } => mem::replace(known, waker),
        };
        drop(line);
        drop_quietly(outdated);
        None
    }

    /// What the first in line wants.
    #[inline]
    pub(super) fn first(&self) -> Option<T> {
        let line = self.shared.line.borrow();
        match &line.places.get(self.shared.first.get())?.state {
            State::Waiting { wants, .. } => Some(*wants),
            State::Served(_) => None,
        }
    }

    /// Serves and wakes the first in line. Tells whether there was one.
    pub(super) fn serve_first(&self, answer: Answer) -> bool {
        let first = self.shared.first.get();
        if first == NONE {
            return false;
        }
        let mut line = self.shared.line.borrow_mut();
        self.unlink(&mut line, first);
        let state = mem::replace(&mut line.places[first].state, State::Served(answer));
        drop(line);
        if let State::Waiting { waker, .. } = state {
            waker.wake();
        }
        true
    }

    /// Serves and wakes everybody who is in line now.
    pub(super) fn serve_all(&self, answer: Answer) {
        // Whoever is woken runs later, so nobody can join meanwhile: except from within a waker of
        // a foreign executor, who then waits for the next time.
        let count = self.len();
        for _ in 0..count {
            if !self.serve_first(answer) {
                return;
            }
        }
    }

    /// Leaves. Tells how the waiter was served, if it was.
    fn leave(&self, key: Key) -> Option<Answer> {
        let mut line = self.shared.line.borrow_mut();
        let answer = match line.places[key.0].state {
            State::Waiting { .. } => {
                self.unlink(&mut line, key.0);
                None
            }
            State::Served(answer) => Some(answer),
        };
        let place = line.places.remove(key.0);
        drop(line);
        // Whoever leaves has others to serve, whatever its waker does.
        drop_quietly(place);
        answer
    }

    fn unlink(&self, line: &mut Line<T>, key: usize) {
        let (before, behind) = (line.places[key].before, line.places[key].behind);
        match before {
            NONE => self.shared.first.set(behind),
            before => line.places[before].behind = behind,
        }
        match behind {
            NONE => line.last = before,
            behind => line.places[behind].before = before,
        }
    }
}

/// A waiter's place in the line that it was given first, if it has one. Whoever owns it makes it
/// leave before it is dropped.
#[derive(Default)]
pub(super) struct Standing {
    key: Option<Key>,
}

impl Standing {
    /// Whether it stands in line, or was served without having looked.
    #[inline]
    pub(super) fn has_joined(&self) -> bool {
        self.key.is_some()
    }

    /// Waits in line for `wants`. Once it was served it may join anew.
    pub(super) fn poll<T: Copy>(
        &mut self,
        list: &WaitList<T>,
        wants: T,
        context: &Context<'_>,
    ) -> Poll<Answer> {
        let Some(key) = self.key else {
            self.key = Some(list.join(wants, context.waker()));
            return Poll::Pending;
        };
        match list.poll_served(key, context.waker()) {
            None => Poll::Pending,
            Some(answer) => {
                self.leave(list);
                Poll::Ready(answer)
            }
        }
    }

    /// Leaves the line. Tells how the waiter was served, if it was.
    pub(super) fn leave<T: Copy>(&mut self, list: &WaitList<T>) -> Option<Answer> {
        list.leave(self.key.take()?)
    }
}

/// One waiter of a line: joins when it is polled first, leaves when it is dropped.
pub(super) struct Waiting<T: Copy> {
    list: WaitList<T>,
    standing: Standing,
}

impl<T: Copy> Waiting<T> {
    /// A waiter that has not joined yet.
    pub(super) fn new(list: &WaitList<T>) -> Waiting<T> {
        Waiting {
            list: list.clone(),
            standing: Standing::default(),
        }
    }

    /// See [`Standing::has_joined`].
    pub(super) fn has_joined(&self) -> bool {
        self.standing.has_joined()
    }

    /// See [`Standing::poll`].
    pub(super) fn poll(&mut self, wants: T, context: &Context<'_>) -> Poll<Answer> {
        self.standing.poll(&self.list, wants, context)
    }

    /// See [`Standing::leave`].
    pub(super) fn leave(&mut self) -> Option<Answer> {
        self.standing.leave(&self.list)
    }
}

impl<T: Copy> Drop for Waiting<T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(list: &WaitList<u8>, wants: u8) -> Key {
        list.join(wants, Waker::noop())
    }

    #[test]
    fn waiters_are_served_in_the_order_in_which_they_came() {
        let list = WaitList::new();
        let keys = [1, 2, 3].map(|wants| join(&list, wants));
        assert_eq!(list.first(), Some(1));
        assert!(list.serve_first(Answer::Granted));
        assert_eq!(list.first(), Some(2));
        let served = keys.map(|key| list.poll_served(key, Waker::noop()));
        assert_eq!(served, [Some(Answer::Granted), None, None]);
    }

    #[test]
    fn whoever_leaves_is_skipped_wherever_it_stands() {
        for gone in 0..3 {
            let list = WaitList::new();
            let keys = [0, 1, 2].map(|wants| join(&list, wants));
            assert_eq!(list.leave(keys[gone]), None);
            let order: Vec<_> = std::iter::from_fn(|| {
                let first = list.first();
                list.serve_first(Answer::Refused).then_some(first).flatten()
            })
            .collect();
            let left: Vec<_> = (0..3_u8).filter(|&key| usize::from(key) != gone).collect();
            assert_eq!(order, left);
        }
    }

    #[test]
    fn a_place_is_free_again_only_when_its_waiter_has_left() {
        let list = WaitList::new();
        let first = join(&list, 1);
        list.serve_first(Answer::Refused);
        assert_ne!(join(&list, 2), first);
        assert_eq!(list.leave(first), Some(Answer::Refused));
        assert_eq!(join(&list, 3), first);
        assert_eq!(list.first(), Some(2));
    }
}
