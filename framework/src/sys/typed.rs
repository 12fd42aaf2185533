//! [`Typed`]: a value of any type, in a box that knows which, behind a head that all of them have.
//!
//! What `(H, Box<dyn Any>)` is, but the value stands where the head does, so that whoever has found
//! the one has found the other; and whether it is of a type mostly costs one load here and a call
//! there. What must hold: the value is of the type whose id is told before it.
#![expect(
    unsafe_code,
    reason = "the standard library's unchecked downcast is not stable"
)]

use std::any::TypeId;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// A value of some type and its head, which stay where they are.
pub(crate) struct Typed<H> {
    /// From a `Box<Whole<H, T>>`, of the `T` that its id names. Without a value it is what all of
    /// these begin with.
    whole: NonNull<Whole<H, ()>>,
}

#[repr(C)]
struct Whole<H, T> {
    /// By reference: where it is the same, what it refers to is.
    id: &'static TypeId,
    drop: unsafe fn(NonNull<Whole<H, ()>>),
    head: H,
    value: T,
}

impl<H> Typed<H> {
    pub(crate) fn new<T: 'static>(head: H, value: T) -> Typed<H> {
        let whole = Box::new(Whole {
            id: Id::<T>::ID,
            drop: free::<H, T>,
            head,
            value,
        });
        Typed {
            whole: NonNull::from(Box::leak(whole)).cast(),
        }
    }

    #[inline]
    fn start(&self) -> &Whole<H, ()> {
        // SAFETY: whatever the value is, the fields before it are at the same places, and live as
        // long as `self`.
        unsafe { self.whole.as_ref() }
    }

    #[inline]
    pub(crate) fn head(&self) -> &H {
        &self.start().head
    }

    /// The value, if it is a `T`.
    #[inline]
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        if !Id::<T>::is(self.start().id) {
            return None;
        }
        // SAFETY: the id says that it was made of such a box, which lives as long as `self`.
        let whole = unsafe { self.whole.cast::<Whole<H, T>>().as_ref() };
        Some(&whole.value)
    }
}

/// The id of a type, somewhere in the program; perhaps more than once.
struct Id<T>(PhantomData<T>);

impl<T: 'static> Id<T> {
    const ID: &'static TypeId = &TypeId::of::<T>();

    #[inline]
    fn is(id: &'static TypeId) -> bool {
        ptr::eq(id, Self::ID) || Self::is_elsewhere(id)
    }

    #[cold]
    #[inline(never)]
    fn is_elsewhere(id: &'static TypeId) -> bool {
        *id == TypeId::of::<T>()
    }
}

impl<H> Drop for Typed<H> {
    fn drop(&mut self) {
        let drop = self.start().drop;
        // SAFETY: `new` has made it for this box, which nobody can use any more.
        unsafe { drop(self.whole) }
    }
}

/// # Safety
/// `whole` is from a `Box<Whole<H, T>>`, and not used again.
unsafe fn free<H, T>(whole: NonNull<Whole<H, ()>>) {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(whole.cast::<Whole<H, T>>().as_ptr()) });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct Counted(Rc<Cell<u32>>);

    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn a_value_is_found_as_what_it_is_and_dropped_once_with_its_head() {
        let (head, value) = (Rc::default(), Rc::default());
        let (held, of) = (Counted(Rc::clone(&head)), Counted(Rc::clone(&value)));
        let typed = Typed::new(held, (of, [1_u64, 2, 3]));
        assert_eq!(typed.get::<(Counted, [u64; 3])>().unwrap().1, [1, 2, 3]);
        assert!(typed.get::<[u64; 3]>().is_none() && typed.get::<()>().is_none());
        assert!(Rc::ptr_eq(&typed.head().0, &head));
        assert_eq!((head.get(), value.get()), (0, 0));
        drop(typed);
        assert_eq!((head.get(), value.get()), (1, 1));
    }

    #[repr(align(64))]
    struct Line(u8);

    #[test]
    fn a_value_stands_as_it_wants_to_or_has_no_size() {
        let typed = Typed::new('a', Line(7));
        let line = typed.get::<Line>().unwrap();
        assert_eq!((line.0, std::ptr::from_ref(line).addr() % 64), (7, 0));
        assert_eq!(*typed.head(), 'a');
        let typed = Typed::new((), ());
        assert_eq!((typed.get::<()>(), *typed.head()), (Some(&()), ()));
        assert!(typed.get::<u8>().is_none());
    }
}
