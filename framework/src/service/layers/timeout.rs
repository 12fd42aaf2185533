//! [`Timeout`]: bounds how long a handler may take.

use std::future::Future;
use std::time::Duration;

use crate::future::with_timeout;
use crate::http::StatusCode;
use crate::service::{Layer, Next, Reply, Request, Response};

/// Answers 503 (RFC 9110 section 15.6.4) in the place of a handler that takes longer than a
/// timeout, and drops the handler's future where it waits.
///
/// A plain function is not interrupted: nothing else runs while it runs. Costs one allocation and
/// one timer for an `async` handler, nothing for a plain one.
///
/// # Panics
/// Outside of every shard, when an `async` handler is polled.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    timeout: Duration,
}

impl Timeout {
    /// Makes one of `timeout`, counted from the turn in which the handler is called.
    pub fn new(timeout: Duration) -> Timeout {
        Timeout { timeout }
    }
}

impl Layer for Timeout {
    #[inline]
    fn call(&self, request: Request, next: &Next) -> Reply {
        match next.call(request) {
            Reply::Now(response) => Reply::Now(response),
            Reply::Later(future) => Reply::later(bounded(future, self.timeout)),
        }
    }
}

async fn bounded(future: impl Future<Output = Response>, timeout: Duration) -> Response {
    let response = with_timeout(timeout, future).await;
    response.unwrap_or_else(|_| Response::new(StatusCode::SERVICE_UNAVAILABLE))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::runtime::{self, Config, Placement, run_on_all_shards};
    use crate::service::{Service, layered, service_fn};

    /// The status of what a service answers behind a timeout, on a shard.
    fn status_of<S: Service>(
        timeout: Duration,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) -> u16 {
        let config = Config::new(Placement::unpinned(1));
        let statuses = run_on_all_shards(&config, move |_| {
            let service = layered(Timeout::new(timeout), make());
            async move {
                let response = service.call(Request::get("/")).response().await;
                response.status.as_u16()
            }
        });
        statuses.unwrap()[0]
    }

    /// Notes that it was dropped.
    struct Guard(Arc<AtomicBool>);

    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_handler_that_never_ends_is_answered_for_and_dropped() {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        let never = move || {
            let flag = Arc::clone(&flag);
            service_fn(move |_| {
                let guard = Guard(Arc::clone(&flag));
                Reply::later(async move {
                    let _guard = &guard;
                    std::future::pending::<Response>().await
                })
            })
        };
        assert_eq!(status_of(Duration::from_millis(1), never), 503);
        assert!(dropped.load(Ordering::Relaxed));
    }

    #[test]
    fn a_handler_that_is_in_time_keeps_its_answer() {
        let yields = || {
            service_fn(|_| {
                Reply::later(async {
                    runtime::yield_now().await;
                    Response::new(StatusCode::CREATED)
                })
            })
        };
        assert_eq!(status_of(Duration::from_hours(1), yields), 201);
    }

    #[test]
    fn an_answer_that_is_there_wins_against_a_timeout_of_nothing() {
        let ready = || service_fn(|_| Reply::later(async { Response::new(StatusCode::CREATED) }));
        assert_eq!(status_of(Duration::ZERO, ready), 201);
        let plain = service_fn(|_| Response::new(StatusCode::OK));
        let reply = layered(Timeout::new(Duration::ZERO), plain).call(Request::get("/"));
        assert!(
            matches!(reply, Reply::Now(_)),
            "no timer, so no shard either"
        );
    }
}
