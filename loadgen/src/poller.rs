//! [`Poller`]: asks for `/stats` while the events are sent, and checks what can be checked then.
//!
//! What must hold: an answer under load shows every event that was acknowledged before it was asked
//! for, none that had not been sent when it came, never fewer than an answer before, and an average
//! of its own sum and count.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::exit::Failure;
use crate::number::{approximate, grouped};
use crate::stats::Stats;
use crate::watch::Watch;

/// Most faults that are told one by one.
const FAULTS_MAX: usize = 5;

/// Asks until it is asked for what it has found.
pub(crate) struct Poller {
    stop: Sender<()>,
    thread: JoinHandle<Found>,
}

/// What asking has brought.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How often `/stats` answered.
    pub(crate) answers: u64,
    /// What was wrong, each told once.
    pub(crate) faults: Vec<String>,
}

impl Poller {
    /// Starts to ask by `ask`, every `interval`, about a run of `count` events under `watch`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(
        interval: Duration,
        count: u64,
        watch: &Arc<Watch>,
        ask: impl Fn() -> Result<Stats, Failure> + Send + 'static,
    ) -> std::io::Result<Poller> {
        let (stop, stopped) = channel();
        let watch = Arc::clone(watch);
        let thread = thread::Builder::new()
            .name("poller".into())
            .spawn(move || {
                let (mut found, mut last) = (Found::default(), 0);
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    if watch.started().is_none() {
                        continue;
                    }
                    // Shards publish now and then, so that this is what was answered at least.
                    let acknowledged = watch.answered();
                    let stats = ask();
                    found.take(stats, acknowledged, count, &mut last);
                }
                found
            })?;
        Ok(Poller { stop, thread })
    }

    /// Ends the asking.
    ///
    /// # Panics
    /// If the thread has.
    pub(crate) fn finish(self) -> Found {
        drop(self.stop);
        self.thread.join().expect("the poller has panicked")
    }
}

impl Found {
    fn take(
        &mut self,
        stats: Result<Stats, Failure>,
        acknowledged: u64,
        count: u64,
        last: &mut u64,
    ) {
        match stats {
            Err(failure) => self.note(format!("during the run: {}", failure.line)),
            Ok(stats) => {
                self.answers += 1;
                for fault in faults(&stats, acknowledged, count, *last) {
                    self.note(format!("during the run: {fault}"));
                }
                *last = stats.total_requests;
            }
        }
    }

    fn note(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

/// What is wrong with an answer in the middle of a run.
fn faults(stats: &Stats, acknowledged: u64, count: u64, last: u64) -> Vec<String> {
    let mut all = Vec::new();
    let total = stats.total_requests;
    if total < acknowledged {
        all.push(format!(
            "totalRequests was {} when {} events had been acknowledged",
            grouped(total),
            grouped(acknowledged)
        ));
    }
    if total < last {
        all.push(format!(
            "totalRequests went back from {} to {}",
            grouped(last),
            grouped(total)
        ));
    }
    if total > count || stats.unique_users > total {
        all.push(format!(
            "{} requests and {} users of {} events",
            grouped(total),
            grouped(stats.unique_users),
            grouped(count)
        ));
    }
    let own = if total == 0 {
        0.0
    } else {
        stats.sum / approximate(total)
    };
    // A sum that no double holds is given as the largest; its average may be exact all the same.
    let in_range = stats.sum.abs() < f64::MAX;
    // The average may be rounded once or twice: one unit in the last place apart.
    if in_range && (stats.avg - own).abs() > own.abs() * f64::EPSILON {
        let (avg, sum) = (stats.avg, stats.sum);
        all.push(format!(
            "avg {avg:?} is not sum {sum:?} / totalRequests {total}"
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(change: impl FnOnce(&mut Stats)) -> String {
        let mut stats = Stats {
            total_requests: 100,
            unique_users: 90,
            sum: 10.0,
            avg: 0.1,
        };
        change(&mut stats);
        faults(&stats, 95, 1_000, 99).join("; ")
    }

    #[test]
    fn a_consistent_answer_has_no_faults() {
        assert_eq!(faults_of(|_| {}), "");
        let zeros = Stats {
            total_requests: 0,
            unique_users: 0,
            sum: 0.0,
            avg: 0.0,
        };
        assert!(faults(&zeros, 0, 1, 0).is_empty());
    }

    #[test]
    fn the_average_of_a_sum_out_of_range_is_not_judged_by_it() {
        for sum in [f64::MAX, f64::MIN] {
            assert_eq!(faults_of(|stats| (stats.sum, stats.avg) = (sum, 3e307)), "");
        }
        let below = f64::MAX.next_down();
        let judged = faults_of(|stats| (stats.sum, stats.avg) = (below, 3e307));
        assert!(judged.contains("avg 3e307 is not sum"), "{judged}");
    }

    #[test]
    fn each_inconsistency_is_named() {
        let lost = faults_of(|stats| (stats.total_requests, stats.avg) = (94, 10.0 / 94.0));
        assert!(
            lost.contains("was 94 when 95 events") && lost.contains("from 99 to 94"),
            "{lost}"
        );
        assert!(faults_of(|stats| stats.unique_users = 101).contains("100 requests and 101 users"));
        assert!(faults_of(|stats| stats.avg = 0.1001).contains("avg 0.1001 is not sum 10.0"));
        let more = faults_of(|stats| (stats.total_requests, stats.avg) = (1_001, 10.0 / 1_001.0));
        assert!(more.contains("1,001 requests"), "{more}");
        assert!(faults_of(|stats| stats.avg = f64::from_bits(0.1_f64.to_bits() + 1)).is_empty());
    }
}
