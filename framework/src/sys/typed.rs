//! [`Typed`]: a value of any type, in a box that knows which.
//!
//! What `Box<dyn Any>` is, but for the question whether it is of a type, which costs two loads here
//! and a call there. What must hold: the value is of the type whose id stands beside it.
#![expect(
    unsafe_code,
    reason = "the standard library's unchecked downcast is not stable"
)]

use std::any::TypeId;
use std::ptr::NonNull;

/// A value of some type, which stays where it is.
pub(crate) struct Typed {
    id: TypeId,
    /// From a `Box<T>`, of the `T` that `id` names.
    value: NonNull<()>,
    drop: unsafe fn(NonNull<()>),
}

impl Typed {
    pub(crate) fn new<T: 'static>(value: T) -> Typed {
        Typed {
            id: TypeId::of::<T>(),
            value: NonNull::from(Box::leak(Box::new(value))).cast(),
            drop: free::<T>,
        }
    }

    /// The value, if it is a `T`.
    #[inline]
    pub(crate) fn get<T: 'static>(&self) -> Option<&T> {
        // SAFETY: the id says that it was made of a `Box<T>`, which lives as long as `self`.
        (self.id == TypeId::of::<T>()).then(|| unsafe { self.value.cast().as_ref() })
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        // SAFETY: `new` has made both of the same `T`, and nobody can use the value any more.
        unsafe { (self.drop)(self.value) }
    }
}

/// # Safety
/// `value` is from a `Box<T>`, and not used again.
unsafe fn free<T>(value: NonNull<()>) {
    // SAFETY: as the caller says.
    drop(unsafe { Box::from_raw(value.cast::<T>().as_ptr()) });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_value_is_found_as_what_it_is_and_dropped_once() {
        struct Counted(Rc<Cell<u32>>, [u64; 3]);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let drops = Rc::new(Cell::new(0));
        let value = Typed::new(Counted(Rc::clone(&drops), [1, 2, 3]));
        assert_eq!(value.get::<Counted>().unwrap().1, [1, 2, 3]);
        assert!(value.get::<[u64; 3]>().is_none() && value.get::<()>().is_none());
        assert_eq!(drops.get(), 0);
        drop(value);
        assert_eq!(drops.get(), 1);
    }

    #[test]
    fn a_value_without_a_size_is_one_too() {
        let value = Typed::new(());
        assert_eq!(value.get::<()>(), Some(&()));
        assert!(value.get::<u8>().is_none());
    }
}
