//! `TechEmpower`'s plaintext and JSON tests, with the suite's exact headers and bodies.
//!
//! `cargo run --release --example techempower`, then `curl -i localhost:8080/plaintext`.

use clap::Parser;
use serde::Serialize;
use sunstar::http::{FixedFields, StatusCode};
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

const TEXT: FixedFields = FixedFields::new("content-type: text/plain\r\n");

fn plaintext() -> Response {
    Response::new(StatusCode::OK)
        .with_fixed_fields(TEXT)
        .with_content("Hello, World!")
}

fn json() -> Json<Message> {
    Json(Message {
        message: "Hello, World!",
    })
}
