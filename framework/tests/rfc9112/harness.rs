//! Plays a peer and a session against `h1::Connection`, however the peer's bytes are cut.
//!
//! The session echoes: the content of its answer is `METHOD target content`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Event, Fields, Head, Length, Limits, Method, StatusCode};
use sunstar::mem::{Buf, Pool};

/// Inputs up to this length are cut in two at every place, longer ones at many.
const CUT_EVERYWHERE_MAX: usize = 700;

/// Sends `input` in one piece, byte by byte and cut in two, and sees to it that this makes no
/// difference. Returns the answers as `status content`, and whether the connection is open.
pub(crate) fn exchange(input: impl AsRef<[u8]>) -> String {
    exchange_within(&Limits::default(), input)
}

/// As [`exchange`], with other limits.
pub(crate) fn exchange_within(limits: &Limits, input: impl AsRef<[u8]>) -> String {
    agreed(input.as_ref(), |pieces| {
        let mut session = Session::new(limits);
        for piece in pieces {
            session.feed(piece);
        }
        session.brief()
    })
}

/// As [`exchange`], where the peer ends its side behind the input.
pub(crate) fn exchange_and_end(input: impl AsRef<[u8]>) -> String {
    agreed(input.as_ref(), |pieces| {
        let mut session = Session::new(&Limits::default());
        for piece in pieces {
            session.feed(piece);
        }
        session.end();
        session.brief()
    })
}

thread_local! {
    /// The memo that sessions share, while there is one.
    static MEMO: RefCell<Option<Rc<Memo>>> = const { RefCell::new(None) };
}

/// What `play` makes of the input when heads are recalled: must be `whole` every time.
fn agreed_from_memory(whole: &str, play: impl Fn() -> String) {
    MEMO.set(Some(Rc::default()));
    for time in 0..20 {
        assert_eq!(play(), whole, "with a memo, for the {time}th time");
    }
    MEMO.set(None);
}

/// What `play` makes of `input`, which must be the same for all ways to cut it.
fn agreed(input: &[u8], play: impl Fn(&[&[u8]]) -> String) -> String {
    let whole = play(&[input]);
    let bytes: Vec<_> = input.chunks(1).collect();
    let shown = &input[..input.len().min(200)];
    assert_eq!(
        play(&bytes),
        whole,
        "byte by byte: {}",
        shown.escape_ascii()
    );
    agreed_from_memory(&whole, || play(&[input]));
    let near = CUT_EVERYWHERE_MAX / 2;
    for at in 1..input.len() {
        if at < near || input.len() - at < near || at.is_multiple_of(997) {
            let (front, back) = input.split_at(at);
            assert_eq!(
                play(&[front, back]),
                whole,
                "cut at {at}: {}",
                shown.escape_ascii()
            );
        }
    }
    whole
}

/// A request with these lines between its `Host` and its empty line.
pub(crate) fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// A chunked request whose content is encoded as `chunks`.
pub(crate) fn chunked(chunks: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
}

/// A connection and the session that echoes on it.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) pool: Pool,
    /// Everything that was sent.
    pub(crate) output: Vec<u8>,
    head: Option<Head>,
    content: Vec<u8>,
    /// Whether to take the ways that a server takes for what is here as a whole.
    as_served: bool,
    /// Which of the answers are to a HEAD request; `None` for a request that was refused.
    to_head: Vec<Option<bool>>,
}

impl Session {
    pub(crate) fn new(limits: &Limits) -> Session {
        #[expect(
            clippy::disallowed_methods,
            reason = "where a test's time begins is no matter"
        )]
        let now = Instant::now();
        let pool = Pool::new();
        let connection = Connection::new(pool.clone(), Rc::new(limits.clone()), now);
        let memo = MEMO.with_borrow(Option::clone);
        Session {
            as_served: memo.is_some(),
            connection: match memo {
                Some(memo) => connection.with_memo(memo),
                None => connection,
            },
            now,
            pool,
            output: Vec::new(),
            head: None,
            content: Vec::new(),
            to_head: Vec::new(),
        }
    }

    /// Receives bytes and answers what they complete.
    pub(crate) fn feed(&mut self, bytes: impl AsRef<[u8]>) {
        let input = self.pool.copy(bytes.as_ref());
        self.connection.handle_input(input, self.now);
        self.run();
    }

    /// Learns that the peer ended its side.
    pub(crate) fn end(&mut self) {
        self.connection.handle_end();
        self.run();
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_deadline(self.now);
        self.run();
    }

    /// Handles all events and takes all output.
    pub(crate) fn run(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Request(head) => {
                    self.to_head.push(Some(*head.method() == Method::HEAD));
                    self.head = Some(head);
                    self.content.clear();
                    if self.as_served
                        && let Some(content) = self.connection.poll_whole()
                    {
                        self.content.extend_from_slice(&content);
                        self.echo();
                    }
                }
                Event::Content(data) => self.content.extend_from_slice(&data),
                Event::End => self.echo(),
                Event::Error(error) => {
                    if self.head.take().is_none() {
                        self.to_head.push(None);
                    }
                    self.connection.send_error(error, b"");
                }
            }
        }
        while let Some(bytes) = self.connection.poll_output() {
            self.output.extend_from_slice(&bytes);
        }
    }

    fn echo(&mut self) {
        let head = self.head.take().expect("content follows a head");
        let mut echo = format!("{} {} ", head.method(), head.target()).into_bytes();
        echo.append(&mut self.content);
        if self.as_served {
            let (status, fields) = (StatusCode::OK, Fields::new());
            let content = Buf::from(echo);
            return self
                .connection
                .send_whole(status, &fields, content, b"", self.now);
        }
        let length = Length::Known(echo.len() as u64);
        self.connection
            .send_head(StatusCode::OK, &Fields::new(), length, b"");
        self.connection.send_data(Buf::from(echo));
        self.connection.send_end(self.now);
    }

    /// The answers so far, without interim ones, and whether the connection is open.
    pub(crate) fn brief(&self) -> String {
        let mut rest = &self.output[..];
        let mut answers = String::new();
        let mut to_head = self.to_head.iter();
        while !rest.is_empty() {
            let (status, content) = split_answer(&mut rest, &mut to_head);
            if !status.starts_with('1') {
                answers += format!("{status} {content}").trim_end();
                answers += " | ";
            }
        }
        let is_open = !self.connection.is_finished();
        answers + if is_open { "open" } else { "closed" }
    }

    /// What was sent, as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// Takes an answer with `Content-Length`, if any, off the front: its status and content.
fn split_answer<'a>(
    rest: &mut &'a [u8],
    to_head: &mut impl Iterator<Item = &'a Option<bool>>,
) -> (String, String) {
    let end = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let (head, behind) = rest.split_at(end.expect("a whole head") + 4);
    let head = std::str::from_utf8(head).expect("a head in ASCII");
    let status = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].to_owned();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let len = len.map_or(0, |len| len.parse().expect("a number"));
    let has_content = !status.starts_with('1')
        && match to_head.next().expect("a request to each answer") {
            Some(is_head) => !is_head,
            None => !behind.is_empty(),
        };
    let (content, behind) = behind.split_at(if has_content { len } else { 0 });
    *rest = behind;
    (status, String::from_utf8_lossy(content).into_owned())
}
