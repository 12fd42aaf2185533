//! The request loop written straight on ringline: `ringline PORT [--post]`.
//!
//! The same loop as `monoio_loop`: a task for each connection that parses what was received with
//! httparse, counts requests and sends that many canned answers. It panics when a read ends within
//! a request.

#[path = "../../canned.rs"]
#[expect(
    dead_code,
    reason = "it binds by itself, and heads are parsed here, not counted"
)]
mod canned;
#[path = "../../parsed.rs"]
mod parsed;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use ringline::{AsyncEventHandler, ConfigBuilder, ConnCtx, ParseResult, RinglineBuilder};

use parsed::{ANSWERS_MAX, count_requests};

/// So many connections are held, each with its own state, from the start.
const CONNECTION_COUNT_MAX: u32 = 16_384;

fn main() -> ExitCode {
    canned::run("ringline", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let config = ConfigBuilder::new()
        .workers(1)
        .pin_to_core(false)
        .tcp_nodelay(true)
        .max_connections(CONNECTION_COUNT_MAX)
        .build()
        .map_err(io::Error::other)?;
    let builder = RinglineBuilder::new(config).bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    // What stops it is held until the process ends.
    let (_stop, threads) = if is_post {
        builder.launch::<Answering<true>>()
    } else {
        builder.launch::<Answering<false>>()
    }
    .map_err(io::Error::other)?;
    for thread in threads {
        thread
            .join()
            .expect("a panic was told already")
            .map_err(io::Error::other)?;
    }
    Ok(())
}

/// Answers with what an event wants, or with plain text.
struct Answering<const IS_POST: bool>(&'static [u8]);

impl<const IS_POST: bool> AsyncEventHandler for Answering<IS_POST> {
    fn on_accept(&self, stream: ConnCtx) -> impl Future<Output = ()> + 'static {
        let answers = self.0;
        async move {
            let answer = |input: &[u8]| {
                let count = count_requests(input);
                let out = &answers[..count * (answers.len() / ANSWERS_MAX)];
                // A connection that is lost ends the loop.
                let _ = stream.send_nowait(out);
                ParseResult::Consumed(input.len())
            };
            while stream.with_data(answer).await > 0 {}
        }
    }

    fn create_for_worker(_: usize) -> Self {
        Answering(canned::answer(IS_POST).repeat(ANSWERS_MAX).leak())
    }
}
