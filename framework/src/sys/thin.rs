//! [`thin`]: a value of an erased type, shared by two who hold one word each.
//!
//! One of them, [`Back`], can do with it what [`Whole`] names; the other, [`Front`], sees the part
//! of it whose type it knows. What a pair of `Rc<dyn Trait>` would be, at half the size and without
//! a call to find that part. What must hold: there are exactly two, on one thread; both see the
//! front, and only the back uses the rest; all of it goes with the last of them.
#![expect(
    unsafe_code,
    reason = "the standard library's thin pointers to erased types are not stable"
)]

use std::cell::Cell;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// What can be done with the value by whoever does not know its type.
pub(crate) trait Whole {
    /// The part that is known to the other side.
    type Front;

    /// Goes on with it, and tells whether it has ended. Does not unwind.
    fn poll(self: Pin<&mut Self>, front: &Self::Front, context: &mut Context<'_>) -> Poll<()>;

    /// Ends it, unless it has ended. Does not unwind.
    fn cancel(self: Pin<&mut Self>, front: &Self::Front);
}

/// Where the functions are that know the type.
struct Table {
    poll: unsafe fn(NonNull<Head>, &mut Context<'_>) -> Poll<()>,
    cancel: unsafe fn(NonNull<Head>),
    free: unsafe fn(NonNull<Head>),
}

/// What every value begins with.
struct Head {
    table: &'static Table,
    /// Whether both are left.
    is_shared: Cell<bool>,
}

/// What every value with such a front begins with.
#[repr(C)]
struct Fronted<F> {
    head: Head,
    front: F,
}

#[repr(C)]
struct Block<W: Whole> {
    fronted: Fronted<W::Front>,
    whole: W,
}

/// Makes a value of its front and the rest, for two.
#[inline]
pub(crate) fn thin<W: Whole + 'static>(front: W::Front, whole: W) -> (Back, Front<W::Front>) {
    let head = Head {
        table: const {
            &Table {
                poll: Block::<W>::poll,
                cancel: Block::<W>::cancel,
                free: Block::<W>::free,
            }
        },
        is_shared: Cell::new(true),
    };
    let fronted = Fronted { head, front };
    let at = NonNull::from(Box::leak(Box::new(Block { fronted, whole })));
    let (back, front) = (Back { at: at.cast() }, Front { at: at.cast() });
    (back, front)
}

/// # Safety
/// `at` is from a box of `Self`, by `thin`. Who polls and cancels is the only back, for that time;
/// who frees was the last of both.
impl<W: Whole> Block<W> {
    unsafe fn poll(at: NonNull<Head>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: as the caller says.
        let (front, whole) = unsafe { Self::parts(at) };
        whole.poll(front, context)
    }

    unsafe fn cancel(at: NonNull<Head>) {
        // SAFETY: as the caller says.
        let (front, whole) = unsafe { Self::parts(at) };
        whole.cancel(front);
    }

    unsafe fn parts<'a>(at: NonNull<Head>) -> (&'a W::Front, Pin<&'a mut W>) {
        let block = at.cast::<Self>().as_ptr();
        // SAFETY: the block is there, and nobody has more of its front than a shared reference.
        let front = unsafe { &(*block).fronted.front };
        // SAFETY: only the back comes by this way. Nothing is moved out of the box, but dropped
        // there.
        let whole = unsafe { Pin::new_unchecked(&mut (*block).whole) };
        (front, whole)
    }

    unsafe fn free(at: NonNull<Head>) {
        // SAFETY: as the caller says, who does not use it again.
        drop(unsafe { Box::from_raw(at.cast::<Self>().as_ptr()) });
    }
}

/// The side that can do what [`Whole`] names.
pub(crate) struct Back {
    /// From a box of some `Block`, by `thin`.
    at: NonNull<Head>,
}

impl Back {
    /// See [`Whole::poll`].
    #[inline]
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the table is that of the type of the box, which is there as long as `self`, and
        // the only back is borrowed.
        unsafe { (self.head().table.poll)(self.at, context) }
    }

    /// See [`Whole::cancel`].
    pub(crate) fn cancel(&mut self) {
        // SAFETY: as in `poll`.
        unsafe { (self.head().table.cancel)(self.at) }
    }

    /// Whether the other side is still there, so that the value goes with that.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        self.head().is_shared.get()
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: every block begins with its head, and it is there as long as `self`.
        unsafe { self.at.as_ref() }
    }
}

/// The side that knows the type of a part.
pub(crate) struct Front<F> {
    /// From a box of some `Block` with such a front, by `thin`.
    at: NonNull<Fronted<F>>,
}

impl<F> Deref for Front<F> {
    type Target = F;

    #[inline]
    fn deref(&self) -> &F {
        // SAFETY: the block begins with this, and is there as long as `self`.
        &unsafe { self.at.as_ref() }.front
    }
}

/// One of the two goes; with the last the value.
///
/// # Safety
/// `at` is from a box of some `Block`, and the caller does not use it again.
#[inline]
unsafe fn release(at: NonNull<Head>) {
    // SAFETY: as the caller says.
    let head = unsafe { at.as_ref() };
    if !head.is_shared.replace(false) {
        let free = head.table.free;
        // SAFETY: the table is that of the type of the box, and nobody else is left.
        unsafe { free(at) }
    }
}

impl Drop for Back {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this was one of the two that `thin` has made.
        unsafe { release(self.at) }
    }
}

impl<F> Drop for Front<F> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { release(self.at.cast()) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::marker::PhantomPinned;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;

    /// Counts down, and tells where it is dropped.
    struct Steps {
        left: Cell<u32>,
        dropped: Rc<Cell<u32>>,
        _large: [u128; 3],
    }

    impl Whole for Steps {
        type Front = Cell<&'static str>;

        fn poll(self: Pin<&mut Self>, front: &Self::Front, _: &mut Context<'_>) -> Poll<()> {
            self.left.set(self.left.get() - 1);
            if self.left.get() > 0 {
                return Poll::Pending;
            }
            front.set("ended");
            Poll::Ready(())
        }

        fn cancel(self: Pin<&mut Self>, front: &Self::Front) {
            front.set("cancelled");
        }
    }

    impl Drop for Steps {
        fn drop(&mut self) {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    fn steps(left: u32) -> (Back, Front<Cell<&'static str>>, Rc<Cell<u32>>) {
        let dropped = Rc::new(Cell::new(0));
        let whole = Steps {
            left: Cell::new(left),
            dropped: Rc::clone(&dropped),
            _large: [0; 3],
        };
        let (back, front) = thin(Cell::new("new"), whole);
        (back, front, dropped)
    }

    #[test]
    fn each_side_is_one_word_also_where_it_may_be_missing() {
        let word = size_of::<usize>();
        assert_eq!(size_of::<Option<Back>>(), word);
        assert_eq!(size_of::<Option<Front<[u64; 9]>>>(), word);
    }

    #[test]
    fn what_one_side_does_the_other_one_sees() {
        let (mut back, front, _) = steps(2);
        let mut context = Context::from_waker(Waker::noop());
        assert!(back.poll(&mut context).is_pending());
        assert_eq!(front.get(), "new");
        assert!(back.poll(&mut context).is_ready());
        assert_eq!(front.get(), "ended");
        back.cancel();
        assert_eq!(front.get(), "cancelled");
    }

    #[test]
    fn the_value_goes_with_the_last_of_both() {
        let (back, front, dropped) = steps(1);
        assert!(back.is_shared());
        drop(front);
        assert!(!back.is_shared());
        assert_eq!(dropped.get(), 0);
        drop(back);
        assert_eq!(dropped.get(), 1);

        let (back, front, dropped) = steps(1);
        drop(back);
        front.set("still there");
        assert_eq!((front.get(), dropped.get()), ("still there", 0));
        drop(front);
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn the_rest_is_used_and_dropped_where_it_was_made() {
        /// Refers to itself once it is polled, as futures do.
        struct Placed {
            own: *const Placed,
            text: String,
            _pinned: PhantomPinned,
        }
        impl Whole for Placed {
            type Front = RefCell<Vec<String>>;

            fn poll(self: Pin<&mut Self>, front: &Self::Front, _: &mut Context<'_>) -> Poll<()> {
                let at = ptr::from_ref(self.as_ref().get_ref());
                // SAFETY: it is not moved.
                let placed = unsafe { self.get_unchecked_mut() };
                if placed.own.is_null() {
                    placed.own = at;
                }
                assert_eq!(placed.own, at);
                placed.text.push('a');
                front.borrow_mut().push(placed.text.clone());
                Poll::Pending
            }

            fn cancel(self: Pin<&mut Self>, _: &Self::Front) {}
        }
        impl Drop for Placed {
            fn drop(&mut self) {
                assert_eq!(self.own, ptr::from_ref(self));
            }
        }
        let whole = Placed {
            own: ptr::null(),
            text: String::new(),
            _pinned: PhantomPinned,
        };
        let (mut back, front) = thin(RefCell::default(), whole);
        let seen = &*front;
        for _ in 0..2 {
            let mut moved = back;
            assert!(
                moved
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            back = moved;
        }
        assert_eq!(*seen.borrow(), ["a", "aa"]);
        drop(back);
        assert_eq!(front.borrow().len(), 2);
    }

    #[test]
    fn a_drop_that_panics_drops_once() {
        struct Panics(Rc<Cell<u32>>);
        impl Whole for Panics {
            type Front = ();
            fn poll(self: Pin<&mut Self>, (): &(), _: &mut Context<'_>) -> Poll<()> {
                Poll::Pending
            }
            fn cancel(self: Pin<&mut Self>, (): &()) {}
        }
        impl Drop for Panics {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
                panic!("in drop");
            }
        }
        let drops = Rc::new(Cell::new(0));
        let (back, front) = thin((), Panics(Rc::clone(&drops)));
        drop(front);
        catch_unwind(AssertUnwindSafe(|| drop(back))).unwrap_err();
        assert_eq!(drops.get(), 1);
    }
}
