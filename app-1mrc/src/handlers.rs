//! The challenge's contract as plain functions: they carry the domain's messages between shards.
//!
//! What must hold: `POST /event` is answered with an empty body, since the official client does
//! not read one and would open a new connection per request; `GET /stats` has four members and no
//! more; a future that is dropped half-way leaves no figure wrong (see [`app_1mrc::union`]).

use std::time::{Duration, Instant};

use app_1mrc::live::Live;
use app_1mrc::metrics::Metrics;
use app_1mrc::stats::Stats;
use app_1mrc::tally::Report;
use sunstar::future::{TimedOut, with_timeout};
use sunstar::http::{HeaderName, HeaderValue, header};
use sunstar::runtime;
use sunstar::service::Bytes;
use sunstar::{Response, Router, ShardId, Sharded, StatusCode};

use crate::audience::{Audience, listen};
use crate::challenge::{Challenge, Refusal};
use crate::unstoppable::Unstoppable;

/// How long a question waits for all shards; then one counts as lost and there are no figures. One
/// that other programs keep from its CPU is late and not lost: seven seconds have been seen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The live page, whole: it loads nothing but `/live`.
const PAGE: &str = include_str!("page.html");
/// What the page may do, so that nothing foreign can run in it.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; img-src data:; connect-src 'self'";
/// For an event whose user finds no room.
const FULL: &str = r#"{"error": "no room for more users; POST /reset, or raise --user-memory"}"#;
/// For a question to which a shard has not answered in time.
const LOST: &str = r#"{"error": "a shard does not answer, and the rest's figures would be wrong"}"#;

/// The routes of the challenge; questions wait at most `patience` for all shards.
pub(crate) fn router(
    challenge: Sharded<Challenge>,
    audience: Sharded<Audience>,
    patience: Duration,
) -> Router<Challenge> {
    Router::with(challenge)
        .post("/event", post_event)
        .get("/stats", move |challenge| get_stats(challenge, patience))
        .get("/health", get_health)
        .post("/reset", move |challenge| post_reset(challenge, patience))
        .get("/metrics", move |challenge| {
            get_metrics(challenge, audience, patience)
        })
        .get("/live", move || listen(audience))
        .get("/", get_page)
}

/// Counts one event on the shard that received it.
fn post_event(challenge: Sharded<Challenge>, Bytes(body): Bytes) -> Response {
    match challenge.local(|challenge| challenge.record(&body)) {
        Ok(batch) => {
            if let Some(batch) = batch {
                ship(challenge, batch);
            }
            Response::new(StatusCode::OK)
        }
        Err(Refusal::Reject(reason)) => {
            let text = format!(r#"{{"error": "{}"}}"#, reason.message());
            json(StatusCode::BAD_REQUEST, text)
        }
        Err(Refusal::Full) => json(StatusCode::SERVICE_UNAVAILABLE, FULL.to_owned()),
    }
}

/// Answers with the figures of all shards together.
async fn get_stats(challenge: Sharded<Challenge>, patience: Duration) -> Response {
    let stats = with_timeout(patience, stats(challenge)).await;
    stats.map_or_else(
        |TimedOut| lost(),
        |stats| json(StatusCode::OK, stats.to_string()),
    )
}

/// Says that the server answers.
fn get_health() -> &'static str {
    "ok\n"
}

/// Forgets everything, on all shards, also when the client goes away meanwhile.
async fn post_reset(challenge: Sharded<Challenge>, patience: Duration) -> Response {
    let reset = async move {
        let epoch = challenge
            .on(ShardId::ZERO, |challenge| challenge.union().reset())
            .await;
        let tell = move |challenge: &mut Challenge| {
            challenge
                .tally()
                .into_iter()
                .for_each(|tally| tally.reset(epoch));
        };
        challenge.on_all(tell).await;
    };
    let reset = with_timeout(patience, Unstoppable::new(runtime::spawn(reset))).await;
    reset.map_or_else(|TimedOut| lost(), |()| Response::new(StatusCode::OK))
}

/// Answers with everything else that is worth knowing, as Prometheus text.
async fn get_metrics(
    challenge: Sharded<Challenge>,
    audience: Sharded<Audience>,
    patience: Duration,
) -> Response {
    let restored_count = |challenge: &mut Challenge| challenge.union().restored_count();
    let listeners = |audience: &mut Audience| audience.listener_count();
    let metrics = async {
        Metrics {
            stats: stats(challenge).await,
            restored_count: challenge.on(ShardId::ZERO, restored_count).await,
            driver: runtime::driver_name(),
            driver_features: runtime::driver_features(),
            shards: challenge.map(|challenge| challenge.figures()).await,
            listener_count: audience
                .map_reduce(listeners, |one, other| one + other)
                .await,
        }
    };
    let Ok(metrics) = with_timeout(patience, metrics).await else {
        return lost();
    };
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4");
    Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, media_type)
        .with_content(metrics.to_string())
}

/// What the live page shows of a server that has been running since `start`.
pub(crate) async fn live(challenge: Sharded<Challenge>, start: Instant) -> Live {
    Live {
        uptime: runtime::now().saturating_duration_since(start),
        stats: stats(challenge).await,
        shards: challenge.map(|challenge| challenge.figures()).await,
    }
}

/// Answers with the live page.
fn get_page() -> Response {
    let policy = HeaderName::from_static("content-security-policy");
    Response::new(StatusCode::OK)
        .with_field(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        )
        .with_field(policy, HeaderValue::from_static(PAGE_POLICY))
        .with_content(PAGE)
}

/// Asks all shards, again after a reset in between.
async fn stats(challenge: Sharded<Challenge>) -> Stats {
    loop {
        let ask = challenge
            .on(ShardId::ZERO, |challenge| challenge.union().ask())
            .await;
        let question = ask.clone();
        let reports = challenge
            .map(move |challenge| challenge.report(&question))
            .await;
        let answer = move |challenge: &mut Challenge| {
            let reports: Vec<Report> = reports.into_iter().flatten().collect();
            challenge.union().answer(&ask, &reports)
        };
        if let Some(stats) = challenge.on(ShardId::ZERO, answer).await {
            return stats;
        }
    }
}

/// Sends users ahead, so that no `/stats` has many to merge. One batch per shard is on its way.
#[cold]
fn ship(challenge: Sharded<Challenge>, batch: Report) {
    let shipment = async move {
        let merge = move |challenge: &mut Challenge| challenge.union().merge(&batch);
        let receipt = challenge.on(ShardId::ZERO, merge).await;
        let note = |challenge: &mut Challenge| {
            challenge
                .tally()
                .into_iter()
                .for_each(|tally| tally.shipped(receipt));
        };
        challenge.local(note);
    };
    runtime::spawn(shipment).detach();
}

fn lost() -> Response {
    json(StatusCode::SERVICE_UNAVAILABLE, LOST.to_owned())
}

fn json(status: StatusCode, text: String) -> Response {
    let media_type = HeaderValue::from_static("application/json");
    Response::new(status)
        .with_field(header::CONTENT_TYPE, media_type)
        .with_content(text)
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::{Barrier, mpsc};
    use std::task::Poll;

    use super::*;
    use crate::audience::Stopping;
    use crate::challenge::beginning;
    use sunstar::runtime::{Config, Placement, run_on_all_shards, yield_now};
    use sunstar::service::{Reply, Request, Service};

    const ZEROS: &str = r#"{"totalRequests":0,"uniqueUsers":0,"sum":0,"avg":0}"#;
    /// One event of 1.5 by the same user on either shard.
    const BOTH: &str = r#"{"totalRequests":2,"uniqueUsers":1,"sum":3,"avg":1.5}"#;

    fn router(challenge: Sharded<Challenge>, patience: Duration) -> Router<Challenge> {
        let audience = Sharded::start(Audience::new(Stopping::default()));
        super::router(challenge, audience, patience)
    }

    /// Runs `main` on two shards.
    fn on_two_shards<F: Future<Output = ()> + 'static>(
        main: impl Fn(ShardId, Sharded<Challenge>) -> F + Send + Sync + 'static,
    ) {
        let start = move |shard| {
            let counted = beginning(shard, 2, usize::MAX, None);
            main(
                shard,
                Sharded::start(Challenge::new(counted, mpsc::channel().0)),
            )
        };
        run_on_all_shards(&Config::new(Placement::unpinned(2)), start).unwrap();
    }

    /// Status and text of the answer to a request.
    async fn answer(router: &Router<Challenge>, request: Request) -> (u16, String) {
        let response = match router.call(request) {
            Reply::Now(response) => response,
            Reply::Later(future) => future.await,
        };
        let text = std::str::from_utf8(response.content.as_bytes()).unwrap();
        (response.status.as_u16(), text.to_owned())
    }

    async fn post(router: &Router<Challenge>, user: usize, value: f64) {
        let body = format!(r#"{{"userId":"user_{user}","value":{value}}}"#);
        let seen = answer(router, Request::post("/event").with_content(body)).await;
        assert_eq!(seen, (200, String::new()));
    }

    /// How often to ask for what is about to happen before giving up.
    const ASK_MAX: usize = 100_000;

    /// Asks until the stats are these: then the other shard has come as far.
    async fn wait_for(router: &Router<Challenge>, expected: &str) {
        let mut seen = String::new();
        for _ in 0..ASK_MAX {
            seen = answer(router, Request::get("/stats")).await.1;
            if seen == expected {
                return;
            }
        }
        panic!("{seen}, not {expected}");
    }

    #[test]
    fn events_of_two_shards_are_counted_together() {
        on_two_shards(async |shard, challenge| {
            let router = router(challenge, PATIENCE);
            for number in 0..100 {
                post(&router, shard.index() + number % 50, 0.1).await;
            }
            let here = challenge.local(|challenge| challenge.figures());
            assert_eq!(
                here.gauges.event_count, 100,
                "an event belongs to the shard that received it"
            );
            let expected = r#"{"totalRequests":200,"uniqueUsers":51,"sum":20,"avg":0.1}"#;
            wait_for(&router, expected).await;
        });
    }

    #[test]
    fn an_event_is_in_the_answer_that_is_asked_for_after_it() {
        on_two_shards(async |shard, challenge| {
            let router = router(challenge, PATIENCE);
            for number in 1..=1000 {
                post(&router, shard.index(), 1.0).await;
                let (_, text) = answer(&router, Request::get("/stats")).await;
                let total = text.split([':', ',']).nth(1).unwrap();
                assert!(total.parse::<usize>().unwrap() >= number, "{text}");
            }
        });
    }

    #[test]
    fn many_users_are_shipped_ahead_and_counted_once() {
        on_two_shards(async |_, challenge| {
            let router = router(challenge, PATIENCE);
            for number in 0..5000 {
                post(&router, number, 2.0).await;
                if number % 100 == 0 {
                    yield_now().await;
                }
            }
            let expected = r#"{"totalRequests":10000,"uniqueUsers":5000,"sum":20000,"avg":2}"#;
            wait_for(&router, expected).await;
        });
    }

    #[test]
    fn a_reset_reaches_every_shard() {
        on_two_shards(async |shard, challenge| {
            let router = router(challenge, PATIENCE);
            post(&router, 1, 1.5).await;
            if shard == ShardId::ZERO {
                wait_for(&router, BOTH).await;
                assert_eq!(answer(&router, Request::post("/reset")).await.0, 200);
                assert_eq!(answer(&router, Request::get("/stats")).await.1, ZEROS);
            }
            wait_for(&router, ZEROS).await;
        });
    }

    #[test]
    fn a_reset_goes_on_when_its_client_is_gone() {
        on_two_shards(async |shard, challenge| {
            let router = router(challenge, PATIENCE);
            post(&router, 1, 1.5).await;
            if shard == ShardId::ZERO {
                wait_for(&router, BOTH).await;
                let Reply::Later(mut reset) = router.call(Request::post("/reset")) else {
                    panic!("a reset asks other shards");
                };
                let poll =
                    std::future::poll_fn(|context| Poll::Ready(reset.as_mut().poll(context)));
                assert!(poll.await.is_pending());
                drop(reset);
            }
            let counts = |challenge: &mut Challenge| challenge.figures().gauges.event_count;
            for _ in 0..ASK_MAX {
                if challenge.map(counts).await == [0, 0] {
                    return;
                }
            }
            panic!("a shard has not been told");
        });
    }

    #[test]
    fn while_a_shard_does_not_answer_there_are_no_figures() {
        static ANSWERED: Barrier = Barrier::new(2);
        on_two_shards(async |shard, challenge| {
            if shard != ShardId::ZERO {
                ANSWERED.wait(); // and meanwhile the shard is stuck
                return;
            }
            let router = router(challenge, Duration::from_millis(20));
            post(&router, 1, 1.5).await;
            let questions = [
                Request::get("/stats"),
                Request::get("/metrics"),
                Request::post("/reset"),
            ];
            for question in questions {
                assert_eq!(answer(&router, question).await, (503, LOST.to_owned()));
            }
            ANSWERED.wait();
            wait_for(&router, ZEROS).await; // the reset has gone on
        });
    }

    #[test]
    fn a_bad_event_is_told_why_and_counts_nothing() {
        on_two_shards(async |_, challenge| {
            let router = router(challenge, PATIENCE);
            let request = Request::post("/event").with_content(r#"{"userId":"u"}"#);
            let expected = (400, r#"{"error": "value is missing"}"#.to_owned());
            assert_eq!(answer(&router, request).await, expected);
            assert_eq!(answer(&router, Request::get("/stats")).await.1, ZEROS);
            let metrics = answer(&router, Request::get("/metrics")).await.1;
            assert!(metrics.contains("\napp_1mrc_rejects_total{reason=\"value_missing\"} "));
        });
    }

    #[test]
    fn other_methods_and_paths_are_refused() {
        on_two_shards(async |_, challenge| {
            let router = router(challenge, PATIENCE);
            assert_eq!(answer(&router, Request::get("/health")).await.0, 200);
            assert_eq!(answer(&router, Request::get("/event")).await.0, 405);
            assert_eq!(answer(&router, Request::post("/stats")).await.0, 405);
            assert_eq!(answer(&router, Request::get("/reset")).await.0, 405);
            assert_eq!(answer(&router, Request::post("/")).await.0, 405);
            assert_eq!(answer(&router, Request::get("/nowhere")).await.0, 404);
        });
    }
}
