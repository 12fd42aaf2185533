//! The current shard, and what code that runs on it may ask of it.
//!
//! It is found through a scope that each reactor turn enters, not through the thread, so that a
//! simulator can run all shards on one. What must hold: scopes do not nest.

use std::future::Future;
use std::time::{Instant, SystemTime};

use super::away;
use super::clock::Clock;
use super::placement::ShardId;
use super::shard::Shard;
use super::task::{Crossing, Kept, Task};
use crate::mem::Pool;
use crate::sys::scope::Scope;

thread_local! {
    static CURRENT: Scope<Shard> = const { Scope::new() };
}

/// Runs `f` with `shard` as the current shard.
///
/// # Panics
/// If this thread is in the scope of a shard already.
pub(super) fn enter<R>(shard: &Shard, f: impl FnOnce() -> R) -> R {
    CURRENT.with(|current| current.enter(shard, f))
}

/// Runs `f` with the current shard.
///
/// # Panics
/// Outside of every shard: only code that runs on a shard may ask for it.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Shard) -> R) -> R {
    try_with(|shard| {
        f(shard.expect("not on a shard: call this from `run_on_all_shards` or a handler"))
    })
}

/// Runs `f` with the current shard, if there is one.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(Option<&Shard>) -> R) -> R {
    CURRENT.with(|current| current.with(f))
}

/// Starts a task on the current shard.
///
/// # Panics
/// Outside of every shard.
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    with(|shard| shard.executor.spawn(future))
}

/// Runs the future that `f` makes as a task on `shard`, and gives back what it ends with. The
/// future need not be `Send`: it never leaves that shard. Seastar's `smp::submit_to`.
///
/// For what needs no future, [`Sharded::on`](crate::Sharded::on) costs less: no task, and mostly no
/// allocation.
///
/// # Panics
/// If there is no such shard, or if the task panics; and outside of every shard.
///
/// # Cancel safety
/// Dropped before its first poll nothing happens. Later the task goes on by itself.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use sunstar::ShardId;
/// use sunstar::runtime::{Config, Placement, current_shard, run_on, run_on_all_shards, sleep};
///
/// let config = Config::new(Placement::unpinned(2));
/// let ran_on = run_on_all_shards(&config, |shard| async move {
///     let other = ShardId::new(1 - shard.index()).expect("there are two");
///     run_on(other, || async {
///         sleep(Duration::from_millis(1)).await;
///         current_shard().index()
///     })
///     .await
/// });
/// assert_eq!(ran_on?, [1, 0]);
/// # Ok::<(), sunstar::Error>(())
/// ```
pub async fn run_on<F, R>(shard: ShardId, f: F) -> R::Output
where
    F: FnOnce() -> R + Send + 'static,
    R: Future<Output: Send> + 'static,
{
    if shard == current_shard() {
        return Kept::of(spawn(f())).await;
    }
    let there = away::call(shard, move || Crossing::spawn(f())).await;
    match there.await {
        Some(output) => output,
        // All shards end together: who waits is dropped with its own.
        None => std::future::pending().await,
    }
}

/// The moment at which the current turn began. It does not move within a turn.
///
/// # Panics
/// Outside of every shard.
pub fn now() -> Instant {
    with(|shard| shard.clock.now())
}

/// The time of day, as the system has it: it may jump.
pub fn wall_clock() -> SystemTime {
    Clock::wall()
}

/// The shard that this code runs on.
///
/// # Panics
/// Outside of every shard.
pub fn current_shard() -> ShardId {
    with(|shard| shard.id)
}

/// How many shards this runtime has.
///
/// # Panics
/// Outside of every shard.
pub fn shard_count() -> usize {
    with(Shard::count)
}

/// The name of the current shard's driver: `uring` or `epoll`.
///
/// # Panics
/// Outside of every shard.
pub fn driver_name() -> &'static str {
    with(|shard| shard.io.borrow().driver.name())
}

/// The optional features of the kernel that the current shard's driver uses, by the names of
/// `--uring-features` with commas between them: `restrict`, for instance. `none` on other drivers.
///
/// # Panics
/// Outside of every shard.
pub fn driver_features() -> String {
    with(|shard| shard.io.borrow().driver.features())
}

/// How many descriptors a stream takes on the current shard.
pub(crate) fn descriptors_per_stream() -> usize {
    with(|shard| shard.io.borrow().driver.descriptors_per_stream())
}

/// The buffer pool of the current shard.
///
/// # Panics
/// Outside of every shard.
pub fn pool() -> Pool {
    with(|shard| shard.pool.clone())
}
