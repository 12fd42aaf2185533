//! What loadgen reads of the machine and of the server's process: `/proc` and `/sys`.
//!
//! What must hold: what cannot be read is absent, never guessed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use sunstar::runtime::{CpuSet, Placement};

use crate::number::approximate;
use crate::record::{Env, Server};

/// `/proc` counts CPU time in hundredths of a second (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Which part of its process's CPU time makes a thread one of those that work.
const NOTICEABLE: f64 = 0.05;

fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// The value behind `name:` in a file of such lines.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    found.map(|value| value.trim().to_owned())
}

/// The names of the machine, of its kernel's release and of its CPU.
pub(crate) fn identity() -> (Option<String>, Option<String>, Option<String>) {
    (
        line("/proc/sys/kernel/hostname"),
        line("/proc/sys/kernel/osrelease"),
        value("/proc/cpuinfo", "model name"),
    )
}

/// The machine, who may run where on it, and the driver of the shards.
pub(crate) fn env(placement: &Placement, server_pid: Option<u32>, driver: Option<&str>) -> Env {
    let (host, kernel, cpu) = identity();
    Env {
        host,
        kernel,
        cpu,
        cpus: std::thread::available_parallelism().ok().map(Into::into),
        governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        client_cpus: Some(client_cpus(placement).to_string()),
        server_cpus: server_pid.and_then(cpus_of).map(|cpus| cpus.to_string()),
        lo_mtu: line("/sys/class/net/lo/mtu").and_then(|mtu| mtu.parse().ok()),
        clock: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        driver: driver.unwrap_or_default().into(),
    }
}

/// The CPUs that the shards may run on: those that the placement names, or all.
fn client_cpus(placement: &Placement) -> CpuSet {
    let text = placement.to_string();
    let list = text
        .rsplit_once("CPUs ")
        .or_else(|| text.rsplit_once("CPU "));
    let pinned = list.and_then(|(_, list)| list.parse().ok());
    pinned.unwrap_or_else(CpuSet::allowed)
}

/// The CPUs that those threads of a process may run on that do its work: one that only waits for a
/// signal, or for the others, takes no CPU from anybody.
fn cpus_of(pid: u32) -> Option<CpuSet> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let tasks: Vec<_> = tasks
        .filter_map(|task| of_thread(&task.ok()?.path()))
        .collect();
    Some(busy_cpus(&tasks)).filter(|cpus| !cpus.is_empty())
}

/// How long a thread has run, and where it may.
fn of_thread(task: &Path) -> Option<(f64, CpuSet)> {
    let stat = fs::read_to_string(task.join("stat")).ok()?;
    let cpus = value(&task.join("status").to_string_lossy(), "Cpus_allowed_list")?;
    Some((cpu_seconds(&stat)?, cpus.parse().ok()?))
}

/// The CPUs of all threads that have a noticeable part of the time that all have run for.
fn busy_cpus(threads: &[(f64, CpuSet)]) -> CpuSet {
    let all: f64 = threads.iter().map(|(seconds, _)| seconds).sum();
    let busy = threads
        .iter()
        .filter(|(seconds, _)| *seconds >= all * NOTICEABLE);
    busy.flat_map(|(_, cpus)| cpus.iter()).collect()
}

/// The CPUs that both the shards and the server may use, if that is a mistake: at least one of the
/// two is pinned, or there is no CPU but these.
pub(crate) fn overlap(placement: &Placement, server_pid: Option<u32>) -> Option<String> {
    let (client, server) = (client_cpus(placement), cpus_of(server_pid?)?);
    let both: CpuSet = client.iter().filter(|&cpu| server.contains(cpu)).collect();
    (!both.is_empty()).then(|| both.to_string())
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    seconds: f64,
    switches: u64,
    rss_peak: Option<u64>,
}

impl Used {
    /// Of a process so far.
    pub(crate) fn by(pid: u32) -> Option<Used> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let switches = tasks.filter_map(Result::ok).map(|task| {
            let path = task.path().join("status");
            let path = path.to_string_lossy();
            let count = |name| value(&path, name)?.parse::<u64>().ok();
            count("voluntary_ctxt_switches").unwrap_or(0)
                + count("nonvoluntary_ctxt_switches").unwrap_or(0)
        });
        let kilobytes = value(&format!("/proc/{pid}/status"), "VmHWM");
        let kilobytes = kilobytes.and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Some(Used {
            seconds: cpu_seconds(&stat)?,
            switches: switches.sum(),
            rss_peak: kilobytes.map(|kilobytes| kilobytes * 1024),
        })
    }

    /// What was used between two readings, for so many requests.
    pub(crate) fn since(self, before: Used, time: Duration, requests: u64, pid: u32) -> Server {
        let seconds = self.seconds - before.seconds;
        let per_request = |amount: f64| (requests > 0).then(|| amount / approximate(requests));
        Server {
            source: format!("pid {pid}"),
            cpu_us_per_request: per_request(seconds * 1e6),
            cpu_util: seconds / time.as_secs_f64().max(1e-9),
            rss_peak: self.rss_peak,
            ctx_switches_per_request: per_request(approximate(
                self.switches.saturating_sub(before.switches),
            )),
        }
    }
}

/// User and system time of a process, its ended threads included: `proc_pid_stat(5)`, fields 14 and
/// 15; the second field may hold spaces and ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields = stat.rsplit_once(')')?.1;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let ticks = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    Some(approximate(ticks) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let used = Used::by(std::process::id()).unwrap();
        assert!(used.rss_peak.unwrap() > 100_000);
        let later = Used {
            seconds: used.seconds + 2.0,
            switches: used.switches + 10,
            ..used
        };
        let cost = later.since(used, Duration::from_secs(4), 1_000, 1);
        assert!((cost.cpu_us_per_request.unwrap() - 2_000.0).abs() < 1e-6);
        assert!((cost.cpu_util - 0.5).abs() < 1e-9);
        assert!((cost.ctx_switches_per_request.unwrap() - 0.01).abs() < 1e-9);
        assert_eq!(
            later.since(used, Duration::ZERO, 0, 1).cpu_us_per_request,
            None
        );
        assert_eq!(Used::by(u32::MAX), None);
    }

    /// A server with a pinned shard, whose main thread may run anywhere and does nothing.
    #[test]
    fn a_thread_that_only_waits_shares_no_cpu() {
        let cpus = |text: &str| text.parse::<CpuSet>().unwrap();
        let threads = [(0.01, cpus("0-3")), (0.0, cpus("0-3")), (5.0, cpus("0"))];
        assert_eq!(busy_cpus(&threads), cpus("0"));
        let both = [(1.0, cpus("0-1")), (5.0, cpus("2"))];
        assert_eq!(busy_cpus(&both), cpus("0-2"));
        // Nothing has run yet: none can be told from the others.
        assert_eq!(
            busy_cpus(&[(0.0, cpus("1")), (0.0, cpus("3"))]),
            cpus("1,3")
        );
    }

    #[test]
    fn the_machine_has_a_kernel_and_cpus() {
        let env = env(&Placement::unpinned(1), Some(std::process::id()), None);
        assert!(env.kernel.is_some() && env.cpus.is_some());
        assert_eq!(env.client_cpus, env.server_cpus);
        assert!(overlap(&Placement::unpinned(1), Some(std::process::id())).is_some());
        assert_eq!(overlap(&Placement::unpinned(1), None), None);
    }
}
