//! `TechEmpower`'s plaintext and JSON tests, with the suite's exact headers and bodies.
//!
//! `cargo run --release --example techempower`, then `curl -i localhost:8080/plaintext`.

use clap::Parser;
use serde::Serialize;
use sunstar::http::{HeaderValue, StatusCode, header};
use sunstar::{Json, Response, Result, Router};

/// Answers /plaintext and /json as the benchmark suite wants it.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> Result<()> {
    Cli::parse()
        .sunstar
        .server(&["0.0.0.0:8080"])?
        .serve(|_shard| {
            Router::new(())
                .get("/plaintext", plaintext)
                .get("/json", json)
        })
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

fn plaintext() -> Response {
    Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, TEXT)
        .with_content("Hello, World!")
}

fn json() -> Json<Message> {
    Json(Message {
        message: "Hello, World!",
    })
}
