//! Every example is started as a user would start it, and asked one request.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

#[path = "examples/httparena.rs"]
#[cfg(all(feature = "cli", feature = "json"))]
mod httparena;
#[path = "examples/json.rs"]
#[cfg(all(feature = "cli", feature = "json"))]
mod json;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The program of an example, which `cargo test` has built beside this test's.
fn example(name: &str) -> Command {
    let mut place: PathBuf = std::env::current_exe().unwrap();
    place.pop();
    place.pop();
    let mut command = Command::new(place.join("examples").join(name));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running example and the address from its first line.
struct Running {
    process: Child,
    line: String,
}

impl Running {
    fn start(name: &str, arguments: &[&str]) -> Running {
        Running::start_as(example(name).args(arguments))
    }

    fn start_as(command: &mut Command) -> Running {
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Running { process, line }
    }

    fn address(&self) -> &str {
        let parts = self.line.split(" on ").nth(1).unwrap();
        parts.split([',', '\n']).next().unwrap()
    }

    /// Sends a request and reads until the answer ends with `end`.
    fn ask(&self, request: &str, end: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        while !answer.ends_with(end) {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).unwrap();
            assert_ne!(count, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        answer
    }

    /// Sends a request and reads until the server closes.
    fn ask_to_the_end(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn terminate(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    /// Sends SIGTERM and tells whether the program ended with 0.
    fn ends_well(mut self) -> bool {
        self.terminate();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const ARGUMENTS: [&str; 4] = ["--listen", "127.0.0.1:0", "--smp", "1"];

#[test]
#[cfg(feature = "cli")]
fn hello_greets_and_stops_when_told() {
    let hello = Running::start("hello", &ARGUMENTS);
    assert!(
        hello.line.starts_with("listening on 127.0.0.1:"),
        "{}",
        hello.line
    );
    let driver = std::env::var("SUNSTAR_DRIVER").unwrap_or("uring".into());
    assert!(
        hello.line.ends_with(&format!(", driver {driver}\n")),
        "{}",
        hello.line
    );
    let answer = hello.ask("GET /hello/you HTTP/1.1\r\nHost: a\r\n\r\n", "you!\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\nHello, you!\n"), "{answer}");
    assert!(hello.ends_well());
}

#[test]
#[cfg(feature = "cli")]
fn bulk_knows_its_own_bytes_from_others() {
    let bulk = Running::start("bulk", &ARGUMENTS);
    let ask = |request: &str, end: &str| {
        let host = "HTTP/1.1\r\nHost: a\r\n";
        bulk.ask(&request.replace("HTTP/1.1\r\n", host), end)
    };
    let empty = ask("GET /0 HTTP/1.1\r\n\r\n", "\r\n\r\n");
    assert!(
        empty.to_lowercase().contains("\r\ncontent-length: 0\r\n"),
        "{empty}"
    );
    let chunked = ask(
        "GET /1/chunked HTTP/1.1\r\n\r\n",
        "\r\n1\r\n\0\r\n0\r\n\r\n",
    );
    assert!(chunked.contains("chunked\r\n"), "{chunked}");
    let post = |content: &str| format!("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n{content}");
    ask(&post("\0"), "\r\n\r\n1 bytes, equal\n");
    ask(&post("x"), "\r\n\r\n1 bytes, different from 0 on\n");
    assert!(bulk.ends_well());
}

#[test]
#[cfg(feature = "cli")]
fn site_serves_files_an_api_and_a_cookie() {
    let site = Running::start("site", &ARGUMENTS);
    let page = site.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Visits</a>\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(
        page.contains("content-type: text/html; charset=utf-8\r\n"),
        "{page}"
    );
    assert!(page.contains("x-request-id: "), "{page}");
    let range = "GET /style.css HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3\r\n\r\n";
    let part = site.ask(range, "\r\n\r\nbody");
    assert!(
        part.starts_with("HTTP/1.1 206 Partial Content\r\n"),
        "{part}"
    );
    let known = "GET /api/visits HTTP/1.1\r\nHost: a\r\nOrigin: b://c\r\n\
                 Cookie: visits=6\r\n\r\n";
    let visit = site.ask(known, "visit 7\n");
    assert!(visit.contains("set-cookie: visits=7; Path=/; SameSite=Lax; HttpOnly\r\n"));
    assert!(
        visit.contains("access-control-allow-origin: *\r\n"),
        "{visit}"
    );
    let form = "POST /api/guests HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\nname=Ann";
    let signed = site.ask(form, "\r\n\r\n");
    assert!(signed.starts_with("HTTP/1.1 303 See Other\r\n"), "{signed}");
    let guests = site.ask("GET /api/guests HTTP/1.1\r\nHost: a\r\n\r\n", "Ann\n");
    assert!(guests.contains("\r\n\r\nAnn\n"), "{guests}");
    assert!(site.ends_well());
}

#[test]
fn background_serves_beside_its_computation() {
    let running = Running::start("background", &["--listen", "127.0.0.1:0", "--smp", "1"]);
    let request = "GET /plaintext HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = running.ask(request, "World!");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(running.ends_well());
}

#[test]
fn echo_sends_back_what_it_gets() {
    let echo = Running::start("echo", &ARGUMENTS);
    assert_eq!(echo.ask("ping", "ping"), "ping");
}

#[test]
fn counter_counts_on_all_shards_and_ends() {
    let output = example("counter").arg("aab").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "{'a': 2, 'b': 1}\n"
    );
}

#[test]
#[cfg(feature = "cli")]
fn wrong_arguments_end_with_one_readable_line() {
    for (arguments, message) in [
        (vec!["--cpuset", "9000"], "is not a CPU list"),
        (vec!["--smp", "0"], "each needs a CPU of its own"),
        (
            vec!["--listen", "nonsense"],
            "write ADDRESS:PORT, like 127.0.0.1:8080",
        ),
        (
            vec!["--driver", "magic"],
            "possible values: auto, uring, epoll",
        ),
    ] {
        let output = example("hello").args(&arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && text.contains(message),
            "{arguments:?}: {text}"
        );
    }
}

/// An example under strace, which lets `injected` happen to it. `None` without strace.
#[cfg(feature = "cli")]
fn traced(injected: &str, name: &str, arguments: &[&str]) -> Option<Command> {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: there is no strace here");
        return None;
    }
    let mut command = Command::new("strace");
    // -D: a signal for this process is one for the example.
    command.args(["-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]);
    let (call, _) = injected.split_once(':').unwrap();
    command.args(["-e", &format!("trace={call}")]);
    command.args(["-e", &format!("inject={injected}")]);
    command.arg(example(name).get_program()).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("SUNSTAR_DRIVER");
    Some(command)
}

#[test]
#[cfg(feature = "cli")]
fn where_there_is_no_ring_epoll_answers_and_one_line_tells_why() {
    // Row C20.
    for (injected, cause) in [
        ("io_uring_setup:error=EPERM", "forbids it"),
        ("io_uring_setup:error=ENOSYS", "has none"),
        ("io_uring_setup:error=ENOMEM", "no memory"),
        ("io_uring_setup:error=EINVAL", "too old"),
        ("io_uring_setup:error=EMFILE", "no descriptor is left"),
        ("io_uring_register:error=EPERM", "forbids it"),
    ] {
        let Some(mut command) = traced(injected, "hello", &ARGUMENTS) else {
            return;
        };
        let mut hello = Running::start_as(&mut command);
        assert!(
            hello.line.ends_with(", driver epoll\n"),
            "{injected}: {}",
            hello.line
        );
        let answer = hello.ask("GET /hello/you HTTP/1.1\r\nHost: a\r\n\r\n", "you!\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        let mut said = hello.process.stderr.take().unwrap();
        assert!(hello.ends_well());
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), 1, "{injected}: {text}");
        assert!(text.contains(cause), "{injected}: {text}");
    }
}

#[test]
#[cfg(feature = "cli")]
fn a_ring_that_was_asked_for_and_cannot_be_had_is_an_error() {
    let arguments = ["--driver", "uring", "--listen", "127.0.0.1:0", "--smp", "1"];
    let Some(mut command) = traced("io_uring_setup:error=EPERM", "hello", &arguments) else {
        return;
    };
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("cannot make a ring for shard 0"), "{text}");
}

#[test]
#[cfg(feature = "cli")]
fn the_environment_chooses_the_driver_and_a_wrong_name_is_refused() {
    let hello = Running::start_as(
        example("hello")
            .args(ARGUMENTS)
            .env("SUNSTAR_DRIVER", "epoll"),
    );
    assert!(hello.line.ends_with(", driver epoll\n"), "{}", hello.line);
    assert!(hello.ends_well());
    let mut wrong = example("hello");
    let output = wrong
        .args(ARGUMENTS)
        .env("SUNSTAR_DRIVER", "magic")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("take one of auto, uring, epoll"), "{text}");
}
