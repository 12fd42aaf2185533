//! [`QuotaTimer`]: the kernel ends a thread's count of calls when a time is over.
//!
//! Who asks very often, as in a tight loop, is better off without counting: a count in memory is a
//! load that waits for the store of the call before. So the thread has the kernel set its count to
//! zero, by a signal (`timer_create(2)`, `SIGEV_THREAD_ID`), and until then only reads it.
//!
//! What must hold: the handler does one store to a place of its own thread and nothing else; a
//! timer sends signals to the thread that made it only, and none any more once it was stopped or
//! dropped; it never starts where its signal would not end the count.
#![expect(unsafe_code, reason = "timers have no safe binding in std")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::signal::{comes_to, free_for_programs, install};
use super::{sim, snapshot};

/// Which of the signals that are free for programs is used, counted from `SIGRTMIN`.
const SIGNAL: libc::c_int = 8;

thread_local! {
    /// An atomic only for the handler, which may come between any two instructions.
    static COUNT: AtomicU32 = const { AtomicU32::new(0) };
}

/// The count of this thread.
#[inline]
pub(crate) fn count() -> u32 {
    COUNT.with(|count| count.load(Ordering::Relaxed))
}

/// Sets the count of this thread.
#[inline]
pub(crate) fn set_count(value: u32) {
    COUNT.with(|count| count.store(value, Ordering::Relaxed));
}

extern "C" fn on_signal(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    set_count(0);
}

/// A timer of the thread that made it, which it cannot leave.
#[derive(Debug)]
pub(crate) struct QuotaTimer {
    timer: libc::timer_t,
}

impl QuotaTimer {
    /// Makes a timer that does not run. `None` where there can be none: in a simulation, whose time
    /// is another one; where the program has a handler for the signal; beyond the limit of pending
    /// signals (`RLIMIT_SIGPENDING`).
    pub(crate) fn new() -> Option<QuotaTimer> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        let signal = free_for_programs(SIGNAL);
        if sim::now().is_some() || !INSTALLED.get_or_init(|| install(signal, on_signal)) {
            return None;
        }
        // SAFETY: all zeros are a valid event and place for a timer; both are live locals.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = snapshot::this_thread();
            let mut timer = std::mem::zeroed();
            let made = libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer);
            (made == 0).then_some(QuotaTimer { timer })
        }
    }

    /// Sets the count to `from`, and has it set to zero when `after` is over, instead of when it
    /// was told before. Tells whether it can: not where the program blocks or has taken the signal.
    pub(crate) fn start(&self, from: u32, after: Duration) -> bool {
        if !comes_to(free_for_programs(SIGNAL), on_signal) {
            return false;
        }
        let before = count();
        set_count(from);
        // Zero would stop it.
        let started = self.set(after.max(Duration::from_nanos(1)));
        if !started {
            set_count(before);
        }
        started
    }

    /// Leaves the count alone from now on.
    pub(crate) fn stop(&self) {
        self.set(Duration::ZERO);
    }

    /// Tells whether the timer is there: a child process that goes on as a copy has none.
    fn set(&self, after: Duration) -> bool {
        let once = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(after.subsec_nanos().cast_signed()),
            },
        };
        // SAFETY: the timer is there until this is dropped; the time is a live local and valid.
        let set =
            unsafe { libc::timer_settime(self.timer, 0, &raw const once, std::ptr::null_mut()) };
        set == 0
    }
}

impl Drop for QuotaTimer {
    fn drop(&mut self) {
        // SAFETY: it is deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::block;
    use super::*;
    use std::time::Instant;

    #[expect(clippy::disallowed_methods, reason = "the kernel's timers go by it")]
    fn now() -> Instant {
        Instant::now()
    }

    /// Waits for the count to be zero.
    fn run_down() {
        let start = now();
        while count() != 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "no signal came");
            std::hint::spin_loop();
        }
    }

    #[test]
    fn the_count_of_the_own_thread_is_ended_and_no_other() {
        set_count(7);
        std::thread::spawn(|| {
            let timer = QuotaTimer::new().unwrap();
            let start = now();
            assert!(timer.start(u32::MAX, Duration::from_millis(2)));
            run_down();
            assert!(start.elapsed() >= Duration::from_millis(2));
            assert!(timer.start(u32::MAX, Duration::ZERO));
            run_down();
            block(free_for_programs(SIGNAL));
            assert!(!timer.start(u32::MAX, Duration::ZERO));
            assert_eq!(count(), 0);
        })
        .join()
        .unwrap();
        assert_eq!(count(), 7);
    }

    #[test]
    fn a_timer_that_was_stopped_or_dropped_ends_nothing() {
        let other = QuotaTimer::new().unwrap();
        for drops in [false, true] {
            let timer = QuotaTimer::new().unwrap();
            assert!(timer.start(5, Duration::from_millis(1)));
            timer.stop();
            if drops {
                assert!(timer.start(5, Duration::from_millis(1)));
                drop(timer);
            }
            // What would have come first has not, when this comes.
            let start = now();
            while start.elapsed() < Duration::from_millis(5) {
                assert_eq!(count(), 5);
            }
            assert!(other.start(6, Duration::from_millis(1)));
            run_down();
        }
    }
}
