//! The binary under test.

use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::result::scratch;

/// How long a run may take at most: whatever a server does, nothing of loadgen's waits for ever.
const PATIENCE: Duration = Duration::from_mins(3);

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it wrote to standard output.
    pub(crate) out: String,
    /// What it wrote to standard error.
    pub(crate) err: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        Ended {
            code: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asserts the exit code and that each of these texts was written to standard output.
    #[track_caller]
    pub(crate) fn expect(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.out.contains(text), "no {text:?} in {self:#?}");
        }
    }
}

/// The names of commands, behind which options go.
const COMMANDS: [&str; 8] = [
    "run",
    "1mrc",
    "ab",
    "find",
    "compare",
    "calibrate",
    "sink",
    "report",
];

/// Starts the program. The tests share their CPUs, so no run of theirs is judged by its verdict.
pub(crate) fn start(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    let is_run = args
        .first()
        .is_some_and(|first| !COMMANDS.contains(first) || *first == "run");
    if is_run {
        let rest = args.strip_prefix(&["run"]).unwrap_or(args);
        command.args(["run", "--allow-invalid"]).args(rest);
    } else {
        command.args(args);
    }
    command
        .env("XDG_STATE_HOME", scratch("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for the program's end.
///
/// # Panics
/// If it does not come; the program is killed then.
#[track_caller]
pub(crate) fn finish(child: Child) -> Ended {
    finish_within(PATIENCE, child)
}

/// The same for a run that must end within `patience`.
#[track_caller]
pub(crate) fn finish_within(patience: Duration, child: Child) -> Ended {
    let id = child.id().to_string();
    let (done, wait) = channel();
    thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    let Ok(output) = wait.recv_timeout(patience) else {
        Command::new("kill").args(["-KILL", &id]).status().unwrap();
        panic!("it hung for {patience:?}: {:?}", wait.recv());
    };
    Ended::of(output)
}

/// Runs the program to its end.
pub(crate) fn loadgen(args: &[&str]) -> Ended {
    finish(start(args))
}
