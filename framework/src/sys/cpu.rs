//! [`CpuSet`] and [`Topology`]: which CPUs this process may use and how they share cores and nodes.
#![expect(
    unsafe_code,
    reason = "sched_setaffinity(2) for several CPUs has no safe binding"
)]

use std::error::Error;
use std::fmt;
use std::fs;
use std::mem;
use std::path::Path;
use std::str::FromStr;

/// The highest CPU number that a set may name: what the kernel's affinity mask of glibc holds.
const CPU_MAX: usize = 1023;

/// A set of CPUs, written as the kernel writes lists: `0-3,8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet {
    cpus: Vec<usize>,
}

impl CpuSet {
    /// The CPUs that this process may run on (`sched_getaffinity(2)`).
    pub fn allowed() -> CpuSet {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        ids.into_iter().map(|core| core.id).collect()
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.cpus.iter().copied()
    }

    /// How many CPUs are in the set.
    pub fn len(&self) -> usize {
        self.cpus.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// Whether `cpu` is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        self.cpus.binary_search(&cpu).is_ok()
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut cpus: Vec<_> = cpus.into_iter().collect();
        cpus.sort_unstable();
        cpus.dedup();
        CpuSet { cpus }
    }
}

/// A text that is not a list of CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCpuSet {
    part: String,
}

impl fmt::Display for InvalidCpuSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = &self.part;
        write!(
            out,
            "`{part}` is not a CPU list; write it like 0-3,8 (at most {CPU_MAX})"
        )
    }
}

impl Error for InvalidCpuSet {}

impl FromStr for CpuSet {
    type Err = InvalidCpuSet;

    fn from_str(list: &str) -> Result<CpuSet, InvalidCpuSet> {
        let wrong = |part: &str| InvalidCpuSet {
            part: part.to_owned(),
        };
        let mut cpus = Vec::new();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.trim().parse().map_err(|_| wrong(part))?;
            let last: usize = last.trim().parse().map_err(|_| wrong(part))?;
            if first > last || last > CPU_MAX {
                return Err(wrong(part));
            }
            cpus.extend(first..=last);
        }
        Ok(cpus.into_iter().collect())
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.cpus.as_slice();
        let mut comma = "";
        while let Some(&first) = rest.first() {
            let run = rest
                .iter()
                .zip(first..)
                .take_while(|(cpu, next)| **cpu == *next)
                .count();
            match run {
                1 => write!(out, "{comma}{first}")?,
                _ => write!(out, "{comma}{first}-{}", first + run - 1)?,
            }
            comma = ",";
            rest = &rest[run..];
        }
        Ok(())
    }
}

/// How one CPU lies in the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number of the CPU.
    pub id: usize,
    /// Its place among the hardware threads of its core: 0 for the first.
    pub thread: usize,
    /// The NUMA node that its memory is near to.
    pub node: usize,
}

/// The CPUs of the machine, as sysfs describes them.
#[derive(Clone, Debug)]
pub struct Topology {
    cpus: Vec<Cpu>,
}

impl Topology {
    /// Reads the place of each CPU of `cpus` from `/sys/devices/system`.
    ///
    /// What sysfs does not tell (in some containers) counts as one thread per core, one node.
    pub fn of(cpus: &CpuSet) -> Topology {
        Topology::read(Path::new("/sys/devices/system"), cpus)
    }

    fn read(system: &Path, cpus: &CpuSet) -> Topology {
        let nodes = nodes(system);
        let place = |id: usize| {
            let siblings = system.join(format!("cpu/cpu{id}/topology/thread_siblings_list"));
            let thread = list(&siblings)
                .iter()
                .position(|cpu| cpu == id)
                .unwrap_or(0);
            let node = nodes
                .iter()
                .find(|(_, cpus)| cpus.contains(id))
                .map_or(0, |(node, _)| *node);
            Cpu { id, thread, node }
        };
        Topology {
            cpus: cpus.iter().map(place).collect(),
        }
    }

    /// The CPUs in the order in which shards should take them: every core once before the second
    /// hardware thread of any, node by node.
    pub fn spread(&self) -> Vec<Cpu> {
        let mut cpus = self.cpus.clone();
        cpus.sort_by_key(|cpu| (cpu.thread, cpu.node, cpu.id));
        cpus
    }
}

fn list(path: &Path) -> CpuSet {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

fn nodes(system: &Path) -> Vec<(usize, CpuSet)> {
    let Ok(entries) = fs::read_dir(system.join("node")) else {
        return Vec::new();
    };
    let node = |name: &str| name.strip_prefix("node")?.parse::<usize>().ok();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let node = node(entry.file_name().to_str()?)?;
            Some((node, list(&entry.path().join("cpulist"))))
        })
        .collect()
}

/// Pins the calling thread to one CPU (`sched_setaffinity(2)`). Tells whether the kernel agreed.
pub(crate) fn pin(cpu: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
}

/// Keeps the calling thread to these CPUs (`sched_setaffinity(2)`). Tells whether the kernel
/// agreed.
pub(crate) fn confine(cpus: &CpuSet) -> bool {
    // SAFETY: the set is plain integers, for which all zeros is a value.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for cpu in cpus.iter() {
        // SAFETY: writes to a live local, and checks that the CPU is within it.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: reads a live local of the size that it is told.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written_as_the_kernel_does() {
        for (text, cpus) in [
            ("0", vec![0]),
            ("0-3,8", vec![0, 1, 2, 3, 8]),
            ("5,4", vec![4, 5]),
        ] {
            let set: CpuSet = text.parse().unwrap();
            assert_eq!(set.iter().collect::<Vec<_>>(), cpus);
        }
        let set: CpuSet = "8,0-2,2,10-11".parse().unwrap();
        assert_eq!(set.to_string(), "0-2,8,10-11");
    }

    #[test]
    fn a_wrong_list_is_refused_with_an_example() {
        for text in ["", "a", "3-1", "0,,1", "-", "1024"] {
            let error = text.parse::<CpuSet>().unwrap_err().to_string();
            assert!(error.contains("write it like 0-3,8"), "{text}: {error}");
        }
    }

    /// A machine of two nodes with two cores of two threads each, numbered as Linux does.
    fn machine(root: &Path) {
        for (cpu, siblings) in [(0, "0,4"), (1, "1,5"), (2, "2,6"), (3, "3,7")] {
            for id in [cpu, cpu + 4] {
                let dir = root.join(format!("cpu/cpu{id}/topology"));
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join("thread_siblings_list"), format!("{siblings}\n")).unwrap();
            }
        }
        for (node, cpus) in [(0, "0-1,4-5"), (1, "2-3,6-7")] {
            let dir = root.join(format!("node/node{node}"));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cpulist"), format!("{cpus}\n")).unwrap();
        }
    }

    #[test]
    fn shards_take_every_core_before_a_second_thread() {
        let root = std::env::temp_dir().join(format!("sunstar-topology-{}", std::process::id()));
        machine(&root);
        let topology = Topology::read(&root, &"0-7".parse().unwrap());
        fs::remove_dir_all(&root).unwrap();
        let order: Vec<_> = topology.spread().iter().map(|cpu| cpu.id).collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
        let second = topology.spread()[6];
        assert_eq!(
            second,
            Cpu {
                id: 6,
                thread: 1,
                node: 1
            }
        );
    }

    #[test]
    fn without_sysfs_every_cpu_is_a_core_of_node_zero() {
        let topology = Topology::read(Path::new("/nowhere"), &"2-3".parse().unwrap());
        assert_eq!(
            topology.spread()[1],
            Cpu {
                id: 3,
                thread: 0,
                node: 0
            }
        );
    }
}
