//! [`Session`]: the task that pumps one connection: stream to protocol to service and back.
//!
//! What must hold: a session holds no buffer while its connection is idle; it reads only while the
//! protocol wants input and the peer takes the answers; all answers of one batch of requests leave
//! in one send; every wait for the peer has a deadline; a handler that panics costs its own
//! connection a 500 and nothing else; the peer gets the last answer before the connection ends.
//! What comes and goes piece by piece is in `flow`.

mod flow;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::accept::Connections;
use super::counters::{Counters, End};
use super::shutdown::{Listener, Phase, Shutdown};
use super::standing::Standing;
use crate::http::h1::{Connection, Memo, Parked};
use crate::http::{Error, Event, Head, Limits, StatusCode};
use crate::mem::{Buf, BufMut, Pool};
use crate::net::TcpStream;
use crate::runtime::{self, Sleep, deadline};
use crate::service::{Content, Inflow, Reply, Request, Response, Service, Streamed};

/// What all sessions of one shard have in common.
pub(super) struct Shared<S> {
    pub(super) service: S,
    pub(super) limits: Rc<Limits>,
    pub(super) memo: Rc<Memo>,
    pub(super) write_timeout: Duration,
    pub(super) linger: Duration,
    /// Whether to tell people on standard error what they should know.
    pub(super) announce: bool,
    pub(super) pool: Pool,
    pub(super) standing: Standing,
    pub(super) counters: Rc<Counters>,
    pub(super) connections: Connections,
    pub(super) spare: Spare,
    pub(super) shutdown: Rc<Shutdown>,
}

/// How many bytes may be with the kernel, or on the way to it, before no more is given to it.
const UNSENT_MAX: usize = 128 * 1024;

/// One connection, from accept to close. It is the future of that, and small: what is only needed
/// while something goes on is in [`Work`].
pub(super) struct Session<S: Service> {
    shared: Rc<Shared<S>>,
    /// `None` once the connection is no longer HTTP's.
    stream: Option<TcpStream>,
    rest: Rest,
    timer: Sleep,
    stop: Listener,
    /// How much the peer had taken when we last looked, and since when it has taken no more.
    taken: (u64, Instant),
    /// Whether input was looked for once more since the server began to stop.
    looked_again: bool,
    /// How the session will have ended, should it end now.
    end: End,
}

/// What a session has besides, between two turns.
enum Rest {
    /// It is at work.
    Busy(Box<Work>),
    /// The connection is idle, and this is what is left of the protocol's state.
    Idle(Parked),
    /// It is being polled, or over.
    Taken,
}

/// What a session needs from the first byte of a request to the last one of its answer. Idle
/// sessions leave theirs to others: there are many, and few are at work at the same time.
struct Work {
    connection: Connection,
    /// A request that is not complete, and as much of its content as is here.
    head: Option<Head>,
    content: Gathered,
    /// Where the content of the request at hand goes to, while more of it is to come.
    inflow: Option<Rc<Inflow>>,
    /// Since when nobody has wanted that content.
    paused: Option<Instant>,
    state: State,
    /// Whether a panic is one of a handler.
    in_handler: bool,
}

impl Work {
    fn new<S>(shared: &Shared<S>, now: Instant) -> Work {
        Work {
            connection: Connection::new(shared.pool.clone(), Rc::clone(&shared.limits), now)
                .with_memo(Rc::clone(&shared.memo)),
            head: None,
            content: Gathered::Nothing,
            inflow: None,
            paused: None,
            state: State::Pumping,
            in_handler: false,
        }
    }

    /// What is left when there is nothing to do. Content and its reader are a request's, and so are
    /// not there when the protocol is between two.
    fn park(&mut self) -> Option<Parked> {
        match self.state {
            State::Pumping => self.connection.park(),
            _ => None,
        }
    }

    /// Drops the handler's future, which is the user's code and may panic. Tells that it has not.
    fn drop_handler(&mut self) -> bool {
        let state = std::mem::replace(&mut self.state, State::Pumping);
        catch_unwind(AssertUnwindSafe(|| drop(state))).is_ok()
    }

    /// The exchange is over: whoever still reads its content gets no more.
    fn end_inflow(&mut self) {
        if let Some(inflow) = self.inflow.take() {
            inflow.end(Err(Error::Truncated));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.drop_handler();
        self.end_inflow();
    }
}

/// The work that idle sessions of one shard have left, the last used first: it is in the cache.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "what is passed around is the box: 8 bytes, and not the work"
)]
pub(super) struct Spare {
    all: RefCell<Vec<Box<Work>>>,
}

impl Spare {
    /// How many are kept: as many as may well be at work in one turn.
    const MAX: usize = 256;

    fn take(&self) -> Option<Box<Work>> {
        self.all.borrow_mut().pop()
    }

    fn give(&self, work: Box<Work>) {
        let mut all = self.all.borrow_mut();
        if all.len() < Spare::MAX {
            all.push(work);
        }
    }
}

/// Content so far: a slice of what was received for as long as it is in one piece.
#[derive(Default)]
enum Gathered {
    #[default]
    Nothing,
    One(Buf),
    Many(BufMut),
}

/// What the session waits for.
enum State {
    /// Input, or room for output.
    Pumping,
    /// A handler.
    Handling(Pin<Box<dyn Future<Output = Response>>>),
    /// The next piece of an answer, or room for it.
    Streaming(Streamed),
    /// Another protocol, whose the connection is now.
    Upgraded(Pin<Box<dyn Future<Output = ()>>>),
    /// The peer to take the last answer.
    Flushing,
    /// The peer to close, until then.
    Lingering(Instant),
}

/// What a session waits for that has served all it could.
#[derive(Debug, PartialEq, Eq)]
enum Awaited {
    Input,
    /// That at most so many bytes are unsent.
    Room(usize),
    /// Nothing that could come: to go on would be to turn in a circle.
    Nothing,
}

impl Awaited {
    fn of(wants_input: bool, unsent_len: usize) -> Awaited {
        match unsent_len {
            0..=UNSENT_MAX if wants_input => Awaited::Input,
            0 => Awaited::Nothing,
            // Fewer than now in any case, so that the wait is one.
            _ => Awaited::Room((unsent_len - 1).min(UNSENT_MAX / 2)),
        }
    }
}

/// Whether a step has got anywhere, or the session is over.
type Step = Result<Poll<()>, End>;

impl<S: Service> Session<S> {
    pub(super) fn new(stream: TcpStream, shared: Rc<Shared<S>>) -> Session<S> {
        let now = runtime::now();
        Session {
            rest: Rest::Idle(Parked::new(&shared.limits, now)),
            timer: runtime::sleep_until(deadline(now, shared.limits.idle_timeout)),
            stop: Listener::new(&shared.shutdown),
            stream: Some(stream),
            shared,
            taken: (0, now),
            looked_again: false,
            end: End::Stopped,
        }
    }

    /// Takes the work up where it was left.
    #[inline]
    fn take_work(&mut self) -> Box<Work> {
        let parked = match std::mem::replace(&mut self.rest, Rest::Taken) {
            Rest::Busy(work) => return work,
            Rest::Idle(parked) => parked,
            Rest::Taken => unreachable!("a future is not polled again when it is over"),
        };
        let new = || Box::new(Work::new(&self.shared, runtime::now()));
        let mut work = self.shared.spare.take().unwrap_or_else(new);
        work.connection.unpark(parked);
        work
    }

    /// Keeps the work for later, or leaves it to others if there is nothing to do.
    #[inline]
    fn leave_work(&mut self, mut work: Box<Work>) {
        self.rest = match work.park() {
            Some(parked) => {
                self.shared.spare.give(work);
                Rest::Idle(parked)
            }
            None => Rest::Busy(work),
        };
    }
}

/// A session while it is polled.
struct Turn<'a, S: Service> {
    session: &'a mut Session<S>,
    work: &'a mut Work,
}

impl<S: Service> Turn<'_, S> {
    /// Goes on until something has to be waited for.
    fn advance(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let now = runtime::now();
        self.session.stop.listen(context);
        loop {
            let step = match &mut self.work.state {
                State::Pumping => self.pump(now, context)?,
                State::Handling(_) => self.handle(now, context)?,
                State::Streaming(_) => self.stream_answer(now, context)?,
                State::Upgraded(_) => self.poll_upgraded(context)?,
                State::Flushing => self.poll_flushed(now, context)?,
                State::Lingering(_) => self.poll_linger(context)?,
            };
            if step.is_pending() && self.poll_timer(now, context)?.is_pending() {
                return Ok(());
            }
        }
    }

    /// Serves what was received, sends what was answered, receives more.
    fn pump(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        loop {
            self.serve(now);
            if let State::Upgraded(_) = self.work.state {
                return Ok(Poll::Ready(()));
            }
            // With much output waiting the protocol takes up no request; once it is moved, it may.
            let held_back =
                self.work.connection.output_len() >= self.session.shared.limits.output_len_max;
            let moved = self.send_output(now);
            if !matches!(self.work.state, State::Pumping) {
                return Ok(Poll::Ready(()));
            }
            if !(held_back && moved) {
                break;
            }
        }
        if self.work.connection.is_finished() {
            self.work.state = State::Flushing;
            return Ok(Poll::Ready(()));
        }
        match Awaited::of(
            self.work.connection.wants_input(),
            self.stream().unsent_len(),
        ) {
            Awaited::Input => self.receive(now, context),
            Awaited::Room(len) => broken(self.stream().poll_unsent(len, context)),
            Awaited::Nothing => {
                self.work.state = State::Flushing;
                Ok(Poll::Ready(()))
            }
        }
    }

    fn receive(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        match self.stream().poll_recv(context) {
            Poll::Ready(Ok(Some(input))) => self.work.connection.handle_input(input, now),
            Poll::Ready(Ok(None)) => {
                self.session.end = End::PeerClosed;
                self.work.connection.handle_end();
            }
            Poll::Ready(Err(error)) => return Err(End::of(&error)),
            Poll::Pending => return self.idle(context),
        }
        Ok(Poll::Ready(()))
    }

    /// Everything that was read is answered: the moment at which a server that stops may end the
    /// connection.
    fn idle(&mut self, context: &Context<'_>) -> Step {
        match self.session.stop.phase() {
            Phase::Running => return Ok(Poll::Pending),
            Phase::Draining if !self.session.looked_again => {
                // What the kernel holds for a receive that was armed just now comes next turn.
                self.session.looked_again = true;
                context.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            Phase::Draining if self.work.connection.is_idle() => self.work.state = State::Flushing,
            Phase::Draining => {
                self.work.connection.send_close();
                return Ok(Poll::Pending);
            }
            Phase::Dropping => return Err(End::Stopped),
        }
        Ok(Poll::Ready(()))
    }

    /// Handles the protocol's events until a handler has to be waited for. One boundary for panics
    /// stands around the whole batch: around each call it would cost two moves of the response.
    fn serve(&mut self, now: Instant) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.serve_batch(now))) {
            if !std::mem::take(&mut self.work.in_handler) {
                resume_unwind(panic);
            }
            self.answer_panic(now);
        }
    }

    #[inline]
    fn serve_batch(&mut self, now: Instant) {
        while let Some(event) = self.work.connection.poll_event() {
            // Most events are requests: a comparison is foreseen better than a jump to one of four.
            match event {
                Event::Request(head) => self.take_request(head, now),
                event => self.take_other(event, now),
            }
            if !matches!(self.work.state, State::Pumping) {
                return;
            }
        }
        if self.work.head.is_some() {
            self.call_unfinished(now);
        }
    }

    #[expect(
        clippy::inline_always,
        reason = "each call of the way from request to answer costs as much as a tenth of it"
    )]
    #[inline(always)]
    fn take_request(&mut self, head: Head, now: Instant) {
        match self.work.connection.poll_whole() {
            Some(content) => self.call(self.request(head, content), now),
            None => self.begin_gathering(head, now),
        }
    }

    #[inline(never)]
    fn take_other(&mut self, event: Event, now: Instant) {
        match event {
            Event::Request(_) => unreachable!("requests are taken before"),
            Event::Content(content) => self.gather(content, now),
            Event::End => self.call_gathered(now),
            Event::Error(error) => {
                self.session.shared.counters.count_protocol_error();
                // Its request may be half here, and is nobody's now.
                (self.work.head, self.work.content) = (None, Gathered::Nothing);
                if self.session.end != End::TimedOut {
                    self.session.end = End::Finished;
                }
                let standing = self.session.shared.standing.lines(now);
                self.work.connection.send_error(error, &standing);
            }
        }
    }

    #[inline]
    fn request(&self, head: Head, content: Buf) -> Request {
        Request::new(head, content, self.session.shared.pool.clone())
    }

    /// Gives a request to the service.
    #[expect(
        clippy::inline_always,
        reason = "each call of the way from request to answer costs as much as a tenth of it"
    )]
    #[inline(always)]
    fn call(&mut self, request: Request, now: Instant) {
        self.session.shared.counters.count_request();
        self.work.in_handler = true;
        let mut reply = self.session.shared.service.call(request);
        self.work.in_handler = false;
        // A response stays where the handler wrote it: to move it would cost more than to send it.
        if let Reply::Now(response) = &mut reply {
            self.answer(response, now);
            if response.is_spent() {
                // To drop it is a call that finds nothing to do.
                std::mem::forget(reply);
            }
            return;
        }
        if let Reply::Later(handler) = reply {
            self.work.state = State::Handling(handler);
        }
    }

    fn poll_handler(&mut self, now: Instant, context: &mut Context<'_>) -> Poll<()> {
        let State::Handling(handler) = &mut self.work.state else {
            unreachable!("called while handling only")
        };
        let handler = handler.as_mut();
        match catch_unwind(AssertUnwindSafe(|| handler.poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(mut response)) if self.work.drop_handler() => {
                self.answer(&mut response, now);
            }
            _ => {
                self.work.drop_handler();
                self.answer_panic(now);
            }
        }
        Poll::Ready(())
    }

    #[expect(
        clippy::inline_always,
        reason = "each call of the way from request to answer costs as much as a tenth of it"
    )]
    #[inline(always)]
    fn answer(&mut self, response: &mut Response, now: Instant) {
        if self.session.end != End::TimedOut {
            self.session.end = End::Finished;
        }
        if self.session.stop.phase() >= Phase::Draining && !self.work.connection.has_input() {
            self.work.connection.send_close();
        }
        let content = match std::mem::replace(&mut response.content, Content::Empty) {
            Content::Empty => Buf::new(),
            Content::Buf(content) => content,
            content => return self.answer_long(response, content, now),
        };
        let Response { status, fields, .. } = &*response;
        let standing = self.session.shared.standing.lines(now);
        self.work
            .connection
            .send_whole(*status, fields, content, &standing, now);
        drop(standing);
        if self.work.inflow.is_some() {
            self.work.end_inflow();
        }
    }

    /// Answers with what does not end with the response.
    #[cold]
    fn answer_long(&mut self, response: &Response, content: Content, now: Instant) {
        let (status, fields) = (response.status, &response.fields);
        match content {
            Content::Stream(source) => self.begin_stream(status, fields, source, now),
            Content::Upgrade(takeover) => self.upgrade(status, fields, takeover, now),
            Content::Empty | Content::Buf(_) => unreachable!("that is answered at once"),
        }
    }

    /// The panic's message is on standard error; the peer learns only that there was one. The state
    /// that the handler held may be half changed, so nothing more is served on this connection.
    #[cold]
    fn answer_panic(&mut self, now: Instant) {
        self.work.connection.send_close();
        self.answer(&mut Response::new(StatusCode::INTERNAL_SERVER_ERROR), now);
        self.session.end = End::Panicked;
    }

    /// The stream, which is HTTP's in every state but one.
    #[inline]
    fn stream(&mut self) -> &mut TcpStream {
        let stream = self.session.stream.as_mut();
        stream.expect("nothing is sent or received once it was handed over")
    }

    /// Moves the protocol's output to the stream, unless the peer does not keep up. Tells whether
    /// anything was moved.
    #[inline]
    fn send_output(&mut self, now: Instant) -> bool {
        if self.work.connection.output_len() == 0 {
            return false;
        }
        let stream = self.session.stream.as_mut();
        let stream = stream.expect("nothing is sent once it was handed over");
        let (mut unsent_len, mut any) = (stream.unsent_len(), false);
        if unsent_len == 0 {
            // From here on the peer has to take something: an answer's time begins with it.
            self.session.taken = (stream.sent_total(), now);
        }
        while unsent_len <= UNSENT_MAX
            && let Some(output) = self.work.connection.poll_output()
        {
            unsent_len += output.len();
            stream.queue(output);
            any = true;
        }
        any
    }

    fn poll_flushed(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        let sent = self.send_output(now);
        if !sent && broken(self.stream().poll_unsent(0, context))?.is_pending() {
            return Ok(Poll::Pending);
        }
        if !sent {
            if self.session.end == End::PeerClosed {
                return Err(End::PeerClosed);
            }
            self.stream().shutdown();
            self.work.state = State::Lingering(deadline(now, self.session.shared.linger));
        }
        Ok(Poll::Ready(()))
    }

    /// Reads and forgets, so that no reset destroys the last answer before the peer has read it.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Step {
        match self.stream().poll_recv(context) {
            Poll::Ready(Ok(Some(_))) => Ok(Poll::Ready(())),
            Poll::Ready(_) => Err(self.session.end),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Sets the timer to the next deadline and acts on one that has passed. A deadline that moves
    /// away costs nothing: the timer follows when it fires.
    fn poll_timer(&mut self, now: Instant, context: &mut Context<'_>) -> Step {
        if self.session.stop.phase() == Phase::Dropping {
            return Err(End::Stopped);
        }
        let stream = self.session.stream.as_ref();
        let (unsent, taken) = stream.map_or((0, 0), |it| (it.unsent_len(), it.sent_total()));
        if unsent == 0 || taken != self.session.taken.0 {
            self.session.taken = (taken, now);
        }
        let write_timeout = self.session.shared.write_timeout;
        let write = (unsent > 0).then(|| deadline(self.session.taken.1, write_timeout));
        let read = match self.work.state {
            State::Lingering(until) => Some(until),
            State::Flushing | State::Upgraded(_) => None,
            State::Handling(_) | State::Streaming(_) => self.content_deadline(context),
            State::Pumping => self.work.connection.poll_deadline(),
        };
        let Some(next) = read.into_iter().chain(write).min() else {
            return Ok(Poll::Pending);
        };
        self.session.timer.reset(next);
        if self.session.timer.is_set(now) {
            // The timer knows the task by its place, so there is nothing to tell it.
            return Ok(Poll::Pending);
        }
        if Pin::new(&mut self.session.timer).poll(context).is_pending() {
            return Ok(Poll::Pending);
        }
        if write.is_some_and(|write| now >= write) {
            return Err(End::TimedOut);
        }
        if let State::Lingering(_) = self.work.state {
            return Err(self.session.end);
        }
        self.session.end = End::TimedOut;
        self.work.connection.handle_deadline(now);
        Ok(Poll::Ready(()))
    }
}

fn broken(polled: Poll<io::Result<()>>) -> Step {
    match polled {
        Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
        Poll::Ready(Err(error)) => Err(End::of(&error)),
        Poll::Pending => Ok(Poll::Pending),
    }
}

impl<S: Service> Unpin for Session<S> {}

impl<S: Service> Future for Session<S> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let session = &mut *self;
        let mut work = session.take_work();
        let mut turn = Turn {
            session: &mut *session,
            work: &mut work,
        };
        match turn.advance(context) {
            Ok(()) => {
                session.leave_work(work);
                Poll::Pending
            }
            Err(end) => {
                session.end = end;
                Poll::Ready(())
            }
        }
    }
}

impl<S: Service> Drop for Session<S> {
    fn drop(&mut self) {
        self.shared.counters.count_end(self.end);
        self.shared.connections.closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_never_waits_for_what_is_there_already() {
        assert_eq!(Awaited::of(true, 0), Awaited::Input);
        assert_eq!(Awaited::of(true, UNSENT_MAX), Awaited::Input);
        assert_eq!(
            Awaited::of(true, UNSENT_MAX + 1),
            Awaited::Room(UNSENT_MAX / 2)
        );
        assert_eq!(Awaited::of(false, 1), Awaited::Room(0));
        assert_eq!(
            Awaited::of(false, UNSENT_MAX / 2),
            Awaited::Room(UNSENT_MAX / 2 - 1)
        );
        assert_eq!(Awaited::of(false, 0), Awaited::Nothing);
    }
}
