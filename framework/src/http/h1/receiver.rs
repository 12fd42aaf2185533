//! [`Receiver`]: the receiving direction of a connection, from bytes to requests.
//!
//! What must hold: bytes are consumed in order and once; while an answer is due nothing behind the
//! request is looked at; after an error, a close or the peer's end nothing is kept.

use super::chunked::{Decoder, Step};
use super::line::Kind;
use super::memo::Memo;
use super::parse::{self, split_off};
use super::section::Section;
use super::terms::{Framing, Terms};
use crate::http::head::Last;
use crate::http::{Error, Head, Limits, Trailers};
use crate::mem::{Buf, BufMut, Pool};

/// A part of a request's content.
pub(super) enum Part {
    Data(Buf),
    End,
}

/// What is received next.
enum State {
    /// A request head, once the one before is answered.
    Head,
    /// Content of which so many bytes are to come.
    Sized(u64),
    /// Content in chunks.
    Chunked(Decoder),
    /// The trailer section behind the last chunk.
    Trailer,
    /// Nothing: the content is complete, which was not said yet.
    End,
    /// Nothing before the answer is sent.
    Whole,
    /// Nothing any more.
    Closed,
}

/// The receiving direction of a connection.
pub(super) struct Receiver {
    /// What is being consumed: a slice of the buffer that the bytes came in.
    input: Buf,
    /// What came behind `input` or was moved out of it.
    held: Option<BufMut>,
    section: Section,
    /// The head that was read last.
    last: Last,
    /// What it says.
    terms: Terms,
    state: State,
    /// How long the content at hand may be.
    content_max: u64,
    /// What came behind the content at hand, until somebody takes it.
    trailers: Trailers,
    has_ended: bool,
}

impl Receiver {
    pub(super) fn new() -> Receiver {
        Receiver {
            input: Buf::new(),
            held: None,
            section: Section::default(),
            last: Last::default(),
            terms: Terms::default(),
            state: State::Head,
            content_max: 0,
            trailers: Trailers::default(),
            has_ended: false,
        }
    }

    /// Takes bytes from the peer.
    #[inline]
    pub(super) fn push(&mut self, input: Buf, pool: &Pool) {
        if self.held_len() == 0 && !self.is_closed() {
            self.input = input;
        } else {
            self.push_behind(&input, pool);
        }
    }

    /// Takes bytes that come while others wait, or none are wanted any more.
    #[cold]
    fn push_behind(&mut self, input: &Buf, pool: &Pool) {
        if !self.is_closed() {
            let held = self.held.get_or_insert_with(|| pool.buffer(input.len()));
            held.extend_from_slice(input);
        }
    }

    /// Learns that no more bytes will come.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Moves the input into memory of its own.
    pub(super) fn detach(&mut self, pool: &Pool) {
        self.last.release();
        if self.input.is_empty() {
            return;
        }
        let input = std::mem::take(&mut self.input);
        let mut own = pool.buffer(self.held_len() + input.len());
        own.extend_from_slice(&input);
        if let Some(behind) = self.held.take() {
            own.extend_from_slice(&behind);
        }
        self.held = Some(own);
    }

    /// Reads the next head where it lies, if it is here in one piece and nothing is wrong with it.
    #[inline]
    pub(super) fn poll_whole_head(
        &mut self,
        memo: Option<&Memo>,
        pool: &Pool,
        limits: &Limits,
    ) -> Option<Head> {
        if !self.refill() || !self.section.is_untouched() {
            return None;
        }
        let slot = memo.map(|memo| memo.slot(&self.input));
        if let Some(slot) = slot
            && let Some(head) = slot.recall(&mut self.input, &mut self.terms)
        {
            return Some(head);
        }
        let parts = parse::parse(&mut self.input, &mut self.terms, limits).ok()?;
        let head = self.last.renew(parts);
        if let Some(slot) = slot {
            slot.learn(&head, self.terms, pool);
        }
        Some(head)
    }

    /// Reads the next head, also one that comes in pieces, or finds out what is wrong with it.
    pub(super) fn poll_head(
        &mut self,
        pool: &Pool,
        limits: &Limits,
    ) -> Result<Option<Head>, Error> {
        while self.refill() {
            let section = &mut self.section;
            if let Some(bytes) = section.take(Kind::Head, &mut self.input, pool, limits)? {
                let mut bytes = parse::as_version_we_speak(bytes, pool);
                return match parse::parse(&mut bytes, &mut self.terms, limits) {
                    Ok(parts) => Ok(Some(self.last.renew(parts))),
                    Err(error) => {
                        self.input = bytes;
                        Err(error)
                    }
                };
            }
        }
        self.starve()
    }

    /// What the last head says.
    #[inline]
    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    /// Goes on to the content of the request whose head was read, at most so long.
    #[inline]
    pub(super) fn expect_content(&mut self, content_max: u64) {
        self.state = match self.terms.framing {
            Framing::Sized(0) => State::End,
            Framing::Sized(len) => State::Sized(len),
            Framing::Chunked => State::Chunked(Decoder::default()),
        };
        if self.is_in_content() {
            self.content_max = content_max;
        }
    }

    /// Sets another limit for the content at hand.
    pub(super) fn limit_content(&mut self, max: u64) {
        self.content_max = max;
    }

    /// Takes what came behind the content.
    pub(super) fn take_trailers(&mut self) -> Trailers {
        std::mem::take(&mut self.trailers)
    }

    /// Takes what came behind the request, and reads nothing any more.
    pub(super) fn take_rest(&mut self, pool: &Pool) -> Buf {
        if self.held.is_some() {
            self.detach(pool);
            self.refill();
        }
        let rest = std::mem::take(&mut self.input);
        self.close();
        rest
    }

    /// Takes the end of the content, if it is what comes next.
    #[inline]
    pub(super) fn take_end(&mut self) -> bool {
        let is_next = matches!(self.state, State::End);
        if is_next {
            self.state = State::Whole;
        }
        is_next
    }

    /// Takes all of the content and its end, if it is here in one piece and not too long.
    #[inline]
    pub(super) fn take_whole(&mut self) -> Option<Buf> {
        let content = match self.state {
            State::End => Buf::new(),
            State::Sized(left) if left <= self.content_max => {
                let len = usize::try_from(left).ok();
                let len = len.filter(|&len| len <= self.input.len())?;
                split_off(&mut self.input, len)
            }
            _ => return None,
        };
        self.state = State::Whole;
        Some(content)
    }

    /// Reads the next part of the content.
    pub(super) fn poll_content(
        &mut self,
        pool: &Pool,
        limits: &Limits,
    ) -> Result<Option<Part>, Error> {
        loop {
            match &mut self.state {
                State::End => {
                    self.state = State::Whole;
                    return Ok(Some(Part::End));
                }
                State::Head | State::Whole | State::Closed => return Ok(None),
                State::Sized(left) if *left > self.content_max => {
                    return Err(Error::ContentTooLong);
                }
                // Its chunk may have begun before the limit was set.
                State::Chunked(decoder) if decoder.announced_len() > self.content_max => {
                    return Err(Error::ContentTooLong);
                }
                State::Sized(_) | State::Chunked(_) | State::Trailer => {}
            }
            if !self.refill() {
                return self.starve();
            }
            if let Some(data) = self.read_content(pool, limits)? {
                return Ok(Some(Part::Data(data)));
            }
        }
    }

    /// Reads on in the content, of which input is there. `None` if that was none of its bytes.
    fn read_content(&mut self, pool: &Pool, limits: &Limits) -> Result<Option<Buf>, Error> {
        match &mut self.state {
            State::Sized(left) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
                let len = self.input.len().min(wanted);
                let data = split_off(&mut self.input, len);
                *left -= u64::try_from(data.len()).expect("a length fits 64 bits");
                if *left == 0 {
                    self.state = State::End;
                }
                return Ok(Some(data));
            }
            State::Chunked(decoder) => {
                match decoder.advance(&mut self.input, self.content_max, limits)? {
                    Step::Data(data) => return Ok(Some(data)),
                    Step::Last => self.state = State::Trailer,
                    Step::Empty => {}
                }
            }
            _ => {
                let trailer = self
                    .section
                    .take(Kind::Trailer, &mut self.input, pool, limits)?;
                if let Some(lines) = trailer {
                    self.state = State::End;
                    if lines.len() > "\r\n".len() {
                        self.trailers = Trailers::new(lines);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Goes on to the next head: the request was received and answered.
    #[inline]
    pub(super) fn expect_head(&mut self) {
        self.state = State::Head;
        if self.trailers.holds_lines() {
            self.take_trailers();
        }
    }

    /// Reads nothing any more, and keeps nothing.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.input = Buf::new();
        self.held = None;
        self.last.release();
        self.section = Section::default();
        self.trailers = Trailers::default();
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether a request head comes next.
    #[inline]
    pub(super) fn is_at_head(&self) -> bool {
        matches!(self.state, State::Head)
    }

    /// Whether nothing of the next request is here.
    pub(super) fn is_between_requests(&self) -> bool {
        self.is_at_head() && !self.section.has_begun() && self.held_len() == 0
    }

    /// Whether there is nothing to read, and nothing to conclude from that.
    #[inline]
    pub(super) fn is_dry(&self) -> bool {
        self.input.is_empty() && self.held.is_none() && !self.has_ended
    }

    /// Lets go of the buffers that are used up.
    #[inline]
    pub(super) fn release(&mut self) {
        self.last.release();
        if self.input.is_empty() {
            self.input = Buf::new();
        }
    }

    /// Whether content of the request is to come.
    pub(super) fn is_in_content(&self) -> bool {
        matches!(
            self.state,
            State::Sized(_) | State::Chunked(_) | State::Trailer
        )
    }

    /// How much content is to come at least.
    pub(super) fn content_left(&self) -> u64 {
        match self.state {
            State::Sized(left) => left,
            _ => 0,
        }
    }

    /// How much input is here and not consumed.
    pub(super) fn held_len(&self) -> usize {
        self.input.len() + self.held.as_ref().map_or(0, BufMut::len)
    }

    /// Whether the head that was refused is one of a HEAD request, whose answer has no content.
    pub(super) fn begins_with_head_method(&self) -> bool {
        self.section.beginning(&self.input).starts_with(b"HEAD ")
    }

    /// Sees to it that there is input; `false` if there is none. Lets go of a buffer that is used.
    #[inline]
    fn refill(&mut self) -> bool {
        if self.input.is_empty() {
            self.input = self.held.take().map(BufMut::freeze).unwrap_or_default();
        }
        !self.input.is_empty()
    }

    /// What it means that there is no input: nothing yet, or that the peer ended too early.
    fn starve<T>(&mut self) -> Result<Option<T>, Error> {
        self.last.release();
        match self.has_ended {
            false => Ok(None),
            true if self.is_between_requests() => {
                self.close();
                Ok(None)
            }
            true => Err(Error::Truncated),
        }
    }
}
