//! [`CallUnits`]: how many calls of one kind may be away from one shard to another.
//!
//! What must hold: a call holds its unit until its answer is back on the shard that made it, also
//! when nobody waits for the answer any more.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::runtime::{self, Kept, ShardId};
use crate::sync::{Semaphore, Units};

/// The units of one kind of call: one is taken for each call that is away, for every ordered pair
/// of shards by itself. Seastar's `smp_service_group`.
///
/// All calls of a pair of shards share 1,024 places in the mesh. Where one kind of call could take
/// all of them, and calls that it makes in turn wait for places too, each kind needs units of its
/// own; so does a kind that must not crowd out another.
///
/// # Examples
/// ```
/// use sunstar::Sharded;
/// use sunstar::runtime::{Config, Placement, run_on_all_shards};
/// use sunstar::sharded::CallUnits;
///
/// let config = Config::new(Placement::unpinned(2));
/// let scans = CallUnits::new(16);
/// run_on_all_shards(&config, move |_| async move {
///     let index = Sharded::start(vec![1, 2, 3]).with_units(scans);
///     assert_eq!(index.map_reduce(|index| index.len(), |a, b| a + b).await, 6);
/// })?;
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallUnits {
    number: usize,
    count_max: usize,
}

/// The units of all kinds on one shard: by kind, then by the shard that is called.
#[derive(Default)]
struct Table {
    kinds: RefCell<Vec<(CallUnits, Vec<Semaphore>)>>,
}

impl CallUnits {
    /// Makes a kind of call of which `count_max` may be away from any shard to any other. More
    /// wait, first come, first served.
    ///
    /// # Panics
    /// If it is 0: no call would ever be made.
    pub fn new(count_max: usize) -> CallUnits {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        assert!(count_max > 0, "a kind of call has at least one unit");
        CallUnits {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            count_max,
        }
    }

    /// How many calls may be away from a shard to another.
    pub fn count_max(self) -> usize {
        self.count_max
    }

    /// How many more may go from the current shard to `shard` without waiting.
    ///
    /// # Panics
    /// Outside of every shard, or if there is no such shard.
    pub fn available(self, shard: ShardId) -> usize {
        self.semaphore(shard).available()
    }

    pub(super) async fn take(self, shard: ShardId) -> Units {
        let units = self.semaphore(shard).acquire(1).await;
        units.expect("these semaphores are never closed")
    }

    fn semaphore(self, shard: ShardId) -> Semaphore {
        let table = table_here();
        let mut kinds = table.kinds.borrow_mut();
        let place = kinds.iter().position(|(kind, _)| *kind == self);
        let place = place.unwrap_or_else(|| {
            let count = runtime::shard_count();
            let units = (0..count).map(|_| Semaphore::new(self.count_max));
            kinds.push((self, units.collect()));
            kinds.len() - 1
        });
        kinds[place].1[shard.index()].clone()
    }
}

/// The current shard's table.
fn table_here() -> Rc<Table> {
    runtime::with_current(|shard| {
        let mut table = shard.states.place::<Rc<Table>>().borrow_mut();
        Rc::clone(table.get_or_insert_default())
    })
}

/// Calls `shard`, and keeps the units until the answer is back, whoever waits for it.
pub(super) async fn call_with<F, R>(units: Units, shard: ShardId, f: F) -> (R, Units)
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let call = async move { (runtime::call(shard, f).await, units) };
    Kept::of(runtime::spawn(call)).await
}
