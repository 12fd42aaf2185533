//! The challenge's service on warp, as its Rust entries are: a concurrent set of users, counters
//! that all threads share. `warp_event PORT`.

use std::env;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use dashmap::DashSet;
use serde::{Deserialize, Serialize};
use warp::Filter;
use warp::http::StatusCode;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    user_id: String,
    value: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    total_requests: u64,
    unique_users: usize,
    sum: f64,
    avg: f64,
}

#[derive(Default)]
struct Tally {
    users: DashSet<String>,
    totals: Mutex<(u64, f64)>,
}

impl Tally {
    fn record(&self, event: Event) {
        if !self.users.contains(&event.user_id) {
            self.users.insert(event.user_id);
        }
        let mut totals = self.totals.lock().expect("nothing panics under it");
        *totals = (totals.0 + 1, totals.1 + event.value);
    }

    fn stats(&self) -> Stats {
        let (count, sum) = *self.totals.lock().expect("nothing panics under it");
        Stats {
            total_requests: count,
            unique_users: self.users.len(),
            sum,
            avg: if count == 0 { 0.0 } else { sum / count as f64 },
        }
    }
}

#[tokio::main]
async fn main() {
    let port = env::args().nth(1).and_then(|port| port.parse::<u16>().ok());
    let port = port.expect("warp_event PORT");
    let tally = Arc::new(Tally::default());
    let shared = Arc::clone(&tally);
    let event = warp::path!("event")
        .and(warp::post())
        .and(warp::body::json())
        .map(move |event| {
            shared.record(event);
            StatusCode::OK
        });
    let stats = warp::path!("stats")
        .and(warp::get())
        .map(move || warp::reply::json(&tally.stats()));
    warp::serve(event.or(stats))
        .run((Ipv4Addr::LOCALHOST, port))
        .await;
}
