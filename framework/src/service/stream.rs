//! [`Streamed`]: the content of a response that comes piece by piece; [`generate`]: makes one of an
//! `async` function.
//!
//! What must hold: a piece is asked for only when the connection has room for it; a stream that
//! ends in an error never looks like one that ended well.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::http::{Fields, Length};
use crate::mem::Buf;
use crate::runtime::Wakee;

/// A piece of a response's content, or what stands behind the content.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The next bytes.
    Data(Buf),
    /// The fields of the trailer section, and with them the end. Sent to a peer that gets chunks
    /// (RFC 9112 section 7.1.2); framing, routing and authentication are left out.
    Trailers(Fields),
}

impl<B: Into<Buf>> From<B> for Piece {
    fn from(data: B) -> Piece {
        Piece::Data(data.into())
    }
}

impl From<Fields> for Piece {
    fn from(trailers: Fields) -> Piece {
        Piece::Trailers(trailers)
    }
}

/// Where pieces come from.
type Source = Pin<Box<dyn Stream<Item = Result<Piece, Box<dyn Error>>>>>;

/// Content that comes piece by piece: see [`Response::with_stream`](super::Response::with_stream).
pub struct Streamed {
    source: Source,
    /// How long it is; `UNKNOWN_LEN` if that is not known.
    len: u64,
}

/// One word less than an option.
const UNKNOWN_LEN: u64 = u64::MAX;

impl Streamed {
    pub(super) fn new<S, P, E>(length: Length, source: S) -> Streamed
    where
        S: Stream<Item = Result<P, E>> + 'static,
        P: Into<Piece>,
        E: Into<Box<dyn Error>>,
    {
        Streamed {
            source: Box::pin(Pieces { source }),
            len: match length {
                Length::Known(len) => len,
                Length::Unknown => UNKNOWN_LEN,
            },
        }
    }

    /// How long it is.
    pub fn length(&self) -> Length {
        match self.len {
            UNKNOWN_LEN => Length::Unknown,
            len => Length::Known(len),
        }
    }

    /// The next piece.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, Box<dyn Error>>>> {
        self.source.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Streamed")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// Any stream as one of pieces.
    struct Pieces<S> {
        #[pin]
        source: S,
    }
}

impl<S, P, E> Stream for Pieces<S>
where
    S: Stream<Item = Result<P, E>>,
    P: Into<Piece>,
    E: Into<Box<dyn Error>>,
{
    type Item = Result<Piece, Box<dyn Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.project().source.poll_next(context);
        next.map(|next| next.map(|piece| piece.map(Into::into).map_err(Into::into)))
    }
}

/// Makes a stream of an `async` function that sends its pieces one by one.
///
/// `function` starts when the first piece is wanted; [`Outflow::send`] waits until the connection
/// has taken the piece. When it returns, the content ends; with an error, the connection does.
///
/// # Examples
/// ```
/// use std::io;
/// use sunstar::service::{Outflow, Response, generate};
/// use sunstar::StatusCode;
///
/// /// Counts as long as anybody listens.
/// fn count() -> Response {
///     let numbers = generate(|mut out: Outflow| async move {
///         for number in 0_u64.. {
///             out.send(format!("{number}\n").into_bytes()).await;
///         }
///         Ok::<_, io::Error>(())
///     });
///     Response::new(StatusCode::OK).with_stream(numbers)
/// }
/// # count();
/// ```
pub fn generate<A, F, R, E>(function: A) -> impl Stream<Item = Result<Piece, E>> + use<A, F, R, E>
where
    A: FnOnce(Outflow) -> F,
    F: Future<Output = Result<R, E>>,
{
    let slot = Rc::default();
    let outflow = Outflow {
        slot: Rc::clone(&slot),
    };
    Generated {
        future: Some(function(outflow)),
        slot,
    }
}

/// Where the function given to [`generate`] sends its pieces.
pub struct Outflow {
    slot: Rc<RefCell<Slot>>,
}

/// The piece on its way, and who waits for it to be taken.
#[derive(Default)]
struct Slot {
    piece: Option<Piece>,
    sender: Option<Wakee>,
}

impl Outflow {
    /// Sends a piece, and waits until it is taken. Trailers must be the last.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the piece back.
    pub async fn send(&mut self, piece: impl Into<Piece>) {
        self.slot.borrow_mut().piece = Some(piece.into());
        poll_fn(|context| {
            let mut slot = self.slot.borrow_mut();
            if slot.piece.is_none() {
                return Poll::Ready(());
            }
            slot.sender = Some(Wakee::of(context.waker()));
            Poll::Pending
        })
        .await;
    }
}

impl fmt::Debug for Outflow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outflow").finish_non_exhaustive()
    }
}

pin_project! {
    /// What [`generate`] makes.
    struct Generated<F> {
        // `None` once it has returned.
        #[pin]
        future: Option<F>,
        slot: Rc<RefCell<Slot>>,
    }
}

impl<F, R, E> Stream for Generated<F>
where
    F: Future<Output = Result<R, E>>,
{
    type Item = Result<Piece, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let mut error = None;
        if let Some(future) = this.future.as_mut().as_pin_mut()
            && let Poll::Ready(returned) = future.poll(context)
        {
            this.future.set(None);
            error = returned.err();
        }
        let mut slot = this.slot.borrow_mut();
        if let Some(error) = error {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(piece) = slot.piece.take() {
            let sender = slot.sender.take();
            drop(slot);
            // Whoever polls this polls the sender again; one within another task of the function
            // has to be told.
            let other = sender.filter(|sender| !sender.is_same(&Wakee::of(context.waker())));
            other.into_iter().for_each(Wakee::wake);
            return Poll::Ready(Some(Ok(piece)));
        }
        match this.future.as_pin_mut() {
            Some(_) => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use super::*;

    /// All that a stream has to give without waiting: its pieces as text, and how it ended.
    fn drain<E>(stream: impl Stream<Item = Result<Piece, E>>) -> (Vec<String>, &'static str) {
        let mut stream = std::pin::pin!(stream);
        let mut context = Context::from_waker(Waker::noop());
        let mut pieces = Vec::new();
        loop {
            match stream.as_mut().poll_next(&mut context) {
                Poll::Ready(Some(Ok(Piece::Data(data)))) => {
                    pieces.push(data.escape_ascii().to_string());
                }
                Poll::Ready(Some(Ok(Piece::Trailers(fields)))) => {
                    pieces.push(format!("{fields:?}"));
                }
                Poll::Ready(Some(Err(_))) => return (pieces, "error"),
                Poll::Ready(None) => return (pieces, "end"),
                Poll::Pending => return (pieces, "pending"),
            }
        }
    }

    #[test]
    fn a_generated_stream_has_the_pieces_that_were_sent() {
        let stream = generate(|mut out| async move {
            out.send("a").await;
            out.send("b").await;
            out.send(Fields::new()).await;
            Ok::<_, Infallible>(())
        });
        let pieces = ["a", "b", "{}"].map(String::from).to_vec();
        assert_eq!(drain(stream), (pieces, "end"));
    }

    #[test]
    fn a_generated_stream_waits_with_its_function_and_ends_with_its_error() {
        let waits = generate(|mut out| async move {
            out.send("a").await;
            std::future::pending::<()>().await;
            Ok::<_, Infallible>(())
        });
        assert_eq!(drain(waits), (vec!["a".to_owned()], "pending"));
        let fails = generate(|mut out| async move {
            out.send("a").await;
            Err::<(), _>("lost")
        });
        assert_eq!(drain(fails), (vec!["a".to_owned()], "error"));
    }
}
