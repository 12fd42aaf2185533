//! [`Parked`]: the flag that a shard raises before it sleeps.
//!
//! What must hold (Dekker's argument): the shard raises its flag, then looks once more whether
//! anything waits for it, then sleeps; a sender first makes its message visible, then looks at the
//! flag. Both sides put a sequentially consistent fence between their two steps, so at least one
//! of them sees the other, and no wake-up is lost. `framework/loom` tries all interleavings.

use super::atomic::{AtomicBool, Ordering, fence};

/// Whether a shard sleeps, or is about to.
#[derive(Debug)]
pub(super) struct Parked {
    flag: AtomicBool,
}

impl Parked {
    pub(super) fn new() -> Parked {
        Parked {
            flag: AtomicBool::new(false),
        }
    }

    /// The shard is about to sleep. It must look for input once more after this.
    pub(super) fn raise(&self) {
        self.flag.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The shard is awake.
    pub(super) fn lower(&self) {
        self.flag.store(false, Ordering::Relaxed);
    }

    /// Whether the caller, having made its message visible, must wake the shard. Tells only one
    /// caller so.
    pub(super) fn take(&self) -> bool {
        fence(Ordering::SeqCst);
        self.flag.load(Ordering::Relaxed) && self.flag.swap(false, Ordering::Relaxed)
    }
}
