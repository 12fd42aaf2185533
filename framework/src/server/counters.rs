//! [`Counters`]: what one shard of a server has done; [`End`]: how a session ended.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::sharded::Sharded;

/// How a session ended. All of these are normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The connection was closed after its last answer, as either side had said.
    Finished,
    /// The peer closed it between two requests.
    PeerClosed,
    /// It was idle, or too slow, for longer than the limits allow.
    TimedOut,
    /// It broke: reset by the peer, or lost.
    Broken,
    /// The server stopped.
    Stopped,
    /// A handler panicked.
    Panicked,
}

impl End {
    /// All ends, in the order of their counters.
    pub const ALL: [End; 6] = [
        End::Finished,
        End::PeerClosed,
        End::TimedOut,
        End::Broken,
        End::Stopped,
        End::Panicked,
    ];

    /// What an error of the connection means. It times out when the peer takes nothing of what the
    /// kernel has for it.
    pub(super) fn of(error: &io::Error) -> End {
        match error.kind() {
            io::ErrorKind::TimedOut => End::TimedOut,
            _ => End::Broken,
        }
    }

    /// The name that metrics use.
    pub fn name(self) -> &'static str {
        match self {
            End::Finished => "finished",
            End::PeerClosed => "peer_closed",
            End::TimedOut => "timed_out",
            End::Broken => "broken",
            End::Stopped => "stopped",
            End::Panicked => "panicked",
        }
    }
}

/// What one shard of a server has done so far.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: Cell<u64>,
    handed_over: Cell<u64>,
    accept_errors: Cell<u64>,
    refused: Cell<u64>,
    requests: Cell<u64>,
    protocol_errors: Cell<u64>,
    ends: [Cell<u64>; End::ALL.len()],
}

fn add_one(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

impl Counters {
    /// The counters of every shard of the server that runs here.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example() {
    /// let counters = sunstar::server::Counters::of_all_shards();
    /// let requests: Vec<u64> = counters.map(|counters| counters.requests()).await;
    /// # }
    /// ```
    pub fn of_all_shards() -> Sharded<Rc<Counters>> {
        Sharded::everywhere()
    }

    /// Connections that this shard has served or serves: those that it accepted and kept, and those
    /// that were handed to it. How even they are is told by [`max_to_mean`](super::max_to_mean).
    pub fn accepted(&self) -> u64 {
        self.accepted.get()
    }

    /// Connections that this shard has accepted and handed to another one.
    pub fn handed_over(&self) -> u64 {
        self.handed_over.get()
    }

    /// Accepts that failed, for instance for want of descriptors.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.get()
    }

    /// Connections for which there was no room: each gets 503 for its request. They are not among
    /// the [`accepted`](Counters::accepted).
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Requests given to the service.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Requests that were answered with an error of the protocol.
    pub fn protocol_errors(&self) -> u64 {
        self.protocol_errors.get()
    }

    /// Sessions that ended in this way.
    pub fn ended(&self, end: End) -> u64 {
        self.ends[end as usize].get()
    }

    /// Connections that are open.
    pub fn open(&self) -> u64 {
        self.accepted() - self.ends.iter().map(Cell::get).sum::<u64>()
    }

    pub(super) fn count_accepted(&self) {
        add_one(&self.accepted);
    }

    pub(super) fn count_handed_over(&self) {
        add_one(&self.handed_over);
    }

    pub(super) fn count_accept_error(&self) {
        add_one(&self.accept_errors);
    }

    pub(super) fn count_refused(&self) {
        add_one(&self.refused);
    }

    #[inline]
    pub(super) fn count_request(&self) {
        add_one(&self.requests);
    }

    pub(super) fn count_protocol_error(&self) {
        add_one(&self.protocol_errors);
    }

    pub(super) fn count_end(&self, end: End) {
        add_one(&self.ends[end as usize]);
    }
}
