//! `loadgen report`: results as one HTML page without anything from elsewhere, as SVG, as CSV.
//!
//! What must hold: the page needs no network and no script; what a result says of itself, its
//! verdict first, is on the page; several results are compared in the same charts.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::chart::{Axis, Chart, Series, escape};
use crate::cli::Report;
use crate::duration::short;
use crate::exit::{Exit, Failure};
use crate::latency::{Latency, PERCENTILES};
use crate::number::{approximate, grouped, rounded};
use crate::record::{Distribution, Record};
use crate::verdict::Status;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:900px;margin:2em auto;padding:0 1em;\
    color:#222}table{border-collapse:collapse;margin:1em 0;font-size:13px}td,th{padding:3px 9px;\
    border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}\
    .VALID{color:#00684a}.SUSPECT{color:#9a5b00}.INVALID{color:#b00020}svg{max-width:100%;\
    height:auto}code{background:#8882;padding:1px 4px;overflow-wrap:anywhere}\
    .wide{overflow-x:auto}.wide svg{min-width:600px}th,td{white-space:nowrap}\
    :root{color-scheme:light dark}@media(prefers-color-scheme:dark){body{background:#17181a;\
    color:#ddd}td,th{border-color:#444}.VALID{color:#3ec28f}.SUSPECT{color:#e0a040}\
    .INVALID{color:#ff7080}svg rect{fill:#17181a}svg text{fill:#ccc}svg path{stroke:#3a3a3a}}";

/// Writes what was asked for.
///
/// # Errors
/// When a file is no result or cannot be written.
pub(crate) fn run(report: &Report) -> Result<Exit, Failure> {
    let read = report.results.iter().map(|path| Record::read(path));
    let records: Result<Vec<_>, _> = read.collect();
    let records = records.map_err(|line| Failure::new(Exit::Usage, line))?;
    let put = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Failure::new(Exit::Failed, format!("{}: {error}", path.display())))
    };
    if let Some(path) = &report.html {
        put(path, write(&records))?;
    }
    if let Some(path) = &report.svg {
        let [first, second] = pictures(path);
        put(&first, percentiles(&records).to_svg())?;
        put(&second, rates(&records).to_svg())?;
    }
    if let Some(path) = &report.csv {
        put(path, csv(&records)?)?;
    }
    Ok(Exit::Fine)
}

/// The files of the pictures that are called by this name.
pub(crate) fn pictures(path: &Path) -> [PathBuf; 2] {
    ["percentiles", "timeline"].map(|name| beside(path, name))
}

/// `x.svg` becomes `x-name.svg`.
fn beside(path: &Path, name: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{name}.svg"))
}

/// The page.
pub(crate) fn write(records: &[Record]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>loadgen</title><style>{STYLE}</style></head><body>\n<h1>loadgen</h1>\n"
    );
    for (index, record) in records.iter().enumerate() {
        write_head(&mut out, record, index).expect("a String takes every byte");
    }
    for chart in [percentiles(records), rates(records), times(records)] {
        write!(out, "<div class=\"wide\">{}</div>", chart.to_svg())
            .expect("a String takes every byte");
    }
    for (index, record) in records.iter().enumerate() {
        write_tables(&mut out, record, index).expect("a String takes every byte");
    }
    out.push_str("</body></html>\n");
    out
}

/// What a result is called.
fn name(record: &Record, index: usize) -> String {
    record
        .label
        .name
        .clone()
        .unwrap_or_else(|| format!("run {}", index + 1))
}

/// The verdict, if the run has come to its end.
fn judgement(record: &Record) -> &'static str {
    if record.interrupted {
        "interrupted"
    } else {
        record.verdict.status.name()
    }
}

fn write_head(out: &mut String, record: &Record, index: usize) -> std::fmt::Result {
    let (name, status) = (escape(&name(record, index)), judgement(record));
    let url = escape(&record.target.urls.join(", "));
    writeln!(
        out,
        "<h2>{name}: <span class=\"{status}\">{status}</span></h2>"
    )?;
    if record.interrupted {
        writeln!(out, "<p>Interrupted: this result is partial.</p>")?;
    }
    let rate = match record.rate.offered {
        Some(offered) => format!(
            "{}/s of {}/s offered",
            count(record.rate.ok),
            count(offered)
        ),
        None => format!("{}/s", count(record.rate.ok)),
    };
    writeln!(
        out,
        "<p><code>{url}</code><br>{} loop, {} connections, {} thread(s), {rate}, {} errors of \
         {} requests. {} after {} warm-up, started {}.</p>",
        record.model.kind,
        grouped(record.model.connections),
        record.model.threads,
        grouped(record.counts.errors()),
        grouped(record.counts.sent),
        seconds(record.phases.measured_s),
        seconds(record.phases.warmup_s),
        escape(&record.started)
    )?;
    if record.verdict.status != Status::Valid && !record.interrupted {
        let reasons = record.verdict.reasons.iter();
        let items: Vec<_> = reasons
            .map(|reason| format!("<li>{}</li>", escape(reason)))
            .collect();
        let reasons = items.concat();
        writeln!(out, "<ul>{reasons}</ul>")?;
    }
    Ok(())
}

fn write_tables(out: &mut String, record: &Record, index: usize) -> std::fmt::Result {
    writeln!(
        out,
        "<h3>{}</h3>\n<div class=\"wide\"><table><tr><th></th><th>count</th><th>mean</th>",
        escape(&name(record, index))
    )?;
    for percentile in PERCENTILES {
        write!(out, "<th>{}</th>", percentile.name)?;
    }
    writeln!(out, "<th>max</th></tr>")?;
    let open = record.model.kind == "open";
    for (name, distribution) in [
        ("Response time", Some(&record.latency.response)),
        ("Service time", Some(&record.latency.service)),
        ("Send lag", Some(&record.latency.send_lag)),
        (
            "Own delay",
            record.latency.own_delay.as_ref().filter(|_| open),
        ),
        ("Connect", Some(&record.latency.connect)),
    ] {
        if let Some(distribution) = distribution {
            write_row(out, name, distribution)?;
        }
    }
    // A single stage is the whole run.
    let stages = record.stages.iter().filter(|_| record.stages.len() > 1);
    for part in stages.chain(&record.templates) {
        write_row(out, &escape(&part.name), &part.response)?;
    }
    writeln!(out, "</table></div>")?;
    if let Some(server) = &record.server {
        let cpu = server
            .cpu_us_per_request
            .map_or("-".into(), |micros| format!("{micros:.2} µs"));
        writeln!(
            out,
            "<p>Server ({}): {cpu} CPU per request.</p>",
            escape(&server.source)
        )?;
    }
    for threshold in &record.thresholds {
        let word = if threshold.pass { "kept" } else { "breached" };
        writeln!(
            out,
            "<p>Condition <code>{}</code>: {word}.</p>",
            escape(&threshold.expr)
        )?;
    }
    let env = &record.env;
    let text = |text: &Option<String>| escape(text.as_deref().unwrap_or("?"));
    writeln!(
        out,
        "<p>{}, Linux {}, {}; loadgen on CPUs {} with {}.</p>",
        text(&env.host),
        text(&env.kernel),
        text(&env.cpu),
        text(&env.client_cpus),
        escape(&env.driver)
    )
}

fn write_row(out: &mut String, name: &str, distribution: &Distribution) -> std::fmt::Result {
    let mean = nanos(distribution.mean);
    write!(
        out,
        "<tr><td>{name}</td><td>{}</td><td>{mean}</td>",
        grouped(distribution.count)
    )?;
    for percentile in PERCENTILES {
        let at = distribution.at(percentile.name.trim_start_matches('p'));
        let at = at.map_or("-".into(), |at| nanos(approximate(at)));
        write!(out, "<td>{at}</td>")?;
    }
    writeln!(
        out,
        "<td>{}</td></tr>",
        nanos(approximate(distribution.max))
    )
}

/// The response times by percentile, as `HdrHistogram` plots them: each step to the right is a
/// tenth of the requests.
fn percentiles(records: &[Record]) -> Chart {
    let mut series = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let both = [
            ("response", &record.latency.response),
            ("service", &record.latency.service),
        ];
        for (kind, distribution) in both {
            // Without a schedule the two are nearly the same.
            if kind == "service" && record.model.kind != "open" {
                continue;
            }
            let latency =
                Latency::from_hdr(&distribution.hdr_v2).unwrap_or_else(|_| Latency::new());
            let name = format!("{} {kind}", name(record, index));
            series.push(Series {
                name,
                owner: index,
                dashed: kind == "service",
                points: curve(&latency),
            });
        }
    }
    let values = series
        .iter()
        .flat_map(|one| &one.points)
        .map(|point| point.1);
    let (least, most) = bounds(values);
    let far = series
        .iter()
        .flat_map(|one| &one.points)
        .map(|point| point.0)
        .fold(1.0, f64::max);
    let marks = [
        (0.0, "0"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
        (5.0, "99.999 %"),
        (6.0, "99.9999 %"),
    ];
    let marks = marks.into_iter().filter(|(at, _)| *at <= far.ceil());
    Chart {
        title: "Latency by percentile".into(),
        x: Axis {
            name: "percentile".into(),
            range: (0.0, far.ceil()),
            marks: marks.map(|(at, name)| (at, name.to_owned())).collect(),
        },
        y: Axis::powers("time", 10_f64.powf(least), 10_f64.powf(most), nanos),
        series,
    }
}

/// The points of one curve: nines to the right, the logarithm of the time upwards.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let count = approximate(latency.count());
    let points = latency.curve().map(|(quantile, nanos, _)| {
        // The last answer stands for itself: there is no more beyond it.
        let beyond = (1.0 - quantile).max(1.0 / count.max(1.0));
        (-beyond.log10(), approximate(nanos.max(1)).log10())
    });
    points.collect()
}

/// Answers per second over time.
fn rates(records: &[Record]) -> Chart {
    let each = |record: &Record| {
        let rows = &record.timeseries.rows;
        let interval = record.timeseries.interval_s.max(1e-3);
        // The last row is mostly not whole.
        let whole = &rows[..rows.len().saturating_sub(1)];
        whole
            .iter()
            .map(|row| (row.t, approximate(row.ok) / interval))
            .collect()
    };
    let series = over_time(records, each);
    let most = series
        .iter()
        .flat_map(|one| &one.points)
        .map(|point| point.1)
        .fold(0.0, f64::max);
    Chart {
        title: "Answers per second".into(),
        x: seconds_axis(records),
        y: Axis::linear("answers/s", most, count),
        series,
    }
}

/// The 99th percentile over time.
fn times(records: &[Record]) -> Chart {
    let each = |record: &Record| {
        let rows = record.timeseries.rows.iter();
        rows.filter_map(|row| Some((row.t, approximate(row.p99?.max(1)).log10())))
            .collect()
    };
    let series = over_time(records, each);
    let (least, most) = bounds(
        series
            .iter()
            .flat_map(|one| &one.points)
            .map(|point| point.1),
    );
    Chart {
        title: "p99 of the response time in each interval".into(),
        x: seconds_axis(records),
        y: Axis::powers("p99", 10_f64.powf(least), 10_f64.powf(most), nanos),
        series,
    }
}

fn over_time(records: &[Record], each: impl Fn(&Record) -> Vec<(f64, f64)>) -> Vec<Series> {
    let all = records.iter().enumerate();
    all.map(|(index, record)| Series {
        name: name(record, index),
        owner: index,
        dashed: false,
        points: each(record),
    })
    .collect()
}

fn seconds_axis(records: &[Record]) -> Axis {
    let last = records
        .iter()
        .filter_map(|record| record.timeseries.rows.last());
    let most = last.map(|row| row.t).fold(0.0, f64::max);
    Axis::linear("seconds since the start", most, |value| format!("{value}"))
}

/// The least and the most, or a microsecond and a millisecond.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .fold(None, |found: Option<(f64, f64)>, value| {
            let (least, most) = found.unwrap_or((value, value));
            Some((least.min(value), most.max(value)))
        })
        .unwrap_or((3.0, 6.0))
}

fn csv(records: &[Record]) -> Result<String, Failure> {
    let failed = |error: csv::Error| Failure::new(Exit::Failed, error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names =
        ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999"].map(|name| format!("{name}_ns"));
    let head = [
        "name", "started", "verdict", "offered", "ok_per_s", "sent", "errors", "max_ns",
    ];
    let head = head.into_iter().map(str::to_owned).chain(names);
    writer.write_record(head).map_err(failed)?;
    for (index, record) in records.iter().enumerate() {
        let response = &record.latency.response;
        let mut row = vec![
            name(record, index),
            record.started.clone(),
            judgement(record).to_owned(),
            record
                .rate
                .offered
                .map_or(String::new(), |rate| format!("{rate}")),
            format!("{:.3}", record.rate.ok),
            record.counts.sent.to_string(),
            record.counts.errors().to_string(),
            response.max.to_string(),
        ];
        for percentile in PERCENTILES {
            let at = response.at(percentile.name.trim_start_matches('p'));
            row.push(at.map_or(String::new(), |at| at.to_string()));
        }
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().expect("a Vec takes every byte");
    Ok(String::from_utf8(bytes).expect("all of it was text"))
}

fn nanos(nanos: f64) -> String {
    short(Duration::from_secs_f64(nanos / 1e9))
}

fn count(value: f64) -> String {
    grouped(rounded(value))
}

fn seconds(value: f64) -> String {
    short(Duration::from_secs_f64(value))
}
