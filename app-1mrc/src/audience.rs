//! [`Audience`]: those who watch the live page, each over a stream of server-sent events (the HTML
//! standard, section 9.2); [`perform`]: gathers the figures for all of them.
//!
//! What must hold: nothing is gathered while nobody listens, and at most once in a [`PERIOD`]
//! however many do; a listener that is slow misses events and holds up nobody; a stream ends by
//! itself when the server begins to stop, so no stop waits for one.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use app_1mrc::live::Live;
use sunstar::future::with_timeout;
use sunstar::http::{HeaderValue, header};
use sunstar::runtime;
use sunstar::service::{Outflow, generate};
use sunstar::sync::{Broadcast, Condition, Entered, Gate, Receiver};
use sunstar::{Response, ShardId, Sharded, StatusCode};

/// How often there is an event.
const PERIOD: Duration = Duration::from_secs(1);
/// What a stream begins with: when to ask again, should it break off.
const RETRY: &str = "retry: 2000\n\n";

/// The listeners of one shard; on the first one also the call that all listeners send there.
pub(crate) struct Audience {
    news: Broadcast<Rc<str>>,
    /// The newest event, and when it was gathered.
    newest: Option<(Instant, Rc<str>)>,
    listeners: Gate,
    /// Whether somebody has begun to listen who may not have been counted yet.
    is_called: bool,
    call: Condition,
    stopping: Stopping,
}

/// Whether the server stops. Set before the server is told; it then polls every stream it has, so
/// that none needs another way to hear of it.
#[derive(Clone, Default)]
pub(crate) struct Stopping(Arc<AtomicBool>);

impl Stopping {
    /// Says so, once and for all.
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// What `future` gives; `None`, and it is dropped, once the server stops.
    async fn before<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.has_begun() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

impl Audience {
    /// An audience of nobody.
    pub(crate) fn new(stopping: Stopping) -> Audience {
        Audience {
            news: Broadcast::new(1),
            newest: None,
            listeners: Gate::new(),
            is_called: false,
            call: Condition::new(),
            stopping,
        }
    }

    /// How many listen.
    pub(crate) fn listener_count(&self) -> usize {
        self.listeners.count()
    }

    /// Takes in one who listens to all events from now on, and begins with the newest unless the
    /// next one is due.
    fn enter(&self, now: Instant) -> (Entered, Option<Rc<str>>, Receiver<Rc<str>>) {
        let seat = self.listeners.enter().expect("nobody closes it");
        let newest = self.newest.as_ref();
        let recent = newest.filter(|(gathered, _)| now < *gathered + PERIOD);
        let recent = recent.map(|(_, event)| Rc::clone(event));
        (seat, recent, self.news.subscribe())
    }

    /// Gives an event to all listeners of this shard, and tells how many they are.
    fn publish(&mut self, gathered: Instant, event: &str) -> usize {
        let event: Rc<str> = event.into();
        self.newest = Some((gathered, Rc::clone(&event)));
        self.news.send(event);
        self.listener_count()
    }

    fn call(&mut self) {
        self.is_called = true;
        self.call.signal();
    }
}

/// Answers with an event a second until the peer goes or the server stops.
pub(crate) fn listen(audience: Sharded<Audience>) -> Response {
    let stopping = audience.local(|audience| audience.stopping.clone());
    let events = generate(async move |out: Outflow| {
        stopping.before(send_events(audience, out)).await;
        Ok::<_, Infallible>(())
    });
    let media_type = HeaderValue::from_static("text/event-stream");
    Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, media_type)
        .with_field(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with_stream(events)
}

async fn send_events(audience: Sharded<Audience>, mut out: Outflow) {
    out.send(RETRY).await;
    let now = runtime::now();
    let (_seat, recent, mut news) = audience.local(|audience| audience.enter(now));
    audience.on(ShardId::ZERO, Audience::call).await;
    if let Some(event) = recent {
        out.send(event.as_bytes().to_vec()).await;
    }
    while let Ok(event) = news.next().await {
        // What this listener was too slow for is out of date by now.
        let Ok(event) = event else { continue };
        out.send(event.as_bytes().to_vec()).await;
    }
}

/// Gathers the figures about once a [`PERIOD`] while anybody listens, for ever. Runs on the first
/// shard.
///
/// If a shard does not answer within `patience` there is no event: never the figures of the rest.
pub(crate) async fn perform<F>(
    audience: Sharded<Audience>,
    patience: Duration,
    gather: impl Fn() -> F,
) where
    F: Future<Output = Live>,
{
    loop {
        called(audience).await;
        let begun = runtime::now();
        let show = async {
            let event: Arc<str> = format!("data: {}\n\n", gather().await).into();
            let publish = move |audience: &mut Audience| audience.publish(begun, &event);
            audience.map_reduce(publish, |one, other| one + other).await
        };
        // Who does not know whether anybody listens has to go on.
        let is_heard = with_timeout(patience, show).await != Ok(0);
        runtime::sleep_until(begun + PERIOD).await;
        audience.local(|audience| audience.is_called |= is_heard);
    }
}

/// Waits until somebody listens.
async fn called(audience: Sharded<Audience>) {
    let call = audience.local(|audience| audience.call.clone());
    while !audience.local(|audience| std::mem::take(&mut audience.is_called)) {
        call.wait().await.expect("nobody closes it");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Barrier;
    use std::task::{Context, Waker};

    use super::*;
    use app_1mrc::stats::Stats;
    use sunstar::future::TimedOut;
    use sunstar::runtime::{Config, Placement, run_on_all_shards, yield_now};
    use sunstar::service::{Content, Piece, Streamed};

    /// Runs `main` on so many shards.
    fn on_shards<F: Future<Output = ()> + 'static>(
        count: usize,
        main: impl Fn(ShardId, Sharded<Audience>, Stopping) -> F + Send + Sync + 'static,
    ) {
        let start = move |shard| {
            let stopping = Stopping::default();
            let audience = Sharded::start(Audience::new(stopping.clone()));
            main(shard, audience, stopping)
        };
        run_on_all_shards(&Config::new(Placement::unpinned(count)), start).unwrap();
    }

    fn open(audience: Sharded<Audience>) -> Streamed {
        match listen(audience).content {
            Content::Stream(stream) => stream,
            _ => panic!("events come piece by piece"),
        }
    }

    fn text(piece: Option<Result<Piece, Box<dyn std::error::Error>>>) -> Option<String> {
        match piece?.expect("nothing can go wrong") {
            Piece::Data(data) => Some(String::from_utf8(data.to_vec()).unwrap()),
            Piece::Trailers(_) => panic!("events have no trailers"),
        }
    }

    async fn next(stream: &mut Streamed) -> Option<String> {
        text(poll_fn(|context| stream.poll_piece(context)).await)
    }

    /// The next piece, if it is there.
    fn next_now(stream: &mut Streamed) -> Poll<Option<String>> {
        let mut context = Context::from_waker(Waker::noop());
        stream.poll_piece(&mut context).map(text)
    }

    /// Figures that can be told from others.
    fn numbered(number: u64) -> Live {
        Live {
            uptime: Duration::from_secs(number),
            stats: Stats::default(),
            shards: Vec::new(),
        }
    }

    fn event(number: u64) -> String {
        format!("data: {}\n\n", numbered(number))
    }

    /// Gathers numbers, and counts how often.
    fn count(gathered: &Rc<Cell<u64>>) -> impl Fn() -> std::future::Ready<Live> + use<> {
        let gathered = Rc::clone(gathered);
        move || {
            gathered.set(gathered.get() + 1);
            std::future::ready(numbered(gathered.get()))
        }
    }

    #[test]
    fn all_listeners_share_a_gathering_and_without_any_there_is_none() {
        on_shards(1, async |_, audience, _| {
            let gathered = Rc::new(Cell::new(0));
            runtime::spawn(perform(audience, PERIOD, count(&gathered))).detach();
            (0..100).for_each(|_| drop(open(audience)));
            yield_now().await;
            assert_eq!(gathered.get(), 0);
            let mut listeners = [open(audience), open(audience)];
            for number in 0..3 {
                for listener in &mut listeners {
                    let expected = if number == 0 {
                        RETRY.to_owned()
                    } else {
                        event(number)
                    };
                    assert_eq!(next(listener).await, Some(expected));
                }
                assert_eq!(gathered.get(), number);
            }
            // Whoever comes within the second gets what the others got, and no gathering.
            for _ in 0..100 {
                let mut late = open(audience);
                assert_eq!(next(&mut late).await.as_deref(), Some(RETRY));
                assert_eq!(next(&mut late).await, Some(event(2)));
            }
            assert_eq!(audience.local(|audience| audience.listener_count()), 2);
            drop(listeners);
            // One more at most, which learns that nobody listens any more.
            runtime::sleep(PERIOD * 3).await;
            assert!(gathered.get() <= 3, "{}", gathered.get());
        });
    }

    #[test]
    fn listeners_of_another_shard_get_the_same_events() {
        on_shards(2, async |shard, audience, _| {
            if shard == ShardId::ZERO {
                let gathered = Rc::default();
                runtime::spawn(perform(audience, PERIOD, count(&gathered))).detach();
                while gathered.get() < 2 {
                    runtime::sleep(PERIOD / 100).await;
                }
                return;
            }
            let mut listener = open(audience);
            assert_eq!(next(&mut listener).await.as_deref(), Some(RETRY));
            assert_eq!(next(&mut listener).await, Some(event(1)));
            assert_eq!(next(&mut listener).await, Some(event(2)));
        });
    }

    #[test]
    fn a_slow_listener_gets_the_newest_event_and_then_waits() {
        on_shards(1, async |_, audience, _| {
            let mut listener = open(audience);
            assert_eq!(next(&mut listener).await.as_deref(), Some(RETRY));
            assert_eq!(next_now(&mut listener), Poll::Pending);
            for number in ["1", "2", "3"] {
                audience.local(|audience| audience.publish(runtime::now(), number));
            }
            assert_eq!(next_now(&mut listener), Poll::Ready(Some("3".to_owned())));
            assert_eq!(next_now(&mut listener), Poll::Pending);
        });
    }

    #[test]
    fn a_stream_that_waits_ends_when_it_is_polled_in_a_stop() {
        on_shards(1, async |_, audience, stopping| {
            let mut listener = open(audience);
            assert_eq!(next(&mut listener).await.as_deref(), Some(RETRY));
            assert_eq!(next_now(&mut listener), Poll::Pending);
            stopping.begin();
            assert_eq!(next_now(&mut listener), Poll::Ready(None));
            assert_eq!(next_now(&mut open(audience)), Poll::Ready(None));
            assert_eq!(audience.local(|audience| audience.listener_count()), 0);
        });
    }

    #[test]
    fn while_a_shard_does_not_answer_there_is_no_event() {
        static ASKED: Barrier = Barrier::new(2);
        on_shards(2, async |shard, audience, _| {
            if shard != ShardId::ZERO {
                ASKED.wait(); // and meanwhile the shard is stuck
                return;
            }
            let gather = move || async move {
                audience.on_others(|_| ()).await;
                numbered(1)
            };
            let patience = Duration::from_millis(20);
            runtime::spawn(perform(audience, patience, gather)).detach();
            let mut listener = open(audience);
            assert_eq!(next(&mut listener).await.as_deref(), Some(RETRY));
            let told = with_timeout(patience * 3, next(&mut listener)).await;
            assert_eq!(told, Err(TimedOut));
            ASKED.wait();
            assert_eq!(next(&mut listener).await, Some(event(1)));
        });
    }
}
