//! The service that is simulated: plain handlers, and such as wait, ask all shards, or panic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sunstar::service::{Bytes, Path};
use sunstar::{Router, Sharded, runtime, server};

use crate::script::big;

/// How often the request of each identifier was handled, kept outside of the shards.
pub(crate) type Handled = Arc<[AtomicU32]>;

/// What one shard has handled.
pub(crate) struct Tally {
    count: u64,
    handled: Handled,
}

pub(crate) fn router(handled: Handled) -> Router<Tally> {
    Router::new(Tally { count: 0, handled })
        .get("/item/{id}", item)
        .get("/big/{id}", send_big)
        .get("/slow/{id}", slow)
        .get("/sum/{id}", sum)
        .get("/panic/{id}", panics)
        .post("/echo/{id}", echo)
        .get("/total", total)
}

fn count(tally: Sharded<Tally>, id: usize) {
    tally.local(|tally| {
        tally.count += 1;
        tally.handled[id].fetch_add(1, Ordering::Relaxed);
    });
}

fn item(tally: Sharded<Tally>, Path(id): Path<usize>) -> String {
    count(tally, id);
    format!("item {id}")
}

fn send_big(tally: Sharded<Tally>, Path(id): Path<usize>) -> Vec<u8> {
    count(tally, id);
    big(id)
}

fn echo(tally: Sharded<Tally>, Path(id): Path<usize>, Bytes(content): Bytes) -> Vec<u8> {
    count(tally, id);
    let mut answer = format!("echo {id}: ").into_bytes();
    answer.extend_from_slice(&content);
    answer
}

async fn slow(tally: Sharded<Tally>, Path(id): Path<usize>) -> String {
    count(tally, id);
    runtime::sleep(Duration::from_millis(id as u64 % 50)).await;
    format!("slow {id}")
}

/// Asks all shards; what has been counted here is in their sum.
async fn sum(tally: Sharded<Tally>, Path(id): Path<usize>) -> String {
    count(tally, id);
    let here = tally.local(|tally| tally.count);
    let all = tally.map_reduce(|tally| tally.count, |a, b| a + b).await;
    assert!(all >= here, "a sum of {all} with {here} here");
    format!("sum {id}")
}

fn panics(tally: Sharded<Tally>, Path(id): Path<usize>) -> String {
    count(tally, id);
    panic!("planned: request {id}")
}

/// What was handled, and what the server has counted.
async fn total(tally: Sharded<Tally>) -> String {
    let total = tally.map_reduce(|tally| tally.count, |a, b| a + b).await;
    let counters = server::Counters::of_all_shards();
    let requests = counters.map(|counters| counters.requests()).await;
    format!("{total} {}", requests.iter().sum::<u64>())
}
