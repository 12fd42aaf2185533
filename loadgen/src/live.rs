//! [`View`]: four lines on standard error that show how a run goes, if somebody looks at them.
//!
//! What must hold: nothing is drawn unless standard error is a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::duration::short;
use crate::number::{grouped, rounded};
use crate::plan::{Limit, Plan, Warmup};
use crate::timeline::{Row, Timeline};
use crate::watch::Watch;

/// How many rows the small picture shows.
const PICTURE_LEN: usize = 30;
const TEMPLATE: &str = " {wide_bar} {percent:>3}%  {prefix}\n{msg}";

/// What is drawn, if anything is.
pub(crate) struct View {
    bar: Option<ProgressBar>,
    limit: Limit,
    warmup: Option<Duration>,
    last: (Duration, u64),
}

impl View {
    /// A view of a run of `plan`; none when `quiet`.
    pub(crate) fn new(plan: &Plan, quiet: bool) -> View {
        View {
            bar: (!quiet && stderr().is_terminal()).then(bar),
            limit: plan.limit,
            warmup: match plan.warmup {
                Warmup::Fixed(time) => Some(time),
                Warmup::Auto(_) => None,
            },
            last: (Duration::ZERO, 0),
        }
    }

    /// Draws how far the run is, `elapsed` after its start.
    pub(crate) fn draw(&mut self, watch: &Watch, timeline: &Timeline, elapsed: Option<Duration>) {
        let Some(bar) = &self.bar else { return };
        let Some(elapsed) = elapsed else {
            bar.set_prefix("connecting");
            return bar.tick();
        };
        let answered = watch.answered();
        let time = elapsed.saturating_sub(self.last.0).as_secs_f64();
        let rate = crate::number::approximate(answered - self.last.1) / time.max(1e-3);
        self.last = (elapsed, answered);
        let (position, prefix) = self.progress(answered, elapsed, watch.warm().is_some());
        bar.set_position(position);
        bar.set_prefix(prefix);
        bar.set_message(lines(rate, watch, timeline));
        bar.tick();
    }

    /// How far the run is in thousandths, and in words.
    fn progress(&self, answered: u64, elapsed: Duration, is_warm: bool) -> (u64, String) {
        let now = short(elapsed);
        match (self.limit, self.warmup) {
            (Limit::Requests(count), _) => {
                let text = format!("{} of {}", grouped(answered), grouped(count));
                (thousandths(u128::from(answered), u128::from(count)), text)
            }
            (Limit::Time(_), None) if !is_warm => (0, format!("{now}, warming up")),
            (Limit::Time(time), warmup) => {
                let all = time + warmup.unwrap_or_default();
                let part = thousandths(elapsed.as_nanos(), all.as_nanos());
                (part, format!("{now} of {}", short(all)))
            }
        }
    }

    /// Takes the view away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn thousandths(part: u128, all: u128) -> u64 {
    let part = part.saturating_mul(1_000) / all.max(1);
    u64::try_from(part.min(1_000)).expect("at most 1,000")
}

/// The lines below the bar.
fn lines(rate: f64, watch: &Watch, timeline: &Timeline) -> String {
    let (rows, in_flight) = (timeline.rows(), grouped(watch.in_flight()));
    let rate = grouped(rounded(rate));
    let first = format!(
        " rate   {rate}/s  {}   in flight {in_flight}",
        picture(rows)
    );
    let Some(last) = rows.last() else {
        return first;
    };
    let time = |nanos: Option<u64>| {
        nanos.map_or_else(|| "-".into(), |nanos| short(Duration::from_nanos(nanos)))
    };
    let errors: u64 = rows.iter().map(|row| row.errors).sum();
    format!(
        "{first}   errors {}\n p50 {}   p99 {}   max {}   behind {}   client {:.0} % busy",
        grouped(errors),
        time(last.p50),
        time(last.p99),
        time(Some(last.max)),
        time(Some(last.behind)),
        last.client_busy * 100.0
    )
}

/// The rates of the last rows as a row of blocks.
pub(crate) fn picture(rows: &[Row]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let rows = &rows[rows.len().saturating_sub(PICTURE_LEN)..];
    let most = rows.iter().map(|row| row.ok).max().unwrap_or(0).max(1);
    let block = |row: &Row| {
        let height = u128::from(row.ok) * 7 / u128::from(most);
        BLOCKS[usize::try_from(height).expect("at most 7")]
    };
    rows.iter().map(block).collect()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is proper");
    ProgressBar::new(1_000).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_proper() {
        bar().abandon();
    }

    #[test]
    fn the_picture_reaches_from_the_lowest_to_the_highest() {
        let row = |ok| Row {
            t: 0.0,
            sent: 0,
            ok,
            errors: 0,
            p50: None,
            p99: None,
            max: 0,
            behind: 0,
            client_busy: 0.0,
            hdr_v2: None,
        };
        assert_eq!(picture(&[row(0), row(50), row(100)]), "▁▄█");
        assert_eq!(picture(&[]), "");
        assert_eq!(picture(&vec![row(0); 99]).chars().count(), PICTURE_LEN);
        assert_eq!((thousandths(1, 0), thousandths(5, 1)), (1_000, 1_000));
    }
}
