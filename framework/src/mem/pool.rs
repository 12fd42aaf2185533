//! [`Pool`]: the free lists from which a shard takes its blocks.
//!
//! What must hold: a block is owned by exactly one of a free list, a [`BufMut`], or the set of
//! [`Buf`]s that count it; a block goes back to the pool it came from; a free list never keeps
//! more than `CACHED_BYTES_MAX` bytes, so that a burst does not become the resident size.
#![expect(unsafe_code, reason = "blocks are raw allocations with a header")]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "blocks are allocated as aligned as their header"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::mem::size_of;
use std::ptr::NonNull;
use std::rc::Rc;

use super::buf::{Buf, BufMut};

/// Capacities of the pooled blocks. A longer one is allocated exactly and not kept.
const CLASSES: [usize; 6] = [256, 1024, 4096, 8192, 16 * 1024, 64 * 1024];
/// The class of a block that no free list keeps.
const UNPOOLED: u8 = u8::MAX;
/// The class of a block that holds a caller's vector instead of bytes.
const ADOPTED: u8 = u8::MAX - 1;
/// How many bytes of free blocks one class keeps.
const CACHED_BYTES_MAX: usize = 1024 * 1024;

/// The header of a block; its bytes follow at once.
#[repr(C, align(16))]
pub(super) struct Block {
    /// How many `Buf`s count this block; 0 while it is free or owned by a `BufMut`.
    pub(super) refs: Cell<u32>,
    capacity: u32,
    class: u8,
    /// The pool to go back to; `None` while the block lies in a free list, and for a vector.
    home: Cell<Option<Rc<Shelves>>>,
}

impl Block {
    /// The first byte of the block's memory.
    pub(super) fn bytes(block: NonNull<Block>) -> NonNull<u8> {
        // SAFETY: every block is allocated by `allocate` with `capacity` bytes behind the header,
        // so one header further is inside (or, for capacity 0, at the end of) the allocation.
        unsafe { block.add(1).cast() }
    }

    /// How many bytes the block holds.
    pub(super) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Takes a vector over: gives a block that keeps it, counted once, and where its bytes begin.
    pub(super) fn adopt(bytes: Vec<u8>) -> (NonNull<Block>, NonNull<u8>) {
        let start = NonNull::new(bytes.as_ptr().cast_mut()).expect("a vector is never null");
        let block = Block::allocate(size_of::<Vec<u8>>(), ADOPTED);
        // SAFETY: the block has room for a vector, and its header's alignment is the larger one.
        unsafe { Block::bytes(block).cast::<Vec<u8>>().write(bytes) };
        // SAFETY: freshly allocated, so the header is alive and ours.
        unsafe { block.as_ref() }.refs.set(1);
        (block, start)
    }

    /// How much memory the block keeps from being reused. It takes a pointer, since a reference to
    /// the header does not reach what lies behind it.
    ///
    /// # Safety
    /// The caller counts the block, so that it is alive.
    pub(super) unsafe fn pinned_len(block: NonNull<Block>) -> usize {
        // SAFETY: alive, as the caller says.
        let header = unsafe { block.as_ref() };
        if header.class != ADOPTED {
            return header.capacity();
        }
        // SAFETY: a block of this class holds a vector, which `adopt` has written.
        unsafe { Block::bytes(block).cast::<Vec<u8>>().as_ref() }.capacity()
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(size_of::<Block>() + capacity, align_of::<Block>())
            .expect("a capacity is at most u32::MAX, far below isize::MAX")
    }

    fn allocate(capacity: usize, class: u8) -> NonNull<Block> {
        let layout = Block::layout(capacity);
        // SAFETY: the layout is never of size zero, as it contains the header.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }.cast::<Block>()) else {
            handle_alloc_error(layout)
        };
        let capacity = u32::try_from(capacity).expect("a block is at most 4 GiB");
        let header = Block {
            refs: Cell::new(0),
            capacity,
            class,
            home: Cell::new(None),
        };
        // SAFETY: freshly allocated with room and alignment for the header.
        unsafe { block.write(header) };
        block
    }

    /// Gives the block back to its pool, or to the allocator.
    ///
    /// # Safety
    /// The caller owns the block: no `Buf` or `BufMut` refers to it afterwards.
    pub(super) unsafe fn release(block: NonNull<Block>) {
        // SAFETY: the caller owns the block, so the header is alive and unshared.
        let header = unsafe { block.as_ref() };
        let Some(home) = header.home.take() else {
            // SAFETY: owned by the caller; only a block of the class ADOPTED has no pool.
            return unsafe { Block::release_adopted(block) };
        };
        home.outstanding.set(home.outstanding.get() - 1);
        if header.class != UNPOOLED {
            let mut shelf = home.shelves[header.class as usize].borrow_mut();
            if shelf.len() * header.capacity() < CACHED_BYTES_MAX {
                shelf.push(block);
                return;
            }
        }
        // SAFETY: owned by the caller, in no free list, and `home` was taken out above.
        unsafe { Block::free(block) };
    }

    /// # Safety
    /// The caller owns the block, which holds a vector.
    #[cold]
    unsafe fn release_adopted(block: NonNull<Block>) {
        // SAFETY: `adopt` has written the vector, and it is dropped only here.
        unsafe { Block::bytes(block).cast::<Vec<u8>>().drop_in_place() };
        // SAFETY: owned by the caller, and the vector is gone.
        unsafe { Block::free(block) };
    }

    /// # Safety
    /// The caller owns the block and `home` is `None` (the header has nothing else to drop).
    unsafe fn free(block: NonNull<Block>) {
        // SAFETY: owned by the caller, hence alive.
        let layout = Block::layout(unsafe { block.as_ref() }.capacity());
        // SAFETY: allocated by `allocate` with this very layout.
        unsafe { dealloc(block.as_ptr().cast(), layout) };
    }
}

/// The free lists, shared by a pool's handles and by the blocks that are out.
struct Shelves {
    shelves: [RefCell<Vec<NonNull<Block>>>; CLASSES.len()],
    outstanding: Cell<usize>,
}

impl Drop for Shelves {
    fn drop(&mut self) {
        for shelf in &mut self.shelves {
            for block in shelf.get_mut().drain(..) {
                // SAFETY: the free list owns its blocks, and `home` is `None` inside it.
                unsafe { Block::free(block) };
            }
        }
    }
}

/// The block pool of one shard. Cloning gives another handle to the same pool.
///
/// Blocks come in six sizes from 256 bytes to 64 KiB; a longer one is allocated for the purpose.
/// After warm-up neither taking nor giving back a block allocates.
#[derive(Clone)]
pub struct Pool {
    shelves: Rc<Shelves>,
}

impl Pool {
    /// Makes an empty pool; blocks are allocated when first needed.
    pub fn new() -> Pool {
        let shelves = std::array::from_fn(|_| RefCell::new(Vec::new()));
        Pool {
            shelves: Rc::new(Shelves {
                shelves,
                outstanding: Cell::new(0),
            }),
        }
    }

    /// Takes an empty buffer with room for at least `capacity` bytes.
    ///
    /// # Panics
    /// If `capacity` is over 4 GiB.
    #[inline]
    pub fn buffer(&self, capacity: usize) -> BufMut {
        let class = CLASSES.iter().position(|&size| capacity <= size);
        let block = match class {
            Some(class) => self.take(class),
            None => Block::allocate(capacity, UNPOOLED),
        };
        // SAFETY: the block was just taken, so nobody else refers to its header.
        unsafe { block.as_ref() }
            .home
            .set(Some(Rc::clone(&self.shelves)));
        self.shelves
            .outstanding
            .set(self.shelves.outstanding.get() + 1);
        // SAFETY: the block is owned here and handed over; `refs` is 0.
        unsafe { BufMut::from_block(block, self.clone()) }
    }

    #[inline]
    fn take(&self, class: usize) -> NonNull<Block> {
        let free = self.shelves.shelves[class].borrow_mut().pop();
        let index = u8::try_from(class).expect("there are six classes");
        free.unwrap_or_else(|| Block::allocate(CLASSES[class], index))
    }

    /// Takes a buffer that holds a copy of `bytes`.
    #[inline]
    pub fn copy(&self, bytes: &[u8]) -> Buf {
        let mut buffer = self.buffer(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer.freeze()
    }

    /// How many blocks are out: the ledger that must read 0 when a shard is at rest.
    pub fn outstanding(&self) -> usize {
        self.shelves.outstanding.get()
    }
}

impl Default for Pool {
    fn default() -> Pool {
        Pool::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_given_back_is_the_next_one_taken() {
        let pool = Pool::new();
        let first = pool.copy(b"abc");
        let address = first.as_ptr();
        assert_eq!(pool.outstanding(), 1);
        drop(first);
        assert_eq!(pool.outstanding(), 0);
        assert_eq!(pool.copy(b"xyz").as_ptr(), address);
    }

    #[test]
    fn each_capacity_gets_a_block_that_holds_it() {
        let pool = Pool::new();
        for capacity in [0, 1, 256, 257, 4096, 65_536, 65_537, 1 << 20] {
            assert!(pool.buffer(capacity).capacity() >= capacity, "{capacity}");
        }
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_free_list_keeps_no_more_than_its_bound() {
        let pool = Pool::new();
        let all: Vec<_> = (0..100).map(|_| pool.buffer(64 * 1024)).collect();
        drop(all);
        assert_eq!(
            pool.shelves.shelves[5].borrow().len(),
            CACHED_BYTES_MAX / (64 * 1024)
        );
    }

    #[test]
    fn a_buffer_may_outlive_every_handle_to_its_pool() {
        let pool = Pool::new();
        let buf = pool.copy(b"still here");
        drop(pool);
        assert_eq!(&buf[..], b"still here");
    }
}
