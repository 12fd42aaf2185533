//! [`Trial`]: one run with everything around it: signals, live view, timeline, the server's cost,
//! the verdict.
//!
//! What must hold: every command runs its load through here, so that none can forget to check the
//! accounts.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sunstar::runtime::wall_clock;

use crate::accounts::Accounts;
use crate::ceiling::{Ceilings, Shape};
use crate::engine;
use crate::exit::{Exit, Failure};
use crate::latency::PERCENTILES;
use crate::machine::{self, Used};
use crate::moment::clock;
use crate::number::approximate;
use crate::observer::{Observer, Outputs};
use crate::plan::{Limit, Open, Pace, Place, Plan};
use crate::record::Server;
use crate::statistics;
use crate::tally::Tally;
use crate::timeline::Row;
use crate::verdict::{Evidence, Verdict};
use crate::watch::Watch;

/// How much of the median rate a trend must make up to count.
const TREND_MIN: f64 = 0.10;
/// One in so many answers may come when nothing is sent any more: more of them are a queue, which
/// only the end of the schedule has ended.
const LATE_PART: u64 = 100;

/// A finished run.
pub(crate) struct Trial {
    /// The accounts.
    pub(crate) tally: Tally,
    /// All phases but the warm-up together.
    pub(crate) measured: Accounts,
    /// The time that rates are told for, see [`span`].
    pub(crate) span: Duration,
    /// Whole answers per second, see [`rate`].
    pub(crate) rate: f64,
    /// The timeline.
    pub(crate) rows: Vec<Row>,
    /// When it was started.
    pub(crate) started: SystemTime,
    /// The signal that ended it early.
    pub(crate) signal: Option<u8>,
    /// What it cost the server.
    pub(crate) server: Option<Server>,
    /// What the verdict rests on, and the verdict.
    pub(crate) evidence: Evidence,
    /// See `evidence`.
    pub(crate) verdict: Verdict,
}

/// Runs a plan. The trial of a run that a signal has ended is partial.
///
/// # Errors
/// When the run cannot start or the accounts do not add up.
pub(crate) fn run(
    plan: &Plan,
    outputs: Outputs,
    server_pid: Option<u32>,
    watch: (Arc<Watch>, std::sync::mpsc::Receiver<crate::watch::RowPart>),
) -> Result<Trial, Failure> {
    let failed = |error: String| Failure::new(Exit::Failed, error);
    let before = server_pid.and_then(Used::by);
    if let (Some(pid), None) = (server_pid, before) {
        let line = format!("no process has the number {pid} (--server-pid)");
        return Err(Failure::new(Exit::Usage, line));
    }
    let (watch, rows) = watch;
    watch
        .listen()
        .map_err(|error| failed(format!("cannot listen to signals: {error}")))?;
    let observer = Observer::start(plan, &watch, rows, outputs)
        .map_err(|error| failed(format!("cannot start a thread: {error}")))?;
    let started = wall_clock();
    let began = clock();
    let result = engine::run(plan.clone(), &watch);
    let time = clock() - began;
    let after = server_pid.and_then(Used::by);
    let (timeline, written) = observer.finish();
    let tally = result.map_err(|error| failed(in_our_options(&error)))?;
    written.map_err(|error: io::Error| failed(format!("cannot write the timeline: {error}")))?;
    let measured = tally.measured();
    let answered = tally
        .phases
        .iter()
        .map(|phase| phase.ledger.answered())
        .sum();
    let server = before.zip(after).zip(server_pid);
    let server = server.map(|((before, after), pid)| after.since(before, time, answered, pid));
    let span = span(plan, &tally, &measured);
    let rate = rate(plan, &tally, &measured, span);
    let evidence = Evidence {
        achieved: achieved(plan, &tally, &measured, rate, span),
        headroom: headroom(plan, &tally, rate),
        steady: steady(plan, &tally, timeline.rows()),
        overlap: machine::overlap(&plan.placement, server_pid),
        ..evidence(plan, &tally, &measured)
    };
    check_balance(plan.limit, &tally)?;
    Ok(Trial {
        span,
        rate,
        verdict: Verdict::of(&evidence),
        measured,
        rows: timeline.rows().to_vec(),
        started,
        signal: watch.signal(),
        server,
        evidence,
        tally,
    })
}

fn per_second(count: u64, span: Duration) -> f64 {
    let seconds = span.as_secs_f64();
    if seconds > 0.0 {
        approximate(count) / seconds
    } else {
        0.0
    }
}

/// The time that the rates of a run are told for. A closed loop's is from its first request to its
/// last answer, an open loop's that of its schedule. To that comes what it took longer to send, or
/// what the answers took longer to come than one takes that waits for no other.
fn span(plan: &Plan, tally: &Tally, measured: &Accounts) -> Duration {
    let Pace::Open(open) = &plan.pace else {
        return tally.elapsed();
    };
    let sent = tally.since_warm(tally.last_sent);
    let span = schedule(plan.limit, open, tally).max(sent);
    if tally.late * LATE_PART <= measured.ledger.answered() {
        return span;
    }
    let answered = tally.since_warm(tally.last_answer);
    span.max(answered.saturating_sub(measured.service.min()))
}

/// Whole answers per second: to the requests that count in their time, or, where those of the
/// warm-up were still in line before them, to all in that time.
fn rate(plan: &Plan, tally: &Tally, measured: &Accounts, span: Duration) -> f64 {
    let own = per_second(measured.ledger.answered(), span);
    let time = match (tally.cut, plan.limit) {
        (Some(cut), _) => tally.since_warm(Some(cut)),
        (None, Limit::Time(time)) => time,
        (None, Limit::Requests(_)) => return own,
    };
    let all = per_second(tally.in_time, time);
    own.max(match plan.pace {
        // What was left over from a warm-up is not offered.
        Pace::Open(_) => all.min(per_second(due(tally, measured), time)),
        Pace::Closed { .. } => all,
    })
}

/// How many requests that count were due.
fn due(tally: &Tally, measured: &Accounts) -> u64 {
    measured.ledger.sent + tally.unsent.sum()
}

/// How long the requests of an open loop were due for.
fn schedule(limit: Limit, open: &Open, tally: &Tally) -> Duration {
    let count = match (tally.cut, limit) {
        (Some(cut), _) => return tally.since_warm(Some(cut)),
        (None, Limit::Time(time)) => return time,
        (None, Limit::Requests(count)) => approximate(count),
    };
    // One gap more than lies between them; random ones may have taken longer.
    let mean = Duration::try_from_secs_f64(count / open.profile.mean_rate());
    let due = tally.since_warm(tally.last_due);
    mean.unwrap_or_default().max(due)
}

/// Refuses a run whose accounts do not add up.
fn check_balance(limit: Limit, tally: &Tally) -> Result<(), Failure> {
    if engine::is_balanced(limit, tally) {
        return Ok(());
    }
    let line = "loadgen's own accounts do not add up: this is a bug, trust no figure of it";
    Err(Failure::new(Exit::Unbalanced, line))
}

/// A fresh watch over a plan's shards.
pub(crate) fn watch(plan: &Plan) -> (Arc<Watch>, std::sync::mpsc::Receiver<crate::watch::RowPart>) {
    let (watch, rows) = Watch::new(plan.placement.shard_count());
    (Arc::new(watch), rows)
}

/// The same advice for loadgen: what other programs on sunstar call `--smp` is `-t` here.
fn in_our_options(message: &str) -> String {
    message.replace("--smp", "-t or --cpus")
}

fn evidence(plan: &Plan, tally: &Tally, measured: &Accounts) -> Evidence {
    let worst = |shares: &dyn Fn(&crate::health::Health) -> Option<f64>| {
        tally.health.iter().filter_map(shares).reduce(f64::max)
    };
    let open = matches!(plan.pace, Pace::Open(_));
    Evidence {
        open,
        busy: worst(&|health| health.busy),
        waited: worst(&|health| health.waited),
        delay: tally.delay.tail().filter(|_| open),
        lag: measured.lag.tail().filter(|_| open),
        median: measured.response.at(PERCENTILES[0]),
        starved: tally.health.iter().map(|health| health.starved).sum(),
        exhausted: tally.traffic.exhausted,
        unsent: tally.unsent.sum(),
        ..Evidence::default()
    }
}

/// Which ceiling is this run's; none is that of a Unix socket, which `calibrate` does not use.
pub(crate) fn shape(plan: &Plan, tally: &Tally) -> Option<Shape> {
    let Place::Tcp(_) = plan.place else {
        return None;
    };
    Some(Shape {
        driver: tally.driver?.to_owned(),
        threads: plan.placement.shard_count(),
        depth: plan.depth,
        connections: plan.used_connection_count(),
    })
}

/// What part of the ceiling this run did not use, when loadgen was calibrated for the like of it.
fn headroom(plan: &Plan, tally: &Tally, rate: f64) -> Option<f64> {
    let ceiling = Ceilings::read(&Ceilings::path()?).of(&shape(plan, tally)?)?;
    Some(1.0 - rate / ceiling)
}

/// The rate by the one that was offered: by the requests that were due, since random moments are
/// never as many as their mean says.
fn achieved(
    plan: &Plan,
    tally: &Tally,
    measured: &Accounts,
    rate: f64,
    span: Duration,
) -> Option<f64> {
    let Pace::Open(open) = &plan.pace else {
        return None;
    };
    let due = due(tally, measured).max(1);
    let offered = per_second(due, schedule(plan.limit, open, tally).min(span));
    (offered > 0.0).then(|| rate / offered)
}

/// Whether the rate of whole rows shows no trend; unknown when there are too few, or when the rate
/// is meant to change.
fn steady(plan: &Plan, tally: &Tally, rows: &[Row]) -> Option<bool> {
    if let Pace::Open(open) = &plan.pace
        && open.profile.stages.len() > 1
    {
        return None;
    }
    let from = tally.warm.seconds() + plan.interval.as_secs_f64();
    let whole: Vec<f64> = rows[..rows.len().saturating_sub(1)]
        .iter()
        .filter(|row| row.t >= from)
        .map(|row| approximate(row.ok))
        .collect();
    (whole.len() >= 8).then(|| !statistics::has_trend(&whole, TREND_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_do_not_add_up_end_the_program_with_70() {
        let (limit, mut tally) = (Limit::Requests(1), Tally::new(2, 1));
        let failure = check_balance(limit, &tally).unwrap_err();
        assert_eq!((failure.exit, failure.exit.code()), (Exit::Unbalanced, 70));
        tally.unclaimed = 1;
        assert_eq!(check_balance(limit, &tally), Ok(()));
    }

    #[test]
    fn advice_names_options_that_exist() {
        let advice = in_our_options("cannot make a ring (start fewer shards (--smp))");
        assert_eq!(
            advice,
            "cannot make a ring (start fewer shards (-t or --cpus))"
        );
    }
}
