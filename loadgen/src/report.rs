//! The report of a run, as text for people.
//!
//! What must hold: it says which model was run; the accounts are shown whole, in every outcome; no
//! percentile is shown that too few answers support.

use std::io::{self, Write};
use std::time::Duration;

use crate::duration::short;
use crate::latency::{BEYOND_MIN, Latency, PERCENTILES};
use crate::ledger::Outcome;
use crate::live;
use crate::number::{self, approximate, bytes, grouped, rounded};
use crate::plan::{Overload, Pace, Plan, Schedule, Work};
use crate::record::Threshold;
use crate::tally::Tally;
use crate::trial::Trial;
use crate::url::Url;

/// Writes the report of `plan` on `url` to `out`.
///
/// # Errors
/// As `out`.
pub(crate) fn write(
    out: &mut dyn Write,
    url: &Url,
    plan: &Plan,
    trial: &Trial,
    thresholds: &[Threshold],
) -> io::Result<()> {
    let keep = match plan.requests_per_connection {
        None => "keep-alive".to_owned(),
        Some(1) => "a connection for each request".to_owned(),
        Some(most) => format!("{} requests per connection", grouped(most)),
    };
    writeln!(
        out,
        "Target      {url}      HTTP/1.1 plain, {}, {keep}",
        plan.place
    )?;
    writeln!(out, "Load        {}, {}", load(plan), time(trial))?;
    write_verdict(out, trial)?;
    writeln!(out)?;
    write_times(out, trial)?;
    writeln!(out)?;
    write_rate(out, plan, trial)?;
    writeln!(out, "{}", trial.measured.ledger)?;
    write_unsent(out, &trial.tally)?;
    write_traffic(out, trial)?;
    write_parts(out, plan, trial)?;
    write_server(out, trial)?;
    if trial.rows.len() > 2 {
        writeln!(out, "Timeline    {}", live::picture(&trial.rows))?;
    }
    for threshold in thresholds {
        let word = if threshold.pass { "kept" } else { "BREACHED" };
        writeln!(out, "Condition   {word}: {}", threshold.expr)?;
    }
    if let Some(fault) = &trial.tally.first_fault {
        writeln!(out, "First fault {fault}")?;
    }
    Ok(())
}

/// Which load it was.
fn load(plan: &Plan) -> String {
    let (connections, depth) = (grouped(plan.used_connection_count()), plan.depth);
    let rest = format!(
        "{connections} connections, depth {depth}, {}",
        plan.placement
    );
    match &plan.pace {
        Pace::Closed { think: None } => format!("closed loop, {rest}"),
        Pace::Closed { think: Some(think) } => {
            let how = if think.exponential {
                " exponential"
            } else {
                ""
            };
            format!("closed loop, {}{how} think time, {rest}", short(think.mean))
        }
        Pace::Open(open) => {
            let rate = grouped(rounded(open.profile.mean_rate()));
            let stages = match open.profile.stages.len() {
                1 => String::new(),
                count => format!(" on average over {count} stages"),
            };
            let schedule = match open.schedule {
                Schedule::Pool => "pool",
                Schedule::Conn => "per connection",
            };
            let overload = match open.overload {
                Overload::Queue => String::new(),
                Overload::Shed(time) => format!(", shed after {}", short(time)),
                Overload::Drop => ", drop".into(),
                Overload::Grow(most) => format!(", grow to {}", grouped(most)),
            };
            let arrival = open.arrival;
            format!("open loop, {rate} req/s{stages} {arrival}, {schedule}{overload}, {rest}")
        }
    }
}

/// How long it was.
fn time(trial: &Trial) -> String {
    let elapsed = short(trial.span);
    match trial.tally.warm.elapsed() {
        Duration::ZERO => elapsed,
        warm => format!("{elapsed} after {} warm-up", short(warm)),
    }
}

fn write_verdict(out: &mut dyn Write, trial: &Trial) -> io::Result<()> {
    let evidence = &trial.evidence;
    // What a signal has ended is not what was asked for.
    let status = match trial.signal {
        Some(_) => "none, for the run was interrupted: what follows is a part of it",
        None => trial.verdict.status.name(),
    };
    let mut parts = vec![status.to_owned()];
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    parts.extend(
        evidence
            .achieved
            .map(|ratio| format!("achieved {} of offered", percent(ratio))),
    );
    parts.extend(
        evidence
            .busy
            .map(|busy| format!("client busiest thread {}", percent(busy))),
    );
    parts.extend(
        evidence
            .headroom
            .map(|left| format!("headroom {}", percent(left))),
    );
    parts.extend(
        evidence
            .waited
            .map(|waited| format!("waited for a CPU {}", percent(waited))),
    );
    parts.extend(
        evidence
            .lag
            .map(|lag| format!("send lag {} {}", lag.name, short(lag.time))),
    );
    parts.extend(
        evidence
            .delay
            .map(|delay| format!("own delay {} {}", delay.name, short(delay.time))),
    );
    parts.extend(evidence.steady.map(|steady| {
        if steady {
            "steady".to_owned()
        } else {
            "NOT STEADY".to_owned()
        }
    }));
    writeln!(out, "Verdict     {}", parts.join(" · "))?;
    for reason in trial
        .verdict
        .reasons
        .iter()
        .filter(|_| trial.signal.is_none())
    {
        writeln!(out, "            - {reason}")?;
    }
    Ok(())
}

/// The table of times, and what its last columns rest on.
fn write_times(out: &mut dyn Write, trial: &Trial) -> io::Result<()> {
    write!(out, "{:<14}{:>12}{:>10}", "", "count", "mean")?;
    for percentile in PERCENTILES {
        write!(out, "{:>9}", percentile.name)?;
    }
    writeln!(out, "{:>9}", "max")?;
    let measured = &trial.measured;
    let open = trial.evidence.open;
    let intended = if open {
        "intended send"
    } else {
        "answer before, or think time"
    };
    let rows = [
        (
            "Response time",
            &measured.response,
            format!("from {intended} to whole answer"),
        ),
        (
            "Service time",
            &measured.service,
            "from send to whole answer".into(),
        ),
        (
            "Send lag",
            &measured.lag,
            format!("from {intended} to send"),
        ),
        (
            "Own delay",
            &trial.tally.delay,
            "the same, without waits for a free connection".into(),
        ),
    ];
    let timeouts = measured.ledger.count(Outcome::Timeout);
    // A closed loop sends when a connection is free.
    let rows = &rows[..if open { 4 } else { 3 }];
    for (name, latency, what) in rows {
        write_row(out, name, latency)?;
        let waits = what.ends_with("answer") && timeouts > 0;
        let or = if waits { ", or until it timed out" } else { "" };
        writeln!(out, "   ({what}{or})")?;
    }
    let count = measured.response.count();
    let mut shown = PERCENTILES
        .iter()
        .rev()
        .filter(|p| p.beyond(count) >= BEYOND_MIN);
    match shown.next() {
        Some(last) => {
            let beyond = grouped(last.beyond(count));
            write!(out, "  {} rests on {beyond} answers beyond it.", last.name)?;
            match trial.tally.uncertainty.at(PERCENTILES[2]) {
                Some(time) => writeln!(out, " Stamps are off by {} at p99.", short(time)),
                None => writeln!(out),
            }
        }
        None => writeln!(
            out,
            "  Too few answers for percentiles: {BEYOND_MIN} must lie beyond."
        ),
    }
}

fn write_row(out: &mut dyn Write, name: &str, latency: &Latency) -> io::Result<()> {
    let count = grouped(latency.count());
    write!(out, "{name:<14}{count:>12}{:>10}", short(latency.mean()))?;
    for percentile in PERCENTILES {
        let time = latency.at(percentile).map_or_else(|| "-".into(), short);
        write!(out, "{time:>9}")?;
    }
    write!(out, "{:>9}", short(latency.max()))
}

fn write_rate(out: &mut dyn Write, plan: &Plan, trial: &Trial) -> io::Result<()> {
    let rate = number::rate(trial.rate);
    match &plan.pace {
        Pace::Open(open) => {
            let offered = number::rate(open.profile.mean_rate());
            writeln!(out, "Rate        {rate}/s of {offered}/s offered")
        }
        Pace::Closed { .. } => writeln!(out, "Rate        {rate}/s"),
    }
}

/// What was due and not sent.
fn write_unsent(out: &mut dyn Write, tally: &Tally) -> io::Result<()> {
    let unsent = tally.unsent;
    if unsent.sum() > 0 {
        let [shed, dropped, queued] = [unsent.shed, unsent.dropped, unsent.queued].map(grouped);
        writeln!(
            out,
            "Not sent    {shed} shed + {dropped} dropped + {queued} queued at end, though due"
        )?;
    }
    if tally.unclaimed > 0 {
        writeln!(out, "Not sent    {}", grouped(tally.unclaimed))?;
    }
    Ok(())
}

/// Status codes, bytes and connections.
fn write_traffic(out: &mut dyn Write, trial: &Trial) -> io::Result<()> {
    let (ledger, traffic) = (&trial.measured.ledger, &trial.tally.traffic);
    let statuses = ledger
        .statuses()
        .map(|(status, count)| format!("{status}: {}", grouped(count)));
    let mut statuses = statuses.collect::<Vec<_>>().join(", ");
    if statuses.is_empty() {
        statuses.push_str("none");
    }
    let warm = trial.tally.warm.elapsed();
    let seconds = (trial.span + warm).as_secs_f64();
    let per_second = if seconds > 0.0 {
        approximate(traffic.bytes_in) / seconds
    } else {
        0.0
    };
    let (received, sent) = (bytes(traffic.bytes_in), bytes(traffic.bytes_out));
    let speed = bytes(rounded(per_second));
    let with = if warm.is_zero() {
        ""
    } else {
        ", with the warm-up's"
    };
    writeln!(
        out,
        "Status      {statuses}      Bytes in {received} ({speed}/s), out {sent}{with}"
    )?;
    write!(
        out,
        "Connections opened {}, {} reconnects, {} failed attempts",
        grouped(traffic.connected),
        grouped(traffic.reconnects),
        grouped(traffic.connect_failed)
    )?;
    if traffic.connected > 0 {
        write!(out, ", {} to connect", short(trial.tally.connect.mean()))?;
    }
    if traffic.surplus > 0 {
        write!(
            out,
            ", {} with bytes nobody asked for",
            grouped(traffic.surplus)
        )?;
    }
    writeln!(out)
}

/// Templates and stages by themselves.
fn write_parts(out: &mut dyn Write, plan: &Plan, trial: &Trial) -> io::Result<()> {
    let line =
        |out: &mut dyn Write, kind: &str, name: &str, sent: u64, errors: u64, latency: &Latency| {
            let at = |at: usize| {
                latency
                    .at(PERCENTILES[at])
                    .map_or_else(|| "-".into(), short)
            };
            writeln!(
                out,
                "{kind:<12}{name}: {} sent, {} errors, p50 {}, p99 {}, p99.9 {}, max {}",
                grouped(sent),
                grouped(errors),
                at(0),
                at(2),
                at(3),
                short(latency.max())
            )
        };
    if let Work::Mix(mix) = &plan.work {
        for (kind, accounts) in mix.kinds().iter().zip(&trial.tally.templates) {
            let ledger = &accounts.ledger;
            line(
                out,
                "Template",
                &kind.name,
                ledger.sent,
                ledger.errors(),
                &accounts.response,
            )?;
        }
    }
    if let Pace::Open(open) = &plan.pace
        && open.profile.stages.len() > 1
    {
        for (stage, accounts) in open.profile.stages.iter().zip(&trial.tally.phases[1..]) {
            let ledger = &accounts.ledger;
            line(
                out,
                "Stage",
                &stage.name,
                ledger.sent,
                ledger.errors(),
                &accounts.response,
            )?;
        }
    }
    Ok(())
}

fn write_server(out: &mut dyn Write, trial: &Trial) -> io::Result<()> {
    let Some(server) = &trial.server else {
        return Ok(());
    };
    write!(
        out,
        "Server      {}: {:.2} CPUs",
        server.source, server.cpu_util
    )?;
    if let Some(micros) = server.cpu_us_per_request {
        write!(out, ", {micros:.2} µs CPU/req")?;
    }
    if let Some(switches) = server.ctx_switches_per_request {
        write!(out, ", {switches:.3} context switches/req")?;
    }
    if let Some(rss) = server.rss_peak {
        write!(out, ", RSS at most {}", bytes(rss))?;
    }
    writeln!(out)
}

/// What went wrong in a run, each as a clause; nothing when all is well.
pub(crate) fn faults(tally: &Tally) -> Vec<String> {
    let ledger = &tally.measured().ledger;
    let count = |outcome| ledger.count(outcome);
    let unknown = count(Outcome::Timeout) + count(Outcome::Reset) + count(Outcome::InFlightAtEnd);
    let all = [
        (count(Outcome::BadStatus), "answered with another status"),
        (
            count(Outcome::BadHeader),
            "answered without a header field that was asked for",
        ),
        (count(Outcome::BadBody), "answered with another content"),
        (
            count(Outcome::Malformed),
            "answered with bytes that are no response",
        ),
        (unknown, "without an answer, their outcome unknown"),
        (tally.unclaimed, "never sent"),
        (tally.traffic.surplus, "surplus answers nobody asked for"),
    ];
    let wrong = all.into_iter().filter(|(count, _)| *count > 0);
    wrong
        .map(|(count, what)| format!("{} {what}", grouped(count)))
        .collect()
}
