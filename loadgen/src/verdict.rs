//! [`Verdict`]: whether the figures of a run may be believed, and why not.
//!
//! What must hold: each reason says what was measured, where the limit is and what to change; what
//! could not be measured is a reason only where it matters.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::short;
use crate::latency::Tail;

/// Above this share of a shard's time the generator may itself be what is slow.
const BUSY_SUSPECT: f64 = 0.80;
/// Above this share it is.
const BUSY_INVALID: f64 = 0.90;
/// How much of an offered rate must have been achieved.
const ACHIEVED_MIN: f64 = 0.99;
/// How long a shard may have waited for a CPU, as a share of the time.
const WAITED_MAX: f64 = 0.01;
/// The largest harmless send lag: this, or this share of the median response time.
const LAG_MAX: Duration = Duration::from_micros(50);
const LAG_SHARE_MAX: f64 = 0.05;

/// How far a result may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Status {
    /// Nothing speaks against it.
    Valid,
    /// Something may have distorted it.
    Suspect,
    /// The generator, not the server, was measured.
    Invalid,
}

impl Status {
    /// As reports write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Valid => "VALID",
            Status::Suspect => "SUSPECT",
            Status::Invalid => "INVALID",
        }
    }
}

/// What is known of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Whether it was an open loop.
    pub(crate) open: bool,
    /// Achieved rate by offered rate.
    pub(crate) achieved: Option<f64>,
    /// The share of its time that the busiest shard has worked.
    pub(crate) busy: Option<f64>,
    /// How much of loadgen's own ceiling was left; negative above what calibration reached.
    pub(crate) headroom: Option<f64>,
    /// The share of its time that the worst shard has waited for a CPU.
    pub(crate) waited: Option<f64>,
    /// The generator's own delay: without waits for a free connection.
    pub(crate) delay: Option<Tail>,
    /// The send lag, waits for a free connection included.
    pub(crate) lag: Option<Tail>,
    /// The median of the response time.
    pub(crate) median: Option<Duration>,
    /// Receives that ended for want of a buffer.
    pub(crate) starved: u64,
    /// Connections that could not be opened for want of descriptors or ports.
    pub(crate) exhausted: u64,
    /// CPUs that both the shards and the server may use, when that is a mistake.
    pub(crate) overlap: Option<String>,
    /// Whether the time that counts shows no trend.
    pub(crate) steady: Option<bool>,
    /// Requests that were due and never sent.
    pub(crate) unsent: u64,
}

/// The judgement of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How far it may be believed.
    pub(crate) status: Status,
    /// Why not further.
    pub(crate) reasons: Vec<String>,
}

impl Verdict {
    /// Judges a run.
    pub(crate) fn of(evidence: &Evidence) -> Verdict {
        let mut verdict = Verdict {
            status: Status::Valid,
            reasons: Vec::new(),
        };
        verdict.judge_client(evidence);
        if evidence.open {
            verdict.judge_schedule(evidence);
        }
        verdict.judge_surroundings(evidence);
        verdict
    }

    fn note(&mut self, status: Status, reason: String) {
        self.status = self.status.max(status);
        self.reasons.push(reason);
    }

    fn judge_client(&mut self, evidence: &Evidence) {
        if let Some(waited) = evidence.waited.filter(|waited| *waited > WAITED_MAX) {
            let reason = format!(
                "a thread was ready and without a CPU for {} of the time (at most {}): give \
                 loadgen CPUs of its own (--cpus)",
                percent(waited),
                percent(WAITED_MAX)
            );
            self.note(Status::Invalid, reason);
        }
        let Some(busy) = evidence.busy.filter(|busy| *busy > BUSY_SUSPECT) else {
            return;
        };
        let behind = evidence.achieved.is_some_and(|ratio| ratio < ACHIEVED_MIN);
        // A closed loop has no rate to miss: a generator that is busy all the time is the limit.
        let status = if busy > BUSY_INVALID && behind {
            Status::Invalid
        } else {
            Status::Suspect
        };
        let reason = format!(
            "loadgen's busiest thread worked {} of the time (suspect above {}): more threads (-t)",
            percent(busy),
            percent(BUSY_SUSPECT)
        );
        self.note(status, reason);
    }

    fn judge_schedule(&mut self, evidence: &Evidence) {
        if let Some(ratio) = evidence.achieved.filter(|ratio| *ratio < ACHIEVED_MIN) {
            let reason = format!(
                "{} of the offered rate was achieved (at least {}): the server, or the number of \
                 connections, does not keep up",
                percent(ratio),
                percent(ACHIEVED_MIN)
            );
            self.note(Status::Suspect, reason);
        }
        if evidence.unsent > 0 {
            let reason = format!(
                "{} requests were due and never sent: the response times lack them",
                crate::number::grouped(evidence.unsent)
            );
            self.note(Status::Suspect, reason);
        }
        let most = LAG_MAX.max(evidence.median.unwrap_or_default().mul_f64(LAG_SHARE_MAX));
        if let Some(delay) = evidence.delay.filter(|delay| delay.time > most) {
            let reason = format!(
                "requests left late: {} of loadgen's own delay is {} (at most {}): a lower rate, \
                 more threads (-t), or CPUs of its own (--cpus)",
                delay.name,
                short(delay.time),
                short(most)
            );
            self.note(Status::Invalid, reason);
        } else if let Some(lag) = evidence.lag.filter(|lag| lag.time > most) {
            let reason = format!(
                "requests waited for a free connection: {} of the send lag is {} (at most {}): \
                 more connections (-c), unless users would wait for these too",
                lag.name,
                short(lag.time),
                short(most)
            );
            self.note(Status::Suspect, reason);
        }
    }

    fn judge_surroundings(&mut self, evidence: &Evidence) {
        if evidence.exhausted > 0 {
            let reason = format!(
                "{} connections could not be opened for want of descriptors or ports: `ulimit -n`, \
                 --source-ip, --close rst",
                evidence.exhausted
            );
            self.note(Status::Invalid, reason);
        }
        if evidence.starved > 0 {
            let reason = format!(
                "{} receives found no free buffer and were started again",
                crate::number::grouped(evidence.starved)
            );
            self.note(Status::Suspect, reason);
        }
        if let Some(cpus) = &evidence.overlap {
            let reason =
                format!("loadgen and the server may both run on CPU {cpus}: pin both apart");
            self.note(Status::Suspect, reason);
        }
        if evidence.steady == Some(false) {
            let reason = "not steady: the rate has a trend; a longer --warmup, or --warmup auto";
            self.note(Status::Suspect, reason.into());
        }
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Evidence {
        Evidence {
            open: true,
            achieved: Some(1.0),
            busy: Some(0.5),
            waited: Some(0.001),
            delay: tail(Duration::from_micros(3)),
            lag: tail(Duration::from_micros(3)),
            median: Some(Duration::from_micros(100)),
            steady: Some(true),
            ..Evidence::default()
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as evidence has it")]
    fn tail(time: Duration) -> Option<Tail> {
        Some(Tail { name: "p99", time })
    }

    fn judged(spoil: impl FnOnce(&mut Evidence)) -> (Status, String) {
        let mut evidence = good();
        spoil(&mut evidence);
        let verdict = Verdict::of(&evidence);
        (verdict.status, verdict.reasons.join("; "))
    }

    #[test]
    fn nothing_against_it_is_valid_also_when_nothing_is_known() {
        assert_eq!(judged(|_| {}), (Status::Valid, String::new()));
        assert_eq!(Verdict::of(&Evidence::default()).status, Status::Valid);
    }

    #[test]
    fn each_limit_is_kept_and_just_above_it_named() {
        use Status::{Invalid, Suspect, Valid};
        let status = |spoil: fn(&mut Evidence)| judged(spoil).0;
        assert_eq!(status(|e| e.busy = Some(0.80)), Valid);
        assert_eq!(status(|e| e.busy = Some(0.801)), Suspect);
        assert_eq!(status(|e| e.waited = Some(0.01)), Valid);
        assert_eq!(status(|e| e.waited = Some(0.0101)), Invalid);
        assert_eq!(status(|e| e.achieved = Some(0.99)), Valid);
        assert_eq!(status(|e| e.achieved = Some(0.989)), Suspect);
        assert_eq!(status(|e| e.delay = tail(Duration::from_micros(50))), Valid);
        assert_eq!(
            status(|e| e.delay = tail(Duration::from_micros(51))),
            Invalid
        );
        assert_eq!(status(|e| e.lag = tail(Duration::from_micros(50))), Valid);
        assert_eq!(status(|e| e.lag = tail(Duration::from_micros(51))), Suspect);
        assert_eq!(status(|e| e.starved = 1), Suspect);
        assert_eq!(status(|e| e.unsent = 1), Suspect);
        assert_eq!(status(|e| e.exhausted = 1), Invalid);
        assert_eq!(status(|e| e.overlap = Some("0-1".into())), Suspect);
        assert_eq!(status(|e| e.steady = Some(false)), Suspect);
    }

    #[test]
    fn limits_work_together() {
        let late = |e: &mut Evidence| {
            e.delay = tail(Duration::from_millis(1));
            e.lag = e.delay;
            e.median = Some(Duration::from_millis(30));
        };
        assert_eq!(
            judged(late).0,
            Status::Valid,
            "5 % of the median are harmless"
        );
        let slow = |e: &mut Evidence| (e.busy, e.achieved) = (Some(0.95), Some(0.9));
        assert_eq!(judged(slow).0, Status::Invalid);
        let closed = |e: &mut Evidence| {
            (e.open, e.busy, e.achieved) = (false, Some(0.99), None);
            e.delay = tail(Duration::from_secs(1));
        };
        assert_eq!(judged(closed).0, Status::Suspect);
        let (status, reasons) = judged(|e| {
            e.waited = Some(0.2);
            e.starved = 3;
        });
        assert_eq!(status, Status::Invalid);
        assert!(
            reasons.contains("20.0 %") && reasons.contains("; 3 receives"),
            "{reasons}"
        );
    }
}
