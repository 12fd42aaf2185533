//! [`channel`]: a queue between two threads, of which one only sends and the other only receives.
//!
//! Whether a place is taken stands beside what is in it, so that one line of the cache has to come
//! from the other CPU for both; with a common count of what was sent it would be two, one after the
//! other. A label goes with each item, in the same word as that mark. What must hold: the places
//! from the receiver's position up to the sender's are the receiver's, each from when its mark is
//! stored; all others are the sender's, each from when `received` has passed it. `framework/loom`
//! tries all interleavings.
#![expect(
    unsafe_code,
    reason = "what a place holds goes from one thread to the other by its mark alone"
)]

use std::mem::MaybeUninit;

use super::atomic::{Arc, AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// Makes a queue for `len` items.
///
/// # Panics
/// Unless `len` is a power of two below 2^31.
pub(crate) fn channel<T>(len: usize) -> (Sender<T>, Receiver<T>) {
    let len = u32::try_from(len).expect("it is below 2^31");
    assert!(len.is_power_of_two() && len < 1 << 31);
    let place = |_| Place {
        item: UnsafeCell::new(MaybeUninit::uninit()),
        mark: AtomicU64::new(0),
    };
    let shared = Arc::new(Shared {
        len,
        places: (0..len).map(place).collect(),
        received: Apart(AtomicU32::new(0)),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
        at: 0,
        received: 0,
    };
    (sender, Receiver { shared, at: 0 })
}

struct Shared<T> {
    len: u32,
    places: Box<[Place<T>]>,
    /// The receiver's position. The sender looks at it when all places seem to be taken.
    received: Apart<AtomicU32>,
}

#[repr(C)]
struct Place<T> {
    item: UnsafeCell<MaybeUninit<T>>,
    /// One more than the position of what was sent here last, above its label. Positions start
    /// again behind 2^32, and each place is used once in every `len` of them, so no two that could
    /// be meant are equal.
    mark: AtomicU64,
}

// SAFETY: the two threads never use the same place at the same time, and what goes from one to the
// other is a `T`, which may.
unsafe impl<T: Send> Sync for Shared<T> {}

#[expect(clippy::cast_possible_truncation, reason = "the label is meant")]
#[inline]
fn low(mark: u64) -> u32 {
    mark as u32
}

/// On lines of the cache of its own, also where the processor fetches two together.
#[repr(align(128))]
struct Apart<T>(T);

impl<T> Shared<T> {
    #[inline]
    fn place(&self, at: u32) -> &Place<T> {
        &self.places[(at & (self.len - 1)) as usize]
    }

    /// The label of the item of this position, if that was sent.
    #[inline]
    fn label(&self, at: u32) -> Option<u32> {
        let mark = self.place(at).mark.load(Ordering::Acquire);
        (mark >> 32 == u64::from(at.wrapping_add(1))).then_some(low(mark))
    }

    /// # Safety
    /// It has the item of this position, and nobody uses that again.
    #[inline]
    unsafe fn take(&self, at: u32) -> T {
        let item = &self.place(at).item;
        // SAFETY: as the caller says.
        item.with_mut(|item| unsafe { (*item).assume_init_read() })
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let mut at = self.received.0.load(Ordering::Relaxed);
        while self.label(at).is_some() {
            // SAFETY: it was sent, and not received, and nobody else is left.
            drop(unsafe { self.take(at) });
            at = at.wrapping_add(1);
        }
    }
}

/// The end that sends.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
    /// The position of what is sent next.
    at: u32,
    /// Up to here was received for certain.
    received: u32,
}

impl<T> Sender<T> {
    /// Sends the first of these items, as many as there is room for, each with its label; tells how
    /// many.
    #[inline]
    pub(crate) fn send(&mut self, items: &mut Vec<(T, u32)>) -> usize {
        let shared = &*self.shared;
        let mut room = self.room();
        if room < items.len() {
            self.received = shared.received.0.load(Ordering::Acquire);
            room = self.room();
        }
        let count = room.min(items.len());
        for (item, label) in items.drain(..count) {
            let place = shared.place(self.at);
            // SAFETY: what was here `len` positions ago was received, and what is here from now on
            // is not looked at before its mark.
            place.item.with_mut(|to| unsafe { (*to).write(item) });
            self.at = self.at.wrapping_add(1);
            let mark = u64::from(self.at) << 32 | u64::from(label);
            place.mark.store(mark, Ordering::Release);
        }
        count
    }

    /// How many places are free for certain.
    #[inline]
    fn room(&self) -> usize {
        (self.shared.len - self.at.wrapping_sub(self.received)) as usize
    }
}

/// The end that receives.
pub(crate) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The position of what is received next.
    at: u32,
}

impl<T> Receiver<T> {
    /// Whether nothing has come.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.label(self.at).is_none()
    }

    /// Receives the next item and its label, if it has come.
    #[inline]
    pub(crate) fn receive(&mut self) -> Option<(T, u32)> {
        let label = self.shared.label(self.at)?;
        // SAFETY: it was sent, and with the next position it is no longer looked for.
        let item = unsafe { self.shared.take(self.at) };
        self.at = self.at.wrapping_add(1);
        self.shared.received.0.store(self.at, Ordering::Release);
        Some((item, label))
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::thread;

    use super::*;

    /// Sends these, and tells which of them there was no room for.
    fn send<T>(sender: &mut Sender<T>, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items = items.into_iter().zip(7..).collect();
        sender.send(&mut items);
        items.into_iter().map(|(item, _)| item).collect()
    }

    #[test]
    fn items_come_in_their_order_with_their_labels_as_many_as_there_is_room_for() {
        let (mut sender, mut receiver) = channel(4);
        assert!(receiver.is_empty() && receiver.receive().is_none());
        let mut items = (0..6).map(|item| (item, u32::MAX - item)).collect();
        assert_eq!(sender.send(&mut items), 4);
        assert_eq!(items, [(4, u32::MAX - 4), (5, u32::MAX - 5)]);
        assert_eq!(sender.send(&mut items), 0);
        assert_eq!(receiver.receive(), Some((0, u32::MAX)));
        assert_eq!(sender.send(&mut items), 1);
        assert_eq!(sender.send(&mut items), 0);
        assert_eq!(items, [(5, u32::MAX - 5)]);
        for item in 1..5 {
            assert!(!receiver.is_empty());
            assert_eq!(receiver.receive(), Some((item, u32::MAX - item)));
        }
        assert!(receiver.is_empty() && receiver.receive().is_none());
        assert_eq!((sender.send(&mut items), items.len()), (1, 0));
        assert_eq!(sender.send(&mut items), 0);
        assert_eq!(receiver.receive(), Some((5, u32::MAX - 5)));
        assert!(receiver.is_empty());
    }

    #[test]
    fn positions_start_again_and_nothing_else_changes() {
        let (mut sender, mut receiver) = channel(2);
        // As after 2^32 - 4 items.
        let at = u32::MAX - 3;
        (sender.at, sender.received, receiver.at) = (at, at, at);
        sender.shared.received.0.store(at, Ordering::Relaxed);
        for item in 0..8 {
            assert!(receiver.is_empty());
            assert_eq!(send(&mut sender, [item, item + 1, item + 2]), [item + 2]);
            assert_eq!(receiver.receive(), Some((item, 7)));
            assert_eq!(receiver.receive(), Some((item + 1, 8)));
        }
    }

    #[test]
    fn what_was_not_received_goes_with_the_last_of_both_ends() {
        for sender_is_last in [false, true] {
            let item = Rc::new(());
            let (mut sender, mut receiver) = channel(4);
            assert!(send(&mut sender, vec![Rc::clone(&item); 4]).is_empty());
            let received = receiver.receive().unwrap();
            assert!(send(&mut sender, [Rc::clone(&item)]).is_empty());
            assert_eq!(Rc::strong_count(&item), 6);
            let (mut sender, mut receiver) = (Some(sender), Some(receiver));
            if sender_is_last {
                drop(receiver.take());
            } else {
                drop(sender.take());
            }
            assert_eq!(Rc::strong_count(&item), 6);
            drop((sender, receiver));
            assert_eq!(Rc::strong_count(&item), 2);
            drop(received);
        }
    }

    #[test]
    fn two_threads_lose_nothing_and_keep_the_order() {
        const COUNT: u32 = 2_000;
        let (mut sender, mut receiver) = channel(4);
        let sending = thread::spawn(move || {
            let mut items = Vec::new();
            for index in 0..COUNT {
                items.push((Box::new(index), index ^ 1));
                // One, two and three at a time, and what is left of them.
                let left = if index + 1 < COUNT { index % 3 } else { 0 };
                while items.len() > left as usize {
                    if sender.send(&mut items) == 0 {
                        thread::yield_now();
                    }
                }
            }
        });
        for index in 0..COUNT {
            let (item, label) = loop {
                match receiver.receive() {
                    Some(received) => break received,
                    None => thread::yield_now(),
                }
            };
            assert_eq!((*item, label), (index, index ^ 1));
        }
        sending.join().unwrap();
        assert!(receiver.is_empty());
    }

    #[test]
    #[should_panic(expected = "is_power_of_two")]
    fn a_length_that_positions_do_not_go_round_by_is_refused() {
        let _ = channel::<u8>(3);
    }
}
