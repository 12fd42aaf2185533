//! One connection of a run: keeps `depth` requests in flight until there is nothing to send.
//!
//! What must hold: every request that was sent is settled exactly once, also when the task is
//! dropped in the middle; no request is sent twice; no borrow of the stint spans a suspension.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use sunstar::mem::Buf;
use sunstar::net::TcpStream;
use sunstar::runtime::{self, Sleep, sleep, sleep_until};

use crate::codec::{Answer, Parser};
use crate::head::Error;
use crate::ledger::Outcome;
use crate::stint::Stint;
use crate::tally::Tally;

/// How long to wait after an attempt to connect that failed, and how many may fail in a row before
/// the connection is given up.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
const CONNECT_TRIES: u32 = 10;

/// Opens connections one after another, as often as the server closes them, until there is nothing
/// left to send.
pub(crate) async fn run(stint: Rc<Stint>) {
    let mut failures = 0;
    while stint.has_work(runtime::now()) && failures < CONNECT_TRIES {
        match connect(&stint).await {
            Ok(stream) => {
                failures = 0;
                stint.tally.borrow_mut().ledger.connected += 1;
                Connection::new(Rc::clone(&stint), stream).drive().await;
            }
            Err(error) => {
                failures += 1;
                stint.tally.borrow_mut().note_connect_failed(&error);
                sleep(CONNECT_PAUSE).await;
            }
        }
    }
}

async fn connect(stint: &Stint) -> io::Result<TcpStream> {
    let mut connect = pin!(TcpStream::connect(stint.plan.address));
    let mut patience = pin!(sleep(stint.plan.timeout));
    poll_fn(|context| match connect.as_mut().poll(context) {
        Poll::Pending => patience
            .as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

/// Requests that were sent at one moment.
struct Batch {
    sent: Instant,
    count: u64,
}

/// What a connection waited for.
enum Wake {
    Input(Buf),
    /// The peer closed, in order or not.
    End(Option<io::Error>),
    Timeout,
}

struct Connection {
    stint: Rc<Stint>,
    stream: TcpStream,
    parser: Parser,
    /// The requests without an answer, oldest first.
    in_flight: VecDeque<Batch>,
    in_flight_count: u64,
    /// Wakes this task at, or before, the moment when the oldest request has waited too long.
    patience: Sleep,
}

impl Connection {
    fn new(stint: Rc<Stint>, stream: TcpStream) -> Connection {
        let parser = Parser::new(stint.to_head());
        // In the past, so that the first wait sets it.
        let patience = sleep_until(runtime::now());
        let in_flight = VecDeque::new();
        Connection {
            stint,
            stream,
            parser,
            in_flight,
            in_flight_count: 0,
            patience,
        }
    }

    /// Sends and receives until there is nothing to send or the connection is of no more use.
    async fn drive(mut self) {
        self.refill(runtime::now());
        while self.in_flight_count > 0 {
            let wake = poll_fn(|context| self.poll_wake(context)).await;
            let go_on = match wake {
                Wake::Input(input) => self.take_in(&input, runtime::now()),
                Wake::End(error) => self.end(error, runtime::now()),
                Wake::Timeout => self.time_out(),
            };
            if !go_on {
                return;
            }
            self.refill(runtime::now());
        }
    }

    #[inline]
    fn poll_wake(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        match self.stream.poll_recv(context) {
            Poll::Ready(Ok(Some(input))) => return Poll::Ready(Wake::Input(input)),
            Poll::Ready(Ok(None)) => return Poll::Ready(Wake::End(None)),
            Poll::Ready(Err(error)) => return Poll::Ready(Wake::End(Some(error))),
            Poll::Pending => {}
        }
        if runtime::now() < self.patience.deadline() {
            return Poll::Pending;
        }
        self.poll_patience(context)
    }

    /// Looks whether the oldest request has waited too long, and if not, waits until it may have.
    #[cold]
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Wake> {
        let oldest = self
            .in_flight
            .front()
            .expect("a connection waits only for answers");
        self.patience = sleep_until(oldest.sent + self.stint.plan.timeout);
        pin!(&mut self.patience)
            .poll(context)
            .map(|()| Wake::Timeout)
    }

    /// Sends as many requests as the depth and the plan allow.
    #[inline]
    fn refill(&mut self, now: Instant) {
        let room = self.stint.plan.depth - self.in_flight_count;
        let claimed = self.stint.claim(room, now);
        let count = claimed.end - claimed.start;
        if count == 0 {
            return;
        }
        let stream = &mut self.stream;
        let len = self.stint.lay(claimed, |piece| stream.queue(piece));
        self.stint.tally.borrow_mut().note_sent(count, len, now);
        self.in_flight.push_back(Batch { sent: now, count });
        self.in_flight_count += count;
    }

    /// Takes up what came; whether the connection can go on.
    #[inline]
    fn take_in(&mut self, input: &[u8], now: Instant) -> bool {
        let stint = Rc::clone(&self.stint);
        let (mut tally, mut learned) = (stint.tally.borrow_mut(), stint.learned.borrow_mut());
        tally.ledger.bytes_in += input.len() as u64;
        let mut rest = input;
        while !rest.is_empty() {
            if self.in_flight_count == 0 {
                return self.fail(&mut tally, Error::Surplus);
            }
            let (read, answer) = match self.parser.feed(rest, &mut learned, |_| ()) {
                Ok(fed) => fed,
                Err(error) => return self.fail(&mut tally, error),
            };
            rest = &rest[read..];
            if let Some(answer) = answer {
                self.settle(&mut tally, answer, now);
                if !answer.persistent {
                    self.lose(&mut tally, || "the server closed before all answers".into());
                    return false;
                }
            }
        }
        true
    }

    /// Takes up that the peer has closed; the connection cannot go on.
    fn end(&mut self, error: Option<io::Error>, now: Instant) -> bool {
        let stint = Rc::clone(&self.stint);
        let mut tally = stint.tally.borrow_mut();
        let fault = match (error, self.parser.feed_end()) {
            (Some(error), _) => error.to_string(),
            (None, Err(error)) => error.to_string(),
            (None, Ok(None)) => "the server closed before it answered".into(),
            (None, Ok(Some(answer))) => {
                self.settle(&mut tally, answer, now);
                "the server closed before all answers".into()
            }
        };
        self.lose(&mut tally, || fault);
        false
    }

    /// Takes up that the oldest request has waited too long; the connection cannot go on.
    fn time_out(&mut self) -> bool {
        let stint = Rc::clone(&self.stint);
        let mut tally = stint.tally.borrow_mut();
        let late = self.pop_batch();
        tally.ledger.settle(Outcome::Timeout, late.count);
        tally.note_fault(|| format!("no answer within {:?}", stint.plan.timeout));
        self.lose(&mut tally, || "an earlier request timed out".into());
        false
    }

    /// Settles the oldest request as answered.
    #[inline]
    fn settle(&mut self, tally: &mut Tally, answer: Answer, now: Instant) {
        let oldest = self
            .in_flight
            .front_mut()
            .expect("an answer comes to a request in flight");
        tally.note_answer(
            answer.status,
            self.stint.plan.expected.allows(answer.status),
            oldest.sent,
            now,
        );
        oldest.count -= 1;
        if oldest.count == 0 {
            self.in_flight.pop_front();
        }
        self.in_flight_count -= 1;
    }

    /// Settles all requests after bytes that are no proper answer; the connection cannot go on.
    #[cold]
    fn fail(&mut self, tally: &mut Tally, error: Error) -> bool {
        tally.note_fault(|| format!("malformed: {error}"));
        if self.in_flight_count == 0 {
            tally.ledger.surplus += 1;
        } else {
            tally.ledger.settle(Outcome::Malformed, 1);
            self.in_flight_count -= 1;
            self.lose(tally, || "an earlier answer was malformed".into());
        }
        false
    }

    /// Settles all requests in flight as lost with the connection.
    fn lose(&mut self, tally: &mut Tally, describe: impl FnOnce() -> String) {
        if self.in_flight_count > 0 {
            tally.ledger.settle(Outcome::Reset, self.in_flight_count);
            tally.note_fault(describe);
            self.in_flight_count = 0;
        }
        self.in_flight.clear();
    }

    fn pop_batch(&mut self) -> Batch {
        let oldest = self.in_flight.pop_front().expect("something has timed out");
        self.in_flight_count -= oldest.count;
        oldest
    }
}

/// What is still in flight when a connection goes away is in flight at the end of the run: all
/// other endings have settled everything.
impl Drop for Connection {
    fn drop(&mut self) {
        let ledger = &mut self.stint.tally.borrow_mut().ledger;
        ledger.settle(Outcome::InFlightAtEnd, self.in_flight_count);
    }
}
