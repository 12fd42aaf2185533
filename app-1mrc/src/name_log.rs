//! [`NameLog`]: an append-only list of names that can be read from any place on.
//!
//! Names lie one after another in chunks, each after its length. A chunk is never moved or grown,
//! so appending costs the same however long the log is.
//!
//! What must hold: an entry never straddles two chunks, and begins in the first `CHUNK_LEN`
//! bytes of its chunk, so that one number addresses it.

use std::io::{self, Read};

/// What a chunk holds, unless its first name needs more.
const CHUNK_LEN: usize = 1 << 18;
/// A length is written in groups of seven bits, lowest first; the eighth says that more follow.
const GROUP_BITS: u32 = 7;
const MORE: u8 = 1 << GROUP_BITS;

/// A place between two names of a log: what was there before it, and what came later.
///
/// It means something only to the log that gave it and, for the beginning, to every log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    name_count: u64,
    chunk: usize,
    offset: usize,
}

impl Mark {
    /// How many names are before it.
    #[inline]
    pub fn name_count(self) -> u64 {
        self.name_count
    }
}

/// Names copied out of a log, in its order; fit to be sent to another shard.
#[derive(Clone, Debug, Default)]
pub struct NewUsers {
    entries: Vec<u8>,
}

impl NewUsers {
    /// The names, as UTF-8 bytes.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        Entries(&self.entries)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes they take.
    pub fn byte_len(&self) -> usize {
        self.entries.len()
    }
}

/// The names that one shard has seen, in the order in which it saw them.
#[derive(Clone, Debug, Default)]
pub struct NameLog {
    chunks: Vec<Vec<u8>>,
    name_count: u64,
    /// The capacities of all chunks together.
    chunk_memory_len: usize,
}

impl NameLog {
    /// Appends a name and returns its address.
    pub fn push(&mut self, name: &[u8]) -> u64 {
        let (prefix, prefix_len) = encode_len(name.len());
        let entry_len = prefix_len + name.len();
        if self.chunks.last().is_none_or(|chunk| {
            chunk.len() >= CHUNK_LEN || chunk.capacity() - chunk.len() < entry_len
        }) {
            let chunk = Vec::with_capacity(CHUNK_LEN.max(entry_len));
            self.chunk_memory_len += chunk.capacity();
            self.chunks.push(chunk);
        }
        let at = self.chunks.len() - 1;
        let chunk = &mut self.chunks[at];
        let address = at * CHUNK_LEN + chunk.len();
        chunk.extend_from_slice(&prefix[..prefix_len]);
        chunk.extend_from_slice(name);
        self.name_count += 1;
        address as u64
    }

    /// The name at an address that [`push`](NameLog::push) gave.
    #[inline]
    pub fn name(&self, address: u64) -> &[u8] {
        let address = usize::try_from(address).expect("addresses of this log fit");
        let entry = &self.chunks[address / CHUNK_LEN][address % CHUNK_LEN..];
        split_entry(entry).0
    }

    /// How many names there are.
    #[inline]
    pub fn name_count(&self) -> u64 {
        self.name_count
    }

    /// All names, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().flat_map(|chunk| Entries(chunk))
    }

    /// The place behind the newest name.
    pub fn end(&self) -> Mark {
        Mark {
            name_count: self.name_count,
            chunk: self.chunks.len().saturating_sub(1),
            offset: self.chunks.last().map_or(0, Vec::len),
        }
    }

    /// A copy of the names behind `mark`.
    pub fn since(&self, mark: Mark) -> NewUsers {
        let mut entries = Vec::with_capacity(self.tails(mark).map(<[u8]>::len).sum());
        for tail in self.tails(mark) {
            entries.extend_from_slice(tail);
        }
        NewUsers { entries }
    }

    /// All names with their lengths, as they lie in the chunks, to be read by [`read_name`].
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(Vec::as_slice)
    }

    /// Bytes of memory that the log holds.
    pub fn memory_len(&self) -> usize {
        self.chunk_memory_len + self.chunks.capacity() * size_of::<Vec<u8>>()
    }

    /// What each chunk holds behind `mark`.
    fn tails(&self, mark: Mark) -> impl Iterator<Item = &[u8]> {
        let chunks = self.chunks.iter().enumerate().skip(mark.chunk);
        chunks.map(move |(at, chunk)| &chunk[if at == mark.chunk { mark.offset } else { 0 }..])
    }
}

/// The names in a run of entries.
struct Entries<'a>(&'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (name, rest) = split_entry(self.0);
        self.0 = rest;
        Some(name)
    }
}

/// The first name of `entries`, and the entries behind it.
#[inline]
fn split_entry(entries: &[u8]) -> (&[u8], &[u8]) {
    let mut len = 0;
    let mut at = 0;
    loop {
        let group = entries[at];
        len |= usize::from(group & !MORE) << (GROUP_BITS as usize * at);
        at += 1;
        if group & MORE == 0 {
            return entries[at..].split_at(len);
        }
    }
}

/// Reads one name with its length into `name`, which is emptied before.
///
/// # Errors
/// If the input ends before, or the length has more than 63 bits.
pub(crate) fn read_name(from: &mut impl Read, name: &mut Vec<u8>) -> io::Result<()> {
    let mut len = 0_u64;
    for at in 0.. {
        let mut group = [0];
        from.read_exact(&mut group)?;
        if at * GROUP_BITS >= u64::BITS - 1 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        len |= u64::from(group[0] & !MORE) << (at * GROUP_BITS);
        if group[0] & MORE == 0 {
            break;
        }
    }
    name.clear();
    from.take(len).read_to_end(name)?;
    if name.len() as u64 == len {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A length as written before a name, and how many bytes of it count.
fn encode_len(len: usize) -> ([u8; 10], usize) {
    let mut groups = [0; 10];
    let mut rest = len;
    for (at, group) in groups.iter_mut().enumerate() {
        let low = u8::try_from(rest % usize::from(MORE)).expect("less than 128");
        rest /= usize::from(MORE);
        if rest == 0 {
            *group = low;
            return (groups, at + 1);
        }
        *group = low | MORE;
    }
    unreachable!("ten groups hold 70 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(new: &NewUsers) -> Vec<Vec<u8>> {
        new.iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn names_of_every_length_come_back_by_address() {
        let lengths = [
            0,
            1,
            127,
            128,
            129,
            16_383,
            16_384,
            65_536,
            CHUNK_LEN,
            CHUNK_LEN + 7,
            3,
        ];
        let mut log = NameLog::default();
        let expected: Vec<Vec<u8>> = lengths.iter().map(|&len| vec![b'a'; len]).collect();
        let addresses: Vec<u64> = expected.iter().map(|name| log.push(name)).collect();
        for (address, name) in addresses.into_iter().zip(&expected) {
            assert_eq!(log.name(address), name);
        }
        assert!(log.iter().eq(expected.iter().map(Vec::as_slice)));
        let (entries, mut name) = (log.entries().collect::<Vec<_>>().concat(), Vec::new());
        let mut entries = entries.as_slice();
        for expected in &expected {
            read_name(&mut entries, &mut name).unwrap();
            assert_eq!(&name, expected);
        }
        assert!(entries.is_empty());
        assert_eq!(names(&log.since(Mark::default())), expected);
    }

    #[test]
    fn what_is_behind_a_mark_is_what_came_later() {
        let mut log = NameLog::default();
        let mut marks = vec![log.end()];
        let all: Vec<Vec<u8>> = (0..3000).map(|len| vec![b'b'; len % 2000]).collect();
        for name in &all {
            log.push(name);
            marks.push(log.end());
        }
        assert!(marks.is_sorted());
        assert!(log.chunks.len() > 5);
        for (at, mark) in marks.into_iter().enumerate().step_by(97) {
            assert_eq!(names(&log.since(mark)), all[at..]);
        }
    }

    #[test]
    fn memory_is_what_the_chunks_hold() {
        let mut log = NameLog::default();
        for len in [0, 3, CHUNK_LEN, CHUNK_LEN + 7, 5000] {
            log.push(&vec![b'c'; len]);
            let chunks: usize = log.chunks.iter().map(Vec::capacity).sum();
            assert_eq!(log.chunk_memory_len, chunks);
        }
    }

    #[test]
    fn the_end_of_an_empty_log_is_the_beginning() {
        let log = NameLog::default();
        assert_eq!(log.end(), Mark::default());
        assert!(log.since(log.end()).is_empty());
    }
}
