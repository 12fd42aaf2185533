//! [`Woken`]: what other threads have woken and the shard has not yet taken up.
//!
//! What must hold: what was pushed before the doorbell's fence is seen behind the shard's; the flag
//! is down only while nothing waits. `framework/loom` tries all interleavings.

use super::atomic::{AtomicBool, Mutex, MutexGuard, Ordering};

/// A queue that any thread fills and one empties.
pub(crate) struct Woken<T> {
    waiting: AtomicBool,
    tasks: Mutex<Vec<T>>,
}

impl<T> Woken<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "threads meet here; shards do not come by"
    )]
    pub(crate) fn new() -> Woken<T> {
        Woken {
            waiting: AtomicBool::new(false),
            tasks: Mutex::new(Vec::new()),
        }
    }

    /// Whether something waits. Exact only behind the fence of the doorbell.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn push(&self, task: T) {
        let mut tasks = self.lock();
        tasks.push(task);
        self.waiting.store(true, Ordering::Relaxed);
    }

    pub(super) fn take(&self) -> Vec<T> {
        let mut tasks = self.lock();
        self.waiting.store(false, Ordering::Relaxed);
        std::mem::take(&mut tasks)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.tasks
            .lock()
            .expect("nothing panics while it is locked")
    }
}
