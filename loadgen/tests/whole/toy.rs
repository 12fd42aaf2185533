//! A toy HTTP server on threads, which answers as a test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A request as it came.
pub(crate) struct Request {
    /// The request line without its version: `GET /path`.
    pub(crate) line: String,
    /// All lines of the head.
    pub(crate) head: String,
    /// The content.
    pub(crate) content: Vec<u8>,
    /// How many requests came before it, on all connections.
    pub(crate) number: u64,
}

/// What the server does about a request.
pub(crate) enum Reply {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends these bytes one at a time.
    Slowly(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends these bytes and says that no more will come; what comes is read and not answered.
    HalfClose(Vec<u8>),
    /// Sends nothing, ever.
    Silence,
}

impl Reply {
    /// A proper answer.
    pub(crate) fn with(status: &str, content: &str) -> Reply {
        Reply::Bytes(answer(status, content))
    }
}

/// The bytes of a proper answer.
pub(crate) fn answer(status: &str, content: &str) -> Vec<u8> {
    let len = content.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n\
         {content}"
    )
    .into_bytes()
}

/// A server; its threads end with the process.
pub(crate) struct Toy {
    address: SocketAddr,
    count: Arc<AtomicU64>,
}

impl Toy {
    /// Starts a server that does what `reply` says.
    pub(crate) fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Toy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let (reply, counter) = (Arc::new(reply), Arc::clone(&count));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (reply, counter) = (Arc::clone(&reply), Arc::clone(&counter));
                thread::spawn(move || serve(stream.unwrap(), &counter, &*reply));
            }
        });
        Toy { address, count }
    }

    /// The URL of a path on it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many whole requests came.
    pub(crate) fn request_count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: TcpStream, counter: &AtomicU64, reply: &dyn Fn(&Request) -> Reply) {
    stream.set_nodelay(true).unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    while let Some(request) = read_request(&mut input, counter) {
        // A client that has gone is its own affair.
        let sent = match reply(&request) {
            Reply::Bytes(bytes) => stream.write_all(&bytes),
            Reply::Slowly(bytes) => bytes.chunks(1).try_for_each(|byte| stream.write_all(byte)),
            Reply::Last(bytes) => return drop(stream.write_all(&bytes)),
            Reply::HalfClose(bytes) => {
                stream.write_all(&bytes).ok();
                stream.shutdown(Shutdown::Write).ok();
                while read_request(&mut input, counter).is_some() {}
                return;
            }
            Reply::Silence => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read_request(input: &mut impl BufRead, counter: &AtomicU64) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if input.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let line = head.lines().next()?.strip_suffix(" HTTP/1.1")?.to_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let mut content = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    input.read_exact(&mut content).ok()?;
    let number = counter.fetch_add(1, Ordering::SeqCst);
    Some(Request {
        line,
        head,
        content,
        number,
    })
}
