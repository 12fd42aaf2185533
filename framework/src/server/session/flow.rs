//! What comes and goes piece by piece: content that is not here with its head, answers that are
//! streams, and the connection itself when it changes hands.
//!
//! What must hold: content is read from the connection only while somebody wants a piece of it, and
//! a piece of an answer is asked for only while there is room; so a slow end of either direction
//! holds the other one back. Time counts against the peer only while it is the peer who is waited
//! for.

use super::{
    AssertUnwindSafe, Buf, Context, End, Event, Gathered, Head, Inflow, Instant, Poll, Rc,
    Response, Service, State, StatusCode, Step, Streamed, Turn, broken, catch_unwind,
};
use crate::http::{Error, Fields};
use crate::service::{Piece, Takeover, Upgraded};

impl<S: Service> Turn<'_, S> {
    /// Takes up a request whose content is not all here: gathers what is.
    #[cold]
    pub(super) fn begin_gathering(&mut self, head: Head, now: Instant) {
        let max = self.session.shared.limits.stream_len_max;
        self.work.connection.limit_content(max);
        self.work.head = Some(head);
        if !self.work.connection.has_input() {
            self.call_unfinished(now);
        }
    }

    /// Takes content that came with its head.
    pub(super) fn gather(&mut self, more: Buf, now: Instant) {
        self.work.content = match std::mem::take(&mut self.work.content) {
            Gathered::Nothing => Gathered::One(more),
            Gathered::One(first) => {
                let mut both = self
                    .session
                    .shared
                    .pool
                    .buffer(2 * (first.len() + more.len()));
                both.extend_from_slice(&first);
                both.extend_from_slice(&more);
                Gathered::Many(both)
            }
            Gathered::Many(mut all) => {
                all.extend_from_slice(&more);
                Gathered::Many(all)
            }
        };
        if self.work.connection.poll_end() {
            self.call_gathered(now);
        } else if !self.work.connection.has_input() {
            self.call_unfinished(now);
        }
    }

    /// The request that is not answered yet, with as much of its content as is here.
    fn take_gathered(&mut self) -> (Head, Buf) {
        let content = match std::mem::take(&mut self.work.content) {
            Gathered::Nothing => Buf::new(),
            Gathered::One(content) => content,
            Gathered::Many(content) => content.freeze(),
        };
        let head = self.work.head.take();
        (
            head.expect("the protocol gives the head before the end"),
            content,
        )
    }

    /// Gives the service the request whose content was here all the same.
    pub(super) fn call_gathered(&mut self, now: Instant) {
        let (head, content) = self.take_gathered();
        let trailers = self.work.connection.take_trailers();
        let max = self.session.shared.limits.content_len_max;
        let is_plain = content.len() as u64 <= max && trailers.is_empty();
        let mut request = self.request(head, content);
        if !is_plain {
            // Who reads it by itself may have it all the same.
            let inflow = Inflow::new(self.session.shared.pool.clone(), max, Some(0));
            inflow.end(Ok(trailers));
            request = request.with_inflow(inflow);
        }
        self.call(request, now);
    }

    /// Gives the service a request whose content is still to come.
    pub(super) fn call_unfinished(&mut self, now: Instant) {
        let (head, content) = self.take_gathered();
        let here = content.len() as u64;
        let left = self.work.connection.content_len().map(|len| len - here);
        let max = self.session.shared.limits.content_len_max;
        let inflow = Inflow::new(self.session.shared.pool.clone(), max, left);
        self.work.inflow = Some(Rc::clone(&inflow));
        self.work.paused = None;
        let request = self.request(head, content).with_inflow(inflow);
        self.call(request, now);
    }

    /// Polls the handler, and gives it the content that it asks for.
    pub(super) fn handle(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        match self.poll_handler(now, context) {
            Poll::Ready(()) => Ok(Poll::Ready(())),
            Poll::Pending => self.feed(now, context),
        }
    }

    /// Passes on the next piece of content, if one is wanted.
    fn feed(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        let Some(inflow) = &self.work.inflow else {
            return self.watch(now, context);
        };
        if !inflow.is_wanted(context.waker()) {
            self.work.paused.get_or_insert(now);
            return self.watch_sends(context);
        }
        if let Some(since) = self.work.paused.take() {
            self.work.connection.handle_pause(now - since);
        }
        if !inflow.is_gathered() {
            self.work.connection.stream_content();
        }
        let max = self.session.shared.limits.stream_len_max.min(inflow.max());
        self.work.connection.limit_content(max);
        let end = match self.work.connection.poll_event() {
            Some(Event::Content(piece)) => {
                inflow.put(piece);
                return Ok(Poll::Ready(()));
            }
            Some(Event::End) => Ok(self.work.connection.take_trailers()),
            Some(Event::Error(error)) => {
                self.session.shared.counters.count_protocol_error();
                Err(error)
            }
            Some(Event::Request(_)) => unreachable!("a request is over before the next one"),
            None if !self.work.connection.is_receiving() => Err(Error::Truncated),
            None => {
                // Perhaps the peer waits for a 100 that was written just now.
                self.send_output(now);
                return self.receive(now, context);
            }
        };
        inflow.end(end);
        self.work.inflow = None;
        Ok(Poll::Ready(()))
    }

    /// Notices that the peer of a stream has gone, which might say nothing for hours.
    fn watch(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        let State::Streaming(_) = self.work.state else {
            return Ok(Poll::Pending);
        };
        if self.work.connection.wants_input() {
            return self.receive(now, context);
        }
        self.watch_sends(context)
    }

    /// Notices that a stream cannot be sent. Whoever has sent its end may read on (RFC 9112 section
    /// 9.6), and whose content nobody wants is not read from: then nothing else tells that it has
    /// gone. It is enough to be polled when that is known.
    fn watch_sends(&mut self, context: &mut Context<'_>) -> Step {
        if let State::Streaming(_) = self.work.state {
            let _either = broken(self.stream().poll_unsent(0, context))?;
        }
        Ok(Poll::Pending)
    }

    /// When the peer must have sent more content, if somebody waits for it.
    pub(super) fn content_deadline(&self, context: &Context<'_>) -> Option<Instant> {
        let inflow = self.work.inflow.as_ref()?;
        let is_wanted = inflow.is_wanted(context.waker());
        is_wanted
            .then(|| self.work.connection.poll_deadline())
            .flatten()
    }

    /// Sends the head of an answer whose content comes piece by piece.
    pub(super) fn begin_stream(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        source: Streamed,
        now: Instant,
    ) {
        let standing = self.session.shared.standing.lines(now);
        self.work
            .connection
            .send_head(status, fields, source.length(), &standing);
        drop(standing);
        self.work.state = State::Streaming(source);
    }

    /// Sends the pieces of an answer for which there is room.
    pub(super) fn stream_answer(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        let max = self.session.shared.limits.output_len_max;
        while self.work.connection.output_len() + self.stream().unsent_len() < max {
            if !self.work.connection.wants_data() {
                self.work.connection.send_end(now);
                self.end_stream();
                return Ok(Poll::Ready(()));
            }
            match self.poll_piece(context) {
                Poll::Ready(Some(Ok(Piece::Data(data)))) => self.work.connection.send_data(data),
                Poll::Ready(last) => {
                    self.finish_stream(last, now);
                    return Ok(Poll::Ready(()));
                }
                Poll::Pending => {
                    self.send_output(now);
                    return self.feed(now, context);
                }
            }
        }
        self.send_output(now);
        broken(self.stream().poll_unsent(max / 2, context))
    }

    /// The next piece of the answer. A panic is an error like others, but for the counters.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<NextPiece> {
        let State::Streaming(source) = &mut self.work.state else {
            unreachable!("called while streaming only")
        };
        let polled = catch_unwind(AssertUnwindSafe(|| source.poll_piece(context)));
        polled.unwrap_or_else(|_| {
            self.session.end = End::Panicked;
            Poll::Ready(Some(Err("the stream panicked".into())))
        })
    }

    fn finish_stream(&mut self, last: NextPiece, now: Instant) {
        match last {
            Some(Ok(Piece::Trailers(trailers))) => {
                self.work.connection.send_trailers(&trailers, now);
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "an answer was cut off");
                self.work.connection.abort();
            }
            _ => self.work.connection.send_end(now),
        }
        self.end_stream();
    }

    fn end_stream(&mut self) {
        if !self.work.drop_handler() {
            self.session.end = End::Panicked;
            self.work.connection.abort();
        }
        self.work.end_inflow();
    }

    /// Sends the last head of HTTP and hands the connection over.
    pub(super) fn upgrade(
        &mut self,
        status: StatusCode,
        fields: &Fields,
        takeover: Takeover,
        now: Instant,
    ) {
        let standing = self.session.shared.standing.lines(now);
        let unread = self.work.connection.send_upgrade(status, fields, &standing);
        drop(standing);
        let Some(unread) = unread else {
            tracing::warn!("a handler answered {status} to a peer that did not ask for it");
            self.work.connection.send_close();
            let mut response = Response::new(StatusCode::INTERNAL_SERVER_ERROR);
            return self.answer(&mut response, now);
        };
        while let Some(output) = self.work.connection.poll_output() {
            self.stream().queue(output);
        }
        let stream = self.session.stream.take().expect("HTTP's until now");
        let upgraded = Upgraded::new(stream, unread);
        self.work.end_inflow();
        self.work.state = State::Upgraded(Box::pin(async { takeover.run(upgraded).await }));
    }

    pub(super) fn poll_upgraded(&mut self, context: &mut Context<'_>) -> Step {
        let State::Upgraded(protocol) = &mut self.work.state else {
            unreachable!("called when upgraded only")
        };
        let protocol = protocol.as_mut();
        match catch_unwind(AssertUnwindSafe(|| protocol.poll(context))) {
            Ok(Poll::Pending) => Ok(Poll::Pending),
            Ok(Poll::Ready(())) => Err(End::Finished),
            Err(_) => Err(End::Panicked),
        }
    }
}

/// What a stream gives: a piece, its error, or its end.
type NextPiece = Option<Result<Piece, Box<dyn std::error::Error>>>;
