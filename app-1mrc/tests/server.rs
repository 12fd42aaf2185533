//! The program as it is used: started, asked over sockets, and stopped.
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// The running program and its address.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_app-1mrc"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.strip_prefix("listening on ").expect(&line);
        let address = address.split(',').next().unwrap().to_owned();
        Server { process, address }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            replies: BufReader::new(stream),
        }
    }

    /// Sends SIGTERM and tells whether the program ended with 0.
    fn ends_well(mut self) -> bool {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.process.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One connection.
struct Client {
    replies: BufReader<TcpStream>,
}

/// Status, head in lower case, and body.
type Reply = (u16, String, String);

impl Client {
    /// Sends head and body in two writes, as Java does.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        let len = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        self.replies.get_mut().write_all(head.as_bytes()).unwrap();
        // A server that refuses the head may have closed by now.
        let _ = self.replies.get_mut().write_all(body);
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                self.replies.read_line(&mut head).unwrap(),
                0,
                "closed after {head:?}"
            );
        }
        let head = head.to_lowercase();
        let len = head.split("content-length: ").nth(1).expect(&head);
        let mut body = vec![0; len.lines().next().unwrap().parse().unwrap()];
        self.replies.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, String::from_utf8(body).unwrap())
    }

    fn post_event(&mut self, body: &str) -> Reply {
        self.ask("POST", "/event", body.as_bytes())
    }

    fn stats(&mut self) -> String {
        let (status, head, body) = self.ask("GET", "/stats", b"");
        assert_eq!(status, 200);
        assert!(
            head.contains("\r\ncontent-type: application/json\r\n"),
            "{head}"
        );
        body
    }
}

#[test]
fn events_are_answered_without_a_body_and_the_connection_stays() {
    let server = Server::start();
    let mut client = server.connect();
    for _ in 0..1000 {
        let (status, head, body) = client.post_event(r#"{"userId":"u","value":0.1}"#);
        assert_eq!((status, body.as_str()), (200, ""));
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        assert!(!head.contains("connection: close"), "{head}");
    }
    let expected = r#"{"totalRequests":1000,"uniqueUsers":1,"sum":100,"avg":0.1}"#;
    assert_eq!(client.stats(), expected);
    assert!(server.ends_well());
}

#[test]
fn every_connection_reads_what_another_has_written() {
    let server = Server::start();
    let mut clients: Vec<Client> = (0..16).map(|_| server.connect()).collect();
    for number in 1..=320_usize {
        let (writer, reader) = (number % 16, number * 7 % 16);
        let body = format!(r#"{{"userId":"user_{}","value":1}}"#, number % 20);
        assert_eq!(clients[writer].post_event(&body).0, 200);
        let users = number.min(20);
        let expected =
            format!(r#"{{"totalRequests":{number},"uniqueUsers":{users},"sum":{number},"avg":1}}"#);
        assert_eq!(clients[reader].stats(), expected);
    }
    assert_eq!(clients[3].ask("POST", "/reset", b"").0, 200);
    let zeros = r#"{"totalRequests":0,"uniqueUsers":0,"sum":0,"avg":0}"#;
    assert!(clients.iter_mut().all(|client| client.stats() == zeros));
}

#[test]
fn what_is_no_event_changes_nothing() {
    let server = Server::start();
    let mut client = server.connect();
    let before = client.stats();
    for body in [
        "",
        "[]",
        "{}",
        r#"{"userId":"","value":1}"#,
        r#"{"userId":"u","value":1e309}"#,
    ] {
        let (status, head, text) = client.post_event(body);
        assert_eq!(status, 400, "{body}");
        assert!(
            head.contains("\r\ncontent-type: application/json\r\n"),
            "{head}"
        );
        assert!(
            text.starts_with(r#"{"error": ""#) && text.ends_with("\"}"),
            "{text}"
        );
    }
    assert_eq!(client.ask("GET", "/event", b"").0, 405);
    assert!(client.ask("PUT", "/event", b"").1.contains("\r\nallow: "));
    assert_eq!(client.ask("GET", "/nowhere", b"").0, 404);
    assert_eq!(client.ask("GET", "/health", b"").0, 200);
    assert_eq!(
        server
            .connect()
            .ask("POST", "/event", " ".repeat(65_537).as_bytes())
            .0,
        413
    );
    let long = format!(r#"{{"userId":"u","value":1,"x":"{}"}}"#, "x".repeat(65_000));
    assert_eq!(server.connect().post_event(&long).0, 200);
    assert_eq!(client.ask("POST", "/reset", b"").0, 200);
    assert_eq!(client.stats(), before);
}
