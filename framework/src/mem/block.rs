//! [`Block`]: memory for files, at an address that disks take.
//!
//! What must hold: the memory stays in place until the block is dropped, and all of it is
//! initialised.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};

/// Bytes to read a file into or to write to it, with a fixed capacity. They lie at a multiple of
/// [`ALIGN`](Block::ALIGN) bytes, as direct I/O wants it (`O_DIRECT` in `open(2)`).
///
/// It is filled through [`io::Write`]; a write beyond the capacity takes what there is room for.
///
/// # Examples
/// ```
/// use std::io::Write;
/// use sunstar::mem::Block;
///
/// let mut block = Block::with_capacity(5000);
/// assert_eq!(block.capacity(), 2 * Block::ALIGN);
/// write!(block, "record {}", 1)?;
/// assert_eq!(&block[..], b"record 1");
/// block.pad();
/// assert_eq!(block.len(), Block::ALIGN);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Block {
    /// Never grows, so it never moves.
    memory: Vec<u8>,
    /// Where the first multiple of `ALIGN` lies in it.
    start: usize,
    len: usize,
}

impl Block {
    /// What addresses, and lengths of direct I/O, are multiples of, in bytes: the page, of which
    /// the sectors of all usual disks are a part.
    pub const ALIGN: usize = 4096;

    /// An empty block with room for at least `capacity` bytes, rounded up to a multiple of
    /// [`ALIGN`](Block::ALIGN).
    ///
    /// # Panics
    /// If there is no such memory.
    pub fn with_capacity(capacity: usize) -> Block {
        let room = capacity.checked_next_multiple_of(Block::ALIGN);
        let whole = room.and_then(|room| room.checked_add(Block::ALIGN));
        let (room, whole) = room.zip(whole).expect("a capacity that memory can have");
        let mut memory = vec![0; whole];
        let start = memory.as_ptr().align_offset(Block::ALIGN);
        memory.truncate(start + room);
        Block {
            memory,
            start,
            len: 0,
        }
    }

    /// How many bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.memory.len() - self.start
    }

    /// Forgets all bytes.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets the bytes from `len` on, if there are any.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Adds zeros up to a multiple of [`ALIGN`](Block::ALIGN), which a direct write is of.
    pub fn pad(&mut self) {
        let (from, to) = (self.len, self.len.next_multiple_of(Block::ALIGN));
        self.room()[from..to].fill(0);
        self.len = to;
    }

    /// All memory, of which the first [`len`](slice::len) bytes are what it holds.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..]
    }

    /// Holds the first `len` bytes of the memory.
    ///
    /// # Panics
    /// If there are not so many.
    pub(crate) fn set_len(&mut self, len: usize) {
        assert!(
            len <= self.capacity(),
            "more bytes than there is room for: {len}"
        );
        self.len = len;
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

impl io::Write for Block {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let from = self.len;
        let taken = bytes.len().min(self.capacity() - from);
        self.room()[from..from + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Block")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn memory_lies_at_whole_pages_and_is_as_long() {
        for (asked, capacity) in [
            (0, 0),
            (1, 4096),
            (4096, 4096),
            (4097, 8192),
            (1 << 20, 1 << 20),
        ] {
            let mut block = Block::with_capacity(asked);
            assert_eq!((block.capacity(), block.len()), (capacity, 0));
            assert_eq!(block.room().len(), capacity);
            assert_eq!(block.room().as_ptr().align_offset(Block::ALIGN), 0);
        }
    }

    #[test]
    fn it_takes_what_there_is_room_for_and_then_nothing() {
        let mut block = Block::with_capacity(Block::ALIGN);
        assert_eq!(block.write(&[1; 4000]).unwrap(), 4000);
        assert_eq!(block.write(&[2; 97]).unwrap(), 96);
        assert_eq!(block.write(&[3]).unwrap(), 0);
        assert_eq!((block[3999], block[4000], block[4095]), (1, 2, 2));
        let error = block.write_all(&[3]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        block.clear();
        assert_eq!(block.write(&[4]).unwrap(), 1);
        assert_eq!(&block[..], [4]);
    }

    #[test]
    fn padding_adds_zeros_also_where_other_bytes_were() {
        let mut block = Block::with_capacity(2 * Block::ALIGN);
        block.pad();
        assert!(block.is_empty(), "a multiple already");
        block.write_all(&[9; 5000]).unwrap();
        block.truncate(4097);
        block.pad();
        assert_eq!(block.len(), 8192);
        assert_eq!((block[4096], block[4097]), (9, 0));
        assert!(block[4097..].iter().all(|&byte| byte == 0));
        block.truncate(9000);
        assert_eq!(block.len(), 8192, "truncating adds nothing");
    }

    #[test]
    fn no_memory_is_so_large() {
        for capacity in [usize::MAX, usize::MAX - 4095, usize::MAX - 8191] {
            std::panic::catch_unwind(|| Block::with_capacity(capacity)).unwrap_err();
        }
    }

    #[test]
    #[should_panic(expected = "more bytes than there is room for")]
    fn it_never_holds_more_than_it_has() {
        Block::with_capacity(1).set_len(4097);
    }
}
