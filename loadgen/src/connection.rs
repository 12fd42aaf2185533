//! One connection of a run: keeps requests in flight as the pace and the depth allow.
//!
//! What must hold: every request that was sent is settled exactly once, also when the task is
//! dropped in the middle; no request is sent twice; no borrow of the stint spans a suspension.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use sunstar::net::TcpStream;
use sunstar::runtime::{self, sleep, sleep_until};

use crate::accounts::Batch;
use crate::check::Seen;
use crate::codec::{Answer, Parser};
use crate::head::Error;
use crate::ledger::Outcome;
use crate::moment::Moment;
use crate::plan::{Overload, Pace};
use crate::stint::Stint;
use crate::tally::Tally;

/// How long to wait after an attempt to connect that failed, and how many may fail in a row before
/// the connection is given up.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TRIES: u32 = 10;

/// The place of one connection after another.
#[derive(Default)]
pub(crate) struct Lane(RefCell<Option<Connection>>);

impl Lane {
    /// Calls with the connection that stands, if one does.
    #[inline]
    pub(crate) fn with(&self, call: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.0.borrow_mut().as_mut() {
            call(connection);
        }
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is of no more use: lost, or it has carried as many requests as it may.
    Gone,
    /// Nothing is left to send.
    Done,
}

/// Opens connections one after another, as often as the server or the plan has them closed, until
/// there is nothing left to send.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn keeps its arguments twice, and there may be a million"
)]
pub(crate) fn run(stint: Rc<Stint>, at: u32) -> impl Future<Output = ()> {
    async move {
        stint.add_alive();
        let (mut failures, mut opened) = (0, 0_u64);
        while (!stint.has_started() || stint.is_left(stint.turn())) && failures < CONNECT_TRIES {
            // Boxed, since a connection that stands need not carry what opening it took.
            let Some(stream) = Box::pin(open(&stint, at, opened)).await else {
                failures += 1;
                continue;
            };
            failures = 0;
            opened += 1;
            stand(&stint, at, opened == 1, stream).await;
        }
        if opened == 0 {
            stint.add_tried();
        }
        stint.remove_alive();
    }
}

/// Lets a connection that stands begin; it ends with what this gives.
fn stand(stint: &Stint, at: u32, is_first: bool, stream: TcpStream) -> Place<'_> {
    let place = Place::new(stint, at, stream);
    if is_first {
        stint.add_tried();
    }
    if stint.has_started() {
        place.with(|connection| connection.go_on(stint, stint.turn()));
    }
    place
}

/// Tries once to connect; pauses after a failure.
async fn open(stint: &Stint, at: u32, opened: u64) -> Option<TcpStream> {
    sleep_until(stint.connect_at(runtime::now())).await;
    let began = runtime::now();
    let index = u64::from(at) + opened;
    match stint.connector.connect(&stint.plan, index).await {
        Ok(stream) => {
            let time = runtime::now() - began;
            let mut tally = stint.tally.borrow_mut();
            tally.traffic.connected += 1;
            tally.traffic.reconnects += u64::from(opened > 0);
            tally.connect.record(Moment::after(time).0, 1);
            Some(stream)
        }
        Err(error) => {
            stint.tally.borrow_mut().note_connect_failed(&error);
            sleep(CONNECT_PAUSE).await;
            None
        }
    }
}

/// A standing connection, which is taken down when its task is.
struct Place<'a> {
    stint: &'a Stint,
    at: u32,
}

impl<'a> Place<'a> {
    fn new(stint: &'a Stint, at: u32, stream: TcpStream) -> Place<'a> {
        let place = Place { stint, at };
        *place.lane().0.borrow_mut() = Some(Connection::new(at, stream, stint.unseen()));
        place
    }

    fn lane(&self) -> &'a Lane {
        &self.stint.lanes[self.at as usize]
    }

    fn with<T>(&self, call: impl FnOnce(&mut Connection) -> T) -> T {
        let mut connection = self.lane().0.borrow_mut();
        call(connection.as_mut().expect("it stands while it is served"))
    }
}

/// Ready when the connection has ended.
impl Future for Place<'_> {
    type Output = End;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<End> {
        self.with(|connection| connection.poll(self.stint, context))
    }
}

/// What is still in flight when a connection goes away is in flight at the end of the run: all
/// other endings have settled everything.
impl Drop for Place<'_> {
    fn drop(&mut self) {
        let connection = self.lane().0.borrow_mut().take();
        for batch in connection.into_iter().flat_map(Connection::into_batches) {
            self.stint.settle_at_end(&batch);
        }
    }
}

/// Batches behind the oldest: only those who pipeline or are late have any.
#[derive(Default)]
struct Others(VecDeque<Batch>);

/// One that stands. Small, since there may be a million.
pub(crate) struct Connection {
    lane: u32,
    /// How many requests have no answer, and how many were sent.
    in_flight: u32,
    sent: u64,
    /// Whether it waits in the stint's list of those with room.
    pub(crate) is_idle: bool,
    end: Option<End>,
    /// The requests without an answer, oldest first; mostly there is one batch of them.
    oldest: Option<Batch>,
    others: Option<Box<Others>>,
    /// What has come of the content of the answer that is being read.
    seen: Seen,
    parser: Parser,
    stream: TcpStream,
}

impl Connection {
    fn new(lane: u32, stream: TcpStream, seen: Seen) -> Connection {
        Connection {
            lane,
            in_flight: 0,
            sent: 0,
            is_idle: false,
            end: None,
            oldest: None,
            others: None,
            seen,
            parser: Parser::new(false),
            stream,
        }
    }

    fn into_batches(self) -> impl Iterator<Item = Batch> {
        let others = self.others.map(|others| others.0).unwrap_or_default();
        self.oldest.into_iter().chain(others)
    }

    /// Takes up everything that has come; ready when the connection has ended.
    #[inline]
    fn poll(&mut self, stint: &Stint, context: &mut Context<'_>) -> Poll<End> {
        loop {
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            match self.stream.poll_recv(context) {
                Poll::Pending => break,
                Poll::Ready(Ok(Some(input))) => {
                    if self.take_in(stint, &input) {
                        self.go_on(stint, stint.turn());
                    }
                }
                Poll::Ready(Ok(None)) => self.take_end(stint, None),
                Poll::Ready(Err(error)) => self.take_end(stint, Some(&error)),
            }
        }
        Poll::Pending
    }

    /// Ends the connection from outside of its task.
    fn finish(&mut self, end: End) {
        self.end = Some(end);
        self.stream.wake_receiver();
    }

    // Sending.

    /// How many more requests may be in flight.
    #[inline]
    pub(crate) fn room(&self, stint: &Stint) -> u64 {
        if self.end.is_some() {
            return 0;
        }
        let room = stint.plan.depth - u64::from(self.in_flight);
        match stint.plan.requests_per_connection {
            None => room,
            Some(most) => room.min(most - self.sent),
        }
    }

    /// Sends what may be sent now, or sees to it that somebody will come back.
    #[inline]
    pub(crate) fn go_on(&mut self, stint: &Stint, now: Moment) {
        match &stint.plan.pace {
            Pace::Closed { think: None } => {
                let claimed = stint.claim(self.room(stint), now);
                self.send(stint, now, 0, claimed);
                if self.in_flight == 0 && self.end.is_none() {
                    let done = !stint.is_left(now);
                    self.finish(if done { End::Done } else { End::Gone });
                }
            }
            Pace::Closed { think: Some(think) } => {
                // One thought for each free place.
                if self.is_worn_out(stint) {
                    self.finish(End::Gone);
                } else if self.room(stint) > 0 {
                    stint.think(self.lane, *think, now);
                }
            }
            Pace::Open(_) => self.serve_due(stint, now, now),
        }
    }

    /// Sends what is due, or waits for more; `free` is since when the connection has had room.
    pub(crate) fn serve_due(&mut self, stint: &Stint, now: Moment, free: Moment) {
        while self.room(stint) > 0 {
            let next = if stint.is_per_connection() {
                let next = stint.pop_backlog(self.lane);
                next.map(|(number, due)| (number, due, due))
            } else {
                let next = stint.take_due(now);
                next.map(|(number, due)| (number, due, stint.noticed(due)))
            };
            let Some((number, due, noticed)) = next else {
                if !self.is_idle {
                    self.is_idle = true;
                    stint.push_idle(self.lane);
                }
                return;
            };
            self.send(stint, due, free.since(noticed), number..number + 1);
        }
        if self.is_worn_out(stint) {
            self.finish(End::Gone);
        }
    }

    /// Sends the next request after a thought that ended at `due`.
    pub(crate) fn end_thought(&mut self, stint: &Stint, due: Moment, now: Moment) {
        let claimed = stint.claim(self.room(stint).min(1), now);
        self.send(stint, due, 0, claimed);
        if self.in_flight == 0 && !stint.is_left(now) {
            self.finish(End::Done);
        }
    }

    /// Whether it has carried all the requests that it may.
    fn is_worn_out(&self, stint: &Stint) -> bool {
        self.in_flight == 0 && stint.plan.requests_per_connection == Some(self.sent)
    }

    /// Sends requests that have waited so many nanoseconds for this connection to have room.
    #[inline]
    fn send(&mut self, stint: &Stint, intended: Moment, waited: u64, claimed: Range<u64>) {
        if claimed.is_empty() {
            return;
        }
        if stint.is_mixed() {
            claimed.for_each(|number| self.send_batch(stint, intended, waited, number..number + 1));
        } else {
            self.send_batch(stint, intended, waited, claimed);
        }
    }

    #[inline]
    fn send_batch(&mut self, stint: &Stint, intended: Moment, waited: u64, claimed: Range<u64>) {
        let count = u32::try_from(claimed.end - claimed.start).expect("at most DEPTH_MAX");
        let template = stint.template_of(claimed.start);
        let stream = &mut self.stream;
        let len = stint.lay(claimed, |piece| stream.queue(piece));
        let batch = Batch {
            intended,
            sent: stint.now().max(intended),
            count,
            phase: stint.phase_of(intended),
            template,
        };
        let mut tally = stint.tally.borrow_mut();
        tally.note_sent(&batch, len);
        tally.note_delay(&batch, waited);
        drop(tally);
        stint.add_in_flight(u64::from(count));
        self.in_flight += count;
        self.sent += u64::from(count);
        match self.oldest {
            None => self.oldest = Some(batch),
            Some(_) => self.others.get_or_insert_default().0.push_back(batch),
        }
    }

    // Receiving.

    /// Takes up what came; whether the connection can go on.
    #[inline]
    fn take_in(&mut self, stint: &Stint, input: &[u8]) -> bool {
        let now = stint.turn();
        let (mut tally, mut learned) = (stint.tally.borrow_mut(), stint.learned.borrow_mut());
        tally.traffic.bytes_in += input.len() as u64;
        let mut rest = input;
        while !rest.is_empty() {
            let Some(oldest) = self.oldest else {
                drop(tally);
                return self.fail(stint, Error::Surplus);
            };
            let check = &stint.plan.check;
            let seen = &mut self.seen;
            self.parser.expect_head(stint.to_head(oldest.template));
            let fed = self
                .parser
                .feed(rest, &mut learned[usize::from(oldest.template)], |piece| {
                    if check.reads_content() {
                        seen.take(piece, check);
                    }
                });
            let (read, answer) = match fed {
                Ok(fed) => fed,
                Err(error) => {
                    drop(tally);
                    return self.fail(stint, error);
                }
            };
            rest = &rest[read..];
            let Some(answer) = answer else { continue };
            self.settle_answer(stint, &mut tally, answer, now);
            if !answer.persistent {
                drop(tally);
                self.lose(stint, "the server closed before all answers");
                return false;
            }
        }
        true
    }

    /// Takes up that the peer has closed; the connection cannot go on.
    #[cold]
    fn take_end(&mut self, stint: &Stint, error: Option<&io::Error>) {
        let fault = match (error, self.parser.feed_end()) {
            (Some(error), _) => error.to_string(),
            (None, Err(error)) => error.to_string(),
            (None, Ok(None)) => "the server closed before it answered".into(),
            (None, Ok(Some(answer))) => {
                if self.oldest.is_some() {
                    let mut tally = stint.tally.borrow_mut();
                    self.settle_answer(stint, &mut tally, answer, stint.turn());
                }
                "the server closed before all answers".into()
            }
        };
        self.lose(stint, &fault);
    }

    /// Settles what has waited since before `moment`; the connection cannot go on then.
    pub(crate) fn time_out(&mut self, stint: &Stint, moment: Moment, now: Moment) {
        let Some(late) = self.oldest.filter(|oldest| oldest.sent <= moment) else {
            return;
        };
        let count = u64::from(late.count);
        self.oldest = self.next_batch();
        self.in_flight -= late.count;
        let mut tally = stint.tally.borrow_mut();
        tally.note_timeouts(&late, now, count);
        tally.note_fault(|| format!("no answer within {:?}", stint.plan.timeout));
        drop(tally);
        stint.remove_in_flight(count);
        self.lose(stint, "an earlier request timed out");
    }

    /// Settles the oldest request as answered.
    #[inline]
    fn settle_answer(&mut self, stint: &Stint, tally: &mut Tally, answer: Answer, now: Moment) {
        let oldest = self
            .oldest
            .as_mut()
            .expect("an answer comes to a request in flight");
        let status = answer.status;
        let seen = std::mem::replace(&mut self.seen, stint.unseen());
        let outcome = stint.plan.check.judge(answer, seen);
        tally.note_answers(oldest, status, outcome, now, 1);
        tally.in_time += u64::from(stint.is_time(now));
        match outcome {
            Outcome::Ok => {}
            Outcome::BadBody => tally.note_fault(|| seen.describe(&stint.plan.check)),
            Outcome::BadHeader => tally.note_fault(|| "an answer lacked a header field".into()),
            _ => tally.note_fault(|| format!("an answer had status {status}")),
        }
        oldest.count -= 1;
        if oldest.count == 0 {
            self.oldest = self.next_batch();
        }
        self.in_flight -= 1;
        stint.remove_in_flight(1);
    }

    /// Settles all requests after bytes that are no proper answer; the connection cannot go on.
    #[cold]
    fn fail(&mut self, stint: &Stint, error: Error) -> bool {
        let mut tally = stint.tally.borrow_mut();
        tally.note_fault(|| format!("malformed: {error}"));
        if let Some(oldest) = &mut self.oldest {
            tally.settle(oldest, Outcome::Malformed, 1);
            oldest.count -= 1;
            if oldest.count == 0 {
                self.oldest = self.next_batch();
            }
            self.in_flight -= 1;
            drop(tally);
            stint.remove_in_flight(1);
        } else {
            tally.traffic.surplus += 1;
            drop(tally);
        }
        self.lose(stint, "an earlier answer was malformed");
        false
    }

    /// Takes the batch behind the oldest.
    #[inline]
    fn next_batch(&mut self) -> Option<Batch> {
        self.others.as_mut()?.0.pop_front()
    }

    /// Settles all requests in flight as lost with the connection, which ends.
    fn lose(&mut self, stint: &Stint, why: &str) {
        while let Some(batch) = self.oldest.take() {
            self.oldest = self.next_batch();
            let count = u64::from(batch.count);
            let mut tally = stint.tally.borrow_mut();
            tally.settle(&batch, Outcome::Reset, count);
            tally.note_fault(|| why.to_owned());
            drop(tally);
            stint.remove_in_flight(count);
        }
        self.in_flight = 0;
        self.finish(End::Gone);
    }
}

/// Whether a run may open more connections than it starts with.
pub(crate) fn may_grow(stint: &Stint) -> bool {
    matches!(&stint.plan.pace, Pace::Open(open) if matches!(open.overload, Overload::Grow(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the task's own header, and what the runtime keeps of a socket that is being read, this
    /// is all that a connection costs: 480 bytes.
    #[test]
    fn a_connection_stays_small() {
        fn size_of_output<F>(_: fn(Rc<Stint>, u32) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size_of::<Lane>() <= 152 && size_of_output(run) <= 48);
    }
}
