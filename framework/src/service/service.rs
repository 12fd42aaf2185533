//! [`Service`]: what answers requests; [`Reply`]: its answer, at once or later.
//!
//! What must hold: `call` neither waits nor blocks; whatever has to wait goes into the future of
//! [`Reply::Later`]. A service is called on the shard that made it and on no other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{IntoResponse, Request, Response};

/// Answers requests. A [`Router`](super::Router) is one, and [`service_fn`] makes one of a closure.
///
/// It is one shard's own: neither `Send` nor `Sync` is asked for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer requests",
    note = "a `Router` does; `service_fn` makes a service of a closure"
)]
pub trait Service: 'static {
    /// Answers one request, or starts to. Its content need not be here as a whole: see
    /// [`Request::is_whole`].
    fn call(&self, request: Request) -> Reply;
}

/// The answer to a request: there already, or on its way.
pub enum Reply {
    /// The response itself. Costs no future, box or pin.
    Now(Response),
    /// A future of the response: one allocation per request.
    Later(Pin<Box<dyn Future<Output = Response>>>),
}

impl Reply {
    /// Answers later, with what `future` yields. Boxes the future.
    pub fn later(future: impl Future<Output = Response> + 'static) -> Reply {
        Reply::Later(Box::pin(future))
    }

    /// Answers with what `answer` makes of the request once its content is whole, or refuses the
    /// content. Costs a future, which a request that [is whole](Request::is_whole) need not pay.
    pub fn gather(request: Request, answer: impl FnOnce(Request) -> Reply + 'static) -> Reply {
        Reply::later(async move {
            let pool = request.pool().clone();
            match request.gathered().await {
                Ok(request) => answer(request).response().await,
                Err(refusal) => refusal.into_response(&pool),
            }
        })
    }

    /// Waits for the response.
    ///
    /// # Cancel safety
    /// Dropping the future drops the handler's future at the point where it waits.
    pub async fn response(self) -> Response {
        match self {
            Reply::Now(response) => response,
            Reply::Later(future) => future.await,
        }
    }

    /// The response, unless it has to be waited for; never waits.
    ///
    /// For tests without a runtime: an `async` handler is polled once, which is enough as long as
    /// it only awaits what is ready, such as the shard of a
    /// [`Sharded::single`](crate::Sharded::single).
    pub fn try_response(self) -> Option<Response> {
        match self {
            Reply::Now(response) => Some(response),
            Reply::Later(mut future) => {
                let mut context = Context::from_waker(Waker::noop());
                match future.as_mut().poll(&mut context) {
                    Poll::Ready(response) => Some(response),
                    Poll::Pending => None,
                }
            }
        }
    }
}

impl From<Response> for Reply {
    #[inline]
    fn from(response: Response) -> Reply {
        Reply::Now(response)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Now(response) => out.debug_tuple("Now").field(response).finish(),
            Reply::Later(_) => out.write_str("Later(..)"),
        }
    }
}

/// Makes a service of a closure that returns a [`Response`] or a [`Reply`]. The content of its
/// requests is whole; who wants to read it piece by piece implements [`Service`].
///
/// # Examples
/// ```
/// use sunstar::http::StatusCode;
/// use sunstar::service::{Request, Response, Service, service_fn};
///
/// let teapot = service_fn(|_request| Response::new(StatusCode::IM_A_TEAPOT));
/// let response = teapot.call(Request::get("/")).try_response().unwrap();
/// assert_eq!(response.status, 418);
/// ```
pub fn service_fn<F, R>(function: F) -> ServiceFn<F>
where
    F: Fn(Request) -> R + 'static,
    R: Into<Reply>,
{
    ServiceFn {
        function: Rc::new(function),
    }
}

/// The service that [`service_fn`] makes.
pub struct ServiceFn<F> {
    function: Rc<F>,
}

impl<F, R> Service for ServiceFn<F>
where
    F: Fn(Request) -> R + 'static,
    R: Into<Reply>,
{
    #[inline]
    fn call(&self, request: Request) -> Reply {
        if request.is_whole() {
            return (self.function)(request).into();
        }
        let function = Rc::clone(&self.function);
        Reply::gather(request, move |request| function(request).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::StatusCode;

    #[test]
    fn a_service_is_object_safe() {
        let service: Box<dyn Service> = Box::new(service_fn(|_| Response::new(StatusCode::OK)));
        let response = service.call(Request::get("/")).try_response().unwrap();
        assert_eq!(response.status, StatusCode::OK);
    }

    #[test]
    fn a_reply_that_waits_is_not_there_yet() {
        assert!(
            Reply::later(std::future::pending())
                .try_response()
                .is_none()
        );
        let ready = Reply::later(async { Response::new(StatusCode::ACCEPTED) });
        assert_eq!(ready.try_response().unwrap().status, StatusCode::ACCEPTED);
    }

    #[test]
    fn both_kinds_of_reply_can_be_awaited() {
        let both = Reply::later(async {
            let now = Reply::from(Response::new(StatusCode::OK)).response().await;
            let later = Reply::later(async { Response::new(StatusCode::CREATED) });
            assert_eq!(now.status, StatusCode::OK);
            later.response().await
        });
        assert_eq!(both.try_response().unwrap().status, StatusCode::CREATED);
    }
}
