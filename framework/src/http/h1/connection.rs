//! [`Connection`]: the server's side of one HTTP/1.1 connection, as a state machine.

use std::rc::Rc;
use std::time::Instant;

use super::super::{Error, Event, Fields, Length, Limits, StatusCode};
use crate::mem::{Buf, Chain, Pool};

/// The server's side of one HTTP/1.1 connection: bytes in, events out; answers in, bytes out.
pub struct Connection {
    pool: Pool,
    limits: Rc<Limits>,
    since: Instant,
    input: Buf,
    output: Chain,
    content_len: Option<u64>,
    finished: bool,
}

impl Connection {
    /// Makes the connection for a peer that connected at `now`.
    ///
    /// # Panics
    /// If the limits are over what they may be at most.
    pub fn new(pool: Pool, limits: Rc<Limits>, now: Instant) -> Connection {
        limits.check();
        Connection {
            pool,
            limits,
            since: now,
            input: Buf::new(),
            output: Chain::new(),
            content_len: None,
            finished: false,
        }
    }

    /// Takes bytes from the peer. Poll for events afterwards.
    pub fn handle_input(&mut self, input: Buf, now: Instant) {
        self.input = input;
        self.since = now;
    }

    /// Learns that the peer ended its side (FIN). What was read is still answered.
    pub fn handle_end(&mut self) {
        self.finished = true;
    }

    /// Learns that [`Connection::poll_deadline`] has come.
    pub fn handle_deadline(&mut self, now: Instant) {
        self.finished |= self.poll_deadline().is_some_and(|deadline| deadline <= now);
    }

    /// The next event; `None` when it takes more input, an answer, or output taken first.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// The next bytes for the peer, oldest first.
    pub fn poll_output(&mut self) -> Option<Buf> {
        self.output.pop()
    }

    /// When [`Connection::handle_deadline`] must be called, unless something happens before.
    pub fn poll_deadline(&self) -> Option<Instant> {
        Some(self.since + self.limits.idle_timeout)
    }

    /// Starts the answer to the request that waits for one; a 1xx status comes before it.
    ///
    /// `standing` is a block of complete field lines (`Server`, `Date`), or empty.
    pub fn send_head(&mut self, _: StatusCode, _: &Fields, _: Length, standing: &[u8]) {
        self.output.write(&self.pool, standing);
    }

    /// Continues the answer with bytes of its content. Copies only small pieces.
    pub fn send_data(&mut self, data: Buf) {
        self.output.push(&self.pool, data);
    }

    /// Ends the answer. Idle time counts from `now`.
    pub fn send_end(&mut self, now: Instant) {
        self.since = now;
    }

    /// Sends the whole standard answer to an [`Event::Error`].
    pub fn send_error(&mut self, error: Error, standing: &[u8]) {
        self.send_head(error.status(), &Fields::new(), Length::Known(0), standing);
    }

    /// Wants to end: the answer under way, or the next one, is the last.
    pub fn send_close(&mut self) {
        self.finished = true;
    }

    /// Wants no more of the request's content: the rest is drained if it is short, otherwise the
    /// connection closes after the answer.
    pub fn discard_content(&mut self) {}

    /// Moves the input that is held into memory of the connection's own, so that the buffer it came
    /// in can go back to its ring.
    pub fn detach(&mut self) {
        self.input = self.pool.copy(&self.input);
    }

    /// How long the content of the current request is declared to be; `None` when it is chunked.
    pub fn content_len(&self) -> Option<u64> {
        self.content_len
    }

    /// Whether nothing more will be read or answered: flush, then close.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether to read on. `false` is back-pressure, or the end of reading.
    pub fn wants_input(&self) -> bool {
        !self.finished
    }

    /// Whether the connection stands between two requests and holds no buffer.
    pub fn is_idle(&self) -> bool {
        self.input.is_empty()
    }

    /// How much output waits to be taken.
    pub fn output_len(&self) -> usize {
        self.output.len()
    }
}
