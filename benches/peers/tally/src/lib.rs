//! The event of the challenge and its figures, as its entries in Rust keep them: a concurrent set
//! of users, and totals that all threads share behind a lock. Nothing here is exact in its sum.

use std::env;
use std::sync::{Mutex, PoisonError};

use dashmap::DashSet;
use serde::{Deserialize, Serialize};

/// What `/plaintext` says.
pub const HELLO: &str = "Hello, World!";

/// What `POST /event` brings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub user_id: String,
    pub value: f64,
}

/// What `GET /stats` answers.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    pub total_requests: u64,
    pub unique_users: usize,
    pub sum: f64,
    pub avg: f64,
}

impl Stats {
    /// The figures of `count` events of `unique_users` users.
    pub fn of(count: u64, unique_users: usize, sum: f64) -> Stats {
        let avg = if count == 0 { 0.0 } else { sum / count as f64 };
        Stats {
            total_requests: count,
            unique_users,
            sum,
            avg,
        }
    }
}

/// What `/json` answers.
#[derive(Serialize)]
pub struct Message {
    pub message: &'static str,
}

impl Message {
    /// The message that is always sent, made anew for each request.
    pub const fn hello() -> Message {
        Message { message: HELLO }
    }
}

/// The figures of all events, for all threads.
#[derive(Default)]
pub struct Tally {
    users: DashSet<String>,
    totals: Mutex<(u64, f64)>,
}

impl Tally {
    /// Counts one event.
    pub fn record(&self, event: Event) {
        // Most users are known, and looking needs no lock against other readers.
        if !self.users.contains(&event.user_id) {
            self.users.insert(event.user_id);
        }
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals = (totals.0 + 1, totals.1 + event.value);
    }

    /// The figures at this moment.
    pub fn stats(&self) -> Stats {
        let (count, sum) = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        Stats::of(count, self.users.len(), sum)
    }
}

/// The port that the command line tells.
///
/// # Panics
/// If its first word is no port.
pub fn port() -> u16 {
    let port = env::args().nth(1).and_then(|word| word.parse().ok());
    port.expect("usage: PROGRAM PORT")
}
