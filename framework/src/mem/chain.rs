//! [`Chain`]: bytes waiting to be written, in order.
//!
//! What must hold: no segment is empty, so an empty chain has no segments; small pieces are copied
//! together, so that the answers of one batch leave in one send.

use smallvec::SmallVec;

use super::{Buf, BufMut, Pool};

/// A piece up to this length is copied behind its neighbour; a longer one is linked.
const COPY_MAX: usize = 2048;
/// The block that small pieces are gathered in, and the most that is gathered in one.
const GATHER_LEN: usize = 4096;
const GATHER_MAX: usize = 64 * 1024;

/// A queue of buffers to write. Small pieces are gathered into one block; large ones are linked
/// without a copy.
pub struct Chain {
    /// Whole segments, oldest first.
    segments: SmallVec<[Buf; 1]>,
    /// The block that small pieces are being gathered in: behind all segments.
    tail: Option<BufMut>,
    len: usize,
}

impl Chain {
    /// Makes an empty chain. Allocates nothing.
    pub fn new() -> Chain {
        Chain {
            segments: SmallVec::new(),
            tail: None,
            len: 0,
        }
    }

    /// How many bytes wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn write(&mut self, pool: &Pool, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.room(pool, bytes.len()).extend_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Appends what `fill` writes; the way to write many small pieces with one look-up.
    ///
    /// `fill` may only append to the buffer that it is given.
    #[inline]
    pub fn write_with<R>(&mut self, pool: &Pool, fill: impl FnOnce(&mut BufMut) -> R) -> R {
        let tail = self.room(pool, 0);
        let before = tail.len();
        let result = fill(tail);
        self.len += tail.len() - before;
        result
    }

    /// Whether [`push`](Chain::push) copies a piece of this length.
    #[inline]
    pub fn copies(len: usize) -> bool {
        len <= COPY_MAX
    }

    /// Appends `buf`: a copy when it is small, otherwise a link to its block.
    #[inline]
    pub fn push(&mut self, pool: &Pool, buf: Buf) {
        if Chain::copies(buf.len()) {
            self.write(pool, &buf);
        } else {
            self.seal();
            self.len += buf.len();
            self.segments.push(buf);
        }
    }

    /// Takes the oldest segment out.
    #[inline]
    pub fn pop(&mut self) -> Option<Buf> {
        if self.segments.is_empty() {
            // Nothing was linked, as with most answers: all there is stands in the tail.
            let tail = self.tail.take().filter(|tail| !tail.is_empty())?;
            self.len = 0;
            return Some(tail.freeze());
        }
        let first = self.segments.remove(0);
        self.len -= first.len();
        Some(first)
    }

    /// The tail with room for `additional` bytes without growing past the gathering bound.
    #[inline]
    fn room(&mut self, pool: &Pool, additional: usize) -> &mut BufMut {
        if self
            .tail
            .as_ref()
            .is_some_and(|tail| tail.len() + additional > GATHER_MAX)
        {
            self.seal();
        }
        self.tail
            .get_or_insert_with(|| pool.buffer(GATHER_LEN.max(additional)))
    }

    /// Turns the tail into a segment.
    fn seal(&mut self) {
        if let Some(tail) = self.tail.take()
            && !tail.is_empty()
        {
            self.segments.push(tail.freeze());
        }
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(chain: &mut Chain) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| chain.pop())
            .map(|buf| buf.to_vec())
            .collect()
    }

    #[test]
    fn small_pieces_leave_as_one_segment() {
        let (pool, mut chain) = (Pool::new(), Chain::new());
        chain.write(&pool, b"head ");
        chain.push(&pool, Buf::from("body"));
        assert_eq!(chain.len(), 9);
        assert_eq!(drain(&mut chain), [b"head body"]);
        assert!(chain.is_empty() && pool.outstanding() == 0);
    }

    #[test]
    fn a_large_piece_is_linked_in_order_without_a_copy() {
        let (pool, mut chain) = (Pool::new(), Chain::new());
        let large = pool.copy(&[7; COPY_MAX + 1]);
        chain.write(&pool, b"before");
        chain.push(&pool, large.clone());
        chain.write(&pool, b"after");
        assert_eq!(chain.len(), 6 + COPY_MAX + 1 + 5);
        assert_eq!(&chain.pop().unwrap()[..], b"before");
        assert_eq!(chain.pop().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(&chain.pop().unwrap()[..], b"after");
        assert_eq!(chain.pop(), None);
    }

    #[test]
    fn gathering_stops_at_its_bound() {
        let (pool, mut chain) = (Pool::new(), Chain::new());
        for _ in 0..100 {
            chain.write(&pool, &[1; 2000]);
        }
        let lens: Vec<_> = drain(&mut chain).iter().map(Vec::len).collect();
        assert_eq!(lens.iter().sum::<usize>(), 200_000);
        assert!(lens.iter().all(|&len| len <= GATHER_MAX), "{lens:?}");
    }

    #[test]
    fn writing_nothing_leaves_no_segment() {
        let (pool, mut chain) = (Pool::new(), Chain::new());
        chain.write(&pool, b"");
        chain.write_with(&pool, |_| ());
        assert_eq!(chain.pop(), None);
    }
}
