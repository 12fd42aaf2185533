//! [`make_room`]: as many open files as the connections of a run need.
//!
//! What must hold: a run that cannot open its connections does not start.

use std::fs;

use crate::exit::{Exit, Failure};
use crate::number::grouped;

/// What else is open: standard streams, signals, requests beside the run; and on each thread the
/// ring and what wakes it.
const OTHERS: u64 = 32;
const OTHERS_PER_THREAD: u64 = 4;

/// Raises the soft limit on open files to the hard one; `connections` on `threads` must fit.
///
/// # Errors
/// When they do not.
pub(crate) fn make_room(connections: u64, threads: usize) -> Result<(), Failure> {
    // Makes nothing: the limit is raised where a server's default limits are found.
    drop(sunstar::server::Config::default());
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(limit) = open_files(&limits) else {
        return Ok(());
    };
    let others = OTHERS + OTHERS_PER_THREAD * threads as u64;
    if connections <= limit.saturating_sub(others) {
        return Ok(());
    }
    let line = format!(
        "{} connections and {others} other files do not fit the limit of {} open files; raise \
         `ulimit -n`",
        grouped(connections),
        grouped(limit)
    );
    Err(Failure::new(Exit::Usage, line))
}

/// The soft limit in the text of `/proc/self/limits`; `None` if it is missing or unlimited.
fn open_files(limits: &str) -> Option<u64> {
    let name = "Max open files";
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_found() {
        let text = |soft: &str| {
            format!(
                "Limit            Soft Limit  Hard Limit  Units\n\
                 Max processes    7           8           processes\n\
                 Max open files   {soft}      4096        files\n"
            )
        };
        assert_eq!(open_files(&text("1024")), Some(1_024));
        assert_eq!(open_files(&text("unlimited")), None);
        assert_eq!(open_files(""), None);
    }
}
