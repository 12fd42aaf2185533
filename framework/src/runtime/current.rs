//! The current shard: found through a scope that each reactor turn enters, not through the thread.
//!
//! So a simulator can run all shards on one thread. What must hold: scopes do not nest.

use std::cell::RefCell;
use std::rc::Rc;

use super::shard::Shard;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
}

/// Ends the scope when dropped, also by a panic.
struct Scope;

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.with(|current| current.borrow_mut().take());
    }
}

/// Runs `f` with `shard` as the current shard.
///
/// # Panics
/// If this thread is in the scope of a shard already.
pub(super) fn enter<R>(shard: &Rc<Shard>, f: impl FnOnce() -> R) -> R {
    CURRENT.with(|current| {
        let before = current.borrow_mut().replace(Rc::clone(shard));
        assert!(
            before.is_none(),
            "the scope of one shard inside that of another"
        );
    });
    let _scope = Scope;
    f()
}

/// Runs `f` with the current shard.
///
/// # Panics
/// Outside of every shard: only code that runs on a shard may ask for it.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Rc<Shard>) -> R) -> R {
    CURRENT.with(|current| {
        let current = current.borrow();
        f(current
            .as_ref()
            .expect("not on a shard: call this from `run_on_all_shards` or a handler"))
    })
}

/// Runs `f` with the current shard, if there is one.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(Option<&Rc<Shard>>) -> R) -> R {
    // While a thread ends, the scope's storage may be gone: then there is no shard either.
    let mut f = Some(f);
    let result = CURRENT.try_with(|current| {
        let f = f.take().expect("called once");
        f(current.borrow().as_ref())
    });
    result.unwrap_or_else(|_| f.take().expect("not called yet")(None))
}
