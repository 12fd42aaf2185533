//! [`Index`]: a hash table from tags to addresses that never rehashes as a whole.
//!
//! Extendible hashing: a directory points to segments of [`SLOT_COUNT`] slots by the leading bits
//! of the tag. A full segment is split in two by its next bit, which moves a few hundred slots. A
//! directory doubles when a segment is deeper than it, so it ends at [`ROOT_DEPTH_MAX`] bits:
//! below, each of its entries grows a directory of its own. So the worst insertion hardly grows
//! with the table: at ten million entries no directory but the first has more than a few dozen.
//!
//! What must hold: tags are evenly spread (a keyed hash); a slot holds its whole tag, so that a
//! split needs no name; a segment always has empty slots, so that every search ends.

use sunstar::mem::prefetch;

/// Bits of hash that a slot keeps.
pub(crate) const TAG_BITS: u32 = 28;
/// Bits of address that a slot keeps: 64 GiB.
const ADDRESS_BITS: u32 = u64::BITS - TAG_BITS;
const SLOT_COUNT: usize = 1 << 10;
/// A segment with more than 13/16 of its slots taken is split; probing takes 3 steps on average
/// for a known name then, and 15 for an unknown one.
const TAKEN_MAX: usize = SLOT_COUNT / 16 * 13;
/// How many bits of the tag the first directory looks at, at most: it then has 16 KiB.
const ROOT_DEPTH_MAX: u32 = 12;
/// Marks the entry of a directory as the number of another directory.
const CHILD: u32 = 1 << 31;
/// Never an entry, because the last address is never given out.
const EMPTY: u64 = u64::MAX;

/// Where an entry with a certain tag may be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    tag: u32,
    segment: usize,
    slot: usize,
}

/// A set of `(tag, address)`.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    root: Directory,
    /// Those that look at the bits behind [`ROOT_DEPTH_MAX`].
    children: Vec<Directory>,
    /// Bytes of memory that the children hold.
    children_memory_len: usize,
    /// By the number of a segment. Apart from their states, so that this list is short: when it
    /// grows it is copied, in the course of one insertion.
    segments: Vec<Slots>,
    states: Vec<State>,
}

type Slots = Box<[u64; SLOT_COUNT]>;

/// The segment, or the child, of each value of some bits.
#[derive(Clone, Debug)]
struct Directory {
    entries: Vec<u32>,
    /// How many bits they are.
    depth: u32,
}

/// What is known of a segment.
#[derive(Clone, Copy, Debug)]
struct State {
    /// How many of its slots are taken.
    taken: u16,
    /// How many leading bits all its tags share.
    depth: u8,
}

impl Index {
    /// Looks among the addresses with this tag for one that `is_wanted`.
    ///
    /// # Errors
    /// If there is none: where it may be written, until the next insertion.
    #[inline]
    pub(crate) fn find(&self, tag: u32, is_wanted: impl Fn(u64) -> bool) -> Result<u64, Vacancy> {
        let segment = self.segment(tag);
        let slots = &self.segments[segment];
        let mut slot = home(tag);
        loop {
            let entry = slots[slot];
            if entry == EMPTY {
                return Err(Vacancy { tag, segment, slot });
            }
            let address = entry & ((1 << ADDRESS_BITS) - 1);
            if entry >> ADDRESS_BITS == u64::from(tag) && is_wanted(address) {
                return Ok(address);
            }
            slot = (slot + 1) % SLOT_COUNT;
        }
    }

    /// Has the first slot fetched that [`find`](Index::find) will look at.
    #[inline]
    pub(crate) fn prefetch(&self, tag: u32) {
        prefetch(&self.segments[self.segment(tag)][home(tag)]);
    }

    /// Writes an address where [`find`](Index::find) found none.
    ///
    /// # Panics
    /// If the address is 64 GiB or more.
    pub(crate) fn insert(&mut self, vacancy: Vacancy, address: u64) {
        assert!(
            address < EMPTY >> TAG_BITS,
            "more than 64 GiB of names on one shard"
        );
        let entry = (u64::from(vacancy.tag) << ADDRESS_BITS) | address;
        self.segments[vacancy.segment][vacancy.slot] = entry;
        let state = &mut self.states[vacancy.segment];
        state.taken += 1;
        if usize::from(state.taken) > TAKEN_MAX {
            self.split(vacancy.segment, vacancy.tag);
        }
    }

    /// Bytes of memory that the table holds.
    pub(crate) fn memory_len(&self) -> usize {
        self.root.memory_len()
            + self.children_memory_len
            + self.children.capacity() * size_of::<Directory>()
            + self.segments.capacity() * size_of::<Slots>()
            + self.states.capacity() * size_of::<State>()
            + self.segments.len() * SLOT_COUNT * size_of::<u64>()
    }

    /// How many slots are looked at until a tag with these places is known to be absent.
    #[cfg(test)]
    pub(crate) fn step_count(&self, tag: u32) -> usize {
        let segment = self.segment(tag);
        let slots = &self.segments[segment];
        let probes = (0..SLOT_COUNT).map(|step| (home(tag) + step) % SLOT_COUNT);
        probes.take_while(|&slot| slots[slot] != EMPTY).count()
    }

    /// The segment of a tag.
    #[inline]
    fn segment(&self, tag: u32) -> usize {
        let entry = self.root.entry(tag);
        let is_child = entry & CHILD != 0;
        let entry = if is_child {
            self.children[(entry & !CHILD) as usize].entry(behind_root(tag))
        } else {
            entry
        };
        entry as usize
    }

    /// Splits a segment in two by the next bit of its tags. Should they all share that bit, the
    /// next insertion splits again, long before the segment is full.
    #[cold]
    fn split(&mut self, at: usize, tag: u32) {
        let depth = u32::from(self.states[at].depth) + 1;
        assert!(depth <= TAG_BITS, "tags are not evenly spread");
        let mut halves = [empty(), empty()];
        let mut counts = [0, 0];
        for &entry in self.segments[at].iter().filter(|&&entry| entry != EMPTY) {
            let tag = u32::try_from(entry >> ADDRESS_BITS).expect("tags have 28 bits");
            let half = leading(tag, depth) % 2;
            write(&mut halves[half], tag, entry);
            counts[half] += 1;
        }
        let sibling = u32::try_from(self.segments.len()).expect("below 2^28");
        let [zero, one] = halves;
        let [zero_state, one_state] = counts.map(|taken| State {
            taken,
            depth: u8::try_from(depth).expect("at most 28"),
        });
        (self.segments[at], self.states[at]) = (zero, zero_state);
        self.segments.push(one);
        self.states.push(one_state);
        if depth <= ROOT_DEPTH_MAX {
            self.root.split(tag, depth, sibling);
        } else {
            let child = self.child(tag);
            let before = child.memory_len();
            child.split(behind_root(tag), depth - ROOT_DEPTH_MAX, sibling);
            let grown = child.memory_len() - before;
            self.children_memory_len += grown;
        }
    }

    /// The directory for the bits of a tag behind those of the root, made when it is first needed.
    fn child(&mut self, tag: u32) -> &mut Directory {
        let entry = &mut self.root.entries[leading(tag, ROOT_DEPTH_MAX)];
        if *entry & CHILD == 0 {
            self.children.push(Directory::new(*entry));
            *entry = CHILD | u32::try_from(self.children.len() - 1).expect("at most 2^12");
            self.children_memory_len += size_of::<u32>();
        }
        &mut self.children[(*entry & !CHILD) as usize]
    }
}

impl Directory {
    /// A directory that looks at no bit.
    fn new(entry: u32) -> Directory {
        Directory {
            entries: vec![entry],
            depth: 0,
        }
    }

    #[inline]
    fn entry(&self, tag: u32) -> u32 {
        self.entries[leading(tag, self.depth)]
    }

    /// Points the tags that agree with `tag` in all but the last of `depth` bits, and have a one
    /// there, to another segment.
    fn split(&mut self, tag: u32, depth: u32, sibling: u32) {
        if depth > self.depth {
            self.depth += 1;
            let mut doubled = Vec::with_capacity(2 * self.entries.len());
            doubled.extend(self.entries.iter().flat_map(|&entry| [entry, entry]));
            self.entries = doubled;
        }
        let width = 1_usize << (self.depth - depth);
        let first = (leading(tag, depth) | 1) * width;
        self.entries[first..first + width].fill(sibling);
    }

    fn memory_len(&self) -> usize {
        self.entries.capacity() * size_of::<u32>()
    }
}

impl Default for Index {
    fn default() -> Index {
        Index {
            root: Directory::new(0),
            children: Vec::new(),
            children_memory_len: 0,
            segments: vec![empty()],
            states: vec![State { taken: 0, depth: 0 }],
        }
    }
}

/// A segment without entries.
fn empty() -> Slots {
    Box::new([EMPTY; SLOT_COUNT])
}

/// Writes an entry where there is none with this tag.
fn write(slots: &mut Slots, tag: u32, entry: u64) {
    let mut slot = home(tag);
    while slots[slot] != EMPTY {
        slot = (slot + 1) % SLOT_COUNT;
    }
    slots[slot] = entry;
}

/// The leading `depth` bits of a tag, as a number.
#[inline]
fn leading(tag: u32, depth: u32) -> usize {
    (tag >> (TAG_BITS - depth)) as usize
}

/// A tag without the bits that the root looks at.
#[inline]
fn behind_root(tag: u32) -> u32 {
    (tag << ROOT_DEPTH_MAX) & ((1 << TAG_BITS) - 1)
}

/// The slot at which the search for a tag begins, from the bits that segments share last.
#[inline]
fn home(tag: u32) -> usize {
    tag as usize % SLOT_COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads numbers over tags as a keyed hash would (Fibonacci hashing).
    fn tag_of(number: u64) -> u32 {
        u32::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> ADDRESS_BITS).unwrap()
    }

    fn index_of(tags: impl Iterator<Item = (u32, u64)>) -> Index {
        let mut index = Index::default();
        for (tag, address) in tags {
            let vacancy = index.find(tag, |other| other == address).unwrap_err();
            index.insert(vacancy, address);
        }
        index
    }

    #[test]
    fn every_entry_is_found_after_many_splits() {
        let index = index_of((0..100_000).map(|number| (tag_of(number), number)));
        assert!(index.root.depth >= 6);
        for number in 0..100_000 {
            let found = index.find(tag_of(number), |address| address == number);
            assert_eq!(found.unwrap(), number);
            assert!(
                index
                    .find(tag_of(number), |address| address == number + 100_000)
                    .is_err()
            );
        }
    }

    #[test]
    fn equal_tags_are_told_apart_by_address() {
        let index = index_of((0..TAKEN_MAX as u64).map(|number| (7, number)));
        assert!((0..TAKEN_MAX as u64).all(|number| index.find(7, |at| at == number).is_ok()));
    }

    #[test]
    fn tags_with_a_long_common_prefix_split_until_they_part() {
        let tags = (0..2000_u32).map(|number| (number << 4, u64::from(number)));
        let index = index_of(tags);
        assert_eq!((index.root.depth, index.children.len()), (12, 1));
        assert_eq!(index.children[0].depth, 3);
        for number in 0..2000_u32 {
            let found = index.find(number << 4, |address| address == u64::from(number));
            assert_eq!(found.unwrap(), u64::from(number));
        }
    }

    #[test]
    fn memory_stays_within_twenty_bytes_an_entry() {
        let index = index_of((0..300_000).map(|number| (tag_of(number), number)));
        assert!(
            index.memory_len() < 300_000 * 21,
            "{} bytes",
            index.memory_len()
        );
    }

    #[test]
    fn children_are_found_and_their_memory_is_counted() {
        // All of these share the first ten bits, so that few entries make many children.
        let tags = |number: u64| tag_of(number) >> 10;
        let index = index_of((0..60_000).map(|number| (tags(number), number)));
        assert_eq!(index.root.depth, ROOT_DEPTH_MAX);
        assert_eq!(index.children.len(), 4);
        for number in 0..60_000 {
            let found = index.find(tags(number), |address| address == number);
            assert_eq!(found.unwrap(), number);
        }
        let memory_len: usize = index.children.iter().map(Directory::memory_len).sum();
        assert_eq!(index.children_memory_len, memory_len);
    }

    #[test]
    #[should_panic(expected = "more than 64 GiB")]
    fn an_address_that_does_not_fit_is_refused() {
        index_of([(1, (1 << ADDRESS_BITS) - 1)].into_iter());
    }
}
