//! [`Placement`]: how many shards there are and on which CPUs they sit; [`ShardId`]: one of them.

use std::fmt;

use crate::error::{Error, Result};
use crate::sys::cpu::{CpuSet, Topology};

/// Most shards that a runtime may have: the mesh has a queue for every ordered pair.
const SHARDS_MAX: usize = 256;

/// Names a shard: 0 up to the number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(u16);

impl ShardId {
    /// The first shard, which every runtime has.
    pub const ZERO: ShardId = ShardId(0);

    pub(crate) fn of(index: usize) -> ShardId {
        ShardId(u16::try_from(index).expect("at most SHARDS_MAX shards"))
    }

    /// The shard with this number, if the current runtime has so many.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn new(index: usize) -> Option<ShardId> {
        (index < super::shard_count()).then(|| ShardId::of(index))
    }

    /// The shard's number, counted from 0.
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// Where the shards of a runtime sit: each pinned to a CPU of its own, or none pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// By shard.
    cpus: Vec<Option<usize>>,
}

impl Placement {
    /// Whether a shard is pinned to `cpu`.
    pub(super) fn has(&self, cpu: usize) -> bool {
        self.cpus.contains(&Some(cpu))
    }

    /// Pins `smp` shards (by default as many as there are CPUs) to CPUs of `cpus` (by default all
    /// that this process may use), each core once before the second hardware thread of any.
    ///
    /// # Errors
    /// When a CPU is not allowed for this process, or there are more shards than CPUs, or none.
    pub fn new(smp: Option<usize>, cpus: Option<&CpuSet>) -> Result<Placement> {
        Placement::within(&CpuSet::allowed(), smp, cpus)
    }

    fn within(allowed: &CpuSet, smp: Option<usize>, cpus: Option<&CpuSet>) -> Result<Placement> {
        let cpus = cpus.unwrap_or(allowed);
        if let Some(cpu) = cpus.iter().find(|&cpu| !allowed.contains(cpu)) {
            let message = format!("CPU {cpu} is not allowed for this process; allowed: {allowed}");
            return Err(Error::config(message));
        }
        let count = smp.unwrap_or_else(|| cpus.len().min(SHARDS_MAX));
        if count == 0 || count > cpus.len() || count > SHARDS_MAX {
            let most = cpus.len().min(SHARDS_MAX);
            let message = format!(
                "{count} shards on CPUs {cpus}: each needs a CPU of its own, so 1 to {most}"
            );
            return Err(Error::config(message));
        }
        let spread = Topology::of(cpus).spread();
        Ok(Placement {
            cpus: spread.iter().take(count).map(|cpu| Some(cpu.id)).collect(),
        })
    }

    /// Places `count` shards without pinning them: for tests, and for machines shared with others.
    ///
    /// # Panics
    /// If `count` is 0 or over 256.
    pub fn unpinned(count: usize) -> Placement {
        assert!(
            (1..=SHARDS_MAX).contains(&count),
            "{count} shards: 1 to {SHARDS_MAX} are possible"
        );
        Placement {
            cpus: vec![None; count],
        }
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.cpus.len()
    }

    /// The CPU of a shard, if it is pinned.
    pub fn cpu(&self, shard: ShardId) -> Option<usize> {
        self.cpus[shard.index()]
    }
}

/// `2 shards on CPUs 0-1`.
impl fmt::Display for Placement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus: CpuSet = self.cpus.iter().flatten().copied().collect();
        let count = self.cpus.len();
        let plural = if count == 1 { "" } else { "s" };
        match cpus.len() {
            0 => write!(out, "{count} shard{plural}, not pinned"),
            1 => write!(out, "{count} shard{plural} on CPU {cpus}"),
            _ => write!(out, "{count} shard{plural} on CPUs {cpus}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(list: &str) -> CpuSet {
        list.parse().unwrap()
    }

    #[test]
    fn shards_take_all_allowed_cpus_unless_told_otherwise() {
        let all = Placement::within(&set("0-3"), None, None).unwrap();
        assert_eq!(all.to_string(), "4 shards on CPUs 0-3");
        let two = Placement::within(&set("0-3"), Some(2), Some(&set("1,3"))).unwrap();
        assert_eq!(two.to_string(), "2 shards on CPUs 1,3");
        assert_eq!(two.cpu(ShardId::of(1)), Some(3));
        let one = Placement::within(&set("0-3"), Some(1), None).unwrap();
        assert_eq!(one.to_string(), "1 shard on CPU 0");
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_what_can() {
        let refuse = |smp, cpus: Option<&CpuSet>| {
            Placement::within(&set("0-1"), smp, cpus)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refuse(None, Some(&set("0,9"))),
            "CPU 9 is not allowed for this process; allowed: 0-1"
        );
        for count in [0, 3] {
            let message = refuse(Some(count), None);
            assert!(
                message.ends_with("each needs a CPU of its own, so 1 to 2"),
                "{message}"
            );
        }
    }
}
