//! A key-value service: every key belongs to one shard, values expire, a group cleans up.
//! `cargo run --release --example kv`, then
//! `curl -X PUT -d hello 'localhost:8080/kv/greeting?ttl=60'; curl localhost:8080/kv/greeting`.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Deserialize;
use sunstar::runtime::{Group, now, shard_count, sleep, yield_if_needed};
use sunstar::service::{Path, Query};
use sunstar::{Json, Result, Router, ShardId, Sharded, StatusCode};

/// How long a value lives whose writer does not say.
const TTL_DEFAULT: Duration = Duration::from_hours(1);

/// Keeps values under keys until they expire.
#[derive(Clone, Parser)]
struct Cli {
    #[command(flatten)]
    sunstar: sunstar::cli::Args,
    /// How many values a shard holds at most; beyond that a PUT gets 507
    #[arg(long, default_value_t = 1_000_000)]
    values_max: usize,
    /// How many milliseconds lie between two looks for what has expired
    #[arg(long, default_value_t = 1000)]
    compact_every_ms: u64,
}

/// The part of all values that one shard owns. It has no lock: nobody else touches it.
struct Store {
    values: HashMap<String, Value>,
    /// The same keys, the first to expire first.
    expiring: BTreeSet<(Instant, String)>,
    values_max: usize,
}

struct Value {
    text: String,
    expires: Instant,
}

#[derive(Deserialize)]
struct Life {
    /// In seconds, behind the question mark.
    ttl: Option<u32>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let every = Duration::from_millis(cli.compact_every_ms);
    let server = cli.sunstar.server(&["127.0.0.1:8080"])?;
    server.serve(move |_shard| {
        let store = Sharded::start(Store {
            values: HashMap::new(),
            expiring: BTreeSet::new(),
            values_max: cli.values_max,
        });
        // A tenth of the main group's shares, in which requests are served.
        let background = Group::start("compaction", 10);
        background.spawn(compact(store, every)).detach();
        Router::with(store)
            .get("/kv/{key}", read)
            .put("/kv/{key}", write)
            .delete("/kv/{key}", remove)
            .get("/stats", stats)
    })
}

/// The shard that a key belongs to: all shards agree on it.
fn owner(key: &str) -> ShardId {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let index = hasher.finish() % shard_count() as u64;
    ShardId::new(usize::try_from(index).expect("a count")).expect("below the count of shards")
}

async fn read(store: Sharded<Store>, Path(key): Path<String>) -> Option<String> {
    store.on(owner(&key), move |store| store.read(&key)).await
}

async fn write(
    store: Sharded<Store>,
    Path(key): Path<String>,
    Query(life): Query<Life>,
    text: String,
) -> StatusCode {
    let owner = owner(&key);
    let ttl = life
        .ttl
        .map_or(TTL_DEFAULT, |ttl| Duration::from_secs(ttl.into()));
    store
        .on(owner, move |store| store.write(key, text, ttl))
        .await
}

async fn remove(store: Sharded<Store>, Path(key): Path<String>) -> StatusCode {
    store.on(owner(&key), move |store| store.remove(&key)).await
}

/// How many values every shard holds, expired ones included that were not cleaned up yet.
async fn stats(store: Sharded<Store>) -> Json<Vec<usize>> {
    Json(store.map(|store| store.values.len()).await)
}

impl Store {
    fn read(&self, key: &str) -> Option<String> {
        let value = self.values.get(key).filter(|value| value.expires > now())?;
        Some(value.text.clone())
    }

    fn remove(&mut self, key: &str) -> StatusCode {
        let Some(value) = self.values.remove(key) else {
            return StatusCode::NOT_FOUND;
        };
        self.expiring.remove(&(value.expires, key.to_owned()));
        StatusCode::NO_CONTENT
    }

    fn write(&mut self, key: String, text: String, ttl: Duration) -> StatusCode {
        let is_old = self.remove(&key) == StatusCode::NO_CONTENT;
        if self.values.len() >= self.values_max {
            return StatusCode::INSUFFICIENT_STORAGE;
        }
        let expires = now() + ttl;
        self.expiring.insert((expires, key.clone()));
        self.values.insert(key, Value { text, expires });
        [StatusCode::CREATED, StatusCode::NO_CONTENT][usize::from(is_old)]
    }

    /// Removes the first value if it has expired. Tells whether it had.
    fn expire(&mut self) -> bool {
        let first = self.expiring.first().filter(|first| first.0 <= now());
        first
            .cloned()
            .is_some_and(|(_, key)| self.remove(&key) == StatusCode::NO_CONTENT)
    }
}

/// Removes what has expired, and asks behind each value whether others want the shard.
async fn compact(store: Sharded<Store>, every: Duration) {
    loop {
        sleep(every).await;
        while store.local(Store::expire) {
            yield_if_needed().await;
        }
    }
}
