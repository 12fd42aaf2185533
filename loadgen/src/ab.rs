//! `loadgen ab`: two servers in turn, compared; `loadgen compare`: the same from result files.
//!
//! What must hold: the order of each block mirrors the one before (A B, B A), so that a drift
//! falls on both sides alike; a server that was started by a command is started afresh for every
//! run.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::cli::{Ab, Compare};
use crate::comparison::{self, Comparison, RUNS_MIN};
use crate::exit::{Exit, Failure};
use crate::observer::Outputs;
use crate::record::Record;
use crate::result;
use crate::run;
use crate::statistics::median;
use crate::subject::Subject;
use crate::trial;

/// The schema of the result.
const SCHEMA: &str = "loadgen-ab/1";

/// What `-o` holds.
#[derive(Serialize)]
struct Session<'a> {
    schema: &'static str,
    a: String,
    b: String,
    /// The letters in the order in which they ran.
    order: String,
    comparisons: &'a [Comparison],
    /// The rate of the second half by that of the first, less 1, over both sides.
    drift: Option<f64>,
    runs_a: &'a [Record],
    runs_b: &'a [Record],
}

/// Runs both sides; the table goes to `out`.
///
/// # Errors
/// When a server does not start or a run cannot be made.
pub(crate) fn run(ab: &Ab, out: &mut dyn Write) -> Result<Exit, Failure> {
    writeln!(out, "A {}\nB {}", ab.a, ab.b)?;
    let (mut runs_a, mut runs_b, mut order) = (Vec::new(), Vec::new(), String::new());
    let mut rates = Vec::new();
    for block in 0..ab.blocks {
        let letters = if block % 2 == 0 {
            ['A', 'B']
        } else {
            ['B', 'A']
        };
        for letter in letters {
            let subject = if letter == 'A' { &ab.a } else { &ab.b };
            let record = measure(ab, subject)?;
            rates.push(record.rate.ok);
            order.push(letter);
            if letter == 'A' {
                runs_a.push(record);
            } else {
                runs_b.push(record);
            }
        }
    }
    let comparisons = comparison::all(&runs_a, &runs_b);
    let model = &runs_a[0].model;
    writeln!(
        out,
        "{} blocks, order {order}, {} loop, {} connections\n",
        ab.blocks, model.kind, model.connections
    )?;
    comparison::write(out, &comparisons)?;
    let drift = drift(&rates);
    if let Some(drift) = drift {
        let percent = drift * 100.0;
        writeln!(
            out,
            "Drift over the session {percent:+.1} % (falls on both sides alike)"
        )?;
    }
    warn_of_verdicts(out, &runs_a, &runs_b)?;
    if let Some(path) = &ab.output {
        let session = Session {
            schema: SCHEMA,
            a: ab.a.to_string(),
            b: ab.b.to_string(),
            order,
            comparisons: &comparisons,
            drift,
            runs_a: &runs_a,
            runs_b: &runs_b,
        };
        let json = serde_json::to_vec_pretty(&session).expect("a session is plain data");
        std::fs::write(path, json)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))?;
    }
    let worse = comparison::is_worse(&comparisons, model.kind == "open");
    Ok(if worse { Exit::Worse } else { Exit::Fine })
}

/// One run against a server of its own.
fn measure(ab: &Ab, subject: &Subject) -> Result<Record, Failure> {
    let started = subject.start(&ab.target)?;
    let mut load = ab.load.clone();
    load.machine.server_pid = started.pid();
    let plan = run::prepare(&load, &started.url)?;
    let outputs = Outputs {
        quiet: true,
        ..Outputs::default()
    };
    let trial = trial::run(&plan, outputs, started.pid(), trial::watch(&plan))?;
    if let Some(signal) = trial.signal {
        let line = "interrupted: nothing was compared";
        return Err(Failure::new(Exit::Interrupted { signal }, line));
    }
    if let Some(fault) = &trial.tally.first_fault {
        let line = format!("a run against {subject} failed: {fault}");
        return Err(Failure::new(Exit::Failed, line));
    }
    let exit = Exit::Fine;
    Ok(result::record(
        &load,
        &started.url,
        &plan,
        &trial,
        Vec::new(),
        None,
        exit,
    ))
}

/// How much the second half differs from the first.
fn drift(rates: &[f64]) -> Option<f64> {
    let (first, second) = rates.split_at(rates.len() / 2);
    Some(median(second)? / median(first)? - 1.0)
}

fn warn_of_verdicts(out: &mut dyn Write, a: &[Record], b: &[Record]) -> std::io::Result<()> {
    let mut reasons: Vec<_> = a
        .iter()
        .chain(b)
        .flat_map(|record| &record.verdict.reasons)
        .map(|reason| {
            reason
                .split(':')
                .next_back()
                .unwrap_or(reason)
                .trim()
                .to_owned()
        })
        .collect();
    reasons.sort();
    reasons.dedup();
    let doubtful = a
        .iter()
        .chain(b)
        .filter(|record| !record.verdict.reasons.is_empty())
        .count();
    if doubtful > 0 {
        let all = a.len() + b.len();
        writeln!(
            out,
            "{doubtful} of {all} runs are in doubt: {}",
            reasons.join("; ")
        )?;
    }
    Ok(())
}

/// Compares result files; the table goes to `out`.
///
/// # Errors
/// When a file is no result, or there are too few.
pub(crate) fn compare(compare: &Compare, out: &mut dyn Write) -> Result<Exit, Failure> {
    let wrong = |line: String| Failure::new(Exit::Usage, line);
    let read = |paths: &[PathBuf]| -> Result<Vec<Record>, Failure> {
        paths
            .iter()
            .map(|path| Record::read(path).map_err(wrong))
            .collect()
    };
    let (a, b) = (read(&compare.base)?, read(&compare.new)?);
    if a.len().min(b.len()) < RUNS_MIN {
        let line = format!(
            "{} and {} results: each side needs at least {RUNS_MIN}, or noise decides",
            a.len(),
            b.len()
        );
        return Err(wrong(line));
    }
    let open = a[0].model.kind == "open";
    if a.iter().chain(&b).any(|record| record.model != a[0].model) {
        writeln!(
            out,
            "Attention: not all of these results had the same load."
        )?;
    }
    let comparisons = comparison::all(&a, &b);
    comparison::write(out, &comparisons)?;
    let worse = comparison::is_worse(&comparisons, open);
    Ok(if worse { Exit::Worse } else { Exit::Fine })
}
