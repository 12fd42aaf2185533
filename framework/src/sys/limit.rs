//! The limits that the system puts on this process (`getrlimit(2)`).
#![expect(unsafe_code, reason = "resource limits have no safe binding in std")]

/// Raises the soft limit on open descriptors to the hard one, and tells how many may be open.
pub(crate) fn raise_open_files() -> u64 {
    if let Some(simulated) = super::sim::open_files_max() {
        return simulated;
    }
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes to a live local of the right type.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return 1024;
    }
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_max,
        ..limit
    };
    // SAFETY: reads a live local of the right type.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
        return raised.rlim_cur;
    }
    limit.rlim_cur
}

/// How much memory the processes of this user may lock, in bytes; `None` for any amount. Rings
/// count for whoever lacks `CAP_IPC_LOCK`.
pub(crate) fn locked_memory() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes to a live local of the right type.
    let read = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    (read && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// The sysctl `kernel.io_uring_disabled`: 1 forbids `io_uring` to those without privilege, 2 to
/// all. Kernels before Linux 6.6 do not have it.
pub(crate) fn uring_disabled() -> Option<u8> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok()
}

/// What to change after this error, in brackets; nothing if we do not know.
pub(crate) fn advice(error: &std::io::Error) -> &'static str {
    if is_out_of_descriptors(error) {
        " (raise the limit on open files: `ulimit -n`)"
    } else {
        ""
    }
}

/// Whether an error means that no descriptor is left: for this process, or for the system.
pub(crate) fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_the_limit_twice_gives_the_same_number() {
        let first = raise_open_files();
        assert!(first >= 64, "{first}");
        assert_eq!(raise_open_files(), first);
    }
}
