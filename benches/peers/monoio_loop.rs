//! The request loop written straight on monoio: `monoio_loop PORT [--legacy]`.
//!
//! What `--driver monoio` is held against, and with `--legacy` (monoio on epoll) `--driver
//! monoio-legacy`: a task for each connection that reads, parses heads with httparse, counts them
//! and writes that many canned answers. No router, no limits, no timeouts. As `bare_ring` it panics
//! when a read ends within a request.

#[path = "canned.rs"]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "heads are parsed here, not counted")
)]
mod canned;
#[path = "parsed.rs"]
mod parsed;

use std::io;
use std::process::ExitCode;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};

use parsed::{ANSWERS_MAX, BUFFER_LEN, count_requests};

fn main() -> ExitCode {
    canned::run("monoio_loop", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let listener = canned::listen(port)?;
    canned::announce(&listener)?;
    let answers: &'static [u8] = canned::answer(is_post).repeat(ANSWERS_MAX).leak();
    if std::env::args().any(|word| word == "--legacy") {
        listener.set_nonblocking(true)?;
        let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build()?;
        return runtime.block_on(accept(listener.into(), answers));
    }
    // As the hosted driver makes it: with deferred task run monoio starves its I/O.
    let mut ring = monoio_io_uring::IoUring::builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring);
    builder.build()?.block_on(accept(listener.into(), answers))
}

async fn accept(listener: std::net::TcpListener, answers: &'static [u8]) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(answer(stream, answers));
    }
}

async fn answer(mut stream: TcpStream, answers: &'static [u8]) {
    let mut input = Vec::with_capacity(BUFFER_LEN);
    loop {
        let (len, filled) = stream.read(input).await;
        let Ok(len @ 1..) = len else { return };
        let count = count_requests(&filled[..len]);
        input = filled;
        let out = &answers[..count * (answers.len() / ANSWERS_MAX)];
        if stream.write_all(out).await.0.is_err() {
            return;
        }
    }
}
