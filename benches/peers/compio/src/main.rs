//! The request loop written straight on compio: `compio PORT [--post]`.
//!
//! The same loop as `monoio_loop`: a task for each connection that reads, parses heads with
//! httparse, counts them and writes that many canned answers. It panics when a read ends within a
//! request.

#[path = "../../canned.rs"]
#[expect(dead_code, reason = "heads are parsed here, not counted")]
mod canned;
#[path = "../../parsed.rs"]
mod parsed;

use std::io;
use std::process::ExitCode;

use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{Runtime, spawn};

use parsed::{ANSWERS_MAX, BUFFER_LEN, count_requests};

fn main() -> ExitCode {
    canned::run("compio", serve)
}

/// Serves until the process is ended.
fn serve(port: u16, is_post: bool) -> io::Result<()> {
    let listener = canned::listen(port)?;
    canned::announce(&listener)?;
    let answers: &'static [u8] = canned::answer(is_post).repeat(ANSWERS_MAX).leak();
    Runtime::new()?.block_on(accept(listener.into(), answers))
}

async fn accept(listener: std::net::TcpListener, answers: &'static [u8]) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        spawn(answer(stream, answers)).detach();
    }
}

async fn answer(mut stream: TcpStream, answers: &'static [u8]) {
    let mut input = Vec::with_capacity(BUFFER_LEN);
    loop {
        input.clear();
        let (len, filled) = stream.read(input).await.into();
        let Ok(len @ 1..) = len else { return };
        let count = count_requests(&filled[..len]);
        input = filled;
        let out = &answers[..count * (answers.len() / ANSWERS_MAX)];
        if stream.write_all(out).await.0.is_err() {
            return;
        }
    }
}
