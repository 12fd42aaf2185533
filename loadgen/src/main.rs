//! sunstar's load generator: open and closed loop, exact accounting, verified answers.
//!
//! What must hold: the report goes to standard output, everything else to standard error; the exit
//! code is one of `exit`.

mod ab;
mod accounts;
mod arrival;
mod calibrate;
mod ceiling;
mod challenge;
mod chart;
mod check;
mod cli;
mod codec;
mod comparison;
mod connection;
mod connector;
mod control;
mod descriptors;
mod duration;
mod engine;
mod exact;
mod exit;
mod feed;
mod find;
mod head;
mod health;
mod interval;
mod latency;
mod learned;
mod ledger;
mod live;
mod machine;
mod mix;
mod moment;
mod number;
mod observer;
mod oracle;
mod overlooked;
mod pacer;
mod page;
mod payload;
mod placeholder;
mod plan;
mod poller;
mod profile;
mod prometheus;
mod random;
mod record;
mod report;
mod result;
mod run;
mod sink;
mod statistics;
mod stats;
mod stint;
mod subject;
mod supply;
mod tally;
mod template;
mod threshold;
mod timeline;
mod trial;
mod url;
mod verdict;
mod watch;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Command, Request};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let mut out = Reader {
        out: io::stdout().lock(),
        has_gone: false,
    };
    let ended = match cli::parse(env::args_os()) {
        Ok(Request::Run(command)) => match *command {
            Command::Run(run) => run::run(&run, &mut out),
            Command::Ab(options) => ab::run(&options, &mut out),
            Command::Find(options) => find::run(&options, &mut out),
            Command::Compare(options) => ab::compare(&options, &mut out),
            Command::Calibrate(options) => calibrate::run(&options, &mut out),
            Command::Sink(options) => sink::run(&options, &mut out),
            Command::Report(options) => page::run(&options),
            Command::Challenge(challenge) => challenge::run(&challenge, &mut out),
        },
        Ok(Request::Print(text)) => print(&mut out, &text),
        Ok(Request::Advise(help)) => {
            complain(&help);
            Ok(Exit::Usage)
        }
        Err(line) => Err(Failure::new(Exit::Usage, line)),
    };
    let exit = ended.unwrap_or_else(|failure| {
        complain(&format!("loadgen: {}\n", failure.line));
        failure.exit
    });
    exit.into()
}

/// Who reads standard output, and may stop before its end, as `head -1` does: that changes nothing
/// about how the run has ended.
struct Reader<W> {
    out: W,
    has_gone: bool,
}

impl<W: Write> Reader<W> {
    fn unless_gone<T>(
        &mut self,
        instead: T,
        write: impl FnOnce(&mut W) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.has_gone {
            return Ok(instead);
        }
        match write(&mut self.out) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.has_gone = true;
                Ok(instead)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for Reader<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_gone(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_gone((), Write::flush)
    }
}

/// Writes to standard error, if anybody still reads that.
fn complain(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

fn print(out: &mut dyn Write, text: &str) -> Result<Exit, Failure> {
    out.write_all(text.as_bytes())?;
    Ok(Exit::Fine)
}
