//! The HTTP/1.1 routes of the `HttpArena` board: sums, pipelining, JSON, uploads and files.
//!
//! `cargo run --release --example httparena -- --dataset FILE --files DIRECTORY`, then
//! `curl 'localhost:8080/baseline11?a=13&b=42'`. The board mounts both below `/data`.

use std::path::{Path as File, PathBuf};

use clap::Parser;
use serde::{Deserialize, Serialize};
use sunstar::http::{HeaderValue, StatusCode, header};
use sunstar::service::{Body, BodyError, Path, Query, ServeDir};
use sunstar::{Json, Response, Result, Router, Sharded};

/// The longest upload of the board; what is longer is answered with 413.
const UPLOAD_LEN_MAX: u64 = 20 * 1024 * 1024;

/// Answers what the board asks for.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// The items of `/json/{count}`.
    #[arg(long, default_value = "/data/dataset.json")]
    dataset: PathBuf,
    /// The directory below `/static`; `.br` and `.gz` beside a file are sent to who accepts them.
    #[arg(long, default_value = "/data/static")]
    files: PathBuf,
}

fn main() -> Result<()> {
    let Cli {
        sunstar,
        dataset,
        files,
    } = Cli::parse();
    let items = read_items(&dataset).unwrap_or_else(|error| {
        eprintln!("httparena: {}: {error}", dataset.display());
        std::process::exit(2);
    });
    // So that a directory that is not there ends the program, and not a shard.
    drop(ServeDir::new(&files)?);
    sunstar.server(&["0.0.0.0:8080"])?.serve(move |_shard| {
        let files = ServeDir::new(&files).expect("it was there at the start");
        // Each shard has its own, as long as the process lives.
        Router::new(&*items.clone().leak())
            .get("/baseline11", sum)
            .post("/baseline11", sum_with_content)
            .get("/pipeline", || "ok")
            .get("/json/{count}", listing)
            .post("/upload", upload)
            .mount("/static", files.with_precompressed())
    })
}

fn read_items(file: &File) -> std::result::Result<Vec<Item>, Box<dyn std::error::Error>> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}

/// What is to be added up. What is missing counts as 0.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Terms {
    a: i64,
    b: i64,
}

impl Terms {
    /// The sum with a third, which is a bad request if it is none or the sum is too large.
    fn with(&self, third: &str) -> std::result::Result<String, StatusCode> {
        let third: i64 = third.trim().parse().map_err(|_| StatusCode::BAD_REQUEST)?;
        let two = self.a.checked_add(self.b);
        let sum = two.and_then(|two| two.checked_add(third));
        Ok(sum.ok_or(StatusCode::BAD_REQUEST)?.to_string())
    }
}

/// Adds up the query.
fn sum(Query(terms): Query<Terms>) -> std::result::Result<String, StatusCode> {
    terms.with("0")
}

/// Adds up the query and the content, in whatever pieces that came.
fn sum_with_content(
    Query(terms): Query<Terms>,
    content: String,
) -> std::result::Result<String, StatusCode> {
    terms.with(&content)
}

/// An item as the dataset has it.
#[derive(Clone, Deserialize, Serialize)]
struct Item {
    id: u64,
    name: String,
    category: String,
    price: i64,
    quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
struct Rating {
    score: i64,
    count: i64,
}

/// An item as it is answered.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    item: &'static Item,
    total: i64,
}

#[derive(Serialize)]
struct Listing {
    items: Vec<Line>,
    count: usize,
}

#[derive(Deserialize)]
struct Multiplier {
    #[serde(default = "one")]
    m: i64,
}

const fn one() -> i64 {
    1
}

/// The first `count` items, each with its price for `m` times its quantity.
fn listing(
    items: Sharded<&'static [Item]>,
    Path(count): Path<usize>,
    Query(multiplier): Query<Multiplier>,
) -> Json<Listing> {
    let items = items.local(|items| *items).iter().take(count).map(|item| {
        let price = item.price.saturating_mul(item.quantity);
        let total = price.saturating_mul(multiplier.m);
        Line { item, total }
    });
    let items: Vec<_> = items.collect();
    let count = items.len();
    Json(Listing { items, count })
}

/// Counts the bytes that came, which are thrown away as they come.
async fn upload(body: Body) -> std::result::Result<Response, BodyError> {
    let (mut body, mut len) = (body.limited(UPLOAD_LEN_MAX), 0);
    while let Some(piece) = body.next().await {
        len += piece?.len();
    }
    Ok(Response::new(StatusCode::OK)
        .with_field(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
        .with_content(len.to_string().into_bytes()))
}
