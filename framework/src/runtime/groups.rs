//! [`Group`]: tasks that share a part of a shard's time; [`Groups`]: whose turn it is.
//!
//! What must hold: among groups that have something to do, time is given out by shares; a group
//! that had nothing to do gains no claim by that but a small credit; with one group nothing is
//! measured and nothing chosen. Time is accounted in *claims*: nanoseconds by shares, as the
//! virtual run time of the fair schedulers of Seastar and Linux. Who has used least goes first.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use super::current;
use super::task::Task;

/// Groups of one shard at most, the main one included.
pub const GROUPS_MAX: usize = 16;
/// Shares of a group at most.
pub const SHARES_MAX: u32 = 1000;
/// The shares of the main group.
const MAIN_SHARES: u32 = 100;
/// What a group saves up by having nothing to do, in claims: half a millisecond of the main group,
/// or the shortest slice of one with a tenth of its shares. So requests that come one by one do not
/// wait for what a background has a claim to while they are served.
const CREDIT: u64 = 5_000_000;
/// What the shortest slice lasts: below it turns cost more than they spread.
const SLICE_MIN: Duration = Duration::from_micros(50);

/// A group's place among those of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Index(u8);

impl Index {
    /// The group that all begins in.
    pub(super) const MAIN: Index = Index(0);
    /// Its name.
    pub(super) const MAIN_NAME: &str = "main";

    /// Its place in arrays of `GROUPS_MAX`.
    #[inline]
    pub(super) fn place(self) -> usize {
        usize::from(self.0) % GROUPS_MAX
    }
}

/// Tasks that have a part of their shard's time in common, by shares: while two groups have
/// something to do, one with 100 shares runs ten times as long as one with 10. Whoever is alone has
/// all.
///
/// Everything runs in the main group, which has 100 shares, unless a group was made and tasks were
/// [spawned](Group::spawn) in it. What a task spawns belongs to its own group; what a message from
/// another shard spawns, to the main one. A shard has its own groups, so each makes them.
///
/// A slice of a group lasts at most for its part of the task quota: the group with the most shares
/// has all of it, one with a tenth as many a tenth of it, and at least 50 us. Slices end between
/// two tasks and where a task asks for it: a long one asks
/// [`yield_if_needed`](super::yield_if_needed) every few microseconds, or its group delays all
/// others.
///
/// # Examples
/// ```
/// use sunstar::runtime::{Config, Group, Placement, run_on_all_shards};
///
/// let main = |_| async {
///     let background = Group::start("compaction", 10);
///     background.spawn(async { Group::current().stats().name }).await
/// };
/// assert_eq!(run_on_all_shards(&Config::new(Placement::unpinned(1)), main)?, ["compaction"]);
/// # Ok::<(), sunstar::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    index: Index,
    /// It belongs to a shard, so this may not leave it.
    shard_local: PhantomData<*const ()>,
}

/// The books of one group. See [`Group::stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// The group's name.
    pub name: String,
    /// Its shares.
    pub shares: u32,
    /// How long its tasks have run. Measured only while the shard has two groups or more.
    pub run_time: Duration,
    /// How often a task of it was polled.
    pub polls: u64,
    /// Its tasks that have not ended.
    pub tasks: usize,
    /// Its tasks that are ready.
    pub ready: usize,
    /// How often its tasks ran on for more than half a task quota after the end of their slice.
    /// Noticed only while the shard has two groups or more.
    pub quota_violations: u64,
}

impl Group {
    /// Makes a group of the current shard.
    ///
    /// # Panics
    /// If the shard has a group of this name, or [`GROUPS_MAX`] groups; if `shares` are not between
    /// 1 and [`SHARES_MAX`]; outside of every shard.
    pub fn start(name: impl Into<String>, shares: u32) -> Group {
        let name = name.into();
        current::with(|shard| {
            let index = shard.executor.add_group(name.clone(), shares);
            shard.outside.pulse.name(index, name);
            Group::at(index)
        })
    }

    /// The current shard's group of this name.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn named(name: &str) -> Option<Group> {
        let groups = Group::all();
        groups.into_iter().find(|group| group.stats().name == name)
    }

    /// The group of the running task. In code that belongs to no task, the main one.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn current() -> Group {
        current::with(|shard| Group::at(shard.executor.current_group()))
    }

    /// All groups of the current shard, the main one first.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn all() -> Vec<Group> {
        let count = current::with(|shard| shard.executor.group_count());
        let indices = (0..=u8::MAX).take(count).map(Index);
        indices.map(Group::at).collect()
    }

    /// Starts a task in this group.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
    {
        current::with(|shard| {
            let executor = &shard.executor;
            executor.spawn_in(self.index, future)
        })
    }

    /// Gives the group other shares, from its next slice on.
    ///
    /// # Panics
    /// If `shares` are not between 1 and [`SHARES_MAX`]; outside of every shard.
    pub fn set_shares(self, shares: u32) {
        check(&self.stats().name, shares);
        current::with(|shard| shard.executor.set_shares(self.index, shares));
    }

    /// What the group has used so far.
    ///
    /// # Panics
    /// Outside of every shard.
    pub fn stats(self) -> GroupStats {
        current::with(|shard| shard.executor.group_stats(self.index))
    }

    fn at(index: Index) -> Group {
        Group {
            index,
            shard_local: PhantomData,
        }
    }
}

/// What is known of a group besides its tasks.
#[derive(Debug)]
struct Account {
    name: String,
    shares: u32,
    /// What it has used by its shares. Wraps, so it is only ever compared by difference.
    claim: u64,
    /// Had something to do when it was last looked at.
    active: bool,
    run_time: Duration,
    polls: u64,
    violations: u64,
}

/// The accounts of a shard's groups.
#[derive(Debug)]
pub(super) struct Groups {
    accounts: Vec<Account>,
    /// The claim of the group that ran last when it was chosen: what one begins with that had
    /// nothing to do.
    floor: u64,
}

impl Groups {
    /// The main group alone.
    pub(super) fn new() -> Groups {
        let mut groups = Groups {
            accounts: Vec::new(),
            floor: 0,
        };
        groups.add(Index::MAIN_NAME.to_owned(), MAIN_SHARES);
        groups
    }

    /// See [`Group::start`].
    pub(super) fn add(&mut self, name: String, shares: u32) -> Index {
        let taken = self.accounts.iter().any(|account| account.name == name);
        assert!(
            !taken,
            "there is a group `{name}` already: take it by `Group::named`, or name this one anew"
        );
        assert!(
            self.accounts.len() < GROUPS_MAX,
            "no group `{name}`: there are {GROUPS_MAX} already; let tasks share one"
        );
        check(&name, shares);
        let place = u8::try_from(self.accounts.len()).expect("GROUPS_MAX are few");
        self.accounts.push(Account {
            name,
            shares,
            claim: self.floor,
            active: false,
            run_time: Duration::ZERO,
            polls: 0,
            violations: 0,
        });
        Index(place)
    }

    pub(super) fn count(&self) -> usize {
        self.accounts.len()
    }

    /// Chooses whose slice is next, among those of which `is_ready` says that they have something
    /// to do.
    pub(super) fn choose(&mut self, is_ready: impl Fn(Index) -> bool) -> Option<Index> {
        let mut chosen: Option<(Index, u64)> = None;
        for (place, account) in (0_u8..).zip(&mut self.accounts) {
            let was_active = account.active;
            account.active = is_ready(Index(place));
            if !account.active {
                continue;
            }
            let level = self.floor.wrapping_sub(CREDIT);
            if !was_active && is_before(account.claim, level) {
                account.claim = level;
            }
            if chosen.is_none_or(|(_, least)| is_before(account.claim, least)) {
                chosen = Some((Index(place), account.claim));
            }
        }
        chosen.map(|(index, _)| index)
    }

    /// How long a slice of this group lasts.
    pub(super) fn slice(&self, index: Index, quota: Duration) -> Duration {
        let shares = self.accounts.iter().map(|account| account.shares);
        let most = shares.max().expect("the main group is there");
        let part = quota * self.accounts[index.place()].shares / most;
        part.clamp(SLICE_MIN.min(quota), quota)
    }

    /// Enters a slice in the books.
    pub(super) fn charge(&mut self, index: Index, ran: Duration, polls: u64, violated: bool) {
        let account = &mut self.accounts[index.place()];
        // Not before it has run: who was chosen and left out has reached nothing.
        if is_before(self.floor, account.claim) {
            self.floor = account.claim;
        }
        account.run_time += ran;
        account.polls += polls;
        account.violations += u64::from(violated);
        // Also a slice that a virtual clock, or a coarse one, calls nothing: whoever runs first in
        // every turn must not stay the first for ever.
        let ran = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX).max(1);
        let claim = ran.saturating_mul(u64::from(SHARES_MAX)) / u64::from(account.shares);
        account.claim = account.claim.wrapping_add(claim);
    }

    /// How often tasks of all groups but the main one were polled.
    pub(super) fn polls_beside_main(&self) -> u64 {
        self.accounts[1..].iter().map(|account| account.polls).sum()
    }

    /// See [`Group::set_shares`].
    pub(super) fn set_shares(&mut self, index: Index, shares: u32) {
        self.accounts[index.place()].shares = shares;
    }

    /// The books of a group, without what is known of its tasks.
    pub(super) fn stats(&self, index: Index) -> GroupStats {
        let account = &self.accounts[index.place()];
        GroupStats {
            name: account.name.clone(),
            shares: account.shares,
            run_time: account.run_time,
            polls: account.polls,
            tasks: 0,
            ready: 0,
            quota_violations: account.violations,
        }
    }
}

fn check(name: &str, shares: u32) {
    assert!(
        (1..=SHARES_MAX).contains(&shares),
        "the group `{name}` has {shares} shares: give it 1 to {SHARES_MAX}"
    );
}

/// Whether `one` is less than `other`, of two that are less than half the range apart.
fn is_before(one: u64, other: u64) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A foreground that has something to do in turn after turn is before a background that has had
    /// spare time, for as long as its shares allow: who is chosen and left out has reached nothing.
    #[test]
    fn whoever_is_left_out_takes_nothing_from_those_who_wake() {
        let us = Duration::from_micros;
        let mut groups = Groups::new();
        let background = groups.add("background".into(), 10);
        assert_eq!(groups.choose(|index| index == background), Some(background));
        groups.charge(background, us(50), 1, false);
        for turn in 0..40 {
            assert_eq!(groups.choose(|_| true), Some(Index::MAIN), "turn {turn}");
            groups.charge(Index::MAIN, us(10), 1, false);
            // The rest of the turn would be spare; it ends instead.
            let left = groups.choose(|index| index == background);
            assert_eq!(left, Some(background));
        }
        let turns = (0..40).take_while(|_| {
            let chosen = groups.choose(|_| true);
            groups.charge(Index::MAIN, us(10), 1, false);
            chosen == Some(Index::MAIN)
        });
        // 50 us of the background are 500 of the foreground, which is first where both are level.
        assert_eq!(turns.count(), 11);
    }

    /// One that had nothing to do while others ran is before them for its credit, and no longer.
    #[test]
    fn idleness_saves_up_a_credit_and_no_more() {
        let us = Duration::from_micros;
        let mut groups = Groups::new();
        let other = groups.add("other".into(), 100);
        for _ in 0..1000 {
            assert_eq!(groups.choose(|index| index == other), Some(other));
            groups.charge(other, us(500), 1, false);
        }
        let turns = (0..1000).take_while(|_| {
            let chosen = groups.choose(|_| true);
            groups.charge(Index::MAIN, us(10), 1, false);
            chosen == Some(Index::MAIN)
        });
        // 500 us of credit, and 500 that the other has just had.
        assert_eq!(turns.count(), 101);
    }
}
