//! `Sharded` without HTTP: every shard counts by itself, and one adds up.
//!
//! `cargo run --release --example counter -- --smp 2`

use std::collections::BTreeMap;

use clap::Parser;
use sunstar::runtime::{Config, CpuSet, Placement, run_on_all_shards};
use sunstar::{Result, ShardId, Sharded};

/// Counts the letters of a text, a part of it on every shard.
#[derive(Parser)]
struct Cli {
    /// The text
    #[arg(default_value = "one animal with many arms, and each arm works by itself")]
    text: String,
    /// Number of shards
    #[arg(long)]
    smp: Option<usize>,
    /// CPUs to run on, such as 0-3,8
    #[arg(long)]
    cpuset: Option<CpuSet>,
}

/// How often each letter was seen. Needs no lock: it belongs to one shard.
type Letters = BTreeMap<char, usize>;

fn main() -> Result<()> {
    let cli = Cli::parse();
    let placement = Placement::new(cli.smp, cli.cpuset.as_ref())?;
    let counted = run_on_all_shards(&Config::new(placement), move |shard| {
        count(shard, cli.text.clone())
    })?;
    println!(
        "{:?}",
        counted.into_iter().flatten().next().unwrap_or_default()
    );
    Ok(())
}

async fn count(shard: ShardId, text: String) -> Option<Letters> {
    let letters = Sharded::start(Letters::new());
    if shard != ShardId::ZERO {
        return None;
    }
    for word in text.split_whitespace() {
        // Work goes to the data: the shard that owns the word's first letter counts it.
        let owner = word.as_bytes()[0] as usize % sunstar::runtime::shard_count();
        let word = word.to_owned();
        letters
            .on(ShardId::new(owner)?, move |letters| add(letters, &word))
            .await;
    }
    Some(letters.map_reduce(|letters| letters.clone(), merge).await)
}

fn add(letters: &mut Letters, word: &str) {
    for letter in word.chars().filter(|letter| letter.is_alphabetic()) {
        *letters.entry(letter).or_default() += 1;
    }
}

fn merge(mut all: Letters, part: Letters) -> Letters {
    for (letter, count) in part {
        *all.entry(letter).or_default() += count;
    }
    all
}
