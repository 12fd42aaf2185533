//! The request loop written straight on glommio: `glommio_loop PORT`.
//!
//! What `--driver glommio` is held against: a task for each connection that reads, parses heads
//! with httparse, counts them and writes that many canned answers. No router, no limits, no
//! timeouts. As `bare_ring` it panics when a read ends within a request.

#[path = "canned.rs"]
#[expect(
    dead_code,
    reason = "heads are parsed here, and glommio opens its listeners by itself"
)]
mod canned;
#[path = "parsed.rs"]
mod parsed;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;

use futures_io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use parsed::{ANSWERS_MAX, BUFFER_LEN, count_requests};

fn main() -> ExitCode {
    canned::run("glommio_loop", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let answers: &'static [u8] = canned::answer(is_post).repeat(ANSWERS_MAX).leak();
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make()?;
    executor.run(async move {
        // glommio opens its listeners by itself, with SO_REUSEPORT.
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let stream = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(answer(stream, answers)).detach();
        }
    })
}

async fn answer(mut stream: TcpStream, answers: &'static [u8]) {
    let mut input = vec![0; BUFFER_LEN];
    loop {
        let read = poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut input)).await;
        let Ok(len @ 1..) = read else { return };
        let count = count_requests(&input[..len]);
        let mut out = &answers[..count * (answers.len() / ANSWERS_MAX)];
        while !out.is_empty() {
            let written = poll_fn(|context| Pin::new(&mut stream).poll_write(context, out)).await;
            let Ok(len @ 1..) = written else { return };
            out = &out[len..];
        }
    }
}
