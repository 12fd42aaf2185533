//! [`blocking`]: runs what blocks on threads that are no shards.
//!
//! What must hold: a shard never waits for such a thread; there are no more threads, and no more
//! calls that wait for one, than the limits say; what comes back wakes its shard by the doorbell.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use async_task::{Builder, Runnable};

use super::backlog::{Backlog, Pushed};
use super::current;
use super::placement::Placement;
use crate::sys::cpu::{self, CpuSet};
use crate::sys::sim;

/// How many threads may block, and how many calls may wait for one: for all shards together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingLimits {
    /// Threads that may block at the same time. They are started as they are needed and stay.
    /// Default: 128.
    pub threads_max: usize,
    /// Calls that may wait for a thread; one more is refused. Default: 1024.
    pub waiting_max: usize,
    /// How long the end of the runtime waits for calls that have begun; they cannot be interrupted.
    /// Then it leaves them behind and says so on standard error. Default: 5 s.
    pub grace: Duration,
}

impl Default for BlockingLimits {
    fn default() -> BlockingLimits {
        BlockingLimits {
            threads_max: 128,
            waiting_max: 1024,
            grace: Duration::from_secs(5),
        }
    }
}

/// Runs `f` on a thread that is no shard, and waits for it as a task does: for what blocks, such as
/// files and locks, and for what computes for long. Those threads keep off the CPUs that shards are
/// pinned to, if the process may use any other.
///
/// `f` is on no shard: it cannot ask for [`local`](crate::Sharded::local) state, but an
/// [`Alien`](super::Alien) that it was given reaches every shard.
///
/// # Errors
/// When as many calls wait as [`BlockingLimits`] allow, or no thread can be started.
///
/// # Panics
/// If `f` panics: the panic goes on here. Outside of every shard.
///
/// # Cancel safety
/// Dropped before a thread has taken it `f` does not run. Later `f` runs to its end, and what it
/// returns is dropped.
///
/// # Examples
/// ```
/// use sunstar::blocking;
/// use sunstar::runtime::{Config, Placement, run_on_all_shards};
///
/// # let config = Config::new(Placement::unpinned(1));
/// # run_on_all_shards(&config, |_shard| async {
/// let hosts = blocking(|| std::fs::read_to_string("/etc/hosts")).await.expect("a thread is free");
/// assert!(hosts.is_ok());
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn blocking<F, R>(f: F) -> Result<R, BlockingError>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let pool = current::with(|shard| Arc::clone(&shard.blocking));
    if let Some(delay) = sim::blocking_delay() {
        return pool.simulate(delay, f).await;
    }
    // It never waits, so nothing ever schedules it a second time.
    let builder = Builder::new().propagate_panic(true);
    let (runnable, task) = builder.spawn(move |()| async move { f() }, |_| {});
    pool.push(runnable)?;
    task.fallible().await.ok_or(BlockingError::NoThread)
}

/// Why [`blocking`] did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockingError {
    /// All threads block, and as many calls wait for one as may.
    Full(BlockingLimits),
    /// The system has no thread left.
    NoThread,
}

impl fmt::Display for BlockingError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockingError::Full(limits) => write!(
                out,
                "all {} blocking threads are busy and {} calls wait: raise \
                 `blocking.threads_max` or `blocking.waiting_max` in the configuration",
                limits.threads_max, limits.waiting_max
            ),
            BlockingError::NoThread => out.write_str(
                "no thread can be started for a blocking call: raise the limit on processes \
                 (`ulimit -u`)",
            ),
        }
    }
}

impl std::error::Error for BlockingError {}

/// The threads of one runtime that may block.
pub(crate) struct BlockingPool {
    limits: BlockingLimits,
    /// Where they run.
    cpus: CpuSet,
    backlog: Backlog<Runnable>,
    /// How many calls are in, in a simulation.
    simulated: AtomicUsize,
}

impl BlockingPool {
    /// Makes a pool without threads, beside shards that sit there. Must be made on a thread that is
    /// not pinned.
    pub(super) fn new(limits: BlockingLimits, placement: &Placement) -> Arc<BlockingPool> {
        let allowed = CpuSet::allowed();
        let spare: CpuSet = allowed.iter().filter(|&cpu| !placement.has(cpu)).collect();
        Arc::new(BlockingPool {
            limits,
            cpus: if spare.is_empty() { allowed } else { spare },
            backlog: Backlog::new(),
            simulated: AtomicUsize::new(0),
        })
    }

    fn push(self: &Arc<BlockingPool>, runnable: Runnable) -> Result<(), BlockingError> {
        let BlockingLimits {
            threads_max,
            waiting_max,
            ..
        } = self.limits;
        let pushed = self.backlog.push(runnable, threads_max, waiting_max);
        let pushed = pushed.map_err(|_| BlockingError::Full(self.limits))?;
        if pushed == Pushed::NeedsThread {
            let pool = Arc::clone(self);
            let thread = thread::Builder::new().name("blocking".into());
            if thread.spawn(move || pool.live()).is_err() {
                // Whoever waits for one of these learns that no thread will run it.
                drop(self.backlog.lose_thread());
            }
        }
        Ok(())
    }

    /// The life of one of its threads.
    fn live(&self) {
        // Started by a shard it would share that one's CPU. Where the kernel does not agree it is
        // slower, and right.
        let _ = cpu::confine(&self.cpus);
        while let Some(runnable) = self.backlog.next() {
            // A panic of the closure is in the task already; what is left is one of its drop.
            let _ = catch_unwind(AssertUnwindSafe(|| runnable.run()));
            self.backlog.done();
        }
    }

    /// Waits for what has begun, within the grace; nothing more begins.
    pub(super) fn end(&self) {
        drop(self.backlog.close());
        let left = self.backlog.wait_for_threads(self.limits.grace);
        if left > 0 {
            let grace = self.limits.grace;
            eprintln!(
                "{left} blocking calls have not ended within {grace:?}: they are left behind"
            );
        }
    }

    /// As on a thread, in a simulation, which has only one: `f` runs after a delay.
    async fn simulate<F, R>(&self, delay: Duration, f: F) -> Result<R, BlockingError>
    where
        F: FnOnce() -> R + 'static,
        R: 'static,
    {
        let count_max = self.limits.threads_max + self.limits.waiting_max;
        if self.simulated.load(Ordering::Relaxed) >= count_max {
            return Err(BlockingError::Full(self.limits));
        }
        let _inside = Inside::enter(&self.simulated);
        super::sleep(delay).await;
        Ok(f())
    }
}

/// Counts one call until it is dropped.
struct Inside<'a>(&'a AtomicUsize);

impl Inside<'_> {
    fn enter(count: &AtomicUsize) -> Inside<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Inside(count)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Placement, run_on_all_shards, yield_now};
    use super::*;
    use std::future::Future;
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    fn run<F: Future<Output = ()> + 'static>(
        limits: BlockingLimits,
        main: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let mut config = Config::new(Placement::unpinned(1));
        config.blocking = limits;
        run_on_all_shards(&config, move |_| main()).unwrap();
    }

    fn limits(threads_max: usize, waiting_max: usize) -> BlockingLimits {
        BlockingLimits {
            threads_max,
            waiting_max,
            ..BlockingLimits::default()
        }
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        let mut context = Context::from_waker(Waker::noop());
        std::pin::Pin::new(future).poll(&mut context)
    }

    /// A call that blocks until the sender is dropped.
    fn held(
        begun: &mpsc::Sender<()>,
    ) -> (
        mpsc::Sender<()>,
        impl Future<Output = Result<(), BlockingError>> + Unpin + use<>,
    ) {
        let (release, until) = mpsc::channel::<()>();
        let begun = begun.clone();
        let call = Box::pin(blocking(move || {
            begun.send(()).expect("the test waits");
            assert!(until.recv().is_err());
        }));
        (release, call)
    }

    #[test]
    fn it_runs_elsewhere_and_comes_back() {
        run(BlockingLimits::default(), || async {
            let here = thread::current().id();
            let there = blocking(|| thread::current().id()).await.unwrap();
            assert_ne!(here, there);
            for n in 0..100 {
                assert_eq!(blocking(move || n + 1).await, Ok(n + 1));
            }
        });
    }

    #[test]
    #[should_panic(expected = "planned: by what blocks")]
    fn its_panic_goes_on_in_whoever_waits() {
        run(BlockingLimits::default(), || async {
            let panics = blocking(|| panic!("planned: by what blocks"));
            let () = panics.await.unwrap();
        });
    }

    #[test]
    fn one_call_more_than_may_wait_is_refused_and_says_what_to_change() {
        run(limits(2, 1), || async {
            let (begun, begins) = mpsc::channel();
            let mut calls = [(); 4].map(|()| held(&begun));
            let polled = calls.each_mut().map(|(_, call)| poll(call));
            let [
                Poll::Pending,
                Poll::Pending,
                Poll::Pending,
                Poll::Ready(Err(error)),
            ] = polled
            else {
                panic!("two run, one waits, one is refused: {polled:?}")
            };
            assert_eq!(error, BlockingError::Full(limits(2, 1)));
            assert!(
                error.to_string().contains("`blocking.waiting_max`"),
                "{error}"
            );
            begins.recv().unwrap();
            begins.recv().unwrap();
            assert!(begins.try_recv().is_err(), "no more than two at a time");
            let [one, two, three, _] = calls;
            for (release, call) in [one, two, three] {
                drop(release);
                assert_eq!(call.await, Ok(()));
            }
            assert_eq!(
                blocking(|| 7).await,
                Ok(7),
                "all have given their threads back"
            );
        });
    }

    #[test]
    fn what_nobody_waits_for_any_more_does_not_begin() {
        run(limits(1, 4), || async {
            let (begun, begins) = mpsc::channel();
            let (release, mut first) = held(&begun);
            let (_kept, mut second) = held(&begun);
            assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
            drop(second);
            drop(release);
            assert_eq!(first.await, Ok(()));
            assert_eq!(blocking(|| ()).await, Ok(()), "behind it in line");
            assert_eq!(begins.try_iter().count(), 1);
        });
    }

    #[test]
    fn the_end_waits_for_what_has_begun() {
        let (tell, told) = mpsc::channel();
        run(BlockingLimits::default(), move || {
            let tell = tell.clone();
            async move {
                let (begun, begins) = mpsc::channel();
                let mut call = Box::pin(blocking(move || {
                    begun.send(()).unwrap();
                    // Until the shard has ended: its doorbell does not ring any more then.
                    for _ in 0..1000 {
                        thread::yield_now();
                    }
                    tell.send("ended").unwrap();
                }));
                assert!(poll(&mut call).is_pending());
                begins.recv().unwrap();
            }
        });
        assert_eq!(told.try_recv(), Ok("ended"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "hands a receiver to the shard")]
    fn the_end_waits_no_longer_than_its_grace() {
        let (release, until) = mpsc::channel::<()>();
        let (hand, handed) = mpsc::sync_channel(1);
        hand.send(until).unwrap();
        let grace = BlockingLimits {
            grace: Duration::ZERO,
            ..BlockingLimits::default()
        };
        // Only one shard asks, so only one takes it.
        let handed = std::sync::Mutex::new(handed);
        run(grace, move || {
            let until = handed.lock().unwrap().recv().unwrap();
            async move {
                let mut call = Box::pin(blocking(move || until.recv()));
                assert!(poll(&mut call).is_pending());
                yield_now().await;
            }
        });
        // It has returned although the call still blocks.
        drop(release);
    }

    #[test]
    fn its_threads_keep_off_the_cpus_of_shards_if_others_are_left() {
        let allowed = CpuSet::allowed();
        let config = Config::new(Placement::new(Some(1), None).unwrap());
        let cpus = run_on_all_shards(&config, |_| async {
            (CpuSet::allowed(), blocking(CpuSet::allowed).await.unwrap())
        });
        let (shard, threads) = cpus.unwrap().remove(0);
        assert_eq!(shard.len(), 1, "pinned");
        if allowed.len() == 1 {
            assert_eq!(threads, allowed);
        } else {
            let spare = allowed.iter().filter(|&cpu| !shard.contains(cpu));
            assert_eq!(threads, spare.collect());
        }
    }
}
