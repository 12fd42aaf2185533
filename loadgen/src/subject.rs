//! [`Subject`]: a server under comparison: one that runs, or a command that starts a fresh one.
//!
//! What must hold: every server that was started here is ended here, also after a failure; a
//! command's server has a port of its own each time.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::exit::{Exit, Failure};
use crate::moment::clock;
use crate::url::Url;

/// How long a server may take to accept connections, and how often it is tried.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a server may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A server that runs.
    Url(Url),
    /// A command with `{port}` in it.
    Command(String),
}

impl Subject {
    /// Reads a URL or a command.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn parse(text: &str) -> Result<Subject, String> {
        if text.starts_with("http://") {
            return Url::parse(text).map(Subject::Url);
        }
        if text.contains("{port}") {
            return Ok(Subject::Command(text.to_owned()));
        }
        Err("it is a URL, or a command that starts a server on {port}".into())
    }

    /// A server to measure: this one, or a fresh one whose target is `target`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start(&self, target: &str) -> Result<Started, Failure> {
        match self {
            Subject::Url(url) => Ok(Started {
                url: url.clone(),
                child: None,
            }),
            Subject::Command(command) => start(command, target),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Url(url) => url.fmt(out),
            Subject::Command(command) => out.write_str(command),
        }
    }
}

/// A server that accepts connections.
#[derive(Debug)]
pub(crate) struct Started {
    /// Where.
    pub(crate) url: Url,
    child: Option<Child>,
}

impl Started {
    /// Its process, if it was started here.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        // The shell has become the server (`exec`), so this is its process.
        let ended = Command::new("kill").arg(child.id().to_string()).status();
        let patience = clock() + STOP_TIMEOUT;
        while ended.is_ok() && clock() < patience {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            pause();
        }
        // It may have ended in between.
        child.kill().ok();
        child.wait().ok();
    }
}

fn start(command: &str, target: &str) -> Result<Started, Failure> {
    let failed = |line: String| Failure::new(Exit::Failed, line);
    let port = free_port().map_err(|error| failed(format!("no free port: {error}")))?;
    let line = format!("exec {}", command.replace("{port}", &port.to_string()));
    let child = Command::new("sh")
        .args(["-c", &line])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot start '{command}': {error}")))?;
    let url = Url::parse(&format!("http://127.0.0.1:{port}{target}")).map_err(failed)?;
    let mut started = Started {
        url,
        child: Some(child),
    };
    let patience = clock() + START_TIMEOUT;
    while started.url.reach().is_err() {
        let child = started.child.as_mut().expect("it was just put there");
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(format!("'{command}' ended with {status}")));
        }
        if clock() > patience {
            let line = format!("'{command}' accepts no connections on 127.0.0.1:{port}");
            return Err(failed(line));
        }
        pause();
    }
    Ok(started)
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[expect(
    clippy::disallowed_methods,
    reason = "no shard runs while servers start and stop"
)]
fn pause() {
    thread::sleep(TRY_PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_and_a_command_are_told_apart() {
        assert!(matches!(
            Subject::parse("http://a:1/x"),
            Ok(Subject::Url(_))
        ));
        let command = Subject::parse("server --port {port}").unwrap();
        assert_eq!(command.to_string(), "server --port {port}");
        assert!(Subject::parse("server").unwrap_err().contains("{port}"));
        assert!(Subject::parse("http://").is_err());
    }

    #[test]
    fn a_command_that_does_not_serve_is_a_failure() {
        let subject = Subject::parse("sh -c 'exit 3' {port}").unwrap();
        let failure = subject.start("/").unwrap_err();
        assert!(failure.line.contains("exit status: 3"), "{failure:?}");
    }
}
