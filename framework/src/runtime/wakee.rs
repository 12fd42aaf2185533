//! [`Wakee`]: whoever waits for something on its own shard.
//!
//! What must hold: it wakes exactly what the waker that it was made of would wake. A task of the
//! shard, which nearly all are, it knows by its place, which costs nothing to note or to forget.
//! Another one is cloned, which may run code of the user's: in the mesh and in `sync` nothing is
//! borrowed then; where sockets and timers note one they are, so that a `clone` which uses them
//! panics.

use std::task::Waker;

use super::current;
use super::slot::SlotId;
use super::task::quietly;

/// What a waker is to the shard on which it stays.
#[derive(Clone)]
pub(crate) enum Wakee {
    /// The task in this place.
    Task(SlotId),
    /// Something else, such as a task of another executor.
    Other(Waker),
}

impl Wakee {
    /// What `waker` wakes.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Wakee {
        Wakee::task(waker).map_or_else(|| Wakee::Other(waker.clone()), Wakee::Task)
    }

    /// The task that `waker` wakes, if it is the one that runs on this shard.
    #[inline]
    pub(super) fn task(waker: &Waker) -> Option<SlotId> {
        current::try_with(|shard| shard?.executor.running(waker))
    }

    /// From now on it is what `waker` wakes. Gives back what has stood there before if that is a
    /// waker, which may run code of the user's when it is dropped.
    #[inline]
    pub(crate) fn renew(&mut self, waker: &Waker) -> Option<Waker> {
        if let Wakee::Other(known) = self
            && known.will_wake(waker)
        {
            return None;
        }
        std::mem::replace(self, Wakee::of(waker)).into_other()
    }

    /// As [`renew`](Wakee::renew), where perhaps nobody has waited yet.
    #[inline]
    pub(crate) fn note(place: &mut Option<Wakee>, waker: &Waker) -> Option<Waker> {
        if let Some(known) = place {
            return known.renew(waker);
        }
        *place = Some(Wakee::of(waker));
        None
    }

    /// Whether it wakes what `other` wakes, as far as one can tell.
    #[inline]
    pub(crate) fn is_same(&self, other: &Wakee) -> bool {
        match (self, other) {
            (Wakee::Task(this), Wakee::Task(other)) => this == other,
            (Wakee::Other(this), Wakee::Other(other)) => this.will_wake(other),
            (Wakee::Task(_), Wakee::Other(_)) | (Wakee::Other(_), Wakee::Task(_)) => false,
        }
    }

    /// The waker that it is, if it is one.
    pub(crate) fn into_other(self) -> Option<Waker> {
        match self {
            Wakee::Other(waker) => Some(waker),
            Wakee::Task(_) => None,
        }
    }

    /// Wakes it. A waker that panics harms nobody but those whom it should have woken.
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            Wakee::Task(slot) => slot.wake(),
            Wakee::Other(waker) => quietly(|| waker.wake()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Poll;

    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards, spawn, yield_now};
    use crate::sys::testing::Count;

    fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    /// Waits until `wake` was done to what the task is woken by.
    async fn woken_by(wake: impl FnOnce(Wakee)) {
        let mut wake = Some(wake);
        poll_fn(|context| match wake.take() {
            None => Poll::Ready(()),
            Some(wake) => {
                wake(Wakee::of(context.waker()));
                Poll::Pending
            }
        })
        .await;
    }

    #[test]
    fn the_task_that_runs_is_known_by_its_place() {
        on_a_shard(|| {
            woken_by(|wakee| {
                assert!(matches!(wakee, Wakee::Task(_)));
                wakee.wake();
            })
        });
    }

    #[test]
    fn a_task_is_woken_by_what_another_one_keeps_of_it() {
        on_a_shard(|| async {
            let (tell, told) = std::sync::mpsc::channel();
            let waits = spawn(woken_by(move |wakee| tell.send(Some(wakee)).unwrap()));
            let wakee = loop {
                match told.try_recv() {
                    Ok(wakee) => break wakee,
                    Err(_) => yield_now().await,
                }
            };
            assert!(!waits.is_finished());
            wakee.unwrap().wake();
            waits.await;
        });
    }

    #[test]
    fn any_other_waker_is_kept_as_it_is() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut wakee = None;
        let other = Waker::from(Arc::new(Count::default()));
        assert!(Wakee::note(&mut wakee, &other).is_none());
        let before = Wakee::note(&mut wakee, &waker);
        assert!(before.is_some_and(|before| before.will_wake(&other)));
        assert!(Wakee::note(&mut wakee, &waker).is_none());
        assert_eq!(Arc::strong_count(&count), 3, "it is not cloned again");
        wakee.unwrap().wake();
        assert_eq!(count.get(), 1);
    }
}
