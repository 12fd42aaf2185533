//! What a run leaves behind beside its report: [`Output`].

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;
use crate::observer::Outputs;
use crate::threshold::Condition;

/// What stands for the number of a run in the name of a file.
const RUN: &str = "{run}";

/// The options of what is written.
#[derive(Clone, Debug, Args)]
pub(crate) struct Output {
    /// Write the result as JSON (schema loadgen/1)
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub(crate) result: Option<PathBuf>,
    /// What goes to standard output: text or json
    #[arg(hide_short_help = true)]
    #[arg(long, value_enum, value_name = "text|json", default_value = "text")]
    #[arg(hide_possible_values = true)]
    pub(crate) format: Format,
    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write each interval as a line of JSON with its histogram
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "FILE")]
    pub(crate) timeseries: Option<PathBuf>,
    /// Write the response times as `HdrHistogram` V2 (base64)
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "FILE")]
    pub(crate) hdr: Option<PathBuf>,
    /// How long an interval of the timeline is
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "T", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
    /// Answer Prometheus at this address, path /metrics, during the run
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "ADDR")]
    pub(crate) prometheus: Option<SocketAddr>,
    /// No live view
    #[arg(short, long, visible_alias = "no-tui")]
    pub(crate) quiet: bool,
    /// What the run is called in its result
    #[arg(hide_short_help = true)]
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Option<String>,
    /// End with 3 unless 'p99<5ms', 'errors<0.1%', 'rate>=0.99*offered'; may be repeated
    #[arg(long = "fail", value_name = "UNLESS", value_parser = Condition::parse)]
    pub(crate) conditions: Vec<Condition>,
    /// Do not end with 5 or 6 when the verdict is INVALID or the run not steady
    #[arg(long)]
    pub(crate) allow_invalid: bool,
}

/// What goes to standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The report for people.
    Text,
    /// The result as JSON.
    Json,
}

impl Output {
    /// Checks that each file has a name of its own, which is none of `inputs`.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(super) fn check(&self, inputs: &[PathBuf]) -> Result<(), String> {
        let named = self.named().into_iter();
        check_paths(
            named.map(|(option, path)| (option, path.to_owned())),
            inputs,
        )
    }

    /// The files that are written, by their options.
    pub(super) fn named(&self) -> Vec<(&'static str, &Path)> {
        let all = [
            ("-o", self.result.as_deref()),
            ("--html", self.html.as_deref()),
            ("--timeseries", self.timeseries.as_deref()),
            ("--hdr", self.hdr.as_deref()),
        ];
        let given = all.into_iter();
        given
            .filter_map(|(option, path)| Some((option, path?)))
            .collect()
    }

    /// The same for run `number`, which takes the place of `{run}` in the names of files.
    pub(crate) fn of_run(&self, number: u64) -> Output {
        let numbered = |path: &PathBuf| {
            let name = path
                .to_str()
                .map(|name| name.replace(RUN, &number.to_string()));
            name.map_or_else(|| path.clone(), PathBuf::from)
        };
        Output {
            result: self.result.as_ref().map(numbered),
            html: self.html.as_ref().map(numbered),
            timeseries: self.timeseries.as_ref().map(numbered),
            hdr: self.hdr.as_ref().map(numbered),
            ..self.clone()
        }
    }

    /// Opens what is written during a run, and tries what is written after it.
    ///
    /// # Errors
    /// One sentence when a file cannot be made or an address not be used.
    pub(crate) fn open(&self) -> Result<Outputs, String> {
        let created = self.timeseries.as_deref();
        let at_end = self.named().into_iter();
        at_end
            .filter(|(_, path)| Some(*path) != created)
            .try_for_each(|(option, path)| probe(option, path))?;
        let timeseries = created.map(create).transpose()?;
        let prometheus = self.prometheus.map(listen).transpose()?;
        Ok(Outputs {
            timeseries,
            prometheus,
            quiet: self.quiet,
        })
    }
}

/// Refuses files that would be written over one another, or over one of `inputs`.
///
/// # Errors
/// One sentence for the user.
pub(super) fn check_paths(
    outputs: impl Iterator<Item = (&'static str, PathBuf)>,
    inputs: &[PathBuf],
) -> Result<(), String> {
    // A file that is not there yet is known by its directory.
    let real = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let inside = || Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?));
        let whole = path.canonicalize().ok();
        whole.or_else(inside).unwrap_or(path)
    };
    let inputs: Vec<_> = inputs.iter().map(|path| real(path)).collect();
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in outputs {
        if path.as_os_str() == "-" {
            let hint = match option {
                "-o" => "; --format json writes to standard output",
                _ => "",
            };
            return Err(format!("{option} takes the name of a file, not -{hint}"));
        }
        let path = real(&path);
        if path.exists() && !path.is_file() {
            // Such as /dev/null, into which everything goes.
            continue;
        }
        if inputs.contains(&path) {
            return Err(format!(
                "{option} would write over {}, which is read",
                path.display()
            ));
        }
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
            return Err(format!("{option} and {other} name the same file"));
        }
        seen.push((option, path));
    }
    Ok(())
}

/// Whether the name of a file says where the number of the run goes.
pub(crate) fn is_numbered(path: &Path) -> bool {
    path.to_str().is_some_and(|name| name.contains(RUN))
}

/// Fails now if a file cannot be written at the end of a long run; keeps what is in it.
fn probe(option: &str, path: &Path) -> Result<(), String> {
    let opened = File::options().append(true).create(true).open(path);
    opened
        .map(drop)
        .map_err(|error| format!("{option} {}: {error}", path.display()))
}

/// Makes a file.
fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("--timeseries {}: {error}", path.display()))
}

fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let wrong = |error: std::io::Error| format!("--prometheus {address}: {error}");
    let listener = TcpListener::bind(address).map_err(wrong)?;
    listener.set_nonblocking(true).map_err(wrong)?;
    Ok(listener)
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        short if short < Duration::from_millis(100) => Err("it must be at least 100ms".into()),
        interval => Ok(interval),
    }
}
