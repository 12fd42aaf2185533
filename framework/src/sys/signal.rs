//! [`install`]: a handler for a signal that nobody has a use for yet.
//!
//! What must hold: a handler that the program has set itself is never replaced.
#![expect(unsafe_code, reason = "signals have no safe binding in std")]

/// Runs on the thread that the signal went to, wherever that was interrupted: it may take no lock
/// and no memory.
pub(crate) type Handler =
    extern "C" fn(libc::c_int, *mut libc::siginfo_t, context: *mut libc::c_void);

/// The number of a signal that is free for programs, counted from `SIGRTMIN`.
pub(crate) fn free_for_programs(place: libc::c_int) -> libc::c_int {
    libc::SIGRTMIN() + place
}

/// Installs `handler` for good, unless the signal has one. Tells whether it is there. System calls
/// that can go on behind the signal do (`SA_RESTART`, signal(7)); where the thread has a stack for
/// signals it runs on that (`SA_ONSTACK`).
pub(crate) fn install(signal: libc::c_int, handler: Handler) -> bool {
    // SAFETY: all zeros are a valid sigaction, and both are live locals.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let read = libc::sigaction(signal, std::ptr::null(), &raw mut before) == 0;
        if !read || before.sa_sigaction != libc::SIG_DFL {
            return false;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut()) == 0
    }
}

/// Whether a signal comes to this handler on the calling thread: it is not blocked there, and the
/// program has not set another handler since.
pub(crate) fn comes_to(signal: libc::c_int, handler: Handler) -> bool {
    // SAFETY: all zeros are a valid action and mask, and both are live locals.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == handler as usize
            && libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut blocked) == 0
            && libc::sigismember(&raw const blocked, signal) == 0
    }
}

/// Blocks a signal on the calling thread.
#[cfg(test)]
pub(crate) fn block(signal: libc::c_int) {
    // SAFETY: all zeros are a valid mask, which is a live local.
    unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut blocked, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn first(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
    extern "C" fn second(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

    #[test]
    fn a_signal_that_has_a_handler_keeps_it() {
        let signal = free_for_programs(20);
        assert!(install(signal, first));
        assert!(!install(signal, second));
        assert!(comes_to(signal, first) && !comes_to(signal, second));
        block(signal);
        assert!(!comes_to(signal, first));
    }
}
