//! [`Body`]: the content of a request, piece by piece as it comes; [`BodyError`]: why it does not.
//!
//! What must hold: what was not asked for is not read from the connection, so a handler that is
//! slow holds its peer back and nothing piles up; a body that is dropped early leaves nothing
//! behind that the next request could be taken for.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::inflow::{Inflow, Taken};
use super::{FromRequest, IntoResponse, Rejection, Request, Response};
use crate::http::{Error, FixedFields, HeaderValue, Length, StatusCode, Trailers, header};
use crate::mem::{Buf, Pool};
use crate::sharded::Sharded;

/// The content of a request as it comes. A handler that takes it starts when the head is there, and
/// reads at its own pace: as long as it does not ask for more, the peer is held back.
///
/// There is no limit to its length unless [`limited`](Body::limited) or
/// [`Limits::stream_len_max`](crate::http::Limits::stream_len_max) sets one. A peer that is too
/// slow ends it with an error; time that the handler takes does not count. A peer that waits for a
/// 100 gets it when content is first asked for (RFC 9110 section 10.1.1).
///
/// Content that is not read when the answer ends is thrown away if it is short, and otherwise the
/// connection closes. A body that was moved into a task of its own ends with an error then.
///
/// # Examples
/// ```
/// use sunstar::service::{Body, BodyError, Request, Router, Service};
/// use sunstar::Sharded;
///
/// /// Counts the content's bytes, however many there are.
/// async fn count(mut body: Body) -> Result<String, BodyError> {
///     let mut total = 0;
///     while let Some(piece) = body.next().await {
///         total += piece?.len();
///     }
///     Ok(total.to_string())
/// }
///
/// let router = Router::with(Sharded::single(())).post("/count", count);
/// let request = Request::post("/count").with_content("hello");
/// let response = router.call(request).try_response().unwrap();
/// assert_eq!(response.content.as_bytes(), b"5");
/// ```
pub struct Body {
    /// The first piece, if it was here with the head.
    here: Buf,
    /// Where the rest comes from, unless that was all.
    inflow: Option<Rc<Inflow>>,
    /// How much was read.
    read: u64,
    /// How much may be read in all.
    max: u64,
    trailers: Trailers,
}

impl Body {
    /// The rest of a request's content, of which `here` is the first piece.
    pub(super) fn new(here: Buf, inflow: Option<Rc<Inflow>>) -> Body {
        Body {
            here,
            read: 0,
            max: inflow.as_ref().map_or(u64::MAX, |it| it.max()),
            inflow,
            trailers: Trailers::default(),
        }
    }

    /// The next bytes, as they came: never empty. `None` at the end.
    ///
    /// # Errors
    /// When the peer broke the protocol, went away, was too slow, or sent more than the limit. It
    /// is the last that comes.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Buf, BodyError>> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    /// As [`next`](Body::next), by hand.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Buf, BodyError>>> {
        if matches!(self.length(), Length::Known(len) if len > self.max - self.read) {
            return Poll::Ready(Some(Err(self.refuse())));
        }
        if !self.here.is_empty() {
            let here = std::mem::take(&mut self.here);
            return Poll::Ready(Some(self.count(here)));
        }
        let Some(inflow) = &self.inflow else {
            return Poll::Ready(None);
        };
        let end = match ready!(inflow.poll_take(context)) {
            Taken::Piece(piece) => return Poll::Ready(Some(self.count(piece))),
            Taken::End(trailers) => {
                self.trailers = trailers;
                None
            }
            Taken::Error(error) => Some(Err(BodyError(error))),
        };
        self.close();
        Poll::Ready(end)
    }

    /// How much is still to be read, if the peer has said it.
    pub fn length(&self) -> Length {
        let behind = self.inflow.as_ref().map_or(Some(0), |it| it.left());
        match behind {
            Some(behind) => Length::Known(self.here.len() as u64 + behind),
            None => Length::Unknown,
        }
    }

    /// Whether all of it was read, and its end: nothing comes any more.
    #[cfg(feature = "tower")]
    pub(super) fn is_over(&self) -> bool {
        self.here.is_empty() && self.inflow.is_none()
    }

    /// The fields that came behind the content: there once [`next`](Body::next) has said `None`.
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    /// The same body, of which at most `max` bytes more can be read; what is longer is an error,
    /// at once if the peer has said its length.
    #[must_use]
    pub fn limited(mut self, max: u64) -> Body {
        self.max = self.max.min(self.read.saturating_add(max));
        if let Some(inflow) = &self.inflow {
            inflow.limit(self.max);
        }
        self
    }

    /// Reads all of it into one piece of at most `max` bytes.
    ///
    /// As for a handler that gets its content gathered, the whole of it has to come within
    /// [`Limits::content_timeout`](crate::http::Limits::content_timeout). What came in one piece is
    /// not copied.
    ///
    /// # Errors
    /// As [`next`](Body::next).
    pub async fn collect(self, max: u64) -> Result<Buf, BodyError> {
        let mut body = self.limited(max);
        let pool = body.inflow.as_ref().map(|inflow| {
            inflow.gather();
            inflow.pool().clone()
        });
        let Some(first) = body.next().await.transpose()? else {
            return Ok(Buf::new());
        };
        let (Some(second), Some(pool)) = (body.next().await.transpose()?, pool) else {
            return Ok(first);
        };
        let mut all = pool.buffer(2 * (first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }

    /// Lets a piece pass that stays within the limit.
    fn count(&mut self, piece: Buf) -> Result<Buf, BodyError> {
        self.read = self.read.saturating_add(piece.len() as u64);
        if self.read > self.max {
            return Err(self.refuse());
        }
        Ok(piece)
    }

    /// Reads nothing more, since it is too long.
    fn refuse(&mut self) -> BodyError {
        self.close();
        BodyError(Error::ContentTooLong)
    }

    /// Reads nothing more.
    fn close(&mut self) {
        if let Some(inflow) = self.inflow.take() {
            inflow.abandon();
        }
        self.here = Buf::new();
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.close();
    }
}

/// For tests: content that is all there.
impl<B: Into<Buf>> From<B> for Body {
    fn from(content: B) -> Body {
        Body::new(content.into(), None)
    }
}

impl<T> FromRequest<T> for Body {
    type Rejection = Rejection;
    const STREAMS: bool = true;

    fn from_request(request: &Request, _state: &Sharded<T>) -> Result<Body, Rejection> {
        request.body().ok_or_else(|| {
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Rejection::new(status, "the handler asks for the body twice")
        })
    }
}

/// The pieces of the content, for everything that takes a `Stream`.
impl Stream for Body {
    type Item = Result<Buf, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_piece(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Body")
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// Why the rest of a request's content cannot be read.
///
/// As a response it is `text/plain`, with the status that the error calls for, and the last on its
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyError(Error);

impl BodyError {
    /// Whether the content is longer than a limit: 413.
    pub fn is_too_long(self) -> bool {
        self.0 == Error::ContentTooLong
    }

    /// Whether the peer was too slow: 408.
    pub fn is_timed_out(self) -> bool {
        self.0 == Error::ContentTimeout
    }

    /// Whether the peer went away, or the answer ended, before the content did.
    pub fn is_cut_off(self) -> bool {
        self.0 == Error::Truncated
    }

    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        self.0.status()
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl std::error::Error for BodyError {}

impl IntoResponse for BodyError {
    fn into_response(self, _pool: &Pool) -> Response {
        const TEXT: FixedFields = FixedFields::new("content-type: text/plain\r\n");
        let mut response = Response::of(TEXT, Buf::from(self.0.reason()));
        response.status = self.status();
        response.with_field(header::CONNECTION, HeaderValue::from_static("close"))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn inflow(left: Option<u64>) -> (Rc<Inflow>, Body) {
        let inflow = Inflow::new(Pool::new(), 10, left);
        let body = Body::new(Buf::new(), Some(Rc::clone(&inflow)));
        (inflow, body)
    }

    fn poll(body: &mut Body) -> Poll<Option<Result<Buf, BodyError>>> {
        body.poll_piece(&mut Context::from_waker(Waker::noop()))
    }

    fn is_wanted(inflow: &Inflow) -> bool {
        inflow.is_wanted(Waker::noop())
    }

    fn now<F: Future>(future: F) -> F::Output {
        let mut future = std::pin::pin!(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("all is there already"),
        }
    }

    #[test]
    fn a_piece_is_wanted_only_while_the_reader_waits_for_one() {
        let (inflow, mut body) = inflow(Some(7));
        assert!(!is_wanted(&inflow));
        assert_eq!(body.length(), Length::Known(7));
        assert!(poll(&mut body).is_pending() && is_wanted(&inflow));
        inflow.put(Buf::from("abc"));
        assert!(!is_wanted(&inflow));
        assert_eq!(body.length(), Length::Known(7));
        assert_eq!(poll(&mut body), Poll::Ready(Some(Ok(Buf::from("abc")))));
        assert!(!is_wanted(&inflow));
        assert_eq!(body.length(), Length::Known(4));
        assert!(poll(&mut body).is_pending() && is_wanted(&inflow));
        inflow.end(Ok(Trailers::default()));
        assert_eq!(poll(&mut body), Poll::Ready(None));
        assert_eq!(poll(&mut body), Poll::Ready(None));
    }

    #[test]
    fn an_error_comes_once_and_last() {
        let (inflow, mut body) = inflow(None);
        assert_eq!(body.length(), Length::Unknown);
        assert!(poll(&mut body).is_pending());
        inflow.end(Err(Error::ContentTimeout));
        let error = BodyError(Error::ContentTimeout);
        assert_eq!(poll(&mut body), Poll::Ready(Some(Err(error))));
        assert_eq!(poll(&mut body), Poll::Ready(None));
        assert!(error.is_timed_out() && error.status() == 408);
    }

    #[test]
    fn a_body_that_is_dropped_wants_nothing() {
        let (inflow, mut body) = inflow(None);
        assert!(poll(&mut body).is_pending() && is_wanted(&inflow));
        drop(body);
        assert!(!is_wanted(&inflow));
    }

    #[test]
    fn a_limit_holds_to_the_byte_whether_the_length_is_known_or_not() {
        let (sized, body) = inflow(Some(5));
        sized.put(Buf::from("ab"));
        let mut body = body.limited(4);
        let too_long = Poll::Ready(Some(Err(BodyError(Error::ContentTooLong))));
        assert_eq!(poll(&mut body), too_long, "known to be longer");
        for (max, fits) in [(4, true), (3, false)] {
            let (chunked, body) = inflow(None);
            let mut body = body.limited(max);
            chunked.put(Buf::from("ab"));
            assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))));
            chunked.put(Buf::from("cd"));
            let second = poll(&mut body);
            assert_eq!(matches!(second, Poll::Ready(Some(Ok(_)))), fits, "{max}");
        }
    }

    #[test]
    fn content_is_collected_up_to_the_limit() {
        assert_eq!(now(Body::from("hello").collect(5)), Ok(Buf::from("hello")));
        assert!(now(Body::from("hello").collect(4)).is_err_and(BodyError::is_too_long));
        assert_eq!(now(Body::from("").collect(0)), Ok(Buf::new()));
        let (chunked, mut body) = inflow(None);
        body.here = Buf::from("he");
        chunked.put(Buf::from("llo"));
        chunked.end(Ok(Trailers::default()));
        assert_eq!(now(body.collect(5)), Ok(Buf::from("hello")));
        assert!(chunked.is_gathered());
    }
}
