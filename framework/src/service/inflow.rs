//! [`Inflow`]: the way of a request's content from its session to the [`Body`](super::Body) that a
//! handler reads.
//!
//! What must hold: at most one piece is on the way, and none is put unless one is wanted, so that a
//! slow reader stops the peer; neither end waits for the other once one of them has gone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::http::{Error, Trailers};
use crate::mem::{Buf, Pool};
use crate::runtime::Wakee;

/// What a session and a reader have in common.
pub(crate) struct Inflow {
    pool: Pool,
    /// The longest content that is gathered for a handler which does not read by itself.
    gather_max: Cell<u64>,
    /// The longest content that the reader takes.
    max: Cell<u64>,
    /// Whether the reader wants the content as a whole.
    is_gathered: Cell<bool>,
    is_taken: Cell<bool>,
    flow: RefCell<Flow>,
}

/// How far the content has come.
struct Flow {
    /// The piece that is on its way.
    piece: Option<Buf>,
    /// How much is to come behind it, if that is known.
    left: Option<u64>,
    /// How the content has ended.
    end: Option<Result<Trailers, Error>>,
    is_wanted: bool,
    reader: Option<Wakee>,
    session: Option<Wakee>,
}

/// What the reader gets.
pub(super) enum Taken {
    Piece(Buf),
    End(Trailers),
    Error(Error),
}

/// The session's end.
impl Inflow {
    /// Begins with content of which so much is to come, if that is known.
    pub(crate) fn new(pool: Pool, gather_max: u64, left: Option<u64>) -> Rc<Inflow> {
        Rc::new(Inflow {
            pool,
            gather_max: Cell::new(gather_max),
            max: Cell::new(u64::MAX),
            is_gathered: Cell::new(false),
            is_taken: Cell::new(false),
            flow: RefCell::new(Flow {
                piece: None,
                left,
                end: None,
                is_wanted: false,
                reader: None,
                session: None,
            }),
        })
    }

    /// Whether the reader waits for a piece. `waker` is woken when it begins to.
    pub(crate) fn is_wanted(&self, waker: &Waker) -> bool {
        let mut flow = self.flow.borrow_mut();
        if flow.session.is_none() {
            flow.session = Some(Wakee::of(waker));
        }
        flow.is_wanted
    }

    /// Whether the reader wants the content as a whole.
    pub(crate) fn is_gathered(&self) -> bool {
        self.is_gathered.get()
    }

    /// The longest content that the reader takes.
    pub(crate) fn max(&self) -> u64 {
        self.max.get()
    }

    /// Passes a piece on, which is wanted.
    pub(crate) fn put(&self, piece: Buf) {
        let len = u64::try_from(piece.len()).expect("a length fits 64 bits");
        let mut flow = self.flow.borrow_mut();
        flow.left = flow.left.map(|left| left.saturating_sub(len));
        flow.piece = Some(piece);
        drop(flow);
        self.wake_reader();
    }

    /// Passes the end on.
    pub(crate) fn end(&self, end: Result<Trailers, Error>) {
        let mut flow = self.flow.borrow_mut();
        if flow.end.is_none() {
            flow.end = Some(end);
        }
        drop(flow);
        self.wake_reader();
    }

    /// The reader's task is mostly the session's own, which polls it without being woken.
    fn wake_reader(&self) {
        let mut flow = self.flow.borrow_mut();
        flow.is_wanted = false;
        let reader = flow.reader.take();
        let session = flow.session.as_ref();
        let is_other = |reader: &Wakee| !session.is_some_and(|it| it.is_same(reader));
        let reader = reader.filter(is_other);
        drop(flow);
        reader.into_iter().for_each(Wakee::wake);
    }
}

/// The reader's end.
impl Inflow {
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn gather_max(&self) -> u64 {
        self.gather_max.get()
    }

    pub(super) fn set_gather_max(&self, max: u64) {
        self.gather_max.set(max);
    }

    /// Wants no content that is longer, so that its end need not be waited for.
    pub(super) fn limit(&self, max: u64) {
        self.max.set(max);
    }

    /// Wants the content as a whole from here on.
    pub(super) fn gather(&self) {
        self.is_gathered.set(true);
    }

    /// Takes the reader's place. Tells whether it was free.
    pub(super) fn take(&self) -> bool {
        !self.is_taken.replace(true)
    }

    /// How much is to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        let flow = self.flow.borrow();
        let piece = flow.piece.as_ref().map_or(0, Buf::len);
        match flow.end {
            Some(_) => Some(piece as u64),
            None => flow.left.map(|left| left + piece as u64),
        }
    }

    /// The next piece, or the end.
    pub(super) fn poll_take(&self, context: &Context<'_>) -> Poll<Taken> {
        let mut flow = self.flow.borrow_mut();
        if let Some(piece) = flow.piece.take() {
            return Poll::Ready(Taken::Piece(piece));
        }
        match &mut flow.end {
            Some(Ok(trailers)) => return Poll::Ready(Taken::End(std::mem::take(trailers))),
            Some(Err(error)) => return Poll::Ready(Taken::Error(*error)),
            None => {}
        }
        flow.is_wanted = true;
        let reader = Wakee::of(context.waker());
        let session = flow.session.as_ref();
        let session = session.filter(|it| !it.is_same(&reader)).cloned();
        flow.reader = Some(reader);
        drop(flow);
        session.into_iter().for_each(Wakee::wake);
        Poll::Pending
    }

    /// Wants nothing more.
    pub(super) fn abandon(&self) {
        let mut flow = self.flow.borrow_mut();
        flow.is_wanted = false;
        let kept = (flow.piece.take(), flow.reader.take());
        drop(flow);
        drop(kept);
    }
}
