//! [`Table`]: what the epoll driver knows of each descriptor that the kernel watches for it.
//!
//! What must hold: a descriptor is registered once, from its first operation that has to wait until
//! it is closed; a token names one registration for ever, so what is reported for a descriptor that
//! was closed never reaches the next one of the same number.

use std::os::fd::RawFd;

use slab::Slab;

use super::super::op::OpId;

/// In `places`: nothing is registered for this descriptor.
const NOWHERE: u32 = u32::MAX;

/// Names a registration; stands in the kernel's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    /// As one number. The highest index is never used, so `u64::MAX` is free for another end.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.index) << 32 | u64::from(self.generation)
    }

    /// From the number that `to_bits` gave.
    pub(super) fn from_bits(bits: u64) -> Token {
        let index = u32::try_from(bits >> 32).expect("the upper half is 32 bits");
        let generation = u32::try_from(bits & u64::from(u32::MAX)).expect("masked to 32 bits");
        Token { index, generation }
    }
}

/// One watched descriptor.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts")]
pub(super) struct Registration {
    pub(super) fd: RawFd,
    generation: u32,
    /// The receive or the accepts that wait.
    pub(super) reading: Option<OpId>,
    /// The send or the connect that waits.
    pub(super) writing: Option<OpId>,
    /// The kernel has said that there is something to read, and not yet that there is no more.
    pub(super) readable: bool,
    /// A read that brings little is not the last one; see `Report::is_last`.
    pub(super) to_the_end: bool,
    /// It stands in the driver's list of those to read from without a report.
    pub(super) listed: bool,
    /// The kernel also tells of room to write.
    pub(super) watches_room: bool,
    /// It is a listener, of which other shards have copies: closing it does not end the watch.
    pub(super) listens: bool,
}

/// The registrations of one driver.
pub(super) struct Table {
    /// The place in `registrations`, by descriptor. Descriptors are small numbers, the lowest free
    /// one first, so this is four bytes for each descriptor of the process.
    places: Vec<u32>,
    registrations: Slab<Registration>,
    generation: u32,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            places: Vec::new(),
            registrations: Slab::new(),
            generation: 0,
        }
    }

    /// The token of a descriptor, if it is registered.
    #[inline]
    pub(super) fn find(&self, fd: RawFd) -> Option<Token> {
        let index = *self.places.get(place(fd))?;
        let registration = self.registrations.get(index as usize)?;
        Some(Token {
            index,
            generation: registration.generation,
        })
    }

    /// Registers a descriptor that is not.
    pub(super) fn insert(&mut self, fd: RawFd, watches_room: bool) -> Token {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let index = self.registrations.insert(Registration {
            fd,
            generation,
            reading: None,
            writing: None,
            readable: false,
            to_the_end: false,
            listed: false,
            watches_room,
            listens: false,
        });
        let index = u32::try_from(index).expect("fewer than descriptors: a positive i32");
        let place = place(fd);
        if place >= self.places.len() {
            self.places.resize(place + 1, NOWHERE);
        }
        self.places[place] = index;
        Token { index, generation }
    }

    /// The registration that a token names; `None` when it has ended.
    #[inline]
    pub(super) fn entry(&mut self, token: Token) -> Option<&mut Registration> {
        let registration = self.registrations.get_mut(token.index as usize)?;
        (registration.generation == token.generation).then_some(registration)
    }

    /// Ends the registration of a descriptor, if it has one.
    pub(super) fn remove(&mut self, fd: RawFd) -> Option<Registration> {
        let index = std::mem::replace(self.places.get_mut(place(fd))?, NOWHERE);
        self.registrations.try_remove(index as usize)
    }
}

fn place(fd: RawFd) -> usize {
    usize::try_from(fd).expect("an open descriptor is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_closed_descriptor_does_not_name_the_next_of_its_number() {
        let mut table = Table::new();
        let old = table.insert(9, false);
        assert_eq!(table.find(9), Some(old));
        assert_eq!(table.remove(9).unwrap().fd, 9);
        assert!(table.find(9).is_none() && table.remove(9).is_none());
        let new = table.insert(9, false);
        assert_eq!(old.index, new.index);
        assert!(table.entry(old).is_none());
        assert_eq!(table.entry(new).unwrap().fd, 9);
    }

    #[test]
    fn descriptors_that_were_never_seen_are_not_registered() {
        let mut table = Table::new();
        assert!(table.find(1000).is_none() && table.remove(1000).is_none());
        table.insert(1000, false);
        assert!(table.find(999).is_none() && table.remove(999).is_none());
    }

    #[test]
    fn a_token_survives_the_trip_through_the_kernel() {
        let token = Token {
            index: 0x1234_5678,
            generation: 0x9abc_def0,
        };
        assert_eq!(Token::from_bits(token.to_bits()), token);
    }
}
