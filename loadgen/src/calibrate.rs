//! `loadgen calibrate`: what this generator can do on this machine, against a server that does
//! nothing.
//!
//! What must hold: the server is another process, so that its time is not counted as ours; what is
//! told is a ceiling: a result near it says more about loadgen than about the server, so later
//! reports tell how far below it they are.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use crate::ceiling::{Ceilings, Shape};
use crate::cli::Calibrate;
use crate::exit::{Exit, Failure};
use crate::number::{grouped, rounded};
use crate::observer::Outputs;
use crate::run;
use crate::trial;
use crate::url::Url;

/// How many requests are in flight on each connection, in turn: what most runs have, and what shows
/// the ceiling. Those of `-p` come between.
const DEPTHS: [u64; 2] = [1, 16];

/// Measures; the table goes to `out`.
///
/// # Errors
/// When the server cannot be started or a run not be made.
pub(crate) fn run(calibrate: &Calibrate, out: &mut dyn Write) -> Result<Exit, Failure> {
    let sink = Sink::start(calibrate.sink_cpus.as_deref())?;
    writeln!(out, "Against loadgen's own sink at {}\n", sink.url)?;
    writeln!(
        out,
        "{:>8}{:>16}{:>14}",
        "depth", "requests/s", "thread busy"
    )?;
    let mut found = Vec::new();
    for depth in depths(calibrate.load.pipeline) {
        let mut load = calibrate.load.clone();
        load.pipeline = depth;
        let plan = run::prepare(&load, &sink.url)?;
        let outputs = Outputs {
            quiet: true,
            ..Outputs::default()
        };
        let trial = trial::run(&plan, outputs, None, trial::watch(&plan))?;
        if let Some(signal) = trial.signal {
            return Err(Failure::new(Exit::Interrupted { signal }, "interrupted"));
        }
        let rate = trial.rate;
        found.extend(trial::shape(&plan, &trial.tally).map(|shape| (shape, rate)));
        let rate = grouped(rounded(rate));
        let busy = trial
            .evidence
            .busy
            .map_or("-".into(), |busy| format!("{:.0} %", busy * 100.0));
        writeln!(out, "{depth:>8}{rate:>16}{busy:>14}")?;
        out.flush()?;
    }
    writeln!(
        out,
        "\nBelow 80 % busy the sink was the limit, and loadgen can do more than this."
    )?;
    writeln!(out, "{}", keep(found))?;
    Ok(Exit::Fine)
}

/// Keeps what was found for later reports, and tells where.
fn keep(found: Vec<(Shape, f64)>) -> String {
    let Some(path) = Ceilings::path() else {
        return "Not kept: neither XDG_STATE_HOME nor HOME names a directory.".into();
    };
    let mut ceilings = Ceilings::read(&path);
    for (shape, rate) in found {
        ceilings.enter(shape, rate);
    }
    match ceilings.write(&path) {
        Ok(()) => format!(
            "Kept in {}: reports of such loads now tell the headroom.",
            path.display()
        ),
        Err(error) => format!("Not kept: {}: {error}", path.display()),
    }
}

/// All depths to measure, the one that was asked for among them.
fn depths(asked: u64) -> Vec<u64> {
    let mut depths = Vec::from(DEPTHS);
    depths.push(asked);
    depths.sort_unstable();
    depths.dedup();
    depths
}

/// The null server, until it is dropped.
struct Sink {
    child: Child,
    url: Url,
}

impl Sink {
    fn start(cpus: Option<&str>) -> Result<Sink, Failure> {
        let failed = |line: String| Failure::new(Exit::Failed, line);
        let program = std::env::current_exe()
            .map_err(|error| failed(format!("where is this program? {error}")))?;
        let mut command = Command::new(program);
        command.args(["sink", "--listen", "127.0.0.1:0"]);
        if let Some(cpus) = cpus {
            command.args(["--cpus", cpus]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed(format!("cannot start the sink: {error}")))?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it was piped");
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_default();
        if let Ok(url) = Url::parse(&format!("http://{address}/")) {
            return Ok(Sink { child, url });
        }
        child.wait().ok();
        Err(failed("the sink did not start".into()))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It holds nothing that must be put in order.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
