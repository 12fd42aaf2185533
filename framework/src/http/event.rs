//! [`Event`]: what a protocol connection tells its session.

use super::{Error, Head};
use crate::mem::Buf;

/// Something that the peer's bytes (or its silence) amount to.
///
/// A request is `Request`, any number of `Content`, `End`; an `Error` may take the place of each of
/// them and is the last event of a connection.
#[derive(Clone, Debug)]
pub enum Event {
    /// The head of a request. An answer is due from now on.
    Request(Head),
    /// The next bytes of the request's content: never empty, in order, not copied.
    Content(Buf),
    /// The end of the request's content.
    End,
    /// The peer broke the protocol: answer with
    /// [`send_error`](super::h1::Connection::send_error), flush and close.
    Error(Error),
}
