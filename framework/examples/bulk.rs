//! Much content in one direction at a time, for clients that read no answer before they have sent
//! all: the same bytes each time, which can be fetched and sent back.
//!
//! `GET /{len}` sends so many bytes with their length, `GET /{len}/chunked` in chunks; `POST /`
//! reads them and says whether they are the same. `cargo run --release --example bulk`.

use std::convert::Infallible;

use clap::Parser;
use sunstar::service::{Body, BodyError, Outflow, Path, Response, generate};
use sunstar::{Router, StatusCode};

/// How much is sent at a time.
const PIECE_LEN: u64 = 64 * 1024;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
}

fn main() -> sunstar::Result<()> {
    let server = Cli::parse().sunstar.server(&["127.0.0.1:8080"])?;
    server.serve(|_shard| {
        Router::new(())
            .get("/", || "bulk")
            .get("/{len}", sized)
            .get("/{len}/chunked", chunked)
            .post("/", compare)
    })
}

fn sized(Path(len): Path<u64>) -> Response {
    Response::new(StatusCode::OK).with_sized_stream(len, generate(move |out| send(out, len)))
}

fn chunked(Path(len): Path<u64>) -> Response {
    Response::new(StatusCode::OK).with_stream(generate(move |out| send(out, len)))
}

async fn send(mut out: Outflow, len: u64) -> Result<(), Infallible> {
    let mut at = 0;
    while at < len {
        let piece_len = PIECE_LEN.min(len - at);
        out.send((at..at + piece_len).map(byte).collect::<Vec<_>>())
            .await;
        at += piece_len;
    }
    Ok(())
}

/// Reads what comes, holding no more of it than a piece.
async fn compare(mut body: Body) -> Result<String, BodyError> {
    let (mut at, mut wrong) = (0, None);
    while let Some(piece) = body.next().await {
        for &found in piece?.iter() {
            if found != byte(at) {
                wrong = wrong.or(Some(at));
            }
            at += 1;
        }
    }
    Ok(match wrong {
        None => format!("{at} bytes, equal\n"),
        Some(wrong) => format!("{at} bytes, different from {wrong} on\n"),
    })
}

/// What stands at that place: without a period that a lost or doubled piece could hide in.
fn byte(at: u64) -> u8 {
    at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]
}
