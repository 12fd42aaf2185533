//! [`BufRing`]: the provided buffers that multishot receives take from
//! (`io_uring_register_buf_ring(3)`).
//!
//! What must hold: a buffer is either in the ring (the kernel's) or taken (ours), and a taken one
//! comes back within the turn in which its completion was reaped. So an idle connection holds none.
#![expect(
    unsafe_code,
    reason = "the ring and its buffers are memory shared with the kernel"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

const PAGE: usize = 4096;

/// Whole zeroed pages that a child of `fork(2)` does not get: the kernel keeps the physical ones,
/// and a parent that wrote to copies of them would talk to nobody.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(len: usize) -> Pages {
        let len = len.next_multiple_of(PAGE);
        let layout = Layout::from_size_align(len, PAGE).expect("a few MiB at most");
        // SAFETY: the length is not zero: a ring has at least one entry.
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
            handle_alloc_error(layout)
        };
        let pages = Pages { start, layout };
        pages.advise(libc::MADV_DONTFORK);
        pages
    }

    fn advise(&self, advice: i32) {
        // SAFETY: whole pages of our own; neither advice changes what this process sees. Where it
        // fails, forking stays as dangerous as it was.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.layout.size(), advice) };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.advise(libc::MADV_DOFORK);
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A ring of equal buffers, registered with a [`Ring`] as one group.
pub(crate) struct BufRing {
    entries: Pages,
    bytes: Pages,
    count: u16,
    buffer_len: usize,
    /// The tail that we write; the kernel sees it after `publish`.
    tail: u16,
}

impl BufRing {
    /// Registers `count` buffers (a power of two) of `buffer_len` bytes as group `group`.
    ///
    /// # Safety
    /// The value returned must outlive every operation of `ring` that selects from the group.
    pub(crate) unsafe fn register(
        ring: &Ring,
        group: u16,
        count: u16,
        buffer_len: usize,
    ) -> io::Result<BufRing> {
        assert!(
            count.is_power_of_two(),
            "{count} buffers: not a power of two"
        );
        let entries = Pages::new(usize::from(count) * size_of::<BufRingEntry>());
        let bytes = Pages::new(usize::from(count) * buffer_len);
        // SAFETY: `entries` holds `count` entries; the caller keeps the result alive.
        unsafe { ring.register_buffers(entries.start.as_ptr() as u64, count, group)? };
        let mut buffers = BufRing {
            entries,
            bytes,
            count,
            buffer_len,
            tail: 0,
        };
        for buffer in 0..count {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of a taken buffer.
    ///
    /// # Panics
    /// If the kernel named a buffer or a length that does not exist.
    #[inline]
    pub(crate) fn taken(&self, buffer: u16, len: usize) -> &[u8] {
        assert!(
            buffer < self.count && len <= self.buffer_len,
            "buffer {buffer}, {len} bytes"
        );
        // SAFETY: inside `bytes`; zeroed at first, then written by the kernel, which leaves the
        // buffer alone until it is given back, and that needs `&mut self`.
        unsafe {
            let start = self.bytes.start.add(usize::from(buffer) * self.buffer_len);
            slice::from_raw_parts(start.as_ptr(), len)
        }
    }

    /// Puts a taken buffer back; the kernel sees it after [`publish`](BufRing::publish).
    #[inline]
    pub(crate) fn give_back(&mut self, buffer: u16) {
        assert!(buffer < self.count, "buffer {buffer} of {}", self.count);
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: the slot is inside `entries`, and free: there are as many slots as buffers and
        // each buffer is given back once per taking.
        unsafe {
            let entry = self.entries.start.cast::<BufRingEntry>().add(slot).as_mut();
            entry.set_addr(
                self.bytes
                    .start
                    .add(usize::from(buffer) * self.buffer_len)
                    .as_ptr() as u64,
            );
            entry.set_len(u32::try_from(self.buffer_len).expect("a buffer is far below 4 GiB"));
            entry.set_bid(buffer);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Shows the kernel what was given back.
    #[inline]
    pub(crate) fn publish(&mut self) {
        // SAFETY: the first entry's reserved field is the ring's tail; the kernel reads it
        // atomically, so it is written with release order.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.start.cast().as_ptr());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_does_not_get_the_pages() {
        let pages = Pages::new(1);
        // SAFETY: the child reads one byte of this process's memory and ends, by fault or by exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe {
                std::ptr::read_volatile(pages.start.as_ptr());
                libc::_exit(0);
            }
        }
        let mut status = 0;
        // SAFETY: writes to a live local.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert!(libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSEGV);
    }
}
