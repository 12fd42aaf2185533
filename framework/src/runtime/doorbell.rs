//! [`Doorbell`]: wakes a shard that sleeps in its driver; costs nothing while it is awake.
//!
//! What must hold (Dekker's argument): the shard raises its flag, then looks once more whether
//! anything waits for it, then sleeps; a sender first makes its message visible, then looks at the
//! flag. Both sides put a sequentially consistent fence between their two steps, so at least one
//! of them sees the other, and no wake-up is lost.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};

use crossbeam_utils::CachePadded;

use crate::sys::event::EventFd;

const NO_RING: RawFd = -1;

/// The doorbell of one shard, shared by all threads.
#[derive(Debug)]
pub(crate) struct Doorbell {
    parked: CachePadded<AtomicBool>,
    /// For threads without a ring, and where rings cannot message each other.
    event: EventFd,
    /// The shard's ring, for rings that can send it a message.
    ring: AtomicI32,
}

impl Doorbell {
    pub(crate) fn new() -> io::Result<Doorbell> {
        let parked = CachePadded::new(AtomicBool::new(false));
        Ok(Doorbell {
            parked,
            event: EventFd::new()?,
            ring: AtomicI32::new(NO_RING),
        })
    }

    /// Tells others that this shard's ring takes messages.
    pub(crate) fn publish_ring(&self, ring: RawFd) {
        self.ring.store(ring, Ordering::Release);
    }

    /// The shard's ring, if it takes messages.
    pub(crate) fn ring(&self) -> Option<RawFd> {
        let ring = self.ring.load(Ordering::Acquire);
        (ring != NO_RING).then_some(ring)
    }

    /// The descriptor that [`ring_by_event`](Doorbell::ring_by_event) makes readable.
    pub(crate) fn event(&self) -> RawFd {
        self.event.raw()
    }

    /// The shard is about to sleep. It must look for input once more after this.
    pub(crate) fn park(&self) {
        self.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The shard is awake.
    pub(crate) fn unpark(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Whether the caller, having made its message visible, must ring. Tells only one caller so.
    pub(crate) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed)
    }

    /// Wakes the shard from any thread.
    pub(crate) fn ring_by_event(&self) {
        self.event.notify();
    }

    /// Rings from a thread without a ring, if the shard sleeps.
    pub(crate) fn ring_from_outside(&self) {
        if self.must_ring() {
            self.ring_by_event();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_parked_shard_is_rung_and_only_once() {
        let bell = Doorbell::new().unwrap();
        assert!(!bell.must_ring());
        bell.park();
        assert!(bell.must_ring());
        assert!(!bell.must_ring());
        bell.park();
        bell.unpark();
        assert!(!bell.must_ring());
    }

    #[test]
    fn a_ring_is_known_once_published() {
        let bell = Doorbell::new().unwrap();
        assert_eq!(bell.ring(), None);
        bell.publish_ring(0);
        assert_eq!(bell.ring(), Some(0));
    }
}
