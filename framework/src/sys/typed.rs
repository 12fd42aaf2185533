//! [`Typed`]: a value of any type, in a box that knows which, behind a head that all of them have.
//!
//! What `(H, Box<dyn Any>)` is, but the value stands where the head does, so that whoever has found
//! the one has found the other; and whether it is of a type costs one load here and a call there.
//! What must hold: the value is of the type whose id is told before it; what is referred to as its
//! start does not reach into it.
#![expect(
    unsafe_code,
    reason = "the standard library's unchecked downcast is not stable"
)]

use std::any::TypeId;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// A value of some type and its head, which stay where they are.
pub(crate) struct Typed<H> {
    /// Of a `Box<Whole<H, T>>`, of the `T` that its start names.
    start: NonNull<Start<H>>,
}

/// What all begin with.
struct Start<H> {
    /// By reference: where it is the same, what it refers to is.
    id: &'static TypeId,
    free: unsafe fn(NonNull<Start<H>>),
    head: H,
}

#[repr(C)]
struct Whole<H, T> {
    start: Start<H>,
    value: T,
}

impl<H> Typed<H> {
    pub(crate) fn new<T: 'static>(head: H, value: T) -> Typed<H> {
        let start = Start {
            id: Id::<T>::ID,
            free: free::<H, T>,
            head,
        };
        let whole = Box::leak(Box::new(Whole { start, value }));
        Typed {
            start: NonNull::from(whole).cast(),
        }
    }

    #[inline]
    fn start(&self) -> &Start<H> {
        // SAFETY: it is the first field of the box, which lives as long as `self`.
        unsafe { self.start.as_ref() }
    }

    #[inline]
    pub(crate) fn head(&self) -> &H {
        &self.start().head
    }

    /// The value, if it is a `T`.
    #[inline]
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        let is_it = *self.start().id == TypeId::of::<T>();
        // SAFETY: as asked for.
        is_it.then(|| unsafe { self.value() })
    }

    /// The value, if it can be told from an address that it is a `T`. It can unless the compiler
    /// has placed the id of `T` more than once, and nobody else's ever can.
    #[inline]
    pub(crate) fn recognize<T: 'static>(&self) -> Option<&T> {
        let is_it = ptr::eq(self.start().id, Id::<T>::ID);
        // SAFETY: as asked for: it refers to the id of `T`.
        is_it.then(|| unsafe { self.value() })
    }

    /// # Safety
    /// The id is that of `T`.
    #[inline]
    unsafe fn value<T: 'static>(&self) -> &T {
        // SAFETY: so the box is of a whole with a `T`, and lives as long as `self`.
        unsafe { &self.start.cast::<Whole<H, T>>().as_ref().value }
    }
}

/// The id of a type, somewhere in the program; perhaps more than once.
struct Id<T>(PhantomData<T>);

impl<T: 'static> Id<T> {
    const ID: &'static TypeId = &TypeId::of::<T>();
}

impl<H> Drop for Typed<H> {
    fn drop(&mut self) {
        let free = self.start().free;
        // SAFETY: `new` has made it for this box, which nobody can use any more.
        unsafe { free(self.start) }
    }
}

/// Drops the value, then its head.
///
/// # Safety
/// `start` is of a `Box<Whole<H, T>>`, and not used again.
unsafe fn free<H, T>(start: NonNull<Start<H>>) {
    // SAFETY: as the caller says.
    let whole = unsafe { Box::from_raw(start.cast::<Whole<H, T>>().as_ptr()) };
    let Whole { start, value } = *whole;
    drop(value);
    drop(start);
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
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
        assert!(typed.recognize::<[u64; 3]>().is_none() && typed.recognize::<()>().is_none());
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

    #[test]
    fn a_small_value_does_not_stand_in_the_padding_of_its_start() {
        let typed = Typed::new('a', 1_u8);
        let start = ptr::from_ref(typed.start());
        let value = ptr::from_ref(typed.get::<u8>().unwrap());
        let offset = value.addr() - start.addr();
        assert!(offset >= size_of::<Start<char>>(), "at {offset}");
    }

    #[test]
    fn the_value_goes_before_its_head() {
        struct Noted(u8, Rc<RefCell<Vec<u8>>>);
        impl Drop for Noted {
            fn drop(&mut self) {
                self.1.borrow_mut().push(self.0);
            }
        }
        let dropped = Rc::default();
        let noted = |number| Noted(number, Rc::clone(&dropped));
        drop(Typed::new(noted(1), noted(0)));
        assert_eq!(*dropped.borrow(), [0, 1]);
    }
}
