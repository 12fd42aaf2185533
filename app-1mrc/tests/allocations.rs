//! An event of a known user allocates nothing, from its bytes to the figures; one of a new user
//! never much at once, however many there are.
#![expect(unsafe_code, reason = "a counting allocator is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use app_1mrc::event::Event;
use app_1mrc::tally::Tally;
use app_1mrc::users::Users;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// Counts the allocations of each thread, and keeps the length of the largest.
struct Counting;

// SAFETY: hands everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // While a thread ends its counter may be gone; nobody reads it then.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts the events of `bodies` and tells how much was allocated for that.
fn allocated(tally: &mut Tally, bodies: &[String]) -> u64 {
    let before = COUNT.get();
    for body in bodies {
        let users = tally.users();
        let event = Event::parse(body.as_bytes(), |user| users.seek(user));
        let event = event.expect("these bodies are events");
        assert_eq!(tally.record(&event), Ok(()));
        assert!(tally.batch().is_none());
    }
    COUNT.get() - before
}

/// A table that is rebuilt as a whole would need 16 MiB or more at once, and stand still meanwhile.
#[test]
fn a_million_users_are_never_copied_at_once() {
    let mut users = Users::default();
    LARGEST.set(0);
    for number in 0..1_000_000 {
        let name = format!("user_{number:020}");
        assert_eq!(users.insert(&name), Ok(true));
    }
    assert_eq!(users.len(), 1_000_000);
    let largest = LARGEST.get();
    // A chunk of names: it is filled bit by bit, and nothing is copied into it.
    assert_eq!(largest, 256 * 1024);
}

#[test]
fn an_event_of_a_known_user_allocates_nothing() {
    let mut tally = Tally::new(1, usize::MAX);
    let bodies: Vec<String> = (0..1000)
        .map(|number| format!(r#"{{"userId":"user_{number}","value":{number}.123456789}}"#))
        .collect();
    assert!(
        allocated(&mut tally, &bodies) > 0,
        "the counter sees nothing"
    );
    for _ in 0..10 {
        assert_eq!(allocated(&mut tally, &bodies), 0);
    }
}
