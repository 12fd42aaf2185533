//! The One Million Request Challenge on sunstar.

mod handlers;

use clap::Parser;
use sunstar::{Result, Sharded, runtime};

use handlers::{Challenge, router};

/// The longest body of a request; more is answered with 413.
const BODY_LEN_MAX: u64 = 64 * 1024;

/// Serves the One Million Request Challenge: counts events, and answers with exact figures.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
}

fn main() -> Result<()> {
    let mut server = Cli::parse()
        .sunstar
        .server(&["0.0.0.0:8080", "[::]:8080"])?;
    server.config_mut().limits.content_len_max = BODY_LEN_MAX;
    server.serve(|shard| {
        router(Sharded::start(Challenge::new(
            shard,
            runtime::shard_count(),
        )))
    })
}
