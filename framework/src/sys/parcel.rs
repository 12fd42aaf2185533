//! [`Parcel`]: a place for work of any type, which is done elsewhere, and for what comes of it.
//!
//! What a boxed `FnOnce` and a boxed result would be, but for work and results of a few words,
//! which stand in it and not behind it, and stay there: so a parcel that is used again and again
//! allocates nothing, and one line of the cache is all that goes to the other CPU. What must hold:
//! what the room holds is what the table is for.
#![expect(
    unsafe_code,
    reason = "the standard library has no place for a value of an erased type but a box"
)]

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::thread;

/// So many words there may be of work, and of its result.
const WORDS: usize = 7;

type Room = [MaybeUninit<usize>; WORDS];

/// What work has panicked with.
type Panic = Box<dyn Any + Send>;

/// What is known of what stands in a room.
struct Table {
    /// Of what work has brought: [`Brought`], or [`Panic`]. Of work itself, nothing that anybody
    /// takes out.
    id: TypeId,
    /// Does the work, puts what comes of it in its place, and tells what is known of that. Does not
    /// unwind.
    run: Option<unsafe fn(NonNull<Room>) -> &'static Table>,
    drop: unsafe fn(NonNull<Room>),
}

impl Table {
    /// Whether it is that of a result of this type.
    #[inline]
    fn is_of<T: 'static>(&'static self) -> bool {
        // The same table is most often at the same place, and needs no look at what it says.
        ptr::eq(self, Known::<T>::TABLE) || self.id == TypeId::of::<T>()
    }
}

/// Work, to be run by whoever does not know its type, and then its result, to be taken out by
/// whoever does.
pub(crate) struct Parcel {
    /// `None` while there is nothing in it.
    table: Option<&'static Table>,
    /// The work or the result.
    room: Room,
    /// Which may not be shared.
    unshared: PhantomData<*mut ()>,
}

// SAFETY: what `put` puts in may be sent, and so may what comes of it.
unsafe impl Send for Parcel {}

impl Parcel {
    /// Makes one with nothing in it.
    pub(crate) fn new() -> Parcel {
        Parcel {
            table: None,
            room: [MaybeUninit::uninit(); WORDS],
            unshared: PhantomData,
        }
    }

    /// Whether there is room for such work and such a result.
    pub(crate) const fn has_room_for<F, R>() -> bool {
        has_room_for::<F>() && has_room_for::<Brought<R>>()
    }

    /// Puts work in, and drops what was there before.
    ///
    /// # Panics
    /// If there is no room for it or for its result.
    #[inline]
    pub(crate) fn put<F, R>(&mut self, work: F)
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        assert!(Parcel::has_room_for::<F, R>(), "it fits a parcel");
        self.clear();
        // SAFETY: there is room, and nothing in it.
        unsafe { self.place().cast::<F>().write(work) };
        self.table = Some(Work::<F, R>::TABLE);
    }

    /// Does the work, and keeps its result, or what it has panicked with. Does nothing if there is
    /// no work.
    #[inline]
    pub(crate) fn run(&mut self) {
        if let Some(table) = self.table
            && let Some(run) = table.run
        {
            // SAFETY: the table is that of what stands in the room, which is borrowed, and what is
            // known of it then is what this returns.
            self.table = Some(unsafe { run(self.place()) });
        }
    }

    /// Takes the result out, if it is there and an `R`.
    #[inline]
    pub(crate) fn take<R: Send + 'static>(&mut self) -> Option<thread::Result<R>> {
        let table = self.table?;
        if table.is_of::<Brought<R>>() {
            self.table = None;
            // SAFETY: the table says what it is, and without one nobody uses it there again.
            return Some(Ok(unsafe { self.place().cast::<Brought<R>>().read() }.0));
        }
        if table.is_of::<Panic>() {
            self.table = None;
            // SAFETY: as above.
            return Some(Err(unsafe { self.place().cast::<Panic>().read() }));
        }
        None
    }

    /// Drops what is in it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if let Some(table) = self.table.take() {
            // SAFETY: the table is that of what stands in the room, which nobody uses again.
            unsafe { (table.drop)(self.place()) }
        }
    }

    #[inline]
    fn place(&mut self) -> NonNull<Room> {
        NonNull::from(&mut self.room)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether a value can stand in a room.
const fn has_room_for<T>() -> bool {
    size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>()
}

/// # Safety
/// In the room stands a `T`, which nobody uses again.
unsafe fn drop_in<T>(at: NonNull<Room>) {
    // SAFETY: as the caller says.
    unsafe { at.cast::<T>().drop_in_place() }
}

/// What work has brought: no work is of this type.
struct Brought<R>(R);

/// What is known of a result.
struct Known<T>(T);

impl<T: 'static> Known<T> {
    const TABLE: &'static Table = &Table {
        id: TypeId::of::<T>(),
        run: None,
        drop: drop_in::<T>,
    };
}

/// What is known of work.
struct Work<F, R>(F, R);

impl<F, R> Work<F, R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    const TABLE: &'static Table = &Table {
        id: TypeId::of::<Self>(),
        run: Some(Self::run),
        drop: drop_in::<F>,
    };

    /// # Safety
    /// In the room stands an `F`, which nobody uses there again, and it has room for an `R`.
    unsafe fn run(at: NonNull<Room>) -> &'static Table {
        // SAFETY: as the caller says.
        let work = unsafe { at.cast::<F>().read() };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(result) => {
                // SAFETY: there is room, and the work was taken out.
                unsafe { at.cast().write(Brought(result)) };
                Known::<Brought<R>>::TABLE
            }
            Err(panic) => {
                const { assert!(has_room_for::<Panic>()) };
                // SAFETY: as above.
                unsafe { at.cast::<Panic>().write(panic) };
                Known::<Panic>::TABLE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    /// Counts where it is dropped.
    #[derive(Clone, Default)]
    struct Drops(Arc<AtomicUsize>);

    impl Drops {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        fn of<T>(&self, value: T) -> Counted<T> {
            let drops = self.clone();
            Counted { value, drops }
        }
    }

    struct Counted<T> {
        value: T,
        drops: Drops,
    }

    impl<T> Drop for Counted<T> {
        fn drop(&mut self) {
            self.drops.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends work to another thread and back, behind other work.
    fn travel<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Parcel {
        let mut parcel = Parcel::new();
        parcel.put(|| 7);
        parcel.put(work);
        assert!(parcel.take::<R>().is_none(), "it was not run");
        let there = thread::spawn(move || {
            parcel.run();
            parcel.run();
            parcel
        });
        there.join().unwrap()
    }

    /// Has work of `N` words beside the count bring a result of so many.
    fn goes_and_comes_back<const N: usize>() {
        type Words<const N: usize> = Counted<[usize; N]>;
        let taken = Drops::default();
        let work = taken.of(std::array::from_fn::<_, N, _>(|index| index + 1));
        let mut parcel = travel(move || {
            let doubled = work.value.map(|value| value * 2);
            let of = work.drops.clone();
            drop(work);
            of.of(doubled)
        });
        assert_eq!(taken.count(), 1);
        assert!(parcel.take::<[usize; 3]>().is_none(), "it is another one");
        let back = parcel.take::<Words<N>>();
        assert!(parcel.take::<Words<N>>().is_none(), "it is out");
        drop(parcel);
        let back = back.expect("it is there").expect("no panic");
        assert!(back.value.iter().copied().eq((1..=N).map(|word| word * 2)));
        assert_eq!(taken.count(), 1);
        drop(back);
        assert_eq!(taken.count(), 2);
    }

    #[test]
    fn what_goes_is_run_there_and_what_it_brings_comes_back() {
        goes_and_comes_back::<0>();
        goes_and_comes_back::<{ WORDS - 1 }>();
    }

    #[repr(align(64))]
    struct Line;

    #[test]
    fn there_is_room_for_so_many_words_and_no_more() {
        assert!(Parcel::has_room_for::<[usize; WORDS], [usize; WORDS]>());
        assert!(!Parcel::has_room_for::<[usize; WORDS + 1], ()>());
        assert!(!Parcel::has_room_for::<(), [usize; WORDS + 1]>());
        // Nor is it a place for what wants a line of its own.
        assert!(!Parcel::has_room_for::<Line, ()>());
        assert!(!Parcel::has_room_for::<(), Line>());
    }

    #[test]
    #[should_panic(expected = "it fits a parcel")]
    fn what_there_is_no_room_for_is_refused() {
        let large = [1_usize; WORDS + 1];
        Parcel::new().put(move || large.len());
    }

    #[test]
    fn a_panic_comes_back_in_place_of_the_result() {
        let drops = Drops::default();
        let held = drops.of(());
        let mut parcel = travel::<u8>(move || {
            let _held = held;
            panic!("on purpose")
        });
        let panic = parcel.take::<u8>().unwrap().unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        assert_eq!(drops.count(), 1);
    }

    #[test]
    fn what_nobody_takes_is_dropped_once_run_or_not() {
        for runs in [false, true] {
            let (work, result) = (Drops::default(), Drops::default());
            let (held, of) = (work.of(()), result.clone());
            let mut parcel = Parcel::new();
            parcel.put(move || {
                drop(held);
                of.of(())
            });
            if runs {
                parcel.run();
            }
            drop(parcel);
            assert_eq!((work.count(), result.count()), (1, usize::from(runs)));
        }
    }

    #[test]
    fn what_panics_when_it_is_dropped_is_dropped_once() {
        struct Panics(Arc<AtomicUsize>);
        impl Drop for Panics {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
                panic!("in drop");
            }
        }
        let count = Arc::new(AtomicUsize::new(0));
        let panics = Panics(Arc::clone(&count));
        let mut parcel = Parcel::new();
        parcel.put(move || panics);
        parcel.run();
        catch_unwind(AssertUnwindSafe(|| parcel.clear())).unwrap_err();
        parcel.run();
        drop(parcel);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
