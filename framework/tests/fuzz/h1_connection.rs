//! Any bytes to a connection whose session does what other bytes say: every answer is one that a
//! client can read, none comes unasked, and nothing is kept that is over.
//!
//! What stands behind the last NUL of the input is what the session does, a byte for each request;
//! without one it echoes. So a plain request is an input, and a vector of any suite a seed.

use std::rc::Rc;
use std::time::{Duration, Instant};

use sunstar::http::h1::{Connection, Memo};
use sunstar::http::{Event, Fields, Head, HeaderValue, Length, Limits, Method, StatusCode, header};
use sunstar::mem::{Buf, Pool};

use crate::answers;
use crate::cuts::agreed;
use crate::h1_head::start;

/// Sends the input, however cut.
pub(crate) fn run(input: &[u8]) {
    let nul = input.iter().rposition(|&byte| byte == 0);
    let (input, deeds) = input.split_at(nul.unwrap_or(input.len()));
    let deeds = deeds.get(1..).unwrap_or_default();
    let limits = Rc::new(Limits {
        head_len_max: 512,
        field_count_max: 12,
        field_len_max: 200,
        target_len_max: 100,
        content_len_max: 300,
        drain_len_max: 100,
        chunk_overhead_max: 60,
        pipelined_len_max: 256,
        output_len_max: 4096,
        request_count_max: 7,
        ..Limits::default()
    });
    if deeds.iter().all(|&deed| Deed::of(deed).is_timeless()) {
        agreed(input, |pieces| play(&limits, None, deeds, pieces));
        let memo = Rc::new(Memo::default());
        let plain = play(&limits, None, deeds, &[input]);
        // So often that heads are recalled in both directions.
        for _ in 0..12 {
            let recalled = play(&limits, Some(memo.clone()), deeds, &[input]);
            assert_eq!(recalled, plain, "recalled: {}", input.escape_ascii());
        }
    } else {
        let size = usize::from(deeds[0]) % 61 + 1;
        let pieces: Vec<_> = input.chunks(size).collect();
        play(&limits, None, deeds, &pieces);
    }
}

/// What a session does with a request.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Answers with the content, at the end of it.
    Echo,
    /// As `Echo`, in chunks where the peer can read them, with a trailer.
    Stream,
    /// Answers with another status, which may forbid content.
    Status(StatusCode),
    /// Answers with a length, and sends less, or more.
    Lie(u64),
    /// Answers with `Connection: close`.
    Close,
    /// Sends an interim answer, then echoes.
    Hint,
    /// Answers at once, before the content.
    Hasty,
    /// As `Hasty`, and wants no content.
    Careless,
    /// Sets another limit, then echoes.
    Limit(u64),
    /// Takes up what was offered, if anything was.
    Switch,
    /// Gives up in the middle.
    Abort,
    /// Lets the time run out.
    Sleep,
    /// Wants to end when the answer is sent.
    Leave,
}

impl Deed {
    fn of(byte: u8) -> Deed {
        match byte % 16 {
            3 => Deed::Stream,
            4 => Deed::Status(
                [204, 205, 304, 404][usize::from(byte / 16) % 4]
                    .try_into()
                    .expect("a status"),
            ),
            5 => Deed::Lie(u64::from(byte / 16)),
            6 => Deed::Close,
            7 => Deed::Hint,
            8 => Deed::Hasty,
            9 => Deed::Careless,
            10 => Deed::Limit(u64::from(byte / 16) * 16),
            11 => Deed::Switch,
            12 => Deed::Abort,
            13 => Deed::Sleep,
            14 => Deed::Leave,
            _ => Deed::Echo,
        }
    }

    /// Whether it comes to the same when content comes later.
    fn is_timeless(self) -> bool {
        !matches!(
            self,
            Deed::Hasty | Deed::Careless | Deed::Sleep | Deed::Leave
        )
    }
}

/// What was sent to the peer, and what became of the connection.
#[derive(Debug, PartialEq)]
struct Outcome {
    output: Vec<u8>,
    is_finished: bool,
    is_handed_over: bool,
}

/// A connection and its session.
struct Session<'a> {
    connection: Connection,
    deeds: &'a [u8],
    now: Instant,
    /// The request that is not answered yet.
    head: Option<Head>,
    content: Vec<u8>,
    /// Whether to take the ways that a server takes for what is here as a whole.
    as_served: bool,
    /// To what the answers are, in order: whether to HEAD, and to CONNECT.
    asked: Vec<answers::Asked>,
    output: Vec<u8>,
    has_failed: bool,
    /// Set when the connection is another protocol's.
    is_handed_over: bool,
}

fn play(limits: &Rc<Limits>, memo: Option<Rc<Memo>>, deeds: &[u8], pieces: &[&[u8]]) -> Outcome {
    let pool = Pool::new();
    let connection = Connection::new(pool.clone(), limits.clone(), start());
    let mut session = Session {
        as_served: memo.is_some(),
        connection: match memo {
            Some(memo) => connection.with_memo(memo),
            None => connection,
        },
        deeds,
        now: start(),
        head: None,
        content: Vec::new(),
        asked: Vec::new(),
        output: Vec::new(),
        has_failed: false,
        is_handed_over: false,
    };
    for piece in pieces {
        session.now += Duration::from_millis(1);
        session
            .connection
            .handle_input(pool.copy(piece), session.now);
        session.run();
        session.check();
    }
    session.connection.handle_end();
    session.run();
    session.check();
    let is_finished = session.connection.is_finished();
    assert!(
        is_finished || session.is_handed_over,
        "the peer has ended, every request is answered: {}",
        pieces.concat().escape_ascii()
    );
    let shown = || pieces.concat().escape_ascii().to_string();
    let output = answers::check(&session.output, &session.asked, &shown);
    Outcome {
        output,
        is_finished,
        is_handed_over: session.is_handed_over,
    }
}

impl Session<'_> {
    /// Handles all events and takes all output.
    fn run(&mut self) {
        while !self.is_handed_over {
            while let Some(event) = self.connection.poll_event() {
                assert!(!self.has_failed, "{event:?} behind an error");
                self.handle(event);
                if self.is_handed_over {
                    break;
                }
            }
            let before = self.output.len();
            while let Some(bytes) = self.connection.poll_output() {
                self.output.extend_from_slice(&bytes);
            }
            if self.output.len() == before {
                break;
            }
        }
        while let Some(bytes) = self.connection.poll_output() {
            self.output.extend_from_slice(&bytes);
        }
    }

    /// What must hold between two turns of the session.
    fn check(&mut self) {
        if self.connection.is_idle() {
            assert!(!self.connection.has_input(), "idle, and holds input");
        }
        if let Some(deadline) = self.connection.poll_deadline() {
            assert!(deadline >= start(), "a deadline before the beginning");
        }
        if let Some(parked) = self.connection.park() {
            self.connection.unpark(parked);
        }
        self.connection.detach();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request(head) => {
                self.begin(head);
                if self.as_served
                    && self.head.is_some()
                    && let Some(content) = self.connection.poll_whole()
                {
                    self.content.extend_from_slice(&content);
                    self.answer();
                }
            }
            Event::Content(data) => {
                assert!(!data.is_empty());
                self.content.extend_from_slice(&data);
            }
            Event::End => self.answer(),
            Event::Error(error) => {
                self.has_failed = true;
                if self.head.take().is_none() {
                    self.asked.push(answers::Asked::Nothing);
                }
                self.connection.send_error(error, b"");
            }
        }
    }

    fn deed(&self) -> Deed {
        let at = self.asked.len().saturating_sub(1);
        self.deeds
            .get(at)
            .map_or(Deed::Echo, |&byte| Deed::of(byte))
    }

    fn begin(&mut self, head: Head) {
        assert!(self.head.is_none(), "two requests at once");
        self.asked.push(answers::Asked::by(&head));
        self.content.clear();
        match self.deed() {
            Deed::Hasty => self.send(StatusCode::OK, b"hasty"),
            Deed::Careless => {
                self.connection.discard_content();
                self.send(StatusCode::OK, b"careless");
            }
            Deed::Limit(max) => {
                self.connection.limit_content(max);
                self.head = Some(head);
            }
            Deed::Sleep => {
                self.head = Some(head);
                self.now += Duration::from_secs(31);
                self.connection.handle_deadline(self.now);
            }
            Deed::Leave => {
                self.head = Some(head);
                self.connection.send_close();
            }
            _ => self.head = Some(head),
        }
    }

    fn send(&mut self, status: StatusCode, content: &'static [u8]) {
        let content = Buf::from_static(content);
        let fields = Fields::new();
        self.connection
            .send_whole(status, &fields, content, b"", self.now);
    }

    fn answer(&mut self) {
        let Some(head) = self.head.take() else {
            return;
        };
        let content = Buf::from(std::mem::take(&mut self.content));
        let len = content.len() as u64;
        let mut fields = Fields::new();
        match self.deed() {
            Deed::Stream => {
                self.connection
                    .send_head(StatusCode::OK, &fields, Length::Unknown, b"");
                self.connection.send_data(content);
                let mut trailers = Fields::new();
                trailers.append(header::ETAG, HeaderValue::from_static("\"e\""));
                self.connection.send_trailers(&trailers, self.now);
            }
            Deed::Status(status) => self.answer_with(status, len, content),
            Deed::Lie(other) => self.answer_with(StatusCode::OK, len ^ other, content),
            Deed::Close => {
                fields.append(header::CONNECTION, HeaderValue::from_static("close"));
                self.connection
                    .send_whole(StatusCode::OK, &fields, content, b"", self.now);
            }
            Deed::Hint => {
                let hint = StatusCode::EARLY_HINTS;
                self.connection
                    .send_head(hint, &fields, Length::Known(0), b"");
                self.answer_with(StatusCode::OK, len, content);
            }
            Deed::Switch => self.switch(&head),
            Deed::Abort => {
                self.connection
                    .send_head(StatusCode::OK, &fields, Length::Known(9), b"");
                self.connection.send_data(Buf::from_static(b"abc"));
                self.connection.abort();
            }
            _ => self.answer_with(StatusCode::OK, len, content),
        }
    }

    fn answer_with(&mut self, status: StatusCode, len: u64, content: Buf) {
        let fields = Fields::new();
        if self.as_served && content.len() as u64 == len {
            return self
                .connection
                .send_whole(status, &fields, content, b"", self.now);
        }
        self.connection
            .send_head(status, &fields, Length::Known(len), b"");
        self.connection.send_data(content);
        self.connection.send_end(self.now);
    }

    fn switch(&mut self, head: &Head) {
        let mut fields = Fields::new();
        let status = if *head.method() == Method::CONNECT {
            StatusCode::OK
        } else {
            fields.append(header::UPGRADE, HeaderValue::from_static("x"));
            StatusCode::SWITCHING_PROTOCOLS
        };
        match self.connection.send_upgrade(status, &fields, b"") {
            Some(_rest) => self.is_handed_over = true,
            None => self.send(StatusCode::UPGRADE_REQUIRED, b"no"),
        }
    }
}
