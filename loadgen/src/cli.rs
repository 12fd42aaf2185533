//! The command line: what may be asked for, and one clear line for what may not.
//!
//! What must hold: a wrong command line costs one line on standard error and exit code 2; every
//! short flag has a long name.

mod config;
mod load;
mod others;
mod output;

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use load::{Load, Machine};
pub(crate) use others::{Ab, Calibrate, Compare, Find, Report, Sink};
pub(crate) use output::{Format, Output};

use crate::duration;
use crate::number;
use crate::oracle::EVENT_COUNT_MAX;
use crate::payload::Payload;
use crate::url::Url;
use load::at_most;

const CHALLENGE_HELP: &str = "\
Examples:
  loadgen 1mrc http://localhost:8080 -n 1M -c 512 --payload java
A server that has counted something before is sent POST /reset first: its counts are lost.
`exact` speaks of the figures, the verdict of the rate: a run may be INVALID as a measurement, with
exact figures, and ends with 0 then.

Exit codes:
  0    all is well
  1    the run failed: server not reached, requests timed out or lost
  2    wrong command line
  4    verification failed: wrong status, content or answer, wrong /stats
  70   loadgen's own accounts do not add up
  130  interrupted (143: terminated); the report is partial";

const EXAMPLES: &str = "\
Examples:
  loadgen http://localhost:8080/                     64 connections for 10 s, as fast as it goes
  loadgen -R 50k -c 256 http://localhost:8080/       open loop: 50,000 requests per second
  loadgen find --slo 'p99<5ms' URL                   the highest rate that keeps p99 below 5 ms
  loadgen ab -A URL -B URL                           which of two servers is faster, and how sure
  loadgen 1mrc http://localhost:8080 --payload java  the One Million Request Challenge
  loadgen sink --listen 127.0.0.1:9000               a server that does nothing, to measure against

`loadgen URL` is short for `run`. `loadgen run --help` shows its options, and `--help-all` the rare
ones too.";

const RUN_EXAMPLES: &str = "\
Examples:
  loadgen -c 512 -t 4 --cpus 4-7 -d 30s URL          four pinned threads, as fast as it goes
  loadgen -R 20k --arrival poisson -d 60s URL        open loop with random arrivals
  loadgen --stages '0:50k/30s,50k/60s' URL           a ramp, then a plateau
  loadgen -n 1M -p 16 URL                            exactly a million, 16 in flight each
  loadgen -m POST -H 'Content-Type: application/json' -b '{\"id\":{seq}}' URL
  loadgen -R 10k --fail 'p99<5ms' -o result.json --html report.html URL
Exit codes: 0 well, 1 run failed, 2 usage, 3 --fail, 4 wrong answers, 5 INVALID (the figures say
more about this machine than about the server; --allow-invalid), 6 not steady, 70 loadgen's own
accounts do not add up, 130 interrupted.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  loadgen run --repeat 5 -o 'old-{run}.json' URL     five results, and as many of the new one
  loadgen compare old-*.json -- new-*.json           at least five results on each side
The exit code is 7 when the new ones are shown to be worse.";

const CALIBRATE_EXAMPLES: &str = "\
Examples:
  loadgen calibrate --sink-cpus 0 --cpus 1 -d 2s     both pinned, on a machine with two CPUs
What was found is kept in $XDG_STATE_HOME/loadgen, or ~/.local/state/loadgen, for later reports.";

const SINK_EXAMPLES: &str = "\
Examples:
  loadgen sink --cpus 0 --body-len 1k                answers with a thousand bytes, from one CPU
  loadgen sink --service 1ms:exp                     M/M/1: one line, exponential service times
  loadgen sink --stall 5s/1s                         answers nothing in its sixth second";

const REPORT_EXAMPLES: &str = "\
Examples:
  loadgen report --html page.html a.json b.json      both in each picture, side by side";

const AB_EXAMPLES: &str = "\
Examples:
  loadgen ab -A http://a:8080/ -B http://b:8080/ -c 256 -d 5s
  loadgen ab -A './old --port {port}' -B './new --port {port}' --target /plaintext
  loadgen ab -A URL -B URL -R 20k --blocks 20 -o session.json
Each run of a command starts a fresh server. Order: A B, B A, A B, ... The exit code is 7 when B is
shown to be worse.";

const FIND_EXAMPLES: &str = "\
Examples:
  loadgen find --slo 'p99<5ms' -c 256 http://localhost:8080/
  loadgen find --slo 'p99.9<20ms' --slo 'errors<0.1%' --arrival poisson -d 30s URL";

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

/// What may come first; anything else is an option or the URL of `run`.
const COMMANDS: [&str; 13] = [
    "run",
    "ab",
    "find",
    "compare",
    "calibrate",
    "sink",
    "report",
    "1mrc",
    "help",
    "-h",
    "--help",
    "-V",
    "--version",
];

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
    let (is_known, is_help) = (COMMANDS.contains(&first), first == "help");
    if !is_known && is_plain_word(first) {
        let commands = COMMANDS[..8].join(", ");
        return Err(format!(
            "'{first}' is neither a command ({commands}) nor a URL, which starts with http:// \
             (see --help)"
        ));
    }
    if !is_known {
        args.insert(1, "run".into());
    }
    if is_help {
        args.remove(1);
        args.push("--help".into());
    }
    let mut command = command();
    if !is_help && config::insert(&mut args)? {
        let names: Vec<_> = command
            .get_subcommands()
            .map(|one| one.get_name().to_owned())
            .collect();
        let overriding = |one: clap::Command| one.args_override_self(true);
        command = names.iter().fold(command, |command, name| {
            command.mut_subcommand(name, overriding)
        });
    }
    let matches = command.try_get_matches_from(args);
    match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
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

/// What is behind all other options in a list of them.
const HELP_ORDER: usize = 1_000;

/// The commands with their help: of one screen, unless all of it is asked for.
fn command() -> clap::Command {
    let help = |name: &'static str, action| Arg::new(name).long(name).action(action).global(true);
    let latency = Arg::new("latency").long("latency").hide(true);
    let config = Arg::new("config").long("config").value_name("FILE");
    let config = config.global(true).hide_short_help(true);
    let config = config.display_order(HELP_ORDER);
    Cli::command()
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .arg(
            help("help", ArgAction::HelpShort)
                .short('h')
                .help("Print help")
                .display_order(HELP_ORDER),
        )
        .arg(
            config.help(
                "Options from a TOML file, by their long names, and url; those given here win",
            ),
        )
        .arg(
            help("help-all", ArgAction::HelpLong)
                .help("Print help, the rare options too")
                .display_order(HELP_ORDER),
        )
        // What wrk asks for by this name is always shown.
        .mut_subcommand("run", |run| run.arg(latency.action(ArgAction::SetTrue)))
}

/// What is said of options that other generators have.
const HINTS: [(&str, &str); 2] = [
    ("argument '-s'", SCRIPTS_HINT),
    ("argument '--script'", SCRIPTS_HINT),
];
const SCRIPTS_HINT: &str =
    "scripts are not run: --urls, --raw, --csv and {seq}, {rand:1:9} in the URL, -H and -b";

/// The first paragraph of clap's message as one line, without its `error: `, and what was perhaps
/// meant.
fn one_line(message: &str) -> String {
    let lines = message
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let similar = message.lines().map(str::trim);
    let similar = similar
        .filter_map(|line| line.strip_prefix("tip: "))
        .find(|tip| tip.contains("similar"));
    let known = HINTS.iter().find(|(option, _)| line.contains(option));
    match similar.or(known.map(|(_, hint)| *hint)) {
        Some(hint) => format!("{line}: {hint} (see --help)"),
        None => format!("{line} (see --help)"),
    }
}

/// Whether a first word is no option and looks like no URL either.
fn is_plain_word(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !word.starts_with('-') && word.bytes().all(plain)
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
    /// One run: closed loop (each connection sends when an answer has come), or open loop (-R)
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<Run>),
    /// Two servers in turn, and what the difference is, with its uncertainty
    #[command(after_help = AB_EXAMPLES)]
    Ab(Box<Ab>),
    /// The highest rate at which a server keeps a promise
    #[command(after_help = FIND_EXAMPLES)]
    Find(Box<Find>),
    /// Result files of two servers against each other: base.json... -- new.json...
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(Compare),
    /// What loadgen itself can do on this machine, against its own sink
    #[command(after_help = CALIBRATE_EXAMPLES)]
    Calibrate(Box<Calibrate>),
    /// A server that does nothing, or a queue with known behaviour, to measure against
    #[command(after_help = SINK_EXAMPLES)]
    Sink(Sink),
    /// Result files as one HTML page, SVG pictures or CSV
    #[command(after_help = REPORT_EXAMPLES)]
    Report(Report),
    /// The One Million Request Challenge: sends the events, then checks all of /stats
    #[command(name = "1mrc", after_help = CHALLENGE_HELP)]
    Challenge(Challenge),
}

impl Command {
    /// Checks what concerns more than one option.
    fn check(self) -> Result<Command, String> {
        match &self {
            Command::Run(run) => run.check()?,
            Command::Challenge(challenge) => challenge.check()?,
            Command::Ab(ab) => ab.load.check()?,
            Command::Find(find) => find.check()?,
            Command::Calibrate(calibrate) => calibrate.check()?,
            Command::Report(report) => report.check()?,
            Command::Compare(_) | Command::Sink(_) => {}
        }
        Ok(self)
    }
}

/// The options of `run`.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where to
    #[arg(help = "Where to: http://HOST[:PORT][/PATH][?QUERY]")]
    #[arg(value_name = "URL", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Run N times; put {run} into the names of files
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "N", default_value = "1", value_parser = number::parse_positive)]
    pub(crate) repeat: u64,
    /// How long to rest between two runs
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "T", default_value = "1s", value_parser = perhaps_none)]
    pub(crate) cooldown: Duration,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl Run {
    fn check(&self) -> Result<(), String> {
        if self.repeat > 1
            && self
                .output
                .named()
                .iter()
                .any(|(_, path)| !output::is_numbered(path))
        {
            return Err("--repeat writes files of each run: put {run} into their names".into());
        }
        self.output.check(&self.load.what.files())?;
        self.load.check()
    }
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
    #[arg(short, long, value_name = "N", default_value = "500", value_parser = load::connections)]
    pub(crate) connections: u64,
    /// Ask for /stats so often during the run and check it; 0 for never
    #[arg(long, value_name = "T", default_value = "500ms", value_parser = perhaps_none)]
    pub(crate) poll_stats: Duration,
    /// Whose events: go, java, aiohttp, or random, decimals, cancel, unicode
    #[arg(long, value_enum, default_value = "go", hide_possible_values = true)]
    pub(crate) payload: Payload,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

impl Challenge {
    fn check(&self) -> Result<(), String> {
        let threads = self.machine.placement()?.shard_count();
        if self.connections < threads as u64 {
            return Err(format!(
                "{threads} threads need at least {threads} connections (-c)"
            ));
        }
        Ok(())
    }
}

fn events(text: &str) -> Result<u64, String> {
    at_most(EVENT_COUNT_MAX, text)
}

fn perhaps_none(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        time => duration::parse(time),
    }
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
mod tests;
