//! The handlers of the README: greets, and counts per shard how often.
//!
//! `cargo run --release --example hello`, then `curl localhost:8080/hello/you`.

use clap::Parser;
use sunstar::service::Path;
use sunstar::{Result, Router, Sharded};

/// Greets whoever is named in the path.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
}

/// How often this shard has greeted.
#[derive(Default)]
struct Greeted(u64);

fn main() -> Result<()> {
    Cli::parse()
        .sunstar
        .server(&["127.0.0.1:8080"])?
        .serve(|_shard| {
            Router::new(Greeted::default())
                .get("/hello/{name}", hello)
                .get("/greeted", greeted)
        })
}

/// A plain function: on a shard nothing else runs while it runs.
fn hello(greeted: Sharded<Greeted>, Path(name): Path<String>) -> String {
    greeted.local(|greeted| greeted.0 += 1);
    format!("Hello, {name}!\n")
}

/// An `async fn`, since it asks the other shards.
async fn greeted(greeted: Sharded<Greeted>) -> String {
    let total = greeted.map_reduce(|greeted| greeted.0, |a, b| a + b).await;
    format!("greeted {total} times\n")
}
