//! [`Task`]: the handle of a task; [`Crossing`]: one for other threads.
//!
//! What must hold: a panic of a task ends the task alone, and goes on at whoever waits for it; what
//! a task has brought is dropped with its handle.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_channel::oneshot;
use futures_util::FutureExt;

use super::current;
use super::slot::SlotId;
use super::wakee::Wakee;
use crate::sys::thin::{Back, Front, Whole, thin};

/// What it has panicked with.
type Panic = Box<dyn Any + Send>;

/// What a task has brought: its output, or its panic.
type Ended<T> = Result<T, Panic>;

/// How far a task is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Running,
    /// Nobody waits for it any more: it is to be dropped instead of polled.
    Cancelled,
    /// It has ended, or was dropped before.
    Ended,
}

/// What else there is of a task at its stage.
#[derive(Default)]
enum Aside {
    #[default]
    Nothing,
    /// Who waits for its end.
    Waiter(Wakee),
    /// What it has ended with.
    Panic(Panic),
}

/// What a task has in common with its handle.
pub(super) struct Joint<T> {
    stage: Cell<Stage>,
    /// What it has brought, until that is taken.
    output: Cell<Option<T>>,
    aside: Cell<Aside>,
    /// Where it runs; `None` when it is not to be cancelled.
    slot: Cell<Option<SlotId>>,
}

impl<T> Joint<T> {
    /// It has ended: wakes who waits for that.
    #[inline]
    fn end(&self, aside: Aside) {
        self.stage.set(Stage::Ended);
        if let Aside::Waiter(waiter) = self.aside.replace(aside) {
            waiter.wake();
        }
    }

    /// From now on `waker` is to be woken.
    #[inline]
    fn note(&self, waker: &Waker) {
        let mut waiter = match self.aside.take() {
            Aside::Waiter(waiter) => Some(waiter),
            Aside::Nothing | Aside::Panic(_) => None,
        };
        let before = Wakee::note(&mut waiter, waker);
        self.aside.set(waiter.map_or(Aside::Nothing, Aside::Waiter));
        drop(before);
    }

    /// Goes on with the panic that it has ended with.
    #[cold]
    fn resume(&self) -> ! {
        match self.aside.take() {
            Aside::Panic(panic) => resume_unwind(panic),
            _ => panic!("a task that is waited for has gone, or is waited for again"),
        }
    }
}

pin_project_lite::pin_project! {
    /// A future until it has ended or nobody wants it.
    struct Body<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F: Future> Body<F> {
    #[inline]
    fn clear(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }

    /// Drops a future that has panicked. Its first panic is the one to tell of.
    #[cold]
    fn clear_behind(self: Pin<&mut Self>, first: Panic) -> Panic {
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| self.clear())) {
            drop_quietly(second);
        }
        first
    }
}

impl<F: Future> Whole for Body<F> {
    type Front = Joint<F::Output>;

    #[inline]
    fn poll(
        mut self: Pin<&mut Self>,
        joint: &Joint<F::Output>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if joint.stage.get() != Stage::Running {
            self.cancel(joint);
            return Poll::Ready(());
        }
        let poll = || {
            let mut this = self.as_mut();
            let future = this.as_mut().project().future.as_pin_mut();
            match future.expect("it runs").poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(output) => {
                    joint.output.set(Some(output));
                    this.clear();
                    Poll::Ready(())
                }
            }
        };
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => joint.end(Aside::Nothing),
            Err(panic) => {
                drop_quietly(joint.output.take());
                joint.end(Aside::Panic(self.clear_behind(panic)));
            }
        }
        Poll::Ready(())
    }

    fn cancel(self: Pin<&mut Self>, joint: &Joint<F::Output>) {
        if joint.stage.get() != Stage::Ended {
            let cleared = catch_unwind(AssertUnwindSafe(|| self.clear()));
            joint.end(cleared.map_or_else(Aside::Panic, |()| Aside::Nothing));
        }
    }
}

/// Drops what a task has brought, if nobody else has it. A panic of that is the task's, and the
/// process's hook has told of it.
#[inline]
pub(crate) fn drop_quietly<T>(value: T) {
    quietly(|| drop(value));
}

/// Does what may panic where that must not end the shard. The process's hook has told of it.
#[inline]
pub(super) fn quietly(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        drop_panic(panic);
    }
}

/// Drops what a panic has brought, which may panic as well.
#[cold]
fn drop_panic(panic: Panic) {
    if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        // There may be no end to it.
        std::mem::forget(next);
    }
}

/// The handle of a task. It is a future of the task's result.
///
/// # Cancel safety
/// Dropping the handle cancels the task: its future is dropped at the next turn. Call
/// [`detach`](Task::detach) to let it run on by itself.
#[must_use = "dropping a task cancels it; call `.detach()` to let it run"]
pub struct Task<T> {
    joint: Front<Joint<T>>,
}

impl<T> Task<T> {
    /// Makes a future into what the executor runs in the place that `place` finds for it, and its
    /// handle.
    #[inline]
    pub(super) fn new<F>(future: F, place: impl FnOnce(Back) -> SlotId) -> Task<T>
    where
        F: Future<Output = T> + 'static,
    {
        let joint = Joint {
            stage: Cell::new(Stage::Running),
            output: Cell::new(None),
            aside: Cell::new(Aside::Nothing),
            slot: Cell::new(None),
        };
        let (work, joint) = thin(
            joint,
            Body {
                future: Some(future),
            },
        );
        joint.slot.set(Some(place(work)));
        Task { joint }
    }

    /// Lets the task run without its handle. A panic in it ends only the task; the process's panic
    /// hook has told of it.
    pub fn detach(self) {
        self.keep();
    }

    /// From now on it goes on when this is dropped.
    fn keep(&self) {
        self.joint.slot.set(None);
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.joint.stage.get() != Stage::Running
    }
}

impl<T> Drop for Task<T> {
    #[inline]
    fn drop(&mut self) {
        // Once the task has ended its place may be another's.
        if !self.is_finished()
            && let Some(slot) = self.joint.slot.get()
        {
            self.joint.stage.set(Stage::Cancelled);
            slot.wake();
            // What waited for it may run code of the user's when it is dropped.
            drop(self.joint.aside.take());
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    /// If the task has panicked: the panic goes on here. If the task was dropped with its shard.
    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let joint = &*self.joint;
        if joint.stage.get() == Stage::Running {
            joint.note(context.waker());
            return Poll::Pending;
        }
        match joint.output.take() {
            Some(output) => Poll::Ready(output),
            None => joint.resume(),
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
    pub(crate) fn of(task: Task<T>) -> Kept<T> {
        task.keep();
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
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

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

    /// Panics with what panics again when it is dropped.
    struct PanicsWithWorse;

    impl Drop for PanicsWithWorse {
        fn drop(&mut self) {
            std::panic::panic_any(PanicsInDrop);
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
            spawn(async { PanicsWithWorse }).detach();
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

    /// Notes `waiter` as what waits for the task.
    fn wait_by<T>(task: &mut Task<T>, waiter: impl Wake + Send + Sync + 'static) {
        let waker = Waker::from(std::sync::Arc::new(waiter));
        let polled = Pin::new(task).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }

    #[test]
    fn a_waiter_that_panics_when_it_is_woken_ends_nobody() {
        struct PanicsWhenWoken;
        impl Wake for PanicsWhenWoken {
            fn wake(self: std::sync::Arc<Self>) {
                panic!("woken");
            }
        }
        on_a_shard(|| async {
            let mut task = spawn(async { 5 });
            wait_by(&mut task, PanicsWhenWoken);
            yield_now().await;
            yield_now().await;
            assert!(task.is_finished());
            assert_eq!(task.await, 5);
        });
    }

    #[test]
    fn a_waiter_that_panics_when_it_is_dropped_keeps_no_cancelled_task() {
        struct PanicsWhenDropped;
        impl Wake for PanicsWhenDropped {
            fn wake(self: std::sync::Arc<Self>) {}
        }
        impl Drop for PanicsWhenDropped {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        on_a_shard(|| async {
            let held = Rc::new(());
            let holds = Rc::clone(&held);
            let mut task = spawn(async move {
                std::future::pending::<()>().await;
                drop(holds);
            });
            // It has been polled, and sleeps.
            yield_now().await;
            wait_by(&mut task, PanicsWhenDropped);
            assert!(catch_unwind(AssertUnwindSafe(|| drop(task))).is_err());
            yield_now().await;
            yield_now().await;
            assert_eq!(Rc::strong_count(&held), 1);
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
        on_a_shard(|| async {
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
        });
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
