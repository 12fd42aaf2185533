//! Accepts connections on one listener of one shard and starts a session for each.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::session::{Session, Shared};
use super::shutdown::{Listener, Phase};
use crate::http::{HeaderValue, StatusCode, header};
use crate::net::{TcpListener, TcpStream};
use crate::runtime;
use crate::service::{Reply, Request, Response, Service};
use crate::sys::limit;

/// After a failed accept: how long to wait at first, and at most (as Go's net/http does).
const BACKOFF_MIN: Duration = Duration::from_millis(5);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// The connections of one shard: how many are open, and who waits for one to be closed.
pub(super) struct Connections {
    open: Cell<usize>,
    max: usize,
    waiting: RefCell<Vec<Waker>>,
}

impl Connections {
    pub(super) fn new(max: usize) -> Connections {
        Connections {
            open: Cell::new(0),
            max,
            waiting: RefCell::new(Vec::new()),
        }
    }

    fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    pub(super) fn closed(&self) {
        self.open.set(self.open.get() - 1);
        let waiting = self.waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready while fewer than `count` connections are open.
    fn poll_below(&self, count: usize, context: &Context<'_>) -> Poll<()> {
        if self.open.get() < count {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Ready while one more may be opened.
    fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        self.poll_below(self.max, context)
    }

    /// Waits until no connection is open.
    pub(super) async fn none_left(&self) {
        poll_fn(|context| self.poll_below(1, context)).await;
    }
}

/// How many connections of a shard are told at a time that it has too many; more wait in the listen
/// queue.
pub(super) const REFUSED_MAX: usize = 64;
/// After how many seconds a peer that was refused may come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// What answers on the connections that a shard has too many of.
pub(super) struct Busy;

impl Service for Busy {
    fn call(&self, _request: Request) -> Reply {
        Response::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_field(header::RETRY_AFTER, RETRY_AFTER)
            .with_field(header::CONNECTION, HeaderValue::from_static("close"))
            .with_content("too many connections")
            .into()
    }
}

/// Accepts until the server stops. Connections that wait to be accepted at that moment are served.
/// Those over the limit are given to `busy`, as long as that has room.
pub(super) async fn accept<S: Service>(
    mut listener: TcpListener,
    shared: Rc<Shared<S>>,
    busy: Rc<Shared<Busy>>,
) {
    let mut stop = Listener::new(&shared.shutdown);
    let mut backoff = BACKOFF_MIN;
    loop {
        let next = poll_fn(|context| {
            stop.listen(context);
            let mut room = shared.connections.poll_room(context);
            if room.is_pending() {
                room = busy.connections.poll_room(context);
            }
            if room.is_pending() {
                listener.pause();
            }
            let accepted = room.map(|()| listener.poll_accept(context));
            match accepted {
                Poll::Ready(Poll::Ready(accepted)) => Poll::Ready(Some(accepted)),
                _ if stop.phase() >= Phase::Draining => Poll::Ready(None),
                _ => Poll::Pending,
            }
        });
        match next.await {
            None => return,
            Some(Ok(stream)) => {
                backoff = BACKOFF_MIN;
                shared.counters.count_accepted();
                if shared.connections.open.get() < shared.connections.max {
                    start(stream, &shared);
                } else {
                    shared.counters.count_refused();
                    start(stream, &busy);
                }
            }
            Some(Err(error)) => {
                shared.counters.count_accept_error();
                tracing::warn!(%error, "cannot accept; trying again in {backoff:?}");
                if shared.announce && backoff == BACKOFF_MIN {
                    let advice = limit::advice(&error);
                    eprintln!("cannot accept connections{advice}: {error}; trying again");
                }
                runtime::sleep(backoff).await;
                backoff = (2 * backoff).min(BACKOFF_MAX);
            }
        }
    }
}

fn start<S: Service>(stream: TcpStream, shared: &Rc<Shared<S>>) {
    shared.connections.opened();
    runtime::spawn(Session::new(stream, Rc::clone(shared))).detach();
}
