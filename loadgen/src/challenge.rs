//! `loadgen 1mrc`: the One Million Request Challenge, judged.
//!
//! What must hold: the verdict `exact` needs every event acknowledged with 200 and all four
//! numbers of `/stats` equal to the oracle's; nothing is retried, so nothing is counted twice.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::cli::Challenge;
use crate::control::{Answer, NoAnswer, exchange};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::number::grouped;
use crate::observer::Outputs;
use crate::oracle::Expectation;
use crate::payload::EventTemplate;
use crate::plan::{Limit, Pace, Place, Plan, SocketOptions, Warmup, Work};
use crate::poller::Poller;
use crate::report;
use crate::run;
use crate::stats::Stats;
use crate::tally::Tally;
use crate::template::Template;
use crate::trial;
use crate::url::Url;
use crate::watch::Watch;

/// Runs the challenge; the report goes to `out`.
///
/// # Errors
/// When there is no verdict.
pub(crate) fn run(challenge: &Challenge, out: &mut dyn Write) -> Result<Exit, Failure> {
    let (url, machine) = (&challenge.url, &challenge.machine);
    let placement = machine.placement();
    let placement = placement.map_err(|line| Failure::new(Exit::Usage, line))?;
    let most = challenge.connections.min(challenge.requests);
    descriptors::make_room(most, placement.shard_count())?;
    let address = run::reach(url, machine)?;
    let server = Server {
        url: url.clone(),
        place: machine.place(address),
        timeout: machine.timeout,
    };
    server.start_from_zero(out)?;
    let plan = Plan {
        place: machine.place(address),
        work: Work::Events(EventTemplate::new(challenge.payload, url)),
        limit: Limit::Requests(challenge.requests),
        pace: Pace::Closed { think: None },
        warmup: Warmup::Fixed(Duration::ZERO),
        drain: Duration::from_secs(2),
        connection_count: challenge.connections,
        depth: 1,
        timeout: machine.timeout,
        connect_rate: None,
        requests_per_connection: None,
        socket: SocketOptions::default(),
        check: Check::only(200),
        seed: 1,
        interval: Duration::from_secs(1),
        busy_poll: false,
        placement,
        driver: machine.driver,
    };
    let watch = trial::watch(&plan);
    let poller = match challenge.poll_stats {
        Duration::ZERO => None,
        interval => Some(poll(interval, challenge.requests, &watch.0, &server)?),
    };
    let trial = trial::run(&plan, Outputs::default(), machine.server_pid, watch);
    let polled = poller.map(Poller::finish).unwrap_or_default();
    let trial = trial?;
    report::write(out, url, &plan, &trial, &[])?;
    if let Some(signal) = trial.signal {
        let line = "interrupted: the report is partial and nothing was judged";
        return Err(Failure::new(Exit::Interrupted { signal }, line));
    }
    let tally = trial.tally;
    let expectation = Expectation::new(challenge.payload, challenge.requests);
    let mut faults = judge(&expectation, &tally, server.stats());
    faults.extend(polled.faults);
    if polled.answers > 0 {
        let answers = grouped(polled.answers);
        writeln!(
            out,
            "Polled      /stats answered {answers} times during the run"
        )?;
    }
    if faults.is_empty() {
        writeln!(out, "exact: {}, 0 errors", expectation.summary())?;
        return Ok(Exit::Fine);
    }
    writeln!(out, "NOT exact: {}", faults.join("; "))?;
    Ok(Exit::Unverified)
}

/// Asks for `/stats` during the run.
fn poll(
    interval: Duration,
    count: u64,
    watch: &Arc<Watch>,
    server: &Server,
) -> Result<Poller, Failure> {
    let server = server.clone();
    Poller::start(interval, count, watch, move || server.stats())
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))
}

/// Everything that differs from a perfect run.
fn judge(expectation: &Expectation, tally: &Tally, stats: Result<Stats, Failure>) -> Vec<String> {
    let mut faults = report::faults(tally);
    match stats {
        Ok(stats) => faults.extend(expectation.differences(&stats)),
        Err(failure) => faults.push(failure.line),
    }
    faults
}

/// The server beside the run.
#[derive(Clone)]
struct Server {
    url: Url,
    place: Place,
    timeout: Duration,
}

impl Server {
    /// Makes sure that the server has counted nothing yet.
    fn start_from_zero(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let before = self.stats().map_err(asking_who_that_is)?;
        if before.is_zero() {
            return Ok(());
        }
        let answer = self.ask("POST", "/reset")?;
        let count = grouped(before.total_requests);
        writeln!(
            out,
            "Before      the server had counted {count} requests; sent POST /reset"
        )?;
        if answer.status != 200 {
            let line = format!("POST /reset was answered with {}, not 200", answer.status);
            return Err(Failure::new(Exit::Unverified, line));
        }
        if self.stats()?.is_zero() {
            Ok(())
        } else {
            Err(Failure::new(
                Exit::Unverified,
                "/stats is not zero after POST /reset",
            ))
        }
    }

    /// Reads `/stats`.
    fn stats(&self) -> Result<Stats, Failure> {
        let answer = self.ask("GET", "/stats")?;
        let wrong = |line: String| Failure::new(Exit::Unverified, line);
        if answer.status != 200 {
            let url = self.url.at("/stats");
            let line = format!("GET {url} was answered with {}, not 200", answer.status);
            return Err(wrong(line));
        }
        if answer.content_type != "application/json" {
            let line = format!(
                "/stats has content type '{}', not JSON",
                answer.content_type
            );
            return Err(wrong(line));
        }
        Stats::parse(&answer.content).map_err(|error| wrong(format!("/stats is wrong: {error}")))
    }

    fn ask(&self, method: &str, path: &str) -> Result<Answer, Failure> {
        let url = self.url.at(path);
        let request = Template::new(method, &url, &[], None);
        exchange(&self.place, &request, self.timeout).map_err(|failure| match failure {
            NoAnswer::Unreachable(error) if is_timeout(&error) => {
                let line = format!("no answer to {method} {url} within {:?}", self.timeout);
                Failure::new(Exit::Failed, line)
            }
            NoAnswer::Unreachable(error) => {
                Failure::new(Exit::Failed, format!("{method} {url}: {error}"))
            }
            NoAnswer::Malformed(error) => {
                Failure::new(Exit::Unverified, format!("{method} {url}: {error}"))
            }
        })
    }
}

/// What `read(2)` and `connect(2)` say when their time is over.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// The failure of the first question: there may be another server than the user thinks.
fn asking_who_that_is(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Unverified => Failure {
            line: format!("{}: is this a server of the challenge?", failure.line),
            ..failure
        },
        _ => failure,
    }
}
