//! [`Live`]: what the live page shows, as JSON.
//!
//! What must hold: numbers are JSON numbers; lists have one entry per shard, rates one per second
//! with the newest last.

use std::fmt;
use std::time::Duration;

use crate::metrics::ShardFigures;
use crate::stats::Stats;

/// The figures of all shards at about one moment. Displayed as JSON on one line.
#[derive(Clone, Debug)]
pub struct Live {
    /// How long the program has been running.
    pub uptime: Duration,
    /// A cut through the events of all shards.
    pub stats: Stats,
    /// The figures of each shard.
    pub shards: Vec<ShardFigures>,
}

impl fmt::Display for Live {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory_len: usize = self.shards.iter().map(|it| it.gauges.name_memory_len).sum();
        let rejects = self.shards.iter().flat_map(|shard| shard.reject_counts);
        write!(
            out,
            r#"{{"uptime":{},"stats":{},"userMemory":{memory_len},"rejects":{},"shards":["#,
            self.uptime.as_secs_f64(),
            self.stats,
            rejects.sum::<u64>(),
        )?;
        for (at, shard) in self.shards.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let events = shard.gauges.event_count;
            write!(
                out,
                r#"{comma}{{"events":{events},"rates":{:?}}}"#,
                shard.rates
            )?;
        }
        out.write_str("]}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Gauges;
    use serde_json::{Value, json};

    #[test]
    fn it_is_json_with_a_list_of_shards() {
        let shard = |event_count, rates: &[u64]| ShardFigures {
            gauges: Gauges {
                event_count,
                name_count: 1,
                name_memory_len: 100,
            },
            reject_counts: [2; _],
            full_count: 0,
            rates: rates.to_vec(),
        };
        let live = Live {
            uptime: Duration::from_millis(1500),
            stats: Stats::default(),
            shards: vec![shard(3, &[1, 2]), shard(4, &[])],
        };
        let seen: Value = serde_json::from_str(&live.to_string()).unwrap();
        let expected = json!({
            "uptime": 1.5,
            "stats": {"totalRequests": 0, "uniqueUsers": 0, "sum": 0, "avg": 0},
            "userMemory": 200,
            "rejects": 40,
            "shards": [{"events": 3, "rates": [1, 2]}, {"events": 4, "rates": []}],
        });
        assert_eq!(seen, expected);
    }
}
