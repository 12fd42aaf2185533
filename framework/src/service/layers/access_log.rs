//! [`AccessLog`]: one event of `tracing` per answer.

use std::time::{Duration, Instant};

use tracing::Level;

use super::request_id::X_REQUEST_ID;
use crate::http::Head;
use crate::runtime;
use crate::service::{Layer, Next, Reply, Request, Response};

/// The target of the events, to be named in filters.
const TARGET: &str = "sunstar::access";

/// Tells `tracing` of every answer: one event of level INFO with the target `sunstar::access` and
/// the fields `method`, `path`, `status`, `content_len` (bytes of the response), `elapsed_us` and,
/// if the request has one, `request_id`.
///
/// The query is left out, as it may hold what belongs in no log. The time is that of the shard's
/// clock, which stands still within a turn: a plain function takes 0. Costs nothing if nobody
/// listens to the target.
///
/// Put it outside of the layers whose answers it is to tell of, and inside of
/// [`RequestId`](super::RequestId).
///
/// # Panics
/// Outside of every shard, if somebody listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

impl AccessLog {
    /// Makes one.
    pub fn new() -> AccessLog {
        AccessLog
    }
}

impl Layer for AccessLog {
    fn call(&self, request: Request, next: &Next) -> Reply {
        if !tracing::enabled!(target: TARGET, Level::INFO) {
            return next.call(request);
        }
        let (head, start) = (request.head().clone(), runtime::now());
        next.call(request).map(move |response| {
            tell(&head, &response, elapsed(start));
            response
        })
    }
}

fn elapsed(start: Instant) -> Duration {
    runtime::now().saturating_duration_since(start)
}

fn tell(head: &Head, response: &Response, elapsed: Duration) {
    let id = head
        .field(&X_REQUEST_ID)
        .map(|id| id.escape_ascii().to_string());
    tracing::info!(
        target: TARGET,
        method = head.method().as_str(),
        path = head.path(),
        status = response.status.as_u16(),
        content_len = response.content.as_bytes().len(),
        elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        request_id = id.as_deref(),
    );
}

#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Write};
    use std::sync::mpsc::{Sender, channel};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::http::StatusCode;
    use crate::runtime::{Config, Placement, run_on_all_shards};
    use crate::service::{Service, layered, service_fn};

    /// Writes down each event as `name=value` pairs.
    struct Listener(Sender<String>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, "{field}={value:?} ").unwrap();
        }
    }

    impl Subscriber for Listener {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == TARGET
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.send(line.0).unwrap();
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn every_answer_is_one_event_without_the_query() {
        let config = Config::new(Placement::unpinned(1));
        let lines = run_on_all_shards(&config, |_| async {
            let (sender, lines) = channel();
            let _listening = tracing::subscriber::set_default(Listener(sender));
            let answer = |request: Request| match request.path() {
                "/later" => Reply::later(async { Response::new(StatusCode::CREATED) }),
                _ => Response::new(StatusCode::OK).with_content("12345").into(),
            };
            let service = layered(AccessLog::new(), service_fn(answer));
            let now = Request::get("/a?secret").with_field(X_REQUEST_ID, "7");
            service.call(now).response().await;
            service.call(Request::post("/later")).response().await;
            lines.try_iter().collect::<Vec<_>>()
        });
        let lines = lines.unwrap().remove(0);
        let first = "method=\"GET\" path=\"/a\" status=200 content_len=5 elapsed_us=0 \
                     request_id=\"7\" ";
        assert_eq!(lines[0], first);
        let second = "method=\"POST\" path=\"/later\" status=201 content_len=0 elapsed_us=";
        assert!(lines[1].starts_with(second), "{}", lines[1]);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn with_nobody_listening_the_clock_is_not_read() {
        let service = service_fn(|_| Response::new(StatusCode::OK));
        let reply = layered(AccessLog::new(), service).call(Request::get("/"));
        assert_eq!(
            reply.try_response().unwrap().status,
            200,
            "and needs no shard"
        );
    }
}
