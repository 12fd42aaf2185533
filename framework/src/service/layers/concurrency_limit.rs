//! [`ConcurrencyLimit`]: bounds how many requests are under way on a shard.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::http::{HeaderValue, StatusCode, header};
use crate::service::{Layer, Next, Reply, Request, Response};

/// Answers 503 with `Retry-After` (RFC 9110 sections 15.6.4 and 10.2.3) while as many requests as
/// allowed are under way behind it, on this shard.
///
/// A request is under way from its call until its response is made; one to a plain function is
/// never under way when the next one comes.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    count_max: usize,
    retry_after: HeaderValue,
    count: Rc<Cell<usize>>,
}

impl ConcurrencyLimit {
    /// Makes a limit of `count_max` requests per shard; clients are asked to come again in 1 s.
    ///
    /// # Panics
    /// If it is 0: nothing would ever be answered.
    pub fn new(count_max: usize) -> ConcurrencyLimit {
        assert!(count_max > 0, "a concurrency limit is at least 1");
        ConcurrencyLimit {
            count_max,
            retry_after: HeaderValue::from_static("1"),
            count: Rc::default(),
        }
    }

    /// Asks clients to come again after `delay`, rounded up to seconds.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> ConcurrencyLimit {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        self.retry_after = HeaderValue::from(seconds);
        self
    }

    fn refusal(&self) -> Response {
        Response::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_field(header::RETRY_AFTER, self.retry_after.clone())
    }
}

impl Layer for ConcurrencyLimit {
    fn call(&self, request: Request, next: &Next) -> Reply {
        if self.count.get() >= self.count_max {
            return self.refusal().into();
        }
        let place = Place::take(&self.count);
        match next.call(request) {
            Reply::Now(response) => Reply::Now(response),
            Reply::Later(future) => Reply::later(async move {
                let _place = place;
                future.await
            }),
        }
    }
}

/// One request under way, until dropped.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(count: &Rc<Cell<usize>>) -> Place {
        count.set(count.get() + 1);
        Place(Rc::clone(count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Service, layered, service_fn};

    fn status(reply: Reply) -> u16 {
        reply.try_response().unwrap().status.as_u16()
    }

    fn waiting(limit: ConcurrencyLimit) -> impl Service {
        layered(limit, service_fn(|_| Reply::later(std::future::pending())))
    }

    #[test]
    fn as_many_as_allowed_are_under_way_and_one_more_is_refused() {
        let service = waiting(ConcurrencyLimit::new(2));
        let first = service.call(Request::get("/"));
        let second = service.call(Request::get("/"));
        assert!(matches!(
            (&first, &second),
            (Reply::Later(_), Reply::Later(_))
        ));
        let refused = service.call(Request::get("/")).try_response().unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.fields.get(&header::RETRY_AFTER), Some(&b"1"[..]));
        drop(first);
        let third = service.call(Request::get("/"));
        assert!(matches!(third, Reply::Later(_)), "a dropped one makes room");
    }

    #[test]
    fn one_that_has_ended_or_panicked_makes_room() {
        let limit = ConcurrencyLimit::new(1);
        let ready = |_| Reply::later(async { Response::new(StatusCode::OK) });
        let service = layered(limit.clone(), service_fn(ready));
        for _ in 0..3 {
            assert_eq!(status(service.call(Request::get("/"))), 200);
        }
        let panics = layered(limit.clone(), service_fn(|_| -> Response { panic!("no") }));
        for _ in 0..3 {
            let call = std::panic::AssertUnwindSafe(|| panics.call(Request::get("/")));
            assert!(std::panic::catch_unwind(call).is_err());
        }
        assert_eq!(limit.count.get(), 0);
    }

    #[test]
    fn the_delay_is_rounded_up_to_seconds() {
        let limit = ConcurrencyLimit::new(1).with_retry_after(Duration::from_millis(2_001));
        assert_eq!(limit.retry_after, "3");
        let limit = limit.with_retry_after(Duration::from_secs(2));
        assert_eq!(limit.retry_after, "2");
    }

    #[test]
    #[should_panic(expected = "at least 1")]
    fn a_limit_of_nothing_is_refused() {
        let _ = ConcurrencyLimit::new(0);
    }
}
