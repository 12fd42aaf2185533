//! [`Task`]: the handle of a task; [`Crossing`]: one for other threads.
//!
//! What must hold: a panic of a task ends the task alone, and goes on at whoever waits for it; what
//! a task has brought is dropped with its handle.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_channel::oneshot;
use futures_util::FutureExt;

use super::current;
use super::pinned::Pinned;
use super::slot::SlotId;
use super::wakee::Wakee;

/// What a task has brought: its output, or what it has panicked with.
type Ended<T> = Result<T, Box<dyn Any + Send>>;

/// What a task has to do with its handle.
enum Join<T> {
    /// It runs, and somebody may wait for it.
    Running(Option<Wakee>),
    /// Nobody waits for it any more: it is to be dropped instead of polled.
    Cancelled,
    Ended(Ended<T>),
    /// It was dropped before its end, or what it brought was taken.
    Gone,
}

/// A task as the executor knows it.
pub(super) trait Work {
    /// Polls it, and tells whether it has ended. Does not unwind.
    fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()>;

    /// Drops it, unless it has ended. Does not unwind.
    fn cancel(self: Pin<&Self>);
}

/// A task as its handle knows it.
trait Joined<T> {
    fn join(&self) -> &RefCell<Join<T>>;
}

pin_project_lite::pin_project! {
    /// What a task and its handle have in common: one allocation.
    struct Body<F: Future> {
        #[pin]
        future: Pinned<F>,
        join: RefCell<Join<F::Output>>,
    }
}

impl<F: Future> Body<F> {
    /// Drops the future, if that is there.
    fn clear(self: Pin<&Self>) -> Result<(), Box<dyn Any + Send>> {
        let future = self.project_ref().future;
        catch_unwind(AssertUnwindSafe(|| future.clear()))
    }

    fn end(self: Pin<&Self>, join: Join<F::Output>) {
        let before = self.join.replace(join);
        if let Join::Running(Some(waiter)) = before {
            waiter.wake();
        }
    }
}

impl<F: Future> Work for Body<F> {
    #[inline]
    fn poll(self: Pin<&Self>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(*self.join.borrow(), Join::Cancelled) {
            self.cancel();
            return Poll::Ready(());
        }
        let future = self.project_ref().future;
        let polled = catch_unwind(AssertUnwindSafe(|| future.poll(context)));
        let ended = match polled {
            Ok(Some(Poll::Pending)) => return Poll::Pending,
            Ok(Some(Poll::Ready(output))) => Ok(output),
            Ok(None) => return Poll::Ready(()),
            Err(panic) => Err(panic),
        };
        let ended = match (ended, self.clear()) {
            (Ok(output), Err(panic)) => {
                drop_quietly(output);
                Err(panic)
            }
            // The first panic is the one to tell of. The second may not even be dropped safely.
            (Err(panic), Err(second)) => {
                std::mem::forget(second);
                Err(panic)
            }
            (ended, Ok(())) => ended,
        };
        self.end(Join::Ended(ended));
        Poll::Ready(())
    }

    fn cancel(self: Pin<&Self>) {
        if matches!(*self.join.borrow(), Join::Running(_) | Join::Cancelled) {
            let join = self
                .clear()
                .map_or_else(|panic| Join::Ended(Err(panic)), |()| Join::Gone);
            self.end(join);
        }
    }
}

impl<F: Future> Joined<F::Output> for Body<F> {
    #[inline]
    fn join(&self) -> &RefCell<Join<F::Output>> {
        &self.join
    }
}

/// Drops what a task has brought, if nobody else has it. A panic of that is the task's, and the
/// process's hook has told of it.
#[inline]
pub(super) fn drop_quietly<T>(value: T) {
    drop(catch_unwind(AssertUnwindSafe(|| drop(value))));
}

/// The handle of a task. It is a future of the task's result.
///
/// # Cancel safety
/// Dropping the handle cancels the task: its future is dropped at the next turn. Call
/// [`detach`](Task::detach) to let it run on by itself.
#[must_use = "dropping a task cancels it; call `.detach()` to let it run"]
pub struct Task<T> {
    body: Pin<Rc<dyn Joined<T>>>,
    /// Where it runs; `None` when it is not to be cancelled.
    slot: Option<SlotId>,
}

impl<T> Task<T> {
    /// Makes a future into what the executor runs in the place that `place` finds for it, and its
    /// handle.
    #[inline]
    pub(super) fn new<F>(future: F, place: impl FnOnce(Pin<Rc<dyn Work>>) -> SlotId) -> Task<T>
    where
        F: Future<Output = T> + 'static,
    {
        let body = Rc::pin(Body {
            future: Pinned::new(future),
            join: RefCell::new(Join::Running(None)),
        });
        let slot = Some(place(Pin::clone(&body) as _));
        Task { body, slot }
    }

    /// Lets the task run without its handle. A panic in it ends only the task; the process's panic
    /// hook has told of it.
    pub fn detach(mut self) {
        self.slot = None;
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.body.join().borrow(), Join::Running(_))
    }
}

impl<T> Drop for Task<T> {
    #[inline]
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        // Once the task has ended its place may be another's.
        if !self.is_finished() {
            // What waited for it may run code of the user's when it is dropped.
            drop(self.body.join().replace(Join::Cancelled));
            slot.wake();
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    /// If the task has panicked: the panic goes on here. If the task was dropped with its shard.
    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut join = self.body.join().borrow_mut();
        if let Join::Running(waiter) = &mut *join {
            let before = Wakee::note(waiter, context.waker());
            drop(join);
            drop(before);
            return Poll::Pending;
        }
        match std::mem::replace(&mut *join, Join::Gone) {
            Join::Ended(Ok(output)) => Poll::Ready(output),
            Join::Ended(Err(panic)) => {
                drop(join);
                resume_unwind(panic)
            }
            _ => panic!("a task that is waited for has gone, or is waited for again"),
        }
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Task")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// The handle of a task that goes on when its handle is dropped.
pub(crate) struct Kept<T> {
    task: Task<T>,
}

impl<T> Kept<T> {
    pub(crate) fn of(mut task: Task<T>) -> Kept<T> {
        task.slot = None;
        Kept { task }
    }
}

impl<T> Future for Kept<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.task).poll(context)
    }
}

/// The handle of a task for whatever thread waits for it. The task goes on when it is dropped.
pub(super) struct Crossing<T> {
    told: oneshot::Receiver<Ended<T>>,
}

impl<T: Send + 'static> Crossing<T> {
    /// Starts a task on the current shard.
    ///
    /// # Panics
    /// Outside of every shard.
    pub(super) fn spawn<F>(future: F) -> Crossing<T>
    where
        F: Future<Output = T> + 'static,
    {
        let (tell, told) = oneshot::channel();
        let task = current::spawn(async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            // Nobody may wait for it any more; then it is dropped here.
            drop(tell.send(ended));
        });
        task.detach();
        Crossing { told }
    }
}

/// `None` if the shard has ended before the task.
impl<T> Future for Crossing<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let told = std::task::ready!(Pin::new(&mut self.told).poll(context));
        Poll::Ready(match told {
            Ok(Ok(output)) => Some(output),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(oneshot::Canceled) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::runtime::{Config, Placement, run_on_all_shards, spawn, stats, yield_now};

    fn on_a_shard<F: Future<Output = ()> + 'static>(main: fn() -> F) {
        let config = Config::new(Placement::unpinned(1));
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_destructor_that_panics_ends_its_task_and_nobody_else() {
        on_a_shard(|| async {
            let tasks = stats().tasks;
            let cancelled = PanicsInDrop;
            drop(spawn(async move {
                let _held = cancelled;
                std::future::pending::<()>().await;
            }));
            spawn(async { PanicsInDrop }).detach();
            yield_now().await;
            yield_now().await;
            assert_eq!(stats().tasks, tasks, "both are gone, and counted");
            assert_eq!(spawn(async { 7 }).await, 7);
        });
    }

    /// Ends as it is told to, and panics when it is dropped.
    struct EndsBadly(fn() -> PanicsInDrop);

    impl Future for EndsBadly {
        type Output = PanicsInDrop;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<PanicsInDrop> {
            Poll::Ready((self.0)())
        }
    }

    impl Drop for EndsBadly {
        fn drop(&mut self) {
            panic!("a future's drop");
        }
    }

    #[test]
    fn the_first_panic_of_a_task_is_the_one_to_tell_of() {
        async fn told(task: fn() -> PanicsInDrop) -> &'static str {
            let ended = AssertUnwindSafe(spawn(EndsBadly(task)))
                .catch_unwind()
                .await;
            let panic = ended.err().unwrap();
            *panic.downcast_ref::<&'static str>().unwrap()
        }
        on_a_shard(|| async {
            assert_eq!(told(|| panic!("a poll")).await, "a poll");
            assert_eq!(told(|| PanicsInDrop).await, "a future's drop");
            assert_eq!(spawn(async { 7 }).await, 7);
        });
    }

    #[test]
    fn tasks_left_at_the_end_are_dropped_whatever_their_destructors_do() {
        static DROPPED: AtomicU32 = AtomicU32::new(0);
        struct Counted;
        impl Drop for Counted {
            fn drop(&mut self) {
                let again = DROPPED.fetch_add(1, Ordering::Relaxed) == 0;
                let counted = again.then(|| Counted);
                // It is never polled, and dropped as well.
                spawn(async move { drop(counted) }).detach();
            }
        }
        let config = Config::new(Placement::unpinned(1));
        let main = |_| async {
            let (first, second) = (PanicsInDrop, Counted);
            spawn(async move {
                let _held = first;
                std::future::pending::<()>().await;
            })
            .detach();
            spawn(async move {
                let _held = second;
                std::future::pending::<()>().await;
            })
            .detach();
            yield_now().await;
        };
        run_on_all_shards(&config, main).unwrap();
        assert_eq!(DROPPED.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_task_may_drop_its_own_handle() {
        on_a_shard(|| async {
            let own = Rc::new(RefCell::new(None));
            let mine = Rc::clone(&own);
            let reached = Rc::new(Cell::new(0));
            let reach = Rc::clone(&reached);
            let task = spawn(async move {
                reach.set(1);
                drop(mine.take());
                yield_now().await;
                reach.set(2);
            });
            own.replace(Some(task));
            yield_now().await;
            yield_now().await;
            assert_eq!((reached.get(), Rc::strong_count(&reached)), (1, 1));
        });
    }

    #[test]
    fn places_are_used_again_and_late_wakers_harm_nobody() {
        on_a_shard(|| async {
            let (tell, told) = std::sync::mpsc::channel();
            spawn(std::future::poll_fn(move |context| {
                tell.send(context.waker().clone()).unwrap();
                Poll::Ready(())
            }))
            .await;
            let late = told.recv().unwrap();
            let next = spawn(async {
                for _ in 0..3 {
                    yield_now().await;
                }
                5
            });
            for _ in 0..10 {
                late.wake_by_ref();
                yield_now().await;
            }
            late.wake();
            assert_eq!(next.await, 5);
        });
    }
}
