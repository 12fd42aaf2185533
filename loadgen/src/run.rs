//! `loadgen run`: one load on one URL; [`perform`]: what every command does with its plan.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{Body, Run};
use crate::descriptors;
use crate::engine;
use crate::exit::{Exit, Failure};
use crate::ledger::{Ledger, Outcome};
use crate::number::grouped;
use crate::plan::{Expected, Limit, Plan, Work};
use crate::progress::Progress;
use crate::report;
use crate::tally::Tally;
use crate::template::Template;
use crate::url::Url;
use crate::watch::Watch;

/// How long a run takes that was told neither a time nor a number of requests.
const DEFAULT_TIME: Duration = Duration::from_secs(10);

/// Runs a load; the report goes to `out`.
///
/// # Errors
/// When there is no report, or only a part of one.
pub(crate) fn run(run: &Run, out: &mut dyn Write) -> Result<Exit, Failure> {
    let body = run.body.as_ref().map(|Body(bytes)| bytes.as_slice());
    let template = Template::new(&run.method, &run.url, &run.headers, body);
    let limit = match run.requests {
        Some(count) => Limit::Requests(count),
        None => Limit::Time(run.duration.unwrap_or(DEFAULT_TIME)),
    };
    let placement = run.machine.placement();
    let placement = placement.map_err(|line| Failure::new(Exit::Usage, line))?;
    let most = run.connections.min(run.requests.unwrap_or(u64::MAX));
    descriptors::make_room(most, placement.shard_count())?;
    let plan = Plan {
        address: reach(&run.url)?,
        work: Work::Same {
            template,
            head: run.method == "HEAD",
        },
        limit,
        connection_count: run.connections,
        depth: run.pipeline,
        timeout: run.machine.timeout,
        expected: Expected::Success,
        placement,
    };
    let tally = perform(&plan, &run.url, out)?;
    if tally.ledger.sent == 0 {
        return Err(Failure::new(
            Exit::Failed,
            why_nothing_was_sent(&plan, &tally),
        ));
    }
    Ok(judge(&tally))
}

fn why_nothing_was_sent(plan: &Plan, tally: &Tally) -> String {
    let (opened, most) = (tally.ledger.connected, plan.used_connection_count());
    let opened = format!(
        "opened {} of {} connections",
        grouped(opened),
        grouped(most)
    );
    match (plan.limit, &tally.first_fault) {
        (_, Some(fault)) => format!("no request was sent: {opened}: {fault}"),
        (Limit::Time(time), None) => {
            format!("no request was sent: {opened} within {time:?}; give a longer -d or fewer -c")
        }
        (Limit::Requests(_), None) => format!("no request was sent: {opened}"),
    }
}

/// The address of the server, which accepts connections.
///
/// # Errors
/// When it does not.
pub(crate) fn reach(url: &Url) -> Result<SocketAddr, Failure> {
    let refused = |error| Failure::new(Exit::Failed, format!("cannot connect to {url}: {error}"));
    url.reach().map_err(refused)
}

/// Runs a plan with a progress bar, writes its report and checks its accounts.
///
/// # Errors
/// When the shards cannot start, a signal ended the run, or the accounts do not add up; in the
/// latter two cases the report is written.
pub(crate) fn perform(plan: &Plan, url: &Url, out: &mut dyn Write) -> Result<Tally, Failure> {
    let watch = Arc::new(Watch::new(plan.placement.shard_count()));
    let failed = |error: String| Failure::new(Exit::Failed, error);
    watch
        .listen()
        .map_err(|error| failed(format!("cannot listen to signals: {error}")))?;
    let progress = Progress::start(plan.limit, &watch);
    let tally = engine::run(plan.clone(), &watch)
        .map_err(|error| failed(in_our_options(&error.to_string())))?;
    drop(progress);
    report::write(out, url, plan, &tally)?;
    if !engine::is_balanced(plan.limit, &tally) {
        let line = "loadgen's own accounts do not add up: this is a bug, trust no figure above";
        return Err(Failure::new(Exit::Unbalanced, line));
    }
    match watch.signal() {
        Some(signal) => {
            let line = "interrupted: the report is partial and nothing was judged";
            Err(Failure::new(Exit::Interrupted { signal }, line))
        }
        None => Ok(tally),
    }
}

/// The same advice for loadgen: what other programs on sunstar call `--smp` is `-t` here.
fn in_our_options(message: &str) -> String {
    message.replace("--smp", "-t or --cpus")
}

/// How a run has ended: wrong answers weigh more than missing ones.
fn judge(tally: &Tally) -> Exit {
    let Ledger {
        surplus,
        connect_failed,
        ..
    } = tally.ledger;
    let count = |outcome| tally.ledger.count(outcome);
    let wrong = count(Outcome::BadStatus) + count(Outcome::Malformed) + surplus;
    let missing = count(Outcome::Timeout) + count(Outcome::Reset) + connect_failed + tally.unsent;
    match (wrong, missing, tally.ledger.answered()) {
        (1.., _, _) => Exit::Unverified,
        (0, 1.., _) | (0, 0, 0) => Exit::Failed,
        (0, 0, _) => Exit::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_options_that_exist() {
        let advice = in_our_options("cannot make a ring (start fewer shards (--smp))");
        assert_eq!(
            advice,
            "cannot make a ring (start fewer shards (-t or --cpus))"
        );
    }

    #[test]
    fn wrong_answers_weigh_more_than_missing_ones() {
        let judged = |outcomes: &[Outcome]| {
            let mut tally = Tally::new();
            for &outcome in outcomes {
                tally.ledger.settle(outcome, 1);
            }
            judge(&tally)
        };
        assert_eq!(judged(&[]), Exit::Failed, "no answer at all");
        assert_eq!(judged(&[Outcome::Ok]), Exit::Fine);
        assert_eq!(judged(&[Outcome::Ok, Outcome::InFlightAtEnd]), Exit::Fine);
        assert_eq!(judged(&[Outcome::Ok, Outcome::Timeout]), Exit::Failed);
        assert_eq!(judged(&[Outcome::Ok, Outcome::Reset]), Exit::Failed);
        assert_eq!(
            judged(&[Outcome::BadStatus, Outcome::Reset]),
            Exit::Unverified
        );
        assert_eq!(judged(&[Outcome::Ok, Outcome::Malformed]), Exit::Unverified);
    }

    #[test]
    fn what_concerns_no_request_counts_too() {
        let judged = |spoil: fn(&mut Tally)| {
            let mut tally = Tally::new();
            tally.ledger.settle(Outcome::Ok, 1);
            spoil(&mut tally);
            judge(&tally)
        };
        assert_eq!(judged(|tally| tally.ledger.surplus = 1), Exit::Unverified);
        assert_eq!(
            judged(|tally| tally.ledger.connect_failed = 1),
            Exit::Failed
        );
        assert_eq!(judged(|tally| tally.unsent = 1), Exit::Failed);
    }
}
