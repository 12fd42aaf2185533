//! [`Stop`] and [`Services`]: sharded services that one shard starts on all, and stops again.
//!
//! What must hold: either every shard has started its part or none has; what was started last is
//! stopped first; a part is stopped once, on its own shard, when nobody can reach it any more.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_util::future::join_all;

use super::Sharded;
use crate::runtime::{self, ShardId};

/// A part of a sharded service, with what it does before it goes.
pub trait Stop: Sized + 'static {
    /// Ends what it has begun: closes its gate, writes out what it holds. It is no longer in reach
    /// of [`Sharded::local`] then, on any shard that has begun to stop.
    fn stop(self) -> impl Future<Output = ()>;
}

impl<T: Stop> Sharded<T> {
    /// Starts a `T` on every shard, from one of them, and waits for all. Each is what `make`
    /// returns there for its number: so each can have parameters of its own. `make` also gets the
    /// handle to all, for a service that needs its peers; whoever asks a peer that has not started
    /// yet waits for it.
    ///
    /// # Errors
    /// What `make` has failed with on the first shard, in order, on which it has. The others have
    /// been stopped then.
    ///
    /// # Panics
    /// If `make` panics, if a shard has a `T` already, or outside of every shard.
    ///
    /// # Cancel safety
    /// Not: dropped halfway it leaves the parts that were started. Spawn it if you cannot wait.
    ///
    /// # Examples
    /// ```
    /// use sunstar::{Sharded, ShardId};
    /// use sunstar::runtime::{Config, Placement, run_on_all_shards};
    /// use sunstar::sharded::Stop;
    ///
    /// struct Part { first_key: usize, peers: Sharded<Part> }
    ///
    /// impl Stop for Part {
    ///     async fn stop(self) {}
    /// }
    ///
    /// # let config = Config::new(Placement::unpinned(2));
    /// # run_on_all_shards(&config, |shard| async move {
    /// # if shard == ShardId::ZERO {
    /// let parts = Sharded::start_on_all(|shard, peers| async move {
    ///     let first_key = shard.index() * 1000;
    ///     Ok::<_, sunstar::Error>(Part { first_key, peers })
    /// })
    /// .await
    /// .expect("nothing fails here");
    /// assert_eq!(parts.map(|part| part.first_key).await, [0, 1000]);
    /// parts.stop().await;
    /// # }
    /// # })?;
    /// # Ok::<(), sunstar::Error>(())
    /// ```
    pub async fn start_on_all<F, R, E>(make: F) -> Result<Sharded<T>, E>
    where
        F: Fn(ShardId, Sharded<T>) -> R + Clone + Send + 'static,
        R: Future<Output = Result<T, E>> + 'static,
        E: Send + 'static,
    {
        let shards = (0..runtime::shard_count()).map(ShardId::of);
        let starts = shards.map(|shard| {
            let make = make.clone();
            runtime::run_on(shard, move || async move {
                let part = make(shard, Sharded::everywhere()).await?;
                Sharded::start(part);
                Ok(())
            })
        });
        let started = join_all(starts).await;
        if started.iter().all(Result::is_ok) {
            return Ok(Sharded::everywhere());
        }
        let shards = (0..started.len()).filter(|&index| started[index].is_ok());
        join_all(shards.map(|index| stop_on::<T>(ShardId::of(index)))).await;
        let mut errors = started.into_iter().filter_map(Result::err);
        Err(errors.next().expect("one was seen above"))
    }

    /// Stops the `T` of every shard, all at the same time, and waits for all. From then on asking
    /// for it panics, until it is started again.
    ///
    /// # Panics
    /// If a shard has no `T`, or if [`Stop::stop`] panics.
    ///
    /// # Cancel safety
    /// Dropped before its first poll nothing happens; later each is stopped all the same.
    pub async fn stop(self) {
        let shards = (0..runtime::shard_count()).map(ShardId::of);
        join_all(shards.map(stop_on::<T>)).await;
    }
}

/// Stops the `T` of one shard.
async fn stop_on<T: Stop>(shard: ShardId) {
    runtime::run_on(shard, || take_here::<T>().stop()).await;
}

/// Takes the current shard's `T` out of everybody's reach.
fn take_here<T: 'static>() -> T {
    let taken = runtime::with_current(|shard| {
        let place = shard.states.find::<T>()?;
        place.borrow_mut().take()
    });
    taken.unwrap_or_else(|| panic!("no `{}` here to stop", type_name::<T>()))
}

type StopAll = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>>>;

/// Services that stand on each other: started one after another, stopped in the opposite order.
///
/// # Examples
/// ```
/// use sunstar::ShardId;
/// use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::sharded::{Services, Stop};
///
/// struct Store;
/// struct Index;
/// # impl Stop for Store { async fn stop(self) {} }
/// # impl Stop for Index { async fn stop(self) {} }
///
/// # let config = Config::new(Placement::unpinned(2));
/// # run_on_all_shards(&config, |shard| async move {
/// # if shard == ShardId::ZERO {
/// let mut services = Services::new();
/// let store = services.start(|_, _| async { Ok::<_, sunstar::Error>(Store) }).await.unwrap();
/// services.start(|_, _| async { Ok::<_, sunstar::Error>(Index) }).await.unwrap();
/// // The index first, which needs the store.
/// services.stop().await;
/// # }
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Default)]
#[must_use = "what was started has to be stopped"]
pub struct Services {
    stops: Vec<StopAll>,
}

impl Services {
    /// Nothing started yet.
    pub fn new() -> Services {
        Services::default()
    }

    /// Starts a service on every shard, as [`Sharded::start_on_all`]; those before it run already.
    ///
    /// # Errors
    /// As [`Sharded::start_on_all`]. Those before it go on: stop them.
    ///
    /// # Panics
    /// As [`Sharded::start_on_all`].
    pub async fn start<T, F, R, E>(&mut self, make: F) -> Result<Sharded<T>, E>
    where
        T: Stop,
        F: Fn(ShardId, Sharded<T>) -> R + Clone + Send + 'static,
        R: Future<Output = Result<T, E>> + 'static,
        E: Send + 'static,
    {
        let started = Sharded::start_on_all(make).await?;
        self.stops.push(Box::new(move || Box::pin(started.stop())));
        Ok(started)
    }

    /// Stops all, the one that was started last first, each when the one before has ended on every
    /// shard.
    ///
    /// # Panics
    /// As [`Sharded::stop`].
    pub async fn stop(mut self) {
        while let Some(stop) = self.stops.pop() {
            stop().await;
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Services({})", self.stops.len())
    }
}
