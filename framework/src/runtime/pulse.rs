//! [`Pulse`]: what a shard shows of itself to whoever watches it.
//!
//! What must hold: only the shard writes how far it is, only the watcher what it has seen; a turn
//! costs the shard two stores, and a
//! slice of a group one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use super::groups::{GROUPS_MAX, Index};

/// How far a shard is, and how often it was found stalled. All by itself on its cache lines.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Odd while a turn is under way.
    beat: CachePadded<AtomicU64>,
    /// The place of the group whose slice runs.
    group: AtomicUsize,
    /// The names of groups that were added, by place: each is written once, when the group is made.
    names: [OnceLock<String>; GROUPS_MAX],
    /// The kernel's number of the shard's thread; 0 before it has one.
    thread: AtomicI32,
    stalls: AtomicU64,
    unreported: AtomicU64,
}

impl Pulse {
    /// The shard begins to live on the thread of this number.
    pub(super) fn live_on(&self, thread: i32) {
        self.thread.store(thread, Ordering::Release);
    }

    /// The number of the shard's thread, once it has one.
    pub(super) fn thread(&self) -> Option<i32> {
        let thread = self.thread.load(Ordering::Acquire);
        (thread != 0).then_some(thread)
    }

    /// A turn begins, or ends.
    #[inline]
    pub(super) fn beat(&self) {
        // Nobody else writes it, so nothing is lost between the two.
        let beat = self.beat.load(Ordering::Relaxed);
        self.beat.store(beat.wrapping_add(1), Ordering::Relaxed);
    }

    /// A slice of this group begins, or nobody's.
    #[inline]
    pub(super) fn run_in(&self, group: Index) {
        self.group.store(group.place(), Ordering::Relaxed);
    }

    /// A group was added.
    pub(super) fn name(&self, group: Index, name: String) {
        let named = self.names[group.place()].set(name);
        assert!(named.is_ok(), "no place is given to two groups");
    }

    /// The name of the group whose slice runs.
    pub(super) fn group(&self) -> &str {
        let name = self.names[self.group.load(Ordering::Relaxed)].get();
        name.map_or(Index::MAIN_NAME, String::as_str)
    }

    /// The number of the present turn or pause.
    pub(super) fn look(&self) -> u64 {
        self.beat.load(Ordering::Relaxed)
    }

    /// Whether a number that was [looked](Pulse::look) at is that of a turn.
    pub(super) fn is_turn(beat: u64) -> bool {
        beat % 2 == 1
    }

    /// A stall was found, and reported or not.
    pub(super) fn count_stall(&self, reported: bool) {
        self.unreported
            .fetch_add(u64::from(!reported), Ordering::Relaxed);
        self.stalls.fetch_add(1, Ordering::Release);
    }

    /// Stalls so far, and how many of them were not reported.
    pub(super) fn stalls(&self) -> (u64, u64) {
        let stalls = self.stalls.load(Ordering::Acquire);
        (stalls, self.unreported.load(Ordering::Relaxed))
    }
}
