//! How much memory this process may use: the machine's, or the container's if that is less.

use std::fs;

const MEMINFO: &str = "/proc/meminfo";
/// The limit of the control group that a container sees as the root (cgroups(7)).
const GROUP_LIMIT: &str = "/sys/fs/cgroup/memory.max";
/// If the system does not say: small, so that the limit is noticed and set.
const UNKNOWN_LEN: usize = 1 << 30;

/// Bytes that this process may use.
pub(crate) fn available_len() -> usize {
    let machine = fs::read_to_string(MEMINFO).ok();
    let machine = machine.and_then(|text| total_len(&text));
    let group = fs::read_to_string(GROUP_LIMIT).ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    machine
        .into_iter()
        .chain(group)
        .min()
        .unwrap_or(UNKNOWN_LEN)
}

/// What `proc_meminfo(5)` gives as `MemTotal: 24683904 kB`.
fn total_len(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_how_much_it_has() {
        let text = "MemFree:  5 kB\nMemTotal:       24683904 kB\n";
        assert_eq!(total_len(text), Some(24_683_904 * 1024));
        for other in [
            "",
            "MemTotal: 5",
            "MemTotal: many kB",
            "MemTotal: 18446744073709551615 kB",
        ] {
            assert_eq!(total_len(other), None, "{other}");
        }
        assert!(available_len() > 1 << 20);
    }
}
