//! [`CatchPanic`]: makes a response of a handler's panic.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::http::StatusCode;
use crate::service::{Layer, Next, Reply, Request, Response};

/// Answers 500 in the place of a handler that panics, and keeps the connection.
///
/// Without it a panic costs the connection, after a 500: what the handler held may be half changed,
/// and the server cannot know. Use this where the handlers' state is known to bear it. The message
/// of the panic goes to standard error as ever, never to the client.
#[derive(Clone, Copy, Debug)]
pub struct CatchPanic {
    respond: fn() -> Response,
}

impl CatchPanic {
    /// Answers 500 without content.
    pub fn new() -> CatchPanic {
        CatchPanic {
            respond: || Response::new(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Answers with what `respond` makes.
    #[must_use]
    pub fn with_response(mut self, respond: fn() -> Response) -> CatchPanic {
        self.respond = respond;
        self
    }
}

impl Default for CatchPanic {
    fn default() -> CatchPanic {
        CatchPanic::new()
    }
}

impl Layer for CatchPanic {
    fn call(&self, request: Request, next: &Next) -> Reply {
        match catch_unwind(AssertUnwindSafe(|| next.call(request))) {
            Ok(Reply::Now(response)) => Reply::Now(response),
            Ok(Reply::Later(future)) => Reply::later(caught(future, self.respond)),
            Err(_) => Reply::Now((self.respond)()),
        }
    }
}

/// The response, or that of `respond` if polling or dropping the future panics.
async fn caught(
    future: Pin<Box<dyn Future<Output = Response>>>,
    respond: fn() -> Response,
) -> Response {
    let mut future = Some(future);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| poll_once(&mut future, context)));
        polled.unwrap_or_else(|_| Poll::Ready(respond()))
    })
    .await
}

/// Polls the future, and drops it when it has ended.
fn poll_once(
    slot: &mut Option<Pin<Box<dyn Future<Output = Response>>>>,
    context: &mut Context<'_>,
) -> Poll<Response> {
    let future = slot.as_mut().expect("polled until it has ended");
    let polled = future.as_mut().poll(context);
    if polled.is_ready() {
        *slot = None;
    }
    polled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Service, layered, service_fn};

    fn answer(service: impl Service) -> (u16, Vec<u8>) {
        let teapot = || Response::new(StatusCode::IM_A_TEAPOT).with_content("sorry");
        let layer = CatchPanic::new().with_response(teapot);
        let response = layered(layer, service).call(Request::get("/"));
        let response = response.try_response().unwrap();
        (response.status.as_u16(), response.content.as_bytes().into())
    }

    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("on drop");
        }
    }

    #[test]
    fn a_panic_of_either_kind_of_handler_is_a_response() {
        let sorry = (418, b"sorry".to_vec());
        assert_eq!(
            answer(service_fn(|_| -> Response { panic!("plain") })),
            sorry
        );
        let later = |_| Reply::later(async { panic!("async") });
        assert_eq!(answer(service_fn(later)), sorry);
        let on_drop = |_| {
            let state = PanicsOnDrop;
            Reply::later(async move {
                let _state = state;
                Response::new(StatusCode::OK)
            })
        };
        assert_eq!(answer(service_fn(on_drop)), sorry);
    }

    #[test]
    fn an_answer_without_a_panic_is_left_alone() {
        let plain = |_| Response::new(StatusCode::CREATED);
        assert_eq!(answer(service_fn(plain)).0, 201);
        let later = |_| Reply::later(async { Response::new(StatusCode::ACCEPTED) });
        assert_eq!(answer(service_fn(later)).0, 202);
    }

    #[test]
    fn by_default_a_panic_is_500_without_content() {
        let service = layered(
            CatchPanic::default(),
            service_fn(|_| -> Response { panic!() }),
        );
        let response = service.call(Request::get("/")).try_response().unwrap();
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(response.content.as_bytes().is_empty());
    }
}
