//! [`Timeline`]: the rows of a run, put together from what each shard says.
//!
//! What must hold: the rows add up to the totals; a finished row keeps a few numbers, and its
//! histogram only in the file that was asked for.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::latency::{Latency, PERCENTILES};
use crate::number::approximate;
use crate::watch::RowPart;

/// One finished row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// When it ended, in seconds after the start of the run.
    pub(crate) t: f64,
    /// Requests sent in it, warm-up not counted, as in all of these.
    pub(crate) sent: u64,
    /// Answers that were as hoped for.
    pub(crate) ok: u64,
    /// Requests that ended otherwise.
    pub(crate) errors: u64,
    /// The median of the response times in ns, when enough lie beyond it.
    pub(crate) p50: Option<u64>,
    /// Their 99th percentile.
    pub(crate) p99: Option<u64>,
    /// The longest of them.
    pub(crate) max: u64,
    /// How long the oldest due request had waited for a connection at the end, in ns.
    pub(crate) behind: u64,
    /// The busiest shard's share of work.
    pub(crate) client_busy: f64,
    /// The response times, as `latency.response.hdr_v2`; in the file only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hdr_v2: Option<String>,
}

/// The rows of a run.
pub(crate) struct Timeline {
    interval: Duration,
    shards: usize,
    /// Rows for which not every shard has spoken, with how many have.
    open: BTreeMap<u64, (Interval, usize)>,
    rows: Vec<Row>,
    file: Option<BufWriter<File>>,
    /// The response times of all rows so far.
    pub(crate) response: Latency,
    /// What the rows so far come to: sent, ok, errors.
    pub(crate) sums: [u64; 3],
}

impl Timeline {
    /// Without rows; those to come also go to `file` as lines of JSON.
    pub(crate) fn new(interval: Duration, shards: usize, file: Option<File>) -> Timeline {
        Timeline {
            interval,
            shards,
            open: BTreeMap::new(),
            rows: Vec::new(),
            file: file.map(BufWriter::new),
            response: Latency::new(),
            sums: [0; 3],
        }
    }

    /// Takes up what one shard says.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn push(&mut self, part: RowPart) -> io::Result<()> {
        let (interval, spoken) = self.open.entry(part.row).or_default();
        interval.merge(part.interval);
        *spoken += 1;
        while let Some(first) = self.open.first_entry() {
            if first.get().1 < self.shards {
                break;
            }
            let (row, (interval, _)) = first.remove_entry();
            self.close(row, &interval)?;
        }
        Ok(())
    }

    fn close(&mut self, row: u64, interval: &Interval) -> io::Result<()> {
        let nanos = |latency: &Latency, at: usize| {
            let time = latency.at(PERCENTILES[at]);
            time.and_then(|time| u64::try_from(time.as_nanos()).ok())
        };
        let response = interval.response();
        let mut row = Row {
            t: approximate(row + 1) * self.interval.as_secs_f64(),
            sent: interval.sent,
            ok: interval.ok,
            errors: interval.errors,
            p50: response.and_then(|latency| nanos(latency, 0)),
            p99: response.and_then(|latency| nanos(latency, 2)),
            max: response.map_or(0, Latency::max_nanos),
            behind: interval.behind,
            client_busy: interval.busy,
            hdr_v2: None,
        };
        for (sum, number) in self.sums.iter_mut().zip([row.sent, row.ok, row.errors]) {
            *sum += number;
        }
        if let Some(latency) = response {
            self.response.merge(latency);
        }
        if let Some(file) = &mut self.file {
            row.hdr_v2 = response.map(Latency::to_hdr);
            serde_json::to_writer(&mut *file, &row)?;
            file.write_all(b"\n")?;
            row.hdr_v2 = None;
        }
        self.rows.push(row);
        Ok(())
    }

    /// The rows so far.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Closes what is open: the run is over.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        for (row, (interval, _)) in std::mem::take(&mut self.open) {
            self.close(row, &interval)?;
        }
        self.file.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outcome;

    fn part(row: u64, ok: u64) -> RowPart {
        let mut interval = Interval::default();
        interval.sent += ok;
        interval.settle(Outcome::Ok, ok);
        interval.record(1_000_000 * (row + 1), ok);
        RowPart { row, interval }
    }

    #[test]
    fn rows_are_closed_when_all_shards_have_spoken_and_in_order() {
        let mut timeline = Timeline::new(Duration::from_secs(1), 2, None);
        for (row, ok) in [(0, 100), (1, 20), (1, 30), (0, 200), (2, 7)] {
            timeline.push(part(row, ok)).unwrap();
        }
        let counts = |timeline: &Timeline| -> Vec<_> {
            timeline.rows().iter().map(|row| (row.t, row.ok)).collect()
        };
        assert_eq!(counts(&timeline), [(1.0, 300), (2.0, 50)]);
        timeline.finish().unwrap();
        assert_eq!(counts(&timeline), [(1.0, 300), (2.0, 50), (3.0, 7)]);
        assert_eq!(
            (timeline.sums, timeline.response.count()),
            ([357, 357, 0], 357)
        );
        assert_eq!(timeline.rows()[2].p50, None, "too few for a percentile");
        assert!(timeline.rows()[0].p50.is_some());
    }
}
