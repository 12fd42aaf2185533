//! [`run_on_all_shards`]: makes the shards, a thread for each, and runs them to their end.
//!
//! What must hold: either every shard starts or none does; a shard whose future has ended goes on
//! answering the others until theirs have ended too; a panic on one shard ends them all, since the
//! state that it held is lost, and goes on in the caller.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use super::current;
use super::driver::{Driver, Wait};
use super::mesh::Mesh;
use super::placement::{Placement, ShardId};
use super::reactor;
use super::shard::{Outside, Shard};
use super::uring::Uring;
use super::uring_options::UringOptions;
use crate::error::{Error, Result};
use crate::sys::cpu;
use crate::sys::limit::is_out_of_descriptors;

/// Which driver to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// The best that this system permits.
    #[default]
    Auto,
    /// `io_uring(7)`.
    Uring,
}

/// What a shard does that has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idle {
    /// Sleeps in the kernel until something comes.
    #[default]
    Sleep,
    /// Looks for input all the time: it answers sooner and keeps its CPU busy.
    Poll,
}

/// How a runtime is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many shards there are and where they sit.
    pub placement: Placement,
    /// What talks to the kernel.
    pub driver: DriverChoice,
    /// What can be chosen about the `io_uring` driver.
    pub uring: UringOptions,
    /// What a shard does that has nothing to do.
    pub idle: Idle,
    /// Whether to print to standard error what the kernel can do and what was chosen.
    pub verbose: bool,
}

impl Config {
    /// The defaults for these shards.
    pub fn new(placement: Placement) -> Config {
        Config {
            placement,
            driver: DriverChoice::Auto,
            uring: UringOptions::default(),
            idle: Idle::Sleep,
            verbose: false,
        }
    }
}

/// What the shards of one runtime share while they run.
struct Together {
    outside: Arc<[Arc<Outside>]>,
    finished: AtomicUsize,
    failed: AtomicBool,
}

impl Together {
    fn wake_all(&self) {
        self.outside
            .iter()
            .for_each(|shard| shard.bell.ring_by_event());
    }

    fn is_over(&self) -> bool {
        self.failed.load(Ordering::Acquire)
            || self.finished.load(Ordering::Acquire) == self.outside.len()
    }
}

/// Runs `main` on every shard, each on a pinned thread of its own, until the futures of all shards
/// have ended. Gives back what they returned, in shard order. Blocks the calling thread.
///
/// # Errors
/// When a thread or a ring cannot be made; nothing runs then.
///
/// # Panics
/// If `main` panics on any shard: all shards end, and the panic goes on here.
///
/// # Examples
/// ```
/// use sunstar::runtime::{Config, Placement, run_on_all_shards};
///
/// let config = Config::new(Placement::unpinned(2));
/// let squares = run_on_all_shards(&config, |shard| async move { shard.index() * shard.index() })?;
/// assert_eq!(squares, [0, 1]);
/// # Ok::<(), sunstar::Error>(())
/// ```
pub fn run_on_all_shards<M, F, T>(config: &Config, main: M) -> Result<Vec<T>>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    #[cfg(feature = "sim")]
    if super::sim::is_simulated() {
        return super::sim::run_on_all_shards(config, main);
    }
    let count = config.placement.shard_count();
    let outside: Result<Vec<_>, _> = (0..count).map(|_| Outside::new().map(Arc::new)).collect();
    let outside = outside
        .map_err(|error| Error::io("cannot make a doorbell", error))?
        .into();
    let (finished, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let together = Arc::new(Together {
        outside,
        finished,
        failed,
    });
    let main = Arc::new(main);
    let (started, starts) = mpsc::channel();
    let mut threads = Vec::new();
    for (index, mesh) in Mesh::connect(count).into_iter().enumerate() {
        let id = ShardId::of(index);
        let (go, told) = mpsc::channel::<()>();
        let (config, main) = (config.clone(), Arc::clone(&main));
        let (together, started) = (Arc::clone(&together), started.clone());
        let body = move || {
            let shard =
                start(id, &config, &together, mesh).map_err(|error| started.send(Err(error)));
            let shard = shard.ok()?;
            started.send(Ok(())).ok()?;
            // So that the caller notices when a shard has ended without a word.
            drop(started);
            told.recv().ok()?;
            Some(live(shard, &together, config.idle, || main(id)))
        };
        let thread = thread::Builder::new()
            .name(format!("shard-{id}"))
            .spawn(body);
        threads.push((
            thread.map_err(|error| Error::io("cannot start a thread", error))?,
            go,
        ));
    }
    drop(started);
    // All have started, or `?` drops every `go`, which ends those that have.
    let ready = starts.iter().collect::<Result<Vec<()>>>()?.len();
    let (threads, gos): (Vec<_>, Vec<_>) = threads.into_iter().unzip();
    for go in gos.into_iter().filter(|_| ready == count) {
        go.send(())
            .expect("a shard that has started waits for this");
    }
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    Ok(ended.into_iter().filter_map(result_of).collect())
}

/// What a shard's thread has brought, or its panic; nothing if it ended for another one's panic,
/// which then comes up as well.
fn result_of<T>(joined: thread::Result<Option<thread::Result<Option<T>>>>) -> Option<T> {
    match joined {
        Ok(Some(Ok(result))) => result,
        Ok(None) => None,
        Ok(Some(Err(panic))) | Err(panic) => resume_unwind(panic),
    }
}

fn start(id: ShardId, config: &Config, together: &Together, mesh: Mesh) -> Result<Shard> {
    if let Some(cpu) = config.placement.cpu(id)
        && !cpu::pin(cpu)
    {
        return Err(Error::config(format!("cannot pin shard {id} to CPU {cpu}")));
    }
    let bell = &together.outside[id.index()].bell;
    let driver = match config.driver {
        DriverChoice::Auto | DriverChoice::Uring => Uring::new(config.uring, bell)
            .map(Driver::Uring)
            .map_err(|error| ring_error(id, error))?,
    };
    if config.verbose {
        eprintln!(
            "shard {id}: driver {}: {}",
            driver.name(),
            driver.describe()
        );
    }
    Ok(Shard::new(id, Arc::clone(&together.outside), mesh, driver))
}

/// Says what to change when a ring cannot be made.
fn ring_error(id: ShardId, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{InvalidInput, OutOfMemory, PermissionDenied, Unsupported};
    let advice = match error.kind() {
        _ if is_out_of_descriptors(&error) => "raise the limit on open files (`ulimit -n`)",
        OutOfMemory => {
            "raise the limit on locked memory (`ulimit -l`, LimitMEMLOCK= in systemd), \
             or start fewer shards (--smp)"
        }
        PermissionDenied => {
            "io_uring is forbidden here: a container's seccomp profile, \
             or the sysctl kernel.io_uring_disabled"
        }
        Unsupported => "this kernel has no io_uring: Linux 6.1 or newer is needed",
        InvalidInput => "this kernel's io_uring is too old: Linux 6.1 or newer is needed",
        _ => "unexpected; please report it",
    };
    Error::io(
        format!("cannot make a ring for shard {id} ({advice})"),
        error,
    )
}

/// Runs a shard until all are done, then takes it down. Gives back nothing if another one has
/// panicked first.
fn live<F>(
    shard: Shard,
    together: &Together,
    idle: Idle,
    main: impl FnOnce() -> F,
) -> thread::Result<Option<F::Output>>
where
    F: Future + 'static,
{
    let shard = Rc::new(shard);
    let result = catch_unwind(AssertUnwindSafe(|| run(&shard, together, idle, main)));
    if result.is_err() {
        together.failed.store(true, Ordering::Release);
        together.wake_all();
    }
    let cleared = catch_unwind(AssertUnwindSafe(|| {
        current::enter(&shard, || {
            shard.executor.clear(&shard.outside.woken);
            let states = std::mem::take(&mut *shard.states.borrow_mut());
            drop(states);
        });
    }));
    cleared?;
    result
}

/// Turns until all shards are done. `None` when another one has panicked first.
fn run<F>(
    shard: &Rc<Shard>,
    together: &Together,
    idle: Idle,
    main: impl FnOnce() -> F,
) -> Option<F::Output>
where
    F: Future + 'static,
{
    let executor = &shard.executor;
    let mut main = current::enter(shard, || executor.spawn(&shard.outside, main()));
    let mut result = None;
    loop {
        let mut wait = reactor::turn(shard);
        if result.is_none()
            && let Poll::Ready(ready) = poll_once(shard, &mut main)
        {
            result = Some(ready);
            together.finished.fetch_add(1, Ordering::AcqRel);
            together.wake_all();
            wait = Wait::No;
        }
        if together.is_over() {
            return result;
        }
        let wait = match idle {
            Idle::Sleep => wait,
            Idle::Poll => Wait::No,
        };
        reactor::enter(shard, wait);
    }
}

/// Looks whether the main task has ended. Its own waker is not needed: it can end only in a turn.
fn poll_once<T>(shard: &Rc<Shard>, main: &mut super::executor::Task<T>) -> Poll<T> {
    if !main.is_finished() {
        return Poll::Pending;
    }
    let mut context = Context::from_waker(Waker::noop());
    current::enter(shard, || std::pin::Pin::new(main).poll(&mut context))
}
