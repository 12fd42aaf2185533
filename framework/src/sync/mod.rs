//! Waiting for each other on one shard: nothing here is `Send`, and nothing needs an atomic.
//!
//! | type | lets a task wait until |
//! |---|---|
//! | [`Semaphore`] | units are free |
//! | [`Gate`] | all who are inside have left |
//! | [`RwLock`] | nobody writes, or nobody holds it |
//! | [`Condition`] | somebody says that something has changed |
//! | [`Queue`] | there is an item, or room for one |
//! | [`pipe()`] | the other end has written, has read, or is gone |
//! | [`oneshot()`] | the one value is there |
//! | [`Shared`] | a future that many wait for has ended |
//! | [`Broadcast`] | the next of the items that everybody gets is there |
//! | [`AbortSource`] | it is time to give up |
//!
//! Each is a handle: a clone is the same thing, and what it hands out may outlive the clone that
//! was asked. Whoever waits is served first come, first served. Dropping a future that waits
//! gives up its place and loses nothing: units, items and values go to the next in line. So any
//! waiter can be given a deadline, by [`with_timeout`](crate::future::with_timeout) or
//! [`with_deadline`](crate::future::with_deadline): when it expires it leaves the line.

mod abort_source;
mod broadcast;
mod closed;
mod condition;
mod gate;
mod oneshot;
mod pipe;
mod queue;
mod rwlock;
mod semaphore;
mod shared;
#[cfg(test)]
pub(crate) mod testing;
mod wait_list;

pub use abort_source::{AbortSource, Aborted, Subscription};
pub use broadcast::{Broadcast, Lagged, Receiver};
pub use closed::Closed;
pub use condition::Condition;
pub use gate::{Entered, Gate};
pub use oneshot::{Awaiting, Reply, oneshot};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use queue::Queue;
pub use rwlock::{ReadGuard, RwLock, WriteGuard};
pub use semaphore::{Acquire, Semaphore, Units};
pub use shared::Shared;
