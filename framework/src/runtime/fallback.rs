//! The one line that tells the operator why `io_uring` is not used, and what to change.

use std::io;

use crate::sys::limit;

/// Says why epoll is used although nobody asked for it.
pub(super) fn warning(refused: &io::Error) -> String {
    let system = System {
        disabled: limit::uring_disabled(),
        locked_max: limit::locked_memory(),
    };
    format!(
        "io_uring cannot be used, so epoll is: {} ({refused}); \
         `--driver epoll` chooses it in silence",
        system.cause(refused)
    )
}

/// What this system says about `io_uring`.
struct System {
    /// The sysctl `kernel.io_uring_disabled`, which Linux 6.6 and newer have.
    disabled: Option<u8>,
    /// How many bytes this process may lock; `None` if any number.
    locked_max: Option<u64>,
}

impl System {
    /// The cause of a refusal and its remedy.
    fn cause(&self, refused: &io::Error) -> String {
        match (refused.kind(), self.disabled) {
            (io::ErrorKind::PermissionDenied, Some(2)) => {
                "the sysctl kernel.io_uring_disabled=2 forbids it to all, set it to 0".into()
            }
            (io::ErrorKind::PermissionDenied, Some(1)) => {
                "the sysctl kernel.io_uring_disabled=1 forbids it to this user, set it to 0 or \
                 join the group kernel.io_uring_group"
                    .into()
            }
            (io::ErrorKind::PermissionDenied, _) => {
                "a seccomp profile forbids it, as a container's default one does; permit \
                 io_uring_setup, io_uring_enter and io_uring_register there"
                    .into()
            }
            (io::ErrorKind::OutOfMemory, _) => self.out_of_memory(),
            (io::ErrorKind::Unsupported, _) => {
                "this kernel or sandbox has none; Linux 6.1 or newer has".into()
            }
            (io::ErrorKind::InvalidInput, _) => {
                "this kernel's is too old; Linux 6.1 or newer is needed".into()
            }
            _ if limit::is_out_of_descriptors(refused) => {
                "no descriptor is left for it; raise the limit on open files (`ulimit -n`)".into()
            }
            _ => "its trial at start has failed; Linux 6.1 or newer is needed".into(),
        }
    }

    fn out_of_memory(&self) -> String {
        match self.locked_max {
            Some(max) => format!(
                "no memory for its rings, the limit on locked memory is {} KiB; raise it \
                 (`ulimit -l`, LimitMEMLOCK= in systemd) or start fewer shards (--smp)",
                max / 1024
            ),
            None => "no memory for its rings; give this process more, or start fewer shards \
                     (--smp)"
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: i32, disabled: Option<u8>) -> String {
        let system = System {
            disabled,
            locked_max: Some(65536),
        };
        system.cause(&io::Error::from_raw_os_error(code))
    }

    #[test]
    fn every_refusal_has_a_cause_and_a_remedy() {
        let (permission, memory, descriptors, old, missing) = (1, 12, 24, 22, 38);
        for (code, disabled, words) in [
            (permission, None, ["seccomp", "permit io_uring_setup"]),
            (permission, Some(0), ["seccomp", "permit io_uring_setup"]),
            (
                permission,
                Some(1),
                ["to this user", "kernel.io_uring_group"],
            ),
            (permission, Some(2), ["io_uring_disabled=2", "set it to 0"]),
            (memory, None, ["64 KiB", "ulimit -l"]),
            (descriptors, None, ["no descriptor", "ulimit -n"]),
            (old, None, ["too old", "Linux 6.1"]),
            (missing, None, ["has none", "Linux 6.1"]),
            (5, None, ["trial", "Linux 6.1"]),
        ] {
            let cause = cause(code, disabled);
            assert!(
                words.iter().all(|word| cause.contains(word)),
                "{code}: {cause}"
            );
        }
    }

    #[test]
    fn the_warning_is_one_line() {
        for code in [1, 12, 22, 24, 38, 5] {
            let warning = warning(&io::Error::from_raw_os_error(code));
            assert!(
                !warning.contains('\n') && warning.contains("epoll"),
                "{warning}"
            );
        }
    }
}
