//! [`Buf`] and [`BufMut`]: a counted slice of a pool block, and the block while it is being filled.
//!
//! What must hold: bytes below `len` of a [`BufMut`] are initialised; a block that a [`Buf`] counts
//! is never written; neither type leaves its shard (raw pointers make both `!Send`).
#![expect(
    unsafe_code,
    reason = "slices point into counted raw blocks; see the invariants"
)]

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::{Bound, Deref, RangeBounds};
use std::ptr::NonNull;
use std::slice;

use super::pool::{Block, Pool};

/// An immutable, cheaply cloned slice of bytes that belongs to one shard.
///
/// It counts the pool block (or vector, or `'static` slice) behind it; the block goes back to its
/// pool with the last slice. At most 4 GiB long.
pub struct Buf {
    start: NonNull<u8>,
    /// What keeps the bytes alive; `None` for those that live as long as the program.
    block: Option<NonNull<Block>>,
    len: u32,
}

impl Buf {
    /// The empty slice.
    #[inline]
    pub const fn new() -> Buf {
        Buf::from_static(&[])
    }

    /// A slice of bytes that live as long as the program. Costs nothing.
    ///
    /// # Panics
    /// If there are more than 4 GiB of them.
    #[inline]
    pub const fn from_static(bytes: &'static [u8]) -> Buf {
        assert!(bytes.len() <= LEN_MAX, "a slice is at most 4 GiB");
        // SAFETY: a reference is never null.
        let start = unsafe { NonNull::new_unchecked(bytes.as_ptr().cast_mut()) };
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        let len = bytes.len() as u32;
        Buf {
            start,
            block: None,
            len,
        }
    }

    /// How many bytes there are.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of this slice that shares its block.
    ///
    /// # Panics
    /// If the range is out of bounds or decreasing.
    #[inline]
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Buf {
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at + 1,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len(),
        };
        assert!(
            start <= end && end <= self.len(),
            "slice {start}..{end} of {} bytes",
            self.len
        );
        let mut part = self.clone();
        part.truncate(end);
        part.advance(start);
        part
    }

    /// Cuts off and returns the first `at` bytes; `self` keeps the rest.
    ///
    /// # Panics
    /// If `at` is past the end.
    #[inline]
    #[must_use]
    pub fn split_to(&mut self, at: usize) -> Buf {
        let mut front = self.clone();
        self.advance(at);
        front.truncate(at);
        front
    }

    /// Drops the first `count` bytes of this slice.
    ///
    /// # Panics
    /// If `count` is past the end.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance {count} of {} bytes", self.len);
        // SAFETY: `count <= len`, so the pointer stays inside the same allocation.
        self.start = unsafe { self.start.add(count) };
        self.len -= narrow(count);
    }

    /// Keeps only the first `len` bytes; longer than the slice changes nothing.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(u32::try_from(len).unwrap_or(u32::MAX));
    }

    /// How much memory this slice keeps from being reused: its whole block, not only its bytes.
    pub fn pinned_len(&self) -> usize {
        // SAFETY: this `Buf` counts the block, so its header is alive.
        self.block
            .map_or(0, |block| unsafe { Block::pinned_len(block) })
    }
}

impl Drop for Buf {
    #[inline]
    fn drop(&mut self) {
        if let Some(block) = self.block {
            // SAFETY: this `Buf` counts the block, so its header is alive.
            let refs = unsafe { &block.as_ref().refs };
            let left = refs.get() - 1;
            refs.set(left);
            if left == 0 {
                // SAFETY: this was the last slice, so the block is ours alone.
                unsafe { Block::release(block) };
            }
        }
    }
}

impl Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start..start + len` lies in memory that `block` keeps alive, is initialised
        // (`BufMut::freeze` hands over only filled bytes) and is not written while counted.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len()) }
    }
}

// SAFETY: the bytes lie in a block, a vector or static memory, which stays in place and unchanged
// for as long as the `Buf` lives, wherever that is moved.
#[cfg(feature = "monoio")]
unsafe impl monoio::buf::IoBuf for Buf {
    fn read_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        // What monoio passes on has 32 bits.
        self.len().min(u32::MAX as usize)
    }
}

impl Clone for Buf {
    #[inline]
    fn clone(&self) -> Buf {
        if let Some(block) = self.block {
            // SAFETY: this `Buf` counts the block, so its header is alive.
            let refs = unsafe { &block.as_ref().refs };
            let more = refs.get().checked_add(1);
            refs.set(more.expect("fewer than 2^32 slices of one block"));
        }
        Buf {
            start: self.start,
            block: self.block,
            len: self.len,
        }
    }
}

impl Default for Buf {
    fn default() -> Buf {
        Buf::new()
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// # Panics
/// If the vector is longer than 4 GiB.
impl From<Vec<u8>> for Buf {
    fn from(bytes: Vec<u8>) -> Buf {
        let len = narrow(bytes.len());
        let (block, start) = Block::adopt(bytes);
        Buf {
            start,
            block: Some(block),
            len,
        }
    }
}

impl From<String> for Buf {
    fn from(text: String) -> Buf {
        Buf::from(text.into_bytes())
    }
}

impl From<&'static str> for Buf {
    fn from(text: &'static str) -> Buf {
        Buf::from_static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Buf {
    fn from(bytes: &'static [u8]) -> Buf {
        Buf::from_static(bytes)
    }
}

impl PartialEq for Buf {
    fn eq(&self, other: &Buf) -> bool {
        **self == **other
    }
}

impl Eq for Buf {}

impl fmt::Debug for Buf {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Buf(\"{}\")", self.escape_ascii())
    }
}

/// How long a slice may be.
const LEN_MAX: usize = u32::MAX as usize;

#[inline]
fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("a slice is at most 4 GiB")
}

/// A pool block that is being filled: owned by one, growing when it must.
pub struct BufMut {
    block: NonNull<Block>,
    len: usize,
    pool: Pool,
}

impl BufMut {
    /// # Safety
    /// The caller owns the block, whose header knows its pool, and hands it over.
    #[inline]
    pub(super) unsafe fn from_block(block: NonNull<Block>, pool: Pool) -> BufMut {
        BufMut {
            block,
            len: 0,
            pool,
        }
    }

    /// How many bytes are filled.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is filled yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit before the buffer must grow.
    #[inline]
    pub fn capacity(&self) -> usize {
        // SAFETY: this `BufMut` owns the block, so its header is alive.
        unsafe { self.block.as_ref() }.capacity()
    }

    /// Appends `bytes`, growing into a larger block when they do not fit.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: `reserve` made room for `bytes` behind `len`; the block is ours alone, so the
        // borrowed source cannot overlap it.
        unsafe {
            let end = Block::bytes(self.block).add(self.len);
            end.copy_from_nonoverlapping(NonNull::from_ref(bytes).cast(), bytes.len());
        }
        self.len += bytes.len();
    }

    /// Appends all `parts`, with one look at the room that there is.
    ///
    /// # Panics
    /// If they are longer in all than memory can be.
    #[inline]
    pub fn extend_from_parts<const N: usize>(&mut self, parts: [&[u8]; N]) {
        let mut len: usize = 0;
        for part in &parts {
            len = len.checked_add(part.len()).expect("parts fit into memory");
        }
        self.reserve(len);
        // SAFETY: `len` bytes of the block are filled, so this is inside it or at its end.
        let mut end = unsafe { Block::bytes(self.block).add(self.len) };
        for part in &parts {
            // SAFETY: `reserve` made room for all parts behind `self.len`; the block is ours
            // alone, so no borrowed part can overlap it; one past the last byte is in bounds.
            unsafe {
                end.copy_from_nonoverlapping(NonNull::from_ref(*part).cast(), part.len());
                end = end.add(part.len());
            }
        }
        self.len += len;
    }

    /// Makes room for `additional` more bytes; at least doubles when it has to grow.
    #[inline]
    pub fn reserve(&mut self, additional: usize) {
        if self.capacity() - self.len < additional {
            self.grow(additional);
        }
    }

    #[cold]
    fn grow(&mut self, additional: usize) {
        let wanted = (self.len + additional).max(2 * self.capacity());
        let mut larger = self.pool.buffer(wanted);
        larger.extend_from_slice(self);
        *self = larger;
    }

    /// Forgets all bytes and keeps the block.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Ends filling: the bytes become an immutable, shareable slice. Costs no copy.
    #[inline]
    pub fn freeze(self) -> Buf {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used again, so its pool handle is moved out exactly once.
        drop(unsafe { std::ptr::read(&raw const this.pool) });
        // SAFETY: this `BufMut` owns the block, so its header is alive.
        unsafe { this.block.as_ref() }.refs.set(1);
        Buf {
            start: Block::bytes(this.block),
            block: Some(this.block),
            len: narrow(this.len),
        }
    }
}

impl Drop for BufMut {
    fn drop(&mut self) {
        // SAFETY: this `BufMut` owns the block and is going away.
        unsafe { Block::release(self.block) };
    }
}

impl Deref for BufMut {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes of the block are initialised and owned by `self`.
        unsafe { slice::from_raw_parts(Block::bytes(self.block).as_ptr(), self.len) }
    }
}

impl io::Write for BufMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for BufMut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "BufMut(\"{}\")", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_one_block_and_the_last_returns_it() {
        let pool = Pool::new();
        let mut rest = pool.copy(b"head body");
        let head = rest.split_to(4);
        rest.advance(1);
        assert_eq!((&head[..], &rest[..]), (&b"head"[..], &b"body"[..]));
        drop(rest);
        assert_eq!(pool.outstanding(), 1);
        drop(head);
        assert_eq!(pool.outstanding(), 0);
    }

    #[test]
    fn a_buffer_grows_and_keeps_its_bytes() {
        let pool = Pool::new();
        let mut buffer = pool.buffer(1);
        for byte in 0..=255_u8 {
            buffer.extend_from_slice(&[byte; 40]);
        }
        assert_eq!(buffer.len(), 256 * 40);
        assert!(
            buffer
                .chunks(40)
                .zip(0..=255_u8)
                .all(|(chunk, byte)| chunk == [byte; 40])
        );
        assert_eq!(pool.outstanding(), 1);
    }

    #[test]
    fn parts_are_appended_in_order_and_make_room_at_once() {
        let pool = Pool::new();
        let mut buffer = pool.buffer(1);
        buffer.extend_from_slice(b"a");
        let long = [b'x'; 300];
        buffer.extend_from_parts([b"bc", b"", &long, b"d"]);
        assert_eq!(buffer.len(), 304);
        assert!(buffer.starts_with(b"abcx") && buffer.ends_with(b"xd"));
        buffer.extend_from_parts([]);
        assert_eq!((buffer.len(), pool.outstanding()), (304, 1));
    }

    #[test]
    fn static_bytes_and_vectors_need_no_pool() {
        let mut fixed = Buf::from("hello");
        fixed.truncate(4);
        assert_eq!(&fixed[..], b"hell");
        let vec = Buf::from(vec![1, 2, 3]);
        assert_eq!(&vec.slice(1..)[..], [2, 3]);
        assert_eq!((fixed.pinned_len(), vec.pinned_len()), (0, 3));
    }

    #[test]
    #[should_panic(expected = "slice 2..9 of 3 bytes")]
    fn a_slice_out_of_bounds_panics() {
        let _ = Buf::from("abc").slice(2..9);
    }
}
