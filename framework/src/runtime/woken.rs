//! [`Woken`]: what other threads have woken and the shard has not yet taken up.
//!
//! What must hold: what was pushed before the doorbell's fence is seen behind the shard's; the flag
//! is down only while nothing waits; nothing is left in it once it is closed. `framework/loom`
//! tries all interleavings.

use super::atomic::{AtomicBool, Mutex, MutexGuard, Ordering};

/// A queue that any thread fills and one empties.
pub(crate) struct Woken<T> {
    waiting: AtomicBool,
    tasks: Mutex<Tasks<T>>,
}

struct Tasks<T> {
    list: Vec<T>,
    is_closed: bool,
}

impl<T> Woken<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "threads meet here; shards do not come by"
    )]
    pub(crate) fn new() -> Woken<T> {
        let tasks = Tasks {
            list: Vec::new(),
            is_closed: false,
        };
        Woken {
            waiting: AtomicBool::new(false),
            tasks: Mutex::new(tasks),
        }
    }

    /// Whether something waits. Exact only behind the fence of the doorbell.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Adds a task, or gives it back when nobody will take it up any more.
    pub(super) fn push(&self, task: T) -> Result<(), T> {
        let mut tasks = self.lock();
        if tasks.is_closed {
            return Err(task);
        }
        tasks.list.push(task);
        self.waiting.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn take(&self) -> Vec<T> {
        let mut tasks = self.lock();
        self.waiting.store(false, Ordering::Relaxed);
        std::mem::take(&mut tasks.list)
    }

    /// Lets nothing more in, and gives back what is left.
    pub(super) fn close(&self) -> Vec<T> {
        self.lock().is_closed = true;
        self.take()
    }

    fn lock(&self) -> MutexGuard<'_, Tasks<T>> {
        self.tasks
            .lock()
            .expect("nothing panics while it is locked")
    }
}

/// Whether something that can be woken stands in such a queue already: a flag that any thread
/// raises and the shard lowers before it looks at what it was raised for.
pub(crate) struct Raised(AtomicBool);

impl Raised {
    pub(crate) fn new() -> Raised {
        Raised(AtomicBool::new(false))
    }

    /// Whether it was not raised yet: then the caller is the one to push.
    pub(super) fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// What was written before it was raised, by whomever, is seen behind this.
    pub(super) fn lower(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}
