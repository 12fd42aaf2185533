//! The command line: what may be asked for, and one clear line for what may not.
//!
//! What must hold: a wrong command line costs one line on standard error and exit code 2; every
//! short flag has a long name.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use sunstar::runtime::{CpuSet, InvalidCpuSet, Placement};

use crate::oracle::EVENT_COUNT_MAX;
use crate::payload::Payload;
use crate::template::{Header, parse_method};
use crate::url::Url;
use crate::{duration, number};

/// The most connections of one process.
const CONNECTION_COUNT_MAX: u64 = 1_000_000;
/// The most requests in flight on one connection.
const DEPTH_MAX: u64 = 4_096;

const EXIT_CODES: &str = "\
Exit codes:
  0    all is well
  1    the run failed: server not reached, requests timed out or lost
  2    wrong command line
  4    verification failed: wrong status, malformed answer, wrong /stats
  70   loadgen's own accounts do not add up
  130  interrupted (143: terminated); the report is partial";

const EXAMPLES: &str = "\
Examples:
  loadgen http://localhost:8080/                     64 connections for 10 s
  loadgen -c 512 -t 4 --cpus 4-7 -d 30s URL          four pinned threads
  loadgen -n 1M -p 16 URL                            exactly a million, 16 in flight each
  loadgen -m POST -H 'Content-Type: application/json' -b '{\"a\":1}' URL
  loadgen 1mrc http://localhost:8080 --payload java  the One Million Request Challenge";

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run a load.
    Run(Box<Command>),
    /// Print this text and end.
    Print(String),
    /// Nothing: print this help, as an error.
    Advise(String),
}

/// Reads the command line; without a command's name it is `run`.
///
/// # Errors
/// One line for the user.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args: Vec<_> = args.into_iter().collect();
    let first = args
        .get(1)
        .and_then(|first| first.to_str())
        .unwrap_or("--help");
    if !["run", "1mrc", "help", "-h", "--help", "-V", "--version"].contains(&first) {
        args.insert(1, "run".into());
    }
    match Cli::try_parse_from(args) {
        Ok(cli) => cli.command.check().map(Box::new).map(Request::Run),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Request::Print(format!(
                "{}\n",
                error.to_string().trim_end()
            ))),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Ok(Request::Advise(error.to_string()))
            }
            _ => Err(one_line(&error.to_string())),
        },
    }
}

/// The first paragraph of clap's message as one line, without its `error: `.
fn one_line(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    format!("{line} (see --help)")
}

/// sunstar's load generator: thread per core, exact accounting, verified answers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One run, closed loop: each connection sends its next request when an answer has come.
    /// `loadgen URL` is short for it.
    #[command(after_help = EXIT_CODES)]
    Run(Run),
    /// The One Million Request Challenge: sends the events, then compares all four numbers of
    /// /stats with what they must be.
    ///
    /// A server that has counted something before is sent POST /reset first: its counts are lost.
    #[command(name = "1mrc", after_help = EXIT_CODES)]
    Challenge(Challenge),
}

impl Command {
    /// Checks what concerns more than one option.
    fn check(self) -> Result<Command, String> {
        let machine = match &self {
            Command::Run(run) => &run.machine,
            Command::Challenge(challenge) => &challenge.machine,
        };
        let connections = match &self {
            Command::Run(run) => run.connections,
            Command::Challenge(challenge) => challenge.connections,
        };
        let threads = machine.placement()?.shard_count();
        if connections < threads as u64 {
            return Err(format!(
                "{threads} threads need at least {threads} connections (-c)"
            ));
        }
        Ok(self)
    }
}

/// The options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where to
    #[arg(value_name = "http://HOST[:PORT][/PATH][?QUERY]", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Connections, shared out to the threads
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = connections)]
    pub(crate) connections: u64,
    /// How long to send [default: 10s, unless -n is given]
    #[arg(short, long, visible_short_alias = 'z', value_name = "T")]
    #[arg(value_parser = duration::parse, conflicts_with = "requests")]
    pub(crate) duration: Option<Duration>,
    /// How many requests to send, exactly
    #[arg(short = 'n', long, value_name = "N", value_parser = number::parse_positive)]
    pub(crate) requests: Option<u64>,
    /// Requests in flight on each connection (pipelining)
    #[arg(short, long, value_name = "DEPTH", default_value = "1", value_parser = depth)]
    pub(crate) pipeline: u64,
    /// The method
    #[arg(short, long, value_name = "METHOD", default_value = "GET", value_parser = parse_method)]
    pub(crate) method: String,
    /// A header field; may be repeated
    #[arg(short = 'H', long = "header", value_name = "K: V", value_parser = Header::parse)]
    pub(crate) headers: Vec<Header>,
    /// The body: the text itself, or @FILE
    #[arg(short, long, value_name = "BODY", value_parser = body)]
    pub(crate) body: Option<Body>,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// The options of `1mrc`.
#[derive(Debug, Args)]
pub(crate) struct Challenge {
    /// The server's root
    #[arg(default_value = "http://localhost:8080", value_parser = root)]
    pub(crate) url: Url,
    /// How many events to send
    #[arg(short = 'n', long, value_name = "N", default_value = "1M", value_parser = events)]
    pub(crate) requests: u64,
    /// Connections, shared out to the threads
    #[arg(short, long, value_name = "N", default_value = "500", value_parser = connections)]
    pub(crate) connections: u64,
    /// Whose events: go, java or aiohttp
    #[arg(long, value_enum, default_value = "go", hide_possible_values = true)]
    pub(crate) payload: Payload,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// The options that every run has.
#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// Threads, each with its own ring [default: one for each of --cpus, else 1]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    threads: Option<u64>,
    /// Pin the threads to these CPUs, as 4-7,9
    #[arg(long, value_name = "LIST", value_parser = cpus)]
    cpus: Option<CpuSet>,
    /// How long to wait for one answer, or for a connection
    #[arg(long, value_name = "T", default_value = "10s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

impl Machine {
    /// Where the threads sit.
    ///
    /// # Errors
    /// One sentence when there are not so many CPUs.
    pub(crate) fn placement(&self) -> Result<Placement, String> {
        let threads = self
            .threads
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        match &self.cpus {
            None => Ok(Placement::unpinned(threads.unwrap_or(1))),
            cpus => Placement::new(threads, cpus.as_ref()).map_err(|error| error.to_string()),
        }
    }
}

/// The bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body(pub(crate) Vec<u8>);

fn body(text: &str) -> Result<Body, String> {
    match text.strip_prefix('@') {
        None => Ok(Body(text.as_bytes().to_vec())),
        Some(path) => std::fs::read(path)
            .map(Body)
            .map_err(|error| error.to_string()),
    }
}

fn connections(text: &str) -> Result<u64, String> {
    at_most(CONNECTION_COUNT_MAX, text)
}

fn depth(text: &str) -> Result<u64, String> {
    at_most(DEPTH_MAX, text)
}

fn threads(text: &str) -> Result<u64, String> {
    at_most(256, text)
}

fn events(text: &str) -> Result<u64, String> {
    at_most(EVENT_COUNT_MAX, text)
}

fn at_most(most: u64, text: &str) -> Result<u64, String> {
    let count = number::parse_positive(text)?;
    if count > most {
        return Err(format!("it must be at most {}", number::grouped(most)));
    }
    Ok(count)
}

fn cpus(text: &str) -> Result<CpuSet, String> {
    text.parse()
        .map_err(|error: InvalidCpuSet| error.to_string())
}

fn root(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)?;
    match url.target.as_str() {
        "/" => Ok(url),
        path => Err(format!(
            "the challenge's paths start at the root, so leave out {path}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        let args = std::iter::once("loadgen").chain(line.split_ascii_whitespace());
        parse(args.map(OsString::from))
    }

    fn command(line: &str) -> Command {
        match read(line) {
            Ok(Request::Run(command)) => *command,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn run(line: &str) -> Run {
        match command(line) {
            Command::Run(run) => run,
            Command::Challenge(_) => panic!("{line}"),
        }
    }

    #[test]
    fn a_bare_url_means_run() {
        let bare = run("http://a/");
        assert_eq!(
            (bare.connections, bare.pipeline, bare.requests),
            (64, 1, None)
        );
        assert_eq!(
            (bare.method.as_str(), bare.machine.timeout),
            ("GET", Duration::from_secs(10))
        );
        assert_eq!(run("run http://a/").url, bare.url);
        assert_eq!(run("-c 1k http://a/").connections, 1_000);
    }

    #[test]
    fn every_option_of_run_is_read() {
        let run = run("-c 2 -t 2 -n 1M -m PUT -H A:b -H C:d -b text -p 16 --timeout 2s http://a/");
        assert_eq!(
            (run.connections, run.requests, run.pipeline),
            (2, Some(1_000_000), 16)
        );
        assert_eq!((run.method.as_str(), run.headers.len()), ("PUT", 2));
        assert_eq!(run.body, Some(Body(b"text".to_vec())));
        assert_eq!(run.machine.placement().unwrap().shard_count(), 2);
        assert_eq!(run.machine.timeout, Duration::from_secs(2));
    }

    #[test]
    fn the_challenge_has_its_own_defaults() {
        let Command::Challenge(challenge) = command("1mrc") else {
            panic!()
        };
        assert_eq!(
            (challenge.requests, challenge.connections),
            (1_000_000, 500)
        );
        assert_eq!(
            (challenge.payload, challenge.url.target.as_str()),
            (Payload::Go, "/")
        );
        let Command::Challenge(challenge) = command("1mrc -n 5 --payload java") else {
            panic!()
        };
        assert_eq!((challenge.requests, challenge.payload), (5, Payload::Java));
    }

    #[test]
    fn a_wrong_command_line_is_one_line_that_says_why() {
        let all = [
            ("run", "http://HOST"),
            ("localhost:8080", "http://localhost:8080"),
            ("--fast http://a/", "--fast"),
            ("-c 0 http://a/", "at least 1"),
            ("-c 2M http://a/", "at most 1,000,000"),
            ("-c x http://a/", "digits"),
            ("-d 10 http://a/", "10s"),
            ("-d 1s -n 5 http://a/", "cannot be used"),
            ("-p 5k http://a/", "at most 4,096"),
            ("-t 257 http://a/", "at most 256"),
            ("-t 3 -c 2 http://a/", "at least 3 connections"),
            ("--cpus x http://a/", "CPU list"),
            ("--cpus 1023 http://a/", "CPU 1023 is not allowed"),
            ("-H nothing http://a/", "Name: value"),
            ("-b @/does/not/exist http://a/", "No such file"),
            ("http://a/ http://b/", "unexpected"),
            ("1mrc http://a/path", "/path"),
            ("1mrc --payload c", "aiohttp"),
            ("1mrc -n 0", "at least 1"),
        ];
        for (line, reason) in all {
            let error = read(line).unwrap_err();
            assert!(
                error.contains(reason) && !error.contains('\n'),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn help_and_version_are_for_standard_output() {
        for (line, text) in [
            ("--help", "1mrc"),
            ("--version", "loadgen 0"),
            ("run --help", "--pipeline"),
            ("1mrc --help", "--payload"),
            ("1mrc --help", "POST /reset"),
        ] {
            let Ok(Request::Print(printed)) = read(line) else {
                panic!("{line}")
            };
            assert!(printed.contains(text), "{line}: {printed}");
        }
        let Ok(Request::Advise(help)) = read("") else {
            panic!("no arguments are a mistake")
        };
        assert!(help.contains("1mrc"), "{help}");
    }
}
