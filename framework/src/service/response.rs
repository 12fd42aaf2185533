//! [`Response`]: what a handler answers; [`IntoResponse`]: what can be turned into one.
//!
//! What must hold: a response made of borrowed, pooled or `'static` parts allocates nothing; the
//! framing (`Content-Length`, `Date`, the missing content of HEAD) is the encoder's work.

use std::borrow::Cow;
use std::convert::Infallible;
use std::error::Error;

use futures_core::Stream;

use super::{Piece, Streamed, Takeover, Upgraded};
use crate::http::{Fields, FixedFields, HeaderName, HeaderValue, Length, StatusCode};
use crate::mem::{Buf, Pool};

/// A response: status, fields and content.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields, without those that concern framing and connection.
    pub fields: Fields,
    /// The content.
    pub content: Content,
}

impl Response {
    /// Makes a response without fields or content.
    #[inline]
    pub fn new(status: StatusCode) -> Response {
        Response {
            status,
            fields: Fields::new(),
            content: Content::Empty,
        }
    }

    /// The same response with `name` set to `value`, replacing every field of that name.
    ///
    /// # Examples
    /// ```
    /// use sunstar::http::{HeaderValue, StatusCode, header};
    /// use sunstar::service::Response;
    ///
    /// let response = Response::new(StatusCode::OK)
    ///     .with_field(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))
    ///     .with_content("<p>hello");
    /// assert_eq!(response.content.as_bytes(), b"<p>hello");
    /// ```
    #[inline]
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Response {
        self.fields.insert(name, value);
        self
    }

    /// The same response with `fields` behind those that are there: for what is known when the
    /// program is built, such as a media type, which then costs no copy.
    #[expect(
        clippy::inline_always,
        reason = "as a call it writes a response piece by piece, and the move behind it has to wait"
    )]
    #[inline(always)]
    #[must_use]
    pub fn with_fixed_fields(mut self, fields: FixedFields) -> Response {
        self.fields.append_fixed(fields);
        self
    }

    /// The same response with this content.
    #[expect(
        clippy::inline_always,
        reason = "as a call it writes a response piece by piece, and the move behind it has to wait"
    )]
    #[inline(always)]
    #[must_use]
    pub fn with_content(mut self, content: impl Into<Buf>) -> Response {
        self.replace(Content::Buf(content.into()));
        self
    }

    /// The same response with content that comes piece by piece, of unknown length: sent in chunks,
    /// or to an HTTP/1.0 peer until the connection closes (RFC 9112 section 6.3).
    ///
    /// A piece is asked for when the connection has room for it. An error ends the connection, so
    /// that the peer does not take the content for whole. Nothing is asked for if there is no
    /// content to send (HEAD, 204, 304).
    ///
    /// The stream is dropped when the peer has gone. A reset says so at once, as long as the
    /// connection is read from. The end of what the peer sends does not: it may read on (RFC 9112
    /// section 9.6). If it has closed altogether, the next piece is answered with a reset and the
    /// one behind that ends the connection; so a stream for peers that come and go should say
    /// something from time to time.
    /// [`generate`](super::generate) makes a stream of an `async` function.
    #[must_use]
    pub fn with_stream<S, P, E>(mut self, source: S) -> Response
    where
        S: Stream<Item = Result<P, E>> + 'static,
        P: Into<Piece>,
        E: Into<Box<dyn Error>>,
    {
        self.replace(Content::Stream(Streamed::new(Length::Unknown, source)));
        self
    }

    /// As [`with_stream`](Response::with_stream), of content that is `len` bytes long: sent with
    /// `Content-Length`. What is over it is left out; if it is shorter the connection ends.
    #[must_use]
    pub fn with_sized_stream<S, P, E>(mut self, len: u64, source: S) -> Response
    where
        S: Stream<Item = Result<P, E>> + 'static,
        P: Into<Piece>,
        E: Into<Box<dyn Error>>,
    {
        self.replace(Content::Stream(Streamed::new(Length::Known(len), source)));
        self
    }

    /// The same response, behind whose head the connection is `take_over`'s: for 101, as
    /// [`Upgrade`](super::Upgrade) makes it, and for a success that answers CONNECT.
    ///
    /// It is answered with 500 instead if the peer did not offer or ask for that, or if the
    /// handler left content of the request unread.
    #[must_use]
    pub fn with_upgrade<F>(mut self, take_over: impl FnOnce(Upgraded) -> F + 'static) -> Response
    where
        F: Future<Output = ()> + 'static,
    {
        self.replace(Content::Upgrade(Takeover::new(take_over)));
        self
    }

    /// Whether nothing is left in it that would have to be dropped.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        matches!(self.content, Content::Empty) && !self.fields.is_away()
    }

    #[inline]
    fn replace(&mut self, content: Content) {
        if let Content::Empty = self.content {
            // Spares every response the call that drops what was before, and a move of it.
            std::mem::forget(std::mem::replace(&mut self.content, content));
        } else {
            self.content = content;
        }
    }

    /// A 200 with these fields and this content.
    #[inline]
    pub(super) fn of(fields: FixedFields, content: Buf) -> Response {
        Response::new(StatusCode::OK)
            .with_fixed_fields(fields)
            .with_content(content)
    }
}

/// The content of a response.
#[derive(Debug)]
#[non_exhaustive]
pub enum Content {
    /// None.
    Empty,
    /// Bytes that are there.
    Buf(Buf),
    /// Bytes that come piece by piece.
    Stream(Streamed),
    /// None; behind the head the connection is no longer HTTP's.
    Upgrade(Takeover),
}

impl Content {
    /// The bytes that are there.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Content::Buf(buf) => buf,
            Content::Empty | Content::Stream(_) | Content::Upgrade(_) => &[],
        }
    }
}

/// What a handler may return.
///
/// Implement it for your own types, above all for errors: a handler may return
/// `Result<T, E>` when both can be turned into a response.
///
/// # Examples
/// ```
/// use sunstar::http::StatusCode;
/// use sunstar::mem::Pool;
/// use sunstar::service::{IntoResponse, Response};
///
/// struct Taken(String);
///
/// impl IntoResponse for Taken {
///     fn into_response(self, pool: &Pool) -> Response {
///         (StatusCode::CONFLICT, format!("{} is taken", self.0)).into_response(pool)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be turned into a response",
    label = "not a response",
    note = "a `StatusCode`, text, bytes, `Json`, `(StatusCode, R)`, `Option<R>`, `Result<R, E>` \
            and `Response` can; implement `IntoResponse` for a type of your own"
)]
pub trait IntoResponse {
    /// Turns `self` into a response. What has to be written is written to a buffer of `pool`, the
    /// current shard's.
    fn into_response(self, pool: &Pool) -> Response;
}

impl IntoResponse for Response {
    #[inline]
    fn into_response(self, _pool: &Pool) -> Response {
        self
    }
}

/// The status alone: no content.
impl IntoResponse for StatusCode {
    #[inline]
    fn into_response(self, _pool: &Pool) -> Response {
        Response::new(self)
    }
}

/// 200 without content.
impl IntoResponse for () {
    #[inline]
    fn into_response(self, _pool: &Pool) -> Response {
        Response::new(StatusCode::OK)
    }
}

impl IntoResponse for Infallible {
    fn into_response(self, _pool: &Pool) -> Response {
        match self {}
    }
}

/// 200, `text/plain; charset=utf-8`. No copy.
impl IntoResponse for &'static str {
    #[inline]
    fn into_response(self, _pool: &Pool) -> Response {
        text(Buf::from(self))
    }
}

/// 200, `text/plain; charset=utf-8`. Short texts are copied to the pool.
impl IntoResponse for String {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        text(adopt(self.into_bytes(), pool))
    }
}

/// 200, `text/plain; charset=utf-8`.
impl IntoResponse for Cow<'static, str> {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        match self {
            Cow::Borrowed(text) => text.into_response(pool),
            Cow::Owned(text) => text.into_response(pool),
        }
    }
}

/// 200, `application/octet-stream`. Short vectors are copied to the pool.
impl IntoResponse for Vec<u8> {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        adopt(self, pool).into_response(pool)
    }
}

/// 200, `application/octet-stream`. No copy.
impl IntoResponse for Buf {
    #[inline]
    fn into_response(self, _pool: &Pool) -> Response {
        Response::of(
            const { FixedFields::new("content-type: application/octet-stream\r\n") },
            self,
        )
    }
}

/// The response with another status, in the place of 200.
///
/// A response that already says something other than 200 keeps its status: a `None`, an error, a
/// value that could not be serialised.
impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        let (status, inner) = self;
        let mut response = inner.into_response(pool);
        if response.status == StatusCode::OK {
            response.status = status;
        }
        response
    }
}

/// 404 without content for `None`.
impl<R: IntoResponse> IntoResponse for Option<R> {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        match self {
            Some(inner) => inner.into_response(pool),
            None => Response::new(StatusCode::NOT_FOUND),
        }
    }
}

impl<R: IntoResponse, E: IntoResponse> IntoResponse for Result<R, E> {
    #[inline]
    fn into_response(self, pool: &Pool) -> Response {
        match self {
            Ok(inner) => inner.into_response(pool),
            Err(error) => error.into_response(pool),
        }
    }
}

#[inline]
fn text(content: Buf) -> Response {
    Response::of(
        const { FixedFields::new("content-type: text/plain; charset=utf-8\r\n") },
        content,
    )
}

/// Up to this length a vector is copied to the pool, which costs less than counting it.
const COPY_MAX: usize = 2048;

/// Makes a slice of a vector: a copy in the pool if it is short, else the vector itself.
#[inline]
fn adopt(bytes: Vec<u8>, pool: &Pool) -> Buf {
    if bytes.len() <= COPY_MAX {
        pool.copy(&bytes)
    } else {
        Buf::from(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::header;

    /// Status, media type and content of what `value` turns into.
    fn parts(value: impl IntoResponse) -> (u16, String, Vec<u8>) {
        let response = value.into_response(&Pool::new());
        let media_type = response.fields.get(&header::CONTENT_TYPE);
        (
            response.status.as_u16(),
            media_type.map_or(String::new(), |value| {
                str::from_utf8(value).unwrap().to_owned()
            }),
            response.content.as_bytes().to_vec(),
        )
    }

    fn text(status: u16, content: &str) -> (u16, String, Vec<u8>) {
        let media_type = "text/plain; charset=utf-8".to_owned();
        (status, media_type, content.as_bytes().to_vec())
    }

    fn empty(status: u16) -> (u16, String, Vec<u8>) {
        (status, String::new(), Vec::new())
    }

    #[test]
    fn a_status_alone_has_neither_type_nor_content() {
        assert_eq!(parts(StatusCode::OK), empty(200));
        assert_eq!(parts(()), empty(200));
        let response = StatusCode::OK.into_response(&Pool::new());
        assert!(matches!(response.content, Content::Empty));
    }

    #[test]
    fn text_and_bytes_say_what_they_are() {
        assert_eq!(parts("hello"), text(200, "hello"));
        assert_eq!(parts(String::from("hello")), text(200, "hello"));
        assert_eq!(parts(Cow::Borrowed("hello")), text(200, "hello"));
        let bytes = (200, "application/octet-stream".to_owned(), vec![1, 2]);
        assert_eq!(parts(vec![1, 2]), bytes);
        assert_eq!(parts(Buf::from(vec![1, 2])), bytes);
    }

    #[test]
    fn a_short_text_lies_in_the_pool_and_a_long_one_is_not_copied() {
        let pool = Pool::new();
        let short = "x".repeat(COPY_MAX).into_response(&pool);
        assert_eq!(pool.outstanding(), 1);
        drop(short);
        let long = "x".repeat(COPY_MAX + 1);
        let address = long.as_ptr();
        let response = long.into_response(&pool);
        assert_eq!(pool.outstanding(), 0);
        assert_eq!(response.content.as_bytes().as_ptr(), address);
    }

    #[test]
    fn a_status_takes_the_place_of_200_only() {
        assert_eq!(parts((StatusCode::CREATED, "made")), text(201, "made"));
        let missing: Option<&'static str> = None;
        assert_eq!(parts((StatusCode::CREATED, missing)), empty(404));
    }

    #[test]
    fn options_and_results_answer_with_what_they_hold() {
        assert_eq!(parts(Some("here")), text(200, "here"));
        let fine: Result<&'static str, StatusCode> = Ok("fine");
        assert_eq!(parts(fine), text(200, "fine"));
        let taken: Result<(), (StatusCode, &'static str)> = Err((StatusCode::CONFLICT, "taken"));
        assert_eq!(parts(taken), text(409, "taken"));
    }
}
