//! [`Balance`]: which shard serves a fresh connection.
//!
//! What must hold: a connection is counted for exactly one shard from the decision to its close;
//! counts are written when a connection comes, moves or ends, and never while it is served; nothing
//! is handed to a shard that does not answer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// How fresh connections are spread over the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Each shard keeps what the kernel gives it, by a hash of the addresses (`SO_REUSEPORT`):
    /// cheapest, and even when there are many connections.
    #[default]
    Reuseport,
    /// Whoever accepts a connection hands it to the shard that has the fewest open: even from the
    /// first connection on, at the price of a message for each that moves.
    LeastLoaded,
}

/// How many connections each shard has.
#[derive(Debug)]
pub(super) struct Balance {
    mode: Accept,
    /// How many connections a shard may have.
    max: usize,
    shards: Box<[CachePadded<Load>]>,
}

#[derive(Debug, Default)]
struct Load {
    /// Connections that the shard serves, and those on their way to it.
    open: AtomicUsize,
    /// Whether it has not answered in time.
    stalled: AtomicBool,
}

impl Balance {
    pub(super) fn new(mode: Accept, max: usize, shards: usize) -> Balance {
        Balance {
            mode,
            max,
            shards: (0..shards).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Chooses the shard for a connection that came to `here`, and counts it there. Of equals the
    /// first one is `here`.
    pub(super) fn choose(&self, here: usize) -> usize {
        if self.mode == Accept::Reuseport {
            self.add(here);
            return here;
        }
        loop {
            let (to, open) = self.fewest(here);
            let open_then = &self.shards[to].open;
            // Two that decide at once do not choose the same: the later one looks again.
            let counted =
                open_then.compare_exchange(open, open + 1, Ordering::Relaxed, Ordering::Relaxed);
            if counted.is_ok() {
                return to;
            }
        }
    }

    fn fewest(&self, here: usize) -> (usize, usize) {
        let open = |shard: usize| self.shards[shard].open.load(Ordering::Relaxed);
        let others = (0..self.shards.len()).filter(|&shard| shard != here);
        let able = others.filter(|&shard| !self.shards[shard].stalled.load(Ordering::Relaxed));
        let loads = able.map(|shard| (shard, open(shard)));
        let fits = loads.filter(|&(_, open)| open < self.max);
        std::iter::once((here, open(here)))
            .chain(fits)
            .min_by_key(|&(_, open)| open)
            .expect("one shard is here")
    }

    /// Counts a connection for a shard.
    pub(super) fn add(&self, shard: usize) {
        self.shards[shard].open.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection of a shard is closed, or was never handed to it.
    pub(super) fn remove(&self, shard: usize) {
        self.shards[shard].open.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many connections there are, of all shards.
    pub(super) fn open(&self) -> usize {
        let loads = self.shards.iter();
        loads.map(|load| load.open.load(Ordering::Relaxed)).sum()
    }

    /// Whether a shard has more connections than it may.
    pub(super) fn is_over(&self, shard: usize) -> bool {
        self.shards[shard].open.load(Ordering::Relaxed) > self.max
    }

    /// Notes whether a shard answers.
    pub(super) fn set_stalled(&self, shard: usize, stalled: bool) {
        self.shards[shard].stalled.store(stalled, Ordering::Relaxed);
    }

    /// How many connections are open on all shards.
    pub(super) fn total(&self) -> usize {
        let open = |load: &CachePadded<Load>| load.open.load(Ordering::Relaxed);
        self.shards.iter().map(open).sum()
    }
}

/// How uneven counts are: the largest over their mean, 1 at best; 1 when all are 0.
///
/// # Examples
/// ```
/// use sunstar::server::max_to_mean;
///
/// assert_eq!(max_to_mean(&[8, 8]), 1.0);
/// assert_eq!(max_to_mean(&[30, 10, 10, 10]), 2.0);
/// ```
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn max_to_mean(counts: &[u64]) -> f64 {
    let (max, sum) = (counts.iter().max(), counts.iter().sum::<u64>());
    match max {
        Some(&max) if sum > 0 => max as f64 * counts.len() as f64 / sum as f64,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_are_chosen_and_of_equals_the_own_shard() {
        let balance = Balance::new(Accept::LeastLoaded, 100, 3);
        assert_eq!((balance.choose(1), balance.choose(1)), (1, 0));
        assert_eq!((balance.choose(1), balance.total()), (2, 3));
        balance.remove(2);
        assert_eq!(balance.choose(0), 2);
    }

    #[test]
    fn nothing_goes_to_a_shard_that_is_full_or_does_not_answer() {
        let balance = Balance::new(Accept::LeastLoaded, 2, 2);
        (0..4).for_each(|_| balance.add(0));
        assert_eq!((balance.choose(0), balance.choose(0)), (1, 1));
        assert_eq!(balance.choose(0), 0);
        balance.remove(1);
        balance.set_stalled(1, true);
        assert_eq!(balance.choose(0), 0);
        balance.set_stalled(1, false);
        assert_eq!(balance.choose(0), 1);
    }

    #[test]
    fn where_the_kernel_chooses_the_shard_stays() {
        let balance = Balance::new(Accept::Reuseport, 100, 2);
        assert_eq!((balance.choose(1), balance.choose(1)), (1, 1));
    }
}
