//! [`BlockingHandler`]: a plain function that may block, run on a thread that is no shard.
//!
//! What must hold: arguments are taken out of the request, and the answer is made a response, on
//! the shard; the function alone runs elsewhere, so only its arguments and what it returns need be
//! `Send`.

use std::sync::Arc;

use super::router::Endpoint;
use super::{FromRequest, IntoResponse, Rejection, Reply, Request, Response};
use crate::http::{HeaderValue, StatusCode, header};
use crate::mem::Pool;
use crate::runtime::{BlockingError, blocking};
use crate::sharded::Sharded;

/// A plain function that a [`Router`](super::Router) with the state `T` runs on a thread of its own
/// kind, since it may block: see [`Router::blocking`](super::Router::blocking).
///
/// - Its arguments, at most eight, are each [`FromRequest<T>`] and `Send`.
/// - It returns what is [`IntoResponse`] and `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking handler for a router whose state is `{T}`",
    label = "not a blocking handler",
    note = "a blocking handler is a plain function of at most eight arguments, each \
            `FromRequest<{T}>`, that returns what is `IntoResponse`",
    note = "it runs on another thread, so it, its arguments and what it returns are `Send`"
)]
pub trait BlockingHandler<T, Marker>: 'static {
    /// Takes the arguments out of the request and has the function called with them.
    fn handle(handler: &Arc<Self>, request: &Request, state: &Sharded<T>) -> Reply;
}

/// Implements [`BlockingHandler`] for functions with these arguments.
macro_rules! blocking_handler {
    ($($argument:ident $Argument:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> BlockingHandler<T, ($($Argument,)*)> for F
        where
            F: Fn($($Argument),*) -> R + Send + Sync + 'static,
            R: IntoResponse + Send + 'static,
            $($Argument: FromRequest<T> + Send + 'static,)*
        {
            fn handle(handler: &Arc<F>, request: &Request, state: &Sharded<T>) -> Reply {
                // Used also where there is no argument.
                let _ = state;
                $(
                    let $argument = match $Argument::from_request(request, state) {
                        Ok(value) => value,
                        Err(refusal) => return Reply::Now(refusal.into_response(request.pool())),
                    };
                )*
                let handler = Arc::clone(handler);
                let pool = request.pool().clone();
                Reply::later(async move {
                    let answer = blocking(move || handler($($argument),*)).await;
                    answer.into_response(&pool)
                })
            }
        }
    };
}

blocking_handler!();
blocking_handler!(a A);
blocking_handler!(a A, b B);
blocking_handler!(a A, b B, c C);
blocking_handler!(a A, b B, c C, d D);
blocking_handler!(a A, b B, c C, d D, e E);
blocking_handler!(a A, b B, c C, d D, e E, f G);
blocking_handler!(a A, b B, c C, d D, e E, f G, g H);
blocking_handler!(a A, b B, c C, d D, e E, f G, g H, h I);

/// Hides the type of a handler, which gets the content whole.
pub(super) fn endpoint<T: 'static, M, H: BlockingHandler<T, M>>(handler: H) -> Endpoint<T> {
    let handler = Arc::new(handler);
    Box::new(move |request, state| {
        if request.is_whole() {
            return H::handle(&handler, &request, state);
        }
        let (handler, state) = (Arc::clone(&handler), *state);
        Reply::gather(request, move |request| {
            H::handle(&handler, &request, &state)
        })
    })
}

/// 503 with `Retry-After` (RFC 9110 sections 15.6.4 and 10.2.3), and what to change.
impl IntoResponse for BlockingError {
    fn into_response(self, pool: &Pool) -> Response {
        let refusal = Rejection::new(StatusCode::SERVICE_UNAVAILABLE, self.to_string());
        refusal
            .into_response(pool)
            .with_field(header::RETRY_AFTER, HeaderValue::from_static("1"))
    }
}
