//! [`Observer`]: one thread beside a run that collects the timeline, draws the live view, answers
//! Prometheus and finds out when the run is warm.
//!
//! What must hold: it reads what the shards publish and never touches them; what goes wrong here
//! is told after the run and never stops it.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::live::View;
use crate::moment::{Moment, clock};
use crate::number::approximate;
use crate::plan::{Plan, Warmup};
use crate::prometheus;
use crate::timeline::Timeline;
use crate::watch::{RowPart, Watch};

/// How often everything but rows is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How many looks are compared with as many before them, to find out whether a run is warm.
const WINDOW: usize = 8;
/// How much the two may differ.
const WARM_CHANGE_MAX: f64 = 0.05;
/// How far ahead the end of the warm-up is set, so that every shard hears of it in time.
const WARM_NOTICE: Duration = Duration::from_millis(250);

/// What a run is to show beside its report.
#[derive(Default)]
pub(crate) struct Outputs {
    /// Where the rows go, as lines of JSON.
    pub(crate) timeseries: Option<File>,
    /// Where Prometheus asks.
    pub(crate) prometheus: Option<TcpListener>,
    /// Whether nothing is drawn.
    pub(crate) quiet: bool,
}

/// The thread, until it is asked for its timeline.
pub(crate) struct Observer {
    stop: Sender<()>,
    thread: JoinHandle<(Timeline, io::Result<()>)>,
}

impl Observer {
    /// Starts to observe.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(
        plan: &Plan,
        watch: &Arc<Watch>,
        rows: Receiver<RowPart>,
        outputs: Outputs,
    ) -> io::Result<Observer> {
        let (stop, stopped) = channel();
        let timeline = Timeline::new(plan.interval, watch.shard_count(), outputs.timeseries);
        let mut eye = Eye {
            watch: Arc::clone(watch),
            view: View::new(plan, outputs.quiet),
            prometheus: outputs.prometheus,
            warmth: match plan.warmup {
                Warmup::Auto(most) => Some(Warmth::new(most)),
                Warmup::Fixed(_) => None,
            },
            timeline,
            result: Ok(()),
        };
        let thread = thread::Builder::new()
            .name("observer".into())
            .spawn(move || {
                eye.look_on(&rows, &stopped);
                (eye.timeline, eye.result)
            })?;
        Ok(Observer { stop, thread })
    }

    /// Ends the observation; the rows, and what went wrong in writing them.
    ///
    /// # Panics
    /// If the thread has.
    pub(crate) fn finish(self) -> (Timeline, io::Result<()>) {
        drop(self.stop);
        self.thread.join().expect("the observer has panicked")
    }
}

struct Eye {
    watch: Arc<Watch>,
    view: View,
    prometheus: Option<TcpListener>,
    warmth: Option<Warmth>,
    timeline: Timeline,
    result: io::Result<()>,
}

impl Eye {
    fn look_on(&mut self, rows: &Receiver<RowPart>, stopped: &Receiver<()>) {
        while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            self.take(rows);
            let started = self.watch.started();
            let elapsed = started.map(|start| clock().saturating_duration_since(start));
            if let (Some(warmth), Some(elapsed)) = (&mut self.warmth, elapsed)
                && warmth.is_reached(self.watch.answered(), elapsed)
            {
                self.watch
                    .set_warm(Moment::after(elapsed).plus(WARM_NOTICE));
                self.warmth = None;
            }
            self.view.draw(&self.watch, &self.timeline, elapsed);
            if let Some(listener) = &self.prometheus {
                prometheus::answer(listener, &self.watch, &self.timeline);
            }
        }
        self.take(rows);
        self.keep(Timeline::finish);
        self.view.clear();
    }

    fn take(&mut self, rows: &Receiver<RowPart>) {
        for part in rows.try_iter() {
            self.keep(|timeline| timeline.push(part));
        }
    }

    /// Keeps the first fault.
    fn keep(&mut self, call: impl FnOnce(&mut Timeline) -> io::Result<()>) {
        let result = call(&mut self.timeline);
        if self.result.is_ok() {
            self.result = result;
        }
    }
}

/// Finds out when the rate of answers has become steady.
struct Warmth {
    most: Duration,
    last: u64,
    rates: Vec<f64>,
}

impl Warmth {
    fn new(most: Duration) -> Warmth {
        Warmth {
            most,
            last: 0,
            rates: Vec::new(),
        }
    }

    /// Takes up how many answers there are; whether the warm-up is over.
    fn is_reached(&mut self, answered: u64, elapsed: Duration) -> bool {
        self.rates.push(approximate(answered - self.last));
        self.last = answered;
        if elapsed >= self.most {
            return true;
        }
        let Some(start) = self.rates.len().checked_sub(2 * WINDOW) else {
            return false;
        };
        let (before, after) = self.rates[start..].split_at(WINDOW);
        let (before, after): (f64, f64) = (before.iter().sum(), after.iter().sum());
        before > 0.0 && (after / before - 1.0).abs() < WARM_CHANGE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many looks a run is warm whose rate is `rate` at each of them.
    fn looks(rate: impl Fn(u64) -> u64, most: Duration) -> u64 {
        let mut warmth = Warmth::new(most);
        let mut answered = 0;
        (1..10_000)
            .find(|&look| {
                answered += rate(look);
                warmth.is_reached(answered, LOOK * u32::try_from(look).unwrap())
            })
            .unwrap()
    }

    #[test]
    fn a_run_is_warm_when_its_rate_no_longer_rises() {
        let long = Duration::from_hours(1);
        assert_eq!(looks(|_| 1_000, long), 16, "steady from the start");
        let rising = looks(|look| look.min(60) * 100, long);
        assert!((60..76).contains(&rising), "{rising}");
    }

    #[test]
    fn a_run_that_never_settles_ends_its_warm_up_in_time() {
        assert_eq!(looks(|look| look * look, Duration::from_secs(3)), 30);
        assert_eq!(looks(|_| 0, Duration::from_secs(3)), 30);
    }
}
