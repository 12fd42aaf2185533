//! [`Server`]: the running program; [`Client`]: one connection to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// What `/stats` says before the first event.
pub(crate) const ZEROS: &str = r#"{"totalRequests":0,"uniqueUsers":0,"sum":0,"avg":0}"#;

/// The running program and its address.
pub(crate) struct Server {
    process: Child,
    out: BufReader<ChildStdout>,
    pub(crate) address: String,
}

/// The program with these arguments, on a free port.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_app-1mrc"));
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    command
}

/// Runs the program when it is expected to end by itself.
pub(crate) fn output(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

impl Server {
    /// Starts the program and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Server {
        let mut process = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.strip_prefix("listening on ").expect(&line);
        let address = address.split(',').next().unwrap().to_owned();
        Server {
            process,
            out,
            address,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Two connections that are served by different shards, of which there are two.
    pub(crate) fn connect_to_both_shards(&self) -> [Client; 2] {
        let mut clients: [Option<Client>; 2] = [None, None];
        for _ in 0..1000 {
            let mut client = self.connect();
            let counts = client.shard_counts();
            assert_eq!(client.post(r#"{"userId":"probe","value":0}"#), 200);
            let after = client.shard_counts();
            let shard = (0..2).find(|&shard| after[shard] > counts[shard]).unwrap();
            clients[shard] = Some(client);
            if let [Some(_), Some(_)] = clients {
                let mut both = clients.map(Option::unwrap);
                assert_eq!(both[0].ask("POST", "/reset", b"").0, 200);
                return both;
            }
        }
        panic!("all connections go to one shard");
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    /// Waits for the end; what the program still had to say, if it ended with 0.
    pub(crate) fn farewell(mut self) -> Option<String> {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        self.process.wait().unwrap().success().then_some(rest)
    }

    /// Sends SIGTERM; the final figures, if the program ended with 0.
    pub(crate) fn stop(self) -> Option<String> {
        self.signal("TERM");
        let farewell = self.farewell()?;
        let line = farewell.strip_prefix("stopped with ")?.strip_suffix('\n')?;
        Some(line.to_owned())
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
pub(crate) struct Client {
    replies: BufReader<TcpStream>,
}

/// Status, head in lower case, and body.
pub(crate) type Reply = (u16, String, String);

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

impl Client {
    pub(crate) fn connect(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            replies: BufReader::new(stream),
        }
    }

    /// Sends bytes, unless the server has closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.replies.get_mut().write_all(bytes).is_ok()
    }

    /// Sends head and body in two writes, as Java does.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        let request = request(method, path, body);
        let (head, body) = request.split_at(request.len() - body.len());
        assert!(self.try_send(head));
        // A server that refuses the head may have closed by now.
        let _ = self.try_send(body);
        self.reply()
    }

    pub(crate) fn reply(&mut self) -> Reply {
        self.try_reply().expect("closed before the reply")
    }

    /// The next reply; none if the server has closed.
    pub(crate) fn try_reply(&mut self) -> Option<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.replies.read_line(&mut head).ok()? == 0 {
                assert_eq!(head, "", "closed in the middle of a reply");
                return None;
            }
        }
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let len = match (status, head.split("content-length: ").nth(1)) {
            (204, None) => 0,
            (_, len) => len.expect(&head).lines().next().unwrap().parse().unwrap(),
        };
        let mut body = vec![0; len];
        self.replies.read_exact(&mut body).ok()?;
        Some((status, head, String::from_utf8(body).unwrap()))
    }

    /// What comes until a line ends so; none if the server closes before that.
    pub(crate) fn until(&mut self, end: &str) -> Option<String> {
        let mut text = String::new();
        while !text.ends_with(end) {
            if self.replies.read_line(&mut text).ok()? == 0 {
                return None;
            }
        }
        Some(text)
    }

    pub(crate) fn post_event(&mut self, body: &str) -> Reply {
        self.ask("POST", "/event", body.as_bytes())
    }

    /// The status with which an event is answered.
    pub(crate) fn post(&mut self, body: &str) -> u16 {
        assert!(self.try_send(&request("POST", "/event", body.as_bytes())));
        self.reply().0
    }

    /// Sends events, a hundred at a time, each of which must be taken.
    pub(crate) fn post_all(&mut self, bodies: &[String]) {
        for batch in bodies.chunks(100) {
            let requests = batch
                .iter()
                .map(|body| request("POST", "/event", body.as_bytes()));
            assert!(self.try_send(&requests.collect::<Vec<_>>().concat()));
            for body in batch {
                assert_eq!(self.reply().0, 200, "{body}");
            }
        }
    }

    pub(crate) fn stats(&mut self) -> String {
        assert!(self.try_send(&request("GET", "/stats", b"")));
        let (status, head, body) = self.reply();
        assert_eq!(status, 200);
        assert!(
            head.contains("\r\ncontent-type: application/json\r\n"),
            "{head}"
        );
        body
    }

    /// The value of a metric by its name and labels.
    pub(crate) fn metric(&mut self, name: &str) -> f64 {
        let (status, _, text) = self.ask("GET", "/metrics", b"");
        assert_eq!(status, 200);
        let mut lines = text.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find(|(other, _)| *other == format!("app_1mrc_{name}"));
        value.expect(&text).1.parse().unwrap()
    }

    fn shard_counts(&mut self) -> [f64; 2] {
        [0, 1].map(|shard| self.metric(&format!(r#"events_total{{shard="{shard}"}}"#)))
    }
}
