//! [`Foreign`]: a value that is dropped where it was made.
//!
//! What must hold: while its shard runs it is dropped there and nowhere else, on whatever thread
//! whoever has it lets go of it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::alien;
use super::away;
use super::current;
use super::placement::ShardId;
use super::shard::Outside;

/// A value that goes home to be dropped: to the shard that made it, whose memory it is. It may be
/// moved to any shard or thread and used there; Seastar's `foreign_ptr`.
///
/// Where its shard has ended already it is dropped where it is.
///
/// # Examples
/// ```
/// use sunstar::Sharded;
/// use sunstar::runtime::{Config, Foreign, Placement, run_on_all_shards};
///
/// # let config = Config::new(Placement::unpinned(2));
/// # run_on_all_shards(&config, |shard| async move {
/// let words = Sharded::start(vec![format!("made on {shard}")]);
/// // What comes back is borrowed memory, so to speak: dropping `taken` sends it home again.
/// let taken = words.map(|words| Foreign::new(std::mem::take(words))).await;
/// assert!(taken.iter().all(|words| words.home().index() < 2));
/// # })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
pub struct Foreign<T: Send + 'static> {
    /// Taken out when it is dropped.
    value: Option<T>,
    home: ShardId,
    outside: Arc<Outside>,
}

impl<T: Send + 'static> Foreign<T> {
    /// Gives `value` the current shard as its home.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn new(value: T) -> Foreign<T> {
        current::with(|shard| Foreign {
            value: Some(value),
            home: shard.id,
            outside: Arc::clone(&shard.outside),
        })
    }

    /// The shard that it is dropped on.
    pub fn home(&self) -> ShardId {
        self.home
    }

    /// Takes the value out, to be dropped wherever that happens.
    pub fn into_inner(mut self) -> T {
        self.value.take().expect("taken out once")
    }
}

impl<T: Send + 'static> Deref for Foreign<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("there until it is dropped")
    }
}

impl<T: Send + 'static> DerefMut for Foreign<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Foreign<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else {
            return;
        };
        let (home, outside) = (self.home, &self.outside);
        let is_known = current::try_with(|shard| {
            let shard = shard?;
            let is_same = shard
                .all
                .get(home.index())
                .map(|it| Arc::ptr_eq(it, outside));
            (is_same == Some(true)).then_some(shard.id == home)
        });
        match is_known {
            Some(true) => drop(value),
            // Over the mesh, in one batch with whatever else goes there.
            Some(false) => {
                let away = away::call(home, move || drop(value));
                super::spawn(away).detach();
            }
            None => drop(alien::send(outside, move || drop(value))),
        }
    }
}

impl<T: Send + fmt::Debug> fmt::Debug for Foreign<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Foreign")
            .field("value", &**self)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
