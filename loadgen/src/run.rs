//! `loadgen run`: one load on one URL, judged and reported.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{Format, Load, Machine, Output, Run};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::ledger::Outcome;
use crate::moment::clock;
use crate::number::grouped;
use crate::page;
use crate::plan::{Overload, Pace, Plan};
use crate::record::{Record, Threshold};
use crate::report;
use crate::result;
use crate::tally::Tally;
use crate::trial::{self, Trial};
use crate::url::Url;
use crate::verdict::Status;
use crate::watch::Watch;

/// How often to look for a signal between two runs.
const LOOK: Duration = Duration::from_millis(50);

/// Runs a load as often as is wanted; the reports go to `out`. Gives the first end that was not
/// fine.
///
/// # Errors
/// When there is no report, or only a part of one; then nothing more is run.
pub(crate) fn run(run: &Run, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut first = Exit::Fine;
    for number in 1..=run.repeat {
        if run.repeat > 1 && run.output.format == Format::Text {
            writeln!(out, "Run         {number} of {}", run.repeat)?;
        }
        let (exit, watch) = run_once(run, &run.output.of_run(number), out)?;
        if first == Exit::Fine {
            first = exit;
        }
        if number < run.repeat {
            rest(run.cooldown, &watch)?;
        }
    }
    Ok(first)
}

/// Lets the server and the machine rest, unless a signal comes.
#[expect(
    clippy::disallowed_methods,
    reason = "there are no shards between two runs"
)]
fn rest(time: Duration, watch: &Watch) -> Result<(), Failure> {
    let end = clock() + time;
    while clock() < end {
        if let Some(signal) = watch.signal() {
            let line = "interrupted between two runs: the rest of them was left out";
            return Err(Failure::new(Exit::Interrupted { signal }, line));
        }
        std::thread::sleep(LOOK.min(end.saturating_duration_since(clock())));
    }
    Ok(())
}

fn run_once(
    run: &Run,
    output: &Output,
    out: &mut dyn Write,
) -> Result<(Exit, Arc<Watch>), Failure> {
    let load = &run.load;
    let mut plan = prepare(load, &run.url)?;
    plan.interval = output.interval;
    let outputs = output
        .open()
        .map_err(|line| Failure::new(Exit::Usage, line))?;
    let watch = trial::watch(&plan);
    let asked = Arc::clone(&watch.0);
    let trial = trial::run(&plan, outputs, load.machine.server_pid, watch)?;
    let offered = crate::result::offered_rate(&plan);
    let conditions = output.conditions.iter();
    let thresholds: Vec<_> = conditions.map(|one| one.judge(&trial, offered)).collect();
    let nothing_measured = trial.measured.ledger.sent == 0;
    let exit = match judge(&trial, &thresholds, output.allow_invalid) {
        interrupted @ Exit::Interrupted { .. } => interrupted,
        _ if nothing_measured => Exit::Failed,
        judged => judged,
    };
    if let Exit::Interrupted { .. } = exit
        && nothing_measured
    {
        let line = "interrupted before the first request that counts: nothing was measured";
        return Err(Failure::new(exit, line));
    }
    let label = output.label.as_deref();
    let record = result::record(load, &run.url, &plan, &trial, thresholds, label, exit);
    publish(output, &run.url, &plan, &trial, &record, out)?;
    if let Exit::Interrupted { .. } = exit {
        let line = "interrupted: the report is partial and nothing was judged";
        return Err(Failure::new(exit, line));
    }
    if nothing_measured {
        let line = why_nothing_was_sent(&plan, &trial.tally);
        return Err(Failure::new(exit, line));
    }
    Ok((exit, asked))
}

/// The plan of a load on `url`, whose server is there.
///
/// # Errors
/// When it is not, or the command line is at fault.
pub(crate) fn prepare(load: &Load, url: &Url) -> Result<Plan, Failure> {
    let wrong = |line| Failure::new(Exit::Usage, line);
    let threads = load.machine.placement().map_err(wrong)?.shard_count();
    let most = match load.overload {
        Overload::Grow(most) => most,
        _ => load.connections.min(load.requests.unwrap_or(u64::MAX)),
    };
    descriptors::make_room(most, threads)?;
    let address = reach(url, &load.machine)?;
    load.plan(url, address).map_err(wrong)
}

/// The address of the server, which accepts connections. Over a Unix socket the URL's own address
/// is not used, and need not exist.
///
/// # Errors
/// When it does not.
pub(crate) fn reach(url: &Url, machine: &Machine) -> Result<SocketAddr, Failure> {
    let refused = |place: &str, error: std::io::Error| {
        Failure::new(Exit::Failed, format!("cannot connect to {place}: {error}"))
    };
    match &machine.unix {
        None => url
            .reach()
            .map_err(|error| refused(&url.to_string(), error)),
        Some(path) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Ok(SocketAddr::from(([0, 0, 0, 0], 0))),
            Err(error) => Err(refused(&path.display().to_string(), error)),
        },
    }
}

/// Writes everything that was asked for.
fn publish(
    output: &Output,
    url: &Url,
    plan: &Plan,
    trial: &Trial,
    record: &Record,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let json = serde_json::to_vec_pretty(record).expect("a record is plain data");
    let write = |path: &std::path::Path, bytes: &[u8]| {
        std::fs::write(path, bytes)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))
    };
    if let Some(path) = &output.result {
        write(path, &json)?;
    }
    if let Some(path) = &output.hdr {
        write(path, record.latency.response.hdr_v2.as_bytes())?;
    }
    if let Some(path) = &output.html {
        write(path, page::write(std::slice::from_ref(record)).as_bytes())?;
    }
    match output.format {
        Format::Text => report::write(out, url, plan, trial, &record.thresholds)?,
        Format::Json => {
            out.write_all(&json)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn why_nothing_was_sent(plan: &Plan, tally: &Tally) -> String {
    let in_warm_up: u64 = tally.phases.iter().map(|phase| phase.ledger.sent).sum();
    let is_open = matches!(plan.pace, Pace::Open(_));
    if is_open && in_warm_up > 0 && tally.first_fault.is_none() {
        return "no request that counts was sent: those due in the warm-up still waited for a free \
                connection when the time was over; lower -R or raise -c"
            .to_owned();
    }
    let opened = format!(
        "no request was sent: opened {} of {} connections",
        grouped(tally.traffic.connected),
        grouped(plan.used_connection_count())
    );
    match &tally.first_fault {
        Some(fault) => format!("{opened}: {fault}"),
        None => format!("{opened}; give a longer -d"),
    }
}

/// How a run has ended: wrong answers weigh more than missing ones, these more than conditions,
/// and these more than doubts about the figures.
fn judge(trial: &Trial, thresholds: &[Threshold], allow_invalid: bool) -> Exit {
    let tally = &trial.tally;
    let count = |outcome| {
        let phases = tally.phases.iter();
        phases.map(|phase| phase.ledger.count(outcome)).sum::<u64>()
    };
    let answered: u64 = tally
        .phases
        .iter()
        .map(|phase| phase.ledger.answered())
        .sum();
    let wrong = count(Outcome::BadStatus)
        + count(Outcome::BadHeader)
        + count(Outcome::BadBody)
        + count(Outcome::Malformed)
        + tally.traffic.surplus;
    let missing = count(Outcome::Timeout)
        + count(Outcome::Reset)
        + tally.traffic.connect_failed
        + tally.unclaimed;
    if let Some(signal) = trial.signal {
        return Exit::Interrupted { signal };
    }
    match (wrong, missing, answered) {
        (1.., _, _) => Exit::Unverified,
        (0, 1.., _) | (0, 0, 0) => Exit::Failed,
        _ if thresholds.iter().any(|threshold| !threshold.pass) => Exit::Breached,
        _ if allow_invalid => Exit::Fine,
        _ if trial.verdict.status == Status::Invalid => Exit::Invalid,
        _ if trial.evidence.steady == Some(false) => Exit::Unsteady,
        _ => Exit::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Batch;
    use crate::moment::Moment;
    use crate::verdict::{Evidence, Verdict};

    fn judged(outcomes: &[Outcome], spoil: impl FnOnce(&mut Trial)) -> Exit {
        let mut tally = Tally::new(2, 1);
        let batch = Batch {
            intended: Moment(0),
            sent: Moment(0),
            count: 1,
            phase: 1,
            template: 0,
        };
        for &outcome in outcomes {
            tally.settle(&batch, outcome, 1);
        }
        let evidence = Evidence::default();
        let mut trial = Trial {
            span: Duration::from_secs(1),
            rate: 0.0,
            measured: tally.measured(),
            tally,
            rows: Vec::new(),
            started: std::time::SystemTime::UNIX_EPOCH,
            signal: None,
            server: None,
            verdict: Verdict::of(&evidence),
            evidence,
        };
        spoil(&mut trial);
        judge(&trial, &[], false)
    }

    #[test]
    fn wrong_answers_weigh_more_than_missing_ones() {
        use Outcome::{BadBody, BadStatus, InFlightAtEnd, Malformed, Ok, Reset, Timeout};
        let judged = |outcomes: &[Outcome]| judged(outcomes, |_| {});
        assert_eq!(judged(&[]), Exit::Failed, "no answer at all");
        assert_eq!(judged(&[Ok]), Exit::Fine);
        assert_eq!(judged(&[Ok, InFlightAtEnd]), Exit::Fine);
        assert_eq!(judged(&[Ok, Timeout]), Exit::Failed);
        assert_eq!(judged(&[Ok, Reset]), Exit::Failed);
        assert_eq!(judged(&[BadStatus, Reset]), Exit::Unverified);
        assert_eq!(judged(&[Ok, BadBody]), Exit::Unverified);
        assert_eq!(judged(&[Ok, Malformed]), Exit::Unverified);
    }

    #[test]
    fn a_run_that_sent_nothing_says_why() {
        let plan = crate::plan::samples::closed(3);
        let mut tally = Tally::new(2, 1);
        let why = why_nothing_was_sent(&plan, &tally);
        assert_eq!(
            why,
            "no request was sent: opened 0 of 3 connections; give a longer -d"
        );
        tally.note_connect_failed(&std::io::ErrorKind::ConnectionRefused.into());
        let why = why_nothing_was_sent(&plan, &tally);
        assert!(
            why.ends_with("0 of 3 connections: cannot connect: connection refused"),
            "{why}"
        );
    }

    #[test]
    fn a_rate_that_the_warm_up_never_kept_is_not_told_to_take_longer() {
        use crate::plan::samples;
        let (open, closed) = (samples::open(100, Overload::Queue), samples::closed(3));
        let mut tally = Tally::new(2, 1);
        tally.phases[0].ledger.sent = 7;
        let why = why_nothing_was_sent(&open, &tally);
        assert!(why.ends_with("lower -R or raise -c"), "{why}");
        let why = why_nothing_was_sent(&closed, &tally);
        assert!(why.ends_with("give a longer -d"), "{why}");
        tally.note_connect_failed(&std::io::ErrorKind::ConnectionRefused.into());
        let why = why_nothing_was_sent(&open, &tally);
        assert!(why.ends_with("connection refused"), "{why}");
    }

    #[test]
    fn what_concerns_no_request_counts_too() {
        let judged = |spoil: fn(&mut Trial)| judged(&[Outcome::Ok], spoil);
        assert_eq!(
            judged(|trial| trial.tally.traffic.surplus = 1),
            Exit::Unverified
        );
        assert_eq!(
            judged(|trial| trial.tally.traffic.connect_failed = 1),
            Exit::Failed
        );
        assert_eq!(judged(|trial| trial.tally.unclaimed = 1), Exit::Failed);
        assert_eq!(
            judged(|trial| trial.verdict.status = Status::Invalid),
            Exit::Invalid
        );
        assert_eq!(
            judged(|trial| trial.verdict.status = Status::Suspect),
            Exit::Fine
        );
        assert_eq!(
            judged(|trial| trial.evidence.steady = Some(false)),
            Exit::Unsteady
        );
        let stopped = judged(|trial| trial.signal = Some(2));
        assert_eq!(stopped, Exit::Interrupted { signal: 2 });
    }
}
