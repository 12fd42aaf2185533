//! [`States`]: the values of one shard, found by their type.
//!
//! What must hold: the place of a type stays where it is for as long as the shard, so that whoever
//! uses a value there needs no count of its users, while others are added.

use std::cell::{OnceCell, RefCell};
use std::iter;

use crate::sys::typed::Typed;

/// A list that only grows: a shard has a handful of types.
#[derive(Default)]
pub(crate) struct States {
    first: OnceCell<Place>,
}

/// A `RefCell<Option<T>>`: `None` once it was taken out.
type Place = Typed<Node>;

struct Node {
    /// Drops what is in the place.
    clear: fn(&Place),
    next: OnceCell<Place>,
}

impl States {
    /// The place of a type, if one was made.
    #[inline]
    pub(crate) fn find<T: 'static>(&self) -> Option<&RefCell<Option<T>>> {
        let first = self.first.get()?;
        // By itself: in a loop the way to what is found first is the one that jumps.
        if let Some(found) = first.recognize() {
            return Some(found);
        }
        let mut next = first.head().next.get();
        while let Some(place) = next {
            let found = place.recognize();
            if found.is_some() {
                return found;
            }
            next = place.head().next.get();
        }
        self.find_by_id()
    }

    /// As [`find`](States::find), for what is not there or was not recognized.
    #[cold]
    #[inline(never)]
    fn find_by_id<T: 'static>(&self) -> Option<&RefCell<Option<T>>> {
        self.places().find_map(Typed::get)
    }

    /// The place of a type, made if there is none.
    pub(crate) fn place<T: 'static>(&self) -> &RefCell<Option<T>> {
        if let Some(place) = self.find() {
            return place;
        }
        let node = Node {
            clear: |place| {
                let place = place.get::<RefCell<Option<T>>>();
                drop(place.expect("made below").take());
            },
            next: OnceCell::new(),
        };
        let last = self.places().last();
        let last = last.map_or(&self.first, |place| &place.head().next);
        let place = last.get_or_init(|| Typed::new(node, RefCell::new(None::<T>)));
        place.get().expect("made above")
    }

    fn places(&self) -> impl Iterator<Item = &Place> {
        iter::successors(self.first.get(), |place| place.head().next.get())
    }

    /// Drops all values, in the order in which their places were made.
    pub(crate) fn clear(&self) {
        self.places().for_each(|place| (place.head().clear)(place));
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_value_is_found_by_its_type_and_stays_where_it_is() {
        let states = States::default();
        assert!(states.find::<u8>().is_none());
        states.place::<u8>().replace(Some(1));
        let first = states.find::<u8>().unwrap();
        states.place::<u16>().replace(Some(2));
        states.place::<u32>().replace(Some(3));
        assert!(std::ptr::eq(first, states.place::<u8>()), "made once");
        assert_eq!(*first.borrow(), Some(1));
        assert_eq!(*states.find::<u16>().unwrap().borrow(), Some(2));
        assert_eq!(*states.find::<u32>().unwrap().borrow(), Some(3));
        assert!(states.find::<u64>().is_none());
    }

    #[test]
    fn one_is_added_while_another_is_used() {
        let states = States::default();
        let used = states.place::<u8>().borrow_mut();
        states.place::<u16>().replace(Some(7));
        drop(used);
        assert_eq!(*states.find::<u16>().unwrap().borrow(), Some(7));
    }

    #[test]
    fn clearing_drops_in_the_order_of_the_places() {
        struct Noted(u8, Rc<RefCell<Vec<u8>>>);
        struct Other(Noted);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let (states, dropped) = (States::default(), Rc::new(RefCell::new(Vec::new())));
        let other = Other(Noted(1, Rc::clone(&dropped)));
        assert_eq!(other.0.0, 1);
        states.place().replace(Some(other));
        states.place().replace(Some(Noted(2, Rc::clone(&dropped))));
        states.clear();
        assert_eq!(*dropped.borrow(), [1, 2]);
        assert!(states.find::<Noted>().unwrap().borrow().is_none());
    }
}
