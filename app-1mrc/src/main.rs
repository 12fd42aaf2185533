//! The One Million Request Challenge on sunstar.

mod audience;
mod challenge;
mod handlers;
mod memory;
mod unstoppable;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use app_1mrc::snapshot::{Claim, Error, Snapshot};
use app_1mrc::union::Union;
use clap::Parser;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sunstar::server::Stopper;
use sunstar::{Router, Server, ShardId, Sharded, runtime};

use audience::{Audience, Stopping, perform};
use challenge::{Challenge, Counted, beat, beginning, inherit};
use handlers::{PATIENCE, live, router};

/// The longest body of a request; more is answered with 413.
const BODY_LEN_MAX: u64 = 64 * 1024;
/// Where to listen if the arguments name no address: clients say `localhost`, which is either.
const ADDRESSES: [&str; 2] = ["0.0.0.0:8080", "[::]:8080"];
const MIB: usize = 1 << 20;

/// Serves the One Million Request Challenge: counts events, and answers with exact figures. Without
/// --listen it serves port 8080 of every interface, POST /reset included.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,

    /// Begin with the figures in this file, if there is one, and write them there on a graceful
    /// stop. Without it every start begins at zero.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,

    /// Memory for the names of users, in MiB, on all shards together; then new users are answered
    /// with 503. Default: half of what the machine or the container has.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    user_memory: Option<u32>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("app-1mrc: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is stopped, then says what was counted and keeps it, if it is to be kept.
fn run(cli: &Cli) -> Result<(), String> {
    let memory_len = match cli.user_memory {
        Some(mib) => mib as usize * MIB,
        None => memory::available_len() / 2,
    };
    let kept = cli.snapshot.as_deref().map(read).transpose()?;
    // The claim is held until the figures are written.
    let (_claim, kept) = kept.unzip();
    let kept = kept.flatten();
    let server = server(cli).map_err(|error| error.to_string())?;
    let (heirs, left) = channel();
    let stopping = Stopping::default();
    let stopper = server.stopper().map_err(|error| error.to_string())?;
    stop_on_signals(stopper, stopping.clone())
        .map_err(|error| format!("cannot listen for signals: {error}"))?;
    let start = starter(kept, memory_len, heirs, stopping);
    server.serve(start).map_err(|error| error.to_string())?;
    let union = inherit(&left);
    say_farewell(&union);
    match &cli.snapshot {
        Some(path) => write(union.into_snapshot(), path),
        None => Ok(()),
    }
}

fn server(cli: &Cli) -> sunstar::Result<Server> {
    let mut server = cli.sunstar.server(&ADDRESSES)?;
    server.config_mut().limits.content_len_max = BODY_LEN_MAX;
    server.config_mut().signals = false;
    Ok(server)
}

/// Stops the server on SIGINT and SIGTERM, after `stopping` was told; a second signal drops what is
/// left.
fn stop_on_signals(stopper: Stopper, stopping: Stopping) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let wait = move || {
        for _ in signals.forever() {
            stopping.begin();
            stopper.stop();
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)?;
    Ok(())
}

/// What starts each shard; the first takes the snapshot.
#[expect(
    clippy::disallowed_methods,
    reason = "handed over once, when the first shard starts"
)]
fn starter(
    kept: Option<Snapshot>,
    memory_len: usize,
    heirs: Sender<Counted>,
    stopping: Stopping,
) -> impl Fn(ShardId) -> Router<Challenge> + Send + Sync + 'static {
    let kept = Arc::new(Mutex::new(kept));
    move |shard| {
        let mut kept = kept.lock().expect("nothing panics while it is locked");
        let kept = kept.take_if(|_| shard == ShardId::ZERO);
        let counted = beginning(shard, runtime::shard_count(), memory_len, kept);
        let challenge = Sharded::start(Challenge::new(counted, heirs.clone()));
        runtime::spawn(beat(challenge)).detach();
        let audience = Sharded::start(Audience::new(stopping.clone()));
        if shard == ShardId::ZERO {
            let start = runtime::now();
            let gather = move || live(challenge, start);
            runtime::spawn(perform(audience, PATIENCE, gather)).detach();
        }
        router(challenge, audience, PATIENCE)
    }
}

/// Claims the file and reads what is in it.
fn read(path: &Path) -> Result<(Claim, Option<Snapshot>), String> {
    let place = path.display();
    let claim = Claim::on(path);
    if let Err(error @ Error::Taken) = claim {
        return Err(format!(
            "the snapshot {place} is taken: {error}; name another file"
        ));
    }
    let kept = Snapshot::read(path).map_err(|error| {
        let advice = match error {
            Error::Io(_) => "name a file that can be read and written",
            Error::Kind => "name another file",
            _ => "move it away to begin at zero",
        };
        format!("cannot begin with the snapshot {place}: {error}; {advice}")
    })?;
    let advice = "name a file in a directory that can be written";
    let claim = claim
        .map_err(|error| format!("no snapshot could be written to {place}: {error}; {advice}"))?;
    Ok((claim, kept))
}

fn write(snapshot: Snapshot, path: &Path) -> Result<(), String> {
    let place = path.display();
    snapshot
        .write(path)
        .map_err(|error| format!("cannot write the snapshot {place}: {error}"))
}

/// Prints the final figures on one line.
fn say_farewell(union: &Union) {
    // If nobody can read it, that is no failure.
    let _ = writeln!(std::io::stdout(), "stopped with {}", union.stats());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn defaults_are_those_of_the_challenge() {
        let ports: Vec<_> = ADDRESSES.iter().map(|it| it.rsplit_once(':')).collect();
        assert_eq!(ports, [Some(("0.0.0.0", "8080")), Some(("[::]", "8080"))]);
        let cli = Cli::parse_from(["app-1mrc", "--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
        let mut server = server(&cli).unwrap();
        assert_eq!(server.addresses().len(), 2);
        let limits = &server.config_mut().limits;
        assert_eq!(limits.content_len_max, 65_536);
        assert!(limits.idle_timeout >= Duration::from_secs(90));
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for words in [
            ["--user-memory", "0"],
            ["--user-memory", "much"],
            ["--smp", "x"],
        ] {
            assert!(Cli::try_parse_from(["app-1mrc"].into_iter().chain(words)).is_err());
        }
    }
}
