//! [`Exit`]: how loadgen ends, as a code for scripts; [`Failure`]: an early end with its reason.
//!
//! What must hold: a code keeps its meaning for ever; zero means that nothing at all went wrong.

use std::io;
use std::process::ExitCode;

/// The ways to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was sent was answered as hoped for.
    Fine,
    /// The run failed: the server could not be reached, or requests were lost.
    Failed,
    /// The command line was wrong.
    Usage,
    /// A condition of `--fail` was breached.
    Breached,
    /// Something that came from the server was wrong.
    Unverified,
    /// The figures are the generator's own limits.
    Invalid,
    /// The rate was not steady.
    Unsteady,
    /// A comparison has shown that B is worse than A.
    Worse,
    /// loadgen's own accounts do not add up.
    Unbalanced,
    /// A signal ended the run early; the report is partial.
    Interrupted {
        /// Its number.
        signal: u8,
    },
}

impl Exit {
    /// The code as the shell sees it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Breached => 3,
            Exit::Unverified => 4,
            Exit::Invalid => 5,
            Exit::Unsteady => 6,
            Exit::Worse => 7,
            Exit::Unbalanced => 70,
            Exit::Interrupted { signal } => 128 + signal,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a command ends early: one line for standard error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) line: String,
}

impl Failure {
    /// A failure with its reason.
    pub(crate) fn new(exit: Exit, line: impl Into<String>) -> Failure {
        Failure {
            exit,
            line: line.into(),
        }
    }
}

/// Only the report is written with `?`.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("cannot write the report: {error}"))
    }
}
