//! The report of a run, as text for people.
//!
//! What must hold: it says which model was run (closed loop); the accounts are shown whole, in
//! every outcome; no percentile is shown that too few answers support.

use std::io::{self, Write};

use crate::duration::short;
use crate::latency::{BEYOND_MIN, Latency, PERCENTILES};
use crate::ledger::Outcome;
use crate::number::{approximate, bytes, grouped, rounded};
use crate::plan::Plan;
use crate::tally::Tally;
use crate::url::Url;

/// Writes the report of `plan` on `url` to `out`.
///
/// # Errors
/// As `out`.
pub(crate) fn write(out: &mut dyn Write, url: &Url, plan: &Plan, tally: &Tally) -> io::Result<()> {
    let (connections, depth) = (grouped(plan.used_connection_count()), plan.depth);
    let elapsed = short(tally.elapsed());
    writeln!(
        out,
        "Target      {url}      HTTP/1.1 plain, {}",
        plan.address
    )?;
    writeln!(
        out,
        "Load        closed loop, {connections} connections, depth {depth}, {}, {elapsed}",
        plan.placement
    )?;
    writeln!(out)?;
    write_latency(out, &tally.latency)?;
    writeln!(out)?;
    writeln!(out, "Rate        {}/s", grouped(rounded(tally.rate())))?;
    writeln!(out, "{}", tally.ledger)?;
    if tally.unsent > 0 {
        writeln!(out, "Not sent    {}", grouped(tally.unsent))?;
    }
    write_traffic(out, plan, tally)?;
    if let Some(fault) = &tally.first_fault {
        writeln!(out, "First fault {fault}")?;
    }
    Ok(())
}

/// The table of times, and what its last columns rest on.
fn write_latency(out: &mut dyn Write, latency: &Latency) -> io::Result<()> {
    write!(out, "{:<14}{:>12}{:>10}", "", "count", "mean")?;
    for percentile in PERCENTILES {
        write!(out, "{:>9}", percentile.name)?;
    }
    writeln!(out, "{:>9}", "max")?;
    let count = latency.count();
    write!(
        out,
        "Service time  {:>12}{:>10}",
        grouped(count),
        short(latency.mean())
    )?;
    for percentile in PERCENTILES {
        let time = latency.at(percentile).map_or_else(|| "-".into(), short);
        write!(out, "{time:>9}")?;
    }
    writeln!(
        out,
        "{:>9}   (from send to whole answer)",
        short(latency.max())
    )?;
    let mut shown = PERCENTILES
        .iter()
        .rev()
        .filter(|p| p.beyond(count) >= BEYOND_MIN);
    match shown.next() {
        Some(last) => {
            let beyond = grouped(last.beyond(count));
            writeln!(out, "  {} rests on {beyond} answers beyond it.", last.name)
        }
        None => writeln!(
            out,
            "  Too few answers for percentiles: {BEYOND_MIN} must lie beyond."
        ),
    }
}

/// Status codes, bytes and connections.
fn write_traffic(out: &mut dyn Write, plan: &Plan, tally: &Tally) -> io::Result<()> {
    let ledger = &tally.ledger;
    let statuses = ledger
        .statuses()
        .map(|(status, count)| format!("{status}: {}", grouped(count)));
    let mut statuses = statuses.collect::<Vec<_>>().join(", ");
    if statuses.is_empty() {
        statuses.push_str("none");
    }
    let seconds = tally.elapsed().as_secs_f64();
    let per_second = if seconds > 0.0 {
        approximate(ledger.bytes_in) / seconds
    } else {
        0.0
    };
    let (received, sent) = (bytes(ledger.bytes_in), bytes(ledger.bytes_out));
    let speed = bytes(rounded(per_second));
    writeln!(
        out,
        "Status      {statuses}      Bytes in {received} ({speed}/s), out {sent}"
    )?;
    let reconnects = ledger
        .connected
        .saturating_sub(plan.used_connection_count());
    write!(
        out,
        "Connections opened {}, {} reconnects, {} failed attempts",
        grouped(ledger.connected),
        grouped(reconnects),
        grouped(ledger.connect_failed)
    )?;
    if ledger.surplus > 0 {
        write!(
            out,
            ", {} with bytes nobody asked for",
            grouped(ledger.surplus)
        )?;
    }
    writeln!(out)
}

/// What went wrong in a run, each as a clause; nothing when all is well.
pub(crate) fn faults(tally: &Tally) -> Vec<String> {
    let count = |outcome| tally.ledger.count(outcome);
    let unknown = count(Outcome::Timeout) + count(Outcome::Reset) + count(Outcome::InFlightAtEnd);
    let all = [
        (count(Outcome::BadStatus), "answered with another status"),
        (
            count(Outcome::Malformed),
            "answered with bytes that are no response",
        ),
        (unknown, "without an answer, their outcome unknown"),
        (tally.unsent, "never sent"),
        (tally.ledger.surplus, "surplus answers nobody asked for"),
    ];
    let wrong = all.into_iter().filter(|(count, _)| *count > 0);
    wrong
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect()
}
