//! A small site: files, an API below a prefix, layers around both, and a cookie that counts visits.
//!
//! `cargo run --release --example site`, then `curl -i localhost:8080/` and
//! `curl -i localhost:8080/api/visits`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use sunstar::service::layers::{AccessLog, ContentLimit, Cors, RequestId, Timeout};
use sunstar::service::{Cookies, Form, Redirect, ServeDir, SetCookie};
use sunstar::{Result, Router, Sharded};

/// Serves a directory and an API.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// The directory to serve.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/site"))]
    root: PathBuf,
}

/// What visitors have written, on this shard.
#[derive(Default)]
struct Guests(Vec<String>);

fn main() -> Result<()> {
    let Cli { sunstar, root } = Cli::parse();
    // So that a directory that is not there ends the program, and not a shard.
    drop(ServeDir::new(&root)?);
    sunstar.server(&["127.0.0.1:8080"])?.serve(move |_shard| {
        let files = ServeDir::new(&root).expect("it was there at the start");
        Router::new(())
            .nest("/api", api())
            .mount("/", files.with_precompressed())
            .layer(AccessLog::new())
            .layer(RequestId::new())
    })
}

/// The API, which pages of other origins may read.
fn api() -> Router<Guests> {
    Router::new(Guests::default())
        .get("/visits", visits)
        .get("/guests", guests)
        .post("/guests", sign)
        .layer_route("/guests", ContentLimit::new(1024))
        .layer(Timeout::new(Duration::from_secs(5)))
        .layer(Cors::for_any_origin())
}

/// Counts in a cookie how often this browser was here.
fn visits(cookies: Cookies) -> (SetCookie, String) {
    let before = cookies.value("visits").and_then(|text| text.parse().ok());
    let count = before.unwrap_or(0_u32).saturating_add(1);
    (
        SetCookie::new("visits", count.to_string()),
        format!("visit {count}\n"),
    )
}

/// All names, from all shards.
async fn guests(guests: Sharded<Guests>) -> String {
    let all = guests
        .map_reduce(|guests| guests.0.join("\n"), |a, b| a + "\n" + &b)
        .await;
    all.trim().to_owned() + "\n"
}

/// Adds a name, and sends the browser to the list.
fn sign(guests: Sharded<Guests>, Form(form): Form<Vec<(String, String)>>) -> Redirect {
    let names = form.into_iter().filter(|(field, _)| field == "name");
    guests.local(|guests| guests.0.extend(names.map(|(_, name)| name)));
    Redirect::see_other("/api/guests")
}
