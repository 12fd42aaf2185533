//! [`Alien`]: calls a shard from a thread that is none.
//!
//! What must hold: a call that got in is run, or its caller is told that the shard has ended; no
//! more than `calls_max` are in at a time; a shard never waits for an alien thread.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use async_task::Builder;

use super::current;
use super::executor::Want;
use super::placement::ShardId;
use super::shard::Outside;
use super::task::Crossing;

/// How many calls of alien threads may be in at a shard, unless somebody says otherwise.
const CALLS_MAX: usize = 1024;

/// A handle by which any thread calls the shards of one runtime: cheap to clone, [`Send`] and
/// [`Sync`]. Made on a shard by [`alien`].
///
/// # Examples
/// ```
/// use std::sync::mpsc;
/// use std::thread;
/// use sunstar::runtime::{Config, Placement, alien, run_on_all_shards, yield_now};
/// use sunstar::{Sharded, ShardId};
///
/// let (tell, told) = mpsc::channel();
/// let outsider = thread::spawn(move || {
///     let (alien, hits): (sunstar::runtime::Alien, Sharded<u64>) = told.recv().unwrap();
///     // Waits as a thread does; in async code of any runtime `.await` it.
///     alien.call(ShardId::ZERO, move || hits.local(|count| { *count += 1; *count })).wait()
/// });
/// run_on_all_shards(&Config::new(Placement::unpinned(1)), move |_| {
///     let tell = tell.clone();
///     async move {
///         let hits = Sharded::start(41_u64);
///         tell.send((alien(), hits)).unwrap();
///         while hits.local(|count| *count == 41) {
///             yield_now().await;
///         }
///     }
/// })?;
/// assert!(matches!(outsider.join().unwrap(), Ok(42)));
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone)]
pub struct Alien {
    /// By shard.
    all: Arc<[Arc<Outside>]>,
    calls_max: usize,
}

/// A handle to the shards of this runtime for threads that are none.
///
/// # Panics
/// Outside of every shard.
pub fn alien() -> Alien {
    Alien {
        all: current::with(|shard| Arc::clone(&shard.all)),
        calls_max: CALLS_MAX,
    }
}

impl Alien {
    /// Lets so many calls be in at a shard: those of all handles counted, whatever their limits.
    /// Default: 1024.
    #[must_use]
    pub fn with_calls_max(mut self, calls_max: usize) -> Alien {
        self.calls_max = calls_max;
        self
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.all.len()
    }

    /// The shard with this number, if there are so many.
    pub fn shard(&self, index: usize) -> Option<ShardId> {
        (index < self.all.len()).then(|| ShardId::of(index))
    }

    /// Runs `f` on `shard`, soon. It is on its way when this returns, whether or not anybody waits
    /// for the answer.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn call<F, R>(&self, shard: ShardId, f: F) -> Answer<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let outside = &self.all[shard.index()];
        let Some(place) = Place::take(outside, self.calls_max) else {
            let calls_max = self.calls_max;
            return Answer::refused(CallError::Full { shard, calls_max });
        };
        let task = send(outside, move || {
            let _place = place;
            f()
        });
        Answer {
            answer: Box::pin(async move { task.await.ok_or(CallError::Ended { shard }) }),
        }
    }

    /// Runs the future that `f` makes as a task on `shard`. The future need not be `Send`: it never
    /// leaves the shard.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn run<F, R>(&self, shard: ShardId, f: F) -> Answer<R::Output>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Future<Output: Send> + 'static,
    {
        let outside = &self.all[shard.index()];
        let Some(place) = Place::take(outside, self.calls_max) else {
            let calls_max = self.calls_max;
            return Answer::refused(CallError::Full { shard, calls_max });
        };
        let begun = send(outside, move || {
            let future = f();
            Crossing::spawn(async move {
                let _place = place;
                future.await
            })
        });
        let answer = async move {
            let task = begun.await.ok_or(CallError::Ended { shard })?;
            task.await.ok_or(CallError::Ended { shard })
        };
        Answer {
            answer: Box::pin(answer),
        }
    }
}

impl fmt::Debug for Alien {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Alien")
            .field("shard_count", &self.shard_count())
            .field("calls_max", &self.calls_max)
            .finish_non_exhaustive()
    }
}

/// Why a shard did not answer a call of an [`Alien`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// As many calls as allowed are in at the shard; it was not called.
    Full {
        /// The shard.
        shard: ShardId,
        /// How many calls are allowed.
        calls_max: usize,
    },
    /// The shard has ended before it has answered.
    Ended {
        /// The shard.
        shard: ShardId,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Full { shard, calls_max } => write!(
                out,
                "{calls_max} calls from other threads are in at shard {shard}: wait for answers \
                 before you call again, or allow more by `Alien::with_calls_max`"
            ),
            CallError::Ended { shard } => write!(out, "shard {shard} has ended"),
        }
    }
}

impl std::error::Error for CallError {}

/// The answer of a shard to a call of an [`Alien`]: a future that any runtime can await, and
/// [`wait`](Answer::wait) for threads without one.
///
/// # Errors
/// When the shard had no place for the call, or has ended without an answer.
///
/// # Panics
/// If the function has panicked on the shard: the panic goes on here.
///
/// # Cancel safety
/// Dropping it gives up the answer; the call is made all the same.
pub struct Answer<R> {
    answer: Pin<Box<dyn Future<Output = Result<R, CallError>> + Send>>,
}

impl<R: Send + 'static> Answer<R> {
    fn refused(error: CallError) -> Answer<R> {
        Answer {
            answer: Box::pin(async move { Err(error) }),
        }
    }

    /// Blocks the calling thread until the answer is there.
    ///
    /// # Errors
    /// As awaiting it.
    ///
    /// # Panics
    /// On a shard, which must not block: await it there. And as awaiting it.
    pub fn wait(self) -> Result<R, CallError> {
        let on_shard = current::try_with(|shard| shard.is_some());
        assert!(!on_shard, "a shard must not block: await the answer");
        block_on(self)
    }
}

impl<R> Future for Answer<R> {
    type Output = Result<R, CallError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.as_mut().poll(context)
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Answer")
    }
}

/// Sends `f` to a shard; if that has ended already, `f` is dropped here. The answer is `None` if
/// `f` did not run.
pub(super) fn send<F, R>(outside: &Arc<Outside>, f: F) -> Detached<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let to = Arc::clone(outside);
    let schedule = move |call| {
        // A call that is dropped tells its task that there is no answer.
        if to.woken.push(Want::Call(call)).is_ok() {
            to.bell.ring_from_outside();
        }
    };
    let builder = Builder::new().propagate_panic(true);
    let (runnable, task) = builder.spawn(move |()| async move { f() }, schedule);
    runnable.schedule();
    Detached {
        task: Some(task.fallible()),
    }
}

/// A task that goes on when its handle is dropped.
pub(super) struct Detached<R> {
    task: Option<async_task::FallibleTask<R>>,
}

impl<R> Future for Detached<R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<R>> {
        let task = self.task.as_mut().expect("kept until it is dropped");
        Pin::new(task).poll(context)
    }
}

impl<R> Drop for Detached<R> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

/// The place of a call at a shard, until it has run or never will.
struct Place {
    outside: Arc<Outside>,
}

impl Place {
    fn take(outside: &Arc<Outside>, calls_max: usize) -> Option<Place> {
        let more = |count: usize| (count < calls_max).then_some(count + 1);
        let taken = outside
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Place {
            outside: Arc::clone(outside),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.outside.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many calls of alien threads are in at a shard.
pub(super) type CallCount = AtomicUsize;

/// Blocks the thread until a future is ready.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park();
    }
}

/// A thread that sleeps until it is woken.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Sleeper>) {
        self.0.unpark();
    }
}
