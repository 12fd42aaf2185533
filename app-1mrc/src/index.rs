//! [`Index`]: a hash table from tags to addresses that never rehashes as a whole.
//!
//! Extendible hashing: a directory points to segments of [`SLOT_COUNT`] slots by the leading bits
//! of the tag. A full segment is split in two by its next bit, which moves a few hundred slots; the
//! directory doubles when a segment is deeper than it, which copies four bytes for some three
//! hundred addresses. So the worst insertion grows thousands of times slower than the table.
//!
//! What must hold: tags are evenly spread (a keyed hash); a slot holds its whole tag, so that a
//! split needs no name; a segment always has empty slots, so that every search ends.

/// Bits of hash that a slot keeps.
pub(crate) const TAG_BITS: u32 = 28;
/// Bits of address that a slot keeps: 64 GiB.
const ADDRESS_BITS: u32 = u64::BITS - TAG_BITS;
const SLOT_COUNT: usize = 1 << 10;
/// A segment with more than 13/16 of its slots taken is split; probing takes 3 steps on average
/// for a known name then, and 15 for an unknown one.
const TAKEN_MAX: usize = SLOT_COUNT / 16 * 13;
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
    /// The segment of each value of a tag's leading `depth` bits.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
struct Segment {
    slots: Box<[u64; SLOT_COUNT]>,
    taken: usize,
    /// How many leading bits all tags of this segment share.
    depth: u32,
}

impl Index {
    /// Looks among the addresses with this tag for one that `is_wanted`.
    ///
    /// # Errors
    /// If there is none: where it may be written, until the next insertion.
    #[inline]
    pub(crate) fn find(&self, tag: u32, is_wanted: impl Fn(u64) -> bool) -> Result<u64, Vacancy> {
        let segment = self.directory[leading(tag, self.depth)] as usize;
        let slots = &self.segments[segment].slots;
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

    /// Writes an address where [`find`](Index::find) found none.
    ///
    /// # Panics
    /// If the address is 64 GiB or more.
    pub(crate) fn insert(&mut self, vacancy: Vacancy, address: u64) {
        assert!(
            address < EMPTY >> TAG_BITS,
            "more than 64 GiB of names on one shard"
        );
        let segment = &mut self.segments[vacancy.segment];
        segment.slots[vacancy.slot] = (u64::from(vacancy.tag) << ADDRESS_BITS) | address;
        segment.taken += 1;
        if segment.taken > TAKEN_MAX {
            self.split(vacancy.segment, vacancy.tag);
        }
    }

    /// Bytes of memory that the table holds.
    pub(crate) fn memory_len(&self) -> usize {
        self.directory.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Segment>()
            + self.segments.len() * SLOT_COUNT * size_of::<u64>()
    }

    /// How many slots are looked at until a tag with these places is known to be absent.
    #[cfg(test)]
    pub(crate) fn step_count(&self, tag: u32) -> usize {
        let segment = self.directory[leading(tag, self.depth)] as usize;
        let slots = &self.segments[segment].slots;
        let probes = (0..SLOT_COUNT).map(|step| (home(tag) + step) % SLOT_COUNT);
        probes.take_while(|&slot| slots[slot] != EMPTY).count()
    }

    /// Splits a segment in two by the next bit of its tags. Should they all share that bit, the
    /// next insertion splits again, long before the segment is full.
    #[cold]
    fn split(&mut self, at: usize, tag: u32) {
        let depth = self.segments[at].depth + 1;
        if depth > self.depth {
            self.double();
        }
        let mut halves = [Segment::new(depth), Segment::new(depth)];
        for &entry in self.segments[at]
            .slots
            .iter()
            .filter(|&&entry| entry != EMPTY)
        {
            let tag = u32::try_from(entry >> ADDRESS_BITS).expect("tags have 28 bits");
            halves[leading(tag, depth) % 2].push(tag, entry);
        }
        let sibling = self.segments.len();
        let [zero, one] = halves;
        self.segments[at] = zero;
        self.segments.push(one);
        // The directory entries of all tags that share the old segment's bits, then a one.
        let width = 1_usize << (self.depth - depth);
        let first = (leading(tag, depth) | 1) * width;
        self.directory[first..first + width].fill(u32::try_from(sibling).expect("below 2^28"));
    }

    fn double(&mut self) {
        assert!(self.depth < TAG_BITS, "tags are not evenly spread");
        self.depth += 1;
        let mut doubled = Vec::with_capacity(2 * self.directory.len());
        doubled.extend(
            self.directory
                .iter()
                .flat_map(|&segment| [segment, segment]),
        );
        self.directory = doubled;
    }
}

impl Default for Index {
    fn default() -> Index {
        Index {
            directory: vec![0],
            depth: 0,
            segments: vec![Segment::new(0)],
        }
    }
}

impl Segment {
    fn new(depth: u32) -> Segment {
        Segment {
            slots: Box::new([EMPTY; SLOT_COUNT]),
            taken: 0,
            depth,
        }
    }

    fn push(&mut self, tag: u32, entry: u64) {
        let mut slot = home(tag);
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        self.slots[slot] = entry;
        self.taken += 1;
    }
}

/// The leading `depth` bits of a tag, as a number.
#[inline]
fn leading(tag: u32, depth: u32) -> usize {
    (tag >> (TAG_BITS - depth)) as usize
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
        assert!(index.depth >= 6);
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
        assert_eq!(index.depth, 15);
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
    #[should_panic(expected = "more than 64 GiB")]
    fn an_address_that_does_not_fit_is_refused() {
        index_of([(1, (1 << ADDRESS_BITS) - 1)].into_iter());
    }
}
