//! [`Program`]: a server in a process of its own, perhaps under a tool that limits or disturbs it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long an answer may take before the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);
/// Set for a process that is to be a server and not a test.
const ROLE: &str = "SUNSTAR_TEST_ROLE";

/// Whether this process was started by [`Program::start_own`] for this role.
pub(crate) fn has_role(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|it| it == role)
}

/// A running server. Killed when dropped.
pub(crate) struct Program {
    process: Child,
    address: String,
}

impl Program {
    /// Starts `techempower` as the last words of a command line that begins with `wrapper`.
    pub(crate) fn start(wrapper: &[&str], arguments: &[&str]) -> Program {
        let mut command = wrapped(wrapper, &techempower());
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Program::spawn(command).unwrap_or_else(|said| panic!("it has not started: {said}"))
    }

    /// As [`start`](Program::start); what it said on standard error if it ended instead.
    pub(crate) fn try_start(wrapper: &[&str], arguments: &[&str]) -> Result<Program, String> {
        let mut command = wrapped(wrapper, &techempower());
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Program::spawn(command)
    }

    /// Starts this test program again, to be the test `test`, which is a server in that role.
    pub(crate) fn start_own(wrapper: &[&str], test: &str, role: &str) -> Program {
        let own = std::env::current_exe().unwrap();
        let mut command = wrapped(wrapper, own.to_str().unwrap());
        command
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, role);
        Program::spawn(command).unwrap()
    }

    fn spawn(mut command: Command) -> Result<Program, String> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let ready = lines.find_map(|line| line.split("listening on ").nth(1).map(str::to_owned));
        if let Some(ready) = ready {
            let address = ready.split(',').next().unwrap().to_owned();
            return Ok(Program { process, address });
        }
        let mut said = String::new();
        let mut errors = process.stderr.take().unwrap();
        errors.read_to_string(&mut said).unwrap();
        process.wait().unwrap();
        Err(said)
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }

    /// How much CPU time it has used so far.
    ///
    /// # Panics
    /// If it was started under a tool that stays between.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        // In hundredths of a second for every program (proc(5), `USER_HZ`).
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// Waits until it has ended by itself; brings what it said on standard error.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        let mut errors = self.process.stderr.take().unwrap();
        errors.read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let pid = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            // A tool that has started the server may not pass a signal on.
            let _ = Command::new("kill").args(["-KILL", child]).status();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn techempower() -> String {
    let mut place: PathBuf = std::env::current_exe().unwrap();
    place.pop();
    place.pop();
    let path = place.join("examples/techempower");
    path.to_str().unwrap().to_owned()
}

fn wrapped(wrapper: &[&str], program: &str) -> Command {
    let mut words = wrapper.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// Whether a tool is there; says so on standard error if not, so that nobody takes a test for run
/// that was not.
pub(crate) fn has_tool(name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        eprintln!("not tested: `{name}` is not installed");
    }
    there
}

/// One connection of a client.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn send(&mut self) {
        let request = b"GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n";
        self.stream.write_all(request).unwrap();
    }

    /// Reads one answer and tells its status.
    ///
    /// # Panics
    /// If a 200 does not bring the right content, or none comes in time.
    pub(crate) fn status(&mut self) -> u16 {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let head = String::from_utf8(answer).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        if status == 200 {
            let mut content = [0; 13];
            self.stream.read_exact(&mut content).unwrap();
            assert_eq!(&content, b"Hello, World!");
        }
        status
    }

    /// Waits as long as that, and tells whether nothing has come and it is still open.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let heard = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        heard.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends a request and tells the answer's status.
    pub(crate) fn ask(&mut self) -> u16 {
        self.send();
        self.status()
    }
}
