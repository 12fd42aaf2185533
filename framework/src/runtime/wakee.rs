//! [`Wakee`]: whoever waits for something on its own shard.
//!
//! What must hold: it wakes exactly what the waker that it was made of would wake. A task of the
//! shard, which nearly all are, it knows by its slot, whose count is no atomic one.

use std::rc::Rc;
use std::task::Waker;

use super::current;
use super::slot::Slot;

/// What a waker is to the shard on which it stays.
pub(crate) enum Wakee {
    /// The task in this slot.
    Task(Rc<Slot>),
    /// Something else, such as a task of another executor.
    Other(Waker),
}

impl Wakee {
    /// What `waker` wakes.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Wakee {
        let task = current::try_with(|shard| shard?.executor.running(waker));
        task.map_or_else(|| Wakee::Other(waker.clone()), Wakee::Task)
    }

    /// Whether `waker` wakes the same.
    #[inline]
    pub(crate) fn is(&self, waker: &Waker) -> bool {
        match self {
            Wakee::Task(slot) => slot.is_woken_by(waker),
            Wakee::Other(known) => known.will_wake(waker),
        }
    }

    /// Wakes it.
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            Wakee::Task(slot) => Slot::wake(&slot),
            Wakee::Other(waker) => waker.wake(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Poll, Wake};

    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards, spawn, yield_now};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

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
                let wakee = Wakee::of(context.waker());
                assert!(wakee.is(context.waker()) && !wakee.is(Waker::noop()));
                wake(wakee);
                Poll::Pending
            }
        })
        .await;
    }

    #[test]
    fn the_task_that_runs_is_known_by_its_slot() {
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
        let wakee = Wakee::of(&waker);
        assert!(matches!(wakee, Wakee::Other(_)) && wakee.is(&waker));
        assert!(!wakee.is(Waker::noop()));
        wakee.wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
