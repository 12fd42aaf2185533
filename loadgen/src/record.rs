//! [`Record`]: the result of a run as JSON, schema `loadgen/1`.
//!
//! What must hold: a field is never given another meaning, only new ones are added; what the
//! schema file in `loadgen/schema` says is what is written; `docs/result.md` explains it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::accounts::Accounts;
use crate::latency::{BEYOND_MIN, Latency, PERCENTILES};
use crate::ledger::{Ledger, Outcome};
use crate::tally::Tally;
use crate::timeline::Row;
use crate::verdict::Status;

/// What `schema` says.
pub(crate) const SCHEMA: &str = "loadgen/1";

/// A whole result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    pub(crate) tool: Tool,
    /// A random UUID.
    pub(crate) id: String,
    /// What the user calls it.
    pub(crate) label: Label,
    /// When the run was started, RFC 3339.
    pub(crate) started: String,
    /// Whether a signal ended it early.
    pub(crate) interrupted: bool,
    pub(crate) target: Target,
    /// Every option in effect, defaults included.
    pub(crate) config: serde_json::Value,
    pub(crate) model: Model,
    pub(crate) env: Env,
    pub(crate) phases: Phases,
    pub(crate) verdict: Judged,
    pub(crate) counts: Counts,
    pub(crate) rate: Rate,
    pub(crate) latency: Times,
    pub(crate) templates: Vec<Part>,
    pub(crate) stages: Vec<Part>,
    pub(crate) timeseries: Timeseries,
    pub(crate) server: Option<Server>,
    pub(crate) thresholds: Vec<Threshold>,
    /// As E1 of the manual lists them.
    pub(crate) exit_code: u8,
}

/// Which loadgen it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tool {
    pub(crate) version: String,
    pub(crate) features: Vec<String>,
}

/// What the user calls a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) name: Option<String>,
}

/// Where the requests went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) urls: Vec<String>,
    pub(crate) address: String,
    pub(crate) protocol: String,
    pub(crate) unix: Option<String>,
}

/// Which kind of load it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    /// `open` or `closed`.
    #[serde(rename = "loop")]
    pub(crate) kind: String,
    pub(crate) arrival: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) overload: Option<String>,
    /// Requests per second, the mean over all stages.
    pub(crate) offered_rate: Option<f64>,
    pub(crate) connections: u64,
    pub(crate) threads: usize,
    pub(crate) pipeline: u64,
    pub(crate) keepalive: bool,
    /// 0: as many as come.
    pub(crate) requests_per_conn: u64,
}

/// Where it was run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Env {
    pub(crate) host: Option<String>,
    pub(crate) kernel: Option<String>,
    pub(crate) cpu: Option<String>,
    pub(crate) cpus: Option<usize>,
    pub(crate) governor: Option<String>,
    pub(crate) client_cpus: Option<String>,
    pub(crate) server_cpus: Option<String>,
    pub(crate) lo_mtu: Option<u32>,
    pub(crate) clock: Option<String>,
    pub(crate) driver: String,
}

/// The parts of the run, in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Phases {
    pub(crate) warmup_s: f64,
    pub(crate) measured_s: f64,
    /// Requests of the warm-up: in no other count.
    pub(crate) warmup_sent: u64,
    /// Null when the run was too short to say.
    pub(crate) steady: Option<bool>,
}

/// The verdict with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Judged {
    pub(crate) status: Status,
    pub(crate) reasons: Vec<String>,
    pub(crate) achieved_ratio: Option<f64>,
    pub(crate) client_busy_max: Option<f64>,
    pub(crate) send_lag_p99_ns: Option<u64>,
    #[serde(default)]
    pub(crate) own_delay_p99_ns: Option<u64>,
    pub(crate) runqueue_wait_ratio: Option<f64>,
    pub(crate) enobufs: u64,
    pub(crate) exhausted: u64,
    #[serde(default)]
    pub(crate) clock_uncertainty_p99_ns: Option<u64>,
    #[serde(default)]
    pub(crate) clock_uncertainty_max_ns: u64,
    #[serde(default)]
    pub(crate) headroom_vs_calibration: Option<f64>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) ok: u64,
    pub(crate) status_unexpected: u64,
    #[serde(default)]
    pub(crate) header_mismatch: u64,
    pub(crate) body_mismatch: u64,
    pub(crate) protocol: u64,
    pub(crate) timeout: u64,
    pub(crate) reset: u64,
    pub(crate) in_flight_at_end: u64,
    /// Due and never sent: these four are not in `sent`.
    pub(crate) shed: u64,
    pub(crate) dropped: u64,
    pub(crate) queued_at_end: u64,
    pub(crate) unclaimed: u64,
    /// Of the whole run, warm-up included.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) connections_opened: u64,
    pub(crate) reconnects: u64,
    pub(crate) connect_failed: u64,
    pub(crate) surplus: u64,
    pub(crate) status: BTreeMap<String, u64>,
}

/// Requests per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) offered: Option<f64>,
    /// All whole answers.
    pub(crate) achieved: f64,
    /// Those that were as hoped for.
    pub(crate) ok: f64,
    /// The standard deviation of the rows' rates.
    pub(crate) interval_stdev: f64,
}

/// The histograms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) response: Distribution,
    pub(crate) service: Distribution,
    pub(crate) send_lag: Distribution,
    /// What of the send lag is no wait for a free connection; results of old have none.
    #[serde(default)]
    pub(crate) own_delay: Option<Distribution>,
    pub(crate) connect: Distribution,
}

/// One histogram, all times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    pub(crate) unit: String,
    pub(crate) count: u64,
    pub(crate) min: u64,
    pub(crate) mean: f64,
    pub(crate) stdev: f64,
    pub(crate) max: u64,
    /// Only those beyond which at least ten samples lie.
    pub(crate) percentiles: BTreeMap<String, Point>,
    pub(crate) hdr_v2: String,
}

/// One percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) value: u64,
    pub(crate) samples_beyond: u64,
}

/// A template or a stage by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered_rate: Option<f64>,
    pub(crate) counts: Counts,
    pub(crate) response: Distribution,
}

/// The timeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timeseries {
    pub(crate) interval_s: f64,
    pub(crate) rows: Vec<Row>,
}

/// What the run cost the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) source: String,
    pub(crate) cpu_us_per_request: Option<f64>,
    /// CPUs' worth of work, 1.0 for one CPU.
    pub(crate) cpu_util: f64,
    pub(crate) rss_peak: Option<u64>,
    pub(crate) ctx_switches_per_request: Option<f64>,
}

/// A condition of `--fail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Threshold {
    pub(crate) expr: String,
    /// Null when it could not be measured; times in nanoseconds.
    pub(crate) value: Option<f64>,
    pub(crate) pass: bool,
}

impl Distribution {
    /// Of a histogram.
    pub(crate) fn of(latency: &Latency) -> Distribution {
        let count = latency.count();
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let point = |percentile: crate::latency::Percentile| {
            let value = nanos(latency.at(percentile)?);
            let samples_beyond = percentile.beyond(count);
            let name = percentile.name.trim_start_matches('p').to_owned();
            Some((
                name,
                Point {
                    value,
                    samples_beyond,
                },
            ))
        };
        Distribution {
            unit: "ns".into(),
            count,
            min: if count == 0 { 0 } else { nanos(latency.min()) },
            mean: latency.mean_nanos(),
            stdev: latency.deviation_nanos(),
            max: latency.max_nanos(),
            percentiles: PERCENTILES.into_iter().filter_map(point).collect(),
            hdr_v2: latency.to_hdr(),
        }
    }

    /// A percentile as `99.9`.
    pub(crate) fn at(&self, name: &str) -> Option<u64> {
        let point = self.percentiles.get(name)?;
        (point.samples_beyond >= BEYOND_MIN).then_some(point.value)
    }
}

impl Times {
    /// Of the requests that count.
    pub(crate) fn of(measured: &Accounts, connect: &Latency, delay: &Latency) -> Times {
        Times {
            response: Distribution::of(&measured.response),
            service: Distribution::of(&measured.service),
            send_lag: Distribution::of(&measured.lag),
            own_delay: Some(Distribution::of(delay)),
            connect: Distribution::of(connect),
        }
    }
}

impl Counts {
    /// What a ledger says.
    pub(crate) fn of(ledger: &Ledger) -> Counts {
        let statuses = ledger.statuses();
        Counts {
            sent: ledger.sent,
            ok: ledger.count(Outcome::Ok),
            status_unexpected: ledger.count(Outcome::BadStatus),
            header_mismatch: ledger.count(Outcome::BadHeader),
            body_mismatch: ledger.count(Outcome::BadBody),
            protocol: ledger.count(Outcome::Malformed),
            timeout: ledger.count(Outcome::Timeout),
            reset: ledger.count(Outcome::Reset),
            in_flight_at_end: ledger.count(Outcome::InFlightAtEnd),
            status: statuses
                .map(|(status, count)| (status.to_string(), count))
                .collect(),
            ..Counts::default()
        }
    }

    /// The same with what else a tally knows.
    pub(crate) fn of_all(ledger: &Ledger, tally: &Tally) -> Counts {
        Counts {
            shed: tally.unsent.shed,
            dropped: tally.unsent.dropped,
            queued_at_end: tally.unsent.queued,
            unclaimed: tally.unclaimed,
            bytes_in: tally.traffic.bytes_in,
            bytes_out: tally.traffic.bytes_out,
            connections_opened: tally.traffic.connected,
            reconnects: tally.traffic.reconnects,
            connect_failed: tally.traffic.connect_failed,
            surplus: tally.traffic.surplus,
            ..Counts::of(ledger)
        }
    }

    /// Requests that ended otherwise than hoped for.
    pub(crate) fn errors(&self) -> u64 {
        let Counts {
            status_unexpected,
            header_mismatch,
            body_mismatch,
            protocol,
            timeout,
            reset,
            ..
        } = self;
        status_unexpected + header_mismatch + body_mismatch + protocol + timeout + reset
    }
}

impl Record {
    /// Reads a result file.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn read(path: &std::path::Path) -> Result<Record, String> {
        let wrong = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let record: Record = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("no result of loadgen: {error}")))?;
        if record.schema != SCHEMA {
            return Err(wrong(format!("schema {}, not {SCHEMA}", record.schema)));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_keeps_the_rule_of_ten_samples() {
        let mut latency = Latency::new();
        (1..=1_000).for_each(|micros| latency.record(micros * 1_000, 1));
        let distribution = Distribution::of(&latency);
        let names: Vec<_> = distribution
            .percentiles
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, ["50", "90", "99"]);
        assert_eq!(distribution.percentiles["99"].samples_beyond, 10);
        assert_eq!((distribution.at("99.9"), distribution.count), (None, 1_000));
        let again = Latency::from_hdr(&distribution.hdr_v2).unwrap();
        assert_eq!(again.count(), 1_000);
        let nothing = Distribution::of(&Latency::new());
        assert_eq!(
            (nothing.min, nothing.max, nothing.percentiles.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn the_counts_add_up_as_the_ledger_does() {
        let mut ledger = Ledger::default();
        ledger.sent += 36;
        for (outcome, count) in Outcome::ALL.into_iter().zip(1..) {
            ledger.settle(outcome, count);
        }
        let counts = Counts::of(&ledger);
        assert_eq!(
            counts.ok + counts.errors() + counts.in_flight_at_end,
            counts.sent
        );
        assert_eq!(counts.errors(), ledger.errors());
    }
}
