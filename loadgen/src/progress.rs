//! [`Progress`]: a bar on standard error while a run goes on, if somebody looks at it.
//!
//! What must hold: nothing is drawn, and no thread started, unless standard error is a terminal;
//! the bar reads what the shards publish and never touches them.

use std::fmt::Write;
use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::duration::short;
use crate::number::{grouped, rounded};
use crate::plan::Limit;
use crate::watch::Watch;

/// How often the bar is drawn.
const INTERVAL: Duration = Duration::from_millis(100);
const BY_COUNT: &str =
    " {wide_bar} {percent:>3}%  {human_pos} of {human_len}  {rate}  {elapsed} of {duration}";
const BY_TIME: &str = " {spinner} {elapsed} of {msg}  {human_pos} answers  {rate}";

/// The bar, until it is dropped.
pub(crate) struct Progress {
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Starts to draw how far the run under `watch` is.
    pub(crate) fn start(limit: Limit, watch: &Arc<Watch>) -> Progress {
        if !stderr().is_terminal() {
            return Progress { drawing: None };
        }
        let (stop, stopped) = mpsc::channel();
        let watch = Arc::clone(watch);
        let thread = thread::spawn(move || {
            let bar = bar(limit);
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                bar.set_position(watch.answered());
                bar.tick();
            }
            bar.finish_and_clear();
        });
        Progress {
            drawing: Some((stop, thread)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.drawing.take() {
            drop(stop);
            // A bar that could not be drawn is no reason to lose the report.
            drop(thread.join());
        }
    }
}

fn bar(limit: Limit) -> ProgressBar {
    let (bar, template) = match limit {
        Limit::Requests(count) => (ProgressBar::new(count), BY_COUNT),
        Limit::Time(time) => (ProgressBar::no_length().with_message(short(time)), BY_TIME),
    };
    let style = ProgressStyle::with_template(template).expect("the templates are proper");
    bar.with_style(
        style.with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            // What cannot be drawn is not drawn.
            write!(out, "{}/s", grouped(rounded(state.per_sec()))).ok();
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_are_proper() {
        for limit in [Limit::Requests(1), Limit::Time(Duration::from_secs(1))] {
            bar(limit).abandon();
        }
    }
}
