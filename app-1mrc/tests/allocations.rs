//! An event of a known user allocates nothing, from its bytes to the figures.
#![expect(unsafe_code, reason = "a counting allocator is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use app_1mrc::event::Event;
use app_1mrc::tally::Tally;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: hands everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // While a thread ends its counter may be gone; nobody reads it then.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
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
        let event = Event::parse(body.as_bytes()).expect("these bodies are events");
        assert_eq!(tally.record(&event), Ok(()));
        assert!(tally.batch().is_none());
    }
    COUNT.get() - before
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
