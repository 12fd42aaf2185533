//! [`run_on_all_shards`]: makes the shards, a thread for each, and runs them to their end.
//!
//! What must hold: either every shard starts or none does; a shard whose future has ended goes on
//! answering the others until theirs have ended too; a panic on one shard ends them all, since the
//! state that it held is lost, and goes on in the caller.

use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use super::blocking::{BlockingLimits, BlockingPool};
use super::choice::DriverChoice;
use super::current;
use super::doorbell::Doorbell;
use super::driver::{Driver, Wait};
use super::epoll::Epoll;
use super::fallback;
use super::hosted::{self, Host, Waiter};
use super::idle::{Idle, Vigil};
use super::mesh::{self, Ends};
use super::placement::{Placement, ShardId};
use super::reactor;
use super::shard::{Outside, Shard};
use super::stall::{Stalls, Watch};
use super::task::Task;
use super::trial;
use super::uring::Uring;
use super::uring_options::UringOptions;
use crate::error::{Error, Result};
use crate::sys::cpu;
use crate::sys::limit::{self, is_out_of_descriptors};
use crate::sys::snapshot;

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
    /// How long the tasks of a turn may run before the driver has its turn, as far as they ask for
    /// it. Default: 0.5 ms.
    pub task_quota: Duration,
    /// What is done about tasks that keep a shard to themselves.
    pub stalls: Stalls,
    /// How many threads may block.
    pub blocking: BlockingLimits,
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
            task_quota: Duration::from_micros(500),
            stalls: Stalls::default(),
            blocking: BlockingLimits::default(),
            verbose: false,
        }
    }
}

/// What the shards of one runtime share while they run.
struct Together {
    outside: Arc<[Arc<Outside>]>,
    blocking: Arc<BlockingPool>,
    finished: AtomicUsize,
    failed: AtomicBool,
}

impl Together {
    fn new(config: &Config) -> Result<Together> {
        let count = config.placement.shard_count();
        let outside: Result<Vec<_>, _> = (0..count).map(|_| Outside::new().map(Arc::new)).collect();
        let outside = outside.map_err(|error| Error::io("cannot make a doorbell", error))?;
        Ok(Together {
            outside: outside.into(),
            blocking: BlockingPool::new(config.blocking, &config.placement),
            finished: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
        })
    }

    fn wake_all(&self) {
        self.outside
            .iter()
            .for_each(|shard| shard.bell.ring_by_event());
    }

    /// A shard has panicked: all end.
    fn fail(&self) {
        self.failed.store(true, Ordering::Release);
        self.wake_all();
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
    let main = Arc::new(main);
    let choice = config.driver.or_environment()?;
    match choice {
        DriverChoice::Uring => attempt(config, uring, &main).map_err(|it| it.told(ring_error)),
        DriverChoice::Epoll => attempt(config, epoll, &main).map_err(|it| it.told(epoll_error)),
        DriverChoice::Monoio | DriverChoice::MonoioLegacy | DriverChoice::Glommio => {
            let make = hosted::maker(choice)?;
            attempt(config, make, &main).map_err(|it| it.told(host_error))
        }
        DriverChoice::Auto => match trial::uring() {
            Ok(()) => on_rings_or_epoll(config, uring, &main),
            Err(refused) => on_epoll_instead(config, &refused, &main),
        },
    }
}

/// Makes a shard's driver on its own thread.
pub(super) type Make = fn(ShardId, &Config, &Doorbell) -> std::io::Result<Driver>;

fn uring(_: ShardId, config: &Config, bell: &Doorbell) -> std::io::Result<Driver> {
    Uring::new(config.uring, bell).map(Driver::Uring)
}

fn epoll(_: ShardId, _: &Config, bell: &Doorbell) -> std::io::Result<Driver> {
    Epoll::new(bell).map(Driver::Epoll)
}

/// Why not all shards have started.
enum Failure {
    /// A shard got no driver.
    Driver(ShardId, std::io::Error),
    /// Anything else, which another driver would not change.
    Other(Error),
}

impl Failure {
    /// As the caller is told: a driver's failure in the words of `tell`.
    fn told(self, tell: fn(ShardId, std::io::Error) -> Error) -> Error {
        match self {
            Failure::Driver(id, error) => tell(id, error),
            Failure::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Other(error)
    }
}

/// Runs all shards on rings if each gets one, otherwise all on epoll.
fn on_rings_or_epoll<M, F, T>(config: &Config, rings: Make, main: &Arc<M>) -> Result<Vec<T>>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    match attempt(config, rings, main) {
        Err(Failure::Driver(_, refused)) => on_epoll_instead(config, &refused, main),
        other => other.map_err(|it| it.told(ring_error)),
    }
}

fn on_epoll_instead<M, F, T>(
    config: &Config,
    refused: &std::io::Error,
    main: &Arc<M>,
) -> Result<Vec<T>>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    eprintln!("{}", fallback::warning(refused));
    attempt(config, epoll, main).map_err(|it| it.told(epoll_error))
}

/// Runs all shards on one driver. When one cannot start, those that have are ended first.
fn attempt<M, F, T>(
    config: &Config,
    make: Make,
    main: &Arc<M>,
) -> std::result::Result<Vec<T>, Failure>
where
    M: Fn(ShardId) -> F + Send + Sync + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let count = config.placement.shard_count();
    let together = Arc::new(Together::new(config)?);
    let (started, starts) = mpsc::channel();
    let mut threads = Vec::new();
    let mut gos = Vec::new();
    for (index, ends) in mesh::connect(count).into_iter().enumerate() {
        let id = ShardId::of(index);
        let (go, told) = mpsc::channel::<()>();
        let (config, main) = (config.clone(), Arc::clone(main));
        let (together, started) = (Arc::clone(&together), started.clone());
        let body = move || {
            let start = start(id, &config, make, &together, ends);
            let (shard, host) = start.map_err(|error| started.send(Err(error))).ok()?;
            started.send(Ok(())).ok()?;
            // So that the caller notices when a shard has ended without a word.
            drop(started);
            told.recv().ok()?;
            // What is told on this thread from here on carries the shard's number.
            let _span = tracing::info_span!("shard", %id).entered();
            tracing::debug!("the shard starts");
            let idle = config.idle;
            Some(match host {
                None => live(shard, &together, idle, || main(id)),
                Some(host) => live_inside(host, shard, together, idle, move || main(id)),
            })
        };
        let thread = thread::Builder::new()
            .name(format!("shard-{id}"))
            .spawn(body);
        threads.push(thread.map_err(|error| Error::io("cannot start a thread", error))?);
        gos.push(go);
    }
    drop(started);
    let ready = starts.iter().collect::<std::result::Result<Vec<()>, _>>();
    // All have started and are told so, or every `go` is dropped, which ends those that have.
    let all = ready.as_ref().is_ok_and(|ready| ready.len() == count);
    let watch = all
        .then(|| Watch::start(&config.stalls, &together.outside))
        .transpose();
    let all = all && watch.is_ok();
    for go in gos.into_iter().filter(|_| all) {
        go.send(())
            .expect("a shard that has started waits for this");
    }
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    together.blocking.end();
    ready?;
    drop(watch?);
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

fn start(
    id: ShardId,
    config: &Config,
    make: Make,
    together: &Together,
    ends: Ends,
) -> std::result::Result<(Rc<Shard>, Option<Host>), Failure> {
    if let Some(cpu) = config.placement.cpu(id)
        && !cpu::pin(cpu)
    {
        return Err(Error::config(format!("cannot pin shard {id} to CPU {cpu}")).into());
    }
    let Outside { bell, pulse, .. } = &*together.outside[id.index()];
    if config.stalls.step().is_some() {
        pulse.live_on(snapshot::arm());
    }
    let mut driver = make(id, config, bell).map_err(|error| Failure::Driver(id, error))?;
    let host = driver.take_host();
    if config.verbose {
        eprintln!(
            "shard {id}: driver {}: {}",
            driver.name(),
            driver.describe()
        );
    }
    let shard = Shard::new(
        id,
        config,
        Arc::clone(&together.outside),
        ends,
        driver,
        Arc::clone(&together.blocking),
    );
    Ok((shard, host))
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

/// Says what to change when the runtime that is to host a shard cannot be made.
fn host_error(id: ShardId, error: std::io::Error) -> Error {
    use std::io::ErrorKind::{PermissionDenied, Unsupported};
    let advice = match error.kind() {
        _ if is_out_of_descriptors(&error) => "raise the limit on open files (`ulimit -n`)",
        PermissionDenied | Unsupported => "there is no io_uring here: try --driver epoll",
        _ => {
            "raise the limit on locked memory (`ulimit -l`, LimitMEMLOCK= in systemd), \
             or start fewer shards (--smp)"
        }
    };
    Error::io(
        format!("cannot make the runtime that hosts shard {id} ({advice})"),
        error,
    )
}

/// Says what to change when an interest list cannot be made.
fn epoll_error(id: ShardId, error: std::io::Error) -> Error {
    let advice = limit::advice(&error);
    Error::io(
        format!("cannot make an epoll instance for shard {id}{advice}"),
        error,
    )
}

/// Runs a shard until all are done, then takes it down. Gives back nothing if another one has
/// panicked first.
fn live<F>(
    shard: Rc<Shard>,
    together: &Together,
    idle: Idle,
    main: impl FnOnce() -> F,
) -> thread::Result<Option<F::Output>>
where
    F: Future + 'static,
{
    let result = catch_unwind(AssertUnwindSafe(|| run(&shard, together, idle, main)));
    end(&shard, together, result)
}

/// As [`live`], inside another runtime.
fn live_inside<F>(
    host: Host,
    shard: Rc<Shard>,
    together: Arc<Together>,
    idle: Idle,
    main: impl FnOnce() -> F + 'static,
) -> thread::Result<Option<F::Output>>
where
    F: Future + 'static,
{
    let inside = Arc::clone(&together);
    let life = move |waiter| async move {
        let result = run_inside(&waiter, &shard, &inside, idle, main).await;
        end(&shard, &inside, result)
    };
    let lived = catch_unwind(AssertUnwindSafe(|| host.run(life)));
    if lived.is_err() {
        together.fail();
    }
    lived?
}

/// Takes a shard down that has run to its end, or has panicked.
fn end<T>(
    shard: &Shard,
    together: &Together,
    result: thread::Result<Option<T>>,
) -> thread::Result<Option<T>> {
    if result.is_err() {
        together.fail();
    }
    let clear = || current::enter(shard, || shard.clear());
    let cleared = catch_unwind(AssertUnwindSafe(clear));
    let close = || current::enter(shard, || drop(shard.outside.woken.close()));
    let closed = catch_unwind(AssertUnwindSafe(close));
    cleared.and(closed)?;
    result
}

/// Turns until all shards are done. `None` when another one has panicked first.
fn run<F>(
    shard: &Shard,
    together: &Together,
    idle: Idle,
    main: impl FnOnce() -> F,
) -> Option<F::Output>
where
    F: Future + 'static,
{
    let mut life = Life::begin(shard, idle, main);
    loop {
        match life.turn(shard, together) {
            ControlFlow::Continue(wait) => reactor::enter(shard, wait),
            ControlFlow::Break(result) => return result,
        }
    }
}

/// As [`run`], in a task of another runtime, which waits. A panic ends the turns.
async fn run_inside<F>(
    waiter: &Waiter,
    shard: &Shard,
    together: &Together,
    idle: Idle,
    main: impl FnOnce() -> F,
) -> thread::Result<Option<F::Output>>
where
    F: Future + 'static,
{
    let mut life = catch_unwind(AssertUnwindSafe(|| {
        if let Driver::Hosted(hosted) = &mut shard.io.borrow_mut().driver {
            hosted.begin();
        }
        Life::begin(shard, idle.in_a_host(), main)
    }))?;
    loop {
        match catch_unwind(AssertUnwindSafe(|| life.turn(shard, together)))? {
            ControlFlow::Continue(wait) => reactor::enter_host(shard, waiter, wait).await,
            ControlFlow::Break(result) => return Ok(result),
        }
    }
}

/// A shard's main task, and what that has brought.
struct Life<T> {
    main: Task<T>,
    vigil: Vigil,
    result: Option<T>,
}

impl<T: 'static> Life<T> {
    fn begin<F>(shard: &Shard, idle: Idle, main: impl FnOnce() -> F) -> Life<T>
    where
        F: Future<Output = T> + 'static,
    {
        let executor = &shard.executor;
        let main = current::enter(shard, || executor.spawn(main()));
        Life {
            main,
            vigil: Vigil::new(idle, shard.clock.now()),
            result: None,
        }
    }

    /// One turn. Breaks when all shards are done; with `None` when another one has panicked first.
    fn turn(&mut self, shard: &Shard, together: &Together) -> ControlFlow<Option<T>, Wait> {
        let mut wait = reactor::turn(shard);
        if self.result.is_none()
            && let Poll::Ready(ready) = poll_once(shard, &mut self.main)
        {
            self.result = Some(ready);
            together.finished.fetch_add(1, Ordering::AcqRel);
            together.wake_all();
            wait = Wait::No;
        }
        if together.is_over() {
            return ControlFlow::Break(self.result.take());
        }
        let done = shard.executor.poll_count() + shard.mesh.received();
        ControlFlow::Continue(self.vigil.wait(shard.clock.now(), done, wait))
    }
}

/// Looks whether the main task has ended. Its own waker is not needed: it can end only in a turn.
fn poll_once<T>(shard: &Shard, main: &mut Task<T>) -> Poll<T> {
    if !main.is_finished() {
        return Poll::Pending;
    }
    let mut context = Context::from_waker(Waker::noop());
    current::enter(shard, || std::pin::Pin::new(main).poll(&mut context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_one_shard_gets_no_ring_all_run_on_epoll() {
        let rings: Make = |id, config, bell| match id {
            ShardId::ZERO => uring(id, config, bell),
            _ => Err(std::io::ErrorKind::OutOfMemory.into()),
        };
        let config = Config::new(Placement::unpinned(3));
        let main = Arc::new(|_| async { current::driver_name() });
        let names = on_rings_or_epoll(&config, rings, &main).unwrap();
        assert_eq!(names, ["epoll"; 3]);
    }
}
