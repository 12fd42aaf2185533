//! Serves while every shard computes in the background, in a group with few shares, and while
//! handlers block.
//!
//! `cargo run --release --example background -- --shares 10`, then `curl localhost:8080/plaintext`,
//! and `/metrics` for how long each group has run. `--shares 0` computes nothing. `/sleep` blocks
//! for a second, on a thread that may.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use clap::Parser;
use sunstar::http::Method;
use sunstar::runtime::{Group, yield_if_needed};
use sunstar::{Result, Router, server};

/// Answers /plaintext and /metrics beside a computation that never ends.
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,

    /// Shares of the computation; requests have 100.
    #[arg(long, default_value_t = 10)]
    shares: u32,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let shares = cli.shares;
    cli.sunstar.server(&["0.0.0.0:8080"])?.serve(move |_shard| {
        if shares > 0 {
            Group::start("background", shares).spawn(compute()).detach();
        }
        Router::new(())
            .get("/plaintext", || "Hello, World!")
            .blocking(Method::GET, "/sleep", block)
            .get("/metrics", server::metrics)
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "it runs on a thread that may block"
)]
fn block() -> &'static str {
    sleep(Duration::from_secs(1));
    "slept"
}

/// Mixes numbers for ever, and asks every microsecond or so whether others wait.
async fn compute() {
    let mut mixed = 1_u64;
    loop {
        for number in 0..1000 {
            mixed = black_box(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        }
        yield_if_needed().await;
    }
}
