//! [`Scope`]: a reference that is there while a function runs, and not a moment longer.
//!
//! What must hold: it is set from a borrow that outlives the function, and taken back before
//! `enter` returns or unwinds, so whoever finds it set may use it.
#![expect(
    unsafe_code,
    reason = "a borrow for the time of a call cannot be kept in a thread's memory otherwise"
)]

use std::cell::Cell;
use std::ptr;

/// A place for a `&T`, one for each thread (`thread_local!`). It needs no destructor, so to look
/// into it costs one load.
pub(crate) struct Scope<T> {
    at: Cell<*const T>,
}

/// Takes the reference back when dropped, also by a panic.
struct Entered<'a, T>(&'a Scope<T>);

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        self.0.at.set(ptr::null());
    }
}

impl<T> Scope<T> {
    pub(crate) const fn new() -> Scope<T> {
        Scope {
            at: Cell::new(ptr::null()),
        }
    }

    /// Runs `f` with `value` in this place.
    ///
    /// # Panics
    /// If there is one already.
    pub(crate) fn enter<R>(&self, value: &T, f: impl FnOnce() -> R) -> R {
        assert!(
            self.at.get().is_null(),
            "the scope of one shard inside that of another"
        );
        self.at.set(value);
        let _entered = Entered(self);
        f()
    }

    /// What is in this place.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: null, or a reference that `enter` holds until it takes it back, which it does
        // only when `f`, called inside of it on this thread, has returned.
        f(unsafe { self.at.get().as_ref() })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_value_is_there_inside_and_never_behind_also_after_a_panic() {
        let scope = Scope::new();
        let seen = |scope: &Scope<String>| scope.with(|value| value.map(String::len));
        assert_eq!(seen(&scope), None);
        let inside = scope.enter(&"a".to_owned(), || seen(&scope));
        assert_eq!(inside, Some(1));
        assert_eq!(seen(&scope), None);
        let panics = || scope.enter(&"b".to_owned(), || panic!("inside"));
        catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        assert_eq!(seen(&scope), None);
    }

    #[test]
    #[should_panic(expected = "inside that of another")]
    fn scopes_do_not_nest() {
        let scope = Scope::new();
        scope.enter(&1, || scope.enter(&2, || ()));
    }
}
