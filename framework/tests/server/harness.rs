//! A server on two unpinned shards, and a client that reads answers exactly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use sunstar::runtime::Placement;
use sunstar::server::{Config, Stopper};
use sunstar::{Server, Service, ShardId};

/// A running server. Stops and joins when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    thread: Option<JoinHandle<sunstar::Result<()>>>,
}

/// What tests change nothing of, unless they say so.
pub(crate) fn config(shards: usize) -> Config {
    let placement = Some(Placement::unpinned(shards));
    Config {
        placement,
        signals: false,
        ..Config::default()
    }
}

/// Starts a server on two shards.
pub(crate) fn start<S: Service>(make: impl Fn(ShardId) -> S + Send + Sync + 'static) -> Running {
    start_with(config(2), make)
}

pub(crate) fn start_with<S: Service>(
    config: Config,
    make: impl Fn(ShardId) -> S + Send + Sync + 'static,
) -> Running {
    run(Server::bind_with(config, "127.0.0.1:0").unwrap(), make)
}

/// Starts a server that is bound already.
pub(crate) fn run<S: Service>(
    server: Server,
    make: impl Fn(ShardId) -> S + Send + Sync + 'static,
) -> Running {
    let (address, stopper) = (server.addresses()[0], server.stopper().unwrap());
    let thread = Some(thread::spawn(move || server.serve(make)));
    Running {
        address,
        stopper,
        thread,
    }
}

impl Running {
    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            reader: BufReader::new(stream),
        }
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn join(mut self) -> sunstar::Result<()> {
        self.thread.take().expect("not joined yet").join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || ended.is_ok_and(|result| result.is_ok()));
        }
    }
}

/// An answer, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self
            .fields
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// One connection of a client.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends a GET and reads its answer.
    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.answer().expect("an answer")
    }

    pub(crate) fn post(&mut self, target: &str, content: &str) -> Answer {
        let len = content.len();
        let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n");
        self.send(head + content);
        self.answer().expect("an answer")
    }

    /// Reads one answer; `None` at the end of the connection.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let mut line = self.line()?;
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut fields = Vec::new();
        loop {
            line = self.line().expect("a whole head");
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            fields.push((name.to_owned(), value.to_owned()));
        }
        assert_eq!(line, "", "the empty line that ends a head");
        let mut answer = Answer {
            status,
            fields,
            content: String::new(),
        };
        let len = answer
            .field("Content-Length")
            .map_or(0, |len| len.parse().unwrap());
        let mut content = vec![0; len];
        self.reader.read_exact(&mut content).unwrap();
        answer.content = String::from_utf8(content).unwrap();
        Some(answer)
    }

    /// The next `len` bytes, of which some may have come with the answer before.
    pub(crate) fn take(&mut self, len: usize) -> String {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// All that comes until the server closes.
    pub(crate) fn rest(&mut self) -> String {
        let mut text = String::new();
        self.reader.read_to_string(&mut text).unwrap();
        text
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.reader
            .read_line(&mut line)
            .ok()
            .filter(|&len| len > 0)?;
        Some(
            line.strip_suffix("\r\n")
                .expect("a line ends with CRLF")
                .to_owned(),
        )
    }

    /// Whether the server has closed the connection, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.reader.read(&mut [0]).is_ok_and(|len| len == 0)
    }
}
