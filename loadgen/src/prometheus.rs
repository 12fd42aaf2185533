//! Answers Prometheus while a run goes on: text format 0.0.4.
//!
//! What must hold: whoever asks slowly or nonsense is left alone and costs the run nothing; no
//! answer waits longer than a tenth of a second.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::control::read_some;
use crate::timeline::Timeline;
use crate::watch::Watch;

/// How long one who asks may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// The upper bounds of the buckets in microseconds.
const BOUNDS: [u32; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Answers everybody who has asked since the last time.
pub(crate) fn answer(listener: &TcpListener, watch: &Watch, timeline: &Timeline) {
    while let Ok((stream, _)) = listener.accept() {
        // One that has gone is its own affair.
        tell(stream, &text(watch, timeline)).ok();
    }
}

fn tell(mut stream: TcpStream, text: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; 1024];
    let len = read_some(&mut stream, &mut request)?;
    let (status, text) = if request[..len].starts_with(b"GET /metrics") {
        ("200 OK", text)
    } else {
        ("404 Not Found", "ask for /metrics\n")
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all((head + text).as_bytes())
}

/// What is known at this moment.
fn text(watch: &Watch, timeline: &Timeline) -> String {
    let mut out = String::new();
    let [sent, ok, errors] = timeline.sums;
    let mut counter = |name: &str, help: &str, value: u64, kind: &str| {
        let name = format!("loadgen_{name}");
        writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}"
        )
        .expect("a String takes every byte");
    };
    counter(
        "requests_total",
        "Requests sent, without the warm-up.",
        sent,
        "counter",
    );
    counter(
        "ok_total",
        "Answers as hoped for, without the warm-up.",
        ok,
        "counter",
    );
    counter(
        "errors_total",
        "Requests that ended otherwise.",
        errors,
        "counter",
    );
    counter(
        "answers_total",
        "All answers, warm-up included.",
        watch.answered(),
        "counter",
    );
    counter(
        "in_flight",
        "Requests without an answer.",
        watch.in_flight(),
        "gauge",
    );
    let name = "loadgen_response_seconds";
    let response = &timeline.response;
    write!(
        out,
        "# HELP {name} From when a request was due to its whole answer.\n# TYPE {name} histogram\n"
    )
    .expect("a String takes every byte");
    for micros in BOUNDS {
        let below = response.count_up_to(u64::from(micros) * 1_000);
        let bound = f64::from(micros) / 1e6;
        writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {below}").expect("a String takes all");
    }
    let (count, sum) = (response.count(), response.mean_nanos() / 1e9);
    let sum = sum * crate::number::approximate(count);
    write!(
        out,
        "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n"
    )
    .expect("a String takes every byte");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interval::Interval;
    use crate::ledger::Outcome;
    use crate::watch::RowPart;

    #[test]
    fn the_text_has_counters_and_a_cumulative_histogram() {
        let (watch, _rows) = Watch::new(1);
        watch.publish(0, 12, 3);
        let mut timeline = Timeline::new(Duration::from_secs(1), 1, None);
        let mut interval = Interval::default();
        interval.settle(Outcome::Ok, 10);
        interval.record(80_000, 4);
        interval.record(2_000_000, 6);
        timeline.push(RowPart { row: 0, interval }).unwrap();
        let text = text(&watch, &timeline);
        for line in [
            "loadgen_ok_total 10",
            "loadgen_answers_total 12",
            "loadgen_in_flight 3",
            "loadgen_response_seconds_bucket{le=\"0.0001\"} 4",
            "loadgen_response_seconds_bucket{le=\"0.0025\"} 10",
            "loadgen_response_seconds_bucket{le=\"+Inf\"} 10",
            "loadgen_response_seconds_count 10",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line:?} in\n{text}"
            );
        }
    }
}
