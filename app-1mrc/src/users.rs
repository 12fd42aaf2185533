//! [`Users`]: the exact set of users that one shard has seen.
//!
//! Names lie in a [log](crate::name_log), found through an index of segments by a hash with a
//! secret key of this process. So whoever chooses the names cannot choose their places; growing
//! never stops the shard; and what is new since some moment is the tail of the log.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::index::{Index, TAG_BITS, Vacancy};
use crate::name_log::{Mark, NameLog, NewUsers};

/// An exact set of names that remembers the order in which they came.
#[derive(Clone, Debug)]
pub struct Users {
    key: RandomState,
    index: Index,
    log: NameLog,
    /// New names are refused from here on.
    memory_len_max: usize,
}

/// A name that is looked for in the set that gave this.
///
/// To look for it takes a memory access that is seldom in the cache. It has begun, so whoever has
/// something else to do meanwhile should do that first.
#[derive(Clone, Debug)]
pub struct Sought<'a> {
    name: Cow<'a, str>,
    tag: u32,
}

/// There is no room for a user who is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Users {
    /// An empty set that refuses new names once it holds this many bytes of memory.
    pub fn new(memory_len_max: usize) -> Users {
        Users {
            key: RandomState::new(),
            index: Index::default(),
            log: NameLog::default(),
            memory_len_max,
        }
    }

    /// The same set with another bound on its memory.
    #[must_use]
    pub fn within(self, memory_len_max: usize) -> Users {
        Users {
            memory_len_max,
            ..self
        }
    }

    /// Adds a name; true if it is new. Allocates nothing for a known one.
    ///
    /// # Errors
    /// If it is new and the set is full: then nothing has changed.
    #[inline]
    pub fn insert(&mut self, name: &str) -> Result<bool, Full> {
        let sought = self.seek(name);
        self.insert_sought(&sought)
    }

    /// Begins to look for a name, to [insert](Users::insert_sought) it into this set.
    #[inline]
    pub fn seek<'a>(&self, name: impl Into<Cow<'a, str>>) -> Sought<'a> {
        let name = name.into();
        let tag = self.tag(name.as_bytes());
        self.index.prefetch(tag);
        Sought { name, tag }
    }

    /// As [`insert`](Users::insert), with a name that this very set was asked to seek: another one,
    /// or an earlier one before a reset, has other tags, and would have the name counted twice.
    ///
    /// # Errors
    /// As `insert`.
    #[inline]
    pub fn insert_sought(&mut self, sought: &Sought<'_>) -> Result<bool, Full> {
        let name = sought.name.as_bytes();
        debug_assert_eq!(sought.tag, self.tag(name), "sought in another set");
        match self.find(sought.tag, name) {
            None => Ok(false),
            Some(_) if self.memory_len() >= self.memory_len_max => Err(Full),
            Some(vacancy) => {
                self.index.insert(vacancy, self.log.push(name));
                Ok(true)
            }
        }
    }

    /// Adds names that another set has seen, however full this one is.
    pub fn extend(&mut self, names: &NewUsers) {
        names.iter().for_each(|name| self.keep(name));
    }

    /// Adds one name, however full the set is.
    pub(crate) fn keep(&mut self, name: &[u8]) {
        if let Some(vacancy) = self.find(self.tag(name), name) {
            self.index.insert(vacancy, self.log.push(name));
        }
    }

    /// How many names there are.
    #[inline]
    pub fn len(&self) -> u64 {
        self.log.name_count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All names, as UTF-8 bytes, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.log.iter()
    }

    /// All names with their lengths, as [`name_log`](crate::name_log) writes them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.log.entries()
    }

    /// The place behind the newest name.
    pub fn end(&self) -> Mark {
        self.log.end()
    }

    /// A copy of the names that came after `mark`, which this set has given.
    pub fn since(&self, mark: Mark) -> NewUsers {
        self.log.since(mark)
    }

    /// Bytes of memory that the set holds, names and table.
    pub fn memory_len(&self) -> usize {
        self.index.memory_len() + self.log.memory_len()
    }

    /// Where a name may be added, unless it is there.
    #[inline]
    fn find(&self, tag: u32, name: &[u8]) -> Option<Vacancy> {
        let is_same = |address| self.log.name(address) == name;
        self.index.find(tag, is_same).err()
    }

    #[inline]
    fn tag(&self, name: &[u8]) -> u32 {
        // Without the length that `hash_one` puts before a slice: there is nothing else in it.
        let mut hasher = self.key.build_hasher();
        hasher.write(name);
        u32::try_from(hasher.finish() >> (u64::BITS - TAG_BITS)).expect("a tag has 28 bits")
    }
}

impl Default for Users {
    /// A set that is never full.
    fn default() -> Users {
        Users::new(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_is_new_only_once() {
        let mut users = Users::default();
        assert!(users.is_empty());
        assert_eq!(users.insert("user_1"), Ok(true));
        assert_eq!(users.insert("user_2"), Ok(true));
        assert_eq!(users.insert("user_1"), Ok(false));
        assert_eq!(users.len(), 2);
        assert!(users.iter().eq([b"user_1", b"user_2"]));
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "sought in another set"))]
    fn a_name_that_was_sought_in_another_set_is_noticed_in_tests() {
        let sought = Users::default().seek("user_1");
        let _ = Users::default().insert_sought(&sought);
    }

    #[test]
    fn names_are_compared_byte_by_byte() {
        let mut users = Users::default();
        let names = [
            "a",
            "A",
            "a ",
            "a\0",
            "\u{e4}",
            "a\u{308}",
            "aa",
            "\u{1f31f}",
        ];
        assert!(names.iter().all(|name| users.insert(name) == Ok(true)));
        assert_eq!(users.len(), 8);
    }

    #[test]
    fn names_that_differ_in_one_byte_are_two_whatever_their_length() {
        let mut users = Users::default();
        let mut known = 0;
        for len in [1, 127, 128, 255, 256, 257, 16_384, 65_000] {
            let name = "x".repeat(len);
            let mut all = vec![name.clone()];
            for at in [0, len / 2, len - 1] {
                let mut other = name.clone();
                other.replace_range(at..=at, "y");
                all.push(other);
            }
            for name in &all {
                users.insert(name).unwrap();
            }
            let expected: HashSet<&String> = all.iter().collect();
            assert!(all.iter().all(|name| users.insert(name) == Ok(false)));
            known += expected.len() as u64;
            assert_eq!(users.len(), known, "{len} bytes");
        }
    }

    #[test]
    fn it_agrees_with_the_standard_set() {
        let mut users = Users::default();
        let mut model = HashSet::new();
        for number in 0_u64..200_000 {
            let name = format!("user_{}", number.wrapping_mul(number) % 77_777);
            assert_eq!(users.insert(&name), Ok(model.insert(name)));
        }
        assert_eq!(users.len(), model.len() as u64);
        assert!(
            users
                .iter()
                .all(|name| model.contains(std::str::from_utf8(name).unwrap()))
        );
    }

    #[test]
    fn a_set_can_be_rebuilt_from_what_is_new_between_marks() {
        let (mut users, mut copy) = (Users::default(), Users::default());
        let mut mark = Mark::default();
        for round in 0..50_u64 {
            for number in 0..400 {
                users
                    .insert(&format!("user_{}", round * 300 + number))
                    .unwrap();
            }
            copy.extend(&users.since(mark));
            mark = users.end();
            assert_eq!(copy.len(), users.len());
        }
        assert!(users.since(mark).is_empty());
        assert!(users.iter().eq(copy.iter()));
    }

    #[test]
    fn a_full_set_knows_its_names_and_refuses_others() {
        let mut users = Users::default();
        users.insert("first").unwrap();
        let held = users.memory_len();
        for (memory_len_max, expected) in [(held, Err(Full)), (held + 1, Ok(true))] {
            users = users.within(memory_len_max);
            assert_eq!(users.insert("first"), Ok(false));
            assert_eq!(users.insert("second"), expected);
        }
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn a_set_that_is_full_takes_what_another_has_seen() {
        let (mut users, mut other) = (Users::new(0), Users::default());
        other.insert("seen").unwrap();
        users.extend(&other.since(Mark::default()));
        assert_eq!(users.len(), 1);
    }

    #[test]
    fn names_chosen_to_collide_cost_no_more_than_others() {
        // Their places are equal under the key of one process: all that an attacker can know.
        let (known, secret) = (Users::default(), Users::default());
        let all = (0..1_000_000).map(|number| format!("user_{number}"));
        let chosen: Vec<String> = all
            .filter(|name| known.tag(name.as_bytes()) % 1024 == 7)
            .collect();
        assert!(chosen.len() > 900);
        let random: Vec<String> = (0..chosen.len())
            .map(|number| format!("u{number}"))
            .collect();
        let steps = |mut users: Users, names: &[String]| -> usize {
            for name in names {
                users.insert(name).unwrap();
            }
            let step_count = |name: &String| users.index.step_count(users.tag(name.as_bytes()));
            names.iter().map(step_count).sum()
        };
        let usual = steps(secret.clone(), &random);
        assert!(
            steps(secret, &chosen) <= 3 * usual,
            "the key does not protect"
        );
        assert!(
            steps(known, &chosen) > 3 * usual,
            "the names do not collide"
        );
    }

    #[test]
    fn a_name_of_25_bytes_costs_at_most_48() {
        let mut users = Users::default();
        for number in 0..200_000 {
            users.insert(&format!("user_{number:020}")).unwrap();
        }
        assert!(
            users.memory_len() < 200_000 * 48,
            "{} bytes",
            users.memory_len()
        );
    }
}
