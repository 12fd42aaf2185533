//! The options of the commands beside `run` and `1mrc`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sunstar::runtime::{CpuSet, Placement};

use super::load::{self, Load};
use super::output;
use crate::duration;
use crate::number;
use crate::page;
use crate::plan::Think;
use crate::subject::Subject;
use crate::threshold::Condition;
use crate::url::Url;

/// The largest answer of a sink, in bytes.
const BODY_LEN_MAX: u64 = 100_000_000;

/// The options of `ab`.
#[derive(Debug, Args)]
pub(crate) struct Ab {
    /// One server: a URL, or a command with {port} in it
    #[arg(short = 'A', long = "a", value_name = "URL|COMMAND", value_parser = Subject::parse)]
    pub(crate) a: Subject,
    /// The other
    #[arg(short = 'B', long = "b", value_name = "URL|COMMAND", value_parser = Subject::parse)]
    pub(crate) b: Subject,
    /// How often both run
    #[arg(long, value_name = "N", default_value = "12", value_parser = blocks)]
    pub(crate) blocks: u64,
    /// What is asked of servers that a command starts
    #[arg(long, value_name = "/PATH", default_value = "/")]
    pub(crate) target: String,
    /// Write everything as JSON
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// The options of `find`.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// Where to
    #[arg(help = "Where to: http://HOST[:PORT][/PATH][?QUERY]")]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// The promise, as 'p99<5ms'; may be repeated
    #[arg(long, value_name = "CONDITION", required = true, value_parser = Condition::parse)]
    pub(crate) slo: Vec<Condition>,
    /// How often the rate that was found is tried again
    #[arg(long, value_name = "N", default_value = "3", value_parser = number::parse_positive)]
    pub(crate) confirmations: u64,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// The options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// Results of A
    #[arg(value_name = "BASE", required = true)]
    pub(crate) base: Vec<PathBuf>,
    /// Results of B
    #[arg(value_name = "NEW", required = true, last = true)]
    pub(crate) new: Vec<PathBuf>,
}

/// The options of `calibrate`.
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// Pin the sink to these CPUs
    #[arg(long, value_name = "LIST")]
    pub(crate) sink_cpus: Option<String>,
    #[command(flatten)]
    pub(crate) load: Load,
}

/// The options of `sink`.
#[derive(Debug, Args)]
pub(crate) struct Sink {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
    pub(crate) listen: SocketAddr,
    /// How long the content of each answer is, in bytes
    #[arg(long, value_name = "N", default_value = "0", value_parser = body_len)]
    pub(crate) body_len: usize,
    /// One server for all connections that takes T for each request; T:exp for exponential times
    #[arg(long, value_name = "T[:exp]", value_parser = load::think)]
    pub(crate) service: Option<Think>,
    /// Answer nothing from T after the first request, for so long
    #[arg(long, value_name = "T/T", value_parser = stall)]
    pub(crate) stall: Option<(Duration, Duration)>,
    /// Pin the shards to these CPUs, one each (default: one, not pinned)
    #[arg(long, value_name = "LIST", value_parser = load::cpus)]
    #[arg(conflicts_with_all = ["service", "stall"])]
    cpus: Option<CpuSet>,
    /// Where random service times start
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::parse)]
    pub(crate) seed: u64,
}

/// The options of `report`.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Results of runs
    #[arg(value_name = "RESULT", required = true)]
    pub(crate) results: Vec<PathBuf>,
    /// Write one HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write the pictures, as FILE-percentiles.svg and FILE-timeline.svg
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Write one line per result
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
}

impl Find {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.load.rate.is_some() || self.load.stages.is_some() {
            return Err("find looks for the rate by itself: leave -R and --stages out".into());
        }
        self.load.check()
    }
}

impl Calibrate {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.load.rate.is_some() || self.load.stages.is_some() {
            return Err("calibrate looks for the highest rate: leave -R and --stages out".into());
        }
        self.load.check()
    }
}

impl Report {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.html.is_none() && self.svg.is_none() && self.csv.is_none() {
            return Err("say what to write: --html, --svg or --csv".into());
        }
        let pictures = self.svg.iter().flat_map(|path| page::pictures(path));
        let pictures = pictures.map(|path| ("--svg", path));
        let files = [("--html", &self.html), ("--csv", &self.csv)];
        let files = files
            .into_iter()
            .filter_map(|(option, path)| Some((option, path.clone()?)));
        output::check_paths(pictures.chain(files), &self.results)
    }
}

impl Sink {
    /// Where the shards sit.
    ///
    /// # Errors
    /// One sentence when there are not so many CPUs.
    pub(crate) fn placement(&self) -> Result<Placement, String> {
        match &self.cpus {
            None => Ok(Placement::unpinned(1)),
            cpus => Placement::new(None, cpus.as_ref()).map_err(|error| error.to_string()),
        }
    }
}

fn blocks(text: &str) -> Result<u64, String> {
    match number::parse(text)? {
        few @ 0..5 => Err(format!(
            "{few} runs on each side show nothing; 5 are the least"
        )),
        blocks => Ok(blocks),
    }
}

fn body_len(text: &str) -> Result<usize, String> {
    match number::parse(text)? {
        len @ 0..=BODY_LEN_MAX => Ok(usize::try_from(len).expect("it fits 32 bits")),
        _ => Err(format!(
            "it must be at most {}",
            number::grouped(BODY_LEN_MAX)
        )),
    }
}

fn stall(text: &str) -> Result<(Duration, Duration), String> {
    let (from, time) = text
        .split_once('/')
        .ok_or("it is T/T: when, and for how long")?;
    Ok((duration::parse(from)?, duration::parse(time)?))
}
