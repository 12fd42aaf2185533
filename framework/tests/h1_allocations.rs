//! Counts heap allocations: after warm-up there is none per request.
#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use sunstar::http::h1::Connection;
use sunstar::http::{Event, Fields, HeaderValue, Length, Limits, StatusCode, header};
use sunstar::mem::{Buf, Pool};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many allocations one round takes after some to warm up.
fn allocations(mut round: impl FnMut()) -> usize {
    for _ in 0..3 {
        round();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        round();
    }
    ALLOCATIONS.get() - before
}

/// A connection that gets `input` in pieces of `step` bytes, and answers whatever it asks.
fn answering(input: &'static [u8], step: usize) -> impl FnMut() {
    #[expect(
        clippy::disallowed_methods,
        reason = "where a test's time begins is no matter"
    )]
    let now = Instant::now();
    let pool = Pool::new();
    let limits = Rc::new(Limits::default());
    let mut connection = Connection::new(pool.clone(), limits, now);
    let mut fields = Fields::new();
    fields.append(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    move || {
        for piece in input.chunks(step) {
            connection.handle_input(pool.copy(piece), now);
            while let Some(event) = connection.poll_event() {
                match event {
                    Event::Request(_) | Event::Content(_) => {}
                    Event::End => {
                        let (status, length) = (StatusCode::OK, Length::Known(5));
                        connection.send_head(status, &fields, length, b"Server: s\r\n");
                        connection.send_data(Buf::from("hello"));
                        connection.send_end(now);
                    }
                    Event::Error(error) => panic!("{error}"),
                }
            }
            while connection.poll_output().is_some() {}
        }
        assert!(connection.is_idle() && pool.outstanding() == 0);
    }
}

const GET: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
const POST: &[u8] = b"POST /event HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
    5\r\nhello\r\n0\r\nX: y\r\n\r\n";
/// As many fields as a browser sends.
const BROWSER: &[u8] =
    b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n\
    G: 7\r\nH: 8\r\nI: 9\r\nJ: 10\r\nK: 11\r\nL: 12\r\nM: 13\r\nN: 14\r\nO: 15\r\nP: 16\r\n\r\n";
const PIPELINE: &[u8] = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n\
    POST /3 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_request_that_comes_whole_allocates_nothing() {
    for request in [GET, POST, CHUNKED, BROWSER, PIPELINE] {
        assert_eq!(allocations(answering(request, request.len())), 0);
    }
}

#[test]
fn a_request_that_comes_in_pieces_allocates_nothing() {
    for request in [GET, POST, CHUNKED, BROWSER, PIPELINE] {
        for step in [1, 7, 30] {
            assert_eq!(allocations(answering(request, step)), 0, "by {step}");
        }
    }
}
