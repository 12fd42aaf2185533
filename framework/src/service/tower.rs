//! [`TowerService`]: a service of tower's trait as one of ours (feature `tower`).
//!
//! What must hold: content goes through piece by piece in both directions, each side as fast as the
//! other takes it; what is asked to be `Send` there stays on its shard all the same.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use send_wrapper::SendWrapper;

use super::{Body, BodyError, IntoResponse, Piece, Rejection, Reply, Request, Response, Service};
use crate::http::{FieldLines, Fields, HeaderName, HeaderValue, Length, Method, StatusCode};
use crate::http::{Version, header};
use crate::mem::Pool;

/// How much of an answer's content is copied at once: a peer that reads slowly keeps no more.
const PIECE_LEN_MAX: usize = 64 * 1024;

/// A service of tower's trait as a [`Service`] of ours: a router of axum, for instance, or one
/// behind layers of `tower-http`. Give it to [`Server::serve`](crate::Server::serve), or
/// [`mount`](crate::Router::mount) it in a router beside handlers of ours.
///
/// Each request is answered by a clone of the service, on the shard that it has come to; its future
/// is boxed, and fields and content are copied, with an allocation for each: so this is a way to
/// move house, and not the fastest one to live. Futures are polled on the shard and nowhere else:
/// what needs the runtime of tokio (`tokio::spawn`, its timers and sockets) panics here as it does
/// outside of that, and finds ours in [`runtime`](crate::runtime) and [`net`](crate::net).
///
/// A target that is no URI of the crate `http` is answered with 400, a service that fails with 500
/// and an event of `tracing`. How the answer is framed is the server's matter; a `Content-Length`
/// is what it goes by where the body does not know its own length. Upgrades are not passed on: a
/// 1xx status becomes 500.
///
/// # Examples
/// ```
/// use axum::extract::Path;
/// use axum::routing::get;
/// use sunstar::Sharded;
/// use sunstar::service::{Request, Router, Service};
/// use sunstar::service::tower::TowerService;
///
/// async fn hello(Path(name): Path<String>) -> String {
///     format!("hello {name}")
/// }
///
/// let theirs = axum::Router::new().route("/old/{name}", get(hello));
/// let router = Router::with(Sharded::single(()))
///     .get("/new", || "ours")
///     .mount("/old", TowerService::new(theirs));
/// let response = router.call(Request::get("/old/world")).try_response().unwrap();
/// assert_eq!(response.status, 200);
/// ```
#[derive(Clone, Debug)]
pub struct TowerService<S> {
    service: S,
}

impl<S> TowerService<S> {
    /// Takes a service in.
    pub fn new(service: S) -> TowerService<S> {
        TowerService { service }
    }
}

impl<S, B> Service for TowerService<S>
where
    S: tower_service::Service<http::Request<TowerBody>, Response = http::Response<B>>,
    S: Clone + 'static,
    S::Error: fmt::Display,
    B: http_body::Body<Error: Into<Box<dyn Error>>> + 'static,
{
    fn call(&self, request: Request) -> Reply {
        let pool = request.pool().clone();
        let asked = match translated(&request) {
            Ok(asked) => asked,
            Err(refusal) => return Reply::Now(refusal.into_response(&pool)),
        };
        let is_head = *request.method() == Method::HEAD;
        let mut service = self.service.clone();
        Reply::later(async move {
            let ready = poll_fn(|context| service.poll_ready(context)).await;
            let answered = match ready {
                Ok(()) => service.call(asked).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(answer) => response(answer, is_head, pool).await,
                Err(error) => failed(error),
            }
        })
    }
}

/// The answer where the service has none.
fn failed(error: impl fmt::Display) -> Response {
    tracing::error!("a tower service failed: {error}");
    Response::new(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A request in the types of the crate `http`.
fn translated(request: &Request) -> Result<http::Request<TowerBody>, Rejection> {
    let target = request.head().target();
    let uri: http::Uri = target
        .parse()
        .map_err(|error| Rejection::bad_request(format!("target `{target}`: {error}")))?;
    let taken = || {
        Rejection::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the content was taken before",
        )
    };
    let body = request.body().ok_or_else(taken)?;
    let mut asked = http::Request::new(TowerBody::new(body));
    *asked.method_mut() = request.method().clone();
    *asked.uri_mut() = uri;
    *asked.version_mut() = match request.version() {
        Version::Http10 => http::Version::HTTP_10,
        Version::Http11 => http::Version::HTTP_11,
    };
    *asked.headers_mut() = header_map(request.fields());
    Ok(asked)
}

/// Fields, all of whose names and values were looked at when they came.
fn header_map(fields: FieldLines<'_>) -> http::HeaderMap {
    let pairs = fields.filter_map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    });
    let mut map = http::HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

fn fields(map: &http::HeaderMap) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in map {
        fields.append(name.clone(), value.clone());
    }
    fields
}

/// An answer in our types.
async fn response<B>(answer: http::Response<B>, is_head: bool, pool: Pool) -> Response
where
    B: http_body::Body<Error: Into<Box<dyn Error>>> + 'static,
{
    let (mut parts, body) = answer.into_parts();
    if parts.status.is_informational() {
        return failed(format_args!("{} cannot be passed on", parts.status));
    }
    let said = parts.headers.remove(header::CONTENT_LENGTH);
    let said = said.and_then(|said| said.to_str().ok()?.parse().ok());
    let exact = body.size_hint().exact();
    // An answer to HEAD has the length that GET would have, and mostly nothing of that length.
    let len = if is_head {
        said.or(exact)
    } else {
        exact.or(said)
    };
    let mut response = Response::new(parts.status);
    response.fields = fields(&parts.headers);
    let mut pieces = Box::pin(Pieces {
        body,
        data: None,
        pool,
    });
    let len = match len {
        Some(0) => return response,
        Some(len) => len,
        None => return response.with_stream(pieces),
    };
    // Most content is there: then it goes out with the head.
    let first = poll_fn(|context| Poll::Ready(pieces.as_mut().poll_next(context))).await;
    match first {
        Poll::Ready(Some(Ok(Piece::Data(data)))) if data.len() as u64 == len => {
            response.with_content(data)
        }
        Poll::Ready(Some(first)) => {
            let all = stream::iter([first]).chain(pieces);
            response.with_sized_stream(len, all)
        }
        Poll::Ready(None) => {
            response.with_sized_stream(len, stream::empty::<Result<Piece, BodyError>>())
        }
        Poll::Pending => response.with_sized_stream(len, pieces),
    }
}

/// The content of a request, as tower's services read it.
///
/// It is `Send`, which axum asks for, and stays on its shard: reading or dropping it on another
/// thread panics.
pub struct TowerBody {
    body: SendWrapper<Body>,
    has_ended: bool,
}

impl TowerBody {
    fn new(body: Body) -> TowerBody {
        TowerBody {
            body: SendWrapper::new(body),
            has_ended: false,
        }
    }
}

impl http_body::Body for TowerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = match ready!(self.body.poll_piece(context)) {
            Some(Ok(piece)) => return Poll::Ready(Some(Ok(frame(&piece)))),
            Some(Err(error)) => Some(Err(error)),
            None => {
                let trailers = self.body.trailers();
                let frame = || Ok(Frame::trailers(header_map(trailers.fields())));
                (!trailers.is_empty()).then(frame)
            }
        };
        self.has_ended = true;
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.body.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.length() {
            // An error, or trailers, may still come.
            Length::Known(0) if !self.is_end_stream() => SizeHint::new(),
            Length::Known(len) => SizeHint::with_exact(len),
            Length::Unknown => SizeHint::new(),
        }
    }
}

fn frame(piece: &[u8]) -> Frame<Bytes> {
    Frame::data(Bytes::copy_from_slice(piece))
}

impl fmt::Debug for TowerBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TowerBody")
            .field("has_ended", &self.has_ended)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The content of an answer, as our server sends it: at most `PIECE_LEN_MAX` bytes at a time.
    struct Pieces<B: http_body::Body> {
        #[pin]
        body: B,
        // What is left of the frame that came last.
        data: Option<B::Data>,
        pool: Pool,
    }
}

impl<B> Stream for Pieces<B>
where
    B: http_body::Body<Error: Into<Box<dyn Error>>>,
{
    type Item = Result<Piece, Box<dyn Error>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(data) = this.data.as_mut()
                && data.has_remaining()
            {
                let bytes = data.copy_to_bytes(data.remaining().min(PIECE_LEN_MAX));
                return Poll::Ready(Some(Ok(Piece::Data(this.pool.copy(&bytes)))));
            }
            *this.data = None;
            let frame = match ready!(this.body.as_mut().poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => *this.data = Some(data),
                // What is neither is of a kind that is not known yet.
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let trailers = Piece::Trailers(fields(&trailers));
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                }
            }
        }
    }
}
