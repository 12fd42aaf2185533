//! [`Doorbell`]: wakes a shard that sleeps in its driver; costs nothing while it is awake.
//!
//! What must hold: whoever has made a message visible asks [`must_ring`](Doorbell::must_ring), and
//! a shard looks for messages once more after [`park`](Doorbell::park); why no wake-up is lost then
//! is said in `parked`.

use std::io;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, Ordering};

use crossbeam_utils::CachePadded;

use super::parked::Parked;
use crate::sys::event::EventFd;

const NO_RING: RawFd = -1;

/// The doorbell of one shard, shared by all threads.
#[derive(Debug)]
pub(crate) struct Doorbell {
    parked: CachePadded<Parked>,
    /// For threads without a ring, and where rings cannot message each other.
    event: EventFd,
    /// The shard's ring, for rings that can send it a message.
    ring: AtomicI32,
}

impl Doorbell {
    pub(crate) fn new() -> io::Result<Doorbell> {
        let parked = CachePadded::new(Parked::new());
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
        self.parked.raise();
    }

    /// The shard is awake.
    pub(crate) fn unpark(&self) {
        self.parked.lower();
    }

    /// Whether the caller, having made its message visible, must ring. Tells only one caller so.
    pub(crate) fn must_ring(&self) -> bool {
        self.parked.take()
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
