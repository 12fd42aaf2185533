//! [`Watch`]: what the shards and the rest of the process tell each other during a run: that all
//! may start, how far it is, that it is warm, and that it is to stop.
//!
//! What must hold: a shard touches this ten times a second and never for a request.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::interval::Interval;
use crate::moment::Moment;

/// How long after the last shard has come all start together.
const START_DELAY: Duration = Duration::from_millis(5);

/// What one shard has to say of one interval of the timeline.
pub(crate) struct RowPart {
    /// The number of the interval, from 0.
    pub(crate) row: u64,
    /// What happened in it.
    pub(crate) interval: Interval,
}

/// Shared by all shards of a run and the threads around them.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Answers so far and requests in flight, by shard.
    progress: Box<[(AtomicU64, AtomicU64)]>,
    /// How many shards are ready to start, and when all do.
    arrived: AtomicUsize,
    start: OnceLock<Instant>,
    /// When the warm-up ended, for a run that finds out.
    warm: OnceLock<Moment>,
    rows: Sender<RowPart>,
    /// The signal that asked for the end, or 0.
    signal: Arc<AtomicUsize>,
}

impl Watch {
    /// A watch over so many shards that no signal reaches yet, and where their rows come out.
    pub(crate) fn new(shard_count: usize) -> (Watch, Receiver<RowPart>) {
        let (rows, receiver) = channel();
        let watch = Watch {
            progress: (0..shard_count).map(|_| Default::default()).collect(),
            arrived: AtomicUsize::new(0),
            start: OnceLock::new(),
            warm: OnceLock::new(),
            rows,
            signal: Arc::default(),
        };
        (watch, receiver)
    }

    /// Makes SIGINT and SIGTERM ask for the end instead of ending the process; the second one ends
    /// it at once.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub(crate) fn listen(&self) -> io::Result<()> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let number = usize::try_from(signal).expect("signals are small numbers");
            flag::register_conditional_default(signal, Arc::clone(&asked))?;
            flag::register_usize(signal, Arc::clone(&self.signal), number)?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(())
    }

    /// Says that one more shard is ready to start.
    pub(crate) fn arrive(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
    }

    /// When all shards start, if all are ready; `now` is the asker's time.
    pub(crate) fn start(&self, now: Instant) -> Option<Instant> {
        let all = self.arrived.load(Ordering::Acquire) == self.progress.len();
        let delay = if self.progress.len() > 1 {
            START_DELAY
        } else {
            Duration::ZERO
        };
        all.then(|| *self.start.get_or_init(|| now + delay))
    }

    /// Says how many answers a shard has had so far, and how many requests are in flight.
    pub(crate) fn publish(&self, shard: usize, answered: u64, in_flight: u64) {
        let (answers, flying) = &self.progress[shard];
        answers.store(answered, Ordering::Relaxed);
        flying.store(in_flight, Ordering::Relaxed);
    }

    /// How many answers there were so far, on all shards.
    pub(crate) fn answered(&self) -> u64 {
        let all = self.progress.iter();
        all.map(|(answers, _)| answers.load(Ordering::Relaxed))
            .sum()
    }

    /// How many requests are in flight, on all shards.
    pub(crate) fn in_flight(&self) -> u64 {
        let all = self.progress.iter();
        all.map(|(_, flying)| flying.load(Ordering::Relaxed)).sum()
    }

    /// Hands on a shard's part of a row of the timeline.
    pub(crate) fn push(&self, row: u64, interval: Interval) {
        // Nobody may be interested.
        self.rows.send(RowPart { row, interval }).ok();
    }

    /// How many shards hand in a part of each row.
    pub(crate) fn shard_count(&self) -> usize {
        self.progress.len()
    }

    /// When all shards have started, if they have.
    pub(crate) fn started(&self) -> Option<Instant> {
        self.start.get().copied()
    }

    /// Says that the warm-up is over since `moment`.
    pub(crate) fn set_warm(&self, moment: Moment) {
        // The first one to say so is believed.
        self.warm.set(moment).ok();
    }

    /// When the warm-up ended, if somebody has said so.
    pub(crate) fn warm(&self) -> Option<Moment> {
        self.warm.get().copied()
    }

    /// The number of the signal that asked for the end.
    pub(crate) fn signal(&self) -> Option<u8> {
        let signal = self.signal.load(Ordering::Relaxed);
        u8::try_from(signal).ok().filter(|&signal| signal != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::clock;

    #[test]
    fn all_shards_start_together_and_none_before_the_last_has_come() {
        let (watch, _rows) = Watch::new(2);
        let now = clock();
        watch.arrive();
        assert_eq!(watch.start(now), None);
        watch.arrive();
        let start = watch.start(now);
        assert_eq!(start, Some(now + START_DELAY));
        assert_eq!(watch.start(now + START_DELAY), start);
    }

    #[test]
    fn progress_adds_up() {
        let (watch, rows) = Watch::new(2);
        watch.publish(0, 5, 1);
        watch.publish(1, 7, 2);
        assert_eq!((watch.answered(), watch.in_flight()), (12, 3));
        watch.set_warm(Moment(7));
        watch.set_warm(Moment(9));
        assert_eq!((watch.warm(), watch.signal()), (Some(Moment(7)), None));
        watch.push(3, Interval::default());
        drop(watch);
        assert_eq!(rows.iter().map(|part| part.row).collect::<Vec<_>>(), [3]);
    }
}
