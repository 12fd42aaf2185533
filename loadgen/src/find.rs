//! `loadgen find`: the highest rate at which a server keeps a promise.
//!
//! What must hold: a rate passes only if the promise is kept and the rate was achieved, whatever
//! delays of the generator's own are in the response times; where it fails because the generator
//! was the limit, the table says so; the rate that is told was confirmed by runs of its own.

use std::io::Write;

use crate::cli::Find;
use crate::duration::short;
use crate::exit::{Exit, Failure};
use crate::latency::PERCENTILES;
use crate::number::{grouped, rounded};
use crate::observer::Outputs;
use crate::run;
use crate::threshold::Condition;
use crate::trial::{self, Trial};
use crate::verdict::{Status, Verdict};

/// The least share of an offered rate that must have been achieved.
const ACHIEVED_MIN: f64 = 0.99;
/// The search ends when the interval is narrower than this share.
const WIDTH_MIN: f64 = 0.03;
/// Steps of the bisection at most.
const STEPS_MAX: u32 = 12;

/// Searches; the table goes to `out`.
///
/// # Errors
/// When a run cannot be made.
pub(crate) fn run(find: &Find, out: &mut dyn Write) -> Result<Exit, Failure> {
    let slo: Vec<_> = find.slo.iter().map(ToString::to_string).collect();
    writeln!(
        out,
        "Target      {}\nPromise     {}\n",
        find.url,
        slo.join(", ")
    )?;
    let ceiling = ceiling(find)?;
    writeln!(
        out,
        "closed loop {}/s: no rate above it can pass\n",
        grouped(ceiling)
    )?;
    writeln!(
        out,
        "{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "offered/s", "achieved/s", "p50", "p99", "p99.9", "lag p99"
    )?;
    let (mut low, mut high) = (0, ceiling.max(2));
    let mut steps = 0;
    while steps < STEPS_MAX && is_wide(low, high) {
        let middle = low + (high - low) / 2;
        if step(find, middle.max(1), out)? {
            low = middle.max(1);
        } else {
            high = middle;
        }
        steps += 1;
    }
    confirm(find, low, out)
}

/// Whether it pays to look between two rates.
fn is_wide(low: u64, high: u64) -> bool {
    let width = crate::number::approximate(high - low);
    high > low + 1 && width > crate::number::approximate(high) * WIDTH_MIN
}

/// What a closed loop achieves.
fn ceiling(find: &Find) -> Result<u64, Failure> {
    let mut load = find.load.clone();
    (load.rate, load.stages) = (None, None);
    let plan = run::prepare(&load, &find.url)?;
    let trial = trial(&plan)?;
    let rate = rounded(trial.rate);
    if rate == 0 {
        let line = "the server answered nothing in a closed loop";
        return Err(Failure::new(Exit::Failed, line));
    }
    Ok(rate)
}

fn trial(plan: &crate::plan::Plan) -> Result<Trial, Failure> {
    let outputs = Outputs {
        quiet: true,
        ..Outputs::default()
    };
    let trial = trial::run(plan, outputs, None, trial::watch(plan))?;
    match trial.signal {
        Some(signal) => Err(Failure::new(Exit::Interrupted { signal }, "interrupted")),
        None => Ok(trial),
    }
}

/// Runs at one rate; whether it passed.
fn step(find: &Find, rate: u64, out: &mut dyn Write) -> Result<bool, Failure> {
    let mut load = find.load.clone();
    (load.rate, load.stages) = (Some(rate), None);
    let plan = run::prepare(&load, &find.url)?;
    let trial = trial(&plan)?;
    let reasons = breaches(&find.slo, &trial, rate);
    let at = |at: usize| {
        trial
            .measured
            .response
            .at(PERCENTILES[at])
            .map_or("-".into(), short)
    };
    let lag = trial
        .measured
        .lag
        .at(PERCENTILES[2])
        .map_or("-".into(), short);
    let said = say(&reasons, &trial.verdict);
    writeln!(
        out,
        "{:>12}{:>12}{:>10}{:>10}{:>10}{lag:>10}   {said}",
        grouped(rate),
        grouped(rounded(trial.rate)),
        at(0),
        at(2),
        at(3)
    )?;
    out.flush()?;
    Ok(reasons.is_empty())
}

/// What the table says: a failure may be the generator's, a promise that was kept cannot.
fn say(reasons: &[String], verdict: &Verdict) -> String {
    if reasons.is_empty() {
        return "pass".to_owned();
    }
    let failed = format!("FAIL: {}", reasons.join(", "));
    match (verdict.status, verdict.reasons.first()) {
        (Status::Invalid, Some(why)) => format!("{failed}; INVALID, {why}"),
        _ => failed,
    }
}

/// Why a run does not pass.
fn breaches(slo: &[Condition], trial: &Trial, rate: u64) -> Vec<String> {
    let offered = Some(crate::number::approximate(rate));
    let judged = slo.iter().map(|condition| condition.judge(trial, offered));
    let breached = judged.filter(|threshold| !threshold.pass);
    let mut reasons: Vec<_> = breached
        .map(|threshold| format!("not {}", threshold.expr))
        .collect();
    if trial
        .evidence
        .achieved
        .is_some_and(|ratio| ratio < ACHIEVED_MIN)
    {
        reasons.push("rate not achieved".into());
    }
    if trial.tally.measured().ledger.errors() > 0 {
        reasons.push("errors".into());
    }
    reasons
}

/// Runs several times at the rate that was found.
fn confirm(find: &Find, rate: u64, out: &mut dyn Write) -> Result<Exit, Failure> {
    if rate == 0 {
        writeln!(out, "\nno rate keeps the promise")?;
        return Ok(Exit::Breached);
    }
    writeln!(out, "\nconfirming {}/s", grouped(rate))?;
    let mut passed = 0;
    for _ in 0..find.confirmations {
        passed += u64::from(step(find, rate, out)?);
    }
    let all = find.confirmations;
    writeln!(
        out,
        "\nknee {}/s; {all} confirmations: {passed}/{all} pass",
        grouped(rate)
    )?;
    Ok(if passed == all {
        Exit::Fine
    } else {
        Exit::Unsteady
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_an_invalid_run_is_not_laid_at_the_servers_door() {
        let verdict = |status| Verdict {
            status,
            reasons: vec!["a thread had no CPU".into()],
        };
        let late = ["not p99<5ms".to_owned()];
        assert_eq!(say(&[], &verdict(Status::Invalid)), "pass");
        assert_eq!(say(&late, &verdict(Status::Suspect)), "FAIL: not p99<5ms");
        let invalid = "FAIL: not p99<5ms; INVALID, a thread had no CPU";
        assert_eq!(say(&late, &verdict(Status::Invalid)), invalid);
    }

    #[test]
    fn the_search_ends_when_the_rates_are_close() {
        assert!(is_wide(0, 2) && is_wide(900, 1_000));
        assert!(!is_wide(0, 1) && !is_wide(971, 1_000) && !is_wide(5, 5));
    }
}
