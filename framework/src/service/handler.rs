//! [`Handler`]: a function that answers requests; plain, `async`, or a closure of either kind.
//!
//! What must hold: a plain function costs neither future nor box; an `async` one costs one box, and
//! none if an argument is refused. `Marker` tells the compiler which kind a function is, and only
//! that: users never write it.

use std::future::Future;

use super::{FromRequest, IntoResponse, Reply, Request};
use crate::mem::Pool;
use crate::sharded::Sharded;

/// A function that a [`Router`](super::Router) with the state `T` can call.
///
/// - Its arguments, at most eight, are each [`FromRequest<T>`].
/// - A plain function may take `&Request` before them.
/// - Either kind may take the [`Request`] itself behind them.
/// - It returns what is [`IntoResponse`].
///
/// # Examples
/// A handler that takes the state of another router does not compile:
/// ```compile_fail,E0277
/// use sunstar::service::Router;
/// use sunstar::Sharded;
///
/// fn count(tally: Sharded<u64>) {}
///
/// let router = Router::new("not a number").get("/", count);
/// ```
/// ```text
/// error[E0277]: `fn(Sharded<u64>) {count}` is not a handler for a router whose state is `&str`
///   = note: a handler is a function of at most eight arguments, each `FromRequest<&str>`, that
///           returns what is `IntoResponse`
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler for a router whose state is `{T}`",
    label = "not a handler",
    note = "a handler is a function of at most eight arguments, each `FromRequest<{T}>`, that \
            returns what is `IntoResponse`",
    note = "a plain function may take `&Request` first; any may take `Request` last"
)]
pub trait Handler<T, Marker>: 'static {
    /// Whether one of its arguments reads the content by itself.
    const STREAMS: bool;

    /// Takes the arguments out of the request and calls the function with them.
    fn handle(&self, request: Request, state: &Sharded<T>) -> Reply;
}

/// Marks a plain function.
pub enum Plain {}
/// Marks a plain function whose first argument is `&Request`.
pub enum PlainBorrowing {}
/// Marks a plain function whose last argument is `Request`.
pub enum PlainOwning {}
/// Marks an `async` function.
pub enum Async {}
/// Marks an `async` function whose last argument is `Request`.
pub enum AsyncOwning {}

/// Takes each argument out of the request; the first refusal is the answer.
macro_rules! take {
    ($request:ident, $state:ident $(, $argument:ident $Argument:ident)*) => {
        // Used also where there is no argument.
        let _ = $state;
        $(
            let $argument = match $Argument::from_request(&$request, $state) {
                Ok(value) => value,
                Err(refusal) => return Reply::Now(refusal.into_response($request.pool())),
            };
        )*
    };
}

/// Implements [`Handler`] in all five kinds for functions with these arguments.
macro_rules! handler {
    ($($argument:ident $Argument:ident),*) => {
        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> Handler<T, (Plain, $($Argument),*)> for F
        where
            F: Fn($($Argument),*) -> R + 'static,
            R: IntoResponse,
            $($Argument: FromRequest<T>,)*
        {
            const STREAMS: bool = false $(|| $Argument::STREAMS)*;

            // As a call it writes a reply piece by piece, and the move behind it has to wait.
            #[inline(always)]
            fn handle(&self, request: Request, state: &Sharded<T>) -> Reply {
                take!(request, state $(, $argument $Argument)*);
                Reply::Now(self($($argument),*).into_response(request.pool()))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> Handler<T, (PlainBorrowing, $($Argument),*)> for F
        where
            F: Fn(&Request $(, $Argument)*) -> R + 'static,
            R: IntoResponse,
            $($Argument: FromRequest<T>,)*
        {
            const STREAMS: bool = false $(|| $Argument::STREAMS)*;

            #[inline]
            fn handle(&self, request: Request, state: &Sharded<T>) -> Reply {
                take!(request, state $(, $argument $Argument)*);
                Reply::Now(self(&request $(, $argument)*).into_response(request.pool()))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> Handler<T, (PlainOwning, $($Argument),*)> for F
        where
            F: Fn($($Argument,)* Request) -> R + 'static,
            R: IntoResponse,
            $($Argument: FromRequest<T>,)*
        {
            const STREAMS: bool = false $(|| $Argument::STREAMS)*;

            #[inline]
            fn handle(&self, request: Request, state: &Sharded<T>) -> Reply {
                take!(request, state $(, $argument $Argument)*);
                let pool = request.pool().clone();
                Reply::Now(self($($argument,)* request).into_response(&pool))
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> Handler<T, (Async, $($Argument),*)> for F
        where
            F: Fn($($Argument),*) -> R + 'static,
            R: Future<Output: IntoResponse> + 'static,
            $($Argument: FromRequest<T>,)*
        {
            const STREAMS: bool = false $(|| $Argument::STREAMS)*;

            #[inline]
            fn handle(&self, request: Request, state: &Sharded<T>) -> Reply {
                take!(request, state $(, $argument $Argument)*);
                later(self($($argument),*), request.pool())
            }
        }

        #[diagnostic::do_not_recommend]
        impl<T, F, R, $($Argument),*> Handler<T, (AsyncOwning, $($Argument),*)> for F
        where
            F: Fn($($Argument,)* Request) -> R + 'static,
            R: Future<Output: IntoResponse> + 'static,
            $($Argument: FromRequest<T>,)*
        {
            const STREAMS: bool = false $(|| $Argument::STREAMS)*;

            #[inline]
            fn handle(&self, request: Request, state: &Sharded<T>) -> Reply {
                take!(request, state $(, $argument $Argument)*);
                let pool = request.pool().clone();
                later(self($($argument,)* request), &pool)
            }
        }
    };
}

handler!();
handler!(a A);
handler!(a A, b B);
handler!(a A, b B, c C);
handler!(a A, b B, c C, d D);
handler!(a A, b B, c C, d D, e E);
handler!(a A, b B, c C, d D, e E, f G);
handler!(a A, b B, c C, d D, e E, f G, g H);
handler!(a A, b B, c C, d D, e E, f G, g H, h I);

/// The reply of an `async` function: the one box it costs.
#[inline]
fn later(future: impl Future<Output: IntoResponse> + 'static, pool: &Pool) -> Reply {
    let pool = pool.clone();
    Reply::later(async move { future.await.into_response(&pool) })
}

#[cfg(test)]
#[expect(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    clippy::unnecessary_wraps,
    reason = "handlers take their arguments by value, and these are the cases to try"
)]
mod tests {
    use super::*;
    use crate::http::{Method, StatusCode};
    use crate::mem::Buf;
    use crate::service::{Bytes, Content};

    /// Calls a handler for the state 7 as the router would, and tells the kind of its reply.
    fn call<M>(handler: impl Handler<u32, M>) -> (&'static str, u16, String) {
        let request = Request::post("/path").with_content("content");
        let reply = handler.handle(request, &Sharded::single(7));
        let kind = match reply {
            Reply::Now(_) => "now",
            Reply::Later(_) => "later",
        };
        let response = reply.try_response().expect("nothing here waits");
        let content = String::from_utf8(response.content.as_bytes().to_vec()).unwrap();
        (kind, response.status.as_u16(), content)
    }

    fn expected(kind: &'static str, content: &str) -> (&'static str, u16, String) {
        (kind, 200, content.to_owned())
    }

    /// Refuses always.
    struct Never;

    impl<T> FromRequest<T> for Never {
        type Rejection = StatusCode;

        fn from_request(_: &Request, _: &Sharded<T>) -> Result<Never, StatusCode> {
            Err(StatusCode::IM_A_TEAPOT)
        }
    }

    #[test]
    fn a_plain_function_answers_now() {
        fn none() {}
        fn state(state: Sharded<u32>) -> String {
            state.local(|state| state.to_string())
        }
        fn result(method: Method) -> Result<String, StatusCode> {
            Ok(method.to_string())
        }
        assert_eq!(call(none), expected("now", ""));
        assert_eq!(call(state), expected("now", "7"));
        assert_eq!(call(result), expected("now", "POST"));
    }

    #[test]
    fn an_async_function_answers_later() {
        async fn none() {}
        async fn state(state: Sharded<u32>, Bytes(content): Bytes) -> (StatusCode, Buf) {
            assert_eq!(state.local(|state| *state), 7);
            (StatusCode::OK, content)
        }
        assert_eq!(call(none), expected("later", ""));
        assert_eq!(call(state), expected("later", "content"));
    }

    #[test]
    fn closures_of_both_kinds_are_handlers() {
        let greeting = "hello";
        assert_eq!(call(move || greeting), expected("now", "hello"));
        assert_eq!(
            call(|method: Method| method.to_string()),
            expected("now", "POST")
        );
        assert_eq!(
            call(move || async move { greeting }),
            expected("later", "hello")
        );
        assert_eq!(
            call(|method: Method| async move { method.to_string() }),
            expected("later", "POST")
        );
        assert_eq!(
            call(async |method: Method| method.to_string()),
            expected("later", "POST")
        );
    }

    #[test]
    fn a_plain_function_may_borrow_the_request() {
        fn only(request: &Request) -> String {
            request.path().to_owned()
        }
        fn first(request: &Request, Bytes(content): Bytes, state: Sharded<u32>) -> String {
            let state = state.local(|state| *state);
            format!("{} {} {state}", request.path(), content.escape_ascii())
        }
        assert_eq!(call(only), expected("now", "/path"));
        assert_eq!(call(first), expected("now", "/path content 7"));
        assert_eq!(
            call(|request: &Request| request.path().to_owned()),
            expected("now", "/path")
        );
    }

    #[test]
    fn both_kinds_may_own_the_request() {
        fn plain(request: Request) -> Buf {
            request.content().clone()
        }
        async fn later(method: Method, request: Request) -> String {
            format!("{method} {}", request.path())
        }
        assert_eq!(call(plain), expected("now", "content"));
        assert_eq!(call(later), expected("later", "POST /path"));
    }

    #[test]
    fn eight_arguments_are_taken_in_order() {
        type M = Method;
        fn all(_: M, _: M, _: M, _: M, _: M, _: M, _: M, last: Bytes) -> Buf {
            last.0
        }
        async fn later(_: M, _: M, _: M, _: M, _: M, _: M, _: M, _: M, last: Request) -> Buf {
            last.content().clone()
        }
        assert_eq!(call(all), expected("now", "content"));
        assert_eq!(call(later), expected("later", "content"));
    }

    #[test]
    fn a_refused_argument_is_the_answer_and_the_function_is_not_called() {
        fn plain(_: Never) {
            unreachable!("refused before");
        }
        async fn later(_: Never, _: Request) {
            unreachable!("refused before");
        }
        assert_eq!(call(plain), ("now", 418, String::new()));
        assert_eq!(call(later), ("now", 418, String::new()));
    }

    #[test]
    fn an_async_handler_does_not_keep_the_request_it_did_not_ask_for() {
        async fn nothing() {
            std::future::pending::<()>().await;
        }
        let request = Request::get("/");
        let pool = request.pool().clone();
        let reply = Handler::<u32, _>::handle(&nothing, request, &Sharded::single(7));
        assert_eq!(pool.outstanding(), 0);
        assert!(reply.try_response().is_none());
    }

    #[test]
    fn a_handler_may_return_what_it_was_not_asked_for() {
        fn empty() -> Option<&'static str> {
            None
        }
        let reply = Handler::<u32, _>::handle(&empty, Request::get("/"), &Sharded::single(7));
        let response = reply.try_response().unwrap();
        assert_eq!(response.status, StatusCode::NOT_FOUND);
        assert!(matches!(response.content, Content::Empty));
    }
}
