//! After warm-up a plain handler's request allocates nothing, from socket to socket.
#![expect(unsafe_code, reason = "a counting allocator is one")]
#![expect(clippy::unwrap_used, reason = "a test may fail by unwrapping")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use sunstar::http::{HeaderValue, StatusCode, header};
use sunstar::runtime::{self, Placement, run_on_all_shards, spawn, yield_now};
use sunstar::server::Config;
use sunstar::service::layers::{ConcurrencyLimit, ContentLimit, Timeout};
use sunstar::service::{Bytes, Path};
use sunstar::{Response, Router, Server, Sharded};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the allocations of each thread.
struct Counting;

// SAFETY: hands everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // While a thread ends its counter may be gone; nobody reads it then.
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn plaintext() -> Response {
    Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        .with_content("Hello, World!")
}

fn event(bytes: Sharded<usize>, Bytes(content): Bytes) -> StatusCode {
    bytes.local(|bytes| *bytes += content.len());
    StatusCode::OK
}

fn squared(Path(number): Path<u32>) -> Response {
    Response::new(if number == 7 {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    })
}

/// A plain handler behind layers that hold up only what waits.
fn layered() -> Router {
    Router::new(())
        .get("/plaintext", plaintext)
        .layer(ContentLimit::new(1024))
        .layer(Timeout::new(Duration::from_secs(5)))
        .layer(ConcurrencyLimit::new(8))
}

/// How much this shard's thread has allocated so far, this answer not included.
fn count() -> String {
    format!("{}!", COUNT.get())
}

/// Sends `request` and reads until `end` has come `times` times; gives back what has come.
fn ask(stream: &mut TcpStream, request: &str, end: &str, times: usize) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let mut piece = [0; 8192];
    while answer.matches(end).count() < times {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    answer
}

fn counted(stream: &mut TcpStream) -> u64 {
    let answer = ask(stream, "GET /count HTTP/1.1\r\nHost: a\r\n\r\n", "!", 1);
    let content = answer.split("\r\n\r\n").nth(1).unwrap();
    content.trim_end_matches('!').parse().unwrap()
}

/// Whether the driver allocates by itself.
fn skipped() -> bool {
    let skipped = std::env::var("SUNSTAR_DRIVER").is_ok_and(|name| name == "glommio");
    if skipped {
        eprintln!("skipped: glommio allocates for each wait of its own");
    }
    skipped
}

#[test]
fn a_plain_handlers_request_allocates_nothing() {
    if skipped() {
        return;
    }
    let placement = Some(Placement::unpinned(1));
    let config = Config {
        placement,
        signals: false,
        ..Config::default()
    };
    let server = Server::bind_with(config, "127.0.0.1:0").unwrap();
    let (address, stopper) = (server.addresses()[0], server.stopper().unwrap());
    let make = |_| {
        let router = Router::new(0)
            .get("/plaintext", plaintext)
            .post("/event", event);
        router
            .get("/squared/{number}", squared)
            .get("/count", count)
            .nest("/nested", layered())
    };
    let running = thread::spawn(move || server.serve(make));
    let mut stream = TcpStream::connect(address).unwrap();
    let plaintext = "GET /plaintext HTTP/1.1\r\nHost: a\r\n\r\n";
    let event = "POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n1234";
    let squared = "GET /squared/7 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut allocated = |request: &str, end: &str, times: usize| {
        for _ in 0..100 {
            ask(&mut stream, request, end, times);
            counted(&mut stream);
        }
        let before = counted(&mut stream);
        let own = counted(&mut stream) - before;
        for _ in 0..1000 {
            ask(&mut stream, request, end, times);
        }
        counted(&mut stream) - before - 2 * own
    };
    assert_eq!(allocated(plaintext, "Hello, World!", 1), 0, "plaintext");
    assert_eq!(allocated(event, "\r\n\r\n", 1), 0, "event");
    assert_eq!(allocated(squared, "\r\n\r\n", 1), 0, "one parameter");
    let layered = "GET /nested/plaintext HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(allocated(layered, "Hello, World!", 1), 0, "behind layers");
    assert_eq!(
        allocated(&plaintext.repeat(16), "Hello, World!", 16),
        0,
        "sixteen at once"
    );
    stopper.stop();
    running.join().unwrap().unwrap();
}

/// How much a thousand tasks allocate, one after another, behind a hundred others.
async fn of_tasks<F: Future<Output = ()> + 'static>(task: fn() -> F) -> u64 {
    for _ in 0..100 {
        spawn(task()).await;
    }
    let before = COUNT.get();
    for _ in 0..1000 {
        spawn(task()).await;
    }
    COUNT.get() - before
}

/// Has the waker of its task cloned, as what knows nothing of shards does.
async fn keeps_its_waker() {
    let mut kept = None;
    poll_fn(|context| {
        if kept.is_some() {
            return Poll::Ready(());
        }
        let waker = kept.insert(context.waker().clone());
        waker.wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn wakes_itself() {
    let mut has_woken = false;
    poll_fn(|context| {
        if has_woken {
            return Poll::Ready(());
        }
        has_woken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// ADR 39.
#[test]
fn a_task_is_one_allocation_and_a_waker_that_lasts_stays_with_its_place() {
    if skipped() {
        return;
    }
    let config = runtime::Config::new(Placement::unpinned(1));
    let allocated = run_on_all_shards(&config, |_| async {
        [
            of_tasks(yield_now).await,
            of_tasks(|| runtime::sleep(Duration::from_nanos(1))).await,
            of_tasks(wakes_itself).await,
            of_tasks(keeps_its_waker).await,
        ]
    });
    assert_eq!(allocated.unwrap(), [[1000; 4]]);
}
