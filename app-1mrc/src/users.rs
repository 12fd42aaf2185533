//! [`Users`]: the exact set of users that one shard has seen.
//!
//! Names lie in a [log](crate::name_log), found through an index of segments by a hash with a
//! secret key of this process. So whoever chooses the names cannot choose their places; growing
//! never stops the shard; and what is new since some moment is the tail of the log.

use std::hash::{BuildHasher, RandomState};

use crate::index::{Index, TAG_BITS};
use crate::name_log::{Mark, NameLog, NewUsers};

/// An exact set of names that remembers the order in which they came.
#[derive(Debug, Default)]
pub struct Users {
    key: RandomState,
    index: Index,
    log: NameLog,
}

impl Users {
    /// Adds a name; true if it is new. Allocates nothing for a known one.
    #[inline]
    pub fn insert(&mut self, name: &str) -> bool {
        self.insert_bytes(name.as_bytes())
    }

    /// Adds names that another set has seen.
    pub fn extend(&mut self, names: &NewUsers) {
        for name in names.iter() {
            self.insert_bytes(name);
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

    #[inline]
    fn insert_bytes(&mut self, name: &[u8]) -> bool {
        let hash = self.key.hash_one(name);
        let tag = u32::try_from(hash >> (u64::BITS - TAG_BITS)).expect("a tag has 28 bits");
        let is_same = |address| self.log.name(address) == name;
        match self.index.find(tag, is_same) {
            Ok(_) => false,
            Err(vacancy) => {
                self.index.insert(vacancy, self.log.push(name));
                true
            }
        }
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
        assert!(users.insert("user_1"));
        assert!(users.insert("user_2"));
        assert!(!users.insert("user_1"));
        assert_eq!(users.len(), 2);
        assert!(users.iter().eq([b"user_1", b"user_2"]));
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
        assert!(names.iter().all(|name| users.insert(name)));
        assert_eq!(users.len(), 8);
    }

    #[test]
    fn it_agrees_with_the_standard_set() {
        let mut users = Users::default();
        let mut model = HashSet::new();
        for number in 0_u64..200_000 {
            let name = format!("user_{}", number.wrapping_mul(number) % 77_777);
            assert_eq!(users.insert(&name), model.insert(name));
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
                users.insert(&format!("user_{}", round * 300 + number));
            }
            copy.extend(&users.since(mark));
            mark = users.end();
            assert_eq!(copy.len(), users.len());
        }
        assert!(users.since(mark).is_empty());
        assert!(users.iter().eq(copy.iter()));
    }

    #[test]
    fn a_name_of_25_bytes_costs_at_most_48() {
        let mut users = Users::default();
        for number in 0..200_000 {
            users.insert(&format!("user_{number:020}"));
        }
        assert!(
            users.memory_len() < 200_000 * 48,
            "{} bytes",
            users.memory_len()
        );
    }
}
