//! [`Home`]: how a shard is found again from anywhere on its thread.
//!
//! What a shard has handed out may be used when another shard is the current one, or none: a
//! simulator runs all shards on one thread, and beside a hosted shard there are the host's own
//! tasks. What must hold: a name is never given twice, and a shard that has gone is not found.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::shard::Outside;

/// Names a shard among all that this process has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HomeId(NonZeroU32);

impl HomeId {
    #[inline]
    pub(super) fn bits(self) -> NonZeroU32 {
        self.0
    }
}

thread_local! {
    static HERE: RefCell<Vec<(HomeId, Arc<Outside>)>> = const { RefCell::new(Vec::new()) };
}

/// A shard's entry among those of its thread, for as long as it lives.
pub(super) struct Home {
    id: HomeId,
    outside: Arc<Outside>,
}

impl Home {
    /// Enters a shard of this thread.
    pub(super) fn new(outside: Arc<Outside>) -> Home {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = NonZeroU32::new(NEXT.fetch_add(1, Ordering::Relaxed));
        let id = HomeId(id.expect("fewer than 2^32 shards in the life of a process"));
        HERE.with_borrow_mut(|here| here.push((id, Arc::clone(&outside))));
        Home { id, outside }
    }

    #[inline]
    pub(super) fn id(&self) -> HomeId {
        self.id
    }

    /// What other threads may touch of it.
    pub(super) fn outside(&self) -> &Arc<Outside> {
        &self.outside
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // At the end of the thread the list may have gone before.
        let _ = HERE.try_with(|here| here.borrow_mut().retain(|(id, _)| *id != self.id));
    }
}

/// The shard whose name it is, if it is on this thread and lives.
pub(super) fn find(is_it: impl Fn(HomeId) -> bool) -> Option<Arc<Outside>> {
    let find = |here: &RefCell<Vec<(HomeId, Arc<Outside>)>>| {
        let here = here.borrow();
        let found = here.iter().find(|(id, _)| is_it(*id));
        found.map(|(_, outside)| Arc::clone(outside))
    };
    HERE.try_with(find).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_found_on_its_thread_while_it_lives() {
        let outside = Arc::new(Outside::new().unwrap());
        let (first, second) = (Home::new(Arc::clone(&outside)), Home::new(outside));
        let (id, other) = (first.id(), second.id());
        assert_ne!(id, other);
        let find = |id| find(|home| home == id);
        assert!(find(id).is_some_and(|found| Arc::ptr_eq(&found, first.outside())));
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(find(id).is_none()));
        });
        drop(first);
        assert!(find(id).is_none() && find(other).is_some());
    }
}
