//! [`Connection`]: the server's side of one HTTP/1.1 connection, as a state machine.
//!
//! What must hold: requests are answered one by one, in order; after an error, or a message that
//! said `Connection: close`, nothing is answered; an idle connection holds no buffer.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_TYPE};

use super::grammar;
use super::memo::Memo;
use super::receiver::{Part, Receiver};
use super::sender::{Asked, Sender};
use super::terms::Framing;
use crate::http::{Error, Event, Fields, HeaderValue, Length, Limits, StatusCode, Trailers};
use crate::mem::{Buf, Pool};

/// The server's side of one HTTP/1.1 connection: bytes in, events out; answers in, bytes out.
///
/// It does no I/O and reads no clock. Its session calls, in this order and again and again:
/// - [`handle_input`](Self::handle_input) with what came from the peer,
///   [`handle_end`](Self::handle_end) when the peer ended its side,
///   [`handle_deadline`](Self::handle_deadline) when [`poll_deadline`](Self::poll_deadline) came;
/// - [`poll_event`](Self::poll_event) until it returns `None`, and for each request
///   [`send_head`](Self::send_head), [`send_data`](Self::send_data) and
///   [`send_end`](Self::send_end), at once or later;
/// - [`poll_output`](Self::poll_output) until it returns `None`;
/// - [`is_finished`](Self::is_finished): if so, it flushes and closes.
///
/// An answer may be given before the content of its request is there or read: what is left of the
/// content is then drained, or the connection closes.
///
/// # Examples
/// ```
/// # use std::{rc::Rc, time::Instant};
/// use sunstar::http::{Event, Fields, Length, Limits, StatusCode, h1::Connection};
/// use sunstar::mem::{Buf, Pool};
///
/// let now = Instant::now();
/// let mut connection = Connection::new(Pool::new(), Rc::new(Limits::default()), now);
/// connection.handle_input(Buf::from("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"), now);
/// while let Some(event) = connection.poll_event() {
///     match event {
///         Event::Request(head) => assert_eq!(head.path(), "/hello"),
///         Event::Content(_) => {}
///         Event::End => {
///             connection.send_head(StatusCode::OK, &Fields::new(), Length::Known(2), b"");
///             connection.send_data(Buf::from("hi"));
///             connection.send_end(now);
///         }
///         Event::Error(error) => connection.send_error(error, b""),
///     }
/// }
/// let output = connection.poll_output().expect("an answer");
/// assert_eq!(&output[..], b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
/// assert!(connection.is_idle());
/// ```
#[expect(
    clippy::struct_excessive_bools,
    reason = "each stands for itself: no two of them make a state"
)]
pub struct Connection {
    pool: Pool,
    limits: Rc<Limits>,
    memo: Option<Rc<Memo>>,
    receiver: Receiver,
    sender: Sender,
    /// An error that was not polled yet.
    error: Option<Error>,
    /// How much content was thrown away, if nobody wants it.
    discarded: Option<u64>,
    /// Whether the connection stays after the exchange at hand.
    stays: bool,
    /// Whether the peer waits for a 100.
    expects_continue: bool,
    /// Whether the session wants to end.
    is_closing: bool,
    /// When input last came.
    now: Instant,
    /// When what is waited for began.
    since: Instant,
    /// How much more time than the grace the peer has earned by the content that it sent.
    earned: Duration,
    /// Whether content may take as long as it needs, if it comes fast enough.
    is_streamed: bool,
    /// How many more requests may come.
    requests_left: u64,
}

/// What is left of a [`Connection`] between two requests, so that the memory for its state can
/// serve another one meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Parked {
    /// Since when it is idle.
    since: Instant,
    requests_left: u64,
}

impl Parked {
    /// A connection that was opened at `now` and has no state yet.
    pub fn new(limits: &Limits, now: Instant) -> Parked {
        Parked {
            since: now,
            requests_left: limits.request_count_max,
        }
    }
}

impl Connection {
    /// Makes the connection for a peer that connected at `now`. Allocates nothing.
    ///
    /// # Panics
    /// If the limits are over what they may be at most.
    pub fn new(pool: Pool, limits: Rc<Limits>, now: Instant) -> Connection {
        limits
            .check()
            .expect("limits that a connection can live with");
        Connection {
            requests_left: limits.request_count_max,
            pool,
            limits,
            memo: None,
            receiver: Receiver::new(),
            sender: Sender::new(),
            error: None,
            discarded: None,
            stays: true,
            expects_continue: false,
            is_closing: false,
            now,
            since: now,
            earned: Duration::ZERO,
            is_streamed: false,
        }
    }

    /// The same connection, which learns heads from the others that share `memo`, and they from it.
    /// They must share their limits as well.
    #[must_use]
    pub fn with_memo(mut self, memo: Rc<Memo>) -> Connection {
        self.memo = Some(memo);
        self
    }

    /// What another connection with the same pool, limits and memo needs to go on as this one,
    /// which is free then; `None` unless it is idle, with all output taken, and is to stay.
    ///
    /// # Examples
    /// ```
    /// # use std::rc::Rc;
    /// # use std::time::Instant;
    /// # use sunstar::http::Limits;
    /// # use sunstar::http::h1::{Connection, Parked};
    /// # use sunstar::mem::Pool;
    /// let (limits, now) = (Rc::new(Limits::default()), Instant::now());
    /// let idle = limits.idle_timeout;
    /// let (one, other) = (Parked::new(&limits, now), Parked::new(&limits, now + idle));
    /// // One state serves two connections in turn.
    /// let mut state = Connection::new(Pool::new(), limits, now);
    /// state.unpark(other);
    /// assert_eq!(state.poll_deadline(), Some(now + 2 * idle));
    /// assert!(state.park().is_some());
    /// state.unpark(one);
    /// assert_eq!(state.poll_deadline(), Some(now + idle));
    /// ```
    #[inline]
    pub fn park(&mut self) -> Option<Parked> {
        let is_parkable = self.is_idle()
            && self.stays
            && !self.is_closing
            && self.error.is_none()
            && self.sender.output_len() == 0;
        if !is_parkable {
            return None;
        }
        self.receiver.release();
        self.receiver.take_trailers();
        Some(Parked {
            since: self.since,
            requests_left: self.requests_left,
        })
    }

    /// Goes on as the connection that was parked.
    #[inline]
    pub fn unpark(&mut self, parked: Parked) {
        debug_assert!(self.is_idle(), "its own exchange is over");
        (self.since, self.now) = (parked.since, parked.since);
        self.requests_left = parked.requests_left;
    }

    /// Takes bytes from the peer. Input that comes although none is wanted is kept all the same.
    #[inline]
    pub fn handle_input(&mut self, input: Buf, now: Instant) {
        if self.receiver.is_between_requests() {
            self.since = now;
        } else if self.receiver.is_in_content() {
            self.earn(input.len(), now);
        }
        self.now = now;
        self.receiver.push(input, &self.pool);
    }

    /// Learns that the peer ended its side (FIN). What came before is still answered.
    pub fn handle_end(&mut self) {
        self.receiver.end();
        self.close_if_ended();
    }

    /// Learns that [`poll_deadline`](Self::poll_deadline) has come; does nothing if it has not.
    pub fn handle_deadline(&mut self, now: Instant) {
        if self.poll_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.is_idle() || self.sender.is_idle() && self.receiver.is_in_content() {
            self.receiver.close();
        } else {
            let error = if self.receiver.is_at_head() {
                Error::HeadTimeout
            } else {
                Error::ContentTimeout
            };
            self.fail();
            self.error = Some(error);
        }
    }

    /// Learns that the peer was not waited for so long, since our side did not want its content:
    /// that time does not count.
    pub fn handle_pause(&mut self, time: Duration) {
        self.since = self.since.checked_add(time).unwrap_or(self.since);
    }

    /// The next event; `None` when more input, an answer, or that output is taken, must come first.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(error) = self.error.take() {
            return Some(Event::Error(error));
        }
        if self.receiver.is_at_head() {
            self.poll_request()
        } else {
            self.poll_content()
        }
    }

    /// Whether the request whose head or content was polled just now is complete. If so, that was
    /// its end: no [`Event::End`] comes.
    ///
    /// Nobody has to ask. Who does saves an event for each request that is here as a whole.
    #[inline]
    pub fn poll_end(&mut self) -> bool {
        self.error.is_none() && self.discarded.is_none() && self.receiver.take_end()
    }

    /// All content of the request whose head was polled just now, if it is here and not over its
    /// limit. If so, that was its end: there are no events about it.
    ///
    /// Nobody has to ask. Who does saves two events for each request that is here as a whole.
    ///
    /// # Examples
    /// ```
    /// # use std::{rc::Rc, time::Instant};
    /// # use sunstar::http::{Event, Limits, h1::Connection};
    /// # use sunstar::mem::{Buf, Pool};
    /// # let now = Instant::now();
    /// # let mut connection = Connection::new(Pool::new(), Rc::new(Limits::default()), now);
    /// let post = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi";
    /// connection.handle_input(Buf::from(post), now);
    /// assert!(matches!(connection.poll_event(), Some(Event::Request(_))));
    /// assert_eq!(connection.poll_whole().as_deref(), Some(&b"hi"[..]));
    /// ```
    #[inline]
    pub fn poll_whole(&mut self) -> Option<Buf> {
        if self.error.is_some() || self.discarded.is_some() {
            return None;
        }
        let content = self.receiver.take_whole()?;
        // What the peer would have waited to be asked for is here.
        self.expects_continue &= content.is_empty();
        Some(content)
    }

    /// The next bytes for the peer, oldest first.
    #[inline]
    pub fn poll_output(&mut self) -> Option<Buf> {
        self.sender.pop()
    }

    /// When [`handle_deadline`](Self::handle_deadline) is due, unless something happens before.
    /// `None` while it is not the peer who is waited for.
    #[inline]
    pub fn poll_deadline(&self) -> Option<Instant> {
        let limits = &*self.limits;
        let timeout = if self.error.is_some() || self.receiver.held_len() > 0 {
            return None;
        } else if self.is_idle() {
            limits.idle_timeout
        } else if self.receiver.is_at_head() {
            limits.header_timeout
        } else if self.receiver.is_in_content() {
            let pace = limits.grace().saturating_add(self.earned);
            if self.is_streamed {
                pace
            } else {
                pace.min(limits.content_timeout)
            }
        } else {
            return None;
        };
        self.since.checked_add(timeout)
    }

    /// Sends the head of the answer to the request that waits for one.
    ///
    /// `standing` is a block of complete field lines (`Server`, `Date`), or empty. Fields about
    /// framing (`Content-Length`, `Transfer-Encoding`, `Connection`) are written by the connection
    /// and left out of `fields`, with two exceptions: `Connection: close` makes this the last
    /// answer, and a HEAD request or a 304 may be answered with the `Content-Length` of what is not
    /// sent. With a 1xx status other than 101 it is an interim head, and the answer is still due.
    /// 101 ends the connection after it.
    ///
    /// # Panics
    /// If no request waits for an answer, or if it was begun.
    #[inline]
    pub fn send_head(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        length: Length,
        standing: &[u8],
    ) {
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return self.sender.send_interim(&self.pool, status, fields);
        }
        let stays = self.may_stay(status, fields);
        let pool = &self.pool;
        self.stays = self
            .sender
            .send_head(pool, status, fields, length, stays, standing);
    }

    /// Sends a whole answer at `now`: as [`send_head`](Self::send_head) with the length of
    /// `content`, [`send_data`](Self::send_data) and [`send_end`](Self::send_end), for less.
    ///
    /// # Panics
    /// If no request waits for an answer, or if it was begun.
    #[expect(
        clippy::inline_always,
        reason = "a call of it costs as much as a tenth of what it does"
    )]
    #[inline(always)]
    pub fn send_whole(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        content: Buf,
        standing: &[u8],
        now: Instant,
    ) {
        if status == StatusCode::OK && self.send_usual(fields, &content, standing) {
            self.since = now;
            self.turn_over();
        } else {
            self.send_unusual(status, fields, content, standing, now);
        }
    }

    /// Sends a whole answer, whatever it is.
    #[inline(never)]
    fn send_unusual(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        content: Buf,
        standing: &[u8],
        now: Instant,
    ) {
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            // An interim head is no answer, so the end of this one closes the connection.
            self.sender.send_interim(&self.pool, status, fields);
            return self.send_end(now);
        }
        // Nobody reads on behind a whole answer.
        let stays = self.may_stay(status, fields) && self.is_worth_draining();
        let pool = &self.pool;
        self.stays = self
            .sender
            .send_whole(pool, status, fields, content, stays, standing);
        self.end_exchange(now);
    }

    /// Sends a whole answer of 200, if nothing about it and its request is unusual. Tells whether
    /// it was sent.
    #[inline]
    fn send_usual(&mut self, fields: &Fields, content: &[u8], standing: &[u8]) -> bool {
        let is_plain = !self.receiver.is_in_content() && !fields.has_framing();
        if !self.stays || self.is_closing || !is_plain {
            return false;
        }
        let (pool, said) = (&self.pool, self.memo.as_deref().map(Memo::said));
        self.sender
            .send_usual(pool, fields, content, standing, said)
    }

    /// Sends the next bytes of the answer's content. Only small pieces are copied.
    ///
    /// Bytes beyond the length that the head named, or where there is no content (HEAD, 204, 304),
    /// are left out. Does nothing when the answer was cut short by an error.
    #[inline]
    pub fn send_data(&mut self, data: Buf) {
        self.sender.send_data(&self.pool, data);
    }

    /// Ends the answer at `now`, from which on the connection is idle. If it is shorter than its
    /// head said the connection closes.
    #[inline]
    pub fn send_end(&mut self, now: Instant) {
        if self.sender.is_idle() {
            return;
        }
        self.stays &= self.sender.send_end(&self.pool);
        self.end_exchange(now);
    }

    /// As [`send_end`](Self::send_end), with fields behind the content, if it is sent in chunks;
    /// otherwise they are left out, and so are those that may not stand there (RFC 9110 section
    /// 6.5.1). The peer may drop them.
    pub fn send_trailers(&mut self, trailers: &Fields, now: Instant) {
        if self.sender.is_idle() {
            return;
        }
        self.stays &= self.sender.send_trailers(&self.pool, trailers);
        self.end_exchange(now);
    }

    /// Gives up the answer wherever it is: the connection ends without the rest of it, so that the
    /// peer does not take it for whole.
    pub fn abort(&mut self) {
        self.sender.abandon();
        self.stays = false;
        self.receiver.close();
    }

    /// Sends the head of an answer that ends HTTP on this connection: 101 to a peer that offered
    /// it (RFC 9110 section 7.8), or a success to CONNECT (section 9.3.6). Returns what came behind
    /// the request, which is no longer HTTP's; `None` if this peer, or this request, may not be
    /// answered so, in which case nothing is sent and an answer is still due.
    ///
    /// `fields` must hold `Upgrade` with 101; `Connection` is written here.
    pub fn send_upgrade(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        standing: &[u8],
    ) -> Option<Buf> {
        let is_offered = self.receiver.terms().upgrades && !self.is_closing;
        let is_whole = !self.receiver.is_in_content() && !self.receiver.is_closed();
        let pool = &self.pool;
        let is_sent = is_whole
            && self
                .sender
                .send_upgrade(pool, status, fields, is_offered, standing);
        is_sent.then(|| self.receiver.take_rest(pool))
    }

    /// The answer is sent: what is to happen with the rest of the request, and then?
    #[inline]
    fn end_exchange(&mut self, now: Instant) {
        self.since = now;
        if self.stays && self.receiver.is_in_content() {
            self.discard_content();
        } else {
            self.turn_over();
        }
    }

    /// Sends the whole standard answer to an [`Event::Error`]. Does nothing when an answer was
    /// under way, which the error has cut short.
    pub fn send_error(&mut self, error: Error, standing: &[u8]) {
        if !self.sender.is_due() {
            return;
        }
        let mut fields = Fields::new();
        fields.append(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let reason = error.reason();
        let content = Buf::from_static(reason.as_bytes());
        self.send_whole(error.status(), &fields, content, standing, self.now);
    }

    /// Wants to end: the answer under way, or else the next one, is the last. An idle connection is
    /// finished at once.
    pub fn send_close(&mut self) {
        self.is_closing = true;
        self.stays = false;
        if self.is_idle() {
            self.receiver.close();
        }
    }

    /// Wants no more of the request's content: there will be no events about it. What is to come is
    /// drained if it is short, otherwise the answer is the last.
    pub fn discard_content(&mut self) {
        if !self.receiver.is_in_content() {
            return;
        }
        if self.is_content_unsure() || !self.is_worth_draining() {
            self.stays = false;
            self.receiver.close();
        } else {
            self.discarded = Some(0);
        }
    }

    /// Sets how long the content of the current request may be, in the place of
    /// [`Limits::content_len_max`].
    pub fn limit_content(&mut self, max: u64) {
        self.receiver.limit_content(max);
    }

    /// Lets the content of the current request take as long as it needs, as long as it comes fast
    /// enough: [`Limits::content_timeout`] then bounds each pause and not the whole.
    pub fn stream_content(&mut self) {
        self.is_streamed = true;
    }

    /// Takes the trailers of the current request: there, if anywhere, from its end until its answer
    /// is sent.
    pub fn take_trailers(&mut self) -> Trailers {
        self.receiver.take_trailers()
    }

    /// Moves the input that is held into memory of the connection's own, so that the buffer it came
    /// in can go back to its ring. For the end of a turn; heads and content that were polled have
    /// [`Head::detach`](crate::http::Head::detach) and [`Pool::copy`].
    pub fn detach(&mut self) {
        self.receiver.detach(&self.pool);
    }

    /// How long the content of the current request is said to be; `None` when it is chunked.
    /// If it is over its limit, the next event is [`Error::ContentTooLong`].
    #[inline]
    pub fn content_len(&self) -> Option<u64> {
        match self.receiver.terms().framing {
            Framing::Sized(len) => Some(len),
            Framing::Chunked => None,
        }
    }

    /// Whether nothing more will be read or answered: flush, then close.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.receiver.is_closed() && self.sender.is_idle() && self.error.is_none()
    }

    /// Whether more content of the answer is of use: not if it has none (HEAD, 204, 304) or is as
    /// long as its head said.
    pub fn wants_data(&self) -> bool {
        self.sender.wants_data()
    }

    /// Whether more of a request may come: not after an error, a close, or the peer's end.
    pub fn is_receiving(&self) -> bool {
        !self.receiver.is_closed()
    }

    /// Whether to read on. `false` is back-pressure, or the end of reading.
    #[inline]
    pub fn wants_input(&self) -> bool {
        !self.receiver.is_closed()
            && !self.receiver.has_ended()
            && self.receiver.held_len() < self.limits.pipelined_len_max
            && self.sender.output_len() < self.limits.output_len_max
    }

    /// Whether the connection stands between two requests. Then it holds no input.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.receiver.is_between_requests() && self.sender.is_idle()
    }

    /// Whether input waits to be read: the beginning of another request, perhaps a whole one.
    #[inline]
    pub fn has_input(&self) -> bool {
        self.receiver.held_len() > 0
    }

    /// How much output waits to be taken.
    #[inline]
    pub fn output_len(&self) -> usize {
        self.sender.output_len()
    }

    #[inline]
    fn poll_request(&mut self) -> Option<Event> {
        if self.receiver.is_dry() || self.sender.output_len() >= self.limits.output_len_max {
            self.receiver.release();
            return None;
        }
        if let Some(head) =
            self.receiver
                .poll_whole_head(self.memo.as_deref(), &self.pool, &self.limits)
        {
            self.begin();
            return Some(Event::Request(head));
        }
        self.poll_other_request()
    }

    /// The next request when it is not here in one piece, or not good.
    fn poll_other_request(&mut self) -> Option<Event> {
        match self.receiver.poll_head(&self.pool, &self.limits) {
            Ok(head) => head.map(|head| {
                self.begin();
                Event::Request(head)
            }),
            Err(error) => {
                self.fail();
                Some(Event::Error(error))
            }
        }
    }

    /// Takes up a request.
    #[inline]
    fn begin(&mut self) {
        let terms = self.receiver.terms();
        let asked = terms.asked;
        self.sender.expect_answer(asked);
        self.receiver.expect_content(self.limits.content_len_max);
        // What follows a CONNECT may be meant for the other end of a tunnel.
        self.requests_left -= 1;
        self.stays =
            terms.keeps_alive && !self.is_closing && !asked.is_connect && self.requests_left > 0;
        if self.receiver.is_in_content() {
            self.is_streamed = false;
            self.earned = Duration::ZERO;
        }
        self.expects_continue = terms.expects_continue;
        // A request that waited behind another begins when that one was answered.
        self.since = self.now.max(self.since);
    }

    /// The peer has sent so much content by `now`, which earns it time to pause.
    fn earn(&mut self, len: usize, now: Instant) {
        let limits = &*self.limits;
        let waited = now.saturating_duration_since(self.since);
        let most = waited.saturating_add(limits.content_timeout);
        let earned = self.earned.saturating_add(limits.earned(len));
        self.earned = earned.min(most.saturating_sub(limits.grace()));
    }

    fn poll_content(&mut self) -> Option<Event> {
        loop {
            match self.receiver.poll_content(&self.pool, &self.limits) {
                Ok(None) => {
                    self.ask_for_content();
                    return None;
                }
                Ok(Some(part)) if self.discarded.is_some() => {
                    self.drain(&part);
                    if self.receiver.is_at_head() {
                        return self.poll_request();
                    }
                }
                Ok(Some(Part::Data(data))) => {
                    self.expects_continue = false;
                    return Some(Event::Content(data));
                }
                Ok(Some(Part::End)) => return Some(Event::End),
                Err(_) if self.discarded.is_some() && self.sender.is_idle() => {
                    self.receiver.close();
                    return None;
                }
                Err(error) => {
                    self.fail();
                    return Some(Event::Error(error));
                }
            }
        }
    }

    /// Sends the 100 that the peer waits for: content is wanted and none has come.
    fn ask_for_content(&mut self) {
        if self.is_content_unsure() && self.sender.is_due() && self.discarded.is_none() {
            self.expects_continue = false;
            let status = StatusCode::CONTINUE;
            self.sender.send_interim(&self.pool, status, &Fields::new());
        }
    }

    /// Whether the connection may stay after an answer with this head.
    #[inline]
    fn may_stay(&self, status: StatusCode, fields: &Fields) -> bool {
        self.stays
            && !self.is_closing
            && !self.is_content_unsure()
            && status != StatusCode::SWITCHING_PROTOCOLS
            && !asks_to_close(fields)
    }

    /// Whether the peer may never send the content, as it waits for a 100.
    #[inline]
    fn is_content_unsure(&self) -> bool {
        self.expects_continue && self.receiver.is_in_content()
    }

    /// Whether what is to come of the content is short enough to be read for nothing.
    #[inline]
    fn is_worth_draining(&self) -> bool {
        !self.receiver.is_in_content() || self.receiver.content_left() <= self.limits.drain_len_max
    }

    /// Throws away content that nobody wants.
    fn drain(&mut self, part: &Part) {
        match part {
            Part::Data(data) => {
                let len = u64::try_from(data.len()).expect("a length fits 64 bits");
                let discarded = self.discarded.unwrap_or(0) + len;
                self.discarded = Some(discarded);
                if discarded > self.limits.drain_len_max {
                    self.stays = false;
                    self.receiver.close();
                }
            }
            Part::End if self.sender.is_idle() => self.turn_over(),
            Part::End => {}
        }
    }

    /// Goes on to the next request, or closes: the answer is sent, and no content is wanted.
    #[inline]
    fn turn_over(&mut self) {
        self.discarded = None;
        if self.stays && !self.receiver.is_closed() {
            self.receiver.expect_head();
            self.close_if_ended();
        } else {
            self.receiver.close();
        }
    }

    /// Closes when no request will come any more.
    #[inline]
    fn close_if_ended(&mut self) {
        if self.receiver.has_ended() && self.is_idle() {
            self.receiver.close();
        }
    }

    /// Ends receiving because of an error, which is answered unless an answer is under way.
    #[cold]
    fn fail(&mut self) {
        if self.sender.is_idle() {
            self.sender.expect_answer(Asked {
                is_head: self.receiver.begins_with_head_method(),
                ..Asked::default()
            });
        } else if !self.sender.is_due() {
            self.sender.abandon();
        }
        self.stays = false;
        self.receiver.close();
    }
}

/// Whether the handler wants the connection to close after its answer.
#[inline]
fn asks_to_close(fields: &Fields) -> bool {
    fields.has_framing()
        && fields.iter().any(|(name, value)| {
            name == CONNECTION
                && grammar::members(value).any(|option| option.eq_ignore_ascii_case(b"close"))
        })
}
